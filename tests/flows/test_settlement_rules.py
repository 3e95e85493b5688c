"""Automatic settlement: rules by schedule and by threshold, exactly once each, to the bound address and nowhere else."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from tests.flows.conftest import Start
from tests.flows.harness import REGISTRY
from tests.flows.paying import Cashier
from tests.flows.settling import HOME, USDT, Office, units
from tests.support.clock import ManualClock

from bitlinkpay.authorizations.model import WrongProof
from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.outgoing import FeeQuote, Intent, LacksFunds
from bitlinkpay.core.errors import Problem
from bitlinkpay.merchants import service as merchants
from bitlinkpay.payouts.model import AddressRefused
from bitlinkpay.sending.stops import store as stops
from bitlinkpay.sending.stops.store import Scope, Stop
from bitlinkpay.settlements import store
from bitlinkpay.settlements.addresses.model import BOUND, HomeNotFound, HomeOnHold
from bitlinkpay.settlements.addresses.service import Homes, NewHome
from bitlinkpay.settlements.automatic import MOST_TRIES, PAUSE, REST
from bitlinkpay.settlements.rules.model import MOST_RULES, RuleNotFound, Terms, TooManyRules
from bitlinkpay.settlements.rules.schedule import Cadence, Schedule
from bitlinkpay.signer.keyring import KeyRing

DAILY = Terms(schedule=Schedule(Cadence.DAILY, time(8, 0), "Asia/Shanghai"))
OTHER = "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL"


def at_threshold(amount: str = "100", **more: int) -> Terms:
    return Terms(threshold_units=units(amount), **more)


@pytest.fixture
async def office(start: Start, ring: KeyRing) -> Office:
    return await Office.open(Cashier(await start(), ring, ManualClock()))


@pytest.fixture
async def funded(office: Office) -> Office:
    """With liquidity, and an address that has rested."""
    await office.fund()
    await office.bind_and_rest()
    return office


# --- exactly once


async def test_an_order_is_paid_and_a_threshold_and_a_schedule_send_it_home(funded: Office) -> None:
    """From the payer to the merchant's own wallet without a hand: callbacks arrive, books and chain agree to the unit."""
    office, world = funded, funded.world
    await office.charge(fee_ppm=1000)
    threshold = await office.rule(at_threshold("100", reserve_units=units("30")))
    daily = await office.rule(DAILY)
    await office.earn("50")
    assert await office.step() == (0, 0)
    await office.earn("100")
    assert await office.step() == (1, 1)
    await office.finish()
    (first,) = await office.listed(threshold)
    assert first.outcome is not None
    assert first.outcome.state == "completed"
    assert units("29.99") < await office.available() <= units("30.01")

    await office.cashier.pass_time(timedelta(days=1))
    assert await office.step() == (1, 1)
    await office.finish()
    (second,) = await office.listed(daily)
    assert second.outcome is not None
    assert second.settlement.trigger == "2026-03-03T00:00:00+00:00"  # 08:00 in Shanghai
    assert await office.available() <= 1
    assert await office.cashier.received(second.outcome.target, USDT) == first.outcome.units + second.outcome.units
    assert office.callbacks(first.settlement) == office.callbacks(second.settlement) == [4]
    fees = first.outcome.fee_units + second.outcome.fee_units
    assert await world.account("fees:settlement", USDT) == fees > 0
    await world.settle()


async def test_SET_01_many_workers_trigger_and_carry_out_once(funded: Office) -> None:
    office = funded
    await office.earn("500")
    rules = [await office.rule(DAILY), await office.rule(at_threshold("100", reserve_units=units("50")))]
    await office.cashier.pass_time(timedelta(days=1))
    workers = [office.build_automatic() for _ in range(8)]
    for _ in range(3):
        await asyncio.gather(*(worker.trigger() for worker in workers))
        assert sum(await asyncio.gather(*(worker.carry_out() for worker in workers))) <= 2
    assert [len(await office.listed(rule)) for rule in rules] == [1, 1]
    assert await office.payouts_count() == 1, "the first run took everything, the other found nothing"


async def test_SET_01_a_trigger_counts_once_even_if_the_rule_did_not_move_on(funded: Office) -> None:
    office = funded
    await office.earn("500")
    rule = await office.rule(DAILY)
    await office.cashier.pass_time(timedelta(days=1))
    assert await office.step() == (1, 1)
    async with office.world.database.transaction() as tx:
        await tx.execute("update settlement_rules set next_due_at = $1", rule.next_due_at)
    await office.earn("500")
    assert await office.step() == (0, 0)
    assert len(await office.listed(rule)) == 1


