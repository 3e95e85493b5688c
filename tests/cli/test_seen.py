"""A sandbox shows a payment in Bitcoin before its block, as the network's nodes do, and no other network's."""

import pytest
from tests.cli.deployment import Deployment

from bitlinkpay.app.platform import Platform
from bitlinkpay.payins.model import Payin
from bitlinkpay.payins.view import find_view
from bitlinkpay.web.checkout.status import Situation, situation_of

BTC, TRON = ("btc-bitcoin", "bitcoin"), ("usdt-tron", "tron")


@pytest.fixture
def shop(sandbox: Deployment) -> Deployment:
    sandbox.merchant("Corner Shop")
    for _, network in (BTC, TRON):
        sandbox.follow(network)
    return sandbox


def situation(shop: Deployment, order: Payin) -> Situation:
    async def look(platform: Platform) -> Situation:
        async with platform.database.reader() as tx:
            return situation_of(await find_view(tx, platform.registry, order.payin_id), platform.clock.now())

    return shop.act(look)


@pytest.mark.parametrize(
    ("place", "before"), [(BTC, Situation.SIGHTED), (TRON, Situation.WAITING)], ids=["bitcoin", "tron"]
)
def test_what_was_paid_is_seen_before_its_block_where_nodes_show_it(
    shop: Deployment, place: tuple[str, str], before: Situation
) -> None:
    asset, network = place
    order = shop.order(asset_id=asset, amount="0.02")
    assert situation(shop, order) is Situation.WAITING
    shop.json("sandbox", "pay", "order-1")
    shop.follow(network)
    assert situation(shop, order) is before
    assert shop.json("order", "show", "order-1")["state"] == "created", "it is no money yet"
    shop.mine(1, network)
    assert situation(shop, order) is Situation.CONFIRMING
    shop.mine(30, network)
    assert situation(shop, order) is Situation.PAID


@pytest.mark.parametrize(("place", "after"), [(BTC, Situation.PAID), (TRON, Situation.LATE)], ids=["bitcoin", "tron"])
def test_a_payment_seen_in_time_is_in_time_though_its_block_comes_late(
    shop: Deployment, place: tuple[str, str], after: Situation
) -> None:
    asset, network = place
    order = shop.order(asset_id=asset, amount="0.02")
    shop.json("sandbox", "pay", "order-1")
    shop.follow(network)
    shop.json("sandbox", "clock", "+90m")
    shop.follow(network)
    assert (situation(shop, order) is Situation.SIGHTED) == (after is Situation.PAID)
    shop.mine(30, network)
    assert situation(shop, order) is after
