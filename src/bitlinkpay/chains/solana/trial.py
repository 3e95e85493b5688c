"""Tries a token's transfer on one endpoint: a transaction in a holder's name is simulated, nothing is signed or sent.

It creates the token account of an owner who is nobody, and moves tokens there. A holder need not have any coins, so
somebody else pays for it, whom a simulation need not ask either: the leader of a slot, who has to have coins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Final

import msgspec

from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.codec.solana import from_bytes
from bitlinkpay.chains.codec.text import printable
from bitlinkpay.chains.rpc import Call
from bitlinkpay.chains.solana.accounts import TokenAccount, read_token_account
from bitlinkpay.chains.solana.instructions import create_account, pay_checked
from bitlinkpay.chains.solana.market import simulation
from bitlinkpay.chains.solana.message import Message, compose
from bitlinkpay.chains.solana.node import FINALIZED, SolanaNode
from bitlinkpay.chains.solana.programs import SYSTEM, associated, program_of
from bitlinkpay.chains.solana.recipients import read_accounts
from bitlinkpay.chains.solana.wire import ADDRESSES, BEFORE_AND_SIMULATED, OWNED, Account, Malformed, Simulated
from bitlinkpay.chains.trial import Trial
from bitlinkpay.core.assets import Asset

TARGET: Final = from_bytes(sha256(b"bitlinkpay: target of transfers that are only tried").digest())
_ANY_BLOCK: Final = SYSTEM  # 32 zero bytes: the node puts a recent hash in its place
_ENOUGH_LAMPORTS: Final = 10_000_000  # for the fee and the largest token account, more than twice
_LEADERS: Final = 16  # slots; each leader has four in a row
_READINGS: Final = 5
_SAID: Final = "Program log: Error: "  # how the token programs begin the line that names what is wrong
# docs.rs/spl-token-2022, `error.rs`; a hook's program is an account that no plain transfer names.
_WORDS: Final = MappingProxyType(
    {
        17: "the account of who pays or of who is paid is frozen",
        37: "its mint lets nobody transfer it",
        67: "its mint is paused",
        "MissingAccount": "its mint calls a program of the issuer's at each of them (transfer hook)",
    }
)


class _Refused(msgspec.Struct, rename={"call": "InstructionError"}):
    """Which call failed, and why: a name, or a program's own number under `Custom`."""

    call: tuple[int, str | dict[str, int | str]]


@dataclass(frozen=True, slots=True)
class _Purse:
    """The token account that a trial pays from."""

    address: str
    units: int


async def try_transfer(node: SolanaNode, asset: Asset, holder: str, units: int, slot: int) -> Trial:
    """Return what a transfer of `units`, or of as much as the holder has in one account, would do.

    Args:
        node: the endpoint.
        asset: the registry row.
        holder: canonical address of an owner.
        units: how much to move at most, in base units.
        slot: a final slot.

    Raises:
        ChainError: the endpoint can't say.
    """
    purse = await _purse(node, asset, holder)
    if purse is None:
        return Trial(units, failure=f"{holder} has no account of it that is not frozen")
    units, mint, program = min(units, purse.units), asset.contract, program_of(asset)
    payer = await _payer(node, holder, slot)
    calls = (
        create_account(payer, TARGET, mint, program),
        pay_checked(holder, purse.address, TARGET, units, mint=mint, program=program, decimals=asset.decimals),
    )
    message = compose(payer, calls, _ANY_BLOCK)
    shown = (purse.address, associated(TARGET, mint, program))
    before, found = await _simulate(node, message, shown)
    if not found.is_success:
        return Trial(units, failure=_failure(node, found))
    if found.accounts is None or len(found.accounts) != len(shown):
        raise Malformed(f"{node.label} does not show what a simulation leaves")
    (held, had), (holds, has) = (
        [_units(account, program) for account in accounts] for accounts in (before, found.accounts)
    )
    return Trial(units, left=held - holds, came=has - had)


async def _purse(node: SolanaNode, asset: Asset, holder: str) -> _Purse | None:
    """Return the richest account of a holder that can pay."""
    options = {"commitment": FINALIZED, "encoding": "base64"}
    call = Call("getTokenAccountsByOwner", (holder, {"mint": asset.contract}, options))
    (answer,) = await node.ask([call], OWNED)
    program = program_of(asset)
    found = [(owned.pubkey, read_token_account(owned.account, program)) for owned in answer.value]
    purses = [_Purse(address, token.units) for address, token in found if token and _can_pay(token, asset, holder)]
    return max(purses, key=lambda purse: (purse.units, purse.address), default=None)


def _can_pay(token: TokenAccount, asset: Asset, holder: str) -> bool:
    return (token.mint, token.owner) == (asset.contract, holder) and token.units > 0 and not token.is_frozen


async def _payer(node: SolanaNode, holder: str, slot: int) -> str:
    """Return a wallet that could pay for the trial: the holder, else a leader (who pays for his votes)."""
    (leaders,) = await node.ask([Call("getSlotLeaders", (slot, _LEADERS))], ADDRESSES)
    for address, account in (await read_accounts(node, list(dict.fromkeys([holder, *leaders])))).items():
        if account and account.owner == SYSTEM and not account.raw and account.lamports >= _ENOUGH_LAMPORTS:
            return address
    raise ChainError(f"{node.label} shows nobody who could pay for a trial: neither {holder} nor a leader of its slots")


async def _simulate(
    node: SolanaNode, message: Message, shown: Sequence[str]
) -> tuple[Sequence[Account | None], Simulated]:
    """Return accounts as they are and what the simulation says, both of one slot: nothing else happened between."""
    before = Call("getMultipleAccounts", (shown, {"commitment": FINALIZED, "encoding": "base64"}))
    for _ in range(_READINGS):
        was, found = await node.ask([before, simulation(message, shown)], BEFORE_AND_SIMULATED)
        if not isinstance(was.value, list) or isinstance(found.value, list):
            raise Malformed(f"{node.label} answered one question with the other's answer")
        if len(was.value) != len(shown):
            raise Malformed(f"{node.label} sent {len(was.value)} accounts instead of {len(shown)}")
        if was.context.slot == found.context.slot:
            return was.value, found.value
    raise ChainError(f"{node.label} answers from another slot each time")


def _units(account: Account | None, program: str) -> int:
    token = read_token_account(account, program) if account is not None else None
    return token.units if token is not None else 0


def _failure(node: SolanaNode, found: Simulated) -> str:
    """Return in which words a token program refused.

    Raises:
        ChainError: it is not a call that failed; the token is not to blame.
    """
    text = printable(bytes(found.err).decode("utf-8", "replace"))
    try:
        _, why = msgspec.json.decode(found.err, type=_Refused).call
    except msgspec.MsgspecError:
        raise ChainError(f"{node.label} can't simulate a transfer: {text}") from None
    known = _WORDS.get(why if isinstance(why, str) else why.get("Custom", ""))
    said = [line.removeprefix(_SAID) for line in found.logs or () if line.startswith(_SAID)]
    return known or (printable(said[-1]) if said else text)
