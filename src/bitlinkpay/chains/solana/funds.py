"""What the wallets that pay hold, and whether that is enough; the rent-exempt minimum on both sides (THREATS PAY-19).

An account below the minimum that keeps it alive cannot be left by any transaction, unless it is left empty.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from bitlinkpay.chains.outgoing import CannotPlan, Intent, LacksGas, Purpose
from bitlinkpay.chains.rpc import Call
from bitlinkpay.chains.solana.accounts import TOKEN_ACCOUNT_BYTES, read_token_account
from bitlinkpay.chains.solana.node import SolanaNode
from bitlinkpay.chains.solana.programs import associated, program_of
from bitlinkpay.chains.solana.recipients import read_accounts
from bitlinkpay.chains.solana.wire import NUMBER, Account
from bitlinkpay.core.assets import Asset

_PLAIN_BYTES_MAX = 170  # a token account whose only extension is that its owner stays


@dataclass(frozen=True, slots=True)
class Purse:
    """A token account that pays.

    Attributes:
        units: what it holds, nothing while it is frozen.
        size: its bytes, as those of every account of the mint that its program creates.
    """

    units: int
    size: int


@dataclass(frozen=True, slots=True)
class Funds:
    """What everybody in an intent holds.

    Attributes:
        coins: lamports by address.
        purses: token accounts of the sources, by owner.
        rent_minimum: lamports below which no wallet may be left.
        account_rent: lamports that one new token account of the asset costs.
    """

    coins: Mapping[str, int]
    purses: Mapping[str, Purse]
    rent_minimum: int
    account_rent: int

    def closes(self, intent: Intent) -> tuple[bool, ...]:
        """Return per payment whether it empties a token account that may be closed; only sweeps close any."""
        return tuple(
            intent.purpose is Purpose.SWEEP
            and (purse := self.purses.get(payment.source.address)) is not None
            and purse.units == payment.units
            and purse.size <= _PLAIN_BYTES_MAX
            for payment in intent.payments
        )

    def check(self, intent: Intent, asset: Asset, fee_units: int) -> None:
        """Check that everybody can pay and that nobody is left between nothing and the minimum.

        Raises:
            CannotPlan: not even with a full purse for the fee.
            LacksGas: the payer holds too little native coin for the fee.
        """
        after = Counter(self.coins)
        if asset.is_native:
            for payment in intent.payments:
                after[payment.source.address] -= payment.units
                after[payment.target] += payment.units
        else:
            self._check_tokens(intent, asset)
        payer = intent.payer.address
        if (missing := self.rent_minimum + fee_units - after[payer]) > 0:
            raise LacksGas(f"{payer} needs {missing} lamports more for the fee and to stay alive", missing)
        after[payer] -= fee_units
        for address in self._touched(intent, asset):
            if 0 < after[address] < self.rent_minimum or after[address] < 0:
                raise CannotPlan(
                    f"{address} would be left with {after[address]} lamports: nothing or at least {self.rent_minimum}"
                )

    def _touched(self, intent: Intent, asset: Asset) -> list[str]:
        if not asset.is_native:
            return []
        return list(dict.fromkeys(a for p in intent.payments for a in (p.source.address, p.target)))

    def _check_tokens(self, intent: Intent, asset: Asset) -> None:
        wanted: Counter[str] = Counter()
        for payment in intent.payments:
            wanted[payment.source.address] += payment.units
        for source, units in wanted.items():
            held = self.purses[source].units if source in self.purses else 0
            if held < units:
                raise CannotPlan(f"{source} can move {held} units of {asset.id}, not {units}")


async def read_funds(node: SolanaNode, intent: Intent, asset: Asset) -> Funds:
    """Ask one endpoint what everybody in an intent holds."""
    sources = list(dict.fromkeys(payment.source.address for payment in intent.payments))
    targets = [payment.target for payment in intent.payments]
    owners = list(dict.fromkeys([intent.payer.address, *sources, *targets]))
    accounts = {} if asset.is_native else {s: associated(s, asset.contract, program_of(asset)) for s in sources}
    found = await read_accounts(node, [*owners, *accounts.values()])
    purses = {
        owner: purse
        for owner, account in accounts.items()
        if (purse := _purse(found[account], owner, asset)) is not None
    }
    size = max((purse.size for purse in purses.values()), default=TOKEN_ACCOUNT_BYTES)
    calls = [Call("getMinimumBalanceForRentExemption", (bytes_,)) for bytes_ in (0, size)]
    rent_minimum, account_rent = await node.ask(calls, NUMBER)
    return Funds({owner: _lamports(found[owner]) for owner in owners}, purses, rent_minimum, account_rent)


def _lamports(account: Account | None) -> int:
    return account.lamports if account is not None else 0


def _purse(account: Account | None, owner: str, asset: Asset) -> Purse | None:
    if account is None:
        return None
    token = read_token_account(account, program_of(asset))
    if token is None or (token.mint, token.owner) != (asset.contract, owner):
        return None
    return Purse(0 if token.is_frozen else token.units, len(account.raw))
