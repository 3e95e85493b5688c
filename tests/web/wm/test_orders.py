"""Orders through mutual TLS and the envelope: created, repeated, looked up, cancelled; and the same in plain mode."""

import asyncio
import json
from decimal import Decimal

import pytest
from tests.support.locks import until_someone_waits
from tests.web.wm.platform import MerchantApi

from bitlinkpay.client.wm import WmRefused
from bitlinkpay.core.errors import Problem
from bitlinkpay.payins.model import NewOrder
from bitlinkpay.wm.bodies import CreateOrder, CreatePreOrder, write_request
from bitlinkpay.wm.ids import Route


def order(source_id: str = "a-1", **changed: object) -> CreateOrder:
    fields: dict[str, object] = {"chain_id": 1, "coin_id": 1, "fiat_amount": Decimal("7.2"), "symbol": "USDT/CNY"}
    return CreateOrder(source_id=source_id, **(fields | changed))


async def refusal(call) -> WmRefused:
    with pytest.raises(WmRefused) as caught:
        await call
    return caught.value


@pytest.mark.parametrize("mode", ["encrypted", "plain"])
async def test_an_order_from_creation_to_cancel(api: MerchantApi, mode: str) -> None:
    merchant = await api.merchant()
    async with api.client(merchant) if mode == "encrypted" else api.plain(merchant) as client:
        made = await client.create_order(order(lang="zh"))
        assert (made.source_id, made.chain_id, made.coin_id) == ("a-1", 1, 1)
        assert (made.fiat_amount, made.symbol, made.exchange_rate) == (Decimal("7.2"), "USDT/CNY", Decimal("7.2"))
        assert (made.amount, made.service_fee) == (Decimal(1), Decimal("0.003"))
        assert len(made.order_id) == 32
        assert made.url == f"https://pay.example/pay/{made.order_id}"
        seen = await client.detail("a-1")
        assert (seen.order_id, seen.status, seen.status_desc) == (made.order_id, 0, "Order Created")
        assert seen.address.startswith("T")
        assert (seen.tag, seen.hash) == ("", "")
        assert (seen.amount, seen.service_fee, seen.url) == (made.amount, made.service_fee, made.url)
        await client.cancel("a-1")
        after = await client.detail("a-1")
        assert (after.status, after.status_desc) == (12, "User Cancel")


@pytest.mark.parametrize(
    ("chain_id", "coin_id", "start"),
    [(1, 1, "T"), (1, 2, "T"), (2, 1, "UQ"), (3, 1, "0x"), (3, 4, "0x"), (4, 1, "0x"), (8, 6, "bc1")],
)
async def test_each_network_spells_its_address(api: MerchantApi, chain_id: int, coin_id: int, start: str) -> None:
    async with api.client(await api.merchant()) as client:
        asset = api.registry.asset_by_wm(chain_id, coin_id)
        assert asset is not None
        asked = order(chain_id=chain_id, coin_id=coin_id, symbol=f"{asset.symbol}/CNY", amount=Decimal(2))
        made = await client.create_order(asked)
        seen = await client.detail("a-1")
        assert (seen.chain_id, seen.coin_id, made.amount) == (chain_id, coin_id, Decimal(2))
        assert seen.address.startswith(start)
        assert (len(seen.tag) >= 8) == (chain_id == 2)


async def test_a_pre_order_before_the_pick_has_zeros_and_can_be_cancelled(api: MerchantApi) -> None:
    async with api.client(await api.merchant()) as client:
        links = {"home_url": "https://m.example/", "success_url": "https://m.example/ok?a=1&b=2", "failure_url": ""}
        asked = CreatePreOrder(source_id="p-1", coin="USDT", fiat_amount=Decimal(25), lang="zh", **links)
        made = await client.pre_order(asked)
        assert made.pay_url.endswith(made.order_id)
        assert await client.pre_order(asked) == made
        seen = await client.detail("p-1")
        assert (seen.chain_id, seen.coin_id, seen.address, seen.symbol) == (0, 0, "", "")
        assert (seen.amount, seen.exchange_rate, seen.service_fee, seen.status) == (0, 0, 0, 0)
        assert seen.fiat_amount == 25
        assert (await refusal(client.create_order(order("p-1")))).message.startswith("order.exists_different")
        await client.cancel("p-1")
        assert (await client.detail("p-1")).status == 12


