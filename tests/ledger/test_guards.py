"""What the database refuses by itself, whatever the code above it believes."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from tests.ledger.makers import ASSET, AT, broken, fund, merchant, posting

from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger.model import ForeignAccount, InsufficientBalance, Move, Posted, Result, UnknownAccount
from bitlinkpay.ledger.service import balance, post, post_all

_POST = "SELECT outcome, detail FROM ledger_post($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
_ENTRY = """
INSERT INTO ledger_entries
    (account_id, version, posting_id, entry_no, side, units, balance_before, balance_after, digest)
SELECT account_id, version + 1, $2, $3, $4, $5, balance_units, balance_units + $5, ''
FROM ledger_accounts WHERE name = $1
"""


@pytest.fixture
async def owner(schema_owner_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(schema_owner_dsn)
    yield connection
    await connection.close()


async def _raw(
    tx: Tx, names: list[str], assets: list[str], *moves: tuple[object, object, object], **changed: object
) -> str:
    """Call the posting function as hostile or broken code would; return the only item's outcome."""
    arguments: dict[str, object] = {
        "ids": [new_uuid7()],
        "keys": [new_uuid7().hex],
        "events": ["test"],
        "assets": [ASSET],
        "merchants": [None],
        "happened": [AT],
        "account_names": names,
        "account_assets": assets,
        "items": [1 for _ in moves],
        "debits": [debit for debit, _, _ in moves],
        "credits": [credit for _, credit, _ in moves],
        "units": [units for _, _, units in moves],
    }
    row = await tx.fetchrow(_POST, *(arguments | changed).values())
    assert row is not None
    return str(row["outcome"])


async def _two_accounts(database: Database) -> None:
    async with database.transaction() as tx:
        await post_all(tx, [posting("first", (accounts.COLD, accounts.EQUITY, 100))])


async def test_LED_01_the_application_role_cannot_write_entries_at_all(database: Database) -> None:
    await _two_accounts(database)
    for side, number in (("debit", 1), ("credit", 2)):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.transaction() as tx:
                await tx.execute(_ENTRY, accounts.COLD, new_uuid7(), number, side, 5)
    assert await broken(database) == set()


async def test_LED_01_unbalanced_entries_are_refused_to_the_schema_owner_too(
    database: Database, owner: asyncpg.Connection
) -> None:
    await _two_accounts(database)
    with pytest.raises(asyncpg.CheckViolationError, match="does not balance"):
        await owner.execute(_ENTRY, accounts.COLD, new_uuid7(), 1, "debit", 5)
    assert await owner.fetchval("SELECT count(*) FROM ledger_entries") == 2


async def test_LED_01_equal_sides_in_different_assets_do_not_balance(
    database: Database, owner: asyncpg.Connection
) -> None:
    await _two_accounts(database)
    async with database.transaction() as tx:
        await post_all(tx, [posting("other", (accounts.COLD, accounts.EQUITY, 100), asset="eth-ethereum")])
    with pytest.raises(asyncpg.CheckViolationError, match="does not balance"):
        await owner.execute(
            """INSERT INTO ledger_entries
                   (account_id, version, posting_id, entry_no, side, units, balance_before, balance_after, digest)
               SELECT account_id, version + 1, $1, CASE side WHEN 'debit' THEN 1 ELSE 2 END, side, 5,
                   balance_units, balance_units + 5, ''
               FROM ledger_accounts
               WHERE (name, asset) IN (('custody:cold', 'usdt-tron'), ('equity', 'eth-ethereum'))""",
            new_uuid7(),
        )


async def test_LED_02_an_account_of_another_asset_is_refused(database: Database) -> None:
    async with database.transaction() as tx:
        names = [accounts.COLD, accounts.EQUITY]
        assert await _raw(tx, names, [ASSET, "eth-ethereum"], (1, 2, 5)) == "mixed_assets"
        assert await _raw(tx, names, ["eth-ethereum", "eth-ethereum"], (1, 2, 5)) == "mixed_assets"
        assert await _raw(tx, names, [ASSET, ASSET], (1, 2, 5)) == "posted"


@pytest.mark.parametrize("table", ["ledger_entries", "ledger_postings", "ledger_accounts", "ledger_kinds"])
@pytest.mark.parametrize(
    "words",
    [
        "UPDATE {table} SET {column} = {column}",
        "DELETE FROM {table}",
        "TRUNCATE {table}",
        "INSERT INTO {table} SELECT * FROM {table}",
        "ALTER TABLE {table} DISABLE TRIGGER ALL",
        "DROP TABLE {table}",
    ],
)
async def test_LED_03_the_application_role_changes_nothing(database: Database, table: str, words: str) -> None:
    await _two_accounts(database)
    column = {"ledger_entries": "units", "ledger_postings": "key", "ledger_accounts": "version"}.get(table, "shape")
    with pytest.raises(asyncpg.PostgresError) as caught:
        async with database.transaction() as tx:
            await tx.execute(words.format(table=table, column=column))
    if not words.startswith("INSERT"):  # generated columns stop a copied row even earlier
        assert isinstance(caught.value, asyncpg.InsufficientPrivilegeError)


