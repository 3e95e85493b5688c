"""Every business event: what it books, and that the books agree with the chart."""

import pytest
from tests.ledger.makers import ADDRESS, ASSET, AT, broken, deposit, fund, merchant, posting

from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts, chart
from bitlinkpay.ledger import chart_corrections as corrections
from bitlinkpay.ledger import chart_outgoing as outgoing
from bitlinkpay.ledger.model import ExistsDifferent, InsufficientBalance, LedgerEvent, Posted, Replayed
from bitlinkpay.ledger.service import balance, balances, debt, debts, post, post_all, recoverable


async def test_a_deposit_that_completes_its_order(database: Database) -> None:
    who, what = merchant(), deposit()
    seen = chart.deposit_seen(what, merchant_id=who, asset=ASSET, address=ADDRESS, units=1000, happened_at=AT)
    async with database.transaction() as tx:
        await post_all(tx, [seen])
        (row,) = await balances(tx, who)
        assert (row.asset, row.pending_units, row.available_units) == (ASSET, 1000, 0)
    credited = chart.deposit_credited(
        what, merchant_id=who, asset=ASSET, units=1000, fee_units=3, debt_units=0, happened_at=AT
    )
    async with database.transaction() as tx:
        await post_all(tx, [credited])
        (row,) = await balances(tx, who)
        assert (row.pending_units, row.available_units, row.debt_units) == (0, 997, 0)
        assert await balance(tx, accounts.FEES_PAYIN, ASSET) == 3
        assert await balance(tx, accounts.deposit_custody(ADDRESS), ASSET) == 1000
    assert await broken(database) == set()


@pytest.mark.parametrize("way", ["credited", "unassigned", "quarantined", "unattributed"])
async def test_money_that_is_final_at_sight_never_stands_as_pending(database: Database, way: str) -> None:
    who, what = merchant(), deposit()
    same = {"asset": ASSET, "units": 1000, "happened_at": AT}
    settled, account, units = {
        "credited": lambda: (
            chart.deposit_credited(what, merchant_id=who, fee_units=3, debt_units=0, **same),
            accounts.available(who),
            997,
        ),
        "unassigned": lambda: (
            chart.deposit_unassigned(what, merchant_id=who, **same),
            accounts.unassigned(who, what),
            1000,
        ),
        "quarantined": lambda: (
            chart.deposit_quarantined(what, merchant_id=who, **same),
            accounts.quarantined(who, what),
            1000,
        ),
        "unattributed": lambda: (chart.unattributed_final(what, **same), accounts.unattributed(what), 1000),
    }[way]()
    async with database.transaction() as tx:
        await post_all(tx, [chart.at_sight(settled, address=ADDRESS)])
        assert await balance(tx, account, ASSET) == units
        assert await balance(tx, accounts.deposit_custody(ADDRESS), ASSET) == 1000
        assert await tx.fetchval("SELECT count(*) FROM ledger_accounts WHERE kind LIKE '%:pending'") == 0
        # Whatever else would end this deposit meets the same key.
        (again,) = await post(tx, [settled])
        assert isinstance(again, ExistsDifferent)
        assert again.field == "debit"
    assert await broken(database) == set()


def test_only_the_end_of_a_deposit_can_come_at_sight() -> None:
    seen = chart.deposit_seen(
        deposit(), merchant_id=merchant(), asset=ASSET, address=ADDRESS, units=1000, happened_at=AT
    )
    with pytest.raises(AssertionError, match="settles no deposit"):
        chart.at_sight(seen, address=ADDRESS)


async def test_a_dropped_deposit_leaves_nothing(database: Database) -> None:
    who, what = merchant(), deposit()
    seen = chart.deposit_seen(what, merchant_id=who, asset=ASSET, address=ADDRESS, units=1000, happened_at=AT)
    async with database.transaction() as tx:
        await post_all(tx, [seen, chart.deposit_dropped(seen, happened_at=AT)])
        assert await balances(tx, who) == []
        assert await balance(tx, accounts.deposit_custody(ADDRESS), ASSET) == 0
    assert await broken(database) == set()


