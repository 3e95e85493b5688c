"""What a person decides about odd money, what that does to orders, balances and callbacks, and what is refused."""

import asyncio

import pytest
from tests.flows.conftest import Start
from tests.flows.harness import ALL_STATUSES, MANY, World, fee_of

from bitlinkpay.core.errors import Conflict, NotFound
from bitlinkpay.core.ids import DepositId, new_uuid7
from bitlinkpay.payins import settling
from bitlinkpay.payins.model import wm_status
from bitlinkpay.sandbox.model import Fork


class Everybody(set):
    """A list that every payer is on."""

    def __contains__(self, address: object) -> bool:
        return True


async def odd(world: World, kind: str, asset_id: str = "usdt-tron") -> tuple[object, DepositId]:
    """Return an order and its odd money of a kind."""
    order = await world.open_order(asset_id, "0.5")
    amount = {"short": "0.4", "over": "0.6"}.get(kind, "")
    if kind == "late":
        await world.pass_expiry(order)
    if kind == "after_cancel":
        await world.cancel(order)
    if kind == "double":
        await world.pay_and_finalize(order)
    txid = await world.pay_and_finalize(order, amount)
    deposit = await world.deposit(order, txid)
    assert (deposit.state, deposit.label) == ("unassigned", kind)
    return order, deposit.deposit_id


@pytest.mark.parametrize("kind", ["short", "over", "late", "after_cancel"])
@pytest.mark.parametrize("asset_id", MANY)
async def test_DEP_12_accepted_money_pays_its_order_and_calls_back_once(world: World, asset_id: str, kind: str):
    order, deposit_id = await odd(world, kind, asset_id)
    await world.accept(deposit_id)
    await world.settle()
    shown = await world.show(order)
    deposit = next(d for d in await world.deposits(order) if d.deposit_id == deposit_id)
    assert (shown.state, shown.deposit_id, shown.accepted_units) == ("paid", deposit_id, deposit.units)
    assert (deposit.state, deposit.fee_units, shown.fee_units) == (
        "credited",
        fee_of(deposit.units),
        fee_of(deposit.units),
    )
    balance = await world.balance(asset_id)
    assert (balance.available_units, balance.unassigned_units) == (deposit.units - fee_of(deposit.units), 0)
    assert world.inbox.statuses(order) == [8]
    assert kind in {label.value for label in shown.labels}, "what was odd about it stays to be seen"


@pytest.mark.parametrize(("kind", "status"), [("late", 16), ("short", 20)])
async def test_DEP_12_status_16_and_20_turn_into_8_by_a_decision(start: Start, kind: str, status: int):
    world = await start(callback_statuses=ALL_STATUSES)
    order, deposit_id = await odd(world, kind)
    if kind == "short":
        await world.pass_expiry(order)
    assert (wm_status(await world.show(order)), world.inbox.statuses(order)) == (status, [status])
    await world.accept(deposit_id)
    await world.settle()
    assert (wm_status(await world.show(order)), world.inbox.statuses(order)) == (8, [status, 8])


async def test_LED_09_accepting_twice_is_refused_and_changes_nothing(world: World):
    order, deposit_id = await odd(world, "late")
    await world.accept(deposit_id)
    before = await world.balance()
    with pytest.raises(NotFound):
        await world.accept(deposit_id)
    with pytest.raises(NotFound):
        await world.credit(deposit_id)
    await world.settle()
    assert await world.balance() == before
    assert world.inbox.statuses(order) == [8]


