"""Screening between final and credited: listed, unknown, silent; and the way back out of quarantine."""

import pytest
from tests.flows.conftest import Start
from tests.flows.harness import ALL_STATUSES, MANY, Pace, World, fee_of

from bitlinkpay.chains.simulated_format import address_from


@pytest.fixture(params=list(Pace))
def pace(request: pytest.FixtureRequest) -> Pace:
    """Final at sight or step by step: every case ends alike."""
    return request.param


THIEF = b"\x07" * 32


def thief(world: World, asset_id: str) -> str:
    return address_from(world.network(asset_id), THIEF)


@pytest.mark.parametrize("asset_id", MANY)
async def test_AML_01_money_from_a_listed_source_is_quarantined_and_the_order_waits_on(world: World, asset_id: str):
    order = await world.open_order(asset_id, "0.5")
    source = thief(world, asset_id)
    world.lists.listed.add(source)
    txid = await world.pay_and_finalize(order, source=source)
    deposit = await world.deposit(order, txid)
    assert (deposit.state, await world.state(order)) == ("quarantined", "created")
    assert await world.labels(order) == {"quarantined"}
    balance = await world.balance(asset_id)
    assert (balance.available_units, balance.quarantined_units) == (0, order.units)
    ((cause,),) = await world.rows("select cause from deposit_events where event = 'held'")
    assert source in str(cause)
    clean = await world.pay_and_finalize(order)
    assert (await world.deposit(order, clean)).state == "credited"


@pytest.mark.parametrize("asset_id", ["usdt-tron", "usdt-ton"])
async def test_AML_12_released_money_is_unassigned_until_a_person_accepts_it(start: Start, asset_id: str):
    world = await start(callback_statuses=ALL_STATUSES)
    order = await world.open_order(asset_id, "0.5")
    world.lists.listed.add(thief(world, asset_id))
    txid = await world.pay_and_finalize(order, source=thief(world, asset_id))
    deposit_id = (await world.deposit(order, txid)).deposit_id
    await world.pass_expiry(order)
    assert world.inbox.statuses(order) == [16]
    released = await world.release(deposit_id)
    await world.settle()
    assert (released.state, released.label) == ("unassigned", "quarantined")
    assert (await world.balance(asset_id)).unassigned_units == order.units
    await world.accept(deposit_id)
    await world.settle()
    assert (await world.state(order), world.inbox.statuses(order)) == ("paid", [16, 8])
    assert (await world.balance(asset_id)).available_units == order.units - fee_of(order.units)


async def test_AML_03_an_unknown_verdict_is_held_and_does_not_come_up_again(world: World):
    order = await world.open_order()
    world.lists.unclear.add(thief(world, "usdt-tron"))
    await world.pay_and_finalize(order, source=thief(world, "usdt-tron"))
    assert await world.states(order) == [("quarantined", "")]
    asked = world.lists.asked
    await world.mine("tron", 5)
    await world.settle()
    assert world.lists.asked == asked


async def test_AML_03_while_the_provider_is_silent_money_stays_final_and_later_goes_on(world: World):
    order = await world.open_order()
    world.lists.is_down = True
    await world.pay_and_finalize(order)
    for _ in range(3):
        await world.mine("tron")
        await world.settle()
        assert (await world.state(order), await world.states(order)) == ("confirming", [("final", "")])
        assert (await world.balance()).pending_units == order.units
    world.lists.is_down = False
    await world.settle()
    assert await world.state(order) == "paid"


async def test_AML_03_a_silent_provider_neither_stops_the_chain_nor_lets_the_order_expire(world: World):
    order, other = await world.open_order(), await world.open_order()
    world.lists.is_down = True
    await world.pay(order)
    await world.finalize("tron")
    await world.pass_expiry(order)
    assert [await world.state(o) for o in (order, other)] == ["confirming", "expired"]
    world.lists.is_down = False
    await world.settle()
    assert await world.state(order) == "paid"


async def test_AML_01_money_too_large_by_a_listed_source_is_held_for_both_reasons(world: World):
    order = await world.open_order("usdt-tron", "20000000")
    world.lists.listed.add(thief(world, "usdt-tron"))
    await world.pay_and_finalize(order, source=thief(world, "usdt-tron"))
    ((cause,),) = await world.rows("select cause from deposit_events where event = 'held'")
    assert "sanity" in str(cause)
    assert thief(world, "usdt-tron") in str(cause)


async def test_AML_03_money_too_large_waits_for_its_screening_too(world: World):
    order = await world.open_order("usdt-tron", "20000000")
    world.lists.is_down = True
    await world.pay_and_finalize(order)
    assert await world.states(order) == [("final", "")]
    world.lists.is_down = False
    await world.settle()
    assert await world.states(order) == [("quarantined", "")]


async def test_quarantine_of_one_payment_does_not_open_an_order_that_waits_for_another(world: World):
    order = await world.open_order()
    world.lists.listed.add(thief(world, "usdt-tron"))
    await world.pay(order, source=thief(world, "usdt-tron"))
    await world.mine("tron", 2)
    await world.pay(order)
    await world.mine("tron", 2)
    await world.settle()
    assert await world.states(order) == [("quarantined", ""), ("seen", "")]
    assert await world.state(order) == "confirming"
    await world.finalize("tron")
    assert await world.state(order) == "paid"


async def test_quarantined_money_without_an_owner_stays_the_platforms_to_clear(world: World):
    order = await world.open_order("ton-ton")
    world.lists.listed.add(thief(world, "ton-ton"))
    await world.pay_and_finalize(order, tag="1", source=thief(world, "ton-ton"))
    ((deposit_id, state),) = await world.rows("select deposit_id, state from deposits")
    assert state == "quarantined"
    released = await world.release(deposit_id)  # type: ignore[arg-type]
    assert (released.state, released.label) == ("unassigned", "")
    await world.check()


async def test_AML_14_each_deposit_has_a_verdict_of_its_own(world: World):
    order = await world.open_order()
    await world.broadcast(world.payment(order), world.payment(order, "1"))
    await world.finalize("tron")
    assert await world.rows("select count(distinct deposit_id), count(*) from verdicts") == [(2, 2)]