async def test_API_19_two_hundred_parallel_creates_of_one_source_id_are_one_order(api: MerchantApi) -> None:
    merchant = await api.merchant()
    async with api.client(merchant) as client:
        answers = await asyncio.gather(*(client.create_order(order()) for _ in range(200)))
    assert len({answer.order_id for answer in answers}) == 1
    assert len(set(answers)) == 1
    assert await count_orders(api) == 1


async def count_orders(api: MerchantApi) -> int:
    async with api.database.reader() as tx:
        return int(await tx.fetchval("select count(*) from payins"))


DIFFERENT = {
    "amount": {"amount": Decimal(2)},
    "fiat amount": {"fiat_amount": Decimal("7.3")},
    "chain": {"chain_id": 3},
    "coin": {"coin_id": 2, "symbol": "TRX/CNY"},
    "callback": {"callback_url": "https://m.example/other"},
    "rate": {"exchange_rate": Decimal("7.1")},
    "language": {"lang": "en"},
}


@pytest.mark.parametrize("name", DIFFERENT)
async def test_API_20_the_same_source_id_with_other_fields_is_refused_and_changes_nothing(
    api: MerchantApi, name: str
) -> None:
    async with api.client(await api.merchant()) as client:
        first = await client.create_order(order())
        before = await client.detail("a-1")
        refused = await refusal(client.create_order(order(**DIFFERENT[name])))
        assert refused.code == 409
        assert refused.message.startswith("order.exists_different: ")
        assert await client.detail("a-1") == before
        assert await client.create_order(order()) == first


async def test_API_21_two_merchants_may_use_one_source_id(api: MerchantApi) -> None:
    async with api.client(await api.merchant("A")) as one, api.client(await api.merchant("B")) as two:
        first, second = await one.create_order(order()), await two.create_order(order())
        assert first.order_id != second.order_id
        assert (await one.detail("a-1")).address != (await two.detail("a-1")).address
        await one.cancel("a-1")
        assert ((await one.detail("a-1")).status, (await two.detail("a-1")).status) == (12, 0)


async def test_API_22_a_retry_while_the_first_still_runs_never_makes_a_second_order(api: MerchantApi) -> None:
    """The first creation is held back in the middle of its transaction by a lock on its row's key."""
    merchant = await api.merchant()
    async with api.client(merchant) as client, api.client(merchant) as again:
        async with api.database.transaction() as tx:
            await tx.execute("lock table payins in share row exclusive mode")
            first = asyncio.create_task(client.create_order(order()))
            second = asyncio.create_task(again.create_order(order()))
            await until_someone_waits(api.database)
            assert not first.done()
            assert not second.done()
        assert (await first).order_id == (await second).order_id
    assert await count_orders(api) == 1


async def test_API_23_a_retry_after_a_lost_answer_gets_the_same_result(api: MerchantApi) -> None:
    merchant = await api.merchant()
    async with api.client(merchant) as client:
        await client.post(Route.CREATE, write_request(order()))  # the answer goes nowhere
        found = await client.create_order(order())
        assert (await client.detail("a-1")).order_id == found.order_id
        hung_up = asyncio.create_task(client.create_order(order("a-2")))
        await asyncio.sleep(0.02)
        hung_up.cancel()
        assert (await client.create_order(order("a-2"))).source_id == "a-2"
    assert await count_orders(api) == 2


async def test_API_25_a_deposit_amount_with_too_many_digits_is_rounded_up_and_answered_so(api: MerchantApi) -> None:
    async with api.client(await api.merchant()) as client:
        made = await client.create_order(order(amount=Decimal("1.0000001")))
        assert made.amount == Decimal("1.000001")
        assert (await client.detail("a-1")).amount == Decimal("1.000001")
        by_rate = await client.create_order(order("a-2", fiat_amount=Decimal(1), exchange_rate=Decimal(3)))
        assert by_rate.amount == Decimal("0.333334")


