"""What a payout is checked against when it is asked for: limits, terms, look-alikes, lists and kill switches."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from tests.flows.paying import Cashier
from tests.flows.test_payout_decisions import (
    ASSET,
    GAS,
    NETWORK,
    STRANGER,
    UNIT,
    cancel,
    cashier,
    queued,
    reject,
    terms,
)

from bitlinkpay.core.errors import Problem
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.payouts import store
from bitlinkpay.payouts.drafting import QUOTE_LIFE
from bitlinkpay.payouts.model import (
    AddressRefused,
    AmountRefused,
    Payout,
    PayoutKind,
    PayoutsStopped,
    QuoteExpired,
    Terms,
)
from bitlinkpay.payouts.service import Draft, Repeat
from bitlinkpay.risk.model import ProviderDown
from bitlinkpay.sending.stops import store as stops
from bitlinkpay.sending.stops.store import Scope, Stop

__all__ = ["cashier"]  # the fixture
BODY = STRANGER.removeprefix("0x").lower()
TWIN = f"0x{BODY[:4]}{'a' * 32}{BODY[-4:]}"
"""Another address that agrees with the stranger's at both ends."""


async def test_PAY_30_a_payment_above_its_limit_reserves_nothing(cashier: Cashier) -> None:
    await terms(cashier, payment_max_units=50 * UNIT)
    before = await cashier.world.balance(ASSET)
    with pytest.raises(AmountRefused, match="largest single withdrawal is 50 USDT"):
        await cashier.ask(ASSET, "50.000001", source_id="w-1")
    assert await cashier.world.balance(ASSET) == before
    assert await cashier.world.rows("select count(*) from payouts") == [(0,)]
    assert (await cashier.ask(ASSET, "50", source_id="w-1")).units == 50 * UNIT


async def test_PAY_30_a_day_is_the_last_24_hours(cashier: Cashier) -> None:
    await terms(cashier, day_max_units=100 * UNIT)
    await cashier.ask(ASSET, "60")
    with pytest.raises(AmountRefused, match="daily limit leaves 40 USDT"):
        await cashier.ask(ASSET, "40.01")
    await cashier.ask(ASSET, "40")
    await cashier.pass_time(timedelta(hours=23, minutes=59))
    with pytest.raises(AmountRefused, match="daily limit leaves 0 USDT"):
        await cashier.ask(ASSET, "1")
    await cashier.pass_time(timedelta(minutes=2))
    await cashier.ask(ASSET, "100")


@pytest.mark.parametrize("way", ["cancelled", "rejected"])
async def test_PAY_30_what_came_to_nothing_is_no_part_of_the_day(cashier: Cashier, way: str) -> None:
    await terms(cashier, day_max_units=100 * UNIT, review_above_units=10 * UNIT)
    payout = await cashier.ask(ASSET, "100")
    await (cancel(cashier, payout.source_id) if way == "cancelled" else reject(cashier, payout.payout_id))
    assert await cashier.state(payout) == way
    assert (await cashier.ask(ASSET, "100")).units == 100 * UNIT


async def test_PAY_30_what_waits_for_a_person_counts_towards_the_day(cashier: Cashier) -> None:
    await terms(cashier, day_max_units=100 * UNIT, review_above_units=10 * UNIT)
    assert (await cashier.ask(ASSET, "80")).state == "in_review"
    with pytest.raises(AmountRefused, match="leaves 20 USDT"):
        await cashier.ask(ASSET, "21")


async def test_PAY_30_requests_at_once_never_pass_the_days_limit_together(cashier: Cashier) -> None:
    await terms(cashier, day_max_units=100 * UNIT)
    payouts, database = cashier.payouts(), cashier.world.database
    drafts = [await payouts.prepare(cashier.request(ASSET, "30")) for _ in range(8)]

    async def request(draft: Draft | Repeat) -> Payout | Problem:
        try:
            return await database.unit(lambda tx: payouts.request(tx, draft))
        except Problem as problem:
            return problem

    answers = await asyncio.gather(*(request(draft) for draft in drafts))
    assert sum(isinstance(answer, Payout) for answer in answers) == 3
    assert {type(answer) for answer in answers} == {Payout, AmountRefused}
    assert await cashier.world.rows("select sum(units)::bigint from payouts") == [(90 * UNIT,)]
    await cashier.world.check()


