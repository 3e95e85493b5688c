"""What a token does with a transfer, tried before its row is believed: nodes say what would happen, nothing is sent.

A contract may carry the right name and decimals and still pay out less than it is told to, answer "no", or change its
balances by itself. Such a token fits no row: an order in it could never be paid exactly, or its money never leave.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from bitlinkpay.chains.base import Chain
from bitlinkpay.chains.codec.abi import WORD_BYTES, word
from bitlinkpay.core.assets import Asset

HOLDERS_MAX: Final = 3
LOOK_BACK_BLOCKS: Final = 48  # a full block of Ethereum is a megabyte or two
_MET_MAX: Final = 24
_READ_BLOCKS: Final = 16
_COINS_MAX: Final = 1_000

# USDT takes such a fee as soon as its owner sets one (https://etherscan.io/token/0xdac17f958d2ee523a2206206994597c13d831ec7#code).
_FEE: Final = "basisPointsRate()"
# Of tokens that keep shares and compute balances from them: Lido's stETH, Aave's aTokens and Ampleforth, Origin's OUSD.
_SHARES: Final = ("sharesOf(address)", "scaledBalanceOf(address)", "creditsBalanceOf(address)")
# Tether's, Circle's, and the usual ones of later stablecoins.
_BLOCKS: Final = ("isBlackListed(address)", "isBlacklisted(address)", "isBlocked(address)", "isFrozen(address)")
_NOBODY: Final = word(b"\x01")


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
    """

    units: int
    failure: str = ""
    answered: Answered = Answered.TRUE
    left: int | None = None
    came: int | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """What a token's transfers showed: why no row fits it, and what is only worth knowing."""

    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@runtime_checkable
class TokenTrier(Protocol):
    """A chain whose nodes try calls of a token's contract. Methods raise `ChainError` when it can't be read."""

    async def view(self, asset: Asset, function: str, arguments: bytes = b"") -> bytes:
        """Return what a view function answers in the final state, nothing where the contract has none such."""
        ...

    async def try_transfer(self, asset: Asset, holder: str, units: int) -> Trial:
        """Let `holder` pay `units` to an address that nobody uses, in the final state, and undo it."""
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
    traits = await _traits(lambda function, arguments: trier.view(asset, function, arguments))
    holders = await _holders(chain, asset, [holder] if holder else [])
    trials = [
        await trier.try_transfer(asset, who, min(units, _COINS_MAX * 10**asset.decimals)) for who, units in holders
    ]
    if not trials:
        nobody = f"{holder} holds nothing" if holder else f"nobody moved it within {LOOK_BACK_BLOCKS} blocks"
        untried = f"{nobody}: no transfer was tried; name somebody who holds it with --holder"
        return Findings(traits.faults, (*traits.notes, untried))
    found = judge(trials)
    return Findings((*traits.faults, *found.faults), (*traits.notes, *found.notes))


async def _traits(view: Callable[[str, bytes], Awaitable[bytes]]) -> Findings:
    faults, notes = [], []
    if any(await view(_FEE, b"")):
        faults.append("it takes a fee of every transfer (basisPointsRate)")
    if any([len(await view(function, _NOBODY)) >= WORD_BYTES for function in _SHARES]):
        faults.append("it keeps shares in place of balances, which then change without a transfer (rebasing)")
    if any([len(await view(function, _NOBODY)) == WORD_BYTES for function in _BLOCKS]):
        notes.append("its issuer can block addresses")
    return Findings(tuple(faults), tuple(notes))


async def _holders(chain: Chain, asset: Asset, named: Sequence[str]) -> list[tuple[str, int]]:
    """Return some who hold the token and how much, the richest first."""
    final = (await chain.head()).final.height
    met = list(named) or await _met(chain, asset, final)
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
            met |= dict.fromkeys(who for transfer in moved for who in (transfer.target, transfer.source))
            height += len(blocks)
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
    return Findings(tuple(faults), tuple(notes))