async def test_a_schedule_that_was_missed_for_days_is_due_once(funded: Office) -> None:
    office = funded
    await office.earn("500")
    rule = await office.rule(DAILY)
    await office.cashier.pass_time(timedelta(days=5))
    assert await office.step() == (1, 1)
    assert await office.step() == (0, 0)
    async with office.world.database.reader() as tx:
        (moved,) = await tx.fetch("select next_due_at from settlement_rules where rule_id = $1", rule.rule_id)
    assert moved["next_due_at"] == datetime(2026, 3, 8, 0, 0, tzinfo=UTC)


async def test_SET_02_money_of_the_last_millisecond_is_in_exactly_one_period(funded: Office) -> None:
    """Credits around the due time, and one that a reorganisation took and gave back: each leaves in one run."""
    office, world = funded, funded.world
    rule = await office.rule(DAILY)
    await office.earn("100")
    due = datetime(2026, 3, 3, 0, 0, tzinfo=UTC)
    world.clock.set(due - timedelta(microseconds=1))
    await office.earn("40")
    assert await office.step() == (0, 0)
    world.clock.set(due)
    await office.earn("7")
    late = await world.open_order(USDT, "3")
    await world.pay(late)
    await world.mine("tron")
    await world.reorg("tron", 1)
    assert await office.step() == (1, 1)
    await office.finish()
    await world.pay_and_finalize(late)
    world.clock.set(due + timedelta(days=1))
    assert await office.step() == (1, 1)
    await office.finish()
    assert await office.step() == (0, 0)
    runs = [one.outcome for one in await office.listed(rule)]
    spent = [run.units + run.fee_units + run.network_fee_units for run in runs if run is not None]
    net = [units(amount) - units(amount) * 3 // 1000 for amount in ("100", "40", "7", "3")]
    assert spent == [sum(net[:3]), net[3]]
    assert await office.available() == 0


async def test_SET_04_each_order_keeps_the_fee_that_it_was_opened_with(funded: Office) -> None:
    office, world = funded, funded.world
    await office.rule(DAILY)
    before = await world.open_order(USDT, "100")
    await world.database.unit(
        lambda tx: merchants.set_fee(tx, world.merchant.merchant_id, 20_000, now=world.clock.now())
    )
    async with world.database.reader() as tx:
        changed = await merchants.get(tx, world.merchant.merchant_id)
    after = await world.open_order(USDT, "100", merchant=changed)
    for order in (after, before):
        await world.pay_and_finalize(order)
    await office.cashier.pass_time(timedelta(days=1))
    assert await office.step() == (1, 1)
    (run,) = await office.listed()
    assert run.outcome is not None
    assert run.outcome.units + run.outcome.network_fee_units == units("99.7") + units("98")


# --- the bound address


async def test_SET_05_a_new_or_changed_address_waits_and_the_merchant_is_told(office: Office) -> None:
    await office.fund()
    await office.earn("200")
    rule = await office.rule(at_threshold("100"))
    await office.bind()
    assert await office.step() == (1, 1)
    assert await office.reasons() == ["address_on_hold"]
    await office.cashier.pass_time(timedelta(hours=24))
    assert await office.step() == (1, 1)
    await office.finish()
    await office.earn("200")
    await office.bind(OTHER)  # changed: rests again
    assert await office.step() == (1, 1)
    await office.cashier.pass_time(timedelta(hours=23, minutes=59))
    assert await office.step() == (1, 1)
    await office.cashier.pass_time(timedelta(hours=1))
    assert await office.step() == (1, 1)
    assert await office.reasons() == ["address_on_hold", "", "address_on_hold", "address_on_hold", ""]
    await office.finish()
    went = [one.outcome.target for one in await office.listed(rule) if one.outcome]
    assert went == [HOME, OTHER]
    told = await office.notices("settlement.address_changed")
    assert [(one["change"], one["address"]) for one in told] == [("added", HOME), ("changed", OTHER)]
    assert {one["reason"] for one in await office.notices("settlement.skipped")} == {"address_on_hold"}


async def test_the_same_address_again_rests_no_second_time(office: Office) -> None:
    first = await office.bind_and_rest()
    assert await office.bind() == first
    assert len(await office.notices("settlement.address_changed")) == 1


async def test_WEB_18_a_saved_address_rests_and_its_removal_is_immediate(office: Office) -> None:
    merchant_id = office.world.merchant.merchant_id
    saved = await office.bind(OTHER, label="safe")
    bound = await office.bind(HOME)
    assert (saved.usable_at, bound.usable_at) == (saved.bound_at + timedelta(hours=24),) * 2

    async def usable(label: str):
        async with office.world.database.reader() as tx:
            return await office.homes.get_usable(tx, merchant_id, "tron", label)

    with pytest.raises(HomeOnHold, match="rests until"):
        await usable("safe")
    await office.cashier.pass_time(timedelta(hours=24))
    assert (await usable("safe")).target == OTHER
    remove = office.homes.remove
    await office.world.database.unit(lambda tx: remove(tx, merchant_id, "tron", "safe"))
    for label in ("safe", "nobody's"):
        with pytest.raises(HomeNotFound):
            await usable(label)
    with pytest.raises(HomeNotFound):
        await office.world.database.unit(lambda tx: remove(tx, merchant_id, "tron", "safe"))
    assert (await usable("")).target == HOME


async def test_a_full_manual_request_does_not_wait(office: Office) -> None:
    await office.fund()
    await office.earn("100")
    settlement = await office.settle("20", target=OTHER)
    assert (await office.payout(settlement)).state == "approved"


async def test_nobody_binds_an_address_without_passing_the_checks(office: Office) -> None:
    network = office.world.network(USDT)
    new = NewHome(office.world.merchant, network, "", HOME, "")
    with pytest.raises(WrongProof):
        await office.homes.bind(new, office.shown(answer="000000"))
    deposit = (await office.world.open_order()).address
    for target in ("nowhere", deposit, office.cashier.hot("tron").address, office.world.registry.assets[USDT].contract):
        with pytest.raises(AddressRefused):
            await office.homes.bind(replace(new, target=target), office.shown())
    with pytest.raises(Problem, match="no tags"):
        await office.homes.bind(replace(new, tag="1"), office.shown())
    ((count,),) = await office.world.rows("select count(*) from settlement_addresses")
    assert count == 0


async def test_two_who_bind_at_once_leave_one_address(office: Office) -> None:
    new = NewHome(office.world.merchant, office.world.network(USDT), "", HOME, "")
    first, second = office.shown(), office.shown()
    bound = await asyncio.gather(
        office.homes.bind(new, first), office.homes.bind(replace(new, target=OTHER), second), return_exceptions=True
    )
    ((count,),) = await office.world.rows("select count(*) from settlement_addresses where ended_at is null")
    assert count == 1
    assert [one for one in bound if isinstance(one, AssertionError)] == []


async def test_an_address_that_changes_while_the_network_is_asked_gets_nothing(funded: Office) -> None:
    """The run asked about the old address; it is put off and asks again, and the new one rests."""
    office = funded
    await office.earn("200")
    await office.rule(at_threshold("100"))
    assert await office.automatic.trigger() == 1
    prepare = office.payouts.prepare

    async def prepare_slowly(new):
        draft = await prepare(new)
        await office.bind(OTHER)
        return draft

    office.payouts.prepare = prepare_slowly  # type: ignore[method-assign]
    assert await office.automatic.carry_out() == 1
    assert await office.reasons() == ["address_on_hold"]
    assert await office.payouts_count() == 0


async def test_a_run_follows_the_address_that_is_bound_when_its_money_is_reserved(funded: Office) -> None:
    """Where addresses need not rest, the new one is usable at once; what was asked about the old one is thrown away."""
    office = funded
    await office.earn("200")
    await office.rule(at_threshold("100"))
    assert await office.automatic.trigger() == 1
    hasty = Homes(office.world.database, REGISTRY, office.person.checks, office.world.clock, hold=timedelta(0))
    prepare, new = office.payouts.prepare, NewHome(office.world.merchant, REGISTRY.networks["tron"], BOUND, OTHER, "")

    async def prepare_slowly(wanted):
        draft = await prepare(wanted)
        await hasty.bind(new, office.shown())
        return draft

    office.payouts.prepare = prepare_slowly  # type: ignore[method-assign]
    assert await office.automatic.carry_out() == 0
    del office.payouts.prepare
    await office.cashier.pass_time(PAUSE)
    assert await office.automatic.carry_out() == 1
    assert [one.outcome.target for one in await office.listed() if one.outcome] == [OTHER]


# --- what does not fit


async def stop_tron(office: Office) -> None:
    async with office.world.database.transaction() as tx:
        await stops.add(tx, Stop(Scope.NETWORK, "tron", "trouble", office.world.clock.now()))


async def suspend(office: Office) -> None:
    async with office.world.database.transaction() as tx:
        await merchants.suspend(tx, office.world.merchant.merchant_id, now=office.world.clock.now())


async def unbind(office: Office) -> None:
    merchant_id = office.world.merchant.merchant_id
    await office.world.database.unit(lambda tx: office.homes.remove(tx, merchant_id, "tron", ""))


async def list_home(office: Office) -> None:
    office.world.lists.listed.add(HOME)


async def limit(office: Office) -> None:
    await office.charge(payment_max_units=units("10"))


async def flat_fee(office: Office) -> None:
    await office.charge(fee_flat_units=units("5"))


async def whole_fee(office: Office) -> None:
    await office.charge(fee_flat_units=units("500"))


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (stop_tron, "stopped"),
        (suspend, "merchant_inactive"),
        (unbind, "no_address"),
        (list_home, "address_refused"),
        (limit, "above_limit"),
        (flat_fee, "fee_too_high"),
        (whole_fee, "below_minimum"),
    ],
)
async def test_what_does_not_fit_is_skipped_with_its_reason_and_the_rule_stays_on(
    funded: Office, trouble, reason: str
) -> None:
    office = funded
    await office.earn("200")
    rule = await office.rule(replace(DAILY, fee_max_units=units("4")))
    await trouble(office)
    before = await office.world.balance()
    await office.cashier.pass_time(timedelta(days=1))
    assert await office.step() == (1, 1)
    (run,) = await office.listed(rule)
    assert (run.settlement.state, run.settlement.reason, run.outcome) == ("skipped", reason, None)
    assert run.settlement.detail
    assert await office.world.balance() == before
    (notice,) = await office.notices("settlement.skipped")
    assert (notice["reason"], notice["detail"]) == (reason, run.settlement.detail)
    await office.cashier.pass_time(timedelta(days=1))
    assert await office.step() == (1, 1), "it tries again at its next trigger"


