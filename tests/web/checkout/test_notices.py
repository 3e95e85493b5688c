"""Pages without an order: the right words for each status, in each language, and nothing of the fault."""

import logging
from http import HTTPStatus

import pytest
from litestar import Request
from litestar.exceptions import HTTPException

from bitlinkpay.core.errors import Kind, Problem
from bitlinkpay.web.checkout.language import Language
from bitlinkpay.web.checkout.notices import notice_of, show_failure, show_http_error, show_problem
from bitlinkpay.web.checkout.requests import PageRequest
from bitlinkpay.web.security import PAGE_HEADERS

ORDER = "0199c0de000070008000" + "0" * 12
STATUSES = {
    Kind.INVALID: 400,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.FORBIDDEN: 403,
    Kind.LIMITED: 429,
    Kind.UNAVAILABLE: 503,
}
TITLES = {
    400: "That did not work",
    403: "That did not work",
    404: "There is no such order",
    405: "That did not work",
    409: "That is not possible any more",
    413: "That did not work",
    429: "Too many questions",
    500: "Something is out of order here",
    503: "Something is out of order here",
}


def request(order_id: str = "", *, query: str = "") -> PageRequest:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/pay/x",
        "query_string": query.encode(),
        "headers": [(b"host", b"pay.example")],
        "client": None,
        "server": ("pay.example", 443),
        "scheme": "https",
        "path_params": {"order_id": order_id} if order_id else {},
        "state": {},
    }
    return Request(scope)  # type: ignore[arg-type]


def problem(kind: Kind) -> Problem:
    made = type("Made", (Problem,), {"kind": kind})
    found = made("a secret of the platform")
    assert isinstance(found, Problem)
    return found


@pytest.mark.parametrize(("status", "title"), TITLES.items())
def test_each_status_has_its_words(status: int, title: str) -> None:
    notice = notice_of(status, Language.ENGLISH)
    assert (notice.status, notice.title) == (status, title)
    assert notice.text.endswith(".")


@pytest.mark.parametrize("status", TITLES)
def test_each_status_is_said_in_every_language(status: int) -> None:
    notices = [notice_of(status, language) for language in Language]
    assert len({notice.text for notice in notices}) == len(Language)
    assert len({notice.title for notice in notices}) > 1, "both Chinese scripts may share a title"


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_problem_has_a_status_and_tells_nothing_else(kind: Kind) -> None:
    answer = show_problem(request(ORDER), problem(kind))
    assert answer.status_code == STATUSES[kind]
    assert TITLES[STATUSES[kind]] in answer.content
    assert "secret" not in answer.content


@pytest.mark.parametrize("status", [405, 413])
def test_the_framework_s_own_refusals_look_like_ours(status: int) -> None:
    answer = show_http_error(request(ORDER), HTTPException(status_code=status, detail="Traceback: secret"))
    assert answer.status_code == status
    assert TITLES[status] in answer.content
    assert "secret" not in answer.content


def test_a_fault_of_ours_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer = show_failure(request(ORDER), RuntimeError("secret"))
    assert answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    assert "secret" not in answer.content
    assert "Your payment is not affected" in answer.content
    (record,) = caplog.records
    assert record.getMessage() == "hosted page failed: GET /pay/x"
    assert record.exc_info is not None


def test_the_way_back_leads_to_an_order_that_may_exist_and_keeps_the_language() -> None:
    known = show_problem(request(ORDER, query="lang=zh-TW"), problem(Kind.CONFLICT))
    assert f"/pay/{ORDER}?lang=zh-Hant" in known.content
    assert f"/pay/{ORDER}" not in show_problem(request(ORDER), problem(Kind.NOT_FOUND)).content
    assert "/pay/?lang" not in show_problem(request(), problem(Kind.CONFLICT)).content


def test_an_odd_order_id_stays_inside_its_link() -> None:
    answer = show_problem(request('"><script>alert(1)</script>'), problem(Kind.INVALID))
    assert "<script>alert" not in answer.content


def test_a_notice_has_the_headers_of_every_page() -> None:
    answer = show_problem(request(ORDER), problem(Kind.INVALID))
    assert answer.headers == dict(PAGE_HEADERS)
    assert answer.media_type == "text/html"
