"""TON addresses: a workchain and 32 bytes of account id, canonical as `0:<64 hex digits>` (TEP-2).

The user-friendly form is 36 bytes in Base64: one byte of flags (0x11 bounceable, 0x51 not; with 0x80 for test networks
only), the workchain as one signed byte, the account id, and a CRC-16 (polynomial 0x1021, start 0) of all that.
"""

import re
from base64 import b64decode, urlsafe_b64encode
from binascii import crc_hqx

from bitlinkpay.core.errors import Invalid

_RAW = re.compile(r"(0|-1):([0-9a-fA-F]{64})", re.ASCII)
_FRIENDLY = re.compile(r"[0-9A-Za-z_-]{48}|[0-9A-Za-z+/]{48}", re.ASCII)
_BOUNCEABLE = 0x11
_NON_BOUNCEABLE = 0x51
_TEST_ONLY = 0x80
_ACCOUNT_BYTES = 32
_WORKCHAINS = {b"\x00": "0", b"\xff": "-1"}


def from_bytes(account: bytes) -> str:
    """Return the canonical form of a 32-byte account id in the basechain (workchain 0)."""
    assert len(account) == _ACCOUNT_BYTES, f"a TON account id has 32 bytes, not {len(account)}"
    return f"0:{account.hex()}"


def parse(text: str, *, testnet: bool) -> str:
    """Return the canonical form of a raw or user-friendly address.

    Raises:
        Invalid: a wrong checksum, an unknown workchain, or a user-friendly address of the other network kind.
    """
    raw = _RAW.fullmatch(text)
    if raw:
        return f"{raw[1]}:{raw[2].lower()}"
    if not _FRIENDLY.fullmatch(text):
        raise Invalid("a TON address is 48 letters and digits (UQ… or EQ…) or 0: and 64 hex digits", param="address")
    data = b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    if crc_hqx(data[:34], 0) != int.from_bytes(data[34:], "big"):
        raise Invalid("the checksum of this TON address is wrong: copy it again", param="address")
    if data[0] & ~_TEST_ONLY not in {_BOUNCEABLE, _NON_BOUNCEABLE}:
        raise Invalid("this TON address has unknown flags", param="address")
    if bool(data[0] & _TEST_ONLY) != testnet:
        raise Invalid("this TON address belongs to another TON network", param="address")
    if data[1:2] not in _WORKCHAINS:
        raise Invalid("this TON address names an unknown workchain", param="address")
    return f"{_WORKCHAINS[data[1:2]]}:{data[2:34].hex()}"


def show(address: str, *, testnet: bool) -> str:
    """Return the user-friendly, non-bounceable form (`UQ…`, on test networks `0Q…`): the one to hand to payers."""
    return _friendly(address, _NON_BOUNCEABLE | (_TEST_ONLY if testnet else 0))


def show_contract(address: str, *, testnet: bool) -> str:
    """Return the user-friendly, bounceable form (`EQ…`, on test networks `kQ…`), usual for contracts."""
    return _friendly(address, _BOUNCEABLE | (_TEST_ONLY if testnet else 0))


def _friendly(address: str, flags: int) -> str:
    workchain, _, digits = address.partition(":")
    data = bytes([flags, int(workchain) & 0xFF]) + bytes.fromhex(digits)
    return urlsafe_b64encode(data + crc_hqx(data, 0).to_bytes(2, "big")).decode()
