"""Callback URLs: one strict grammar, asked when an order is created and again before each send. Pure."""

import functools
import re
import unicodedata
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from bitlinkpay.webhooks.model import ForbiddenUrl
from bitlinkpay.webhooks.policy import HTTP_PORT, HTTPS_PORT, UrlPolicy

_LENGTH_MAX: Final = 2048
_HOST_MAX: Final = 253
_PRINTABLE: Final = re.compile(r"[!#-;=?-\[\]_a-z~]+", re.ASCII)  # no space, control, quote, <>, \, ^, `, {|}
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMERIC: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_DEFAULT_PORT: Final = {"http": HTTP_PORT, "https": HTTPS_PORT}
_PRIVATE_SUFFIXES: Final = ("localhost", "local", "internal", "intranet", "lan", "home.arpa", "onion")

# Scripts whose letters nobody takes for Latin ones. Every other international name is refused: `xn--80ak6aa92e` reads
# like a well-known brand in Cyrillic.
_PLAIN_SCRIPTS: Final = ("CJK UNIFIED IDEOGRAPH-", "HANGUL SYLLABLE ", "HIRAGANA LETTER ", "KATAKANA LETTER ")


def check_url(text: str, policy: UrlPolicy, *, param: str = "callback_url") -> str:
    """Return the URL in the one form that is stored and sent to.

    What a name resolves to is checked at every connect (`sender`), never here: an answer of the DNS is worth nothing
    a moment later.

    Raises:
        ForbiddenUrl: not an absolute URL of an allowed scheme, or it carries user information, names a private,
            loopback or otherwise special host, a look-alike name, or a port off the list.
    """
    if not (0 < len(text) <= _LENGTH_MAX and _PRINTABLE.fullmatch(text)):
        raise ForbiddenUrl(f"write the URL in at most {_LENGTH_MAX} plain ASCII characters", param=param)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ForbiddenUrl("this is not a URL", param=param) from None
    if parts.scheme not in policy.schemes:
        raise ForbiddenUrl(f"the URL must begin with {' or '.join(_shown(policy))}", param=param)
    if "@" in parts.netloc or parts.netloc.endswith(":"):
        raise ForbiddenUrl("the URL may carry neither user information nor an empty port", param=param)
    if "[" in parts.netloc and ":" not in (parts.hostname or ""):
        raise ForbiddenUrl("only an IPv6 address stands in brackets", param=param)
    host = _checked_host(parts.hostname or "", policy, param)
    port = _DEFAULT_PORT[parts.scheme] if port is None else port
    if not policy.admits_port(port):
        raise ForbiddenUrl(f"callbacks are not sent to port {port}", param=param)
    return _canonical(parts, host, port)


@functools.lru_cache(maxsize=4096)
def endpoint_of(url: str) -> str:
    """Return `scheme://host:port` of a checked URL: what fails together and is limited together."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{parts.port or _DEFAULT_PORT[parts.scheme]}"


def _shown(policy: UrlPolicy) -> list[str]:
    return [f"{scheme}://" for scheme in sorted(policy.schemes, reverse=True)]


def _canonical(parts: SplitResult, host: str, port: int) -> str:
    place = host if port == _DEFAULT_PORT[parts.scheme] else f"{host}:{port}"
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{place}{parts.path or '/'}{query}"


def _checked_host(host: str, policy: UrlPolicy, param: str) -> str:
    """Return the host as it stands in a URL (IPv6 in brackets)."""
    if ":" in host or _is_numeric(host):
        return _checked_literal(host, policy, param)
    labels = host.split(".")
    if len(host) > _HOST_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise ForbiddenUrl("this is not a host name", param=param)
    if not _is_public_name(host) and not (policy.is_local if host == "localhost" else policy.allowed_networks):
        raise ForbiddenUrl("callbacks are sent to public host names only", param=param)
    if any(label.startswith("xn--") and not _is_plain(label) for label in labels):
        raise ForbiddenUrl("this international name can be mistaken for another; use a plain one", param=param)
    return host


def _is_numeric(host: str) -> bool:
    """Say whether resolvers may take the host for an IPv4 address in any spelling (WHATWG: ends in a number)."""
    return bool(_NUMERIC.fullmatch(host.rstrip(".").rpartition(".")[2]))


def _checked_literal(host: str, policy: UrlPolicy, param: str) -> str:
    try:
        address = IPv6Address(host) if ":" in host and "%" not in host else IPv4Address(host)
    except AddressValueError:
        raise ForbiddenUrl("write the address as four plain numbers or as IPv6 in brackets", param=param) from None
    if not policy.admits_address(str(address)):
        raise ForbiddenUrl("callbacks are not sent to this address", param=param)
    return f"[{address}]" if isinstance(address, IPv6Address) else str(address)


def _is_public_name(host: str) -> bool:
    return "." in host and not any(host == suffix or host.endswith(f".{suffix}") for suffix in _PRIVATE_SUFFIXES)


def _is_plain(label: str) -> bool:
    """Say whether a punycode label decodes to letters of scripts that cannot be mistaken for Latin."""
    try:
        decoded = label.removeprefix("xn--").encode().decode("punycode")
    except UnicodeError:
        return False
    if decoded.isascii() or unicodedata.normalize("NFKC", decoded) != decoded:
        return False
    return all(unicodedata.name(letter, "").startswith(_PLAIN_SCRIPTS) for letter in decoded if not letter.isascii())
