"""What the terms of a merchant may be; pure."""

import re
import unicodedata
from datetime import timedelta
from ipaddress import ip_network
from typing import Final

from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.money import MAX_UNITS
from bitlinkpay.merchants.model import Merchant, Policy

CALLBACK_STATUSES: Final = (8, 12, 16, 20)
HIGHEST_FEE_PPM: Final = 200_000
HIGHEST_TOLERANCE_PPM: Final = 100_000
SHORTEST_LIFE: Final = timedelta(minutes=1)
LONGEST_LIFE: Final = timedelta(days=7)
MOST_HOSTS: Final = 20
MOST_ASSETS: Final = 100

_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_ASSET = re.compile(r"[a-z0-9]{1,16}-[a-z0-9]{1,24}", re.ASCII)
_HOST = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_LANG = re.compile(r"|[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}", re.ASCII)
_ACCENT = re.compile(r"#[0-9a-f]{6}", re.ASCII)
_READABLE_HUNDREDTHS = 450  # WCAG 2.2, 1.4.3: 4.5 to 1 for text, here white on the accent
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # controls, direction marks, lone surrogates, line ends


def check_terms(merchant: Merchant) -> None:
    """Refuse terms that make no sense; `callback_url` is checked by `webhooks`, asset ids against the registry.

    Raises:
        Invalid: `param` names the field.
    """
    _check_text("name", merchant.name, shortest=1, longest=80)
    _check_text("support", merchant.support, shortest=0, longest=200)
    _expect(_CURRENCY.fullmatch(merchant.pricing_currency), "pricing_currency", "three capital letters, such as CNY")
    _expect(len(merchant.callback_url) <= 2048, "callback_url", "at most 2,048 characters")  # noqa: PLR2004
    statuses = merchant.callback_statuses
    _expect(
        set(statuses) <= set(CALLBACK_STATUSES) and len(set(statuses)) == len(statuses),
        "callback_statuses",
        "some of 8, 12, 16, 20, each once",
    )
    _expect(0 <= merchant.fee_ppm <= HIGHEST_FEE_PPM, "fee_ppm", "a fee of 0 to 20 percent")
    _expect(SHORTEST_LIFE <= merchant.order_life <= LONGEST_LIFE, "order_life", "1 minute to 7 days")
    _check_hosts(merchant.return_hosts)
    _expect(_LANG.fullmatch(merchant.lang), "lang", "a language tag, such as en or zh-Hans")
    _check_accent(merchant.accent)
    assets = merchant.allowed_assets
    _expect(
        len(assets) <= MOST_ASSETS and all(map(_ASSET.fullmatch, assets)) and len(set(assets)) == len(assets),
        "allowed_assets",
        "ids such as usdt-tron, each once",
    )
    _expect(1 <= merchant.rate_per_minute <= 10**9, "rate_per_minute", "1 to 1000000000")
    _check_networks(merchant.payout_networks)
    check_policy(merchant.policy)


def check_policy(policy: Policy) -> None:
    """Refuse a policy that makes no sense.

    Raises:
        Invalid: `param` names the field.
    """
    _expect(0 <= policy.tolerance_ppm <= HIGHEST_TOLERANCE_PPM, "tolerance_ppm", "a tolerance of 0 to 10 percent")
    units = policy.tolerance_units
    _expect(
        len(units) <= MOST_ASSETS and all(map(_ASSET.fullmatch, units)),
        "tolerance_units",
        "base units by asset id, such as usdt-tron",
    )
    _expect(all(0 <= value <= MAX_UNITS for value in units.values()), "tolerance_units", "0 or more base units")


def contrast_on_white(accent: str) -> int:
    """Return the contrast of `#rrggbb` and white in hundredths, rounded down (WCAG 2.2, relative luminance)."""
    red, green, blue = (_linear(int(accent[at : at + 2], 16)) for at in (1, 3, 5))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return int(105 / (luminance + 0.05))


def _linear(channel: int) -> float:
    share = channel / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 (sRGB)


def _check_accent(accent: str) -> None:
    if not accent:
        return
    _expect(_ACCENT.fullmatch(accent), "accent", "#rrggbb in lower case")
    found = contrast_on_white(accent)
    if found < _READABLE_HUNDREDTHS:
        shown = f"{found // 100}.{found % 100:02}"
        raise Invalid(
            f"accent has a contrast of {shown} to 1 with white, 4.50 is needed; take it darker", param="accent"
        )


def _check_networks(networks: tuple[str, ...]) -> None:
    try:
        parsed = [ip_network(network) for network in networks]
    except ValueError:
        parsed = []
    _expect(
        len(parsed) == len(networks) <= MOST_HOSTS and len(set(parsed)) == len(parsed),
        "payout_networks",
        "networks such as 203.0.113.0/24 or 2001:db8::/48, at most 20, each once",
    )


def _check_hosts(hosts: tuple[str, ...]) -> None:
    _expect(
        len(hosts) <= MOST_HOSTS and all(map(_HOST.fullmatch, hosts)) and len(set(hosts)) == len(hosts),
        "return_hosts",
        "host names in lower case (xn-- form for others), at most 20, each once",
    )


def _check_text(param: str, text: str, *, shortest: int, longest: int) -> None:
    is_clean = text == text.strip() and not any(unicodedata.category(character) in _UNSEEN for character in text)
    _expect(
        is_clean and shortest <= len(text) <= longest, param, f"{shortest} to {longest} visible characters on one line"
    )


def _expect(found: object, param: str, form: str) -> None:
    if not found:
        raise Invalid(f"{param}: write {form}", param=param)
