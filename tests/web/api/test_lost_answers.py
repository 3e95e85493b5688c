"""The database connection is cut around every statement of a request: one effect, one answer, and the client may repeat."""

import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.support.server import TestServer
from tests.support.wire import Fault, Wire, listening
from tests.web.api.platform import Rest
from tests.web.api.test_orders import order
from tests.web.api.test_payouts import USDT, payout

from bitlinkpay.chains.registry import Registry
from bitlinkpay.db.cluster import APP_ROLE
from bitlinkpay.db.pool import Database
from bitlinkpay.signer.keyring import KeyRing
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


def at_commit(wire: Wire, fault: Fault):
    """Cut at the COMMIT of the next transaction that does the work, once."""
    start = len(wire.requests)

    def plan(_number: int, request: bytes) -> Fault | None:
        is_written = any(b"cut-at-work" in earlier for earlier in wire.requests[start:])
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
