"""Whom we may pay on Solana, decided on the bytes that stand at an address: a wallet, or a reason why not."""

from base64 import b64encode
from dataclasses import dataclass

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bitlinkpay.chains.codec.solana import from_bytes, to_bytes
from bitlinkpay.chains.solana.programs import (
    ASSOCIATED,
    COMPUTE_BUDGET,
    INCINERATOR,
    SYSTEM,
    TOKEN,
    TOKEN_2022,
    associated,
    is_on_curve,
)
from bitlinkpay.chains.solana.recipients import refusal
from bitlinkpay.chains.solana.wire import Account

WALLET = "HAgk14JpMQLgt6rVgv7cBQFJWFto5Dqxi472uT3DKpqk"
USDT = "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB"
DERIVED = associated(WALLET, USDT, TOKEN)
LOADER = "BPFLoaderUpgradeab1e11111111111111111111111"
STAKE = "Stake11111111111111111111111111111111111111"

LOST = "what is sent there is lost"
MINT = "this is a token's mint and no wallet: what is sent there is lost"
PURSE = "this is a token account: name the wallet that it belongs to"
NO_KEY = "no key can exist for this address: it belongs to a program, name a wallet"
PROGRAM = "this is an account of a program and no wallet"


def account(raw: bytes = b"", *, owner: str = SYSTEM, executable: bool = False, lamports: int = 1) -> Account:
    return Account(lamports, owner, (b64encode(raw).decode(), "base64"), executable)


def mint_bytes(*, initialized: bool = True) -> bytes:
    """The `Mint` of spl-token: 82 bytes with 6 decimals and no authorities."""
    return bytes(36) + bytes(8) + b"\x06" + bytes([initialized]) + bytes(36)


def purse_bytes(state: int = 1) -> bytes:
    """The `Account` of spl-token: 165 bytes, the state at 108."""
    head = to_bytes(USDT) + to_bytes(WALLET) + (5).to_bytes(8, "little")
    return head.ljust(108, b"\0") + bytes([state]) + bytes(56)


def extended(raw: bytes, kind: int) -> bytes:
    """Token-2022: padded to 165 bytes, the type byte, one extension of no length."""
    return raw.ljust(165, b"\0") + bytes([kind]) + bytes([18, 0, 0, 0])


@dataclass(frozen=True)
class Case:
    """An address, what stands there, and why it is not paid."""

    name: str
    address: str
    found: Account | None
    reason: str


CASES = [
    Case("new wallet", WALLET, None, ""),
    Case("plain wallet", WALLET, account(), ""),
    Case("rich wallet", WALLET, account(lamports=2**63), ""),
    Case("system program", SYSTEM, account(b"system_program", owner=LOADER, executable=True), LOST),
    Case("system program unseen", SYSTEM, None, LOST),
    Case("incinerator", INCINERATOR, None, LOST),
    Case("mint", USDT, account(mint_bytes(), owner=TOKEN), MINT),
    Case("mint at a key", WALLET, account(mint_bytes(), owner=TOKEN), MINT),
    Case("newer mint", WALLET, account(mint_bytes(), owner=TOKEN_2022), MINT),
    Case("mint with extensions", WALLET, account(extended(mint_bytes(), 1), owner=TOKEN_2022), MINT),
    Case("token account", DERIVED, account(purse_bytes(), owner=TOKEN), PURSE),
    Case("token account at a key", WALLET, account(purse_bytes(), owner=TOKEN), PURSE),
    Case("frozen token account", WALLET, account(purse_bytes(2), owner=TOKEN), PURSE),
    Case("newer token account", WALLET, account(purse_bytes(), owner=TOKEN_2022), PURSE),
    Case("token account with extensions", WALLET, account(extended(purse_bytes(), 2), owner=TOKEN_2022), PURSE),
    Case("unborn mint", WALLET, account(mint_bytes(initialized=False), owner=TOKEN), PROGRAM),
    Case("unborn token account", WALLET, account(purse_bytes(0), owner=TOKEN), PROGRAM),
    Case("multisig of the token program", WALLET, account(bytes(355), owner=TOKEN), PROGRAM),
    Case("mint of another program", WALLET, account(mint_bytes(), owner=STAKE), PROGRAM),
    Case("derived and empty", DERIVED, None, NO_KEY),
    Case("derived with coins", DERIVED, account(), NO_KEY),
    Case("program", WALLET, account(bytes(36), owner=LOADER, executable=True), PROGRAM),
    Case("program of nobody", WALLET, account(executable=True), PROGRAM),
    Case("stake", WALLET, account(bytes(200), owner=STAKE), PROGRAM),
    Case("empty account of a program", WALLET, account(owner=STAKE), PROGRAM),
    Case("nonce account", WALLET, account(bytes(80)), PROGRAM),
    Case("one byte of data", WALLET, account(b"\0"), PROGRAM),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_kind_of_address_is_paid_or_refused_for_its_own_reason(case: Case) -> None:
    assert refusal(case.address, case.found) == case.reason


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**64 - 1))
def test_an_address_without_a_key_is_never_paid(raw: bytes, lamports: int) -> None:
    address = from_bytes(raw)
    assume(address != SYSTEM)
    for found in (None, account(lamports=lamports)):
        assert bool(refusal(address, found)) == (not is_on_curve(address))


@given(st.sampled_from([WALLET, DERIVED]), st.binary(max_size=200), st.sampled_from([SYSTEM, TOKEN, TOKEN_2022, STAKE]))
def test_only_an_empty_account_of_the_system_is_a_wallet(address: str, raw: bytes, owner: str) -> None:
    is_wallet = address == WALLET and owner == SYSTEM and not raw
    assert (refusal(address, account(raw, owner=owner)) == "") == is_wallet


@given(st.sampled_from([TOKEN, TOKEN_2022]), st.sampled_from([SYSTEM, STAKE]), st.sampled_from([USDT, WALLET]))
def test_derived_addresses_of_any_owner_are_refused(program: str, owner: str, mint: str) -> None:
    assert refusal(associated(owner, mint, program), None) == NO_KEY


@pytest.mark.parametrize("address", [TOKEN, TOKEN_2022, ASSOCIATED, COMPUTE_BUDGET, LOADER])
def test_programs_by_their_well_known_ids_are_refused_once_seen(address: str) -> None:
    """Some of these ids are points of the curve by chance: what stands there decides."""
    assert refusal(address, account(bytes(36), owner=LOADER, executable=True)) in {NO_KEY, PROGRAM}
