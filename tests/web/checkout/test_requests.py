"""What the hosted page takes from a request: ids, forms of its own, languages, texts that may be looked up."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Request
from litestar.exceptions import PermissionDeniedException
from litestar.testing import RequestFactory

from bitlinkpay.core.errors import Invalid, NotFound
from bitlinkpay.web.checkout.language import Language
from bitlinkpay.web.checkout.requests import (
    PageRequest,
    client_of,
    form_of,
    function_of,
    is_hash_or_address,
    language_of,
    payin_id_of,
)

HANDLER = RequestFactory().post("/pay/x").scope["route_handler"]


def request(
    body: bytes = b"", *, query: str = "", client: tuple[str, int] | None = ("203.0.113.7", 5), **headers: str
) -> PageRequest:
    """Return a request as an ASGI server hands it over."""

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/pay/x",
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "client": client,
        "path_params": {},
        "route_handler": HANDLER,
        "state": {},
    }
    return Request(scope, receive=receive)  # type: ignore[arg-type]


@given(st.uuids())
def test_an_id_is_read_in_one_spelling_only(value: UUID) -> None:
    assert payin_id_of(value.hex) == value
    for other in (str(value), value.hex + "0", value.hex[1:], f"{value.hex}\n", f" {value.hex}", f"pay_{value.hex}"):
        with pytest.raises(NotFound, match="no such order"):
            payin_id_of(other)


@pytest.mark.parametrize("text", ["", "A" * 32, "g" * 32, "\u0661" * 32, "{" + "0" * 30 + "}", "0x" + "0" * 30])
def test_what_is_no_id_is_an_unknown_order(text: str) -> None:
    with pytest.raises(NotFound, match="no such order"):
        payin_id_of(text)


async def test_a_form_is_read_with_its_empty_fields_and_escapes() -> None:
    fields = await form_of(request(b"text=a%20b+c%C3%A9&coin=&x=1%26y%3D2"))
    assert fields == {"text": "a b c\u00e9", "coin": "", "x": "1&y=2"}


async def test_of_two_fields_of_one_name_the_last_counts() -> None:
    assert await form_of(request(b"coin=a&coin=b")) == {"coin": "b"}


async def test_an_empty_form_has_no_fields() -> None:
    assert await form_of(request(b"")) == {}


@pytest.mark.parametrize(
    "body",
    [b"text=\xc3\xa9", b"text=%ff", b"text=%C3", b"text=%ED%A0%80", b"&".join(b"f%d=1" % n for n in range(17))],
    ids=["raw bytes", "no UTF-8", "half a letter", "a surrogate", "17 fields"],
)
async def test_a_form_that_no_browser_sends_from_here_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid, match="could not be read"):
        await form_of(request(body))


async def test_sixteen_fields_are_still_a_form() -> None:
    assert len(await form_of(request(b"&".join(b"f%d=1" % n for n in range(16))))) == 16


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "SAME-ORIGIN", "unknown"])
async def test_a_form_of_another_site_is_refused_unread(site: str) -> None:
    with pytest.raises(PermissionDeniedException, match="another page"):
        await form_of(request(b"text=\xff", sec_fetch_site=site))


@pytest.mark.parametrize("site", ["same-origin", "none"])
async def test_a_form_of_the_page_itself_is_read(site: str) -> None:
    assert await form_of(request(b"a=1", sec_fetch_site=site)) == {"a": "1"}


def test_the_payer_s_language_goes_before_the_order_s_and_the_browser_s() -> None:
    asking = request(query="lang=zh-TW", accept_language="zh-CN")
    assert language_of(asking) is Language.TRADITIONAL
    assert language_of(asking, asked="en") is Language.ENGLISH
    assert language_of(asking, ordered="zh-Hans") is Language.TRADITIONAL
    assert language_of(request(accept_language="zh-CN"), ordered="en") is Language.ENGLISH
    assert language_of(request(accept_language="fr, zh-CN;q=0.5")) is Language.SIMPLIFIED
    assert language_of(request()) is Language.ENGLISH


def test_a_language_that_the_page_does_not_speak_is_passed_over() -> None:
    assert language_of(request(query="lang=fr", accept_language="zh-HK"), ordered="xx") is Language.TRADITIONAL


def test_the_caller_is_who_the_server_says_and_no_header() -> None:
    assert client_of(request(x_forwarded_for="198.51.100.1", forwarded="for=198.51.100.2")) == "203.0.113.7"
    assert client_of(request(client=None)) == ""


@pytest.mark.parametrize(
    "text",
    [
        "0x" + "ab" * 32,
        "6f1a9cbd" * 8,
        "5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnbJLgp8uirBgmQpjKhoR4tjF3ZpRzrFmBV6UjKdiSZkQUW",
        "0:" + "ab" * 32,
        "UQDKbjIcfM6ezt8KjKJJLshZJJSqX7XOA4ff-W72r5gqPuwA",
        "kf/8uRo6OBbQ97jCx2EIuKm8Wmt6Vb15+KsQHFLbKSMiYIny",
        "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "a" * 20,
        "a" * 120,
    ],
)
def test_hashes_and_addresses_of_every_family_are_looked_up(text: str) -> None:
    assert is_hash_or_address(text)


@pytest.mark.parametrize("text", ["", "a" * 19, "a" * 121, "a" * 30 + "\n", "a" * 30 + "'", "a" * 20 + " b", "<" * 30])
def test_nothing_else_is_looked_up(text: str) -> None:
    assert not is_hash_or_address(text)


async def test_a_bound_method_becomes_a_function_with_its_name_and_answer() -> None:
    class Desk:
        async def answer(self, number: int) -> int:
            """Say it twice."""
            return number * 2

    made = function_of(Desk().answer)
    assert not hasattr(made, "__self__")
    assert (made.__name__, made.__doc__) == ("answer", "Say it twice.")
    assert await made(4) == 8