@pytest.mark.parametrize("way", ["unassigned", "quarantined", "released"])
async def test_odd_money_waits_and_is_accepted_with_its_fee(database: Database, way: str) -> None:
    who, what = merchant(), deposit()
    same = {"merchant_id": who, "asset": ASSET, "units": 1000, "happened_at": AT}
    async with database.transaction() as tx:
        await post_all(tx, [chart.deposit_seen(what, address=ADDRESS, **same)])
        if way == "unassigned":
            await post_all(tx, [chart.deposit_unassigned(what, **same)])
        else:
            await post_all(tx, [chart.deposit_quarantined(what, **same)])
        (row,) = await balances(tx, who)
        assert (row.unassigned_units, row.quarantined_units) == ((1000, 0) if way == "unassigned" else (0, 1000))
        accepted = chart.unassigned_accepted(what, fee_units=3, debt_units=0, **same)
        if way == "quarantined":
            assert isinstance((await post(tx, [accepted]))[0], InsufficientBalance)
            return
        if way == "released":
            await post_all(tx, [chart.deposit_released(what, **same)])
        await post_all(tx, [accepted])
        (row,) = await balances(tx, who)
        assert (row.available_units, row.unassigned_units) == (997, 0)
    assert await broken(database) == set()


async def test_money_of_one_deposit_is_never_taken_for_another(database: Database) -> None:
    who, first, second = merchant(), deposit(), deposit()
    same = {"merchant_id": who, "asset": ASSET, "units": 1000, "happened_at": AT}
    async with database.transaction() as tx:
        await post_all(tx, [chart.deposit_seen(what, address=ADDRESS, **same) for what in (first, second)])
        await post_all(tx, [chart.deposit_unassigned(first, **same)])
        wrong = chart.unassigned_accepted(second, fee_units=0, debt_units=0, **same)
        (result,) = await post(tx, [wrong])
        assert isinstance(result, InsufficientBalance)
        assert result.account == accounts.unassigned(who, second)


async def test_a_deep_reorganisation_takes_from_the_balance_and_the_rest_is_debt(database: Database) -> None:
    who, what = merchant(), deposit()
    same = {"merchant_id": who, "asset": ASSET, "units": 1000, "happened_at": AT}
    async with database.transaction() as tx:
        await post_all(
            tx,
            [
                chart.deposit_seen(what, address=ADDRESS, **same),
                chart.deposit_credited(what, fee_units=3, debt_units=0, **same),
            ],
        )
        funding = chart.hot_wallet_funded(new_uuid7(), asset=ASSET, wallet="w", units=5, happened_at=AT)
        payout = (accounts.available(who), accounts.hot_custody("w"), 5)
        await post_all(tx, [funding, posting("payout:x", payout, merchant_id=who)])
    async with database.transaction() as tx:
        taken = await recoverable(tx, who, ASSET, 1000 - 3)
        assert taken == 992
        gone = chart.deposit_reversed(what, address=ADDRESS, fee_units=3, taken_units=taken, **same)
        await post_all(tx, [gone])
        assert await debt(tx, who, [ASSET, "eth-ethereum"]) == {ASSET: 5, "eth-ethereum": 0}
        assert await balance(tx, accounts.available(who), ASSET) == 0
        assert await balance(tx, accounts.FEES_PAYIN, ASSET) == 0
    assert await broken(database) == set()


async def test_a_later_credit_repays_the_debt_first(database: Database) -> None:
    who, lost = merchant(), deposit()
    same = {"merchant_id": who, "asset": ASSET, "happened_at": AT}
    async with database.transaction() as tx:
        await fund(tx, who, 40)
        await post_all(
            tx,
            [
                chart.deposit_seen(lost, address="other", units=100, **same),
                chart.deposit_credited(lost, units=100, fee_units=0, debt_units=0, **same),
                chart.deposit_reversed(lost, address="other", units=100, fee_units=0, taken_units=70, **same),
            ],
        )
        assert await balance(tx, accounts.available(who), ASSET) == 70
    later = deposit()
    async with database.transaction() as tx:
        owed = (await debts(tx, [(who, ASSET), (merchant(), ASSET)]))[who, ASSET]
        assert owed == 30
        split = chart.split_credit(1000, fee_units=3, debt_units=owed)
        assert split == chart.Split(net_units=967, fee_units=3, debt_units=30)
        await post_all(
            tx,
            [
                chart.deposit_seen(later, address=ADDRESS, units=1000, **same),
                chart.deposit_credited(later, units=1000, fee_units=3, debt_units=30, **same),
            ],
        )
        assert await debt(tx, who, [ASSET]) == {ASSET: 0}
        assert await balance(tx, accounts.available(who), ASSET) == 70 + 967
    assert await broken(database) == set()


