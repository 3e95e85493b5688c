"""Money that is not what the order asked for: another asset, another network, no tag, a foreign hand, too much to be true."""

import pytest
from tests.flows.harness import MANY, World, asset_of, fee_of

from bitlinkpay.chains.base import Arrival
from bitlinkpay.core.assets import Asset
from bitlinkpay.sandbox.model import Payment
from bitlinkpay.signer.keyring import KeyRing


@pytest.mark.parametrize(
    ("asked", "sent"),
    [("usdt-tron", "trx-tron"), ("trx-tron", "usdt-tron"), ("usdt-ton", "ton-ton"), ("eth-ethereum", "usdt-ethereum")],
)
async def test_DEP_15_another_listed_asset_is_put_aside_with_its_label(world: World, asked: str, sent: str):
    order = await world.open_order(asked, "10")
    await world.pay_and_finalize(order, "10", asset_id=sent)
    assert (await world.state(order), await world.labels(order)) == ("created", {"wrong_asset"})
    assert await world.states(order) == [("unassigned", "wrong_asset")]
    assert (await world.balance(sent)).unassigned_units > 0
    assert (await world.balance(asked)).unassigned_units == 0
    await world.pay_and_finalize(order)
    assert await world.state(order) == "paid"


@pytest.mark.parametrize("asset_id", ["usdt-tron", "usdt-ethereum", "usdt-solana"])
async def test_DEP_15_an_unlisted_token_never_enters_the_books(world: World, asset_id: str):
    order = await world.open_order(asset_id)
    listed = asset_of(asset_id)
    fake = Asset(**{name: getattr(listed, name) for name in listed.__slots__} | {"id": f"fake-{listed.network}"})
    await world.broadcast(Payment(asset=fake, target=order.address, units=order.units))
    await world.finalize(listed.network)
    assert (await world.state(order), await world.deposits(order)) == ("created", [])
    await world.pay_and_finalize(order)
    assert await world.state(order) == "paid"


@pytest.mark.parametrize("sent", ["usdt-polygon", "usdt-bsc", "usdt-arbitrum", "bnb-bsc"])
async def test_DEP_16_the_same_address_on_another_evm_network_is_seen_and_put_aside(world: World, sent: str):
    order = await world.open_order("usdt-ethereum")
    await world.watch(asset_of(sent).network)
    await world.pay_and_finalize(order, "100", asset_id=sent)
    assert (await world.state(order), await world.labels(order)) == ("created", {"wrong_network"})
    assert await world.states(order) == [("unassigned", "wrong_network")]
    assert (await world.balance(sent)).unassigned_units > 0
    await world.pay_and_finalize(order)
    assert await world.state(order) == "paid"


async def test_DEP_16_a_network_that_is_switched_off_is_read_from_where_it_is_switched_on(world: World):
    order = await world.open_order("usdt-ethereum")
    await world.pay(order, "100", asset_id="usdt-polygon")
    await world.mine("polygon", 50)
    await world.settle()
    assert await world.deposits(order) == []  # the manual lane: found by its hash, not by the watcher


@pytest.mark.parametrize("tag", ["", "1", "99999999", "hello", "😀", "x" * 500])
@pytest.mark.parametrize("asset_id", ["usdt-ton", "ton-ton"])
async def test_TON_07_money_without_a_known_tag_is_kept_for_its_owner_to_come(world: World, asset_id: str, tag: str):
    order = await world.open_order(asset_id)
    await world.pay_and_finalize(order, tag=tag)
    assert (await world.state(order), await world.deposits(order)) == ("created", [])
    (row,) = await world.rows("select state, label, merchant_id, payin_id, tag from deposits")
    assert row == ("unassigned", "", None, None, tag)
    kept = "select sum(balance_units) from ledger_accounts where kind = 'platform:unattributed' and asset = $1"
    assert await world.rows(kept, asset_id) == [(order.units,)]
    await world.pay_and_finalize(order)
    assert await world.state(order) == "paid"


async def test_one_ton_wallet_serves_many_orders_of_many_merchants_apart(world: World):
    other = await world.another()
    mine = [await world.open_order("ton-ton", "1") for _ in range(3)]
    theirs = [await world.open_order("ton-ton", "1", merchant=other) for _ in range(3)]
    assert len({order.address for order in [*mine, *theirs]}) == 1
    assert len({order.tag for order in [*mine, *theirs]}) == 6
    await world.broadcast(*[world.payment(order) for order in [*mine, *theirs]], world.payment(mine[0], tag="7"))
    await world.finalize("ton")
    assert {await world.state(order) for order in [*mine, *theirs]} == {"paid"}
    net = 3 * (mine[0].units - fee_of(mine[0].units))
    assert (await world.balance("ton-ton")).available_units == net
    assert (await world.balance("ton-ton", other)).available_units == net
    assert await world.account(f"custody:deposits:{mine[0].address}", "ton-ton") == 7 * mine[0].units


