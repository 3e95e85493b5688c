"""What a port answers: the merchant API and the REST API on mutual TLS; pages, REST and plain mode on the web port."""

from collections.abc import Sequence
from typing import Final, cast

from litestar import Litestar, Router
from litestar.exceptions import HTTPException
from litestar.plugins import PluginProtocol
from litestar.types import Receive as LitestarReceive
from litestar.types import Scope as LitestarScope
from litestar.types import Send as LitestarSend

from bitlinkpay.web.api.app import PREFIX, ApiApp
from bitlinkpay.web.api.app import unreadable as unreadable_rest
from bitlinkpay.web.checkout.notices import show_http_error
from bitlinkpay.web.wm.app import ROUTES, WmApp
from bitlinkpay.web.wm.asgi import HttpScope, Receive, Send
from bitlinkpay.web.wm.protocol import LastWord, unreadable_envelope

_SDK_PREFIX: Final = b"/v1/api/"


def is_rest(scope: HttpScope) -> bool:
    """Say whether a request is for the REST API, which shares `/v1/` with the SDK protocol."""
    return _is_rest(scope["raw_path"])


def unreadable(target: bytes, why: str) -> LastWord:
    """Answer HTTP that cannot be read: by the REST API where it names a path of it, else by the SDK protocol."""
    if not _is_rest(target):
        return unreadable_envelope(target, why)
    reply = unreadable_rest(why)
    return LastWord(reply.status, reply.headers, reply.body)


def _is_rest(target: bytes) -> bool:
    return target.startswith(PREFIX) and not target.startswith(_SDK_PREFIX)


class Front:
    """One ASGI app for the mutual TLS port: everything that a merchant's own systems ask."""

    def __init__(self, wm: WmApp, api: ApiApp) -> None:
        self._wm = wm
        self._api = api

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await (self._api if is_rest(scope) else self._wm)(scope, receive, send)


class _Pages(Litestar):
    """Litestar without its plugins for pydantic and attrs: our pages use neither, and to import pydantic costs 8 MB."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return plugins


class Site:
    """One ASGI app for everything that a browser or a test client may ask for without a certificate."""

    def __init__(self, routes: Sequence[Router], plain: WmApp, api: ApiApp) -> None:
        self._pages = _Pages(
            route_handlers=routes,
            openapi_config=None,
            logging_config=None,
            exception_handlers={HTTPException: show_http_error},  # a path that no route knows is asked for by people
        )
        self._plain = plain
        self._api = api

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["raw_path"] in ROUTES:
            await self._plain(scope, receive, send)
        elif is_rest(scope):
            await self._api(scope, receive, send)
        else:
            await self._pages(
                cast("LitestarScope", scope),
                cast("LitestarReceive", receive),
                cast("LitestarSend", send),
            )
