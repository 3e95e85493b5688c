"""The database connection is cut around every statement of a request: one effect, one answer, and the client may repeat."""

import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.support.server import TestServer
from tests.support.wire import Fault, Wire, listening
from tests.web.api.odd import put_aside
from tests.web.api.platform import Rest
from tests.web.api.test_orders import order
from tests.web.api.test_payouts import USDT, payout
from tests.web.wm.test_withdrawals import TARGET

from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.ids import show_id
from bitlinkpay.db.cluster import APP_ROLE
from bitlinkpay.db.pool import Database
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.web.api.odd_shapes import RefundUnassigned
from bitlinkpay.web.api.shapes import Request

CASES: list[tuple[str, Request, str]] = [
    ("/v1/orders", order("cut-at-work"), "payins"),
    ("/v1/payouts", payout("cut-at-work"), "payouts"),
]


@pytest.fixture
async def wire(server: TestServer) -> Wire:
    return Wire(Path(server.host) / f".s.PGSQL.{server.port}")


@pytest.fixture
async def cut_off(wire: Wire, database_name: str, registry: Registry, ring: KeyRing) -> AsyncIterator[Rest]:
    """The API on a database through a wire that can be cut."""
    with tempfile.TemporaryDirectory(prefix="blp-") as folder:  # a socket's path must be short
        async with listening(wire, Path(folder)) as host:
            found = await Database.connect(f"postgresql://{APP_ROLE}@/{database_name}?host={host}", size=2)
            async with Rest.start(found, registry, ring) as rest:
                yield rest
            await found.close()


ODD_CASES: list[tuple[str, bytes, str]] = [
    ("accept", b"", "credited"),
    ("credit", b"", "credited"),
    ("refund", msgspec.json.encode(RefundUnassigned(address=TARGET)), "refunded"),
]


def at_commit(wire: Wire, fault: Fault, work: bytes = b"cut-at-work"):
    """Cut at the COMMIT of the next transaction that does the work, once."""
    start = len(wire.requests)

    def plan(_number: int, request: bytes) -> Fault | None:
        is_written = any(work in earlier for earlier in wire.requests[start:])
        return fault if is_written and b"COMMIT" in request and not wire.fired else None

    return plan


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
@pytest.mark.parametrize("case", CASES, ids=["order", "payout"])
@pytest.mark.parametrize("key", ["", "key-1"], ids=["by source_id", "by key"])
async def test_API_23_a_connection_lost_at_commit_is_still_one_effect_and_its_answer(
    cut_off: Rest, wire: Wire, case: tuple[str, Request, str], key: str, fault: Fault
) -> None:
    target, body, table = case
    signer = await cut_off.signer()
    await cut_off.give(signer.merchant, USDT, 100_000_000)
    headers = {"idempotency-key": key} if key else {}
    content = msgspec.json.encode(body)
    async with cut_off.client(signer) as client:
        wire.plan = at_commit(wire, fault)
        first = await client.send("POST", target, content, headers=headers)
        assert wire.fired
        wire.plan = lambda _number, _request: None
        again = await client.send("POST", target, content, headers=headers)
        assert again.status == 201
        if first.status == 201:
            assert json.loads(first.body)["id"] == json.loads(again.body)["id"]
        else:  # the lost connection may still hold the key when the work is looked up
            assert (key, first.status) == ("key-1", 409)
        if key:
            assert again.body == (await client.send("POST", target, content, headers=headers)).body
    assert await cut_off.count(table) == 1
    assert await cut_off.count("api_answers") == (1 if key else 0)


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
@pytest.mark.parametrize("case", CASES, ids=["order", "payout"])
async def test_a_cancel_that_was_done_at_a_lost_commit_is_never_answered_as_refused(
    cut_off: Rest, wire: Wire, case: tuple[str, Request, str], fault: Fault
) -> None:
    """Without a key nothing tells this cancel from another: "too late" would be read as money that has left."""
    target, body, table = case
    signer = await cut_off.signer()
    await cut_off.give(signer.merchant, USDT, 100_000_000)
    async with cut_off.client(signer) as client:
        made = json.loads((await client.send("POST", target, msgspec.json.encode(body))).body)
        wire.plan = at_commit(wire, fault)
        answer = await client.send("POST", f"{target}/{made['id']}/cancel")
        assert wire.fired
        wire.plan = lambda _number, _request: None
    told = json.loads(answer.body)
    if fault is Fault.CUT_BEFORE:
        assert (answer.status, told["state"]) == (200, "cancelled")
    else:
        assert (answer.status, told["type"], told["code"]) == (503, "unavailable", "database.outcome_unknown")
    async with cut_off.database.reader() as tx:
        assert await tx.fetchval(f"select state from {table}") == "cancelled"


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
@pytest.mark.parametrize("case", ODD_CASES, ids=["accept", "credit", "refund"])
async def test_API_23_a_decision_about_odd_money_whose_answer_was_lost_is_taken_once_and_told_again(
    cut_off: Rest, wire: Wire, case: tuple[str, bytes, str], fault: Fault
) -> None:
    verb, body, after = case
    signer = await cut_off.signer()
    async with cut_off.client(signer) as client:
        made = json.loads((await client.send("POST", "/v1/orders", msgspec.json.encode(order()))).body)
        odd = await put_aside(cut_off, signer.merchant, order_id=made["id"])
        target, headers = f"/v1/unassigned/{show_id('dep', odd.deposit_id)}/{verb}", {"idempotency-key": "key-1"}
        wire.plan = at_commit(wire, fault, b"insert into deposit_events")
        first = await client.send("POST", target, body, headers=headers)
        assert wire.fired
        wire.plan = lambda _number, _request: None
        again = await client.send("POST", target, body, headers=headers)
        assert again.status == (201 if verb == "refund" else 200), again.body
        if first.status != 409:  # the lost connection may still hold the key when the work is looked up
            assert (first.status, json.loads(first.body)) == (again.status, json.loads(again.body))
        assert (await client.send("POST", target, body, headers=headers)).body == again.body
        other = await client.send("POST", target, body, headers={"idempotency-key": "another"})
        assert other.status == (201 if verb == "refund" else 409)
    async with cut_off.database.reader() as tx:
        assert await tx.fetchval("select state from deposits") == after
        (moved,) = await tx.fetchrow("select count(*) from deposit_events where event in ('credited', 'refunded')")
    assert (moved, await cut_off.count("payouts")) == (1, 1 if verb == "refund" else 0)
