"""What the books say of a place at a final height: only what stands in later blocks is taken back."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from tests.flows.harness import REGISTRY

from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.ledger import accounts, chart_corrections
from bitlinkpay.ledger.service import post_all
from bitlinkpay.reconciliation import store
from bitlinkpay.reconciliation.model import COLD, Place

USDT, TRX = REGISTRY.assets["usdt-tron"], REGISTRY.assets["trx-tron"]
AT = datetime(2026, 3, 1, tzinfo=UTC)
HOT, PAID = Place("THot", ("THot",)), Place("TPaid", ("TPaid",))


@dataclass
class Desk:
    """Rows of payments and deposits, as the flows leave them."""

    tx: Tx
    numbers: list[int] = field(default_factory=list)

    async def hold(self, account: str, units: int, asset: str = "usdt-tron") -> None:
        posting = chart_corrections.surplus_found(
            new_uuid7(), asset=asset, account=account, units=units, happened_at=AT
        )
        await post_all(self.tx, [posting])

    async def deposit(self, target: str, units: int, height: int, state: str = "unassigned") -> None:
        await self.tx.execute(
            """
            insert into deposits (deposit_id, network, height, block_hash, txid, position, asset, source, target, tag,
                units, arrival, state, first_block_at, seen_at, updated_at)
            values ($1, 'tron', $2, 'h', $3, 'log:0', 'usdt-tron', '', $4, '', $5, 'direct', $6, $7, $7, $7)
            """,
            uuid4(), height, uuid4().hex, target, units, state, AT,
        )  # fmt: skip

    async def send(
        self, units: int, height: int | None, *, state: str = "final", purpose: str = "payout", fee: int = 0,
        source: str = "THot", target: str = "TStranger",
    ) -> str:  # fmt: skip
        """Store a transaction of the hot wallet with one payment; return its txid."""
        transaction_id, txid = uuid4(), uuid4().hex
        self.numbers.append(len(self.numbers))
        await self.tx.execute(
            """insert into lanes (network, payer, role, key_index, next_number)
               values ('tron', 'THot', 'hot', 0, 0) on conflict do nothing"""
        )
        await self.tx.execute(
            """
            insert into transactions (transaction_id, network, payer, number, purpose, state, fee_max_units, fee_units,
                txid, height, expires_at, allotted_at, updated_at)
            values ($1, 'tron', 'THot', $2, $3, $4, 90, $5, $6, $7, $8, $8, $8)
            """,
            transaction_id, self.numbers[-1], purpose, state, fee, txid, height, AT,
        )  # fmt: skip
        await self.tx.execute(
            """
            insert into transaction_attempts (transaction_id, number, network, plan, txid, raw, planned_at, signed_at)
            values ($1, 1, 'tron', '', $2, 'raw', $3, $3)
            """,
            transaction_id, txid, AT,
        )  # fmt: skip
        await self._payment(transaction_id, units, purpose, source, target, ended=state in {"final", "reverted"})
        return txid

    async def _payment(
        self, transaction_id: UUID, units: int, purpose: str, source: str, target: str, *, ended: bool
    ) -> None:
        await self.tx.execute(
            """
            insert into sendings (sending_id, owner, owner_id, network, purpose, payer, payer_role, payer_index, asset,
                source, target, units, fee_max_units, state, transaction_id, queued_at, not_before, updated_at)
            values ($1, 'payout', $1, 'tron', $2, 'THot', 'hot', 0, 'usdt-tron', $3, $4, $5, 90, $6, $7, $8, $8, $8)
            """,
            uuid4(), purpose, source, target, units, "delivered" if ended else "sending", transaction_id, AT,
        )  # fmt: skip


async def units(tx: Tx, *places: Place, asset=USDT, height: int = 100) -> list[int]:
    books = await store.read_books(tx, asset, places, height)
    return [books[place.name].units for place in places]


async def test_a_place_is_all_of_its_accounts_and_nobody_elses(database: Database) -> None:
    async with database.transaction() as tx:
        desk = Desk(tx)
        await desk.hold(accounts.hot_custody("THot"), 5)
        await desk.hold(accounts.deposit_custody("THot"), 7)
        await desk.hold(accounts.COLD, 11)
        await desk.hold(accounts.hot_custody("THot"), 13, "trx-tron")
        assert await units(tx, HOT, PAID, Place(COLD, ("TCold",))) == [12, 0, 11]
        assert await units(tx, HOT, asset=TRX) == [13]


@pytest.mark.parametrize(("height", "state", "left"), [(100, "seen", 50), (101, "seen", 30), (101, "dropped", 50)])
async def test_what_arrived_in_later_blocks_does_not_count_yet(
    database: Database, height: int, state: str, left: int
) -> None:
    async with database.transaction() as tx:
        desk = Desk(tx)
        await desk.hold(accounts.deposit_custody("TPaid"), 50)
        await desk.deposit("TPaid", 20, height, state)
        assert await units(tx, PAID) == [left]


@pytest.mark.parametrize(("height", "tokens", "coins"), [(100, 50, 9), (101, 70, 12)])
async def test_what_left_in_later_blocks_and_its_fee_still_count(
    database: Database, height: int, tokens: int, coins: int
) -> None:
    async with database.transaction() as tx:
        desk = Desk(tx)
        await desk.hold(accounts.hot_custody("THot"), 50)
        await desk.hold(accounts.hot_custody("THot"), 9, "trx-tron")
        await desk.send(20, height, fee=3)
        assert await units(tx, HOT) == [tokens]
        assert await units(tx, HOT, asset=TRX) == [coins]


@pytest.mark.parametrize(("purpose", "left"), [("sweep", [30, 20]), ("payout", [50, 20])])
async def test_what_came_from_another_place_of_ours_is_taken_back_unless_it_is_a_deposit(
    database: Database, purpose: str, left: list[int]
) -> None:
    """A payout to an order of ours is that order's deposit, and counts as such."""
    async with database.transaction() as tx:
        desk = Desk(tx)
        await desk.hold(accounts.hot_custody("THot"), 50)
        await desk.send(20, 101, purpose=purpose, source="TPaid", target="THot")
        assert await units(tx, HOT, PAID) == left


