"""Who is let in: signatures, clocks, replays, networks, scopes, limits; and what a stolen database could sign."""

import asyncio
import json
import logging
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.news import until_heard
from tests.support.sealing import SEALER
from tests.web.api.platform import Rest, Signer
from tests.web.api.test_orders import order, refusal

from bitlinkpay.client.rest import RawAnswer, RestClient
from bitlinkpay.core.sealing import Sealer, Unsealable
from bitlinkpay.merchants.api_keys import store
from bitlinkpay.merchants.api_keys.model import Scope
from bitlinkpay.merchants.api_keys.service import secret_of
from bitlinkpay.merchants.api_keys.signing import SignedText, hmac_signer, write_signature
from bitlinkpay.merchants.store import CHANNEL
from bitlinkpay.web.api.shapes import CreatePayout

TARGET = "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL"


async def told(client: RestClient, signer: Signer, **changed: str) -> tuple[int, str]:
    """Ask for the balances with a signature of the test's own making; return status and code."""
    answer = await sent(client, signer, **changed)
    return answer.status, json.loads(answer.body).get("code", "")


async def sent(client: RestClient, signer: Signer, **changed: str) -> RawAnswer:
    now, nonce = str(int(datetime.now(UTC).timestamp())), secrets.token_urlsafe(16)
    signed = {"method": "GET", "target": "/v1/balances", "time": now, "nonce": nonce, "body": ""} | changed
    text = SignedText(signed["method"], signed["target"], signed["time"], signed["nonce"], signed["body"].encode())
    headers = {
        "blp-key": changed.get("key", signer.key_id),
        "blp-time": signed["time"],
        "blp-nonce": signed["nonce"],
        "blp-signature": changed.get("signature", write_signature(signer.sign(text.encode()))),
    }
    return await client.send("GET", "/v1/balances", headers=headers)


@pytest.mark.parametrize("is_ed25519", [False, True], ids=["hmac", "ed25519"])
async def test_a_signed_request_is_let_in_and_any_change_to_it_is_not(rest: Rest, is_ed25519: bool) -> None:
    signer = await rest.signer(is_ed25519=is_ed25519)
    async with rest.client(signer) as client:
        assert await told(client, signer) == (200, "")
        for name, other in (
            ("method", "POST"),
            ("target", "/v1/balances?"),
            ("target", "/v1/entries"),
            ("body", "{}"),
        ):
            assert await told(client, signer, **{name: other}) == (401, "signature.refused"), name
        good = write_signature(signer.sign(b"another text"))
        for wrong in (good, good[:-4], good.lower(), "A" * 88, "*", "é"):
            assert await told(client, signer, signature=wrong) == (401, "signature.refused"), wrong


async def test_signatures_of_one_key_are_nothing_under_another(rest: Rest, client: RestClient, signer: Signer) -> None:
    other = await rest.signer()
    assert await told(client, signer, key=other.key_id) == (401, "signature.refused")
    assert await told(client, signer, key="key_" + "0" * 32) == (401, "signature.refused")


@pytest.mark.parametrize("name", ["blp-key", "blp-time", "blp-nonce", "blp-signature"])
async def test_API_16_a_missing_or_odd_header_is_one_refusal(client: RestClient, name: str) -> None:
    for value in ("", " ", "x", "12345678901", "1.764e9", "-764000000", "١٢٣٤٥٦٧٨٩٠", "a" * 65):
        headers = client.sign("GET", "/v1/balances", b"")
        answer = await client.send("GET", "/v1/balances", headers={**headers, name: value})
        assert (answer.status, json.loads(answer.body)["code"]) == (401, "signature.refused"), value


async def test_API_16_a_clock_more_than_five_minutes_off_is_told_so(
    rest: Rest, client: RestClient, signer: Signer
) -> None:
    now = rest.wall.now().replace(microsecond=0)
    rest.wall.set(now)
    for off, status in ((300, 200), (-300, 200), (301, 401), (-301, 401)):
        moment = str(int((now + timedelta(seconds=off)).timestamp()))
        answer = await told(client, signer, time=moment)
        assert answer == ((200, "") if status == 200 else (401, "signature.clock"))