async def test_DEP_18_dust_from_a_look_alike_neither_pays_nor_stops_the_real_payment(world: World):
    order = await world.open_order()
    await world.pay(order, units=1)
    await world.finalize("tron")
    assert (await world.state(order), await world.labels(order)) == ("created", {"short"})
    await world.pay_and_finalize(order)
    assert await world.state(order) == "paid"


@pytest.mark.parametrize("asset_id", ["trx-tron", "btc-bitcoin", "ton-ton"])
async def test_DEP_19_money_without_a_payer_is_labelled_and_never_pays_an_order(world: World, asset_id: str):
    order = await world.open_order(asset_id, "1")
    await world.pay_and_finalize(order, arrival=Arrival.SYSTEM)
    assert await world.state(order) == "created"
    assert await world.labels(order) == {"system", "quarantined"}  # and nobody can screen a payer that is not there
    assert await world.states(order) == [("quarantined", "system")]
    await world.pay_and_finalize(order)
    assert await world.state(order) == "paid"


@pytest.mark.parametrize("asset_id", ["usdt-tron", "usdt-ethereum", "btc-bitcoin"])
@pytest.mark.parametrize("exponent", [200, 255])
async def test_DEP_23_a_huge_amount_is_read_exactly_and_held(world: World, asset_id: str, exponent: int):
    order = await world.open_order(asset_id, "0.5")
    huge = 2**exponent + 1
    txid = await world.pay_and_finalize(order, units=huge)
    deposit = await world.deposit(order, txid)
    assert (deposit.units, deposit.state, deposit.label) == (huge, "quarantined", "over")
    assert (await world.balance(asset_id)).quarantined_units == huge
    await world.pay_and_finalize(order)
    assert await world.state(order) == "paid"


async def test_DEP_23_the_largest_amount_that_passes_and_the_smallest_that_is_held(world: World):
    cap = asset_of("usdt-tron").sanity_units
    fits, huge = await world.open_order("usdt-tron", "10000000"), await world.open_order("usdt-tron", "10000000.000001")
    assert (fits.units, huge.units) == (cap, cap + 1)
    await world.broadcast(world.payment(fits), world.payment(huge))
    await world.finalize("tron")
    assert [await world.state(order) for order in (fits, huge)] == ["paid", "created"]
    assert await world.states(huge) == [("quarantined", "")]
    await world.release((await world.deposits(huge))[0].deposit_id)
    assert await world.states(huge) == [("unassigned", "quarantined")]
    await world.accept((await world.deposits(huge))[0].deposit_id)
    await world.settle()
    assert await world.state(huge) == "paid"


@pytest.mark.parametrize("end", ["paid", "expired", "cancelled"])
async def test_TON_08_the_tag_of_a_closed_order_never_opens_it_again(world: World, end: str):
    order, other = await world.open_order("usdt-ton"), await world.open_order("usdt-ton")
    if end == "paid":
        await world.pay_and_finalize(order)
    elif end == "cancelled":
        await world.cancel(order)
    else:
        await world.pass_expiry(order)
    await world.pay_and_finalize(order)
    assert await world.state(order) == end
    assert (
        "unassigned",
        {"paid": "double", "expired": "late", "cancelled": "after_cancel"}[end],
    ) in await world.states(order)
    assert await world.deposits(other) == []


@pytest.mark.parametrize("asset_id", MANY)
async def test_money_straight_to_a_wallet_that_pays_is_nobody_s_and_never_an_order_s(
    world: World, ring: KeyRing, asset_id: str
):
    order, wallet = await world.open_order(asset_id), ring.hot_wallet(world.network(asset_id))
    await world.broadcast(Payment(asset=asset_of(asset_id), target=wallet.address, units=order.units))
    await world.finalize(asset_of(asset_id).network)
    assert (await world.state(order), await world.deposits(order)) == ("created", [])
    (row,) = await world.rows("select target, state, label, merchant_id, payin_id from deposits")
    assert row == (wallet.address, "unassigned", "", None, None)
    kept = "select sum(balance_units) from ledger_accounts where kind = 'platform:unattributed' and asset = $1"
    assert await world.rows(kept, asset_id) == [(order.units,)]
    await world.pay_and_finalize(order)
    assert await world.state(order) == "paid"


async def test_every_evm_network_watches_the_wallets_that_pay(world: World, ring: KeyRing):
    networks = ("ethereum", "bsc", "polygon", "arbitrum")
    await world.watch(*networks)
    for network, index in zip(networks, (0, 1, 6, 7), strict=True):
        asset, wallet = asset_of(f"usdt-{network}"), ring.hot_wallet(world.registry.networks[network], index)
        await world.broadcast(Payment(asset=asset, target=wallet.address, units=10**6))
        await world.finalize(network)
    found = await world.rows("select network, state, merchant_id from deposits order by seen_at, deposit_id")
    assert found == [(network, "unassigned", None) for network in networks]