@pytest.mark.parametrize("table", ["ledger_entries", "ledger_postings"])
@pytest.mark.parametrize("words", ["UPDATE {0} SET posting_id = posting_id", "DELETE FROM {0}", "TRUNCATE {0}"])
async def test_LED_03_what_is_booked_stays_for_the_schema_owner_too(
    database: Database, owner: asyncpg.Connection, table: str, words: str
) -> None:
    await _two_accounts(database)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="what is booked stays"):
        await owner.execute(words.format(table))


@pytest.mark.parametrize("words", ["DELETE FROM ledger_accounts", "UPDATE ledger_accounts SET name = 'equity'"])
async def test_LED_03_an_account_keeps_its_identity(database: Database, owner: asyncpg.Connection, words: str) -> None:
    await _two_accounts(database)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="what is booked stays"):
        await owner.execute(words)


async def test_LED_03_the_inner_function_gives_the_application_role_nothing(database: Database) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.transaction() as tx:
            await tx.fetch(_POST.replace("ledger_post", "ledger_post_once"), [new_uuid7()], ["k"], ["e"], [ASSET],
                [None], [AT], [accounts.COLD, accounts.EQUITY], [ASSET, ASSET], [1], [1], [2], [5])  # fmt: skip


async def test_a_search_path_of_the_caller_does_not_redirect_the_posting(database: Database) -> None:
    """SECURITY DEFINER functions look where their owner says: a temporary table of the same name changes nothing."""
    async with database.transaction() as tx:
        await tx.execute("CREATE TEMPORARY TABLE ledger_accounts (account_id bigint, name text, asset text)")
        await tx.execute("SET LOCAL search_path = pg_temp, public")
        assert await _raw(tx, [accounts.COLD, accounts.EQUITY], [ASSET, ASSET], (1, 2, 5)) == "posted"
        assert await tx.fetchval("SELECT count(*) FROM pg_temp.ledger_accounts") == 0
        assert await tx.fetchval("SELECT count(*) FROM public.ledger_accounts") == 2


def _names(results: list[Result]) -> list[tuple[type, str]]:
    return [(type(result), getattr(result, "account", "")) for result in results]


async def test_LED_22_another_merchants_account_is_refused(database: Database) -> None:
    a, b = merchant(), merchant()
    mine, theirs = accounts.available(a), accounts.available(b)
    async with database.transaction() as tx:
        await fund(tx, a, 100)
        await fund(tx, b, 100)
        results = await post(
            tx,
            [
                posting("p1", (mine, theirs, 10), merchant_id=a),
                posting("p2", (theirs, mine, 10), merchant_id=a),
                posting("p3", (theirs, accounts.COLD, 10), merchant_id=a),
                posting("p4", (mine, accounts.FEES_PAYIN, 10), merchant_id=None),
                posting("p5", (mine, accounts.FEES_PAYIN, 10), merchant_id=a),
            ],
        )
        assert _names(results) == [
            (ForeignAccount, theirs),
            (ForeignAccount, theirs),
            (ForeignAccount, theirs),
            (ForeignAccount, mine),
            (Posted, ""),
        ]
        assert await balance(tx, theirs, ASSET) == 100
    assert await broken(database) == set()


_NO_ACCOUNTS = [
        "", "custody", "custody:", "custody:deposits", "custody:deposits:", "custody:deposits:a b", "custody:colder",
        "custody:in_transit", "custody:in_transit:x", "merchant:available", "merchant::available", "fees:payins",
        f"merchant:{'0' * 32}:pending", f"merchant:{'0' * 32}:available:x", f"merchant:{'0' * 31}:available",
        f"merchant:{'A' * 32}:available", f"merchant:{'0' * 32}:available\n", "equity:x", "Equity", " equity",
        "custody:deposits:" + "x" * 121, f"platform:unattributed:{'0' * 33}",
]  # fmt: skip


async def test_a_name_outside_the_chart_is_refused_and_makes_no_account(database: Database) -> None:
    async with database.transaction() as tx:
        for number, name in enumerate(_NO_ACCOUNTS):
            (result,) = await post(tx, [posting(f"k{number}", (accounts.COLD, name, 5))])
            assert isinstance(result, UnknownAccount), name
            assert result.account == name
        assert await tx.fetchval("SELECT array_agg(name) FROM ledger_accounts") == [accounts.COLD]


