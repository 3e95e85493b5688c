"""What a payer does on the page: copying, waiting, watching it change, with and without scripts."""

import asyncio
import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from playwright.async_api import Page, expect
from tests.browser.conftest import PATIENCE_MS, Payer
from tests.web.checkout.shop import (
    ADDRESSES,
    LATE,
    LIFE,
    OPENED,
    SHORT,
    confirming,
    merchant,
    odd,
    order,
    paid,
    pre_order,
)

from bitlinkpay.core.assets import Family
from bitlinkpay.payins.model import PayinState, ReturnLinks
from bitlinkpay.payins.view import PayinView

pytestmark = pytest.mark.asyncio(loop_scope="session")

TRON = ADDRESSES[Family.TRON]


async def settled(page: Page, payer: Payer, view: PayinView) -> None:
    """Wait until the page's stream listens, and mark the page so that a reload would show."""
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while not payer.shop.listeners.get(view.payin_id):
            await asyncio.sleep(0.02)
    await page.evaluate("window.stillTheSame = true")


async def stop_the_clock(page: Page) -> None:
    """Let the page's time pass by `clock.run_for` alone, however long the machine takes."""
    await page.clock.install(time=OPENED)
    await page.clock.pause_at(OPENED + timedelta(seconds=1))


# ---- copying -------------------------------------------------------------------------------------------------


async def test_one_tap_copies_exactly_and_says_so(payer: Payer) -> None:
    view = order("ton-ton", units=1_234_500_000_000)
    context = await payer.device(permissions=["clipboard-read", "clipboard-write"])
    page = await payer.watched(context)
    await page.goto(payer.url(view))
    for name, value, said in (
        ("Copy the amount", "1234.50", "Amount copied"),
        ("Copy the address", view.address, "Address copied"),
        ("Copy the tag", "10293847", "Tag copied"),
    ):
        await page.get_by_role("button", name=name).click()
        await expect(page.locator("#announce")).to_have_text(said)
        assert await page.evaluate("navigator.clipboard.readText()") == value
    assert await page.locator("#announce").get_attribute("role") == "status"
    assert payer.complaints == []


async def test_copying_works_without_the_clipboard_interface(payer: Payer) -> None:
    page = await payer.tab(width=1280)
    await page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined });")
    await page.goto(payer.url(order()))
    await page.get_by_role("button", name="Copy the address").click()
    await expect(page.locator("#announce")).to_have_text("Address copied")
    await page.locator("#help summary").click()
    await page.locator("#paid-by").focus()
    await page.keyboard.press("Control+V")
    assert await page.locator("#paid-by").input_value() == TRON


async def test_selecting_an_amount_gives_plain_digits(payer: Payer) -> None:
    page = await payer.open(order(units=1_234_567_890_000))
    selected = await page.evaluate(
        "() => { getSelection().selectAllChildren(document.querySelector('.value .digits')); return getSelection().toString(); }"
    )
    assert selected == "1234567.89"


# ---- the countdown -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", ["Date.now = () => 0;", "Date.now = () => 9e15;"])
async def test_the_countdown_runs_by_the_servers_clock(payer: Payer, skew: str) -> None:
    view = order()
    page = await payer.tab()
    await page.add_init_script(skew)
    await page.goto(payer.url(view))
    clock = page.locator("#clock")
    await expect(clock).to_have_text(re.compile(r"^29:\d\d$"))
    payer.clock.advance(timedelta(minutes=20))
    await settled(page, payer, view)
    payer.shop.change(view)
    await expect(clock).to_have_text(re.compile(r"^9:\d\d$"))
    permille = int((await page.locator("#ring").get_attribute("stroke-dasharray") or "0").split()[0])
    assert 300 <= permille <= 334  # nine to ten minutes of thirty
    assert payer.complaints == []


async def test_at_zero_the_page_stops_asking_for_money_by_itself(payer: Payer) -> None:
    payer.clock.set(OPENED + LIFE - timedelta(seconds=2))
    page = await payer.tab()
    await stop_the_clock(page)
    await page.goto(payer.url(order()))
    await expect(page.locator("#address")).to_be_visible()
    payer.clock.advance(timedelta(seconds=5))
    await page.clock.run_for(5000)  # two seconds after its end it asks
    await expect(page.get_by_role("heading", name="Time is up")).to_be_visible()
    await expect(page.locator("#pay")).to_be_hidden()
    await expect(page.locator("#strip")).to_be_hidden()
    assert payer.complaints == []


# ---- live updates --------------------------------------------------------------------------------------------


