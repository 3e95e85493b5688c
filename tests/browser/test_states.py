"""Every state of the page, looked at in real Chromium at phone and desk width, in three languages, light and dark."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page
from tests.browser.conftest import Payer, device, listen, shoot
from tests.web.checkout.shop import OPENED, SCENES

from bitlinkpay.web.checkout.language import Language

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOOKS = [(360, 640), (1280, 860)]

# Every visible text against what lies behind it, by WCAG 2.2 (1.4.3): 4.5 to 1, 3 to 1 for large text.
CONTRAST = """() => {
  const parse = (colour) => { const n = colour.match(/[\\d.]+/g).map(Number); return { rgb: n.slice(0, 3), alpha: n[3] ?? 1 }; };
  const light = (rgb) => { const [r, g, b] = rgb.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (node) => { for (let n = node; n; n = n.parentElement) { const c = parse(getComputedStyle(n).backgroundColor); if (c.alpha === 1) return c.rgb; } return [255, 255, 255]; };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement, style = getComputedStyle(node);
    if (!walker.currentNode.textContent.trim() || !node.checkVisibility() || node.closest(".unseen, noscript, svg")) continue;
    const [a, b] = [light(parse(style.color).rgb), light(behind(node))].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if ((a + 0.05) / (b + 0.05) < (large ? 3 : 4.5)) poor.push(walker.currentNode.textContent.trim().slice(0, 30) + " " + ((a + 0.05) / (b + 0.05)).toFixed(2));
  }
  return poor;
}"""

# Targets of at least 44 px (links within a sentence are exempt, WCAG 2.5.8; a label counts for its own control).
SMALL_TARGETS = """() => [...document.querySelectorAll("a, button, summary, select, input:not([type=hidden]), .tabs label")]
  .filter((node) => node.checkVisibility({ opacityProperty: true }) && !node.closest("p, dl") && node.type !== "radio")
  .map((node) => [node.outerHTML.slice(0, 80), node.matches(".tabs label") ? node.parentElement.getBoundingClientRect() : node.getBoundingClientRect()])
  .filter(([, box]) => box.height < 44 || box.width < 44)
  .map(([html, box]) => `${box.width}x${box.height} ${html}`)"""


async def look(page: Page) -> None:
    """Check what must hold for any state: fits, readable, reachable, one heading of each kind."""
    assert await page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]
    assert await page.evaluate(SMALL_TARGETS) == []
    assert await page.locator("h1").count() == 1
    assert (
        await page.evaluate(
            "[...document.querySelectorAll('[id]')].map((n) => n.id).filter((id, i, all) => all.indexOf(id) !== i)"
        )
        == []
    )
    assert (
        await page.evaluate(
            "[...document.querySelectorAll('img, input:not([type=hidden]), select')].filter((n) => !n.labels?.length).length"
        )
        == 0
    )


@dataclass
class Screens:
    """A phone's tab and a desk's that every state is shown in, one after another: new ones cost more than all the looks."""

    pages: Sequence[Page]
    complaints: list[str] = field(default_factory=list)

    def complain(self, words: str) -> None:
        self.complaints.append(words)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def both(chromium: Browser) -> AsyncIterator[Screens]:
    devices = [await device(chromium, width=width, height=height) for width, height in LOOKS]
    screens = Screens([await used.new_page() for used in devices])
    for page in screens.pages:
        listen(page, screens.complain)
    yield screens
    for used in devices:
        await used.close()


@pytest_asyncio.fixture(loop_scope="session")
async def screens(both: Screens, payer: Payer) -> AsyncIterator[Screens]:
    """Both, for one test: what they have to say is said to its payer, and they let go of its server."""
    both.complaints = payer.complaints
    yield both
    for page in both.pages:
        await page.goto("about:blank")


@pytest.mark.parametrize("name", SCENES)
async def test_every_state_at_both_widths_in_three_languages(payer: Payer, screens: Screens, name: str) -> None:
    scene = SCENES[name]
    payer.clock.set(OPENED + scene.at)
    url = payer.url(scene.make())
    for page in screens.pages:
        for language, words in (
            (Language.ENGLISH, scene.english),
            (Language.SIMPLIFIED, scene.chinese),
            (Language.TRADITIONAL, ""),
        ):
            await page.goto(f"{url}?lang={language.tag}")
            assert await page.get_by_text(words).first.is_visible()
            await look(page)
            await shoot(page, f"{name}-{page.viewport_size['width']}-{language.tag}")  # type: ignore[index]
    assert payer.complaints == []


@pytest.mark.parametrize("name", ["created-ton", "pick", "short", "confirming", "paid", "late", "expired"])
async def test_texts_are_readable_in_light_and_dark(payer: Payer, name: str) -> None:
    scene = SCENES[name]
    payer.clock.set(OPENED + scene.at)
    url = payer.url(scene.make(), is_sandbox=True)
    page = await payer.tab()
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        await page.goto(url)
        for box in await page.locator("details").all():
            await box.evaluate("(node) => { node.open = true; }")
        assert await page.evaluate(CONTRAST) == []
        await shoot(page, f"{name}-360-sandbox-{scheme}", full_page=True)
    assert payer.complaints == []


@pytest.mark.parametrize("name", [name for name in SCENES if name.startswith("created")])
async def test_the_address_is_in_view_without_scrolling_on_a_small_phone(payer: Payer, name: str) -> None:
    payer.clock.set(OPENED + SCENES[name].at)
    page = await payer.open(SCENES[name].make())
    for language in Language:
        await page.goto(f"{page.url.partition('?')[0]}?lang={language.tag}")
        address = await page.locator("#address").bounding_box()
        strip = await page.locator("#strip").bounding_box()
        assert address
        assert strip
        assert address["y"] + address["height"] <= strip["y"], "the status strip covers the address"
        assert strip["y"] + strip["height"] <= 640.5
        assert await page.evaluate("scrollY") == 0


async def test_the_first_view_is_light_on_the_wire(payer: Payer) -> None:
    page = await payer.tab()
    weights: dict[str, int] = {}

    async def weigh(url: str) -> None:
        response = await page.request.get(url)
        weights[url] = len(await response.body())

    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(payer.url(SCENES["created-ton"].make()))
    await page.wait_for_load_state("load")
    for url in asked:
        if url.startswith("http") and not url.endswith("/events"):
            await weigh(url)
    assert all(url.startswith((payer.live, "data:")) for url in asked), "a third party was asked"
    assert 20_000 < sum(weights.values()) <= 60_000
