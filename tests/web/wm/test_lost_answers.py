"""The database connection is cut around every statement of a creation: one order, one answer, no second effect."""

import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.server import TestServer
from tests.support.wire import Fault, Wire, listening
from tests.web.wm.platform import MerchantApi
from tests.web.wm.test_orders import count_orders, order

from bitlinkpay.chains.registry import Registry
from bitlinkpay.db.cluster import APP_ROLE
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.wm.ids import OuterCode, Route

BODY = {"source_id": "cut-at-commit", "chain_id": 1, "coin_id": 1, "fiat_amount": "7.2", "symbol": "USDT/CNY"}


@pytest.fixture
async def wire(server: TestServer) -> Wire:
    return Wire(Path(server.host) / f".s.PGSQL.{server.port}")


@pytest.fixture
async def wired(wire: Wire, database_name: str) -> AsyncIterator[Database]:
    """The test's database, through a wire that can be cut."""
    with tempfile.TemporaryDirectory(prefix="blp-") as folder:  # a socket's path must be short
        async with listening(wire, Path(folder)) as host:
            found = await Database.connect(f"postgresql://{APP_ROLE}@/{database_name}?host={host}", size=2)
            yield found
            await found.close()


@pytest.fixture
async def cut_off(
    wired: Database, authority: Authority, registry: Registry, ring: KeyRing, tmp_path: Path
) -> AsyncIterator[MerchantApi]:
    async with MerchantApi.start(wired, authority, registry, ring, tmp_path) as api:
        yield api


def at_commit(wire: Wire, source_id: str, fault: Fault):
    """Cut at the COMMIT of the transaction that wrote this order, once."""

    def plan(_number: int, request: bytes) -> Fault | None:
        is_written = any(source_id.encode() in earlier for earlier in wire.requests)
        return fault if is_written and b"COMMIT" in request and not wire.fired else None

    return plan


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
async def test_API_23_a_connection_lost_at_commit_is_still_one_order_and_its_answer(
    cut_off: MerchantApi, wire: Wire, fault: Fault
) -> None:
    merchant = await cut_off.merchant()
    async with cut_off.client(merchant) as client:
        await client.create_order(order("warm-up"))  # statements are prepared, an index block is at hand
        sealed = cut_off.sealed(merchant, BODY)
        wire.arm(at_commit(wire, BODY["source_id"], fault))
        outer = json.loads(await client.post_sealed(Route.CREATE, sealed))
        assert wire.fired == 1
        assert (outer["code"], json.loads(outer["data"])["code"]) == (0, 0)
        made = json.loads(outer["data"])["data"]["order_id"]
        assert (await client.detail(BODY["source_id"])).order_id == made
        assert json.loads(await client.post_sealed(Route.CREATE, sealed))["code"] == OuterCode.REPLAY
    assert await count_orders(cut_off) == 2


async def test_API_23_a_cut_before_any_statement_of_a_creation_is_one_order(cut_off: MerchantApi, wire: Wire) -> None:
    merchant = await cut_off.merchant()
    async with cut_off.client(merchant) as client:
        await client.create_order(order("warm-up"))
        wire.arm(lambda _number, _request: None)
        await client.create_order(order("counted"))
        statements = len(wire.requests)
        assert statements >= 4
        for at in range(statements):
            wire.arm(lambda number, _request, at=at: Fault.CUT_BEFORE if number == at else None)
            made = await client.create_order(order(f"cut-{at}"))
            wire.arm(lambda _number, _request: None)
            assert (await client.create_order(order(f"cut-{at}"))).order_id == made.order_id
    assert await count_orders(cut_off) == statements + 2
