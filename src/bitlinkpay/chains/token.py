"""What a token contract says of itself, held against the registry row: the registry wins, and the asset waits."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bitlinkpay.core.assets import Asset


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """A token contract as the chain shows it.

    Attributes:
        contract: canonical address that was asked.
        code_hash: hash of the code there, "" where there is none. On Solana, where mints have no code of their own: of
            the mint's program, authorities and extensions.
        implementation: canonical address of the contract that a known proxy form runs, "" for none.
        implementation_hash: hash of its code, "" for none.
        decimals: what the contract answers, None if nothing sensible.
        symbol: what the contract calls itself; foreign text.
        is_paused: it says that transfers are paused.
        is_deprecated: it says that another contract has taken its place.
        wallet: TON: the jetton wallet that the master names for our wallet, "" elsewhere.
        concerns: what its issuer could do to holders (a transfer fee, a permanent delegate), in words for people.
    """

    contract: str
    code_hash: str
    implementation: str
    implementation_hash: str
    decimals: int | None
    symbol: str
    is_paused: bool
    is_deprecated: bool
    wallet: str = ""
    concerns: tuple[str, ...] = ()


@runtime_checkable
class TokenProbe(Protocol):
    """A chain that can tell what a token's contract says of itself."""

    async def probe(self, asset: Asset) -> TokenFacts:
        """Return the facts of a token at the final block, agreed by the quorum.

        Raises:
            ChainError: the network could not be read.
        """
        ...


def objections(asset: Asset, facts: TokenFacts, accepted: TokenFacts | None = None) -> tuple[str, ...]:
    """Return why the asset should be held until a person has looked, nothing if it may be used.

    A missing contract and other decimals than the registry's are objected to whatever was accepted before; the rest
    only where it is new.

    Args:
        asset: the registry row.
        facts: what the chain shows now.
        accepted: what it showed when the row was last reviewed, if that was kept.
    """
    found: list[str] = []
    if not facts.code_hash:
        found.append(f"no contract at {facts.contract}: write the token's own address as `contract` into the row")
    elif facts.decimals is not None and facts.decimals != asset.decimals:  # EIP-20: a token need not tell
        says = f"the contract says {facts.decimals} decimals, the registry {asset.decimals}"
        found.append(f"{says}: write `decimals = {facts.decimals}` into the row, if this is the contract")
    if facts.wallet != asset.wallet:
        found.append(
            f"the master names {facts.wallet or 'none'} as our jetton wallet: write it as `wallet` into the row"
        )
    if facts.is_paused and not (accepted and accepted.is_paused):
        found.append("the contract is paused")
    if facts.is_deprecated and not (accepted and accepted.is_deprecated):
        found.append("the contract says that another one has replaced it: write that one as `contract` into the row")
    found += [what for what in facts.concerns if accepted is None or what not in accepted.concerns]
    if accepted is not None and facts.contract != accepted.contract:
        found.append(f"the registry names another contract than {accepted.contract}, which was reviewed")
    elif accepted is not None and _code(facts) != _code(accepted):
        found.append("the contract's code has changed since it was reviewed")
    return tuple(f"{asset.id}: {text}" for text in found)


def _code(facts: TokenFacts) -> tuple[str, str, str]:
    return facts.code_hash, facts.implementation, facts.implementation_hash