async def test_LED_09_twenty_people_accept_and_credit_at_once_and_one_wins(world: World):
    order, deposit_id = await odd(world, "late")
    tries = [world.accept(deposit_id) for _ in range(10)] + [world.credit(deposit_id) for _ in range(10)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(not isinstance(result, BaseException) for result in results) == 1
    assert all(isinstance(result, NotFound) for result in results if isinstance(result, BaseException))
    await world.settle()
    assert (await world.balance()).available_units == order.units - fee_of(order.units)


async def test_two_moneys_of_one_order_accepted_at_once_pay_it_once(world: World):
    order = await world.open_order()
    await world.pass_expiry(order)
    await world.broadcast(world.payment(order), world.payment(order))
    await world.finalize("tron")
    ids = [deposit.deposit_id for deposit in await world.deposits(order)]
    results = await asyncio.gather(*[world.accept(made) for made in ids], return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["NotAcceptable", "Payin"]
    await world.settle()
    assert await world.states(order) == [("credited", ""), ("unassigned", "late")]
    assert world.inbox.statuses(order) == [8]


async def test_double_money_cannot_pay_its_order_again_but_can_be_credited(world: World):
    order, deposit_id = await odd(world, "double")
    with pytest.raises(Conflict, match="credit"):
        await world.accept(deposit_id)
    credited = await world.credit(deposit_id)
    await world.settle()
    assert (credited.state, credited.label) == ("credited", "double")
    assert (await world.balance()).available_units == 2 * (order.units - fee_of(order.units))
    assert (await world.show(order)).accepted_units == order.units
    assert world.inbox.statuses(order) == [8]


@pytest.mark.parametrize("sent", ["trx-tron", "usdt-polygon"])
async def test_money_of_another_asset_cannot_pay_but_can_be_credited_as_what_it_is(world: World, sent: str):
    order = await world.open_order("usdt-tron" if sent == "trx-tron" else "usdt-ethereum")
    await world.watch("polygon")
    txid = await world.pay_and_finalize(order, "7", asset_id=sent)
    deposit = await world.deposit(order, txid)
    with pytest.raises(Conflict, match="own asset"):
        await world.accept(deposit.deposit_id)
    await world.credit(deposit.deposit_id)
    await world.settle()
    assert (await world.balance(sent)).available_units == deposit.units - fee_of(deposit.units)
    assert await world.state(order) == "created"


async def test_accepting_short_money_while_the_exact_payment_is_on_its_way_keeps_both(world: World):
    order = await world.open_order()
    short = await world.pay_and_finalize(order, "99")
    await world.pay(order)
    await world.mine("tron")
    await world.settle()
    assert await world.state(order) == "confirming"
    await world.accept((await world.deposit(order, short)).deposit_id)
    await world.finalize("tron")
    assert (await world.show(order)).accepted_units == 99_000_000
    assert await world.states(order) == [("credited", ""), ("unassigned", "double")]
    assert world.inbox.statuses(order) == [8]


async def test_only_unassigned_money_can_be_decided_about(world: World):
    order = await world.open_order()
    await world.pay(order)
    await world.mine("tron")
    await world.settle()
    (seen,) = await world.deposits(order)
    for deposit_id in (seen.deposit_id, DepositId(new_uuid7())):
        for decide in (world.accept, world.credit, world.release):
            with pytest.raises(NotFound):
                await decide(deposit_id)
    await world.finalize("tron")
    for decide in (world.accept, world.credit, world.release):
        with pytest.raises(NotFound):
            await decide(seen.deposit_id)


async def test_money_without_an_owner_cannot_be_accepted_or_credited(world: World):
    order = await world.open_order("ton-ton")
    await world.pay_and_finalize(order, tag="1")
    ((deposit_id,),) = await world.rows("select deposit_id from deposits")
    for decide in (world.accept, world.credit):
        with pytest.raises(Conflict):
            await decide(deposit_id)  # type: ignore[arg-type]
    await world.check()


async def test_money_that_vanished_cannot_be_decided_about(world: World):
    order, deposit_id = await odd(world, "short")
    await world.reorg("tron", 8)
    await world.settle()
    for decide in (world.accept, world.credit):
        with pytest.raises(NotFound):
            await decide(deposit_id)
    assert (await world.balance()).unassigned_units == 0
    assert await world.state(order) == "created"


async def test_a_person_decides_while_the_fork_is_followed(world: World):
    for _ in range(5):
        order, deposit_id = await odd(world, "short")
        await world.reorg("tron", 10)
        results = await asyncio.gather(world.accept(deposit_id), world.run("tron"), return_exceptions=True)
        assert not isinstance(results[1], BaseException), results[1]
        await world.settle()
        assert await world.states(order) == [("reversed", "" if not isinstance(results[0], NotFound) else "short")]
        assert (await world.balance()).available_units == 0


async def test_accepted_money_that_vanishes_and_comes_back_can_be_accepted_again(world: World):
    order, deposit_id = await odd(world, "short")
    await world.accept(deposit_id)
    await world.settle()
    await world.reorg("tron", 10, Fork.KEEP)
    await world.finalize("tron")
    assert (await world.state(order), "reversed" in await world.labels(order)) == ("paid", True)
    again = next(d for d in await world.deposits(order) if d.state == "unassigned")
    await world.accept(again.deposit_id)
    await world.settle()
    assert "reversed" not in await world.labels(order)
    assert (await world.show(order)).accepted_units == again.units
    assert world.inbox.statuses(order) == [8]


async def test_a_decision_is_written_into_the_history(world: World):
    order, deposit_id = await odd(world, "late")
    await world.accept(deposit_id)
    assert (await world.events(order))[-1] == "accepted"
    events = await world.rows(
        "select seq, event, from_state, to_state from deposit_events where deposit_id = $1 order by seq", deposit_id
    )
    assert [row[1] for row in events] == ["seen", "finalized", "passed", "put_aside", "credited"]
    assert [row[0] for row in events] == list(range(1, 6))


@pytest.mark.parametrize("decision", ["accept", "credit", "release"])
async def test_a_decision_names_who_made_it(world: World, decision: str):
    now = world.clock.now()
    if decision == "release":
        world.lists.listed = Everybody()
        order = await world.open_order()
        await world.pay_and_finalize(order)
        deposit_id = (await world.deposits(order))[0].deposit_id
    else:
        order, deposit_id = await odd(world, "short")
    decide = {
        "accept": lambda tx: settling.accept(tx, world.registry, deposit_id, now, by="mia"),
        "credit": lambda tx: settling.credit(tx, deposit_id, fee_ppm=0, now=now, by="mia"),
        "release": lambda tx: settling.release(tx, deposit_id, now, by="mia"),
    }[decision]
    await world.database.unit(decide)
    of_money = "select cause from deposit_events where deposit_id = $1 order by seq desc limit 1"
    assert await world.rows(of_money, deposit_id) == [("mia",)]
    if decision == "accept":
        of_order = "select cause from payin_events where payin_id = $1 order by seq desc limit 1"
        (deposit,) = await world.deposits(order)
        assert await world.rows(of_order, order.payin_id) == [(f"mia: {deposit.txid}",)]


async def test_what_a_rule_decides_names_nobody(world: World):
    order = await world.open_order()
    txid = await world.pay_and_finalize(order)
    last = "select event, cause from payin_events where payin_id = $1 order by seq desc limit 1"
    assert await world.rows(last, order.payin_id) == [("completed", txid)]


async def test_LED_07_a_decision_that_fails_at_the_end_leaves_everything_as_it_was(world: World):
    order, deposit_id = await odd(world, "late")

    async def work(tx: object) -> None:
        await settling.accept(tx, world.registry, deposit_id, world.clock.now())  # type: ignore[arg-type]
        raise RuntimeError("the process ends before COMMIT")

    with pytest.raises(RuntimeError):
        await world.database.unit(work)
    assert await world.state(order) == "expired"
    await world.settle()
    assert world.inbox.statuses(order) == []
    await world.accept(deposit_id)
    await world.settle()
    assert world.inbox.statuses(order) == [8]