@pytest.mark.parametrize("amount", ["0.0000001", "0.000001"])
async def test_API_26_an_amount_below_the_minimum_is_refused_by_name(api: MerchantApi, amount: str) -> None:
    async with api.client(await api.merchant()) as client:
        refused = await refusal(client.create_order(order(amount=Decimal(amount))))
        assert (refused.code, refused.message.partition(":")[0]) == (400, "order.amount_out_of_range")


@pytest.mark.parametrize(
    ("field", "literal", "code"),
    [
        ("fiat_amount", '"-5"', "request.invalid"),
        ("fiat_amount", "0", "request.invalid"),
        ("fiat_amount", '"1e3"', "request.invalid"),
        ("fiat_amount", "1e23", "request.invalid"),
        ("amount", '"NaN"', "request.invalid"),
        ("amount", "9999999999999999999999", "order."),
    ],
)
async def test_API_26_amounts_out_of_range_are_refused_with_a_code(
    api: MerchantApi, field: str, literal: str, code: str
) -> None:
    body = {"source_id": "a-1", "chain_id": 1, "coin_id": 1, "fiat_amount": "7.2", "symbol": "USDT/CNY"}
    body.pop(field, None)
    raw = f'{json.dumps(body)[:-1]},"{field}":{literal}}}'.encode()
    async with api.client(await api.merchant()) as client:
        if literal.startswith("9"):
            await client.call(Route.CREATE, raw)  # the largest that decimal(40,18) carries is an honest order
        else:
            assert (await refusal(client.call(Route.CREATE, raw))).message.startswith(code)


async def test_API_27_a_number_and_a_text_are_the_same_order(api: MerchantApi) -> None:
    async with api.client(await api.merchant()) as client:
        texts = b'{"source_id":"a","chain_id":1,"coin_id":1,"fiat_amount":"100","symbol":"USDT/CNY","amount":""}'
        numbers = b'{"source_id":"a","chain_id":1,"coin_id":1,"fiat_amount":1E+2,"symbol":"USDT/CNY","amount":0E-8}'
        assert await client.call(Route.CREATE, texts) == await client.call(Route.CREATE, numbers)


@pytest.mark.parametrize(
    "body",
    [
        b'{"source_id":"a","source_id":"b"}',
        b"[" * 10_000,
        b'{"source_id":' + b"[" * 10_000,
        b'\xef\xbb\xbf{"source_id":"a"}',
        '{"source_id":"a"}'.encode("utf-16"),
        b'{"source_id":"\\u0000"}',
        b'{"source_id":"\\ud800"}',
        b'{"source_id":"\xff"}',
        b"",
        b"null",
    ],
)
async def test_API_28_bodies_that_are_no_strict_json_are_refused_before_any_work(api: MerchantApi, body: bytes) -> None:
    async with api.client(await api.merchant()) as client:
        for route in Route:
            refused = await refusal(client.call(route, body))
            assert (refused.code, refused.message.partition(":")[0]) == (400, "request.malformed")


async def test_API_29_fields_of_our_own_making_bind_nothing(api: MerchantApi) -> None:
    async with api.client(await api.merchant("A")) as client:
        other = await api.merchant("B")
        body = {"source_id": "a-1", "chain_id": 1, "coin_id": 1, "fiat_amount": "7.2", "symbol": "USDT/CNY"}
        extra = {
            "status": 8,
            "state": "paid",
            "merchant_id": other.merchant.merchant_id.hex,
            "fee": "0",
            "service_fee": "0",
            "order_id": "f" * 32,
            "address": "TXYZ",
            "expires_at": "2100-01-01",
        }
        await client.call(Route.CREATE, json.dumps(body | extra).encode())
        seen = await client.detail("a-1")
        assert (seen.status, seen.service_fee) == (0, Decimal("0.003"))
        assert seen.order_id != "f" * 32
        async with api.client(other) as others:
            assert (await refusal(others.detail("a-1"))).code == 404