_MALFORMED: list[tuple[list[tuple[object, object, object]], dict[str, object]]] = [
    ([(1, 2, 0)], {}),
    ([(1, 2, -5)], {}),
    ([(1, 2, None)], {}),
    ([(1, 2, "1.5")], {}),
    ([(1, 2, "NaN")], {}),
    ([(1, 2, "Infinity")], {}),
    ([(1, 2, 10**78)], {}),
    ([(1, 1, 5)], {}),
    ([(1, 3, 5)], {}),
    ([(0, 2, 5)], {}),
    ([(None, 2, 5)], {}),
    ([(1, 2, 5)], {"items": [2]}),
    ([(1, 2, 5)], {"items": [None]}),
    ([(1, 2, 5), (1, 2, 5)], {"items": [1, 2]}),
    ([], {}),
    ([(1, 2, 5)], {"account_names": [accounts.COLD, accounts.COLD]}),
    ([(1, 2, 5)], {"units": [5, 6]}),
    ([(1, 2, 5)], {"keys": [None]}),
    ([(1, 2, 5)], {"keys": ["k" * 201]}),
    ([(1, 2, 5)], {"keys": ["k", "l"]}),
    ([(1, 2, 5)], {"merchants": []}),
    ([(1, 2, 5)], {"account_assets": [ASSET]}),
    ([(1, 2, 5)], {"happened": [None]}),
]


async def test_a_malformed_batch_is_refused_as_a_whole(database: Database) -> None:
    for moves, changed in _MALFORMED:
        with pytest.raises(asyncpg.PostgresError):
            async with database.transaction() as tx:
                await _raw(tx, [accounts.COLD, accounts.EQUITY], [ASSET, ASSET], *moves, **changed)
                pytest.fail(f"{moves} {changed} went through")
    async with database.reader() as tx:
        assert await tx.fetchval("SELECT count(*) FROM ledger_entries") == 0


@pytest.mark.parametrize("bad", [{"units": 0}, {"units": -1}, {"units": 10**78}, {"debit": "b"}])
def test_a_move_that_moves_nothing_cannot_be_built(bad: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        Move(**({"debit": "a", "credit": "b", "units": 1} | bad))


async def test_a_refused_item_leaves_no_trace_and_fails_no_neighbour(database: Database) -> None:
    who = merchant()
    async with database.transaction() as tx:
        await fund(tx, who, 100)
        out = (accounts.available(who), accounts.FEES_PAYIN)
        good = [posting(f"good {n}", (*out, 40), merchant_id=who) for n in range(2)]
        bad = posting("bad", (*out, 20), (*out, 41), merchant_id=who)
        results = await post(tx, [good[0], bad, good[1]])
        assert [type(result) for result in results] == [Posted, InsufficientBalance, Posted]
        assert await balance(tx, accounts.available(who), ASSET) == 20
        assert await tx.fetchval("SELECT count(*) FROM ledger_postings WHERE key = 'bad'") == 0
        later = posting("bad", (*out, 20), merchant_id=who)
        assert isinstance((await post(tx, [later]))[0], Posted), "a refused key stays free"
    assert await broken(database) == set()


async def test_no_overdraft_hides_inside_a_batch(database: Database) -> None:
    """The sum of the batch is positive, but in its order the account would go below zero on the way."""
    who = merchant()
    name = accounts.available(who)
    spend = posting("spend", (name, accounts.FEES_PAYIN, 10), merchant_id=who)
    earn = posting("earn", (accounts.COLD, name, 50), merchant_id=who)
    async with database.transaction() as tx:
        assert [type(result) for result in await post(tx, [spend, earn])] == [InsufficientBalance, Posted]
        assert isinstance((await post(tx, [spend]))[0], Posted)


async def test_post_all_raises_the_first_refusal(database: Database) -> None:
    who = merchant()
    out = (accounts.available(who), accounts.FEES_PAYIN, 10)
    with pytest.raises(InsufficientBalance) as caught:
        async with database.transaction() as tx:
            await post_all(
                tx, [posting("ok", (accounts.COLD, accounts.EQUITY, 1)), posting("no", out, merchant_id=who)]
            )
    assert caught.value.account == out[0]
    async with database.reader() as tx:
        assert await tx.fetchval("SELECT count(*) FROM ledger_postings") == 0


async def test_an_empty_batch_is_nothing(database: Database) -> None:
    async with database.transaction() as tx:
        assert await post(tx, []) == []
        assert await post_all(tx, []) == []
