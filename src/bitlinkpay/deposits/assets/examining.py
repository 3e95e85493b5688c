"""Holds one registry row against the chain, for a person who is about to use it: facts, symbol, behaviour of transfers.

What the contract shows is read and judged by the same functions as in the review that goes on all the time; a trial of
transfers comes on top, where the network's nodes offer one.
"""

from dataclasses import dataclass

from bitlinkpay.chains.base import Chain
from bitlinkpay.chains.findings import Findings
from bitlinkpay.chains.token import TokenFacts, TokenProbe, objections
from bitlinkpay.chains.trial import TokenTrier, try_transfers
from bitlinkpay.core.assets import Asset
from bitlinkpay.deposits.assets.model import Review


@dataclass(frozen=True, slots=True)
class Examination:
    """What the chain says about one row.

    Attributes:
        facts: what its contract shows.
        faults: why the row is not to be used, each with what to change; none for a row that tells the truth.
        notes: what is worth knowing beside it.
    """

    asset: str
    facts: TokenFacts
    faults: tuple[str, ...]
    notes: tuple[str, ...]


async def examine(chain: Chain, probe: TokenProbe, asset: Asset, known: Review | None, holder: str = "") -> Examination:
    """Ask the chain about a token's row.

    Args:
        chain: the token's network.
        probe: the same chain.
        asset: the row.
        known: the token's review, whose accepted facts are not objected to again.
        holder: canonical address of somebody who holds it, whose transfers are tried.

    Raises:
        ChainError: the network could not be read.
    """
    facts = await probe.probe(asset)
    faults = objections(asset, facts, known.accepted if known else None)
    if not facts.code_hash:
        return Examination(asset.id, facts, faults, ())
    if isinstance(chain, TokenTrier):
        found = await try_transfers(chain, chain, asset, holder)
    else:
        found = Findings(notes=("transfers can't be tried on this network: try one of your own with a small amount",))
    unfit = [f"{asset.id}: {text}: no row fits that, take it out of the file" for text in found.faults]
    return Examination(asset.id, facts, (*faults, *_misnamed(asset, facts), *unfit), found.notes)


def _misnamed(asset: Asset, facts: TokenFacts) -> list[str]:
    named = asset.onchain_symbol or asset.symbol
    if facts.symbol in {"", named}:  # EIP-20: a token need not tell
        return []
    confirmed = f"write `onchain_symbol = '{facts.symbol}'` into the row, if this is the contract"
    return [f"{asset.id}: the contract calls itself {facts.symbol!r}, the row {named!r}: {confirmed}"]
