"""Orders over the REST API: made, repeated, listed, cancelled, and nobody else's."""

import asyncio
from dataclasses import replace

import msgspec
import pytest
from tests.web.api.platform import Rest, Signer

from bitlinkpay.client.rest import ApiRefused, RestClient, walk
from bitlinkpay.payins.pages import store as pages
from bitlinkpay.rates.model import NoQuote
from bitlinkpay.web.api.shapes import CreateOrder, CreatePreOrder, Money, OrderQuery


def order(source_id: str = "A-1", **changed: object) -> CreateOrder:
    fields: dict[str, object] = {"asset": "usdt-tron", "fiat_amount": "72"}
    return CreateOrder(source_id=source_id, **(fields | changed))


async def refusal(call) -> ApiRefused:
    with pytest.raises(ApiRefused) as caught:
        await call
    return caught.value


async def test_an_order_is_made_priced_and_shown(client: RestClient) -> None:
    made = await client.create_order(order())
    assert made.id.startswith("pay_")
    assert (made.state, made.asset, made.coin) == ("created", "usdt-tron", "USDT")
    assert (made.amount, made.symbol, made.exchange_rate) == (
        Money(amount="10", asset="usdt-tron"),
        "USDT/CNY",
        "7.2",
    )
    assert made.address.startswith("T")
    assert made.url.endswith(made.id.removeprefix("pay_"))
    assert (made.accepted, made.fee, made.paid_at, made.txid, made.deposits) == (None, None, None, "", [])
    assert await client.order(made.id) == made


async def test_a_pre_order_has_no_network_until_its_payer_picks(client: RestClient) -> None:
    asked = CreatePreOrder(source_id="P-1", coin="USDT", fiat_amount="72", success_url="https://shop.example/thanks")
    made = await client.create_pre_order(asked)
    assert (made.asset, made.amount, made.address, made.symbol) == (None, None, "", "")
    assert (await client.order(made.id)).coin == "USDT"


@pytest.mark.parametrize(("coin", "asset"), [("usdt", "usdt-tron"), ("gram", "ton-ton"), ("Ton", "ton-ton")])
async def test_a_coin_in_any_letter_case_or_by_its_alias_can_be_picked(
    rest: Rest, signer: Signer, client: RestClient, coin: str, asset: str
) -> None:
    made = await client.create_pre_order(CreatePreOrder(source_id="P-1", coin=coin, fiat_amount="720"))
    payins = rest.services.payins
    async with rest.database.reader() as tx:
        (stored,) = await pages.list_newest(tx, signer.merchant.merchant_id, before=None, limit=1)
    assert made.coin == stored.coin == rest.registry.assets[asset].symbol
    try:
        pick = await payins.prepare_pick(stored, signer.merchant, asset)
    except NoQuote:  # this market has no TON: the coin was understood
        return
    assert (await rest.database.unit(lambda tx: payins.pick(tx, pick))).asset == asset


async def test_rate_amount_and_currency_decide_what_is_asked(client: RestClient) -> None:
    for n, (changed, asked) in enumerate(
        [
            ({"exchange_rate": "7.15", "fiat_amount": "100"}, "13.986014"),
            ({"amount": "14", "fiat_amount": "100"}, "14"),
            ({"currency": "USDT", "fiat_amount": "10"}, "10"),
            ({"currency": "USD", "fiat_amount": "10"}, "10"),
        ]
    ):
        made = await client.create_order(order(f"A-{n}", **changed))
        assert made.amount == Money(amount=asked, asset="usdt-tron")


REFUSED = [
    ({"fiat_amount": "0"}, (422, "request.invalid", "fiat_amount")),
    ({"fiat_amount": "0.0001"}, (422, "order.amount_out_of_range", "amount")),
    ({"asset": "usdt-mars"}, (422, "asset.not_offered", "asset")),
    ({"asset": "sol-solana"}, (422, "order.asset_not_offered", "asset")),
    ({"exchange_rate": "7", "amount": "10"}, (422, "order.price_disagrees", "amount")),
    ({"currency": "XTS"}, (503, "rate.no_quote", None)),
    ({"callback_url": "ftp://shop.example/cb"}, (422, "callback_url.forbidden", "callback_url")),
    ({"amount": "0.01", "fiat_amount": "9" * 22}, (422, "order.amount_out_of_range", "amount")),
]


