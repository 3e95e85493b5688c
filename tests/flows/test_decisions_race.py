"""A cancel that races with the payment: exactly one wins, and the money is never lost."""

import asyncio
import random
from collections import Counter

from tests.flows.conftest import Start
from tests.flows.harness import ALL_STATUSES, World

from bitlinkpay.payins.model import OrderNotCancellable, Payin

RACES = 200
AT_ONCE = 20


async def cancel_after(world: World, order: Payin, pause_s: float) -> bool:
    await asyncio.sleep(pause_s)
    try:
        await world.cancel(order)
    except OrderNotCancellable:
        return False
    return True


async def test_API_32_of_a_cancel_and_a_payment_exactly_one_wins(start: Start):
    world = await start(callback_statuses=ALL_STATUSES)
    await world.watch("tron")
    dice = random.Random(32)
    outcomes: Counter[tuple[bool, str]] = Counter()
    pause_max_s = 0.03
    for _ in range(RACES // AT_ONCE):
        orders = [order for order in await world.open_orders("usdt-tron", ["10"] * AT_ONCE) if isinstance(order, Payin)]
        await world.broadcast(*[world.payment(order) for order in orders])
        await world.mine("tron")
        cancels = [cancel_after(world, order, dice.random() * pause_max_s) for order in orders]
        results = await asyncio.gather(world.run("tron"), *cancels)
        await world.finalize("tron")
        for order, is_cancelled in zip(orders, results[1:], strict=True):
            state, states = await world.state(order), await world.states(order)
            assert state == ("cancelled" if is_cancelled else "paid")
            assert states == ([("unassigned", "after_cancel")] if is_cancelled else [("credited", "")])
            assert world.inbox.statuses(order) == ([12] if is_cancelled else [8])
            outcomes[bool(is_cancelled), state] += 1
        if all(results[1:]) or not any(results[1:]):  # the machine is slower, or faster: meet the payment where it is
            pause_max_s *= 3 if results[1] else 0.3
    assert sum(outcomes.values()) == RACES
    assert len(outcomes) == 2, f"the race was never close: {outcomes}"


async def test_API_32_API_33_an_order_that_has_ended_or_received_cannot_be_cancelled(world: World):
    paid, expired, cancelled, confirming, odd = [await world.open_order() for _ in range(5)]
    await world.pay_and_finalize(paid)
    await world.cancel(cancelled)
    await world.pay_and_finalize(odd, "1")
    await world.pass_expiry(expired)
    again = await world.open_order()
    for order, state in ((paid, "paid"), (expired, "expired"), (cancelled, "cancelled"), (odd, "expired")):
        assert await refused(world, order)
        assert await world.state(order) == state
    await world.pay(again, "1")
    await world.mine("tron")
    await world.settle()
    assert await refused(world, again), "odd money was received too"
    assert await world.state(confirming) == "expired"


async def refused(world: World, order: Payin) -> bool:
    try:
        await world.cancel(order)
    except OrderNotCancellable:
        return True
    return False


async def test_API_32_an_order_can_be_cancelled_again_once_its_money_has_vanished(world: World):
    order = await world.open_order()
    await world.pay(order)
    await world.mine("tron")
    await world.settle()
    assert await refused(world, order)
    await world.reorg("tron", 1)
    await world.settle()
    assert (await world.cancel(order)).state == "cancelled"


async def test_API_32_ten_cancels_at_once_end_the_order_once(start: Start):
    world = await start(callback_statuses=ALL_STATUSES)
    order = await world.open_order()
    results = await asyncio.gather(*[refused(world, order) for _ in range(10)])
    assert sorted(results) == [False] + [True] * 9
    await world.settle()
    assert world.inbox.statuses(order) == [12]
