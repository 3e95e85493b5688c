"""Each key happens once: replays, changed replays, pairs of events that exclude each other, races for a key."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.ledger.makers import ADDRESS, ASSET, AT, broken, deposit, fund, merchant, posting

from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.ledger import accounts, chart
from bitlinkpay.ledger.model import (
    ExistsDifferent,
    InsufficientBalance,
    Move,
    Posted,
    Posting,
    Replayed,
    Result,
)
from bitlinkpay.ledger.service import balance, post, post_all

_FIRST = posting("key", (accounts.COLD, accounts.EQUITY, 5), (accounts.COLD, accounts.EQUITY, 6))
_OTHERS = [
    ("event", replace(_FIRST, event="other")),
    ("asset", replace(_FIRST, asset="eth-ethereum")),
    ("merchant_id", replace(_FIRST, merchant_id=new_uuid7())),
    ("debit", replace(_FIRST, moves=(Move("custody:staked", accounts.EQUITY, 5), _FIRST.moves[1]))),
    ("debit", replace(_FIRST, moves=_FIRST.moves[:1])),
    ("debit", replace(_FIRST, moves=(*_FIRST.moves, _FIRST.moves[0]))),
    ("credit", replace(_FIRST, moves=(_FIRST.moves[0], Move(accounts.COLD, "fees:network", 6)))),
    ("units", replace(_FIRST, moves=(_FIRST.moves[1], _FIRST.moves[0]))),
    ("units", replace(_FIRST, moves=(_FIRST.moves[0], Move(accounts.COLD, accounts.EQUITY, 7)))),
]


async def test_a_replay_returns_the_first_result_and_moves_nothing(database: Database) -> None:
    async with database.transaction() as tx:
        (first,) = await post(tx, [_FIRST])
    assert isinstance(first, Posted)
    async with database.transaction() as tx:
        (again,) = await post(tx, [replace(_FIRST, happened_at=AT + timedelta(days=1))])
        assert again == Replayed(first.posting_id, first.recorded_at)
        assert await balance(tx, accounts.COLD, ASSET) == 11


@pytest.mark.parametrize(("field", "other"), _OTHERS)
@pytest.mark.parametrize("same_batch", [True, False])
async def test_a_replay_with_other_content_is_refused_and_says_what_differs(
    database: Database, field: str, other: Posting, *, same_batch: bool
) -> None:
    results: list[Result] = []
    if same_batch:
        async with database.transaction() as tx:
            results = await post(tx, [_FIRST, other, _FIRST])
    else:
        for found in (_FIRST, other, _FIRST):
            async with database.transaction() as tx:
                results += await post(tx, [found])
    first, refused, again = results
    assert isinstance(first, Posted)
    assert isinstance(refused, ExistsDifferent)
    assert refused.field == field
    assert again == Replayed(first.posting_id, first.recorded_at)
    async with database.reader() as tx:
        assert await balance(tx, accounts.COLD, ASSET) == 11
    assert await broken(database) == set()


async def test_a_duplicate_of_a_refused_item_is_decided_anew_in_its_turn(database: Database) -> None:
    who = merchant()
    name = accounts.available(who)
    spend = posting("spend", (name, accounts.FEES_PAYIN, 10), merchant_id=who)
    earn = posting("earn", (accounts.COLD, name, 10), merchant_id=who)
    async with database.transaction() as tx:
        results = await post(tx, [spend, earn, spend, spend])
        assert [type(result) for result in results] == [InsufficientBalance, Posted, Posted, Replayed]
        assert await balance(tx, name, ASSET) == 0


async def test_LED_09_a_reserve_is_posted_once_and_voided_or_settled_once(database: Database) -> None:
    """The pattern of later payouts: settling and voiding share a key, and the reserve is kept per payout."""
    who, payout, other = merchant(), new_uuid7(), new_uuid7()
    free = accounts.available(who)
    held = f"merchant:{who.hex}:reserved:{payout.hex}"
    theirs = f"merchant:{who.hex}:reserved:{other.hex}"
    reserve = posting("payout:1:reserved", (free, held, 60), merchant_id=who)
    settle = posting("payout:1:ended", (held, accounts.hot_custody("w"), 60), merchant_id=who)
    void = posting("payout:1:ended", (held, free, 60), merchant_id=who)
    forged = posting("payout:1:ended again", (held, free, 60), merchant_id=who)
    async with database.transaction() as tx:
        await fund(tx, who, 120)
        await post_all(tx, [posting("funding", (accounts.hot_custody("w"), accounts.EQUITY, 1000))])
        await post_all(tx, [posting("payout:2:reserved", (free, theirs, 60), merchant_id=who)])
        results = await post(tx, [reserve, reserve, settle, void, settle, forged])
        assert [type(result) for result in results] == [
            Posted,
            Replayed,
            Posted,
            ExistsDifferent,
            Replayed,
            InsufficientBalance,  # another key does not help: what is reserved now belongs to payout 2
        ]
        assert await balance(tx, theirs, ASSET) == 60
        assert await balance(tx, free, ASSET) == 0
    assert await broken(database) == set()


async def test_LED_14_a_reversal_happens_once(database: Database) -> None:
    who = merchant()
    same = {"merchant_id": who, "asset": ASSET, "address": ADDRESS, "units": 100, "happened_at": AT}
    async with database.transaction() as tx:
        await fund(tx, who, 500)
        what = await fund(tx, who, 100)
        reversal = chart.deposit_reversed(what, fee_units=0, taken_units=100, **same)
        other = chart.deposit_reversed(what, fee_units=0, taken_units=99, **same)
        aside = chart.unassigned_reversed(what, **same)
        results = await post(tx, [reversal, reversal, other, aside])
        assert [type(result) for result in results] == [Posted, Replayed, ExistsDifferent, ExistsDifferent]
        assert await balance(tx, accounts.available(who), ASSET) == 500
    assert await broken(database) == set()


async def test_LED_14_what_undoes_a_sighting_cannot_be_undone_or_repeated(database: Database) -> None:
    who, what = merchant(), deposit()
    seen = chart.deposit_seen(what, merchant_id=who, asset=ASSET, address=ADDRESS, units=100, happened_at=AT)
    dropped = chart.deposit_dropped(seen, happened_at=AT)
    with pytest.raises(AssertionError):
        chart.deposit_dropped(dropped, happened_at=AT)
    async with database.transaction() as tx:
        results = await post(tx, [seen, dropped, seen, dropped])
    assert [type(result) for result in results] == [Posted, Posted, Replayed, Replayed]
    async with database.reader() as tx:
        assert await balance(tx, accounts.pending(who, what), ASSET) == 0


async def test_two_connections_race_for_one_key_with_the_same_content(database: Database) -> None:
    async def one(tx: Tx) -> Result:
        return (await post(tx, [_FIRST]))[0]

    results = await asyncio.gather(*(database.unit(one) for _ in range(12)))
    assert sorted(type(result).__name__ for result in results) == ["Posted"] + ["Replayed"] * 11
    assert len({getattr(result, "posting_id", None) for result in results}) == 1
    async with database.reader() as tx:
        assert await balance(tx, accounts.COLD, ASSET) == 11


async def test_two_connections_race_for_one_key_over_different_accounts(database: Database) -> None:
    """No account lock is shared here, so the second one meets the first at the unique index and decides again."""
    other = posting("key", ("custody:staked", "exchange:long", 5))
    neighbour = posting("neighbour", ("custody:rent", "exchange:long", 7))
    ready = asyncio.Event()

    async def slow() -> None:
        async with database.transaction() as tx:
            assert isinstance((await post(tx, [_FIRST]))[0], Posted)
            ready.set()
            await asyncio.sleep(0.3)

    async def late() -> list[Result]:
        await ready.wait()
        async with database.transaction() as tx:
            return await post(tx, [other, neighbour])

    _, (refused, posted) = await asyncio.gather(slow(), late())
    assert isinstance(refused, ExistsDifferent)
    assert refused.field == "debit"
    assert isinstance(posted, Posted)
    assert await broken(database) == set()


async def test_the_racer_wins_when_the_first_one_gives_up(database: Database) -> None:
    ready = asyncio.Event()

    async def gives_up() -> None:
        async with database.transaction() as tx:
            await post(tx, [_FIRST])
            ready.set()
            await asyncio.sleep(0.2)
            raise LookupError

    async def late() -> list[Result]:
        await ready.wait()
        async with database.transaction() as tx:
            return await post(tx, [_FIRST])

    _, results = await asyncio.gather(gives_up(), late(), return_exceptions=True)
    assert isinstance(results, list)
    assert isinstance(results[0], Posted)
    assert await broken(database) == set()
