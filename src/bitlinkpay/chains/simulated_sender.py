"""A simulated network as our wallets see it: numbered transactions, fees, replacement, and refusals like a node's.

Every simulated network counts the transactions of a payer, as EVM does: of two with one number only one takes effect,
the one with the higher fee while neither is in a block.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from bitlinkpay.chains.base import FateState
from bitlinkpay.chains.outgoing import (
    LOANS,
    Broadcast,
    CannotPlan,
    FeeQuote,
    FeeTooHigh,
    Intent,
    Lane,
    Outcome,
    Purpose,
    Sent,
    Signed,
    Slot,
    Unspent,
    Wallet,
)
from bitlinkpay.chains.simulated import SimulatedChain
from bitlinkpay.chains.simulated_check import BadTransaction, decode
from bitlinkpay.chains.simulated_lending import LOAN_FEES, MARGIN, fee_of
from bitlinkpay.chains.simulated_plan import SimulatedPlan, SimulatedTransaction
from bitlinkpay.core.assets import Asset, Family, Network

PAYMENTS_MAX: Final[Mapping[Family, int]] = {  # as many as the family's real adapter carries in one transaction
    Family.EVM: 50,
    Family.BITCOIN: 100,
    Family.TRON: 1,
    Family.SOLANA: 20,
    Family.TON: 100,
}
_BUMP_PERCENT: Final = 25


@dataclass(frozen=True, slots=True)
class Count:
    """The next numbers of a payer: after the final blocks, and after everything that a node knows."""

    final: int
    next: int


class SimulatedMempool(Protocol):
    """Where a simulated network takes transactions: the port that the sandbox's store implements."""

    async def accept(self, network: Network, txid: str, transaction: SimulatedTransaction) -> str:
        """Take a transaction into the mempool, or say why not ("" when it is taken or known)."""
        ...

    async def count(self, network: str, payer: str, final_height: int) -> Count:
        """Return the next numbers of a payer."""
        ...

    async def borrowed(self, network: str, payer: str) -> int:
        """Return the stake that a payer has been lent."""
        ...

    async def fee(self, network: Network, txid: str) -> tuple[int, bool]:
        """Return what a transaction in a block costs its payer, and whether it failed there."""
        ...

    async def holder(self, network: Network, payer: str, number: int, final_height: int) -> str:
        """Return the id of the transaction in a final block that used a payer's number, "" for none."""
        ...


class SimulatedSender:
    """`chains.outgoing.Sender` of a simulated network."""

    def __init__(self, chain: SimulatedChain, mempool: SimulatedMempool) -> None:
        self._chain = chain
        self._network = chain.network
        self._mempool = mempool

    def payments_max(self, asset: Asset, purpose: Purpose) -> int:
        """Return how many payments of an asset one transaction can carry."""
        assert asset.network == self._network.id, f"{asset.id} is not on {self._network.id}"
        return 1 if purpose in {Purpose.GAS, *LOANS} else PAYMENTS_MAX[self._network.family]

    async def lane(self, payer: Wallet) -> Lane:
        """Ask where a paying wallet stands."""
        final = (await self._chain.head()).final.height
        count = await self._mempool.count(self._network.id, payer.address, final)
        return Lane(count.final, count.next, is_ready=True)

    async def quote(self, intent: Intent) -> FeeQuote:
        """Say what the intent costs: the family's usual fee, whatever it carries, or nothing on lent energy."""
        units = await self._fee(intent)
        return FeeQuote(units, MARGIN * units)

    async def _fee(self, intent: Intent) -> int:
        borrowed = 0
        if self._network.family in LOAN_FEES:
            borrowed = await self._mempool.borrowed(self._network.id, intent.payer.address)
        return fee_of(self._network, intent.purpose, borrowed)

    async def plan(self, intent: Intent, slot: Slot, previous: SimulatedPlan | None = None) -> SimulatedPlan:
        """Fix number and fee.

        Raises:
            FeeTooHigh: the fee, or a quarter more than that of `previous`, is above the intent's limit.
            CannotPlan: a payment to nobody, which no simulated network would carry.
        """
        fee = await self._fee(intent)
        if previous is not None:
            fee = previous.fee_units * (100 + _BUMP_PERCENT) // 100
        if fee > intent.fee_max_units:
            raise FeeTooHigh(f"the network asks for {fee} units, at most {intent.fee_max_units} were allowed")
        if any(not payment.target for payment in intent.payments):
            raise CannotPlan("a payment without a recipient")
        return SimulatedPlan(slot.number, fee)

    async def broadcast(self, signed: Signed) -> Broadcast:
        """Hand the bytes to the simulated node, which checks signatures, number, fee and balance."""
        try:
            transaction = decode(self._network, signed.raw)
        except BadTransaction as error:
            return Broadcast(Sent.REFUSED, str(error))
        refusal = await self._mempool.accept(self._network, signed.txid, transaction)
        return Broadcast(Sent.REFUSED, refusal) if refusal else Broadcast(Sent.ACCEPTED)

    async def outcome(self, intent: Intent, plan: SimulatedPlan, signed: Signed) -> Outcome:
        """Say what became of it."""
        del plan
        fate = await self._chain.fate(signed.txid)
        if fate.block is None:
            return Outcome(fate.state, signed.txid)
        fee, has_failed = await self._mempool.fee(self._network, signed.txid)
        if fate.state is FateState.MINED:
            return Outcome(fate.state, signed.txid, fate.block, fee)
        return Outcome(fate.state, signed.txid, fate.block, fee, (not has_failed,) * len(intent.payments))

    async def is_dead(self, intent: Intent, plan: SimulatedPlan, signed: Signed) -> bool:
        """Return True once a final block holds another transaction with this number."""
        final = (await self._chain.head()).final.height
        holder = await self._mempool.holder(self._network, intent.payer.address, plan.number, final)
        return holder not in {"", signed.txid}

    async def choose(self, intent: Intent, available: Sequence[Unspent]) -> Sequence[Unspent]:
        """Return nothing: simulated networks count balances, not outputs."""
        del intent, available
        return ()

    def produced(self, plan: SimulatedPlan, signed: Signed) -> Sequence[Unspent]:
        """Return nothing, see `choose`."""
        del plan, signed
        return ()