async def test_a_wallet_that_is_empty_when_the_network_is_asked_skips_the_run(funded: Office) -> None:
    office = funded
    await office.earn("200")
    await office.rule(at_threshold("100"))
    answering(office, LacksFunds("the wallet holds too little"))
    assert await office.step() == (1, 1)
    assert await office.reasons() == ["no_liquidity"]
    del office.cashier.sender
    await office.cashier.pass_time(REST)
    assert await office.step() == (1, 1)
    await office.finish()
    assert [one.outcome.state for one in await office.listed() if one.outcome] == ["completed"]


async def test_a_wallet_that_is_empty_when_its_turn_comes_is_waited_for(office: Office) -> None:
    await office.earn("200")
    await office.cashier.fund("trx-tron", "500")
    await office.bind_and_rest()
    await office.rule(at_threshold("100"))
    assert await office.step() == (1, 1)
    await office.finish()
    assert [one.outcome.state for one in await office.listed() if one.outcome] == ["approved"]
    await office.cashier.fund(USDT, "1000")
    await office.cashier.pass_time(timedelta(minutes=2))
    await office.finish()
    assert [one.outcome.state for one in await office.listed() if one.outcome] == ["completed"]


def answering(office: Office, error: Exception) -> None:
    """Let TRON answer every question about fees so."""
    sender = office.cashier.sender("tron")

    async def quote(_intent: Intent) -> FeeQuote:
        raise error

    sender.quote = quote  # type: ignore[method-assign]
    office.cashier.sender = lambda *_: sender  # type: ignore[method-assign]


