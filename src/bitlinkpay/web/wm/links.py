"""Return links of a pre-order: where the hosted page may lead back to (THREATS API-36)."""

import re
from typing import Final
from urllib.parse import urlsplit

from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.mode import Mode
from bitlinkpay.merchants.model import Merchant
from bitlinkpay.payins.model import ReturnLinks

# What may stand in a URL (RFC 3986): no space, control, quote, angle bracket, backslash or letter beyond ASCII, so that
# browsers and this parser read the same host.
_PRINTABLE: Final = re.compile(r"[!#-;=?-\[\]_a-z~]+", re.ASCII)
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]", re.ASCII)


class ForbiddenLink(Invalid):
    """A return link that the hosted page must not lead to."""

    code = "return_link.forbidden"


def return_links(asked: ReturnLinks, merchant: Merchant, mode: Mode) -> ReturnLinks:
    """Return the links of a pre-order, "" for those that were left out, once each of them is checked.

    Raises:
        ForbiddenLink: not an absolute https URL (http too in a sandbox), with user information, or to a host that is
            not on the merchant's list where it has one.
    """
    return ReturnLinks(
        home=_checked(asked.home, "home_url", merchant, mode),
        success=_checked(asked.success, "success_url", merchant, mode),
        failure=_checked(asked.failure, "failure_url", merchant, mode),
    )


def _checked(text: str, param: str, merchant: Merchant, mode: Mode) -> str:
    if text == "":
        return ""
    schemes = ("https", "http") if mode is Mode.SANDBOX else ("https",)
    if not _PRINTABLE.fullmatch(text) or not text.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        raise ForbiddenLink(f"{param} must be a plain URL that begins with {' or '.join(schemes)}://", param=param)
    host = _host(text, param)
    if merchant.return_hosts and host not in merchant.return_hosts:
        raise ForbiddenLink(f"{param} leads to a host that is not on your list of return hosts", param=param)
    return text


def _host(text: str, param: str) -> str:
    try:
        parts = urlsplit(text)
        place, host, _ = parts.netloc, parts.hostname or "", parts.port
    except ValueError:
        raise ForbiddenLink(f"{param} is not a URL", param=param) from None
    shown = f"[{host}]" if ":" in host else host
    if "@" in place or not _HOST.fullmatch(shown):
        raise ForbiddenLink(f"{param} must name a host and no user", param=param)
    return host