async def test_a_payment_shows_without_a_reload(payer: Payer) -> None:
    view = order()
    page = await payer.open(view)
    await settled(page, payer, view)
    payer.shop.change(confirming(view))
    await expect(page.get_by_role("heading", name="Payment seen, about 2 minutes to go")).to_be_visible()
    await expect(page.locator("#announce")).to_have_text(
        "Payment seen, about 2 minutes to go. It is safe to close this page."
    )
    await expect(page.locator("#pay")).to_be_hidden()
    payer.shop.change(paid(view))
    await expect(page.get_by_role("heading", name="Paid", exact=True)).to_be_visible()
    assert await page.title() == "Paid · Tea & Oolong"
    assert await page.evaluate("window.stillTheSame")
    assert payer.complaints == []


@pytest.mark.parametrize("refusal", ["abort", "503"])
async def test_polling_takes_over_where_the_stream_is_refused(payer: Payer, refusal: str) -> None:
    view = order()
    page = await payer.tab()
    await page.route("**/events", lambda route: route.abort() if refusal == "abort" else route.fulfill(status=503))
    await page.goto(payer.url(view))
    await page.evaluate("window.stillTheSame = true")
    payer.shop.change(odd(view, SHORT))
    await expect(page.get_by_role("heading", name="8.00 of 10.00 USDT received")).to_be_visible()
    assert payer.shop.listeners.get(view.payin_id, []) == []
    assert await page.evaluate("window.stillTheSame")


async def test_a_lost_connection_is_told_and_found_again(payer: Payer) -> None:
    view = order()
    page = await payer.tab()
    await page.route("**/events", lambda route: route.abort())
    await page.route("**/live?*", lambda route: route.abort())
    await page.goto(payer.url(view))
    await expect(page.get_by_text("No connection. Trying again.")).to_be_visible()
    await page.unroute("**/live?*")
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    await expect(page.locator("#lost")).to_be_hidden()


async def test_an_update_leaves_the_payers_own_doings_alone(payer: Payer) -> None:
    view = order()
    page = await payer.open(view, width=1280)
    await settled(page, payer, view)
    await page.locator("#help summary").click()
    await page.locator("#paid-by").fill("half a ha")
    await page.locator("#details summary").click()
    await page.get_by_text("With amount").click()
    payer.shop.change(odd(view, SHORT))
    await expect(page.get_by_role("heading", name="8.00 of 10.00 USDT received")).to_be_visible()
    assert await page.locator("#paid-by").input_value() == "half a ha"
    assert await page.locator("#help").evaluate("(node) => node.open")
    assert await page.locator("#details details").evaluate("(node) => node.open")
    await expect(page.locator(".code.request")).to_be_visible()
    await expect(page.locator(".code.address")).to_be_hidden()


async def test_WEB_28_an_address_that_changes_under_its_order_is_refused(payer: Payer) -> None:
    view = order()
    page = await payer.open(view)
    await settled(page, payer, view)
    payer.shop.change(replace(view, address="TLa2f6VPqDgRE67v1736s7bJ8Ray5wYjU7"))
    await expect(page.get_by_text("The address on this page has changed. Do not pay").first).to_be_visible()
    assert await page.locator("#pay").count() == 0
    assert await page.get_by_text("TLa2f6").count() == 0


async def test_a_late_payment_still_shows_on_an_expired_page(payer: Payer) -> None:
    view = order(state=PayinState.EXPIRED)
    payer.clock.set(OPENED + LIFE * 2)
    page = await payer.open(view)
    await expect(page.get_by_role("heading", name="This order has expired")).to_be_visible()
    payer.shop.change(odd(view, LATE, state=PayinState.EXPIRED))
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    await expect(page.get_by_role("heading", name="Your payment arrived late")).to_be_visible()


# ---- going back ----------------------------------------------------------------------------------------------


async def test_a_paid_page_counts_down_to_the_shop(payer: Payer) -> None:
    elsewhere = payer.url(order(source_id="THANKS"), is_sandbox=True)
    page = await payer.tab()
    await stop_the_clock(page)
    await page.goto(payer.url(paid(order(links=ReturnLinks(success=elsewhere))), is_sandbox=True))
    await expect(page.get_by_text("Taking you back in 10 s")).to_be_visible()
    await page.clock.run_for(3000)
    await expect(page.get_by_text("Taking you back in 7 s")).to_be_visible()
    await page.clock.run_for(8000)
    await expect(page).to_have_url(elsewhere)