async def test_a_threshold_rests_after_a_run_that_came_to_nothing(funded: Office) -> None:
    office = funded
    await office.earn("200")
    await office.charge(review_above_units=0)
    rule = await office.rule(at_threshold("100"))
    assert await office.step() == (1, 1)
    (run,) = await office.listed(rule)
    await office.world.database.unit(
        lambda tx: office.settlements.reject(tx, run.settlement.settlement_id, reason="no", by="alice")
    )
    assert await office.step() == (0, 0), "the money is back, and is not asked for again at once"
    await office.cashier.pass_time(REST)
    assert await office.step() == (1, 1)
    triggers = [one.settlement.trigger for one in await office.listed(rule)]
    assert len(set(triggers)) == 2


async def test_a_threshold_is_tried_again_at_the_same_balance(funded: Office) -> None:
    office = funded
    await office.earn("200")
    rule = await office.rule(at_threshold("100"))
    await stop_tron(office)
    for _ in range(3):
        assert await office.step() == (1, 1)
        assert await office.step() == (0, 0)
        await office.cashier.pass_time(REST)
    triggers = [one.settlement.trigger for one in await office.listed(rule)]
    assert [trigger.split(".")[1] for trigger in triggers] == ["0", "1", "2"]
    assert len({trigger.split(".")[0] for trigger in triggers}) == 1


