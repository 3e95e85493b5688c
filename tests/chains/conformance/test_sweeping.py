"""One suite over every network row that collects: an order paid in each asset is swept by the shipped plan, lanes and signing."""

from decimal import Decimal

import pytest
from tests.chains.conformance.house import House
from tests.chains.conformance.places import NETWORKS
from tests.chains.conformance.test_receiving import Till, till  # noqa: F401 - its fixture serves here too
from tests.flows.conftest import ring  # noqa: F401 - a fixture of the flows serves here too
from tests.flows.harness import market

from bitlinkpay.core.assets import Asset
from bitlinkpay.core.money import format_units, to_units
from bitlinkpay.payins.model import Payin
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.treasury.service import ANYTHING

COLLECTING = [name for name in NETWORKS if name != "ton"]  # its one wallet takes deposits and pays
WORTH = Decimal(36_000)
"""What each order is worth, so that collecting it pays on every network."""
ROUNDS = 12


async def paid_order(till: Till, asset: Asset) -> Payin:  # noqa: F811
    """Let an order be paid in full and credited."""
    units = to_units((WORTH / await market(asset.symbol, "CNY")).quantize(Decimal("0.01")), asset.decimals)
    order = await till.world.open_order(asset.id, format_units(units, asset.decimals))
    await till.pay(order)
    await till.finalize()
    assert await till.is_paid_once(order)
    return order


async def collect(till: Till, house: House) -> None:  # noqa: F811
    """Plan, let the lanes work and blocks come, until nothing waits and a plan has nothing more to move."""
    for _ in range(ROUNDS):
        await house.sweeping.step(ANYTHING)
        await house.work()
        await till.finalize()
        await house.work()
        await till.world.settle()
        waiting = await till.world.rows("select owner, asset, state, reason from sendings where state <> 'delivered'")
        plan = await house.sweeping.plan(ANYTHING)
        if not waiting and not any(one.move for some in plan.values() for one in some):
            return
    raise AssertionError(f"it never came to rest: {waiting}")


@pytest.mark.parametrize("till", COLLECTING, indirect=True)
async def test_a_paid_order_is_swept_into_the_hot_wallet_and_books_and_chain_agree_to_the_unit(
    till: Till,  # noqa: F811
    ring: KeyRing,  # noqa: F811
) -> None:
    world, place = till.world, till.place
    house = await House.of(world, place.settings(till.folder), ring)
    assets, native = place.payable(world.registry), world.registry.native(place.network_id)
    gas = to_units(Decimal(1000 if native.symbol == "TRX" else 5), native.decimals)
    await place.pays[native.id](house.hot.address, "", gas)
    await till.finalize()
    await house.claim()
    orders = [await paid_order(till, asset) for asset in assets]
    await collect(till, house)
    moves = await world.rows("select distinct asset, kind, state from treasury_moves order by asset")
    assert moves == [(asset.id, "sweep", "done") for asset in sorted(assets, key=lambda one: one.id)]
    for asset in {native, *assets}:
        for address in (house.hot.address, *(order.address for order in orders)):
            assert await house.shown(asset.id, address) == await house.booked(asset.id, address), (asset.id, address)
    for order in orders:
        asset = world.registry.assets[str(order.asset)]
        left = await house.shown(asset.id, order.address)
        assert left * 100 < order.units if asset.is_native else left == 0
        assert asset.is_native or await house.shown(asset.id, house.hot.address) == order.units
    assert await world.rows("select from lanes where frozen_reason <> ''") == []