async def test_a_payer_may_stay(payer: Payer) -> None:
    elsewhere = payer.url(order(source_id="THANKS"), is_sandbox=True)
    page = await payer.tab()
    await stop_the_clock(page)
    url = payer.url(paid(order(links=ReturnLinks(success=elsewhere))), is_sandbox=True)
    await page.goto(url)
    await page.get_by_role("button", name="Stay on this page").click()
    await page.clock.run_for(20_000)
    assert page.url == url
    await expect(page.get_by_role("link", name="Back to Tea & Oolong").first).to_be_focused()


# ---- choices -------------------------------------------------------------------------------------------------


async def test_the_code_switches_with_one_tap_and_by_keyboard(payer: Payer) -> None:
    page = await payer.open(order(), width=1280)
    await expect(page.locator(".code.address")).to_be_visible()
    await page.get_by_text("With amount").click()
    await expect(page.locator(".code.request")).to_be_visible()
    await expect(page.locator(".code.address")).to_be_hidden()
    await page.locator("#qr-request").focus()
    await page.keyboard.press("ArrowLeft")
    await expect(page.locator(".code.address")).to_be_visible()


async def test_wallet_links_are_for_phones(payer: Payer) -> None:
    page = await payer.open(order("btc-bitcoin", units=123_450))
    link = page.get_by_role("link", name="Open in a wallet")
    await expect(link).to_be_visible()
    assert (await link.get_attribute("href") or "").startswith("bitcoin:bc1q")
    desk = await payer.open(order("btc-bitcoin", units=123_450), width=1280)
    await expect(desk.get_by_role("link", name="Open in a wallet")).to_be_hidden()


async def test_the_payer_picks_a_network(payer: Payer) -> None:
    view = pre_order()
    page = await payer.open(view)
    await page.get_by_text("Polygon (ERC20)").click()
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_text("USDT on Polygon (ERC20)").first).to_be_visible()
    await expect(page.locator("#address")).to_have_text(ADDRESSES[Family.EVM])
    assert payer.complaints == []


async def test_a_pick_in_another_tab_shows_here_too(payer: Payer) -> None:
    view = pre_order()
    page = await payer.open(view)
    await settled(page, payer, view)
    await payer.shop.pick_network(view.payin_id, "usdt-tron")
    await expect(page.locator("#address")).to_have_text(TRON)


async def test_I_have_paid_is_answered_on_the_page(payer: Payer) -> None:
    page = await payer.open(order())
    await page.evaluate("window.stillTheSame = true")
    await page.locator("#help summary").click()
    await page.locator("#paid-by").fill("a" * 64)
    await page.get_by_role("button", name="Check").click()
    await expect(page.locator("#answer")).to_contain_text("Not seen yet")
    assert await page.locator("#answer").get_attribute("role") == "status"
    assert await page.evaluate("window.stillTheSame")
    for _ in range(7):
        await page.get_by_role("button", name="Check").click()
        await page.wait_for_timeout(50)
    await expect(page.locator("#answer")).to_contain_text("Wait a minute")


async def test_the_language_switch(payer: Payer) -> None:
    page = await payer.open(order())
    await page.get_by_role("link", name="繁體中文").click()
    assert await page.evaluate("document.documentElement.lang") == "zh-Hant"
    await expect(page.get_by_role("heading", name="等待付款")).to_be_visible()
    await expect(page.get_by_role("link", name="繁體中文")).to_have_attribute("aria-current", "true")


async def test_sandbox_buttons_pay_and_mine(payer: Payer) -> None:
    page = await payer.tab()
    await page.goto(payer.url(order(), is_sandbox=True))
    await expect(page.get_by_text("no real money")).to_be_visible()
    await page.get_by_role("button", name="Pay exactly").click()
    await expect(page.get_by_role("heading", name="Payment seen")).to_be_visible()
    await page.get_by_role("button", name="Mine a block").click()
    await expect(page.get_by_role("heading", name="Paid", exact=True)).to_be_visible()
    assert payer.complaints == []


# ---- without scripts -----------------------------------------------------------------------------------------