async def test_API_17_a_request_is_answered_once(rest: Rest, client: RestClient, signer: Signer) -> None:
    body = b'{"source_id":"A-1","asset":"usdt-tron","fiat_amount":"72"}'
    headers = client.sign("POST", "/v1/orders", body)
    answers = await asyncio.gather(*(client.send("POST", "/v1/orders", body, headers=headers) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [201] + [401] * 19
    assert {json.loads(answer.body)["code"] for answer in answers if answer.status == 401} == {"signature.replayed"}
    async with rest.database.reader() as tx:
        assert await tx.fetchval("select count(*) from envelope_seals") == 1


async def test_API_18_the_same_nonce_in_another_request_is_no_replay(client: RestClient, signer: Signer) -> None:
    nonce, now = "n" * 16, int(datetime.now(UTC).timestamp())
    assert await told(client, signer, nonce=nonce, time=str(now)) == (200, "")
    assert await told(client, signer, nonce=nonce, time=str(now)) == (401, "signature.replayed")
    assert await told(client, signer, nonce=nonce, time=str(now + 7)) == (200, "")


async def test_API_05_a_revoked_key_is_refused_at_the_next_request(
    rest: Rest, client: RestClient, signer: Signer
) -> None:
    assert await told(client, signer) == (200, "")
    await rest.revoke(signer)
    await until_heard(rest.database, CHANNEL)
    assert await told(client, signer) == (401, "signature.refused")


async def test_API_44_a_suspended_merchant_is_told_so(rest: Rest, client: RestClient, signer: Signer) -> None:
    await rest.suspend(signer.merchant)
    assert await told(client, signer) == (403, "merchant.suspended")


async def test_a_key_works_from_its_networks_only(rest: Rest) -> None:
    inside, outside = (
        await rest.signer(networks=("127.0.0.0/8",)),
        await rest.signer(networks=("10.0.0.0/8", "::1/128")),
    )
    async with rest.client(inside) as client:
        assert await told(client, inside) == (200, "")
    async with rest.client(outside) as client:
        assert await told(client, outside) == (401, "signature.refused")


async def test_API_06_an_address_in_a_header_is_nobodys_address(rest: Rest) -> None:
    signer = await rest.signer(networks=("10.0.0.0/8",))
    async with rest.client(signer) as client:
        for name in ("x-forwarded-for", "forwarded", "x-real-ip"):
            answer = await client.send("GET", "/v1/balances", headers={name: "10.0.0.1"})
            assert answer.status == 401


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        ({Scope.READ}, {"listOrders", "listPayouts", "listBalances"}),
        ({Scope.PAYIN}, {"listOrders", "createOrder"}),
        ({Scope.PAYOUT}, {"listPayouts", "createPayout"}),
        ({Scope.PAYIN, Scope.PAYOUT}, {"listOrders", "createOrder", "listPayouts", "createPayout"}),
    ],
)
async def test_a_key_may_do_what_its_scopes_say(rest: Rest, scopes: set[Scope], allowed: set[str]) -> None:
    signer = await rest.signer(scopes=frozenset(scopes))
    payout = b'{"source_id":"W-1","asset":"usdt-tron","address":"x","amount":"1"}'
    asked = {
        "listOrders": ("GET", "/v1/orders", b""),
        "listPayouts": ("GET", "/v1/payouts", b""),
        "listBalances": ("GET", "/v1/balances", b""),
        "createOrder": ("POST", "/v1/orders", b'{"source_id":"A","asset":"usdt-tron","fiat_amount":"72"}'),
        "createPayout": ("POST", "/v1/payouts", payout),
    }
    async with rest.client(signer) as client:
        for name, (method, target, body) in asked.items():
            answer = await client.send(method, target, body)
            code = json.loads(answer.body).get("code")
            assert (
                (answer.status, code) == (403, "api_key.missing_scope") if name not in allowed else answer.status != 403
            )


