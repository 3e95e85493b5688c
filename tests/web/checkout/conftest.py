"""The hosted page on a small platform in memory, spoken to over ASGI."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
from litestar import Litestar
from tests.support.clock import ManualClock
from tests.web.checkout.shop import OPENED, Shop, Till

from bitlinkpay.payins.view import PayinView
from bitlinkpay.web.checkout.routes import build_routes


@dataclass
class Window:
    """What a payer's browser reaches: the shop's page in a live deployment, and the same in a sandbox."""

    shop: Shop
    till: Till
    clock: ManualClock
    live: httpx.AsyncClient
    sandbox: httpx.AsyncClient

    def show(self, view: PayinView) -> str:
        """Put an order on show and return its path."""
        return f"/pay/{self.shop.add(view).payin_id.hex}"


def page_app(shop: Shop, clock: ManualClock, till: Till | None = None) -> Litestar:
    routes = build_routes(shop, clock=clock, support_contact="help@pay.example", sandbox=till)
    return Litestar(routes, openapi_config=None)


@pytest.fixture
async def window() -> AsyncIterator[Window]:
    shop, clock = Shop(), ManualClock(OPENED)
    till = Till(shop, clock)
    live = httpx.ASGITransport(page_app(shop, clock), raise_app_exceptions=False)
    sandbox = httpx.ASGITransport(page_app(shop, clock, till), raise_app_exceptions=False)
    async with (
        httpx.AsyncClient(transport=live, base_url="http://pay.example") as one,
        httpx.AsyncClient(transport=sandbox, base_url="http://sandbox.example") as other,
    ):
        yield Window(shop, till, clock, one, other)
