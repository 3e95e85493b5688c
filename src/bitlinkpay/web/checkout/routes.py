"""The hosted page over HTTP: show, live part, events, network choice, "I have paid", static files."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from litestar import MediaType, Response, Router, get, post, route
from litestar.enums import HttpMethod
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.response import Stream

from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import NotFound, Problem
from bitlinkpay.core.ids import PayinId
from bitlinkpay.payins.view import PayinView
from bitlinkpay.web.checkout import files, notices
from bitlinkpay.web.checkout.accent import accent_key, readable
from bitlinkpay.web.checkout.answers import Answer, answer_of
from bitlinkpay.web.checkout.language import Language, catalogue
from bitlinkpay.web.checkout.limits import Limiter
from bitlinkpay.web.checkout.page import Page, Setting, build_page
from bitlinkpay.web.checkout.port import CheckoutPort, Lookup, LookupKind, Payable, SandboxActions
from bitlinkpay.web.checkout.render import render
from bitlinkpay.web.checkout.requests import (
    FORM_BYTES,
    PageRequest,
    client_of,
    form_of,
    function_of,
    is_hash_or_address,
    language_of,
    payin_id_of,
)
from bitlinkpay.web.checkout.sandbox import SandboxButtons
from bitlinkpay.web.checkout.stream import Streams
from bitlinkpay.web.security import PAGE_HEADERS, STATIC_HEADERS

_ACCENT_NAME: Final = "accent-"


@dataclass(slots=True)
class Checkout:
    """The handlers of the hosted page. Knows the platform through `port` only.

    Attributes:
        buttons: the sandbox's own handlers, None in a live deployment.
        asks: limits "I have paid" per order and per caller: an oracle for nobody.
        misses: limits guesses of order ids per caller. Who has none left waits before each look-up, but a known
            order is still shown: many payers may share one address, and one of them must not shut the others out.
        guess_wait_s: how long.
    """

    port: CheckoutPort
    clock: Clock
    setting: Setting
    streams: Streams
    buttons: SandboxButtons | None
    asks: Limiter = field(default_factory=lambda: Limiter(burst=6, per_s=60))
    callers: Limiter = field(default_factory=lambda: Limiter(burst=120, per_s=60))
    misses: Limiter = field(default_factory=lambda: Limiter(burst=60, per_s=60))
    guess_wait_s: float = 1

    async def show(self, order_id: FromPath[str], request: PageRequest) -> Response[str]:
        """Show the page of an order."""
        view = await self._find(order_id, request)
        page = self._page(view, request)
        return await self._answer(view, page)

    async def live(self, order_id: FromPath[str], request: PageRequest) -> Response[str]:
        """Answer with the living part of the page, or with nothing where the caller has seen this version."""
        view = await self._find(order_id, request)
        page = self._page(view, request)
        headers = {**PAGE_HEADERS, "X-Now": str(page.now_ms)}
        if request.query_params.get("seen") == page.version:
            return Response("", status_code=204, headers=headers)
        body = render(page.language, "_live.html", page=page, is_whole=False)
        return Response(body, media_type=MediaType.HTML, headers=headers)

    async def events(self, order_id: FromPath[str], request: PageRequest) -> Stream:
        """Tell the page when to look again."""
        view = await self._find(order_id, request)
        return Stream(
            self.streams.follow(view.payin_id),
            media_type="text/event-stream",
            headers={**PAGE_HEADERS, "X-Accel-Buffering": "no"},
        )

    async def pick(self, order_id: FromPath[str], request: PageRequest) -> Response[str]:
        """Fix the network that the payer of a pre-order chose, and lead back to the page."""
        form = await form_of(request)
        view = await self._find(order_id, request)
        await self.port.pick_network(view.payin_id, form.get("asset", ""))
        return back_to(view.payin_id, language_of(request, asked=form.get("lang", ""), ordered=_ordered_language(view)))

    async def ask(self, order_id: FromPath[str], request: PageRequest) -> Response[str]:
        """Answer "I have paid" on the page of the order."""
        form = await form_of(request)
        view = await self._find(order_id, request)
        self.callers.take(client_of(request))
        self.asks.take(view.payin_id.hex)
        text = form.get("text", "").strip()
        can_look = is_hash_or_address(text)
        lookup = await self.port.look_up(view.payin_id, text) if can_look else Lookup(LookupKind.UNREADABLE)
        page = self._page(view, request, asked=form.get("lang", ""))
        answer = answer_of(lookup, view, catalogue(page.language))
        return await self._answer(view, page, answer=answer)

    async def file(self, name: FromPath[str]) -> Response[bytes]:
        """Serve the style sheet, the script, or a merchant's accent colour."""
        found = files.by_name().get(name)
        if found is not None:
            return Response(found.body, media_type=found.media_type, headers=dict(STATIC_HEADERS))
        key = accent_key(name.removeprefix(_ACCENT_NAME).removesuffix(".css"))
        if key is None or name != f"{_ACCENT_NAME}{key}.css":
            raise NotFound("no such file")
        css = readable(key).style_sheet().encode()
        return Response(css, media_type="text/css", headers=dict(STATIC_HEADERS))

    async def _find(self, order_id: FromPath[str], request: PageRequest) -> PayinView:
        caller = client_of(request)
        if self.misses.is_spent(caller):
            await asyncio.sleep(self.guess_wait_s)
        try:
            return await self.port.find_view(payin_id_of(order_id))
        except NotFound:
            self.misses.take(caller)
            raise

    def _page(self, view: PayinView, request: PageRequest, *, asked: str = "") -> Page:
        language = language_of(request, asked=asked, ordered=_ordered_language(view))
        qr = request.query_params.get("qr", "")
        return build_page(view, self.setting, language=language, now=self.clock.now(), qr=qr)

    async def _answer(self, view: PayinView, page: Page, *, answer: Answer | None = None) -> Response[str]:
        accent = accent_key(view.merchant.accent)
        payables: Sequence[Payable] = await self.buttons.payables(view) if self.buttons else ()
        body = render(
            page.language,
            "pay.html",
            page=page,
            is_whole=True,
            answer=answer,
            payables=payables,
            is_sandbox=self.setting.is_sandbox,
            accent_url=f"{files.PREFIX}/{_ACCENT_NAME}{accent}.css" if accent else "",
        )
        return Response(body, media_type=MediaType.HTML, headers=dict(PAGE_HEADERS))