async def test_one_request_sent_many_times_at_once_is_one_payout(cashier: Cashier) -> None:
    payouts, database = cashier.payouts(), cashier.world.database
    new = cashier.request(ASSET, "30", source_id="w-1")
    drafts = [await payouts.prepare(new) for _ in range(6)]
    answers = await asyncio.gather(*(database.unit(lambda tx, d=d: payouts.request(tx, d)) for d in drafts))
    assert len({answer.payout_id for answer in answers}) == 1
    assert (await cashier.world.balance(ASSET)).reserved_units == answers[0].reserved_units
    assert len(await queued(cashier, answers[0])) == 1


async def test_an_assets_own_terms_come_before_those_of_all_assets(cashier: Cashier) -> None:
    await terms(cashier, "", fee_flat_units=5, payment_max_units=10 * UNIT)
    assert (await cashier.ask(ASSET, "10")).charge.fee_units == 5
    await terms(cashier, ASSET, fee_ppm=1000, payment_max_units=20 * UNIT)
    assert (await cashier.ask(ASSET, "20")).charge.fee_units == 20_000
    with pytest.raises(AmountRefused, match="largest single withdrawal is 20 USDT"):
        await cashier.ask(ASSET, "21")


async def test_a_settlement_has_terms_of_its_own_and_a_refund_those_of_payouts(cashier: Cashier) -> None:
    await terms(cashier, fee_flat_units=7)
    await terms(cashier, kind=PayoutKind.SETTLEMENT, fee_flat_units=3)
    fees = {kind: (await cashier.ask(ASSET, "1", kind=kind)).charge.fee_units for kind in PayoutKind}
    assert fees == {PayoutKind.PAYOUT: 7, PayoutKind.SETTLEMENT: 3, PayoutKind.REFUND: 7}


async def test_the_fee_of_each_kind_ends_in_its_own_account(cashier: Cashier) -> None:
    await terms(cashier, fee_flat_units=7)
    await terms(cashier, kind=PayoutKind.SETTLEMENT, fee_flat_units=3)
    made = [await cashier.ask(ASSET, "1", kind=kind) for kind in PayoutKind]
    await cashier.fund(ASSET, "100")
    await cashier.fund(GAS, "5")
    await cashier.finish(NETWORK)
    assert [await cashier.state(payout) for payout in made] == ["completed"] * 3
    world = cashier.world
    assert await world.account("fees:payout", ASSET) == 14
    assert await world.account("fees:settlement", ASSET) == 3
    assert await world.account("fees:network", ASSET) == sum(one.charge.network_fee_units for one in made)


async def test_terms_that_were_set_can_be_set_again(cashier: Cashier) -> None:
    await terms(cashier, payment_max_units=UNIT)
    await terms(cashier, fee_ppm=500)
    async with cashier.world.database.reader() as tx:
        found = await store.find_terms(tx, cashier.world.merchant.merchant_id, PayoutKind.PAYOUT, ASSET)
        other = await store.find_terms(tx, cashier.world.merchant.merchant_id, PayoutKind.PAYOUT, "usdt-tron")
    assert found == Terms(fee_ppm=500)
    assert other == Terms()


async def test_PAY_33_a_quote_that_is_too_old_reserves_nothing(cashier: Cashier) -> None:
    payouts, world = cashier.payouts(), cashier.world
    draft = await payouts.prepare(cashier.request(ASSET, "20", source_id="w-1"))
    before = await world.balance(ASSET)
    await cashier.pass_time(QUOTE_LIFE + timedelta(seconds=1))
    with pytest.raises(QuoteExpired):
        await world.database.unit(lambda tx: payouts.request(tx, draft))
    assert await world.balance(ASSET) == before
    fresh = await payouts.prepare(cashier.request(ASSET, "20", source_id="w-1"))
    await cashier.pass_time(QUOTE_LIFE)
    payout = await world.database.unit(lambda tx: payouts.request(tx, fresh))
    await cashier.pass_time(timedelta(days=1))
    assert await world.database.unit(lambda tx: payouts.request(tx, draft)) == payout  # a repeat needs no quote


# --- money that has only just come in ------------------------------------------------------------------------------------


async def test_DEP_24_more_of_todays_money_than_the_limit_waits_for_a_person(cashier: Cashier) -> None:
    await terms(cashier, fresh_max_units=100 * UNIT)
    payout = await cashier.ask(ASSET, "100.000001")  # the 997 of the fixture came a moment ago
    assert payout.state == "in_review"
    assert payout.reason == "takes more of what was credited in the last 24 hours than goes out without a review"
    assert (await cashier.ask(ASSET, "100")).state == "approved"


