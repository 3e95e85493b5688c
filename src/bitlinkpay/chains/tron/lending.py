"""Energy lent for the length of one transaction, and what that takes.

Staked coin gives its owner energy, which comes back within a day as it is used; the owner may lend the use of any of it
to another account and take it back at once, as long as nothing was locked (java-tron's `DelegateResourceActuator` and
`UnDelegateResourceActuator`). The rules that count here, all theirs:

- the borrower must have an account, and no contract's;
- at least one TRX of stake is lent, and no more than the lender's own use of energy leaves free
  (`getcandelegatedmaxsize`);
- neither costs anything beside the bandwidth of its bytes (`calcFee` is 0);
- what the borrower used of the loan is used at the lender when the loan ends, and comes back to him within a day.
"""

from dataclasses import replace
from typing import Final

from bitlinkpay.chains.codec.tron import to_bytes
from bitlinkpay.chains.outgoing import CannotPlan, FeeQuote, Intent, Loan, Payment, Purpose, Wallet
from bitlinkpay.chains.tron.access import TronAccess
from bitlinkpay.chains.tron.build import ENERGY
from bitlinkpay.chains.tron.costing import Costing, size_of
from bitlinkpay.chains.tron.fees import RESULT_BYTES, Cost, Prices, stake_for
from bitlinkpay.chains.tron.node import Api, TronNode
from bitlinkpay.chains.tron.wire import LENDABLE, LENT, Resources

STAKE_MIN: Final = 1_000_000
"""The least stake that can be lent, in sun."""


async def lendable_of(access: TronAccess, lender: str) -> int:
    """Return how much stake an account may lend now, in sun."""
    asked: dict[str, object] = {"owner_address": to_bytes(lender).hex(), "type": ENERGY}
    found = await access.quorum.first(lambda node: node.ask(Api.FULL, "getcandelegatedmaxsize", asked, LENDABLE))
    return found.units


async def lent_by(access: TronAccess, api: Api, lender: str, borrower: str) -> int:
    """Return the stake that an account has lent another for its energy, in sun, as endpoints agree on it."""
    asked: dict[str, object] = {"fromAddress": to_bytes(lender).hex(), "toAddress": to_bytes(borrower).hex()}

    async def ask(node: TronNode) -> int:
        found = await node.ask(api, "getdelegatedresourcev2", asked, LENT)
        return sum(one.energy_units for one in found.loans)

    return await access.quorum.agree(ask)


class TronLending:
    """`chains.outgoing.Lending` of one TRON network."""

    def __init__(self, access: TronAccess) -> None:
        """Ask through the endpoints that `access` reads by."""
        self._access = access
        self._costing = Costing(access)

    async def lendable(self, lender: Wallet) -> int:
        """Return how much of its stake a wallet can lend now, in sun."""
        return await lendable_of(self._access, lender.address)

    async def lent(self, lender: Wallet, borrower: str) -> int:
        """Return the stake that one address has lent another by the solidified state, in sun."""
        return await lent_by(self._access, Api.SOLID, lender.address, borrower)

    async def loan(self, intent: Intent, lender: Wallet) -> Loan:
        """Say what it would take to lend an intent's payer the energy that its call uses, and a fifth more.

        Raises:
            CannotPlan: it would fail, or no node tells what stake is worth.
        """
        cost, prices, own, _ = await self._costing.of(intent)
        lenders = await self._costing.resources(lender.address)
        opens = not own.free_net_limit
        if opens:  # every account has the same allowance of free bandwidth
            own = Resources(free_net_limit=lenders.free_net_limit)
        burnt = cost.burnt(prices, own)
        lend, recall = self._fees(intent, lender, prices, lenders)
        return Loan(
            stake_units=_stake(cost, own, lenders),
            lend=lend,
            recall=recall,
            own=FeeQuote(burnt, burnt + cost.fee_limit(prices)),
            opens=opens,
        )

    def _fees(self, intent: Intent, lender: Wallet, prices: Prices, lenders: Resources) -> tuple[FeeQuote, FeeQuote]:
        """Return the fees of lending and, with the bandwidth that this leaves, of taking back."""
        (native,) = [asset for asset in self._access.assets.values() if asset.is_native]
        stake = Payment(lender, native.id, intent.payer.address, "", 2**40)
        quotes: list[FeeQuote] = []
        for purpose in (Purpose.LEND, Purpose.RECALL):
            cost = Cost(0, 0, size_of(replace(intent, purpose=purpose, payer=lender, payments=(stake,)), native))
            burnt = cost.burnt(prices, lenders)
            quotes.append(FeeQuote(burnt, (cost.size + RESULT_BYTES) * prices.byte))
            lenders = cost.after(lenders)
        return quotes[0], quotes[1]


def _stake(cost: Cost, own: Resources, lenders: Resources) -> int:
    if not lenders.total_energy_limit or not lenders.total_energy_weight:
        raise CannotPlan("no node tells how much energy stake is worth")
    lacking = cost.energy_limit - max(0, own.energy_limit - own.energy_used)
    return max(STAKE_MIN, stake_for(lacking, lenders)) if lacking > 0 else 0
