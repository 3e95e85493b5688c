"""Settlements by hand: from the four checks to the callback."""

import asyncio
from dataclasses import replace

import pytest
from tests.flows.conftest import Start
from tests.flows.paying import Cashier
from tests.flows.settling import HOME, USDT, Office, units
from tests.support.clock import ManualClock

from bitlinkpay.authorizations.model import AnswerSpent, UnknownDevice, WrongProof
from bitlinkpay.core.errors import Problem
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.merchants.model import MerchantState
from bitlinkpay.payouts.model import AddressRefused, AmountRefused, BalanceTooLow, PayoutTooLate
from bitlinkpay.settlements import store
from bitlinkpay.settlements.model import (
    InDebt,
    MerchantInactive,
    NothingToSettle,
    Settlement,
    SettlementExistsDifferent,
    SettlementNotFound,
)
from bitlinkpay.settlements.service import LARGEST_PAGE
from bitlinkpay.signer.keyring import KeyRing


@pytest.fixture
async def office(start: Start, ring: KeyRing) -> Office:
    return await Office.open(Cashier(await start(), ring, ManualClock()))


async def test_a_settlement_goes_home_once_and_the_books_follow_the_chain(office: Office) -> None:
    await office.earn("100")
    await office.fund()
    await office.charge(fee_ppm=1000, fee_flat_units=500_000)
    before = await office.available()
    quote = await office.settlements.quote(office.ask("20"))
    assert (await office.available(), await office.listed()) == (before, [])

    settlement = await office.settle("20")

    payout = await office.payout(settlement)
    assert (payout.kind, payout.state, payout.units) == ("settlement", "approved", units("20"))
    assert payout.source_id == settlement.settlement_id.hex
    assert (payout.charge.fee_units, payout.charge.network_fee_units) == (520_000, quote.network_fee_units)
    assert quote.charged_units == payout.charge.units
    balance = await office.world.balance()
    assert (balance.reserved_units, balance.available_units) == (payout.reserved_units, before - payout.reserved_units)
    await office.finish()
    assert (await office.payout(settlement)).state == "completed"
    assert await office.cashier.received(payout.target, USDT) == units("20")
    assert await office.world.account("fees:settlement", USDT) == 520_000
    assert await office.world.account("fees:payout", USDT) == 0
    assert office.callbacks(settlement) == [4]
    (listed,) = await office.listed()
    assert listed.outcome is not None
    assert (listed.outcome.state, listed.outcome.txid) == ("completed", (await office.payout(settlement)).txid)


async def test_everything_leaves_nothing_but_what_rounding_down_leaves(office: Office) -> None:
    await office.earn("100")
    await office.fund()
    await office.charge(fee_ppm=1234, fee_flat_units=7)
    quote = await office.settlements.quote(office.ask(None))
    settlement = await office.settle(None)
    payout = await office.payout(settlement)
    assert (payout.units, payout.charge.units) == (quote.units, quote.charged_units)
    assert await office.available() <= 1
    await office.finish()
    assert await office.cashier.received(payout.target, USDT) == payout.units


async def test_the_same_request_again_is_the_same_settlement(office: Office) -> None:
    await office.earn("100")
    await office.fund()
    settlement_id = new_uuid7()
    for amount in ("20", None):
        first = await office.settle(amount, settlement_id=settlement_id)
        again = await office.settle(amount, settlement_id=settlement_id)
        assert again == first
        with pytest.raises(SettlementExistsDifferent):
            await office.settle("21", settlement_id=settlement_id)
        settlement_id = new_uuid7()
    assert await office.payouts_count() == 2


async def test_many_clicks_are_one_settlement(office: Office) -> None:
    await office.earn("100")
    await office.fund()
    ask, shown = office.ask("20"), office.shown()
    done = await asyncio.gather(*(office.settlements.request(ask, shown) for _ in range(20)))
    assert {one.settlement_id for one in done} == {ask.settlement_id}
    assert len({one.payout_id for one in done}) == 1
    assert await office.payouts_count() == 1


async def test_WEB_17_one_code_moves_money_once_however_many_try(office: Office) -> None:
    """Different settlements at the same moment, all with the same code: one goes through, the others reserve nothing."""
    await office.earn("100")
    await office.fund()
    shown = office.shown()
    asked = [office.settlements.request(office.ask("5"), shown) for _ in range(10)]
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(one) for one in done} == {Settlement, AnswerSpent}
    assert await office.payouts_count() == 1


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"answer": "000000"}, WrongProof),
        ({"password": "something else 1"}, WrongProof),
        ({"device": "stolen"}, UnknownDevice),
    ],
)
async def test_who_fails_a_check_moves_nothing(office: Office, changed: dict, refusal: type[Problem]) -> None:
    await office.earn("100")
    await office.fund()
    before = await office.world.balance()
    with pytest.raises(refusal):
        await office.settlements.request(office.ask("20"), office.shown(**changed))
    assert await office.world.balance() == before
    assert await office.listed() == []


async def test_what_is_wrong_with_a_request_is_said_before_a_code_is_spent(office: Office) -> None:
    await office.earn("100")
    await office.fund()
    shown = office.shown()
    for ask, refusal in (
        (office.ask("20", target="nowhere"), AddressRefused),
        (office.ask("20.1234567"), AmountRefused),
        (office.ask("20", tag="7"), Problem),
        (office.ask("20", target=office.cashier.hot("tron").address), AddressRefused),
    ):
        with pytest.raises(refusal):
            await office.settlements.request(ask, shown if refusal is not AddressRefused else office.shown())
    await office.settlements.request(office.ask("20"), office.shown())


