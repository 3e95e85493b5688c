"""Hostile texts, guessed ids and faults of ours: nothing runs, nothing is told."""

import re
import time
from dataclasses import replace
from uuid import UUID

import httpx
import pytest
from tests.web.checkout.conftest import Window
from tests.web.checkout.shop import REGISTRY, SCENES, SHORT, Shop, odd, order

from bitlinkpay.core.errors import Conflict, Unavailable
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.payins.view import PayinView

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'`{{1337*7}}{%raw%}\u202e🍵\r\nSet-Cookie: a=b"


@pytest.mark.parametrize("scene", ["created-ton", "short", "paid", "late", "pick"])
async def test_WEB_13_and_API_37_hostile_texts_are_shown_escaped(window: Window, scene: str) -> None:
    view = SCENES[scene].make()
    hostile = replace(
        view,
        source_id=EVIL,
        tag=EVIL if view.tag else "",
        lang=EVIL,
        merchant=replace(view.merchant, name=EVIL, support=EVIL, lang=EVIL, accent=EVIL),
    )
    for client in (window.live, window.sandbox):
        for suffix in ("", "/live"):
            answer = await client.get(window.show(hostile) + suffix)
            assert answer.status_code == 200
            assert "&lt;script&gt;alert(1)" in answer.text
            assert "<script>alert" not in answer.text
            assert "<img" not in answer.text
            assert "{{1337*7}}" in answer.text
            assert "9359" not in answer.text
            assert "\u202e" not in answer.text
            assert "set-cookie" not in answer.headers


async def test_EVM_26_a_tokens_name_comes_from_the_registry_and_is_escaped(window: Window) -> None:
    asset = replace(REGISTRY.assets["usdt-ethereum"], title="<b onmouseover=alert(1)>USDT</b>", standard="<i>ERC20</i>")
    network = replace(REGISTRY.networks["ethereum"], title="<u>Ether</u>")
    view = odd(order("usdt-ethereum", asset=asset, network=network), replace(SHORT, asset=asset, network=network))
    html = (await window.live.get(window.show(view))).text
    assert "&lt;b onmouseover=alert(1)&gt;USDT&lt;/b&gt;" in html
    assert not re.search(r"<b onmouseover|<i>ERC20|<u>Ether", html)


async def test_an_answer_does_not_repeat_what_was_pasted(window: Window) -> None:
    path = window.show(order())
    answer = await window.live.post(f"{path}/ask", data={"text": "<script>alert(1)</script>"})
    assert "alert(1)" not in answer.text
    assert window.shop.asked == []


async def test_WEB_27_unknown_and_malformed_orders_get_one_and_the_same_page(window: Window) -> None:
    known = window.show(order())
    names = [
        new_uuid7().hex,
        UUID(int=0).hex,
        "x",
        "0" * 33,
        known[5:].upper(),
        f"pay_{known[5:]}",
        "%00",
        "' or 1=1--",
    ]
    pages = [await window.live.get(f"/pay/{name}") for name in names]
    parts = [await window.live.get(f"/pay/{name}/live") for name in names]
    assert {page.status_code for page in (*pages, *parts)} == {404}
    assert len({page.content for page in (*pages, *parts)}) == 1
    assert len({tuple(sorted(page.headers.items())) for page in pages}) == 1
    assert "There is no such order" in pages[0].text


async def test_WEB_27_guessing_ids_is_slowed_down_and_no_payer_is_shut_out(window: Window) -> None:
    path = window.show(order())
    began = time.monotonic()
    codes = [(await window.live.get(f"/pay/{new_uuid7().hex}")).status_code for _ in range(66)]
    assert codes[:60] == [404] * 60
    assert time.monotonic() - began >= 2, "a guesser with no guesses left waits a second for each"
    assert (await window.live.get(path)).status_code == 200
    app = window.live._transport.app  # type: ignore[attr-defined]
    elsewhere = httpx.ASGITransport(app, client=("203.0.113.9", 1))
    async with httpx.AsyncClient(transport=elsewhere, base_url="http://pay.example") as other:
        took_s = []
        for _ in range(5):
            began = time.monotonic()
            assert (await other.get(path)).status_code == 200
            took_s.append(time.monotonic() - began)
        assert min(took_s) < 0.9


class Faulty(Shop):
    """A platform that fails."""

    error: Exception = RuntimeError("secret detail")

    async def find_view(self, payin_id: object) -> PayinView:
        raise self.error


@pytest.mark.parametrize(
    ("error", "status"),
    [(RuntimeError("secret detail"), 500), (Unavailable("secret detail"), 503), (Conflict("secret detail"), 409)],
)
async def test_a_fault_shows_no_detail(window: Window, error: Exception, status: int) -> None:
    window.shop.find_view = Faulty().find_view  # type: ignore[method-assign]
    Faulty.error = error
    answer = await window.live.get(f"/pay/{new_uuid7().hex}")
    assert answer.status_code == status
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