@pytest.mark.parametrize("aside", ["unassigned", "quarantined"])
async def test_money_put_aside_vanishes_by_a_deep_reorganisation(database: Database, aside: str) -> None:
    who, what = merchant(), deposit()
    same = {"merchant_id": who, "asset": ASSET, "units": 1000, "happened_at": AT}
    put = chart.deposit_unassigned if aside == "unassigned" else chart.deposit_quarantined
    back = chart.unassigned_reversed if aside == "unassigned" else chart.quarantined_reversed
    async with database.transaction() as tx:
        await post_all(tx, [chart.deposit_seen(what, address=ADDRESS, **same), put(what, **same)])
        await post_all(tx, [back(what, address=ADDRESS, **same)])
        assert await balances(tx, who) == []
        assert await balance(tx, accounts.deposit_custody(ADDRESS), ASSET) == 0
    assert await broken(database) == set()


async def test_unattributed_money_finds_its_owner(database: Database) -> None:
    who, what = merchant(), deposit()
    same = {"asset": "ton-ton", "units": 1000, "happened_at": AT}
    async with database.transaction() as tx:
        await post_all(
            tx,
            [
                chart.unattributed_seen(what, address="0:" + "ab" * 32, **same),
                chart.unattributed_final(what, **same),
                chart.unattributed_claimed(what, merchant_id=who, **same),
                chart.unassigned_accepted(what, merchant_id=who, fee_units=3, debt_units=0, **same),
            ],
        )
        (row,) = await balances(tx, who)
        assert row.available_units == 997
    assert await broken(database) == set()


@pytest.mark.parametrize("end", ["dropped", "reversed", "written off"])
async def test_unattributed_money_without_an_owner(database: Database, end: str) -> None:
    what = deposit()
    same = {"asset": "ton-ton", "units": 7, "happened_at": AT}
    custody = accounts.deposit_custody("0:aa")
    seen = chart.unattributed_seen(what, address="0:aa", **same)
    async with database.transaction() as tx:
        await post_all(tx, [seen])
        if end == "dropped":
            await post_all(tx, [chart.deposit_dropped(seen, happened_at=AT)])
            assert await balance(tx, custody, "ton-ton") == 0
            return
        await post_all(tx, [chart.unattributed_final(what, **same)])
        if end == "reversed":
            await post_all(tx, [chart.unattributed_reversed(what, address="0:aa", **same)])
            assert await balance(tx, custody, "ton-ton") == 0
            return
        await post_all(tx, [chart.dust_written_off(what, **same)])
        assert await balance(tx, custody, "ton-ton") == 7, "dust stays on chain"
        assert await balance(tx, accounts.EQUITY, "ton-ton") == 7
        claimed = chart.unattributed_claimed(what, merchant_id=merchant(), **same)
        assert isinstance((await post(tx, [claimed]))[0], InsufficientBalance)


async def test_operators_move_their_own_money(database: Database) -> None:
    refill = new_uuid7()
    same = {"asset": ASSET, "happened_at": AT}
    sent = chart.refill_sent(refill, units=400, **same)
    came, wallet = deposit(), {"address": "tron-1", "custody": accounts.hot_custody("tron-1")}
    arrived = chart.refill_arrived(refill, deposit_id=came, units=400, **wallet, **same)
    funding = chart.hot_wallet_funded(new_uuid7(), wallet="tron-1", units=1000, **same)
    async with database.transaction() as tx:
        assert isinstance((await post(tx, [sent]))[0], InsufficientBalance), "cold storage is empty in the books"
        await post_all(tx, [posting("sweep:x", (accounts.COLD, accounts.EQUITY, 500))])
        await post_all(tx, [funding, sent])
        assert await balance(tx, accounts.in_transit(refill), ASSET) == 400
        seen = chart.unattributed_seen(came, address="tron-1", units=400, **same)
        await post_all(tx, [seen, chart.unattributed_final(came, units=400, **same), arrived])
        assert await balance(tx, accounts.in_transit(refill), ASSET) == 0
        assert await balance(tx, accounts.unattributed(came), ASSET) == 0
        assert await balance(tx, accounts.deposit_custody("tron-1"), ASSET) == 0
        assert await balance(tx, accounts.hot_custody("tron-1"), ASSET) == 1400
        assert [type(result) for result in await post(tx, [funding, arrived])] == [Replayed, Replayed]
    assert await broken(database) == set()


