"""Stake on simulated TRON networks: lent and taken back like TRON's, and what it saves.

What it is not: energy is not counted. Who has been lent `COVERING_UNITS` pays nothing for what he sends, however often,
until they are taken back; and an account needs no opening.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

from bitlinkpay.chains.outgoing import LOANS, FeeQuote, Intent, Loan, Purpose, Wallet
from bitlinkpay.chains.simulated import SimulatedChain
from bitlinkpay.chains.simulated_format import FEES
from bitlinkpay.core.assets import Family, Network

COVERING_UNITS: Final = 3_000_000_000
"""Stake whose energy carries one transaction, in sun."""
LOAN_FEES: Final[Mapping[Family, int]] = MappingProxyType({Family.TRON: 100_000})
"""What lending and taking back cost, each, by the families that can."""
MARGIN: Final = 2
"""How much more than now a transaction may cost until it is sent."""


class SimulatedStakes(Protocol):
    """Where a simulated network keeps stake: the port that the sandbox's store implements."""

    async def lendable(self, network: str, lender: str) -> int:
        """Return the stake that an address has and has not lent, by all that a node knows."""
        ...

    async def lent(self, network: str, lender: str, borrower: str, height: int) -> int:
        """Return the stake that one address has lent another by the blocks up to a height."""
        ...

    async def borrowed(self, network: str, borrower: str) -> int:
        """Return the stake that an address has been lent by all blocks."""
        ...


def fee_of(network: Network, purpose: Purpose, borrowed_units: int) -> int:
    """Return what a transaction costs whose payer has been lent so much."""
    if purpose in LOANS:
        return LOAN_FEES.get(network.family, FEES[network.family])
    is_covered = network.family in LOAN_FEES and borrowed_units >= COVERING_UNITS
    return 0 if is_covered else FEES[network.family]


class SimulatedLending:
    """`chains.outgoing.Lending` of a simulated network."""

    def __init__(self, chain: SimulatedChain, stakes: SimulatedStakes) -> None:
        assert chain.network.family in LOAN_FEES, f"nothing is lent on {chain.network.id}"
        self._chain = chain
        self._network = chain.network
        self._stakes = stakes

    async def lendable(self, lender: Wallet) -> int:
        """Return how much of its stake a wallet can lend now."""
        return await self._stakes.lendable(self._network.id, lender.address)

    async def lent(self, lender: Wallet, borrower: str) -> int:
        """Return the stake that one address has lent another by the final blocks."""
        final = (await self._chain.head()).final.height
        return await self._stakes.lent(self._network.id, lender.address, borrower, final)

    async def loan(self, intent: Intent, lender: Wallet) -> Loan:
        """Say what it would take to lend an intent's payer what it burns."""
        assert lender.address != intent.payer.address, "a loan to oneself"
        held = await self._stakes.borrowed(self._network.id, intent.payer.address)
        fee = LOAN_FEES[self._network.family]
        quote = FeeQuote(fee, MARGIN * fee)
        own = FeeQuote(0, MARGIN * FEES[self._network.family])
        return Loan(max(0, COVERING_UNITS - held), quote, quote, own, opens=False)