async def test_a_balance_that_fell_below_the_threshold_is_left(funded: Office) -> None:
    office = funded
    await office.earn("150")
    await office.rule(at_threshold("100"))
    assert await office.automatic.trigger() == 1
    await office.settle("100")
    assert await office.automatic.carry_out() == 1
    assert await office.reasons() == ["below_threshold", ""]


async def test_a_removed_rule_does_nothing_any_more(funded: Office) -> None:
    office = funded
    await office.earn("200")
    merchant_id = office.world.merchant.merchant_id
    rules = [await office.rule(DAILY), await office.rule(at_threshold("100"))]
    assert await office.automatic.trigger() == 1
    for rule in rules:
        await office.world.database.unit(lambda tx, rule=rule: office.rules.remove(tx, merchant_id, rule.rule_id))
        with pytest.raises(RuleNotFound):
            await office.world.database.unit(lambda tx, rule=rule: office.rules.remove(tx, merchant_id, rule.rule_id))
    await office.cashier.pass_time(timedelta(days=2))
    assert await office.step() == (0, 1)
    assert await office.reasons() == ["rule_removed"]
    other = await office.world.another()
    with pytest.raises(RuleNotFound):
        await office.world.database.unit(lambda tx: office.rules.remove(tx, other.merchant_id, rules[0].rule_id))


async def test_rules_are_bounded_and_need_the_checks(office: Office) -> None:
    asset = office.world.registry.assets[USDT]
    with pytest.raises(WrongProof):
        await office.rules.add(office.world.merchant, asset, DAILY, office.shown(answer="000000"))
    for reserve in range(MOST_RULES):
        await office.rule(replace(DAILY, reserve_units=reserve))
    await office.rule(DAILY)  # which stands already
    with pytest.raises(TooManyRules):
        await office.rule(replace(DAILY, reserve_units=MOST_RULES))
    ((count,),) = await office.world.rows("select count(*) from settlement_rules")
    assert count == MOST_RULES


# --- answers that do not come


async def test_a_silent_network_puts_a_run_off_and_in_the_end_skips_it(funded: Office) -> None:
    office = funded
    await office.earn("200")
    await office.rule(at_threshold("100"))
    answering(office, ChainError("no answer"))
    assert await office.step() == (1, 0)
    assert await office.step() == (0, 0), "it waits a minute"
    for _ in range(MOST_TRIES - 1):
        await office.cashier.pass_time(PAUSE)
        assert await office.step() == (0, 0)
    await office.cashier.pass_time(PAUSE)
    assert await office.step() == (0, 1)
    assert await office.reasons() == ["no_answer"]
    (listed,) = await office.listed()
    async with office.world.database.reader() as tx:
        events = [event for event, *_ in await store.list_events(tx, listed.settlement.settlement_id)]
    assert events == ["triggered", *["postponed"] * MOST_TRIES, "skipped"]


async def test_a_run_that_cannot_be_read_holds_up_no_other(funded: Office) -> None:
    office = funded
    await office.earn("200")
    await office.rule(DAILY, "eth-ethereum")
    good = await office.rule(DAILY)
    await office.cashier.pass_time(timedelta(days=1))
    async with office.world.database.transaction() as tx:
        await tx.execute("update settlement_rules set asset = 'gone-nowhere' where asset = 'eth-ethereum'")
    assert await office.automatic.trigger() == 2
    assert await office.automatic.carry_out() == 1
    (run,) = await office.listed(good)
    assert run.settlement.state == "requested"
