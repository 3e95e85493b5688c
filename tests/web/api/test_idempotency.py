"""An idempotency key makes one request of many: one effect, one answer, whatever breaks in between."""

import asyncio
import json
from datetime import timedelta

import msgspec
import pytest
from tests.web.api.platform import Rest, Signer
from tests.web.api.test_orders import order, refusal
from tests.web.wm.test_withdrawals import TARGET

from bitlinkpay.client.rest import RawAnswer, RestClient
from bitlinkpay.db import idempotency
from bitlinkpay.db.idempotency import Key
from bitlinkpay.web.api.deeds import key_of
from bitlinkpay.web.api.refusals import Unreadable
from bitlinkpay.web.api.shapes import CreatePayout

KEY = "0a3e7b9c-1f"


async def post(client: RestClient, body: object, *, key: str = KEY, target: str = "/v1/orders") -> RawAnswer:
    return await client.send("POST", target, msgspec.json.encode(body), headers={"idempotency-key": key})


def code(answer: RawAnswer) -> str:
    return json.loads(answer.body)["code"]


async def test_the_same_request_gets_the_first_answer_again(rest: Rest, client: RestClient) -> None:
    first = await post(client, order())
    async with (
        rest.database.transaction() as tx
    ):  # the answer is that of the first moment, whatever became of the order
        await tx.execute("update payins set labels = '{short}'")
    again = await post(client, order())
    assert (again.status, again.body) == (first.status, first.body) == (201, first.body)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["request-id"] != first.headers["request-id"]
    assert await rest.count("payins") == 1


async def test_a_refusal_is_an_answer_too(rest: Rest, client: RestClient, signer: Signer) -> None:
    asked = CreatePayout(source_id="W-1", asset="usdt-tron", address=TARGET, amount="20")
    first = await post(client, asked, target="/v1/payouts")
    assert (first.status, code(first)) == (409, "payout.balance_too_low")
    await rest.give(signer.merchant, "usdt-tron", 100_000_000)
    again = await post(client, asked, target="/v1/payouts")
    assert (again.status, again.body) == (409, first.body)
    fresh = await post(client, asked, target="/v1/payouts", key="another")
    assert fresh.status == 201


async def test_what_is_unavailable_or_unreadable_is_kept_by_nobody(rest: Rest, client: RestClient) -> None:
    assert (await post(client, order(currency="XTS"))).status == 503
    assert (await post(client, {"source_id": "A-1"})).status == 422
    assert await rest.count("api_answers") == 0
    assert (await post(client, order())).status == 201


async def test_another_request_under_the_key_is_refused_and_does_nothing(rest: Rest, client: RestClient) -> None:
    await post(client, order())
    for body, target in (
        (order(fiat_amount="73"), "/v1/orders"),
        (order(), "/v1/pre-orders"),
        (order("A-2"), "/v1/orders"),
    ):
        refused = await post(client, body, target=target)
        assert refused.status in {409, 422}
        assert code(refused) in {"idempotency.key_reused", "request.invalid"}
    assert code(await post(client, order("A-2"))) == "idempotency.key_reused"
    assert await rest.count("payins") == 1


async def test_two_merchants_may_use_one_key(rest: Rest, client: RestClient) -> None:
    await post(client, order())
    async with rest.client(await rest.signer()) as other:
        answer = await post(other, order(fiat_amount="144"))
        assert answer.status == 201
        assert "idempotent-replayed" not in answer.headers


async def test_API_19_parallel_requests_under_one_key_have_one_effect(
    rest: Rest, signer: Signer, client: RestClient
) -> None:
    await rest.give(signer.merchant, "usdt-tron", 100_000_000)
    asked = CreatePayout(source_id="W-1", asset="usdt-tron", address=TARGET, amount="20")
    answers = await asyncio.gather(*(post(client, asked, target="/v1/payouts") for _ in range(30)))
    good = [answer for answer in answers if answer.status == 201]
    assert len({answer.body for answer in good}) == 1
    assert {code(answer) for answer in answers if answer.status != 201} <= {"idempotency.in_progress"}
    assert await rest.count("payouts") == await rest.count("sendings") == await rest.count("api_answers") == 1


