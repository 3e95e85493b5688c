"""TON money without its tag finds its owner: an order, or just a merchant; and what cannot be given to whom."""

import asyncio
from datetime import timedelta

import pytest
from tests.flows.harness import World, asset_of, fee_of

from bitlinkpay.core.errors import NotFound
from bitlinkpay.core.ids import DepositId, PayinId, new_uuid7
from bitlinkpay.deposits.model import Deposit
from bitlinkpay.payins import assigning
from bitlinkpay.payins.assigning import NotAssignable
from bitlinkpay.payins.model import Payin
from bitlinkpay.sandbox.model import Payment
from bitlinkpay.signer.keyring import KeyRing

TON = pytest.mark.parametrize("asset_id", ["usdt-ton", "ton-ton"])


async def lose(world: World, order: Payin, **more: object) -> DepositId:
    """Pay an order without its tag; return what came, which nobody owns."""
    txid = await world.pay_and_finalize(order, tag="", **more)
    ((found,),) = await world.rows("select deposit_id from deposits where txid = $1 and merchant_id is null", txid)
    return DepositId(found)  # type: ignore[arg-type]


async def to_order(world: World, deposit_id: DepositId, order: Payin | PayinId) -> Deposit:
    payin_id = order.payin_id if isinstance(order, Payin) else order
    return await world.database.unit(
        lambda tx: assigning.to_order(tx, world.registry, deposit_id, payin_id, by="mia", now=world.clock.now())
    )


async def to_merchant(world: World, deposit_id: DepositId) -> Deposit:
    owner = world.merchant.merchant_id
    return await world.database.unit(
        lambda tx: assigning.to_merchant(tx, world.registry, deposit_id, owner, by="mia", now=world.clock.now())
    )


@TON
async def test_TON_07_money_without_a_tag_is_given_to_its_order_and_accepted_as_its_payment(
    world: World, asset_id: str
):
    order = await world.open_order(asset_id)
    deposit_id = await lose(world, order)
    given = await to_order(world, deposit_id, order)
    assert (given.payin_id, given.merchant_id, given.label) == (order.payin_id, order.merchant_id, "untagged")
    assert (await world.state(order), await world.labels(order)) == ("created", {"untagged"})
    assert await world.deposits(order) == [given]
    assert (await world.balance(asset_id)).unassigned_units == order.units
    assert await world.account(f"platform:unattributed:{deposit_id.hex}", asset_id) == 0
    await world.check()
    await world.accept(deposit_id)
    await world.settle()
    assert await world.state(order) == "paid"
    assert (await world.balance(asset_id)).available_units == order.units - fee_of(order.units)
    assert [body["status"] for body in world.inbox.about(order)] == [8]
    notes = "select event, cause from deposit_events where deposit_id = $1 order by seq"
    assert ("assigned", f"mia: order {order.payin_id.hex}") in await world.rows(notes, deposit_id)


async def test_it_may_be_given_to_a_merchant_alone_and_credited(world: World):
    order = await world.open_order("usdt-ton")
    deposit_id = await lose(world, order)
    given = await to_merchant(world, deposit_id)
    assert (given.merchant_id, given.payin_id) == (world.merchant.merchant_id, None)
    await world.credit(deposit_id)
    assert (await world.balance("usdt-ton")).available_units == order.units - fee_of(order.units)
    assert (await world.state(order), await world.deposits(order)) == ("created", [])
    await world.check()


async def test_an_order_that_ended_is_paid_by_it_too_once_a_person_says_so(world: World):
    order = await world.open_order("ton-ton", "1")
    deposit_id = await lose(world, order)
    await world.pass_expiry(order)
    await to_order(world, deposit_id, order)
    assert await world.state(order) == "expired"
    await world.accept(deposit_id)
    assert await world.state(order) == "paid"
    await world.check()


async def test_money_that_has_an_owner_is_given_to_nobody_else(world: World):
    order, other = await world.open_order("usdt-ton"), await world.open_order("usdt-ton")
    deposit_id = await lose(world, order)
    await world.pay_and_finalize(other)
    (paid,) = await world.deposits(other)
    await to_order(world, deposit_id, order)
    for known in (deposit_id, paid.deposit_id):
        with pytest.raises(NotAssignable, match="owner already"):
            await to_order(world, known, other)
        with pytest.raises(NotAssignable, match="owner already"):
            await to_merchant(world, known)
    await world.check()


async def test_of_two_who_assign_at_once_one_does(world: World):
    orders = [await world.open_order("usdt-ton") for _ in range(3)]
    deposit_id = await lose(world, orders[0])
    ends = await asyncio.gather(*(to_order(world, deposit_id, one) for one in orders), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["Deposit", "NotAssignable", "NotAssignable"]
    await world.check()


async def test_an_order_gets_only_what_it_asks_for(world: World):
    asks_coins, lost = await world.open_order("ton-ton", "1"), await world.open_order("usdt-ton")
    deposit_id = await lose(world, lost)
    with pytest.raises(NotAssignable, match="its merchant alone"):
        await to_order(world, deposit_id, asks_coins)
    assert await world.labels(asks_coins) == set()


async def test_nothing_is_assigned_that_is_not_there(world: World):
    order = await world.open_order("usdt-ton")
    with pytest.raises(NotFound, match="no money"):
        await to_order(world, DepositId(new_uuid7()), order)
    with pytest.raises(NotFound):
        await to_order(world, await lose(world, order), PayinId(new_uuid7()))


async def test_money_on_its_way_waits_for_its_screening(world: World):
    order = await world.open_order("usdt-ton")
    world.lists.is_down = True  # final, and not screened
    deposit_id = await lose(world, order)
    with pytest.raises(NotAssignable, match="this money is final: only"):
        await to_order(world, deposit_id, order)
    world.lists.is_down = False
    world.clock.advance(timedelta(minutes=10))
    await world.settle()
    await to_order(world, deposit_id, order)


async def test_money_straight_to_a_wallet_that_pays_is_no_payers(world: World, ring: KeyRing):
    asset = asset_of("usdt-tron")
    await world.watch("tron")
    (txid,) = await world.broadcast(
        Payment(asset=asset, target=ring.hot_wallet(world.network(asset.id)).address, units=5)
    )
    await world.finalize("tron")
    ((found,),) = await world.rows("select deposit_id from deposits where txid = $1", txid)
    with pytest.raises(NotAssignable, match="a wallet that pays"):
        await to_merchant(world, found)  # type: ignore[arg-type]


@pytest.mark.parametrize("end", ["waiting", "accepted"])
async def test_what_a_deep_reorganisation_takes_away_is_taken_from_its_new_owner(world: World, end: str):
    order = await world.open_order("usdt-ton")
    deposit_id = await lose(world, order)
    await to_order(world, deposit_id, order)
    if end == "accepted":
        await world.accept(deposit_id)
    await world.reorg("ton", 40)
    await world.settle()
    ((state,),) = await world.rows("select state from deposits where deposit_id = $1", deposit_id)
    assert state == "reversed"
    balance = await world.balance("usdt-ton")
    assert (balance.unassigned_units, balance.available_units) == (0, 0)
    assert "untagged" not in await world.labels(order) or end == "accepted"
    await world.check()
