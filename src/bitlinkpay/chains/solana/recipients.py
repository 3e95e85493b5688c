"""Whom we may pay: a wallet of somebody's key and nothing else (THREATS PAY-18, PAY-27).

The rule: an address is paid if a key may exist for it and what stands there, if anything, is a plain wallet. A token
account, a mint, a program, a nonce account or any derived address is refused; whoever gave it meant something else.
A missing token account is created at our cost; one that is frozen, or not the recipient's any more, is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bitlinkpay.chains.outgoing import Intent
from bitlinkpay.chains.rpc import Call
from bitlinkpay.chains.solana.accounts import read_mint, read_token_account
from bitlinkpay.chains.solana.node import FINALIZED, SolanaNode
from bitlinkpay.chains.solana.programs import (
    INCINERATOR,
    SYSTEM,
    TOKEN,
    TOKEN_2022,
    associated,
    is_on_curve,
    program_of,
)
from bitlinkpay.chains.solana.state import ACCOUNTS_MAX
from bitlinkpay.chains.solana.wire import ACCOUNTS, Account, Malformed
from bitlinkpay.core.assets import Asset


@dataclass(frozen=True, slots=True)
class Recipients:
    """What was found about the recipients of an intent.

    Attributes:
        refusals: why some of them are not paid, for people.
        lacking: those without a token account of the asset.
    """

    refusals: tuple[str, ...]
    lacking: frozenset[str]


async def read_accounts(node: SolanaNode, addresses: Sequence[str]) -> dict[str, Account | None]:
    """Return what stands at each address at the newest final slot, None for nothing: one call for 100."""
    options = {"commitment": FINALIZED, "encoding": "base64"}
    chunks = [addresses[at : at + ACCOUNTS_MAX] for at in range(0, len(addresses), ACCOUNTS_MAX)]
    answers = await node.ask([Call("getMultipleAccounts", (chunk, options)) for chunk in chunks], ACCOUNTS)
    found = [account for answer in answers for account in answer.value]
    if len(found) != len(addresses):
        raise Malformed(f"{node.label} sent {len(found)} accounts instead of {len(addresses)}")
    return dict(zip(addresses, found, strict=True))


async def read_recipients(node: SolanaNode, intent: Intent, asset: Asset) -> Recipients:
    """Ask one endpoint about the recipients of an intent."""
    targets = list(dict.fromkeys(payment.target for payment in intent.payments))
    purses = {} if asset.is_native else {t: associated(t, asset.contract, program_of(asset)) for t in targets}
    found = await read_accounts(node, [*targets, *purses.values()])
    refusals = [f"{target}: {reason}" for target in targets if (reason := refusal(target, found[target]))]
    refusals += [
        f"{target}: {reason}"
        for target, purse in purses.items()
        if (reason := _purse_refusal(target, found[purse], asset))
    ]
    lacking = frozenset(target for target, purse in purses.items() if found[purse] is None)
    return Recipients(tuple(refusals), lacking)


def refusal(address: str, account: Account | None) -> str:
    """Return why an address is not to be paid, "" if it may be.

    Args:
        address: canonical address of the recipient.
        account: what stands there.
    """
    if address in {SYSTEM, INCINERATOR}:
        return "what is sent there is lost"
    if account is not None and account.owner in {TOKEN, TOKEN_2022}:
        if read_mint(account) is not None:
            return "this is a token's mint and no wallet: what is sent there is lost"
        if read_token_account(account, account.owner) is not None:
            return "this is a token account: name the wallet that it belongs to"
    if not is_on_curve(address):
        return "no key can exist for this address: it belongs to a program, name a wallet"
    if account is not None and (account.executable or account.owner != SYSTEM or account.raw):
        return "this is an account of a program and no wallet"
    return ""


def _purse_refusal(target: str, account: Account | None, asset: Asset) -> str:
    """Return why a recipient's token account cannot be paid into."""
    if account is None:
        return ""
    token = read_token_account(account, program_of(asset))
    if token is None or (token.mint, token.owner) != (asset.contract, target):
        return "its token account belongs to somebody else"
    return "its token account is frozen by the issuer" if token.is_frozen else ""