async def test_what_cannot_be_asked_is_refused_and_leaves_its_source_id_free(rest: Rest, client: RestClient) -> None:
    for changed, told in REFUSED:
        refused = await refusal(client.create_order(order(**changed)))
        assert (refused.status, refused.error.code, refused.error.param) == told, changed
    assert await rest.count("payins") == 0
    assert (await client.create_order(order())).state == "created"


async def test_a_source_id_makes_one_order_for_ever(rest: Rest, client: RestClient) -> None:
    made = await asyncio.gather(*(client.create_order(order()) for _ in range(20)))
    assert len({one.id for one in made}) == 1
    assert await rest.count("payins") == 1
    refused = await refusal(client.create_order(order(fiat_amount="73")))
    assert (refused.status, refused.error.code, refused.error.param) == (409, "order.exists_different", "source_id")


async def test_an_order_is_cancelled_once(client: RestClient) -> None:
    made = await client.create_order(order())
    assert (await client.cancel_order(made.id)).state == "cancelled"
    refused = await refusal(client.cancel_order(made.id))
    assert (refused.status, refused.error.code) == (409, "order.not_cancellable")


async def test_API_31_another_merchants_order_reads_as_missing(rest: Rest, client: RestClient) -> None:
    made = await client.create_order(order())
    async with rest.client(await rest.signer()) as stranger:
        nobodys = made.id[:-4] + ("0000" if not made.id.endswith("0000") else "1111")
        told = []
        for order_id in (made.id, nobodys, "pay_1", "x"):
            for call in (stranger.order(order_id), stranger.cancel_order(order_id)):
                told.append(await refusal(call))
        assert {(one.status, msgspec.structs.replace(one.error, request_id="")) for one in told} == {
            (404, msgspec.structs.replace(told[0].error, request_id=""))
        }
        assert (await stranger.list_orders()).data == []
        assert (await stranger.list_orders(OrderQuery(source_id="A-1"))).data == []
    assert (await client.order(made.id)).state == "created"


async def test_pages_are_whole_and_stable_while_orders_are_made(client: RestClient) -> None:
    made = [(await client.create_order(order(f"A-{n}"))).id for n in range(7)]
    seen: list[str] = []
    page = await client.list_orders(OrderQuery(limit=3))
    seen += [one.id for one in page.data]
    await client.create_order(order("late"))
    while page.next_cursor:
        page = await client.list_orders(OrderQuery(limit=3, cursor=page.next_cursor))
        seen += [one.id for one in page.data]
    assert seen == made[::-1]
    found = [one.source_id async for one in walk(lambda cursor: client.list_orders(OrderQuery(limit=2, cursor=cursor)))]
    assert found == ["late", *(f"A-{n}" for n in reversed(range(7)))]
    assert [one.id for one in (await client.list_orders(OrderQuery(source_id="A-3"))).data] == [made[3]]


async def test_a_cursor_of_another_list_is_refused(client: RestClient) -> None:
    for cursor in ("x", "!!", "WyJldmVudHMiLCIiLDFd", "WyJvcmRlcnMiLCJ6IiwwXQ", "é"):
        refused = await refusal(client.list_orders(OrderQuery(cursor=cursor)))
        assert (refused.status, refused.error.code, refused.error.param) == (422, "cursor.invalid", "cursor"), cursor


async def test_a_merchants_own_list_of_assets_holds(rest: Rest) -> None:
    signer: Signer = await rest.signer(allowed_assets=("trx-tron",))
    async with rest.client(replace(signer)) as client:
        refused = await refusal(client.create_order(order()))
        assert (refused.status, refused.error.code, refused.error.param) == (422, "order.asset_not_offered", "asset")