@pytest.mark.parametrize("state", ["signed", "broadcast", "uncertain", "mined"])
async def test_what_runs_is_told_with_what_it_moves_and_may_cost(database: Database, state: str) -> None:
    async with database.transaction() as tx:
        desk = Desk(tx)
        txid = await desk.send(20, None, state=state, purpose="cold", target="TPaid")
        tokens = await store.read_books(tx, USDT, [HOT, PAID], 100)
        coins = await store.read_books(tx, TRX, [HOT, PAID], 100)
    ((out,), (into,)) = tokens["THot"].running, tokens["TPaid"].running
    assert (out.txids, out.out_units, out.in_units, out.fee_max_units) == ((txid,), 20, 0, 0)
    assert (into.out_units, into.in_units, into.fee_max_units) == (0, 20, 0)
    (fee,) = coins["THot"].running
    assert (fee.out_units, fee.in_units, fee.fee_max_units) == (0, 0, 90)
    assert coins["TPaid"].running == ()


@pytest.mark.parametrize("state", ["allotted", "final", "reverted", "released", "dead"])
async def test_what_was_never_signed_or_has_ended_does_not_run(database: Database, state: str) -> None:
    async with database.transaction() as tx:
        await Desk(tx).send(20, 90, state=state)
        assert (await store.read_books(tx, USDT, [HOT], 100))["THot"].running == ()


async def test_the_newest_agreement_is_remembered(database: Database) -> None:
    async with database.transaction() as tx:
        assert (await store.read_books(tx, USDT, [HOT], 100))["THot"].agreed_height is None
        for height in (90, 95, 93):
            await store.note_agreement(tx, USDT.id, ["THot"], height, AT)
        assert (await store.read_books(tx, USDT, [HOT], 100))["THot"].agreed_height == 95


async def test_pages_go_round_and_name_each_address_once(database: Database) -> None:
    async with database.transaction() as tx:
        desk = Desk(tx)
        for account in ("custody:hot:T1", "custody:deposits:T1", "custody:cold", "custody:deposits:T2", "equity"):
            if account != "equity":
                await desk.hold(account, 1)
        seen: list[str] = []
        after, pages = 0, 0
        while pages == 0 or after:
            page = await store.read_page(tx, USDT.id, after, 3)
            seen += page.names
            after, pages = page.last, pages + 1
        assert sorted(seen) == ["T1", "T2"]
        assert pages == 2
        await store.turn_page(tx, USDT.id, 7)
        assert await store.find_page_start(tx, USDT.id) == 7
        assert await store.find_page_start(tx, TRX.id) == 0


async def test_transfers_that_the_books_know_are_listed_the_newest_first(database: Database) -> None:
    async with database.transaction() as tx:
        desk = Desk(tx)
        await desk.deposit("THot", 5, 91)
        await desk.deposit("THot", 6, 92, "reversed")
        await desk.send(20, 95)
        await desk.send(30, 99)
        await desk.send(40, 101)
        found = await store.list_booked(tx, USDT, ["THot"], first=91, last=100, limit=10)
        assert [(one.height, one.units) for one in found] == [(99, -30), (95, -20), (91, 5)]
        assert len(await store.list_booked(tx, USDT, ["THot"], first=91, last=100, limit=2)) == 2
