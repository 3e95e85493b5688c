"""Reads what a mint says of itself: there is no code of its own to look at, but authorities and extensions."""

from hashlib import sha256

from bitlinkpay.chains.rpc import Call
from bitlinkpay.chains.solana.accounts import Mint, read_mint
from bitlinkpay.chains.solana.node import FINALIZED, SolanaNode
from bitlinkpay.chains.solana.programs import program_of
from bitlinkpay.chains.solana.wire import ACCOUNT
from bitlinkpay.chains.token import TokenFacts
from bitlinkpay.core.assets import Asset


async def read_facts(node: SolanaNode, asset: Asset) -> TokenFacts:
    """Return what one endpoint says of a mint at its newest final slot.

    Raises:
        ChainError: it can't read that state.
    """
    call = Call("getAccountInfo", (asset.contract, {"commitment": FINALIZED, "encoding": "base64"}))
    (answer,) = await node.ask([call], ACCOUNT)
    account = answer.value
    mint = read_mint(account) if account is not None else None
    if account is None or mint is None:
        return _facts(asset, None, code_hash="", concerns=())
    is_other = account.owner != program_of(asset)
    other = f"the mint belongs to token program {account.owner}: write the `standard` of that program into the row"
    concerns = (other,) if is_other else ()
    return _facts(asset, mint, code_hash=_fingerprint(account.owner, mint), concerns=(*concerns, *mint.extensions))


def _facts(asset: Asset, mint: Mint | None, *, code_hash: str, concerns: tuple[str, ...]) -> TokenFacts:
    return TokenFacts(
        contract=asset.contract,
        code_hash=code_hash,
        implementation="",
        implementation_hash="",
        decimals=mint.decimals if mint else None,
        symbol="",
        is_paused=mint.is_paused if mint else False,
        is_deprecated=False,
        concerns=concerns,
    )


def _fingerprint(program: str, mint: Mint) -> str:
    """Return a hash over what decides who may make, stop or take tokens: another one is another token to review."""
    parts = (program, str(mint.decimals), mint.authority, mint.freezer, *mint.extensions)
    return sha256("\n".join(parts).encode()).hexdigest()
