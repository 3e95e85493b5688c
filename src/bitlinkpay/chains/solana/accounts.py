"""The bytes of token accounts and mints. Pure.

Layouts: `Account` and `Mint` of spl-token (docs.rs/spl-token, `state.rs`). Token-2022 puts a type byte at 165 behind
either of them, and extensions as type, length and value from there on (docs.rs/spl-token-2022, `extension/mod.rs`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

from bitlinkpay.chains.codec.solana import from_bytes
from bitlinkpay.chains.solana.programs import TOKEN, TOKEN_2022
from bitlinkpay.chains.solana.wire import Account

TOKEN_ACCOUNT_BYTES = 165
_MINT_BYTES = 82
_TYPE_AT = 165  # where Token-2022 says what an account with extensions is
_MINT_TYPE, _ACCOUNT_TYPE = 1, 2
_INITIALIZED, _FROZEN = 1, 2
_PRESENT = (1).to_bytes(4, "little")  # COption::Some
_PAUSABLE, _PAUSED_AT = 26, 32
_DEFAULT_STATE = 6

_HARMLESS = frozenset({18, 19, 20, 21, 22, 23})  # pointers to metadata and groups, and these themselves
_EXTENSIONS = MappingProxyType(
    {
        1: "transfer fee",
        3: "mint can be closed",
        4: "confidential transfers",
        6: "accounts start frozen",
        9: "cannot be transferred",
        10: "shown amounts bear interest",
        12: "permanent delegate",
        14: "transfer hook",
        16: "confidential transfer fee",
        24: "confidential mint and burn",
        25: "shown amounts are scaled",
        26: "pausable",
        28: "burning needs permission",
    }
)


@dataclass(frozen=True, slots=True)
class TokenAccount:
    """A token account: `units` of `mint` that `owner` may move unless it is frozen."""

    mint: str
    owner: str
    units: int
    is_frozen: bool


@dataclass(frozen=True, slots=True)
class Mint:
    """A mint.

    Attributes:
        decimals: digits of the base unit.
        authority: who may mint, "" for nobody any more.
        freezer: who may freeze accounts, "" for nobody.
        extensions: what Token-2022 extensions can do to holders, in our words, in the order of their numbers.
        is_paused: transfers are stopped now.
    """

    decimals: int
    authority: str
    freezer: str
    extensions: tuple[str, ...]
    is_paused: bool


def read_token_account(account: Account, program: str) -> TokenAccount | None:
    """Return what a token account of `program` holds, None if this is none."""
    raw = account.raw
    if account.owner != program or not _is_kind(raw, TOKEN_ACCOUNT_BYTES, _ACCOUNT_TYPE, program):
        return None
    state = raw[108]
    if state not in {_INITIALIZED, _FROZEN}:
        return None
    return TokenAccount(
        mint=from_bytes(raw[:32]),
        owner=from_bytes(raw[32:64]),
        units=int.from_bytes(raw[64:72], "little"),
        is_frozen=state == _FROZEN,
    )


def read_mint(account: Account) -> Mint | None:
    """Return the mint of either token program that an account is, None if it is none."""
    raw = account.raw
    if account.owner not in {TOKEN, TOKEN_2022} or not _is_kind(raw, _MINT_BYTES, _MINT_TYPE, account.owner):
        return None
    if raw[45] != 1:
        return None  # not initialized
    extensions = dict(_extensions(raw))
    return Mint(
        decimals=raw[44],
        authority=_optional(raw[0:36]),
        freezer=_optional(raw[46:82]),
        extensions=tuple(
            _name(number, value) for number, value in sorted(extensions.items()) if number not in _HARMLESS
        ),
        is_paused=extensions.get(_PAUSABLE, b"")[_PAUSED_AT : _PAUSED_AT + 1] == b"\1",
    )


def _is_kind(raw: bytes, size: int, kind: int, program: str) -> bool:
    """Say whether the bytes are of one kind: by their size alone, or by the type byte where extensions follow."""
    if len(raw) == size:
        return True
    return program == TOKEN_2022 and len(raw) > _TYPE_AT and raw[_TYPE_AT] == kind


def _extensions(raw: bytes) -> Iterator[tuple[int, bytes]]:
    at = _TYPE_AT + 1
    while at + 4 <= len(raw):
        number, size = int.from_bytes(raw[at : at + 2], "little"), int.from_bytes(raw[at + 2 : at + 4], "little")
        if number == 0:
            return  # the rest is unused
        yield number, raw[at + 4 : at + 4 + size]
        at += 4 + size


def _name(number: int, value: bytes) -> str:
    if number == _DEFAULT_STATE and value[:1] == bytes([_INITIALIZED]):
        return "accounts may start frozen"
    return _EXTENSIONS.get(number, f"extension {number}")


def _optional(raw: bytes) -> str:
    return from_bytes(raw[4:]) if raw[:4] == _PRESENT else ""