async def test_a_deposit_is_settled_once_whatever_the_code_above_believes(database: Database) -> None:
    who, what = merchant(), deposit()
    same = {"merchant_id": who, "asset": ASSET, "units": 1000, "happened_at": AT}
    seen = chart.deposit_seen(what, address=ADDRESS, **same)
    ends = [
        chart.deposit_credited(what, fee_units=3, debt_units=0, **same),
        chart.deposit_unassigned(what, **same),
        chart.deposit_quarantined(what, **same),
        chart.deposit_dropped(seen, happened_at=AT),
    ]
    async with database.transaction() as tx:
        results = await post(tx, [seen, *ends, ends[0]])
    assert [type(result) for result in results[:2]] == [Posted, Posted]
    assert [type(result) for result in results[2:5]] == [ExistsDifferent] * 3
    assert {result.field for result in results[2:5]} == {"event"}
    assert isinstance(results[5], Replayed)


def test_every_event_has_a_chart_function() -> None:
    """A name in the closed list that no chart function uses would be dead; one used twice would be two events."""
    who, what = merchant(), deposit()
    common = {"asset": ASSET, "units": 9, "happened_at": AT}
    mine = {"merchant_id": who, **common}
    seen = chart.deposit_seen(what, address=ADDRESS, **mine)
    made = [
        seen,
        chart.deposit_dropped(seen, happened_at=AT),
        chart.deposit_credited(what, fee_units=1, debt_units=1, **mine),
        chart.deposit_unassigned(what, **mine),
        chart.deposit_quarantined(what, **mine),
        chart.deposit_released(what, **mine),
        chart.deposit_reversed(what, address=ADDRESS, fee_units=1, taken_units=3, **mine),
        chart.unassigned_accepted(what, fee_units=1, debt_units=1, **mine),
        chart.unattributed_seen(what, address=ADDRESS, **common),
        chart.unattributed_final(what, **common),
        chart.unattributed_claimed(what, **mine),
        chart.dust_written_off(what, **common),
        chart.hot_wallet_funded(what, wallet="w", **common),
        chart.refill_sent(what, **common),
        chart.refill_arrived(what, deposit_id=what, address="w", custody="custody:hot:w", **common),
        outgoing.payout_reserved(what, **mine),
        outgoing.payout_released(what, **mine),
        outgoing.payout_completed(
            what, custody="custody:hot:w", fee_units=1, network_fee_units=1, fee_account="fees:payout", **mine
        ),
        outgoing.refund_reserved(what, deposit_id=what, **mine),
        outgoing.refund_released(what, deposit_id=what, **mine),
        outgoing.gas_spent(what, account="custody:hot:w", **common),
        outgoing.rent_returned(what, account="custody:hot:w", **common),
        outgoing.own_transfer(what, source="custody:deposits:a", target="custody:hot:w", **common),
        outgoing.unattributed_funded(what, address=ADDRESS, custody="custody:hot:w", **common),
        corrections.surplus_found(what, account="custody:hot:w", **common),
        corrections.shortage_written_off(what, parts=[("custody:hot:w", 9)], asset=ASSET, happened_at=AT),
        corrections.upkeep_spent(what, parts=[("custody:hot:w", 9)], asset=ASSET, happened_at=AT),
    ]
    assert sorted(found.event for found in made) == sorted(LedgerEvent)
    for found in made:
        assert found.asset == ASSET
        assert found.key.count(what.hex) == 1
        if found.merchant_id is None:
            assert not any("merchant:" in name for move in found.moves for name in (move.debit, move.credit))
