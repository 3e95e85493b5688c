"""What an attacker may put into an order, and what a browser then does: show it."""

from dataclasses import replace

import pytest
from tests.browser.conftest import PATIENCE_MS, Payer
from tests.web.checkout.shop import OVER, REGISTRY, merchant, odd, order, paid

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAYLOADS = [
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    '"><svg onload=window.pwned=1>',
    "' autofocus onfocus='window.pwned=1",
    "{{constructor.constructor('window.pwned=1')()}}",
    "</title><script>window.pwned=1</script>",
    "javascript:window.pwned=1",
    "</main><template><script>window.pwned=1</script>",
]


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_WEB_13_and_API_37_markup_in_an_order_is_text_in_the_browser(payer: Payer, payload: str) -> None:
    asset = replace(REGISTRY.assets["ton-ton"], title=payload)
    view = order("ton-ton", source_id=payload, tag=payload, asset=asset, merchant=merchant(payload, accent=payload))
    view = odd(view, replace(OVER, asset=asset, txid=payload))
    page = await payer.open(view)
    assert await page.locator("h1").text_content() == payload
    assert await page.locator(".tag .mono").text_content() == payload
    payer.shop.change(paid(view))
    await page.get_by_role("heading", name="Paid", exact=True).wait_for(timeout=PATIENCE_MS)
    assert await page.evaluate("window.pwned") is None
    assert await page.locator("img, iframe, template, svg[onload]").count() == 0
    assert payer.complaints == []


async def test_WEB_13_the_policy_stops_a_script_that_got_in_all_the_same(payer: Payer) -> None:
    page = await payer.open(order())
    await page.evaluate(
        """() => { const s = document.createElement("script"); s.textContent = "window.pwned = 1"; document.body.append(s);
        document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.pwned = 1'>"); }"""
    )
    await page.wait_for_timeout(200)
    assert await page.evaluate("window.pwned") is None
    assert any("Content Security Policy" in complaint for complaint in payer.complaints)


async def test_WEB_14_the_page_shows_in_no_frame(payer: Payer) -> None:
    url = payer.url(order())
    page = await payer.tab()
    await page.set_content(f"<iframe src='{url}'></iframe>")
    await page.wait_for_timeout(500)
    frame = page.frames[1]
    assert await frame.locator("#live").count() == 0


async def test_WEB_28_nothing_may_be_sent_or_fetched_elsewhere(payer: Payer) -> None:
    page = await payer.open(order())
    outcome = await page.evaluate(
        "fetch('http://127.0.0.1:9/').then(() => 'sent', (error) => error.name)",
    )
    assert outcome == "TypeError"
    assert any("connect-src" in complaint for complaint in payer.complaints)


async def test_no_referrer_leaves_the_page(payer: Payer) -> None:
    heard: list[str | None] = []
    page = await payer.tab()
    target = payer.url(order(), is_sandbox=True)
    view = paid(order())
    view = replace(view, links=replace(view.links, success=target))
    await page.goto(payer.url(view, is_sandbox=True))
    page.on("request", lambda request: heard.append(request.headers.get("referer")))
    await page.get_by_role("link", name="Back to Tea & Oolong").first.click()
    await page.wait_for_url(target)
    assert not any(heard), "the shop learns nothing of the address that the payer comes from"
