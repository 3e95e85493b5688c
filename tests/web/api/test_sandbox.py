"""The simulated world over the REST API: paid right and wrong, mined, moved on, and none of it where money is real."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.web.api.platform import Rest, Signer
from tests.web.api.test_orders import order, refusal

from bitlinkpay.client.rest import RestClient
from bitlinkpay.merchants.api_keys.model import Scope
from bitlinkpay.web.api.sandbox_shapes import AdvanceClock, MineBlocks, PayOrder
from bitlinkpay.web.api.shapes import CreatePreOrder, OrderBody
from bitlinkpay.web.api.shop_shapes import PickAsset


@pytest.fixture
async def made(client: RestClient) -> OrderBody:
    return await client.create_order(order())


async def sent(rest: Rest) -> list[tuple[str, str, int]]:
    """Return target, asset and units of what was broadcast, the oldest first."""
    async with rest.database.reader() as tx:
        rows = await tx.fetch("select target, asset, units from sim_transfers order by units")
    return [(row["target"], row["asset"], int(row["units"])) for row in rows]


async def test_an_order_is_paid_right_short_over_and_in_another_token(
    rest: Rest, client: RestClient, made: OrderBody
) -> None:
    paid = [
        await client.pay_order(PayOrder(order_id=made.id, amount="9.5")),
        await client.pay_order(PayOrder(order_id=made.id)),
        await client.pay_order(PayOrder(order_id=made.id)),
        await client.pay_order(PayOrder(order_id=made.id, amount="10.000001")),
        await client.pay_order(PayOrder(order_id=made.id, amount="50", asset="trx-tron")),
    ]
    assert len({one.txid for one in paid}) == 5, "each call is one more transfer"
    assert await sent(rest) == [
        (made.address, "usdt-tron", 9_500_000),
        (made.address, "usdt-tron", 10_000_000),
        (made.address, "usdt-tron", 10_000_000),
        (made.address, "usdt-tron", 10_000_001),
        (made.address, "trx-tron", 50_000_000),
    ]


async def test_blocks_are_mined_at_once(client: RestClient) -> None:
    first = await client.mine_blocks(MineBlocks(network="tron"))
    more = await client.mine_blocks(MineBlocks(network="tron", blocks=7))
    assert (first.network, more.height) == ("tron", first.height + 7)


async def test_business_time_moves_on_for_all_processes(rest: Rest, client: RestClient) -> None:
    before = datetime.now(UTC)
    told = await client.advance_clock(AdvanceClock(seconds=1_860))
    assert timedelta(seconds=1_860) <= told.business_now - before < timedelta(seconds=1_920)
    async with rest.database.reader() as tx:
        assert await tx.fetchval("select offset_us from sandbox_clock") == 1_860_000_000


@pytest.mark.parametrize(
    ("target", "body", "param"),
    [
        ("payments", b'{"order_id":"pay_1"}', "order_id"),
        ("payments", b'{"order_id":"%s","amount":"0"}', "amount"),
        ("payments", b'{"order_id":"%s","amount":"-1"}', "amount"),
        ("payments", b'{"order_id":"%s","amount":"0.0000001"}', "amount"),
        ("payments", b'{"order_id":"%s","asset":"btc-bitcoin"}', "asset"),
        ("payments", b'{"order_id":"%s","asset":"usdt-mars"}', "asset"),
        ("blocks", b'{"network":"mars"}', "network"),
        ("blocks", b'{"network":"tron","blocks":0}', "blocks"),
        ("blocks", b'{"network":"tron","blocks":101}', "blocks"),
        ("clock", b'{"seconds":0}', "seconds"),
        ("clock", b'{"seconds":-60}', "seconds"),
        ("clock", b'{"seconds":2592001}', "seconds"),
        ("clock", b"{}", "seconds"),
    ],
)
async def test_what_no_world_does_is_refused(
    client: RestClient, made: OrderBody, target: str, body: bytes, param: str
) -> None:
    answer = await client.send("POST", f"/v1/sandbox/{target}", body.replace(b"%s", made.id.encode()))
    assert answer.status == 422, answer.body
    assert f'"param":"{param}"'.encode() in answer.body, answer.body


async def test_a_pre_order_is_paid_once_its_network_is_picked(rest: Rest, client: RestClient) -> None:
    made = await client.create_pre_order(CreatePreOrder(source_id="P-1", coin="USDT", fiat_amount="72"))
    refused = await refusal(client.pay_order(PayOrder(order_id=made.id)))
    assert (refused.status, refused.error.type) == (409, "conflict")
    picked = await client.pick_asset(made.id, PickAsset(asset="usdt-tron"))
    await client.pay_order(PayOrder(order_id=made.id))
    assert await sent(rest) == [(picked.address, "usdt-tron", 10_000_000)]


async def test_API_31_another_merchants_order_is_paid_by_nobody_else(rest: Rest, made: OrderBody) -> None:
    async with rest.client(await rest.signer()) as stranger:
        for order_id in (made.id, "pay_" + "0" * 32):
            refused = await refusal(stranger.pay_order(PayOrder(order_id=order_id)))
            assert (refused.status, refused.error.code) == (404, "order.not_found")
    assert await sent(rest) == []


async def test_a_live_deployment_has_no_world_to_move(live_rest: Rest) -> None:
    async with live_rest.client(await live_rest.signer()) as client:
        made = await client.create_order(order())
        for call in (
            client.pay_order(PayOrder(order_id=made.id)),
            client.mine_blocks(MineBlocks(network="tron")),
            client.advance_clock(AdvanceClock(seconds=1)),
        ):
            refused = await refusal(call)
            assert (refused.status, refused.error.code) == (403, "sandbox.only")
    assert await sent(live_rest) == []


async def test_a_key_that_makes_no_orders_moves_no_world(rest: Rest, signer: Signer, made: OrderBody) -> None:
    reader = await rest.signer(signer.merchant, scopes=frozenset({Scope.READ, Scope.PAYOUT}))
    async with rest.client(reader) as keyless:
        refused = await refusal(keyless.pay_order(PayOrder(order_id=made.id)))
        assert (refused.status, refused.error.code) == (403, "api_key.missing_scope")
