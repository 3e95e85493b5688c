"""Refunds: a merchant's odd money goes to an address that the merchant has confirmed, never by itself to its sender.

The whole deposit is reserved; the recipient gets it less what a payout costs. What comes to nothing is odd money again.
"""

from dataclasses import replace
from typing import Final

from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import NotFound
from bitlinkpay.core.ids import DepositId, show_id
from bitlinkpay.core.money import format_units, from_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits.model import Deposit
from bitlinkpay.ledger import chart_outgoing as chart
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import Posting
from bitlinkpay.merchants.model import Merchant
from bitlinkpay.payins import settling
from bitlinkpay.payouts import checks, store
from bitlinkpay.payouts.drafting import Draft, Drafting, Repeat
from bitlinkpay.payouts.model import AmountRefused, Charge, NewPayout, Payout, PayoutKind, PayoutState, Terms
from bitlinkpay.payouts.placing import Placing, repeated

_NOTHING: Final = frozenset({PayoutState.REJECTED, PayoutState.CANCELLED, PayoutState.FAILED})


class Refunds:
    """The refunds of a deployment."""

    def __init__(self, drafting: Drafting, placing: Placing, registry: Registry, clock: Clock) -> None:
        self._drafting = drafting
        self._placing = placing
        self._registry = registry
        self._clock = clock

    async def prepare(
        self, merchant: Merchant, deposit: Deposit, *, target: str, tag: str = "", maker: str = ""
    ) -> Draft | Repeat:
        """Check and quote a refund; no transaction is open.

        Args:
            merchant: whose money it is.
            deposit: the odd money.
            target: where it goes, as the merchant wrote it.
            tag: for the recipient, "" for none.
            maker: which of our people asks for it, who leaves it to another to take down that the merchant has
                confirmed the address; "" for the merchant itself, whose own word is the confirmation.
        """
        asset = self._registry.assets[deposit.asset]
        return await self._drafting.prepare(
            NewPayout(
                merchant=merchant,
                kind=PayoutKind.REFUND,
                source_id=show_id("dep", deposit.deposit_id),
                asset=asset,
                target=target,
                tag=tag,
                amount=from_units(deposit.units, asset.decimals),
                maker=maker,
            )
        )

    async def request(self, tx: Tx, draft: Draft | Repeat, deposit_id: DepositId) -> Payout:
        """Reserve a deposit's odd money for a refund, or return the one that this request repeats.

        Raises:
            NotFound: the merchant has no such unassigned money.
            PayoutExistsDifferent: it is being refunded, or was, to another address.
            AddressRefused, AmountRefused, PayoutsStopped, QuoteExpired: nothing was reserved.
            Problem: what the preparation of a request failed of that repeats nothing.
        """
        merchant_id, now = draft.new.merchant.merchant_id, self._clock.now()
        try:  # this locks the deposit: no other request comes between
            deposit = await settling.begin_refund(tx, merchant_id, deposit_id, now)
        except NotFound:
            earlier = await store.list_refunds(tx, merchant_id, deposit_id)
            if earlier and earlier[-1].state not in _NOTHING:
                return repeated(earlier[-1], draft.request_hash)
            raise
        draft = await self._placing.check(tx, draft)
        earlier = await store.list_refunds(tx, merchant_id, deposit_id)
        payout = await self._payout(tx, _again(draft, len(earlier)), deposit)
        is_new = await store.insert(tx, payout, deposit.network)
        assert is_new, "a deposit that is refunded twice"
        await ledger.post_all(tx, [_reserved(payout, deposit)])
        if payout.state is PayoutState.APPROVED:
            await self._placing.queue(tx, payout, now)
        return payout

    async def estimate(self, tx: Tx, draft: Draft | Repeat, deposit: Deposit) -> tuple[int, Charge]:
        """Return what a refund would bring its recipient now, and what would be kept of it; nothing is reserved.

        Raises:
            AddressRefused, AmountRefused, PayoutsStopped: as when it is asked for.
            Problem: what its preparation failed of.
        """
        payout = await self._payout(tx, await self._placing.check(tx, draft), deposit)
        return payout.units, payout.charge

    async def _payout(self, tx: Tx, draft: Draft, deposit: Deposit) -> Payout:
        merchant_id = draft.new.merchant.merchant_id
        terms = await store.find_terms(tx, merchant_id, PayoutKind.REFUND, deposit.asset)
        charge = Charge(
            checks.fee_units(deposit.units, terms), draft.network_fee_units, native_max_units=draft.quote.units_max
        )
        units = self._rest(deposit, charge)
        hold = "the merchant has to confirm the address"
        if not draft.new.maker:  # asked for by a key alone, like any payout: so it is looked at like one
            hold = draft.hold or await self._placing.suspicion(tx, draft, units, terms)
        now, deposit_id = self._clock.now(), deposit.deposit_id
        return self._placing.payout(draft, units=units, charge=charge, hold=hold, now=now, deposit_id=deposit_id)

    def _rest(self, deposit: Deposit, charge: Charge) -> int:
        """Return what is left for the recipient.

        Raises:
            AmountRefused: less than the network's smallest payment, or nothing.
        """
        asset = self._registry.assets[deposit.asset]
        rest = from_units(max(0, deposit.units - charge.units), asset.decimals)
        try:
            return checks.check_amount(asset, rest, Terms(), today_units=0)
        except AmountRefused as problem:
            fees = format_units(charge.units, asset.decimals)
            raise AmountRefused(f"{fees} of fees leave too little of it: {problem.message}") from None


def _again(draft: Draft, earlier: int) -> Draft:
    """Return the draft under a `source_id` that no refund of this deposit had before."""
    if not earlier:
        return draft
    return replace(draft, new=replace(draft.new, source_id=f"{draft.new.source_id}.{earlier + 1}"))


def _reserved(payout: Payout, deposit: Deposit) -> Posting:
    return chart.refund_reserved(
        payout.payout_id,
        merchant_id=payout.merchant_id,
        deposit_id=deposit.deposit_id,
        asset=deposit.asset,
        units=deposit.units,
        happened_at=payout.created_at,
    )
