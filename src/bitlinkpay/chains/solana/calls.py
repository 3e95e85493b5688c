"""The calls inside a transaction, top-level and inner: who moved money where, and whose account changed hands.

What arrived is never read from here (balances tell that, see `transfers`), only what kind of money it is, who paid it,
and whether a token account may be trusted. Discriminators: docs.rs/solana-system-interface (u32), docs.rs/spl-token and
docs.rs/spl-token-2022 (one byte); 255 is the `Batch` of p-token (github.com/solana-program/token, SIMD-0266), which
carries other calls within its data and would hide them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

import msgspec

from bitlinkpay.chains.base import GapError
from bitlinkpay.chains.codec.solana import unbase58
from bitlinkpay.chains.solana.programs import SYSTEM, TOKEN, TOKEN_2022
from bitlinkpay.chains.solana.wire import INNER, INSTRUCTIONS, Instruction, Malformed, Transaction

_SYSTEM_TRANSFER, _SYSTEM_TRANSFER_WITH_SEED = 2, 11
_TRANSFER, _TRANSFER_CHECKED, _TRANSFER_FEE_EXTENSION = 3, 12, 26
_TRANSFER_CHECKED_WITH_FEE = 1  # within the transfer fee extension
_SET_AUTHORITY, _CLOSE_ACCOUNT, _BATCH = 6, 9, 255
_BATCH_DEPTH_MAX = 4
_TO_PLACE = {_SYSTEM_TRANSFER: 1, _SYSTEM_TRANSFER_WITH_SEED: 2}  # where the recipient stands among the accounts

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Coins:
    """Native coin moved by the System program, by account index."""

    source: int
    target: int
    units: int
    is_inner: bool


@dataclass(slots=True)
class Calls:
    """What the calls of one transaction did, by account index.

    Attributes:
        coins: native transfers of the System program.
        token_sources: (source, target) of token transfers.
        altered: token accounts whose authority was set or that were closed.
    """

    coins: list[Coins] = field(default_factory=list)
    token_sources: list[tuple[int, int]] = field(default_factory=list)
    altered: set[int] = field(default_factory=set)


def account_keys(tx: Transaction) -> list[str]:
    """Return every account of a transaction, those from lookup tables included, by account index."""
    keys = tx.transaction.message.account_keys
    loaded = tx.meta.loaded_addresses if tx.meta is not None else None
    return [*keys, *loaded.writable, *loaded.readonly] if loaded is not None else keys


def read_calls(tx: Transaction, keys: Sequence[str]) -> Calls:
    """Return what the System and token programs were called for.

    Raises:
        GapError: the node did not keep the inner calls.
        Malformed: calls that cannot be.
    """
    calls = Calls()
    for instruction, is_inner in _instructions(tx):
        if not 0 <= instruction.program_id_index < len(keys):
            raise Malformed("an instruction names an account that the transaction does not have")
        program = keys[instruction.program_id_index]
        if program == SYSTEM:
            _read_system(calls, instruction.accounts, _data(instruction), is_inner=is_inner)
        elif program in {TOKEN, TOKEN_2022}:
            _read_token(calls, instruction.accounts, _data(instruction))
    return calls


def _instructions(tx: Transaction) -> Iterator[tuple[Instruction, bool]]:
    assert tx.meta is not None, "the calls of a transaction of which nothing is known"
    top = _decode(INSTRUCTIONS, tx.transaction.message.instructions)
    inner = _decode(INNER, tx.meta.inner_instructions)
    if inner is None:
        raise GapError("a node did not keep the inner calls of a transaction that brought money")
    nested = chain.from_iterable(each.instructions for each in inner)
    return chain(((each, False) for each in top), ((each, True) for each in nested))


def _decode(decoder: "msgspec.json.Decoder[T]", raw: msgspec.Raw) -> T:
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Malformed(f"instructions of another form ({type(error).__name__})") from None


def _data(instruction: Instruction) -> bytes:
    try:
        return unbase58(instruction.data)
    except ValueError:
        raise Malformed("instruction data that is not Base58") from None


def _read_system(calls: Calls, accounts: Sequence[int], data: bytes, *, is_inner: bool) -> None:
    kind = int.from_bytes(data[:4], "little")
    place = _TO_PLACE.get(kind)
    if place is None or len(data) < 12 or len(accounts) <= place:  # noqa: PLR2004 - u32 kind, u64 lamports
        return
    units = int.from_bytes(data[4:12], "little")
    calls.coins.append(Coins(accounts[0], accounts[place], units, is_inner=is_inner))


def _read_token(calls: Calls, accounts: Sequence[int], data: bytes, depth: int = 0) -> None:
    kind = data[0] if data else None
    if kind == _BATCH and depth < _BATCH_DEPTH_MAX:
        for sub_accounts, sub_data in _batched(accounts, data):
            _read_token(calls, sub_accounts, sub_data, depth + 1)
    elif kind in {_SET_AUTHORITY, _CLOSE_ACCOUNT, _BATCH}:
        calls.altered.update(accounts[:1] if kind != _BATCH else accounts)
    elif kind == _TRANSFER and len(accounts) > 1:
        calls.token_sources.append((accounts[0], accounts[1]))
    elif (kind == _TRANSFER_CHECKED or _is_with_fee(data)) and len(accounts) > 2:  # noqa: PLR2004 - source, mint, target
        calls.token_sources.append((accounts[0], accounts[2]))


def _is_with_fee(data: bytes) -> bool:
    return data[:2] == bytes([_TRANSFER_FEE_EXTENSION, _TRANSFER_CHECKED_WITH_FEE])


def _batched(accounts: Sequence[int], data: bytes) -> Iterator[tuple[Sequence[int], bytes]]:
    """Yield the calls of a batch: each one a count of accounts, a length, and so many bytes."""
    at, used = 1, 0
    while at + 1 < len(data):
        count, size = data[at], data[at + 1]
        yield accounts[used : used + count], data[at + 2 : at + 2 + size]
        at, used = at + 2 + size, used + count
