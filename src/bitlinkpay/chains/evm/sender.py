"""`EvmSender`: the `Sender` protocol on EVM nodes."""

from collections.abc import Sequence

from bitlinkpay.chains.base import FateState
from bitlinkpay.chains.evm.access import EvmAccess
from bitlinkpay.chains.evm.accounts import AccountReader
from bitlinkpay.chains.evm.broadcasting import broadcast
from bitlinkpay.chains.evm.death import is_displaced
from bitlinkpay.chains.evm.delivery import delivered
from bitlinkpay.chains.evm.fees import FeeReader, outbid, price
from bitlinkpay.chains.evm.fit import misfits
from bitlinkpay.chains.evm.plan import EvmPlan
from bitlinkpay.chains.evm.planning import Planner, SenderOptions
from bitlinkpay.chains.evm.wire import Receipt, Transaction, quantity
from bitlinkpay.chains.outgoing import (
    Broadcast,
    CannotPlan,
    FeeQuote,
    Intent,
    Lane,
    Outcome,
    Purpose,
    Signed,
    Slot,
    Unspent,
    Wallet,
)
from bitlinkpay.core.assets import Asset


class EvmSender:
    """One EVM network as our wallets see it. See `chains.outgoing.Sender` for what each method promises."""

    def __init__(self, access: EvmAccess, options: SenderOptions | None = None) -> None:
        """Send over the endpoints of a chain."""
        self._access = access
        self._options = options or SenderOptions()
        self._accounts = AccountReader(access.quorum)
        self._fees = FeeReader(access.quorum)
        self._planner = Planner(access, self._options)

    def payments_max(self, asset: Asset, purpose: Purpose) -> int:
        """Return how many payments one transaction can carry.

        Addresses that were never used cost more in a batch than alone, so gas is handed out one by one; native coin
        is swept by each address itself, which is cheapest.
        """
        if purpose is Purpose.PAYOUT or (purpose is Purpose.SWEEP and not asset.is_native):
            return self._options.batch_max if self._options.batches else 1
        return 1

    async def lane(self, payer: Wallet) -> Lane:
        """Ask the chain where a paying wallet stands: agreed at the final block, and with what waits in the pools."""
        final = (await self._access.finality.head()).final
        (account,) = await self._accounts.read([payer.address], final.hash)
        is_ready = not self._options.batches or await self._accounts.is_ready(payer.address, final.hash)
        next_number = await self._accounts.next_nonce(payer.address)
        return Lane(final_number=account.nonce, next_number=max(next_number, account.nonce), is_ready=is_ready)

    async def quote(self, intent: Intent) -> FeeQuote:
        """Say what the intent would cost now, tried on the newest block.

        Raises:
            CannotPlan: it would fail.
        """
        draft, market = await self._planner.draft(intent, 0), await self._fees.market()
        return FeeQuote(draft.gas * market.per_gas, draft.plan.gas_limit * market.roomy)

    async def plan(self, intent: Intent, slot: Slot, previous: EvmPlan | None = None) -> EvmPlan:
        """Fix everything but the signatures.

        Raises:
            CannotPlan: it would not do all that it shall.
            FeeTooHigh, LacksGas: the network asks for more than the intent allows, or than the payer holds.
        """
        market = await self._fees.market()
        if previous is None:
            draft = await self._planner.draft(intent, slot.number)
            plan = price(draft.plan, market, intent.fee_max_units)
        else:
            assert previous.nonce == slot.number, "a replacement in another slot"
            plan = outbid(previous, market, intent.fee_max_units)
        if found := misfits(intent, plan, self._access.network, self._planner.asset_of(intent)):
            raise CannotPlan(f"the intent asks for {'; '.join(found)}")
        await self._planner.check_fee(intent, plan)
        return plan

    async def broadcast(self, signed: Signed) -> Broadcast:
        """Hand the bytes to every endpoint; safe to repeat for ever."""
        return await broadcast(self._access.nodes, signed)

    async def outcome(self, intent: Intent, plan: EvmPlan, signed: Signed) -> Outcome:
        """Say what became of it, by a proven block.

        Raises:
            Contradiction: its events do not fit together.
        """
        found = await self._access.lookup.find(signed.txid, _receipt)
        if found.fact is None:
            return Outcome(found.state, signed.txid)
        receipt = found.fact
        fee = quantity(receipt.gas_used) * quantity(receipt.effective_gas_price)
        made: tuple[bool, ...] = ()
        if found.state in {FateState.FINAL, FateState.FAILED}:
            made = delivered(intent, plan, receipt, self._planner.asset_of(intent))
        return Outcome(found.state, signed.txid, found.block, fee, made)

    async def is_dead(self, intent: Intent, plan: EvmPlan, signed: Signed) -> bool:
        """Say whether a final block used up its nonce for another one, see `chains.evm.death`."""
        return await is_displaced(self._access, intent.payer.address, plan.nonce, signed.txid)

    async def choose(self, intent: Intent, available: Sequence[Unspent]) -> Sequence[Unspent]:  # noqa: ARG002
        """Choose nothing: accounts have no outputs."""
        return ()

    def produced(self, plan: EvmPlan, signed: Signed) -> Sequence[Unspent]:  # noqa: ARG002
        """Return nothing: accounts have no outputs."""
        return ()


def _receipt(_tx: Transaction, receipt: Receipt) -> Receipt:
    return receipt
