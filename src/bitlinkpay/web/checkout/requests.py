"""Reading a request of the hosted page: strict about forms, forgiving about nothing else."""

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Final, ParamSpec, TypeAlias, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import PermissionDeniedException

from bitlinkpay.core.errors import Invalid, NotFound
from bitlinkpay.core.ids import PayinId
from bitlinkpay.web.checkout.language import Language, choose_language
from bitlinkpay.web.security import is_foreign_form

PageRequest: TypeAlias = Request[None, None, State]

FORM_BYTES: Final = 4096
_FIELDS: Final = 16
_HEX32: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_HASH_OR_ADDRESS: Final = re.compile(r"[0-9A-Za-z+/=_:.-]{20,120}", re.ASCII)


P = ParamSpec("P")
R = TypeVar("R")


def function_of(method: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Return a bound method as a plain function: Litestar deep-copies handlers and all that they are bound to."""

    @wraps(method)
    async def function(*args: P.args, **kwargs: P.kwargs) -> R:
        return await method(*args, **kwargs)

    return function


def payin_id_of(text: str) -> PayinId:
    """Return the order's id from a path: 32 lower-case hex digits.

    Raises:
        NotFound: the text is no id; told apart from an unknown order by nobody.
    """
    if not _HEX32.fullmatch(text):
        raise NotFound("no such order")
    return PayinId(UUID(text))


async def form_of(request: PageRequest) -> Mapping[str, str]:
    """Return the fields of a form that the page itself sent (`application/x-www-form-urlencoded`, UTF-8).

    Raises:
        PermissionDeniedException: another site sent it.
        Invalid: it is no form of ours.
    """
    if is_foreign_form(request.headers.get("sec-fetch-site")):
        raise PermissionDeniedException("this form belongs to another page")
    body = await request.body()
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict")
    except ValueError:
        raise Invalid("the form could not be read") from None
    return dict(fields)


def language_of(request: PageRequest, *, asked: str = "", ordered: str = "") -> Language:
    """Return the language of an answer: what the payer asked for, the order's, the browser's."""
    return choose_language(
        asked=asked or request.query_params.get("lang", ""),
        ordered=ordered,
        accepted=request.headers.get("accept-language", ""),
    )


def client_of(request: PageRequest) -> str:
    """Return the caller's IP address as the server was told it, for limits only."""
    return request.client.host if request.client else ""


def is_hash_or_address(text: str) -> bool:
    """Say whether the text could be a transaction hash or an address of any network; nothing else is looked up."""
    return _HASH_OR_ADDRESS.fullmatch(text) is not None