async def test_API_30_a_pair_that_is_not_offered_gets_no_address(api: MerchantApi) -> None:
    only_tron = await api.merchant(allowed_assets=("usdt-tron",))
    async with api.client(only_tron) as client:
        await client.create_order(order())
        for chain_id, coin_id, symbol in [(3, 1, "USDT/CNY"), (1, 2, "TRX/CNY")]:
            asked = order("a-2", chain_id=chain_id, coin_id=coin_id, symbol=symbol)
            refused = await refusal(client.create_order(asked))
            assert refused.message.startswith("order.asset_not_offered")
        for chain_id, coin_id in [(99, 1), (1, 99), (1, 6), (0, 0)]:
            refused = await refusal(client.create_order(order("a-2", chain_id=chain_id, coin_id=coin_id)))
            assert (refused.code, "chain_id" in refused.message) == (400, True)
        assert (await refusal(client.detail("a-2"))).code == 404
        refused = await refusal(client.pre_order(CreatePreOrder(source_id="p", coin="ETH", fiat_amount=Decimal(1))))
        assert refused.message.startswith("order.asset_not_offered")


async def test_API_31_another_merchants_order_reads_as_a_missing_one(api: MerchantApi) -> None:
    async with api.client(await api.merchant("A")) as owner, api.client(await api.merchant("B")) as stranger:
        made = await owner.create_order(order())
        words = set()
        for source_id in ("a-1", made.order_id, f"pay_{made.order_id}", "never-there"):
            for call in (stranger.detail(source_id), stranger.cancel(source_id)):
                refused = await refusal(call)
                words.add((refused.code, refused.message))
        assert words == {(404, "order.not_found: no order with this source_id")}
        assert (await owner.detail("a-1")).status == 0


async def test_API_33_cancelling_what_is_cancelled_is_one_stable_refusal(api: MerchantApi) -> None:
    async with api.client(await api.merchant()) as client:
        await client.create_order(order())
        await client.cancel("a-1")
        words = {(r.code, r.message) for r in [await refusal(client.cancel("a-1")) for _ in range(3)]}
        assert words == {(409, "order.not_cancellable: the order cannot be cancelled: it is cancelled")}


async def test_API_34_the_merchants_own_rate_is_taken_and_must_agree(api: MerchantApi) -> None:
    async with api.client(await api.merchant()) as client:
        far = await client.create_order(order(exchange_rate=Decimal("0.5")))
        assert (far.exchange_rate, far.amount) == (Decimal("0.5"), Decimal("14.4"))
        alone = await client.create_order(order("a-2", amount=Decimal(3)))
        assert (alone.amount, alone.exchange_rate) == (Decimal(3), Decimal("2.4"))
        both = await client.create_order(order("a-3", amount=Decimal("2.4"), exchange_rate=Decimal(3)))
        assert both.amount == Decimal("2.4")
        almost = order("a-4", amount=Decimal("0.333333"), exchange_rate=Decimal(3), fiat_amount=Decimal(1))
        assert (await client.create_order(almost)).amount == Decimal("0.333333")
        wrong = order("a-5", amount=Decimal("0.333330"), exchange_rate=Decimal(3), fiat_amount=Decimal(1))
        assert (await refusal(client.create_order(wrong))).message.startswith("order.price_disagrees")


async def test_a_price_that_nobody_quotes_is_no_order(api: MerchantApi) -> None:
    async with api.client(await api.merchant()) as client:
        refused = await refusal(client.create_order(order(symbol="USDT/XAF")))
        assert refused.code == 503
        assert (await refusal(client.detail("a-1"))).code == 404


BAD_CALLBACKS = [
    "http://10.0.0.1/", "https://192.168.1.1/cb", "https://169.254.169.254/latest/meta-data", "https://[fe80::1]/",
    "https://user:pass@merchant.example/", "ftp://merchant.example/", "javascript:alert(1)", "https://merchant.example:22/",
    "https://xn--80ak6aa92e.com/", "https://merchant.example/\r\nx: y", "merchant.example/cb", "https://2130706433/",
    "https://0x0a000001/",
]  # fmt: skip


async def test_API_35_callback_urls_that_lead_inside_are_refused_at_creation(api: MerchantApi) -> None:
    async with api.client(await api.merchant()) as client:
        for url in BAD_CALLBACKS:
            refused = await refusal(client.create_order(order(callback_url=url)))
            assert (refused.code, refused.message.partition(":")[0]) == (400, "callback_url.forbidden"), url
            pre = CreatePreOrder(source_id="a-1", coin="USDT", fiat_amount=Decimal(1), callback_url=url)
            assert (await refusal(client.pre_order(pre))).code == 400, url
        assert (await refusal(client.detail("a-1"))).code == 404


