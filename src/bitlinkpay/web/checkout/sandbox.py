"""The sandbox's buttons beside an order: pay it right or wrong, mine, move the clock. Plain forms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.ids import PayinId
from bitlinkpay.payins.view import PayinView
from bitlinkpay.web.checkout.language import Language
from bitlinkpay.web.checkout.port import CheckoutPort, Payable, SandboxActions
from bitlinkpay.web.checkout.requests import FORM_BYTES, PageRequest, form_of, function_of, language_of, payin_id_of

_BLOCKS_MAX: Final = 100
_MINUTES_MAX: Final = 60 * 24 * 30


@dataclass(frozen=True, slots=True)
class SandboxButtons:
    """The handlers under `/sandbox`. Made only where the deployment is a sandbox."""

    actions: SandboxActions
    port: CheckoutPort
    back_to: Callable[[PayinId, Language], Response[str]]

    def handlers(self) -> list[HTTPRouteHandler]:
        """Return the routes."""
        return [
            post("/sandbox/pay/{order_id:str}", request_max_body_size=FORM_BYTES)(function_of(self.pay)),
            post("/sandbox/mine/{order_id:str}", request_max_body_size=FORM_BYTES)(function_of(self.mine)),
            post("/sandbox/clock/{order_id:str}", request_max_body_size=FORM_BYTES)(function_of(self.clock)),
        ]

    async def payables(self, view: PayinView) -> Sequence[Payable]:
        """Return what the buttons can send to an order; nothing before its network is picked."""
        return await self.actions.list_payable(view.payin_id) if view.asset else ()

    async def pay(self, order_id: FromPath[str], request: PageRequest) -> Response[str]:
        """Broadcast a transfer to the order's address: fields `asset` and `amount`, each "" for what is asked."""
        form = await form_of(request)
        payin_id = (await self.port.find_view(payin_id_of(order_id))).payin_id
        await self.actions.pay(payin_id, asset_id=form.get("asset", ""), amount=form.get("amount", "").strip())
        return self.back_to(payin_id, language_of(request, asked=form.get("lang", "")))

    async def mine(self, order_id: FromPath[str], request: PageRequest) -> Response[str]:
        """Add `blocks` blocks to the order's network."""
        form = await form_of(request)
        payin_id = (await self.port.find_view(payin_id_of(order_id))).payin_id
        await self.actions.mine(payin_id, _count(form.get("blocks", "1"), most=_BLOCKS_MAX))
        return self.back_to(payin_id, language_of(request, asked=form.get("lang", "")))

    async def clock(self, order_id: FromPath[str], request: PageRequest) -> Response[str]:
        """Move business time `minutes` ahead."""
        form = await form_of(request)
        payin_id = (await self.port.find_view(payin_id_of(order_id))).payin_id
        await self.actions.advance_clock(_count(form.get("minutes", ""), most=_MINUTES_MAX))
        return self.back_to(payin_id, language_of(request, asked=form.get("lang", "")))


def _count(text: str, *, most: int) -> int:
    """Parse a whole number from 1 to `most`.

    Raises:
        Invalid: it is none.
    """
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(most)) else 0
    if not 1 <= number <= most:
        raise Invalid(f"a whole number from 1 to {most}")
    return number