def _ordered_language(view: PayinView) -> str:
    return view.lang or view.merchant.lang


def back_to(payin_id: PayinId, language: Language) -> Response[str]:
    """Lead back to an order's page after a form (RFC 9110, section 15.4.4), in the language it was in."""
    location = f"/pay/{payin_id.hex}?lang={language.tag}"
    return Response("", status_code=303, headers={**PAGE_HEADERS, "Location": location})


def build_routes(
    port: CheckoutPort, *, clock: Clock, support_contact: str = "", sandbox: SandboxActions | None = None
) -> list[Router]:
    """Return the hosted page's routes, to be mounted at the root of the web port.

    Args:
        port: the platform.
        clock: business time.
        support_contact: a mail address, a link or words that the page shows as help; "" for none.
        sandbox: what the sandbox buttons do; None in a live deployment, which then has no such route at all.
    """
    setting = Setting(is_sandbox=sandbox is not None, support_contact=support_contact)
    buttons = SandboxButtons(sandbox, port, back_to) if sandbox else None
    checkout = Checkout(port, clock, setting, Streams(port, clock), buttons)
    read = [HttpMethod.GET, HttpMethod.HEAD]
    handlers = [
        route("/pay/{order_id:str}", http_method=read)(function_of(checkout.show)),
        get("/pay/{order_id:str}/live")(function_of(checkout.live)),
        get("/pay/{order_id:str}/events")(function_of(checkout.events)),
        post("/pay/{order_id:str}/network", request_max_body_size=FORM_BYTES)(function_of(checkout.pick)),
        post("/pay/{order_id:str}/ask", request_max_body_size=FORM_BYTES, status_code=200)(function_of(checkout.ask)),
        route(files.PREFIX + "/{name:str}", http_method=read)(function_of(checkout.file)),
        *(buttons.handlers() if buttons else ()),
    ]
    return [
        Router(
            "/",
            route_handlers=handlers,
            include_in_schema=False,
            exception_handlers={
                Problem: notices.show_problem,
                HTTPException: notices.show_http_error,
                Exception: notices.show_failure,
            },
        )
    ]
