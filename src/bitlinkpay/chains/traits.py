"""What a token's contract gives away of itself to a question, where contracts answer questions of the ABI."""

from typing import Final, Protocol, runtime_checkable

from bitlinkpay.chains.codec.abi import WORD_BYTES, word
from bitlinkpay.chains.findings import Findings
from bitlinkpay.core.assets import Asset

# USDT takes such a fee as soon as its owner sets one (https://etherscan.io/token/0xdac17f958d2ee523a2206206994597c13d831ec7#code).
_FEE: Final = "basisPointsRate()"
# Of tokens that keep shares and compute balances from them: Lido's stETH, Aave's aTokens and Ampleforth, Origin's OUSD.
_SHARES: Final = ("sharesOf(address)", "scaledBalanceOf(address)", "creditsBalanceOf(address)")
# Tether's, Circle's, and the usual ones of later stablecoins.
_BLOCKS: Final = ("isBlackListed(address)", "isBlacklisted(address)", "isBlocked(address)", "isFrozen(address)")
_NOBODY: Final = word(b"\x01")


@runtime_checkable
class TokenViewer(Protocol):
    """A chain whose tokens are contracts with view functions."""

    async def view(self, asset: Asset, function: str, arguments: bytes = b"") -> bytes:
        """Return what a view function answers in the final state, nothing where the contract has none such.

        Raises:
            ChainError: the network could not be read.
        """
        ...


async def read_traits(viewer: TokenViewer, asset: Asset) -> Findings:
    """Ask a token's contract for what gives odd tokens away.

    Raises:
        ChainError: the network could not be read.
    """
    faults, notes = [], []
    if any(await viewer.view(asset, _FEE)):
        faults.append("it takes a fee of every transfer (basisPointsRate)")
    if any([len(await viewer.view(asset, function, _NOBODY)) >= WORD_BYTES for function in _SHARES]):
        faults.append("it keeps shares in place of balances, which then change without a transfer (rebasing)")
    if any([len(await viewer.view(asset, function, _NOBODY)) == WORD_BYTES for function in _BLOCKS]):
        notes.append("its issuer can block addresses")
    return Findings(tuple(faults), tuple(notes))