async def test_API_45_a_live_payout_comes_from_a_listed_network(live_rest: Rest) -> None:
    payout = CreatePayout(source_id="W-1", asset="usdt-tron", address=TARGET, amount="5")
    for networks, key_networks, is_taken in (
        ((), (), False),
        (("10.0.0.0/8",), (), False),
        (("10.0.0.0/8",), ("127.0.0.0/8",), False),
        (("127.0.0.0/8",), (), True),
        ((), ("127.0.0.0/8",), True),
    ):
        signer = await live_rest.signer(networks=key_networks, payout_networks=networks)
        await live_rest.give(signer.merchant, "usdt-tron", 100_000_000)
        async with live_rest.client(signer) as client:
            if is_taken:
                assert (await client.create_payout(payout)).state == "approved"
            else:
                refused = await refusal(client.create_payout(payout))
                assert (refused.status, refused.error.code) == (403, "withdraw.not_from_here")


async def test_API_38_a_key_beyond_its_rate_is_told_when_to_come_back_and_others_are_not(rest: Rest) -> None:
    signer, other = await rest.signer(rate_per_minute=60), await rest.signer()
    async with rest.client(signer) as client:
        answers = [await client.send("GET", "/v1/balances") for _ in range(21)]
        assert [answer.status for answer in answers[:20]] == [200] * 20
        assert answers[0].headers["ratelimit-limit"] == "20"
        left = [int(answer.headers["ratelimit-remaining"]) for answer in answers[:20]]
        assert left[0] == 19
        assert left == sorted(left, reverse=True)
        assert int(answers[19].headers["ratelimit-reset"]) in range(18, 21)
        refused = answers[20]
        assert (refused.status, json.loads(refused.body)["code"]) == (429, "request.too_many")
        assert refused.headers["retry-after"] == "1"
    async with rest.client(other) as client:
        assert (await client.send("GET", "/v1/balances")).status == 200


async def test_who_cannot_sign_uses_up_nobodys_rate(rest: Rest) -> None:
    signer = await rest.signer(rate_per_minute=60)
    async with rest.client(signer) as client:
        for _ in range(40):
            assert (await told(client, signer, signature="AAAA"))[0] == 401
        assert await told(client, signer) == (200, "")


async def test_refused_signatures_are_noted_and_the_log_is_not_flooded(
    client: RestClient, signer: Signer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="bitlinkpay.security"):
        for _ in range(70):
            await told(client, signer, signature="AAAA")
    noted = [record.getMessage() for record in caplog.records if record.name == "bitlinkpay.security"]
    assert 60 <= len(noted) <= 62
    assert all(signer.key.key_id.hex in line and signer.merchant.broker in line for line in noted)


async def test_what_the_database_holds_of_a_key_signs_nothing(rest: Rest, signer: Signer) -> None:
    async with rest.database.reader() as tx:
        stored = (await store.find_keys(tx, [signer.key.key_id]))[0]
    assert stored is not None
    secret = secret_of(SEALER, stored)
    assert signer.sign(b"x") == hmac_signer(secret)(b"x")
    assert secret.encode() not in stored.material
    other = (await rest.signer()).key
    for sealer, key in (
        (Sealer(b"7" * 32), stored),
        (SEALER, replace(stored, key_id=other.key_id)),
        (SEALER, replace(stored, material=other.material)),
        (SEALER, replace(stored, material=stored.material[:-1] + b"\0")),
        (SEALER, replace(stored, material=b"")),
    ):
        with pytest.raises(Unsealable):
            secret_of(sealer, key)


async def test_a_host_that_cannot_open_a_secret_says_so_and_lets_nobody_in(
    rest: Rest, client: RestClient, signer: Signer
) -> None:
    async with rest.database.transaction() as tx:
        await tx.execute("update api_keys set material = $1", b"x" * 60)
    answer = await sent(client, signer)
    found = json.loads(answer.body)
    assert (answer.status, found["code"], found["type"]) == (503, "service.unavailable", "unavailable")
    assert "secret" not in found["message"]


async def test_an_order_under_a_key_is_its_merchants(rest: Rest) -> None:
    first, second = await rest.signer(), await rest.signer()
    async with rest.client(first) as one, rest.client(second) as two:
        made = [(await one.create_order(order())).id, (await two.create_order(order())).id]
        assert len(set(made)) == 2
        assert [found.id for found in (await one.list_orders()).data] == made[:1]