async def test_the_whole_way_without_scripts(payer: Payer) -> None:
    view = pre_order()
    page = await payer.tab(java_script_enabled=False)
    await page.goto(payer.url(view))
    await page.get_by_text("TRON (TRC20)").click()
    await page.get_by_role("button", name="Continue").click()
    assert await page.locator("#address").text_content() == TRON
    await expect(page.get_by_role("button", name="Copy the address")).to_be_hidden()
    await page.get_by_text("With amount").click()
    await expect(page.locator(".code.request")).to_be_visible()
    payer.shop.change(confirming(payer.shop.views[view.payin_id]))
    await page.get_by_role("link", name="Reload to see news").click()
    await expect(page.get_by_role("heading", name="Payment seen")).to_be_visible()
    await page.locator("#help summary").click()
    await page.locator("#paid-by").fill("a" * 64)
    await page.get_by_role("button", name="Check").click()
    await expect(page.locator("#answer")).to_contain_text("Not seen yet")
    payer.shop.change(paid(payer.shop.views[view.payin_id]))
    await page.goto(payer.url(payer.shop.views[view.payin_id]))
    await expect(page.get_by_role("heading", name="Paid", exact=True)).to_be_visible()
    await expect(page.get_by_role("link", name="Back to Tea & Oolong").first).to_be_visible()
    await expect(page.get_by_text("Stay on this page")).to_be_hidden()


async def test_without_scripts_the_code_is_chosen_by_a_link(payer: Payer) -> None:
    page = await payer.tab(java_script_enabled=False)
    await page.goto(payer.url(order()) + "?qr=request")
    await expect(page.locator(".code.request")).to_be_visible()


# ---- comfort -------------------------------------------------------------------------------------------------


async def test_everything_is_reached_by_keyboard_and_shows_its_focus(payer: Payer) -> None:
    page = await payer.open(order(), width=1280)
    seen: list[str] = []
    for _ in range(12):
        await page.keyboard.press("Tab")
        seen.append(
            await page.evaluate(
                """() => { const n = document.activeElement, s = getComputedStyle(n.name === "qr" ? document.querySelector(`[for=${n.id}]`) : n);
                return n === document.body ? "" : `${n.getAttribute("aria-label") || n.id || n.textContent.trim()}|${s.outlineStyle}`; }"""
            )
        )
    names = [entry.partition("|")[0] for entry in seen if entry]
    for name in (
        "Copy the amount",
        "qr-address",
        "Copy the address",
        "I have paid",
        "Order details",
        "English",
        "简体中文",
    ):
        assert name in names
    assert {entry.partition("|")[2] for entry in seen if entry} == {"solid"}


async def test_nothing_moves_for_those_who_ask_for_that(payer: Payer) -> None:
    view = confirming(order())
    for motion, animation in (("no-preference", "pulse"), ("reduce", "none")):
        page = await payer.open(view, reduced_motion=motion)
        assert (
            await page.evaluate("getComputedStyle(document.querySelector('.track .now'), '::before').animationName")
            == animation
        )


async def test_the_merchants_colour_is_used_and_stays_readable(payer: Payer) -> None:
    for scheme in ("light", "dark"):
        page = await payer.open(order(merchant=merchant(accent="#ffe14d")), color_scheme=scheme)
        shown = await page.evaluate("getComputedStyle(document.querySelector('.avatar')).backgroundColor")
        assert shown == ("rgb(255, 225, 77)" if scheme == "dark" else shown)
        assert shown != "rgb(51, 80, 224)"


async def test_times_are_the_payers_own(payer: Payer) -> None:
    page = await payer.open(order(), timezone_id="Asia/Shanghai")
    await expect(page.locator(".rate time")).to_have_text("20:30")


async def test_an_order_of_a_week_and_of_a_fortune_keeps_its_form(payer: Payer) -> None:
    week = order(units=1_388_888_888_888_888_888_888_750_000, expires_at=OPENED + timedelta(days=7))
    page = await payer.open(replace(week, fiat_amount=Decimal(10**22 - 1)), timezone_id="Asia/Shanghai")
    clock = page.locator("#clock")
    await expect(clock).to_have_text(re.compile(r"^16[78]\s+h$"))
    text = "node => { const all = document.createRange(); all.selectNodeContents(node); return all.getBoundingClientRect(); }"
    box = await clock.evaluate(text)
    assert (box["width"] <= 36, box["height"] <= 32) == (True, True), box  # two lines inside the ring
    await expect(page.locator(".rate time")).to_have_text("Mar 8, 20:00")
    assert await page.evaluate("document.documentElement.scrollWidth") == 360
    payer.clock.set(OPENED + timedelta(days=6, minutes=1))
    await page.reload()
    await expect(clock).to_have_text(re.compile(r"^23:5\d\s+h$"))
    assert (await clock.evaluate(text))["width"] <= 40
    payer.clock.set(OPENED + timedelta(days=7, minutes=-95))
    await page.reload()
    await expect(clock).to_have_text(re.compile(r"^9[45]:\d\d$"))
