"""The web port: hosted pages, and the SDK protocol's plain mode (which only a sandbox answers)."""

from collections.abc import Sequence
from typing import cast

from litestar import Litestar, Router
from litestar.plugins import PluginProtocol
from litestar.types import Receive as LitestarReceive
from litestar.types import Scope as LitestarScope
from litestar.types import Send as LitestarSend

from bitlinkpay.web.wm.app import ROUTES, WmApp
from bitlinkpay.web.wm.asgi import HttpScope, Receive, Send


class _Pages(Litestar):
    """Litestar without its plugins for pydantic and attrs: our pages use neither, and to import pydantic costs 8 MB."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return plugins


class Site:
    """One ASGI app for everything that a browser or a test client may ask for without a certificate."""

    def __init__(self, routes: Sequence[Router], plain: WmApp) -> None:
        self._pages = _Pages(route_handlers=routes, openapi_config=None, logging_config=None)
        self._plain = plain

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["raw_path"] in ROUTES:
            await self._plain(scope, receive, send)
        else:
            await self._pages(
                cast("LitestarScope", scope),
                cast("LitestarReceive", receive),
                cast("LitestarSend", send),
            )