async def test_DEP_24_older_money_leaves_first(cashier: Cashier) -> None:
    await terms(cashier, fresh_max_units=100 * UNIT)
    await cashier.pass_time(timedelta(hours=25))
    order = await cashier.world.open_order(ASSET, "500")
    await cashier.world.pay_and_finalize(order)
    assert (await cashier.ask(ASSET, "990")).state == "approved"  # all of it is a day old
    assert (await cashier.ask(ASSET, "110")).state == "in_review"
    assert (await cashier.ask(ASSET, "90")).state == "approved"


async def test_DEP_24_without_a_limit_todays_money_leaves_today(cashier: Cashier) -> None:
    assert (await cashier.ask(ASSET, "900")).state == "approved"


# --- addresses ----------------------------------------------------------------------------------------------------------


async def test_an_address_like_an_earlier_one_waits_for_a_person(cashier: Cashier) -> None:
    await cashier.ask(ASSET, "1")
    payout = await cashier.ask(ASSET, "1", target=TWIN)
    assert payout.state == "in_review"
    assert payout.reason == f"looks like {STRANGER}, which was paid before, and is another address"
    assert await queued(cashier, payout) == []


async def test_what_another_merchant_paid_is_no_earlier_address(cashier: Cashier) -> None:
    await cashier.ask(ASSET, "1")
    other = await cashier.world.another()
    order = await cashier.world.open_order(ASSET, "100", merchant=other)
    await cashier.world.pay_and_finalize(order)
    assert (await cashier.ask(ASSET, "1", target=TWIN, merchant=other)).state == "approved"


async def test_without_an_answer_about_the_address_a_person_looks(cashier: Cashier) -> None:
    cashier.world.lists.is_down = True
    payout = await cashier.ask(ASSET, "1")
    assert (payout.state.value, payout.reason) == ("in_review", "screening by lists gave no answer")
    with pytest.raises(ProviderDown):
        await cashier.world.lists.look_up(NETWORK, [STRANGER])
    cashier.world.lists.is_down = False
    assert (await cashier.ask(ASSET, "1")).state == "approved"


async def test_a_listed_address_is_refused_and_its_source_id_stays_free(cashier: Cashier) -> None:
    before = await cashier.world.balance(ASSET)
    cashier.world.lists.listed.add(STRANGER)
    with pytest.raises(AddressRefused, match="sanctions list"):
        await cashier.ask(ASSET, "1", source_id="w-1")
    assert await cashier.world.balance(ASSET) == before
    cashier.world.lists.listed.clear()
    assert (await cashier.ask(ASSET, "1", source_id="w-1")).state == "approved"


async def test_a_repeat_is_answered_though_the_address_is_listed_by_now(cashier: Cashier) -> None:
    payout = await cashier.ask(ASSET, "1", source_id="w-1")
    cashier.world.lists.listed.add(STRANGER)
    assert await cashier.ask(ASSET, "1", source_id="w-1") == payout


# --- kill switches ------------------------------------------------------------------------------------------------------


async def test_OPS_17_a_kill_switch_refuses_requests_until_it_is_released(cashier: Cashier) -> None:
    world = cashier.world
    earlier = await cashier.ask(ASSET, "1", source_id="earlier")
    before = await world.balance(ASSET)
    for scope, subject, told in (
        (Scope.ALL, "", "all"),
        (Scope.NETWORK, NETWORK, NETWORK),
        (Scope.ASSET, ASSET, ASSET),
        (Scope.MERCHANT, str(world.merchant.merchant_id), "merchant"),
    ):
        async with world.database.transaction() as tx:
            await stops.add(tx, Stop(scope, subject, "trouble", world.clock.now()))
        with pytest.raises(PayoutsStopped, match=f"withdrawals of {told} are stopped"):
            await cashier.ask(ASSET, "1", source_id="w-1")
        assert await world.balance(ASSET) == before
        assert await cashier.ask(ASSET, "1", source_id="earlier") == earlier  # a repeat is answered
        async with world.database.transaction() as tx:
            await stops.remove(tx, scope, subject)
    assert (await cashier.ask(ASSET, "1", source_id="w-1")).state == "approved"


async def test_OPS_17_a_kill_switch_of_another_refuses_nothing(cashier: Cashier) -> None:
    world = cashier.world
    others: Sequence[tuple[Scope, str]] = (
        (Scope.NETWORK, "tron"),
        (Scope.ASSET, GAS),
        (Scope.MERCHANT, str(new_uuid7())),
    )
    async with world.database.transaction() as tx:
        for scope, subject in others:
            await stops.add(tx, Stop(scope, subject, "trouble", world.clock.now()))
    assert (await cashier.ask(ASSET, "1")).state == "approved"