async def test_API_22_a_request_whose_twin_still_runs_is_told_so(
    rest: Rest, client: RestClient, signer: Signer
) -> None:
    key = Key(signer.merchant.merchant_id, KEY, b"h" * 32)
    async with rest.database.transaction() as tx:
        assert await idempotency.take(tx, key)
        refused = await post(client, order())
        assert (refused.status, code(refused)) == (409, "idempotency.in_progress")
        assert await rest.count("payins") == 0
    assert (await post(client, order())).status == 201


async def test_a_crash_leaves_the_key_open_and_the_work_undone(rest: Rest, client: RestClient, signer: Signer) -> None:
    """Whatever dies before COMMIT takes both along: the order and its answer."""

    class Died(Exception):
        pass

    key = Key(signer.merchant.merchant_id, KEY, b"h" * 32)
    with pytest.raises(Died):
        async with rest.database.transaction() as tx:
            assert await idempotency.take(tx, key)
            await idempotency.keep(tx, key, 201, b"{}", now=rest.wall.now())
            raise Died
    made = await post(client, order())
    assert made.status == 201
    assert "idempotent-replayed" not in made.headers


async def test_the_same_order_under_a_new_key_is_found(rest: Rest, client: RestClient) -> None:
    """A client that lost its key finds by `source_id` what there is."""
    first = await post(client, order())
    second = await post(client, order(), key="another")
    assert json.loads(second.body)["id"] == json.loads(first.body)["id"]
    assert await rest.count("payins") == 1


async def test_answers_are_kept_for_24_hours(rest: Rest, client: RestClient) -> None:
    await post(client, order())
    rest.wall.advance(idempotency.KEPT - timedelta(minutes=1))
    async with rest.database.transaction() as tx:
        assert await idempotency.purge(tx, rest.wall.now()) == 0
        assert await tx.fetchval("select count(*) from api_answers") == 1
    rest.wall.advance(timedelta(minutes=2))
    rest.wall.set(rest.wall.now())
    async with rest.database.transaction() as tx:
        key = Key(await tx.fetchval("select merchant_id from api_answers"), KEY, b"h" * 32)
        assert await idempotency.find(tx, key, now=rest.wall.now()) is None
        await idempotency.keep(tx, key, 200, b"new", now=rest.wall.now())
        found = await idempotency.find(tx, key, now=rest.wall.now())
        assert found is not None
        assert found.body == b"new"
        await idempotency.keep(tx, key, 200, b"newer", now=rest.wall.now())
        assert await idempotency.find(tx, key, now=rest.wall.now()) == found
        rest.wall.advance(idempotency.KEPT)
        assert await idempotency.purge(tx, rest.wall.now()) == 1


async def test_an_odd_key_is_refused(client: RestClient) -> None:
    for key in ("", " ", "a" * 256, "two words", "ключ"):
        refused = await post(client, order(), key=key)
        assert (refused.status, code(refused)) == (400, "request.malformed")
    for keys, is_good in (([], True), (["one"], True), (["one", "one"], False), (["one", "two"], False)):
        if is_good:
            assert key_of(keys) == "".join(keys)
        else:
            with pytest.raises(Unreadable):
                key_of(keys)


async def test_cancelling_twice_under_one_key_is_one_cancel(client: RestClient) -> None:
    made = await client.create_order(order())
    first = await client.cancel_order(made.id, idempotency_key=KEY)
    assert await client.cancel_order(made.id, idempotency_key=KEY) == first
    refused = await refusal(client.cancel_order(made.id, idempotency_key="another"))
    assert refused.error.code == "order.not_cancellable"
