"""Who is let in and in which words the others are turned away: certificate, envelope, broker, clock, replay, limits."""

import asyncio
import base64
import json
import logging
import random
import secrets
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.clock import ManualClock
from tests.support.locks import until_someone_waits
from tests.support.news import until_heard
from tests.web.wm.platform import MerchantApi, TestMerchant
from tests.web.wm.test_orders import count_orders, order

from bitlinkpay.chains.registry import Registry
from bitlinkpay.client.wm import WmClient, WmRefused, WmTurnedAway, WmUnreachable
from bitlinkpay.core.mode import Mode
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants import service as merchants
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.merchants.certificates import PUBLISHED
from bitlinkpay.merchants.store import CHANNEL
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.web.wm.body import BodyLimits
from bitlinkpay.web.wm.gate import UNIFORM, ClosedGate, PlainGate
from bitlinkpay.web.wm.limits import Rate
from bitlinkpay.wm.envelope import Sealed
from bitlinkpay.wm.ids import OuterCode, Route

BODY = {"source_id": "a-1", "chain_id": 1, "coin_id": 1, "fiat_amount": "7.2", "symbol": "USDT/CNY"}
UNIFORM_BYTES = json.dumps({"code": 1000, "msg": UNIFORM.message, "data": None}, separators=(",", ":")).encode()


async def turned_away(call) -> tuple[int, str]:
    with pytest.raises(WmTurnedAway) as caught:
        await call
    return caught.value.code, caught.value.message


def now_ms(*, off: timedelta = timedelta(0)) -> int:
    return int((datetime.now(UTC) + off).timestamp() * 1000)


