"""`/healthz`, and a process whose clock is wrong: it says so, and nobody gets an answer from it."""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import pytest
from tests.support.clock import ManualClock
from tests.support.server import TestServer

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.cluster import OWNER_ROLE
from bitlinkpay.db.pool import Database
from bitlinkpay.web import health as module
from bitlinkpay.web.health import APART_MAX, Door, Health, apart
from bitlinkpay.web.wm.asgi import HttpScope, Receive, Send
from bitlinkpay.wm.ids import OuterCode, Route

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def wall() -> ManualClock:
    """A clock that starts out right."""
    return ManualClock(datetime.now(UTC))


@pytest.fixture
def health(database: Database, wall: ManualClock) -> Health:
    return Health(database, wall)


async def answer_everything(_scope: HttpScope, _receive: Receive, send: Send) -> None:
    """The app behind the door: it serves whatever comes."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
    await send({"type": "http.response.body", "body": b"served"})


@asynccontextmanager
async def asking(health: Health) -> AsyncIterator[Callable[[str, str], Awaitable[httpx.Response]]]:
    transport = httpx.ASGITransport(Door(health, answer_everything))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://pay.example") as browser:
        yield browser.request


@pytest.mark.parametrize(
    ("before", "shown", "after", "off"),
    [
        (0, 0, 0, 0),
        (0, 5, 10, 0),  # who waited long for the answer knows no better
        (0, -3, 10, 3),
        (0, 14, 10, 4),
        (0, -600, 1, 600),
    ],
)
def test_a_clock_is_off_by_what_no_wait_explains(before: int, shown: int, after: int, off: int) -> None:
    assert apart(NOON + before * SECOND, NOON + shown * SECOND, NOON + after * SECOND) == off * SECOND


@pytest.mark.parametrize("by", [timedelta(minutes=10), timedelta(minutes=-10)], ids=["ahead", "behind"])
async def test_API_46_a_process_whose_clock_is_wrong_is_unhealthy_and_answers_nobody(
    health: Health, wall: ManualClock, by: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    async with asking(health) as ask:
        await health.look()
        fine = await ask("GET", "/healthz")
        assert (fine.status_code, fine.json()) == (200, {"status": "healthy", "reason": ""})
        assert (await ask("POST", Route.CREATE.value)).text == (await ask("GET", "/v1/orders")).text == "served"

        wall.set(wall.now() + by)
        await health.look()
        await health.look()
        ill = await ask("GET", "/healthz")
        assert (ill.status_code, ill.json()["status"]) == (503, "unhealthy")
        assert "s off the database's" in ill.json()["reason"]
        for method, path in (("GET", "/v1/orders"), ("POST", "/v1/payouts"), ("GET", "/pay/x"), ("GET", "/")):
            refused = await ask(method, path)
            assert (refused.status_code, refused.headers["connection"]) == (503, "close")
            assert refused.headers["retry-after"] == "10"
            assert set(refused.json()) == {"type", "code", "message", "param", "request_id"}
            assert "clock" not in refused.text, "what is wrong inside is nobody's business"
        sdk = await ask("POST", Route.CREATE.value)
        assert (sdk.status_code, json.loads(sdk.text)["code"]) == (200, OuterCode.UNAVAILABLE)

        wall.set(datetime.now(UTC))
        await health.look()
        assert (await ask("GET", "/healthz")).status_code == 200
        assert (await ask("GET", "/v1/orders")).text == "served"
    told = [record.levelno for record in caplog.records if record.name == module.__name__]
    assert told == [logging.CRITICAL, logging.WARNING], "told once"


async def test_a_clock_that_is_off_by_less_than_anybody_minds_is_healthy(health: Health, wall: ManualClock) -> None:
    wall.set(datetime.now(UTC) - APART_MAX + SECOND)
    await health.look()
    assert (health.reason, health.is_open) == ("", True)


async def test_a_database_that_is_away_is_told_and_each_request_finds_out_for_itself(
    health: Health, server: TestServer, database_name: str
) -> None:
    owner = await asyncpg.connect(server.dsn(OWNER_ROLE, "bitlinkpay"))
    try:
        await owner.execute(f"alter database {database_name} with allow_connections false")
        await owner.execute(_CUT, database_name)
        with pytest.raises(Unavailable):
            await health.look()
        async with asking(health) as ask:
            ill = await ask("GET", "/healthz")
            assert (ill.status_code, ill.json()["reason"]) == (503, "the database does not answer")
            assert (await ask("GET", "/v1/orders")).text == "served"
        await owner.execute(f"alter database {database_name} with allow_connections true")
        await health.look()
        assert health.reason == ""
    finally:
        await owner.close()


_CUT = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1"
