"""What a token does with a transfer, tried before its row is believed: nodes say what would happen, nothing is sent.

A contract may carry the right name and decimals and still pay out less than it is told to, answer "no", or change its
balances by itself. Such a token fits no row: an order in it could never be paid exactly, or its money never leave.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from bitlinkpay.chains.base import Chain, ChainError
from bitlinkpay.chains.codec.abi import WORD_BYTES
from bitlinkpay.chains.findings import Findings
from bitlinkpay.chains.traits import TokenViewer, read_traits
from bitlinkpay.core.assets import Asset

HOLDERS_MAX: Final = 3
LOOK_BACK_BLOCKS: Final = 48  # a full block of Ethereum is a megabyte or two
_MET_MAX: Final = 24
_READ_BLOCKS: Final = 16
_COINS_MAX: Final = 1_000


class CannotTry(ChainError):
    """A transfer can't be tried, for a reason that is not the token's: the message says what would help."""


class Answered(StrEnum):
    """What `transfer` returned."""

    TRUE = "true"
    NOTHING = "nothing"  # as the USDT of Ethereum
    FALSE = "false"
    ODD = "something else"


@dataclass(frozen=True, slots=True)
class Trial:
    """One simulated transfer.

    Attributes:
        units: how much was to be moved.
        failure: why it does not go through, "" if it does.
        left, came: by how much the holder's balance went down and the recipient's up; None where no node can show it.
        doubt: why fewer nodes than have to agree have tried it, "" if enough did.
    """

    units: int
    failure: str = ""
    answered: Answered = Answered.TRUE
    left: int | None = None
    came: int | None = None
    doubt: str = ""


@runtime_checkable
class TokenTrier(Protocol):
    """A chain whose nodes try a token's transfer."""

    async def try_transfer(self, asset: Asset, holder: str, units: int) -> Trial:
        """Let `holder` pay `units` to an address that nobody uses, in the final state, and undo it.

        Raises:
            CannotTry: not this holder's, or nobody's here.
            ChainError: the network could not be read.
        """
        ...


@runtime_checkable
class HolderFinder(Protocol):
    """A chain whose blocks show our own transfers alone, and whose nodes tell of others."""

    async def holders(self, asset: Asset) -> Sequence[str]:
        """Return some who moved a token last and whose transfers can be tried.

        Raises:
            ChainError: the network could not be read.
        """
        ...


@runtime_checkable
class TransferWatcher(Protocol):
    """A chain that can judge a token by transfers that others have made."""

    async def watch_transfers(self, asset: Asset) -> Findings:
        """Say what the newest transfers on the chain tell of a token.

        Raises:
            ChainError: the network could not be read.
        """
        ...


def read_answer(size: int, first: int) -> Answered:
    """Say what a returned value means, by its size in bytes and its first word."""
    if size == 0:
        return Answered.NOTHING
    if size < WORD_BYTES or first > 1:
        return Answered.ODD
    return Answered.TRUE if first else Answered.FALSE


async def try_transfers(chain: Chain, trier: TokenTrier, asset: Asset, holder: str = "") -> Findings:
    """Try transfers of some who hold the token, and ask its contract for what gives odd tokens away.

    Args:
        chain: where it lives.
        trier: the same chain.
        asset: the registry row.
        holder: canonical address of who holds it; by default found in the newest final blocks.

    Raises:
        ChainError: the network could not be read.
    """
    found = await read_traits(trier, asset) if isinstance(trier, TokenViewer) else Findings()
    trials: list[Trial] = []
    refusals: dict[str, None] = {}
    for who, units in await _holders(chain, asset, [holder] if holder else []):
        try:
            trials.append(await trier.try_transfer(asset, who, min(units, _COINS_MAX * 10**asset.decimals)))
        except CannotTry as error:
            refusals[str(error)] = None
    if trials:
        return found + judge(trials)
    reasons = [f"no transfer was tried: {reason}" for reason in refusals] or [_nobody(chain, holder)]
    untried = found + Findings(notes=tuple(reasons))
    return untried + await trier.watch_transfers(asset) if isinstance(trier, TransferWatcher) else untried


def _nobody(chain: Chain, holder: str) -> str:
    if holder:
        why = f"{holder} holds nothing"
    elif isinstance(chain, HolderFinder):
        why = "nobody of those who moved it last can try it"
    else:
        why = f"nobody moved it within {LOOK_BACK_BLOCKS} blocks"
    return f"{why}: no transfer was tried; name somebody who holds it with --holder"


async def _holders(chain: Chain, asset: Asset, named: Sequence[str]) -> list[tuple[str, int]]:
    """Return some who hold the token and how much, the richest first."""
    final = (await chain.head()).final.height
    if named:
        met = list(named)
    else:
        met = list(await chain.holders(asset)) if isinstance(chain, HolderFinder) else await _met(chain, asset, final)
    held = zip(met, await chain.balances(asset, met, final) if met else [], strict=True)
    return sorted((pair for pair in held if pair[1] > 0), key=lambda pair: -pair[1])[:HOLDERS_MAX]


async def _met(chain: Chain, asset: Asset, final: int) -> list[str]:
    """Return who took part in transfers of the newest final blocks, newest blocks first."""
    met: dict[str, None] = {}
    last, end = final, max(0, final - LOOK_BACK_BLOCKS)
    while last > end and len(met) < _MET_MAX:
        height = first = max(end, last - _READ_BLOCKS) + 1
        while height <= last:
            blocks = await chain.scan(height, last)
            moved = [transfer for block in blocks for transfer in block.transfers if transfer.asset == asset.id]
            met |= dict.fromkeys(who for transfer in moved for who in (transfer.target, transfer.source) if who)
            height = blocks[-1].height + 1 if blocks else last + 1  # heights without a block are none to wait for
        last = first - 1
    return list(met)[:_MET_MAX]


def judge(trials: Sequence[Trial]) -> Findings:
    """Return what trials tell of a token; one that fails for some only has blocked those."""
    done = [trial for trial in trials if not trial.failure]
    if not done:
        return Findings((f"its transfers fail: {trials[0].failure}",))
    faults: dict[str, None] = {}
    for trial in done:
        if trial.answered in {Answered.FALSE, Answered.ODD}:
            faults[f"its transfers answer {trial.answered} in place of true"] = None
        if trial.came is not None and trial.came != trial.units:
            faults[f"a transfer of {trial.units} units brings {trial.came}: it takes a fee, or moves nothing"] = None
        elif trial.left is not None and trial.left != trial.units:
            faults[f"a transfer of {trial.units} units costs its payer {trial.left}"] = None
    notes = [f"{len(done)} of {len(trials)} transfers went through when tried"]
    if any(trial.answered is Answered.NOTHING for trial in done):
        notes.append("its transfers return no value, which is taken for yes")
    if any(trial.came is None for trial in done):
        notes.append("what arrives of a transfer is not shown by this network's nodes")
    notes += dict.fromkeys(trial.doubt for trial in done if trial.doubt)
    return Findings(tuple(faults), tuple(notes))
