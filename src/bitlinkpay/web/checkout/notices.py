"""Pages that say why there is nothing else to show. The one for an unknown order is the same for all of them."""

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from litestar import MediaType, Response
from litestar.exceptions import HTTPException

from bitlinkpay.core.errors import Kind, Problem
from bitlinkpay.web.checkout.language import Language, catalogue
from bitlinkpay.web.checkout.render import render
from bitlinkpay.web.checkout.requests import PageRequest, language_of
from bitlinkpay.web.security import PAGE_HEADERS

_log = logging.getLogger(__name__)

_STATUS: Final = {
    Kind.INVALID: HTTPStatus.BAD_REQUEST,
    Kind.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Kind.CONFLICT: HTTPStatus.CONFLICT,
    Kind.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Kind.LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    Kind.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Notice:
    """A page without an order."""

    status: int
    title: str
    text: str


def notice_of(status: int, language: Language) -> Notice:
    """Return the words for an HTTP status."""
    t = catalogue(language)
    match status:
        case HTTPStatus.NOT_FOUND:
            text = t.gettext("Check the link, or go back to the shop and open the payment page again.")
            return Notice(status, t.gettext("There is no such order"), text)
        case HTTPStatus.TOO_MANY_REQUESTS:
            return Notice(status, t.gettext("Too many questions"), t.gettext("Wait a minute, then try again."))
        case HTTPStatus.CONFLICT:
            text = t.gettext("The order has moved on in the meantime. Go back to it to see where it stands.")
            return Notice(status, t.gettext("That is not possible any more"), text)
        case _ if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            text = t.gettext("The page could not read what was sent. Go back and try again.")
            return Notice(status, t.gettext("That did not work"), text)
        case _:
            text = t.gettext("Your payment is not affected. Try again in a minute.")
            return Notice(status, t.gettext("Something is out of order here"), text)


def show_problem(request: PageRequest, problem: Problem) -> Response[str]:
    """Answer a refusal of the platform."""
    return _show(request, _STATUS[problem.kind])


def show_http_error(request: PageRequest, error: HTTPException) -> Response[str]:
    """Answer a refusal of the web framework (too large, wrong method, ...)."""
    return _show(request, error.status_code)


def show_failure(request: PageRequest, error: Exception) -> Response[str]:
    """Answer a fault of ours: the log has it, the page does not."""
    _log.error("hosted page failed: %s %s", request.method, request.url.path, exc_info=error)
    return _show(request, HTTPStatus.INTERNAL_SERVER_ERROR)


def _show(request: PageRequest, status: int) -> Response[str]:
    language = language_of(request)
    notice = notice_of(status, language)
    order_id = request.path_params.get("order_id", "")
    has_order = order_id and status != HTTPStatus.NOT_FOUND
    body = render(
        language,
        "notice.html",
        title=notice.title,
        text=notice.text,
        tone="warn",
        back=f"/pay/{order_id}?lang={language.tag}" if has_order else "",
    )
    return Response(body, media_type=MediaType.HTML, status_code=status, headers=dict(PAGE_HEADERS))
