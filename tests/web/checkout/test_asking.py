"""The form "I have paid": answers in plain words, for this order only, not too often."""

import pytest
from tests.web.checkout.conftest import Window
from tests.web.checkout.shop import REGISTRY, order

from bitlinkpay.web.checkout.port import Lookup, LookupKind

HASH = "a" * 64

USDT, POLYGON = REGISTRY.assets["usdt-tron"], REGISTRY.networks["polygon"]
ANSWERS = {
    LookupKind.UNREADABLE: "neither a transaction hash nor an address",
    LookupKind.NOT_SEEN: "Not seen yet",
    LookupKind.PENDING: "waits for its first confirmation",
    LookupKind.SEEN: "with 4 confirmations so far",
    LookupKind.COUNTED: "has arrived and is confirmed",
    LookupKind.OTHER_AMOUNT: "with 8.00 USDT instead of 10.00 USDT. It is recorded",
    LookupKind.OTHER_ASSET: "as 8.00 USDT: this order asks for 10.00 USDT",
    LookupKind.OTHER_NETWORK: "on another network: Polygon",
    LookupKind.OTHER_ADDRESS: "did not go to the address of this order",
    LookupKind.LATE: "arrived after the order&#39;s time",
    LookupKind.FAILED: "no money was moved",
    LookupKind.UNKNOWN: "cannot be read at the moment",
}


@pytest.mark.parametrize("kind", LookupKind)
async def test_every_answer_is_in_plain_words(window: Window, kind: LookupKind) -> None:
    window.shop.lookups[HASH] = Lookup(kind, confirmations=4, asset=USDT, network=POLYGON, units=8_000_000)
    answer = await window.live.post(f"{window.show(order())}/ask", data={"text": f" {HASH}\n"})
    assert answer.status_code == 200
    assert ANSWERS[kind] in answer.text
    assert '<details id="help" class="card" open>' in answer.text


@pytest.mark.parametrize("text", ["", "hello", "a" * 19, "a" * 121, "a b" * 10, "' or 1=1 -- aaaaaaaaaaa", "é" * 30])
async def test_what_is_no_hash_is_not_looked_up(window: Window, text: str) -> None:
    answer = await window.live.post(f"{window.show(order())}/ask", data={"text": text})
    assert ANSWERS[LookupKind.UNREADABLE] in answer.text
    assert window.shop.asked == []


async def test_an_answer_keeps_the_language(window: Window) -> None:
    answer = await window.live.post(f"{window.show(order())}/ask", data={"text": HASH, "lang": "zh-Hant"})
    assert '<html lang="zh-Hant">' in answer.text
    assert "尚未看到" in answer.text


async def test_WEB_27_questions_are_limited_per_order(window: Window) -> None:
    one, other = window.show(order()), window.show(order())
    codes = [(await window.live.post(f"{one}/ask", data={"text": HASH})).status_code for _ in range(8)]
    assert codes == [200] * 6 + [429] * 2
    assert (await window.live.post(f"{other}/ask", data={"text": HASH})).status_code == 200
    refused = await window.live.post(f"{one}/ask", data={"text": HASH})
    assert "Wait a minute" in refused.text
    assert len(window.shop.asked) == 7


async def test_WEB_27_questions_are_limited_per_caller_over_many_orders(window: Window) -> None:
    codes = [
        (await window.live.post(f"{window.show(order())}/ask", data={"text": HASH})).status_code for _ in range(130)
    ]
    assert codes[:120] == [200] * 120
    assert codes[-1] == 429
