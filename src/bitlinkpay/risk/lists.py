"""Lists of addresses: one per line, compared in a form that no spelling gets around. Pure."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bitlinkpay.chains.codec import ton, tron
from bitlinkpay.core.errors import Invalid

BYTES_MAX: Final = 16 * 1024 * 1024
DROP_PPM: Final = 50_000
_MILLION: Final = 1_000_000
_LINE_MAX: Final = 300

_PREFIXED: Final = re.compile(r"([A-Za-z][A-Za-z0-9_-]{1,30}):(.+)", re.ASCII)
_ADDRESS: Final = re.compile(r"[0-9A-Za-z:_+/=.-]{4,128}", re.ASCII)
_EVM: Final = re.compile(r"(?:0x|xdc)?([0-9a-f]{40})", re.ASCII)
_TRON_HEX: Final = re.compile(r"(?:0x)?41([0-9a-f]{40})", re.ASCII)
_BECH32: Final = re.compile(r"(bc|tb|bcrt)1[0-9a-z]+", re.ASCII)


class BadList(Exception):
    """A list file that must not replace the last good one."""


@dataclass(frozen=True, slots=True)
class AddressList:
    """One version of a list.

    Attributes:
        version: SHA-256 of the content, lower-case hex.
        lines: comparison key → the line as written.
    """

    name: str
    version: str
    lines: Mapping[str, str]
    content: bytes

    @property
    def rows(self) -> int:
        """Return how many addresses are on the list."""
        return len(self.lines)

    def find(self, address: str) -> str | None:
        """Return the line that names this address in whatever spelling, or None."""
        return self.lines.get(fold(address))


def fold(address: str) -> str:
    """Return the key under which an address is compared.

    EVM addresses compare without case. A TRON address compares by its 20 bytes, and so with the EVM address of the
    same key: the same person holds both. Bech32 compares in lower case, TON by account id whatever the flags of the
    user-friendly form, everything else letter by letter.
    """
    lower = address.lower()
    if hexadecimal := _EVM.fullmatch(lower) or _TRON_HEX.fullmatch(lower):
        return f"0x{hexadecimal[1]}"
    if address in {lower, address.upper()} and _BECH32.fullmatch(lower):  # BIP-173: one case; `TB1x…` may be TRON
        return lower
    return _from_tron(address) or _from_ton(address) or address


def _from_tron(address: str) -> str | None:
    try:
        return f"0x{tron.to_bytes(tron.parse(address))[1:].hex()}"
    except Invalid:
        return None


def _from_ton(address: str) -> str | None:
    for is_testnet in (False, True):
        try:
            return ton.parse(address, testnet=is_testnet)
        except Invalid:
            continue
    return None


def parse_list(name: str, content: bytes) -> AddressList:
    """Read a list: an address per line, `network:` before it if wanted, `#` begins a comment.

    The network is for people: a listed key is listed on every network where it works.

    Raises:
        BadList: empty, cut off (the last line has no end), not text, or a line that cannot be an address.
    """
    if len(content) > BYTES_MAX:
        raise BadList(f"longer than {BYTES_MAX} bytes")
    if not content.endswith(b"\n"):
        raise BadList("cut off: the last line has no end" if content else "empty")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise BadList(f"not UTF-8: {error}") from None
    lines: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        entry = line.partition("#")[0].strip()
        if entry:
            lines.setdefault(fold(_address(entry, number)), entry)
    if not lines:
        raise BadList("no address in it")
    return AddressList(name, hashlib.sha256(content).hexdigest(), lines, content)


def _address(entry: str, number: int) -> str:
    prefixed = _PREFIXED.fullmatch(entry)
    address = prefixed[2].strip() if prefixed else entry
    if len(entry) > _LINE_MAX or not _ADDRESS.fullmatch(address):
        raise BadList(f"line {number} is not an address: {entry[:60]!r}")
    return address


def must_replace(fresh: AddressList, current: AddressList) -> None:
    """Check that a new version may take the place of the current one.

    Raises:
        BadList: it has more than 5 % fewer addresses; a real list does not shrink so, a damaged file does.
    """
    if fresh.rows * _MILLION < current.rows * (_MILLION - DROP_PPM):
        raise BadList(f"only {fresh.rows} addresses left of {current.rows}")