async def test_API_02_a_good_envelope_under_another_merchants_certificate_is_the_uniform_refusal(
    api: MerchantApi, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = await api.merchant("A"), await api.merchant("B")
    caplog.set_level(logging.WARNING, logger="bitlinkpay.security")
    async with api.client(one, broker=two.broker) as client:
        assert await turned_away(client.create_order(order())) == (1000, UNIFORM.message)
    assert await count_orders(api) == 0
    (event,) = [record.getMessage() for record in caplog.records if record.name == "bitlinkpay.security"]
    assert one.broker in event
    assert one.spki.hex() in event
    assert "another broker" in event


async def test_API_02_a_broker_that_does_not_exist_reads_the_same(api: MerchantApi) -> None:
    one = await api.merchant()
    for broker in ("nobody", one.broker.upper(), one.broker + " ", "x" * 65, "'; --"):
        async with api.client(one, broker=broker) as client:
            assert await turned_away(client.detail("a-1")) == (1000, UNIFORM.message)


async def test_API_03_a_published_key_is_refused_even_under_a_trusted_certificate(
    database: Database, authority: Authority, registry: Registry, ring: KeyRing, tmp_path: Path
) -> None:
    """The published private keys are not ours to commit: the list is checked by value, the refusal with a key of ours."""
    async with MerchantApi.start(database, authority, registry, ring, tmp_path) as api:
        merchant = await api.merchant()
        async with api.client(merchant) as client:
            await client.create_order(order())
    async with MerchantApi.start(
        database, authority, registry, ring, tmp_path, denied=frozenset({merchant.spki})
    ) as api:
        async with api.client(merchant) as client:
            assert await turned_away(client.detail("a-1")) == (1000, UNIFORM.message)
    assert len(PUBLISHED) == 4
    assert all(len(digest) == 32 for digest in PUBLISHED)


async def test_API_04_a_certificate_of_the_platform_that_names_no_merchant_is_refused(api: MerchantApi) -> None:
    merchant = await api.merchant()
    pair = api.authority.issue_client(merchant.broker, now=datetime.now(UTC))
    merchant.files.cert.write_bytes(pair.certificate_pem)
    merchant.files.key.write_bytes(pair.key_pem)
    async with api.client(merchant) as client:
        assert await turned_away(client.create_order(order())) == (1000, UNIFORM.message)


async def test_API_04_a_client_certificate_is_needed_at_all(api: MerchantApi) -> None:
    client = WmClient.plain(api.url.replace("https", "http"), "x")
    async with client:
        with pytest.raises(WmUnreachable):
            await client.detail("a-1")


@pytest.mark.parametrize("what", ["merchant", "certificate"])
async def test_API_05_revocation_works_on_an_open_connection_at_the_next_request(api: MerchantApi, what: str) -> None:
    merchant = await api.merchant()
    merchant_id, now = merchant.merchant.merchant_id, datetime.now(UTC)
    async with api.client(merchant) as client:
        await client.create_order(order())
        async with api.database.transaction() as tx:
            if what == "merchant":
                await merchants.revoke(tx, merchant_id, now=now)
            else:
                await merchants.revoke_certificate(tx, merchant_id, merchant.spki, now=now)
        await until_heard(api.database, CHANNEL)  # without the notification the entry lives 5 s
        assert await turned_away(client.detail("a-1")) == (1000, UNIFORM.message)
    async with api.client(merchant) as client:
        assert await turned_away(client.detail("a-1")) == (1000, UNIFORM.message)


async def test_API_08_plain_mode_on_the_mutual_tls_port_is_refused_and_noted(
    api: MerchantApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="bitlinkpay.security")
    merchant = await api.merchant()
    async with api.client(merchant) as client:
        bare = Sealed(headers={"w-broker": merchant.broker, "w-test": "1"}, body=json.dumps(BODY).encode())
        answer = json.loads(await client.post_sealed(Route.CREATE, bare))
        assert (answer["code"], answer["data"]) == (OuterCode.PLAIN_MODE, None)
        sealed = api.sealed(merchant, BODY)
        for value in ("1", "0", "", "true"):
            both = replace(sealed, headers=sealed.headers | {"w-test": value})
            assert json.loads(await client.post_sealed(Route.CREATE, both))["code"] == OuterCode.PLAIN_MODE
    assert await count_orders(api) == 0
    assert sum("plain mode" in record.getMessage() for record in caplog.records) == 5


async def test_API_08_a_live_deployment_has_no_plain_gate_at_all(api: MerchantApi) -> None:
    with pytest.raises(AssertionError):
        PlainGate(api.directory, Mode.LIVE)
    merchant = await api.merchant()
    closed = f"http://127.0.0.1:{await api.listen(ClosedGate(), None, None)}"
    async with WmClient.plain(closed, merchant.broker) as client:
        code, message = await turned_away(client.create_order(order()))
        assert (code, "mutual TLS" in message) == (OuterCode.PLAIN_MODE, True)
    assert await count_orders(api) == 0


async def test_API_08_a_certificate_does_not_open_plain_mode_on_a_live_deployment(
    database: Database, authority: Authority, registry: Registry, ring: KeyRing, tmp_path: Path
) -> None:
    async with MerchantApi.start(database, authority, registry, ring, tmp_path, mode=Mode.LIVE) as api:
        assert api.plain_url == ""
        merchant = await api.merchant()
        async with api.client(merchant) as client:
            bare = Sealed(headers={"w-broker": merchant.broker, "w-test": "1"}, body=json.dumps(BODY).encode())
            assert json.loads(await client.post_sealed(Route.CREATE, bare))["code"] == OuterCode.PLAIN_MODE
            assert (await client.create_order(order())).order_id


async def test_API_09_plain_mode_on_a_sandbox_works_for_known_brokers_only(api: MerchantApi) -> None:
    merchant = await api.merchant()
    async with api.plain(merchant) as client:
        assert (await client.create_order(order())).order_id
    for broker in ("nobody", "", "x" * 65, "a b", "\u00e9", "'; drop table payins"):
        async with WmClient.plain(api.plain_url, broker) as client:
            assert await turned_away(client.detail("a-1")) == (1000, UNIFORM.message)


async def test_API_09_an_envelope_on_the_plain_port_is_sent_to_the_right_one(api: MerchantApi) -> None:
    merchant = await api.merchant()
    async with api.client(merchant) as sealing, WmClient.plain(api.plain_url, merchant.broker) as client:
        assert sealing is not client
        answer = json.loads(await client.post_sealed(Route.CREATE, api.sealed(merchant, BODY)))
        assert (answer["code"], "mutual TLS port" in answer["msg"]) == (OuterCode.PLAIN_MODE, True)


def broken(api: MerchantApi, merchant: TestMerchant) -> list[Sealed]:
    """One envelope for each kind of failure: secret, body, padding, signature, spelling, missing header."""
    sealed = api.sealed(merchant, BODY)
    secret = base64.b64decode(sealed.headers["w-secret"])
    raw = base64.b64decode(sealed.body)

    def header(**changed: str) -> Sealed:
        return replace(sealed, headers=sealed.headers | {f"w-{name}": value for name, value in changed.items()})

    def encode(data: bytes) -> str:
        return base64.b64encode(data).decode()

    missing = [
        Sealed({name: value for name, value in sealed.headers.items() if name != left_out}, sealed.body)
        for left_out in sealed.headers
    ]
    return [
        header(secret=encode(bytes((secret[0] & 0x7F, *secret[1:-1], secret[-1] ^ 1)))),
        header(secret=encode(b"\x00" + secrets.token_bytes(255))),
        header(secret=encode(b"\xff" * 256)),
        header(secret=""),
        header(secret=encode(secret[:-1])),
        header(secret="*" * 344),
        header(sign=sealed.headers["w-sign"][:-1] + ("0" if sealed.headers["w-sign"][-1] != "0" else "1")),
        header(sign=sealed.headers["w-sign"].upper() + "A"),
        header(sign=sealed.headers["w-sign"] * 2),
        header(ts=sealed.headers["w-ts"][:10]),
        header(ts=f"-{sealed.headers['w-ts']}"),
        header(ts="9" * 20),
        header(nonce="12345"),
        header(ts=sealed.headers["w-ts"] + "1", nonce="23456"),
        header(broker="x"),
        replace(sealed, body=b""),
        replace(sealed, body=b"!" * 64),
        replace(sealed, body=base64.b64encode(raw[:-1])),
        replace(sealed, body=base64.b64encode(raw[16:])),
        replace(sealed, body=base64.b64encode(raw[:-1] + bytes((raw[-1] ^ 1,)))),
        replace(sealed, body=json.dumps(BODY).encode()),
        *missing,
    ]


async def test_API_10_to_16_every_broken_envelope_gets_the_same_bytes(api: MerchantApi) -> None:
    merchant = await api.merchant()
    async with api.client(merchant) as client:
        for sealed in broken(api, merchant):
            assert await client.post_sealed(Route.CREATE, sealed) == UNIFORM_BYTES, sealed.headers
        assert (await client.create_order(order())).order_id
    assert await count_orders(api) == 1


@pytest.mark.parametrize(
    "off", [timedelta(minutes=5, seconds=2), -timedelta(minutes=5, seconds=2), timedelta(days=900)]
)
async def test_API_16_a_clock_more_than_five_minutes_off_is_told_so(api: MerchantApi, off: timedelta) -> None:
    merchant = await api.merchant()
    async with api.client(merchant) as client:
        answer = json.loads(await client.post_sealed(Route.CREATE, api.sealed(merchant, BODY, ts_ms=now_ms(off=off))))
        assert (answer["code"], answer["data"]) == (OuterCode.CLOCK, None)
        assert "300" in answer["msg"]
        for inside in (timedelta(minutes=4, seconds=50), -timedelta(minutes=4, seconds=50)):
            sealed = api.sealed(merchant, BODY, ts_ms=now_ms(off=inside))
            assert json.loads(await client.post_sealed(Route.CREATE, sealed))["code"] == 0


async def test_API_16_a_wrong_signature_hears_nothing_of_the_clock(api: MerchantApi) -> None:
    merchant = await api.merchant()
    sealed = api.sealed(merchant, BODY, ts_ms=now_ms(off=timedelta(days=1)))
    async with api.client(merchant) as client:
        wrong = replace(sealed, headers=sealed.headers | {"w-sign": "0" * 32})
        assert await client.post_sealed(Route.CREATE, wrong) == UNIFORM_BYTES


async def test_the_sandbox_clock_does_not_move_the_envelopes_clock(
    database: Database, authority: Authority, registry: Registry, ring: KeyRing, tmp_path: Path
) -> None:
    business = ManualClock(datetime.now(UTC) + timedelta(days=30))
    async with MerchantApi.start(database, authority, registry, ring, tmp_path, clock=business) as api:
        async with api.client(await api.merchant()) as client:
            assert (await client.create_order(order())).order_id


async def test_API_17_an_exact_replay_is_refused_on_every_route(api: MerchantApi) -> None:
    merchant = await api.merchant()
    async with api.client(merchant) as client:
        for number, route in enumerate([Route.CREATE, Route.DETAIL, Route.CANCEL, Route.PRE_CREATE]):
            body = BODY if route is not Route.PRE_CREATE else {"source_id": "p", "coin": "USDT", "fiat_amount": "1"}
            sealed = api.sealed(merchant, body, nonce=f"{number:06d}")
            assert json.loads(await client.post_sealed(route, sealed))["code"] == 0
            for _ in range(2):
                again = json.loads(await client.post_sealed(route, sealed))
                assert (again["code"], again["data"]) == (OuterCode.REPLAY, None)
    assert await count_orders(api) == 2


async def test_API_17_a_replay_of_a_refused_request_is_a_replay_too(api: MerchantApi) -> None:
    merchant = await api.merchant()
    async with api.client(merchant) as client:
        for number, route in enumerate([Route.DETAIL, Route.CANCEL]):
            sealed = api.sealed(merchant, {"source_id": "not there"}, nonce=f"{number:06d}")
            codes = [json.loads(await client.post_sealed(route, sealed))["code"] for _ in range(2)]
            assert codes == [0, OuterCode.REPLAY]


async def test_API_17_a_replay_on_another_route_is_a_replay(api: MerchantApi) -> None:
    """The signature does not cover the path, so a captured detail could be sent to cancel."""
    merchant = await api.merchant()
    async with api.client(merchant) as client:
        await client.create_order(order())
        sealed = api.sealed(merchant, {"source_id": "a-1"})
        assert json.loads(await client.post_sealed(Route.DETAIL, sealed))["code"] == 0
        assert json.loads(await client.post_sealed(Route.CANCEL, sealed))["code"] == OuterCode.REPLAY
        assert (await client.detail("a-1")).status == 0


async def test_API_17_a_replay_on_another_node_or_after_a_restart_is_refused(
    database: Database, authority: Authority, registry: Registry, ring: KeyRing, tmp_path: Path
) -> None:
    async with MerchantApi.start(database, authority, registry, ring, tmp_path) as first:
        merchant = await first.merchant()
        sealed = first.sealed(merchant, BODY)
        async with MerchantApi.start(database, authority, registry, ring, tmp_path) as second:
            async with first.client(merchant) as one, second.client(merchant) as two:
                assert json.loads(await one.post_sealed(Route.CREATE, sealed))["code"] == 0
                assert json.loads(await two.post_sealed(Route.CREATE, sealed))["code"] == OuterCode.REPLAY
    async with MerchantApi.start(database, authority, registry, ring, tmp_path) as third:
        async with third.client(merchant) as three:
            assert json.loads(await three.post_sealed(Route.CREATE, sealed))["code"] == OuterCode.REPLAY
        assert await count_orders(third) == 1


async def test_API_17_fifty_parallel_copies_of_one_envelope_are_one_answer_and_replays(api: MerchantApi) -> None:
    merchant = await api.merchant()
    sealed = api.sealed(merchant, BODY)
    async with api.client(merchant) as client:
        answers = await asyncio.gather(*(client.post_sealed(Route.CREATE, sealed) for _ in range(50)))
    codes = sorted(json.loads(answer)["code"] for answer in answers)
    assert codes == [0] + [OuterCode.REPLAY] * 49


async def test_API_18_the_same_nonce_or_the_same_second_is_no_replay(api: MerchantApi) -> None:
    """PHP sends whole seconds, and nonces have six digits: honest requests share both."""
    merchant = await api.merchant()
    second = now_ms() // 1000 * 1000
    async with api.client(merchant) as client:
        bodies = [BODY | {"source_id": f"n-{number}"} for number in range(60)]
        same_second = [api.sealed(merchant, body, ts_ms=second, nonce="777777") for body in bodies[:30]]
        same_nonce = [
            api.sealed(merchant, body, ts_ms=second + at, nonce="777777") for at, body in enumerate(bodies[30:])
        ]
        answers = await asyncio.gather(
            *(client.post_sealed(Route.CREATE, sealed) for sealed in same_second + same_nonce)
        )
    assert [json.loads(answer)["code"] for answer in answers] == [0] * 60
    assert await count_orders(api) == 60


async def test_API_18_two_brokers_with_equal_time_nonce_and_text_do_not_meet(api: MerchantApi) -> None:
    one, two, second = await api.merchant("A"), await api.merchant("B"), now_ms()
    for merchant in (one, two):
        async with api.client(merchant) as client:
            sealed = api.sealed(merchant, BODY, ts_ms=second, nonce="777777")
            assert json.loads(await client.post_sealed(Route.CREATE, sealed))["code"] == 0


async def test_API_38_a_merchant_beyond_its_rate_is_told_when_to_come_back_and_others_are_not(
    database: Database, authority: Authority, registry: Registry, ring: KeyRing, tmp_path: Path
) -> None:
    now_ns = time.monotonic_ns()
    async with MerchantApi.start(database, authority, registry, ring, tmp_path, now_ns=lambda: now_ns) as api:
        fast, calm = await api.merchant("fast", rate_per_minute=120), await api.merchant("calm")
        async with api.client(fast) as client, api.client(calm) as other:
            answers = await asyncio.gather(*(client.detail("x") for _ in range(200)), return_exceptions=True)
            limited = [error for error in answers if isinstance(error, WmTurnedAway)]
            served = [error for error in answers if isinstance(error, WmRefused)]
            assert (len(served), len(limited)) == (20, 180)
            assert {error.code for error in limited} == {OuterCode.LIMITED}
            assert all("try again in 1 s" in error.message for error in limited)
            assert (await other.create_order(order())).order_id
            now_ns += 1_000_000_000
            with pytest.raises(WmRefused):
                await client.detail("x")


async def test_API_38_bad_envelopes_do_not_use_up_the_merchants_own_rate(api: MerchantApi) -> None:
    """Otherwise whoever can spoil envelopes on the way could silence the merchant, and the answer would not be uniform."""
    merchant = await api.merchant(rate_per_minute=60)
    async with api.client(merchant) as client:
        wrong = replace(api.sealed(merchant, BODY), body=b"")
        for _ in range(60):
            assert await client.post_sealed(Route.CREATE, wrong) == UNIFORM_BYTES
        assert (await client.create_order(order())).order_id


async def test_rule_32_bad_envelopes_beyond_the_limit_lock_their_certificate_and_no_other(
    database: Database, authority: Authority, registry: Registry, ring: KeyRing, tmp_path: Path
) -> None:
    few = Rate(per_minute=1, burst=5)
    async with MerchantApi.start(database, authority, registry, ring, tmp_path, failures=few) as api:
        bad, good = await api.merchant("bad"), await api.merchant("good")
        async with api.client(bad) as client, api.client(good) as other:
            wrong = replace(api.sealed(bad, BODY), body=b"")
            answers = [await client.post_sealed(Route.CREATE, wrong) for _ in range(7)]
            assert answers[:5] == [UNIFORM_BYTES] * 5
            for answer in answers[5:]:
                assert json.loads(answer)["code"] == OuterCode.LIMITED
            code, message = await turned_away(client.create_order(order()))
            assert (code, "try again in" in message) == (OuterCode.LIMITED, True)
            assert (await other.create_order(order())).order_id


async def test_API_44_a_suspended_merchant_is_told_so_only_with_a_good_envelope(api: MerchantApi) -> None:
    merchant = await api.merchant()
    async with api.client(merchant) as client:
        await client.create_order(order())
        async with api.database.transaction() as tx:
            await merchants.suspend(tx, merchant.merchant.merchant_id, now=datetime.now(UTC))
        await until_heard(api.database, CHANNEL)
        code, message = await turned_away(client.detail("a-1"))
        assert (code, "suspended" in message) == (OuterCode.SUSPENDED, True)
        assert await client.post_sealed(Route.DETAIL, replace(api.sealed(merchant, BODY), body=b"")) == UNIFORM_BYTES
        async with api.database.transaction() as tx:
            await merchants.resume(tx, merchant.merchant.merchant_id, now=datetime.now(UTC))
        await until_heard(api.database, CHANNEL)
        assert (await client.detail("a-1")).status == 0
    async with api.plain(merchant) as client:
        assert (await client.detail("a-1")).status == 0


async def test_API_44_a_request_under_way_ends_by_the_old_rule_and_the_next_is_refused(api: MerchantApi) -> None:
    merchant = await api.merchant()
    async with api.client(merchant) as client:
        async with api.database.transaction() as tx:
            await tx.execute("lock table payins in share row exclusive mode")
            running = asyncio.create_task(client.create_order(order()))
            await until_someone_waits(api.database)
            async with api.database.transaction() as other:
                await merchants.suspend(other, merchant.merchant.merchant_id, now=datetime.now(UTC))
            await until_heard(api.database, CHANNEL)
            assert not running.done()
        assert (await running).order_id
        assert (await turned_away(client.detail("a-1")))[0] == OuterCode.SUSPENDED


async def test_API_44_a_rotated_certificate_works_beside_the_old_one_until_its_end(
    database: Database, authority: Authority, registry: Registry, ring: KeyRing, tmp_path: Path
) -> None:
    wall, overlap = ManualClock(datetime.now(UTC)), timedelta(minutes=1)
    async with MerchantApi.start(database, authority, registry, ring, tmp_path, wall=wall) as api:
        merchant = await api.merchant()
        async with api.client(merchant) as old:
            await old.create_order(order())
            async with api.database.transaction() as tx:
                fresh = await merchants.rotate_certificates(
                    tx, api.authority, merchant.merchant.merchant_id, now=wall.now(), overlap=overlap
                )
            await until_heard(api.database, CHANNEL)
            rotated = replace(merchant, files=api.write(fresh, merchant.broker))
            async with api.client(rotated) as new:
                assert (await new.detail("a-1")).status == 0
                assert (await old.detail("a-1")).status == 0
                wall.advance(overlap)
                assert await turned_away(old.detail("a-1")) == (1000, UNIFORM.message)
                assert (await new.detail("a-1")).status == 0


VARIANTS = [
    ("POST", "/v1/api/broker/order/create/"),
    ("POST", "//v1/api/broker/order/create"),
    ("POST", "/v1/api/broker//order/create"),
    ("POST", "/v1/api/broker/order/%63reate"),
    ("POST", "/v1/api/broker/x/%2e%2e/order/create"),
    ("POST", "/v1/api/broker/x/../order/create"),
    ("POST", "/V1/API/broker/order/create"),
    ("POST", "/v1/api/broker/order/create?x=1"),
    ("POST", "/v1/api/broker/order/create;x=1"),
    ("POST", "/v1/api/broker/order/create%00"),
    ("POST", "/"),
    ("GET", "/v1/api/broker/order/create"),
    ("PUT", "/v1/api/broker/order/create"),
    ("PATCH", "/v1/api/broker/order/create"),
    ("DELETE", "/v1/api/broker/order/create"),
    ("OPTIONS", "/v1/api/broker/order/create"),
    ("TRACE", "/v1/api/broker/order/create"),
    ("GET", "/"),
    ("GET", "/metrics"),
]


async def raw_request(api: MerchantApi, merchant: TestMerchant, request: bytes) -> bytes:
    async with api.client(merchant) as client:
        context = client._tls
    port = int(api.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    writer.write(request)
    try:
        async with asyncio.timeout(60):
            return await reader.read()
    finally:
        writer.close()


def head(method: str, path: str, sealed: Sealed, *, size: int | None = None) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", "connection: close", "x-http-method-override: POST"]
    lines += [f"{name}: {value}" for name, value in sealed.headers.items()]
    lines.append(f"content-length: {len(sealed.body) if size is None else size}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def test_API_41_other_verbs_and_spellings_of_a_path_lead_nowhere(api: MerchantApi) -> None:
    merchant = await api.merchant()
    for method, path in VARIANTS:
        sealed = api.sealed(merchant, BODY)
        answer = await raw_request(api, merchant, head(method, path, sealed) + sealed.body)
        assert answer.startswith(b"HTTP/1.1 200 "), (method, path)
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == OuterCode.ROUTE, (method, path)
    assert await count_orders(api) == 0


async def test_API_28_a_body_of_ten_megabytes_is_refused_before_it_is_read(api: MerchantApi) -> None:
    merchant = await api.merchant()
    sealed = api.sealed(merchant, BODY)
    request = head("POST", Route.CREATE, sealed, size=10_000_000) + b"A" * 2_000_000
    answer = await raw_request(api, merchant, request)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == OuterCode.SIZE


async def test_API_28_a_body_a_little_too_large_is_answered_to_the_end(api: MerchantApi) -> None:
    merchant = await api.merchant()
    async with api.client(merchant) as client:
        for size in (65_537, 200_000):
            large = replace(api.sealed(merchant, BODY), body=b"A" * size)
            assert json.loads(await client.post_sealed(Route.CREATE, large))["code"] == OuterCode.SIZE
        largest = replace(api.sealed(merchant, BODY), body=b"A" * 65_536)
        assert await client.post_sealed(Route.CREATE, largest) == UNIFORM_BYTES


async def test_API_39_a_body_that_crawls_is_cut_off_while_others_are_served(
    database: Database, authority: Authority, registry: Registry, ring: KeyRing, tmp_path: Path
) -> None:
    limits = BodyLimits(time_s=1)
    async with MerchantApi.start(database, authority, registry, ring, tmp_path, limits=limits) as api:
        merchant = await api.merchant()
        sealed = api.sealed(merchant, BODY)
        started = asyncio.get_running_loop().time()
        crawling = [
            asyncio.create_task(raw_request(api, merchant, head("POST", Route.CREATE, sealed) + sealed.body[:10]))
            for _ in range(20)
        ]
        async with api.client(merchant) as client:
            assert (await client.create_order(order())).order_id
        for answer in await asyncio.gather(*crawling):
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == OuterCode.SIZE
        assert asyncio.get_running_loop().time() - started < 7


async def test_API_42_a_database_that_is_gone_is_told_in_plain_words_only(
    database: Database, authority: Authority, registry: Registry, ring: KeyRing, tmp_path: Path
) -> None:
    async with MerchantApi.start(database, authority, registry, ring, tmp_path) as api:
        merchant = await api.merchant()
        async with api.client(merchant) as client:
            await client.create_order(order())
            async with api.database.transaction() as tx:
                await tx.execute("lock table payins in access exclusive mode")
                answers = await asyncio.gather(
                    client.post(Route.CREATE, json.dumps(BODY | {"source_id": "b"}).encode()),
                    client.post(Route.CANCEL, json.dumps({"source_id": "a-1"}).encode()),
                    client.post(Route.DETAIL, json.dumps({"source_id": "a-1"}).encode()),
                )
            for answer in answers:
                outer = json.loads(answer)
                inner = json.loads(outer["data"])
                assert (outer["code"], inner["code"]) == (0, 503)
                assert inner["msg"].endswith("the platform cannot answer now; send the same request again in a moment")
            assert (await client.create_order(order("b"))).order_id


async def test_API_42_what_nobody_foresaw_is_a_number_and_not_a_trace(
    api: MerchantApi, caplog: pytest.LogCaptureFixture
) -> None:
    merchant = await api.merchant()
    async with api.client(merchant) as client:
        await client.create_order(order())
        async with api.database.transaction() as tx:
            await tx.execute("update payins set labels = '{gone-nowhere}'")
        code, message = await turned_away(client.detail("a-1"))
        assert code == OuterCode.UNAVAILABLE
        number = message.rpartition(" ")[2]
        assert len(number) == 32
        assert "gone-nowhere" not in message
        assert number in caplog.text
        assert (await client.create_order(order("a-2"))).order_id


async def test_API_14_mutated_requests_through_the_whole_stack_never_answer_anything_else(api: MerchantApi) -> None:
    """Hundreds through TLS here; the ten thousand against the codec are in tests/wm."""
    merchant = await api.merchant(rate_per_minute=1_000_000)
    rng = random.Random(14)
    async with api.client(merchant) as client:

        async def one(number: int) -> int:
            sealed = api.sealed(merchant, BODY | {"source_id": f"m-{number}"}, nonce=f"{number:06d}")
            name = rng.choice([*sealed.headers, "body", "body"])
            old = sealed.body if name == "body" else sealed.headers[name].encode()
            at = rng.randrange(len(old))
            new = old[:at] + bytes((rng.randrange(33, 127),)) + old[at + 1 :]
            changed = (
                replace(sealed, body=new)
                if name == "body"
                else replace(sealed, headers=sealed.headers | {name: new.decode()})
            )
            answer = await client.post_sealed(Route.CREATE, changed)
            if answer == UNIFORM_BYTES:
                return 0
            outer = json.loads(answer)
            assert outer["code"] == 0, outer
            assert json.loads(outer["data"])["code"] == 0
            return 1

        genuine = sum(await asyncio.gather(*(one(number) for number in range(600))))
    assert await count_orders(api) == genuine < 60