BAD_LINKS = [
    "javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "ftp://merchant.example/", "//evil.example/",
    "/relative", "https:evil.example", "https:///x", "https://user@merchant.example/", "https://merchant.example@evil.example/",
    "https://merchant.example\\@evil.example/", "https://merchant.example/\r\nset-cookie: a=b", " https://merchant.example/",
    "https://evil.example/", "https://merchant.example.evil.example/", "https://merch\u0430nt.example/", "https://merchant.example:x/",
    "vbscript:x", "https://", "mailto:a@b.c",
]  # fmt: skip


@pytest.mark.parametrize("field", ["home_url", "success_url", "failure_url"])
async def test_API_36_return_links_that_lead_elsewhere_are_refused(api: MerchantApi, field: str) -> None:
    merchant = await api.merchant(return_hosts=("merchant.example",))
    async with api.client(merchant) as client:
        for url in BAD_LINKS:
            asked = CreatePreOrder(source_id="a-1", coin="USDT", fiat_amount=Decimal(1), **{field: url})
            refused = await refusal(client.pre_order(asked))
            assert refused.message.startswith("return_link.forbidden"), url
        good = CreatePreOrder(
            source_id="a-1", coin="USDT", fiat_amount=Decimal(1), **{field: "https://merchant.example:8443/a?b=c#d"}
        )
        assert (await client.pre_order(good)).order_id


HOSTILE = [
    "'; DROP TABLE payins; --", "{{7*7}}", "a\r\nSet-Cookie: b=c", "<script>alert(1)</script>", "\U0001f4b8", "\u202egnp",
    "%s%n", "../../etc", "a\tb", "\u200b", "NULL", "x" * 128,
]  # fmt: skip


async def test_API_37_hostile_text_is_stored_and_given_back_as_text(api: MerchantApi) -> None:
    async with api.client(await api.merchant()) as client:
        for text in HOSTILE:
            made = await client.create_order(order(text, lang=text[:64]))
            assert made.source_id == text
            seen = await client.detail(text)
            assert (seen.source_id, seen.order_id) == (text, made.order_id)
    assert await count_orders(api) == len(HOSTILE)


async def test_source_ids_of_deposits_and_withdrawals_do_not_meet(api: MerchantApi) -> None:
    async with api.client(await api.merchant()) as client:
        await client.create_order(order("same"))
        assert (await refusal(client.withdraw_detail("same"))).code == 404


async def test_a_thousand_orders_in_parallel_are_all_there_with_addresses_of_their_own(api: MerchantApi) -> None:
    merchant = await api.merchant(rate_per_minute=1_000_000)
    async with api.client(merchant) as client:
        made = await asyncio.gather(*(client.create_order(order(f"n-{number}")) for number in range(1000)))
        assert len({answer.order_id for answer in made}) == 1000
        details = await asyncio.gather(*(client.detail(f"n-{number}") for number in range(0, 1000, 50)))
    assert [seen.source_id for seen in details] == [f"n-{number}" for number in range(0, 1000, 50)]
    async with api.database.reader() as tx:
        assert await tx.fetchval("select count(distinct address) from payins") == 1000


async def test_preparing_alone_stores_nothing(api: MerchantApi) -> None:
    merchant = await api.merchant()
    new = NewOrder(
        merchant=merchant.merchant,
        source_id="a",
        asset=api.registry.assets["usdt-tron"],
        fiat_amount=Decimal(1),
        symbol="USDT/CNY",
        exchange_rate=None,
        amount=None,
        callback_url="",
        lang="",
    )
    assert not isinstance(await api.payins.prepare(new), Problem)
    assert await count_orders(api) == 0


async def test_plain_mode_believes_the_broker_and_only_on_its_own_port(api: MerchantApi) -> None:
    merchant = await api.merchant()
    async with api.plain(merchant) as client:
        made = await client.create_order(order())
    async with api.client(merchant) as encrypted:
        assert (await encrypted.detail("a-1")).order_id == made.order_id
