"""Headers that every page carries: nothing inline, nothing from elsewhere, never in a frame, never in a cache."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; "
    "script-src 'self'; "
    "style-src 'self'; "
    "img-src 'self' data:; "
    "connect-src 'self'; "
    "frame-ancestors 'none'; "
    "base-uri 'none'; "
    "form-action 'self'"
)

_COMMON: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}

PAGE_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **_COMMON,
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "X-Frame-Options": "DENY",
        "X-Robots-Tag": "noindex",
        "Cache-Control": "no-store",
    }
)
"""For anything that shows or changes an order, a merchant or an operator's page."""

STATIC_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {**_COMMON, "Cache-Control": "public, max-age=31536000, immutable"}
)
"""For files whose name carries a hash of their content: they never change under their name."""

_SAME_SITE: Final = frozenset({"same-origin", "none"})


def is_foreign_form(sec_fetch_site: str | None) -> bool:
    """Say whether a browser tells that another site sent this form (Fetch Metadata, W3C).

    Browsers that do not say and clients that are none pass: pages that change something have their own proof
    (the checkout's is the order id in the path).
    """
    return sec_fetch_site is not None and sec_fetch_site not in _SAME_SITE
