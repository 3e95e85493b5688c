"""What a shop asks before it takes orders: who it is, what it may ask for, what that would cost; and a pick of its own."""

from datetime import timedelta

import pytest
from tests.web.api.platform import Rest, Signer
from tests.web.api.test_orders import order, refusal

from bitlinkpay.client.rest import RestClient
from bitlinkpay.core.ids import show_id
from bitlinkpay.merchants.api_keys.model import Scope
from bitlinkpay.payouts import store as payouts_store
from bitlinkpay.payouts.model import PayoutKind, Terms
from bitlinkpay.web.api.shapes import CreatePreOrder, Money
from bitlinkpay.web.api.shop_shapes import PickAsset, QuoteOrder

USDT = "usdt-tron"


async def test_a_key_says_who_it_is_of_and_what_it_may(rest: Rest) -> None:
    signer = await rest.signer(
        scopes=frozenset({Scope.PAYIN}), networks=("127.0.0.1/32",), fee_ppm=2_500, order_life=timedelta(minutes=10)
    )
    async with rest.client(signer) as client:
        found = await client.merchant()
    assert (found.id, found.broker) == (show_id("mer", signer.merchant.merchant_id), signer.merchant.broker)
    assert (found.mode, found.fee_rate, found.order_life_s) == ("sandbox", "0.0025", 600)
    assert (found.key.id, found.key.scopes, found.key.networks) == (signer.key_id, ["payin"], ["127.0.0.1/32"])
    assert found.now == rest.wall.now()
    assert abs(found.business_now - found.now) < timedelta(minutes=1)


async def test_assets_come_with_their_networks_limits_and_fees(rest: Rest) -> None:
    signer = await rest.signer(allowed_assets=(USDT, "ton-ton"))
    everywhere = Terms(fee_ppm=1_000, fee_flat_units=7)
    here = Terms(payment_max_units=5_000_000, day_max_units=9_000_000, review_above_units=1, fresh_max_units=0)
    async with rest.database.transaction() as tx:
        for kind, asset, terms in (
            (PayoutKind.PAYOUT, "", everywhere),
            (PayoutKind.PAYOUT, USDT, here),
            (PayoutKind.SETTLEMENT, USDT, everywhere),
        ):
            await payouts_store.save_terms(tx, signer.merchant.merchant_id, kind, asset, terms)
    async with rest.client(signer) as client:
        found = {one.id: one for one in await client.assets()}
    assert found.keys() == set(rest.registry.assets)
    tron, ton, btc = found[USDT], found["usdt-ton"], found["btc-bitcoin"]
    assert (tron.symbol, tron.standard, tron.decimals, tron.wm_chain_id, tron.wm_coin_id) == ("USDT", "TRC20", 6, 1, 1)
    assert (tron.network.title, tron.network.has_tags, tron.network.block_time_ms) == ("TRON", False, 3_000)
    assert (tron.orders.is_offered, tron.orders.is_on_hold, tron.orders.smallest) == (True, False, "0.01")
    terms = tron.payouts
    assert (terms.largest, terms.day_max, terms.review_above, terms.fresh_max) == ("5", "9", "0.000001", "0")
    assert (terms.fee_rate, terms.fee_flat, terms.smallest) == ("0", "0", "0.01")
    assert (ton.network.has_tags, ton.contract.startswith("EQ"), ton.orders.is_offered) == (True, True, False)
    assert (btc.contract, btc.orders.digits, btc.network.confirmations > 0) == ("", 8, True)
    assert (btc.payouts.largest, btc.payouts.fee_rate, btc.payouts.fee_flat) == (None, "0.001", "0.00000007")


async def test_every_limit_that_is_told_is_the_one_that_refuses(rest: Rest, client: RestClient) -> None:
    (usdt,) = [one for one in await client.assets() if one.id == USDT]
    smallest = usdt.orders.smallest
    assert (await client.create_order(order(currency="USDT", fiat_amount=smallest))).amount == Money(
        amount=smallest, asset=USDT
    )
    refused = await refusal(client.create_order(order("A-2", currency="USDT", fiat_amount="0.009999")))
    assert refused.error.message == f"the smallest order is {smallest} USDT"


async def test_a_quote_is_what_the_order_then_asks_for_and_takes_no_address(rest: Rest, client: RestClient) -> None:
    before = await rest.count("addresses")
    await client.quote_order(QuoteOrder(asset=USDT, fiat_amount="72"))
    assert await rest.count("addresses") == before
    for n, fields in enumerate(
        (
            {"fiat_amount": "72"},
            {"fiat_amount": "100", "exchange_rate": "7.15"},
            {"fiat_amount": "10", "currency": "USDT"},
            {"fiat_amount": "100", "amount": "14"},
        )
    ):
        quoted = await client.quote_order(QuoteOrder(asset=USDT, **fields))
        made = await client.create_order(order(f"A-{n}", **fields))
        assert (quoted.amount, quoted.symbol, quoted.exchange_rate) == (made.amount, made.symbol, made.exchange_rate)
    assert (await client.quote_order(QuoteOrder(asset=USDT, fiat_amount="72"))).fee == Money(amount="0.03", asset=USDT)
    for fields, told in (
        ({"asset": "usdt-mars", "fiat_amount": "1"}, (422, "asset.not_offered", "asset")),
        ({"asset": "sol-solana", "fiat_amount": "1"}, (422, "order.asset_not_offered", "asset")),
        ({"asset": USDT, "fiat_amount": "0"}, (422, "request.invalid", "fiat_amount")),
        ({"asset": USDT, "fiat_amount": "1", "currency": "XTS"}, (503, "rate.no_quote", None)),
    ):
        refused = await refusal(client.quote_order(QuoteOrder(**fields)))
        assert (refused.status, refused.error.code, refused.error.param) == told


async def test_a_page_of_the_shops_own_fixes_what_the_payer_of_a_pre_order_chose(
    rest: Rest, signer: Signer, client: RestClient
) -> None:
    made = await client.create_pre_order(CreatePreOrder(source_id="P-1", coin="USDT", fiat_amount="72"))
    picked = await client.pick_asset(made.id, PickAsset(asset=USDT), idempotency_key="1")
    assert (picked.asset, picked.amount, picked.symbol) == (USDT, Money(amount="10", asset=USDT), "USDT/CNY")
    assert picked.address.startswith("T")
    assert picked.expires_at > made.expires_at
    assert await client.pick_asset(made.id, PickAsset(asset=USDT), idempotency_key="1") == picked
    assert await client.pick_asset(made.id, PickAsset(asset=USDT)) == picked
    for asset, told in (
        ("usdt-ton", (409, "request.conflict")),
        ("trx-tron", (422, "order.asset_not_offered")),
        ("usdt-mars", (422, "order.asset_not_offered")),
    ):
        refused = await refusal(client.pick_asset(made.id, PickAsset(asset=asset)))
        assert (refused.status, refused.error.code, refused.error.param) == (*told, "asset")
    async with rest.client(await rest.signer()) as stranger:
        refused = await refusal(stranger.pick_asset(made.id, PickAsset(asset=USDT)))
        assert (refused.status, refused.error.code) == (404, "order.not_found")
    assert await client.order(made.id) == picked


@pytest.mark.parametrize("scope", list(Scope))
async def test_whoever_has_a_key_may_ask_who_it_is_of_and_what_there_is(rest: Rest, scope: Scope) -> None:
    signer = await rest.signer(scopes=frozenset({scope}))
    async with rest.client(signer) as client:
        assert (await client.merchant()).key.scopes == [scope]
        assert len(await client.assets()) == len(rest.registry.assets)
