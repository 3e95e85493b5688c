"""A payout of one merchant pays another merchant's order: two legs over the chain, each booked and screened as its own."""

import pytest
from tests.flows.conftest import Start
from tests.flows.paying import Cashier
from tests.support.clock import ManualClock

from bitlinkpay.signer.keyring import KeyRing

CASES = [
    ("usdt-tron", "trx-tron", False),
    ("usdt-tron", "trx-tron", True),
    ("usdt-ethereum", "eth-ethereum", True),
    ("btc-bitcoin", "", True),
    ("usdt-ton", "ton-ton", False),  # the payout comes to the very wallet that sends it, told apart by the tag
]


@pytest.mark.parametrize(("asset_id", "gas", "is_listed"), CASES)
async def test_DEP_20_another_merchant_s_payout_pays_an_order_in_two_legs_and_is_screened(
    start: Start, ring: KeyRing, asset_id: str, gas: str, is_listed: bool
) -> None:
    world = await start()
    cashier, payer, payee = Cashier(world, ring, ManualClock()), world.merchant, await world.another()
    network = world.registry.assets[asset_id].network
    await world.pay_and_finalize(await world.open_order(asset_id, "100"))
    await cashier.fund(asset_id, "60")
    if gas:
        await cashier.fund(gas, "50")
    before = (await world.balance(asset_id, payer)).available_units
    order = await world.open_order(asset_id, "20", merchant=payee)
    if is_listed:
        world.lists.listed.add(cashier.hot(network).address)

    payout = await cashier.ask(asset_id, "20", target=order.address, tag=order.tag)
    await cashier.finish(network)
    await world.finalize(network)

    done = await cashier.show(payout)
    assert (done.state, payout.units) == ("completed", order.units)
    assert (await world.balance(asset_id, payer)).available_units == before - payout.reserved_units
    (deposit,) = await world.deposits(order)
    assert (deposit.txid, deposit.merchant_id) == (done.txid, payee.merchant_id)
    verdicts = await world.rows("select result from verdicts where deposit_id = $1", deposit.deposit_id)
    assert verdicts == [("listed" if is_listed else "clear",)], "money of our own wallet is looked at like any other"
    got = await world.balance(asset_id, payee)
    if is_listed:
        assert await world.states(order) == [("quarantined", "")]
        assert (got.available_units, await world.is_paid(order)) == (0, False)
    else:
        assert await world.is_paid(order)
        assert got.available_units == order.units - order.units * 3_000 // 1_000_000