async def test_a_balance_that_is_too_small_is_refused_and_the_id_stays_free(office: Office) -> None:
    await office.fund()
    with pytest.raises(NothingToSettle):
        await office.settle(None)
    await office.earn("10")
    settlement_id = new_uuid7()
    with pytest.raises(BalanceTooLow):
        await office.settle("5000", settlement_id=settlement_id)
    await office.settle("5", settlement_id=settlement_id)


async def test_a_person_looks_at_what_is_above_the_threshold(office: Office) -> None:
    await office.earn("100")
    await office.fund()
    await office.charge(review_above_units=units("10"))
    before = await office.available()
    small, large, other = await office.settle("10"), await office.settle("10.000001"), await office.settle("11")
    assert (await office.payout(small)).state == "approved"
    async with office.world.database.reader() as tx:
        waiting = await store.list_in_review(tx, LARGEST_PAGE)
    assert [one.settlement.settlement_id for one in waiting] == [large.settlement_id, other.settlement_id]
    unit = office.world.database.unit
    done = await unit(lambda tx: office.settlements.approve(tx, large.settlement_id, by="alice"))
    assert done.outcome is not None
    assert done.outcome.state == "approved"
    done = await unit(lambda tx: office.settlements.reject(tx, other.settlement_id, reason="no", by="alice"))
    assert done.outcome is not None
    assert (done.outcome.state, done.outcome.reason) == ("rejected", "no")
    await office.finish()
    assert office.callbacks(other) == [8]
    assert office.callbacks(large) == [4]
    paid = sum([(await office.payout(one)).reserved_units for one in (small, large)])
    assert await office.available() == before - paid


async def test_SET_08_what_was_set_aside_is_released_once(office: Office) -> None:
    await office.earn("100")
    await office.fund()
    await office.charge(review_above_units=units("10"))
    before, settlement = await office.available(), await office.settle("20")
    unit, settlement_id = office.world.database.unit, settlement.settlement_id

    async def release(number: int):
        if number % 2:
            return await unit(lambda tx: office.settlements.reject(tx, settlement_id, reason="no", by="alice"))
        merchant_id = office.world.merchant.merchant_id
        return await unit(lambda tx: office.settlements.cancel(tx, merchant_id, settlement_id))

    done = await asyncio.gather(*(release(number) for number in range(8)), return_exceptions=True)
    assert [type(one) for one in done].count(PayoutTooLate) == 7
    assert await office.available() == before
    await office.world.check()


async def test_a_settlement_is_called_back_until_it_is_signed(office: Office) -> None:
    await office.earn("100")
    await office.fund()
    before, settlement = await office.available(), await office.settle("20")
    merchant_id = office.world.merchant.merchant_id
    await office.world.database.unit(lambda tx: office.settlements.cancel(tx, merchant_id, settlement.settlement_id))
    assert await office.available() == before
    signed = await office.settle("20")
    await office.cashier.run("tron")
    with pytest.raises(PayoutTooLate):
        await office.world.database.unit(lambda tx: office.settlements.cancel(tx, merchant_id, signed.settlement_id))
    await office.finish()


async def test_another_merchant_sees_and_moves_nothing(office: Office) -> None:
    await office.earn("100")
    await office.fund()
    settlement = await office.settle("20")
    other = await office.world.another()
    for step in (office.settlements.get, office.settlements.cancel):
        with pytest.raises(SettlementNotFound):
            await office.world.database.unit(
                lambda tx, step=step: step(tx, other.merchant_id, settlement.settlement_id)
            )
    async with office.world.database.reader() as tx:
        assert await office.settlements.list_page(tx, other.merchant_id) == []
    foreign = office.ask("20", settlement_id=settlement.settlement_id)
    with pytest.raises(SettlementExistsDifferent):
        await office.settlements.request(replace(foreign, merchant=other), office.shown())


async def test_a_suspended_merchant_settles_nothing(office: Office) -> None:
    suspended = replace(office.world.merchant, state=MerchantState.SUSPENDED)
    inactive = replace(office.ask("20"), merchant=suspended)
    for step in (office.settlements.quote(inactive), office.settlements.request(inactive, office.shown())):
        with pytest.raises(MerchantInactive):
            await step


async def test_SET_03_nothing_goes_home_while_something_is_owed(office: Office) -> None:
    """A reorganisation deeper than finality takes a credit that was set aside already: debt, which later credits repay."""
    world = office.world
    await office.fund()
    await office.charge(review_above_units=units("1"))
    await office.earn("100")
    settlement = await office.settle("90")
    reserved = (await office.payout(settlement)).reserved_units
    await world.reorg("tron", 5)
    await world.settle()
    await world.database.unit(
        lambda tx: office.settlements.reject(tx, settlement.settlement_id, reason="no", by="alice")
    )
    balance = await world.balance()
    assert (balance.available_units, balance.debt_units) == (reserved, reserved)
    for amount in ("1", None):
        with pytest.raises(InDebt, match="are owed"):
            await office.settle(amount)
    await office.earn("200")
    assert (await world.balance()).debt_units == 0
    await office.settle("1")


async def test_every_settlement_has_its_history(office: Office) -> None:
    await office.earn("100")
    await office.fund()
    settlement = await office.settle("20")
    async with office.world.database.reader() as tx:
        events = await store.list_events(tx, settlement.settlement_id)
    assert [(event, cause) for event, cause, _ in events] == [("requested", "manual")]
    (notice,) = await office.notices("settlement.requested")
    assert notice["settlement_id"] == settlement.settlement_id.hex
    assert notice["order_id"] == (await office.payout(settlement)).payout_id.hex
    assert HOME not in str(notice)
