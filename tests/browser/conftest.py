"""Real Chromium against the hosted page on a real HTTP server; the platform behind it is a small shop in memory."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest_asyncio
import uvicorn
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect
from tests.support.clock import ManualClock
from tests.web.checkout.conftest import page_app
from tests.web.checkout.shop import OPENED, Shop, Till
from tools.setup_chromium import find

from bitlinkpay.payins.view import PayinView

SHOTS = Path(__file__).parents[2] / ".cache" / "screenshots"
PATIENCE_MS = 60_000  # a busy machine is no fault of the page; with its stream open the page polls once a minute
expect.set_options(timeout=PATIENCE_MS)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Server(uvicorn.Server):
    """A server that leaves the test runner's signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(app: object) -> AsyncIterator[str]:
    """Serve an app on a free port and yield its base URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


async def device(browser: Browser, *, width: int = 360, height: int = 640, **settings: object) -> BrowserContext:
    """Return a phone, or where it is wide a desk's browser, that has never been used."""
    is_phone = width < 600
    return await browser.new_context(
        viewport={"width": width, "height": height},
        is_mobile=is_phone,
        has_touch=is_phone,
        **{"locale": "en-GB", **settings},  # type: ignore[arg-type]
    )


def listen(page: Page, complain: Callable[[str], None]) -> None:
    """Pass on everything that the browser has to say against a page."""
    page.on("console", lambda message: complain(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complain(f"error: {error}"))
    page.on("dialog", lambda dialog: complain(f"dialog: {dialog.message}"))


@dataclass
class Payer:
    """Someone in front of a browser. `complaints` is everything the browser had to say against the page."""

    browser: Browser
    shop: Shop
    clock: ManualClock
    live: str
    sandbox: str
    complaints: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    async def device(self, **settings: object) -> BrowserContext:
        self.contexts.append(await device(self.browser, **settings))  # type: ignore[arg-type]
        return self.contexts[-1]

    async def tab(self, **settings: object) -> Page:
        return await self.watched(await self.device(**settings))

    async def watched(self, context: BrowserContext) -> Page:
        page = await context.new_page()
        listen(page, self.complaints.append)
        return page

    def url(self, view: PayinView, *, is_sandbox: bool = False) -> str:
        """Put an order on show and return its address."""
        base = self.sandbox if is_sandbox else self.live
        return f"{base}/pay/{self.shop.add(view).payin_id.hex}"

    async def open(self, view: PayinView, **settings: object) -> Page:
        page = await self.tab(**settings)
        await page.goto(self.url(view))
        return page


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find(), args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def payer(chromium: Browser) -> AsyncIterator[Payer]:
    shop, clock = Shop(), ManualClock(OPENED)
    till = Till(shop, clock)
    async with serving(page_app(shop, clock)) as live, serving(page_app(shop, clock, till)) as sandbox:
        found = Payer(chromium, shop, clock, live, sandbox)
        yield found
        for context in found.contexts:
            await context.close()


async def shoot(page: Page, name: str, **settings: object) -> None:
    """Keep a picture for people, where they ask for it: no test looks at one."""
    if os.environ.get("BITLINKPAY_SCREENSHOTS"):
        SHOTS.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=SHOTS / f"{name}.png", **settings)  # type: ignore[arg-type]
