"""Payouts: check and quote outside, reserve and queue in one transaction, decide, cancel."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from bitlinkpay.chains.address import parse_address, show_address
from bitlinkpay.chains.outgoing import Wallet
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Network
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import NotFound
from bitlinkpay.core.ids import MerchantId, PayoutId
from bitlinkpay.core.money import format_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import chart_outgoing as chart
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import InsufficientBalance, Posting, Refusal
from bitlinkpay.merchants.model import Merchant
from bitlinkpay.payins import settling
from bitlinkpay.payouts import checks, events, store
from bitlinkpay.payouts.drafting import Draft, Drafting, Quotes, Repeat
from bitlinkpay.payouts.model import (
    PAYOUT,
    AddressRefused,
    AddressUnconfirmed,
    BalanceTooLow,
    Charge,
    NewPayout,
    NothingToConfirm,
    Payout,
    PayoutEvent,
    PayoutKind,
    PayoutNotFound,
    PayoutState,
    PayoutTooLate,
    SamePerson,
    Terms,
)
from bitlinkpay.payouts.placing import OWNERS, Placing, repeated
from bitlinkpay.payouts.quoting import Prices
from bitlinkpay.payouts.refunds import Refunds
from bitlinkpay.payouts.store import PayoutChange
from bitlinkpay.risk.model import Provider
from bitlinkpay.sending import service as sending
from bitlinkpay.sending.model import OwnerKind, TooLate

PaymentMove = Callable[[Tx, OwnerKind, UUID, datetime], Awaitable[None]]
_DAY: Final = timedelta(days=1)


class Payouts:
    """The payouts of a deployment."""

    def __init__(
        self,
        *,
        registry: Registry,
        quotes: Quotes,
        prices: Prices,
        providers: Sequence[Provider],
        hot_wallet: Callable[[Network], Wallet],
        clock: Clock,
    ) -> None:
        """Build the service.

        Args:
            registry: networks and assets.
            quotes: asks the networks for fees.
            prices: the market.
            providers: who knows about addresses.
            hot_wallet: the wallet that pays on a network.
            clock: business time.
        """
        self._registry = registry
        self._clock = clock
        self._placing = Placing(registry, hot_wallet, clock)
        self._drafting = Drafting(
            registry=registry, quotes=quotes, prices=prices, providers=providers, hot_wallet=hot_wallet, clock=clock
        )
        self.refunds = Refunds(self._drafting, self._placing, registry, clock)

    async def prepare(self, new: NewPayout) -> Draft | Repeat:
        """Check and quote a request; networks and providers are asked here, and no transaction is open."""
        return await self._drafting.prepare(new)

    async def request(self, tx: Tx, draft: Draft | Repeat) -> Payout:
        """Reserve a payout's money and queue it, or return the one that this request repeats.

        Raises:
            PayoutExistsDifferent: the source_id was used with other parameters.
            AddressRefused, AmountRefused, BalanceTooLow, PayoutsStopped, QuoteExpired: nothing was reserved; the
                source_id is free.
            Problem: what the preparation of a request failed of that repeats nothing.
        """
        if earlier := await self._repeated(tx, draft):
            return earlier
        draft = await self._placing.check(tx, draft)
        new, asset = draft.new, draft.new.asset
        available = accounts.available(new.merchant.merchant_id)
        await ledger.lock(tx, [(available, asset.id)])  # before the day's sum is read: no other request comes between
        if earlier := await self._repeated(tx, draft):  # its twin came first, and is in the sum
            return earlier
        terms = await store.find_terms(tx, new.merchant.merchant_id, new.kind, asset.id)
        now = self._clock.now()
        today = await store.day_units(tx, new.merchant.merchant_id, asset.id, now - _DAY)
        units = checks.check_amount(asset, new.amount, terms, today_units=today)
        hold = draft.hold or await self._hold(tx, draft, units, terms)
        charge = Charge(checks.fee_units(units, terms), draft.network_fee_units, draft.quote.units_max)
        payout = self._placing.payout(draft, units=units, charge=charge, hold=hold, now=now)
        if not await store.insert(tx, payout, asset.network):
            stored = await self._repeated(tx, draft)
            assert stored is not None, "a source_id that is taken by nobody"
            return stored
        await self._reserve(tx, payout, now)
        if payout.state is PayoutState.APPROVED:
            await self._placing.queue(tx, payout, now)
        return payout

    async def _repeated(self, tx: Tx, draft: Draft | Repeat) -> Payout | None:
        new = draft.new
        earlier = await store.find_by_source(tx, new.merchant.merchant_id, new.kind, new.source_id)
        return repeated(earlier, draft.request_hash) if earlier else None

    async def _hold(self, tx: Tx, draft: Draft, units: int, terms: Terms) -> str:
        if terms.fresh_max_units is not None and await self._takes_fresh(tx, draft, units) > terms.fresh_max_units:
            return "takes more of what was credited in the last 24 hours than goes out without a review"
        return await self._placing.suspicion(tx, draft, units, terms)

    async def _takes_fresh(self, tx: Tx, draft: Draft, units: int) -> int:
        """Return how much of a payout only money of the last day can pay: what is older goes first (DEP-24)."""
        merchant_id, asset = draft.new.merchant.merchant_id, draft.new.asset.id
        held = await ledger.balance(tx, accounts.available(merchant_id), asset)
        fresh = await store.fresh_units(tx, merchant_id, asset, self._clock.now() - _DAY)
        return units - max(0, held - fresh)

    async def _reserve(self, tx: Tx, payout: Payout, now: datetime) -> None:
        posting = chart.payout_reserved(
            payout.payout_id,
            merchant_id=payout.merchant_id,
            asset=payout.asset,
            units=payout.reserved_units,
            happened_at=now,
        )
        (result,) = await ledger.post(tx, [posting])
        if isinstance(result, InsufficientBalance):
            raise await self._too_low(tx, payout)
        if isinstance(result, Refusal):
            raise result

    async def _too_low(self, tx: Tx, payout: Payout) -> BalanceTooLow:
        asset = self._registry.assets[payout.asset]
        held = {b.asset: b.available_units for b in await ledger.balances(tx, payout.merchant_id)}
        has = format_units(held.get(asset.id, 0), asset.decimals)
        needs = format_units(payout.reserved_units, asset.decimals)
        text = f"the balance holds {has} {asset.id}, {needs} are needed with fees"
        elsewhere = [
            one.id for one in self._registry.by_symbol(asset.symbol) if one.id != asset.id and held.get(one.id)
        ]
        if elsewhere:
            text += f"; there is a balance in {', '.join(elsewhere)}, which would have to be exchanged first"
        return BalanceTooLow(text, param="amount")

    async def approve(self, tx: Tx, payout_id: PayoutId, *, by: str) -> Payout:
        """Let a payout go that waited for a person; one that was held goes on at its old place in the queue.

        Raises:
            PayoutNotFound: there is none.
            PayoutTooLate: it does not wait for one.
            SamePerson: who asked for it has to leave this to another.
            AddressUnconfirmed: a refund whose address the merchant has not confirmed, see `confirm`.
        """
        found = await self._find(tx, payout_id, PayoutEvent.APPROVED)
        if found.awaits_merchant:
            raise AddressUnconfirmed
        return await self._let_go(tx, found, by)

    async def confirm(self, tx: Tx, payout_id: PayoutId, address: str, *, by: str) -> Payout:
        """Let a refund go that one of our people asked for, after its merchant has confirmed the address.

        Args:
            tx: the open transaction.
            payout_id: the refund.
            address: what the merchant has confirmed, in any spelling.
            by: who says so; not who asked for the refund.

        Raises:
            PayoutNotFound, PayoutTooLate, SamePerson: see `approve`.
            AddressRefused: the refund would go to another address.
        """
        found = await self._find(tx, payout_id, PayoutEvent.APPROVED)
        if found.kind is not PayoutKind.REFUND:
            raise PayoutNotFound("id")
        return await self._confirm(tx, found, address, by)

    async def confirm_own(self, tx: Tx, merchant: Merchant, payout_id: UUID, address: str) -> Payout:
        """Let a refund go that one of our people asked for: its merchant confirms the address by its own word.

        Raises:
            PayoutNotFound: the merchant has none of this id.
            NothingToConfirm: it waits for no such word: a merchant lets nothing go that waits for one of our people.
            AddressRefused: the refund would go to another address.
        """
        found = await store.find(tx, payout_id)
        if found is None or found.merchant_id != merchant.merchant_id:
            raise PayoutNotFound("payout_id")
        if found.state is not PayoutState.IN_REVIEW or not found.awaits_merchant:
            raise NothingToConfirm(found)
        return await self._confirm(tx, found, address, f"merchant {merchant.broker}")

    async def _confirm(self, tx: Tx, found: Payout, address: str, by: str) -> Payout:
        network = self._registry.networks[self._registry.assets[found.asset].network]
        if parse_address(network, address) != found.target:
            raise AddressRefused(f"this refund goes to {show_address(network, found.target)}")
        return await self._let_go(tx, found, by)

    async def _let_go(self, tx: Tx, found: Payout, by: str) -> Payout:
        payout_id, now = found.payout_id, self._clock.now()
        if found.maker and found.maker == by:
            raise SamePerson(by)
        is_queued = await self._move_payment(tx, found, sending.resume, now)
        payout = await self._locked(tx, payout_id)
        if payout.checker != found.checker:  # let go meanwhile, and held again: that is another question
            raise PayoutTooLate(payout.state)
        payout = await self._decide(tx, payout, PayoutEvent.APPROVED, reason="", cause=by)
        await store.note_checker(tx, payout_id, by)
        if not is_queued:
            await self._placing.queue(tx, payout, now)
        return payout

    async def hold(self, tx: Tx, payout_id: PayoutId, *, reason: str, by: str) -> Payout:
        """Stop a payout that waits in the queue until a person approves or rejects it.

        Raises:
            PayoutNotFound: there is none.
            PayoutTooLate: it is signed, being signed, or waits for a person already.
        """
        found = await self._find(tx, payout_id, PayoutEvent.HELD)

        async def hold(tx: Tx, owner: OwnerKind, owner_id: UUID, now: datetime) -> None:
            await sending.hold(tx, owner, owner_id, reason=reason, now=now)

        await self._move_payment(tx, found, hold, self._clock.now())
        payout = await self._locked(tx, payout_id)
        return await self._decide(tx, payout, PayoutEvent.HELD, reason=reason, cause=by)

    async def reject(self, tx: Tx, payout_id: PayoutId, *, reason: str, by: str) -> Payout:
        """Refuse a payout that waited for a person; everything goes back, and its merchant is told the reason.

        Raises:
            PayoutNotFound, PayoutTooLate: see `approve`.
        """
        found = await self._find(tx, payout_id, PayoutEvent.REJECTED)
        return await self._call_back(tx, found, PayoutEvent.REJECTED, reason=reason, cause=by)

    async def cancel(self, tx: Tx, merchant_id: MerchantId, kind: PayoutKind, source_id: str) -> Payout:
        """Call a payout back that nothing was signed for; everything goes back.

        Raises:
            PayoutNotFound: the merchant has none of this id.
            PayoutTooLate: it is signed, being signed, being approved, or has ended.
        """
        found = await store.find_by_source(tx, merchant_id, kind, source_id)
        if found is None:
            raise PayoutNotFound
        return await self._call_back(
            tx, found, PayoutEvent.CANCELLED, reason="cancelled by the merchant", cause="request"
        )

    async def _call_back(self, tx: Tx, found: Payout, event: PayoutEvent, *, reason: str, cause: str) -> Payout:
        if not PAYOUT.allows(found.state, event):
            raise PayoutTooLate(found.state)
        now = self._clock.now()
        await self._move_payment(tx, found, sending.cancel, now)
        payout = await self._locked(tx, found.payout_id)
        if payout.state is not found.state:  # decided meanwhile
            raise PayoutTooLate(payout.state)
        payout = await self._decide(tx, payout, event, reason=reason, cause=cause)
        await give_back(tx, self._registry, [payout], now)
        return payout

    async def _move_payment(self, tx: Tx, found: Payout, move: PaymentMove, now: datetime) -> bool:
        """Move the payment of a payout, which is locked first, as the lane's worker does; False where it has none yet.

        Raises:
            PayoutTooLate: it is being signed, or not where the payout needs it.
        """
        try:
            await move(tx, OWNERS[found.kind], found.payout_id, now)
        except TooLate:
            now_is = (await self._locked(tx, found.payout_id)).state
            raise PayoutTooLate(PayoutState.SIGNED if now_is is found.state else now_is) from None
        except NotFound:
            return False
        return True

    async def _find(self, tx: Tx, payout_id: PayoutId, event: PayoutEvent) -> Payout:
        found = await store.find(tx, payout_id)
        if found is None:
            raise PayoutNotFound("id")
        if not PAYOUT.allows(found.state, event):
            raise PayoutTooLate(found.state)
        return found

    async def _locked(self, tx: Tx, payout_id: PayoutId) -> Payout:
        payout = (await store.lock(tx, [payout_id])).get(payout_id)
        if payout is None:
            raise PayoutNotFound("id")
        return payout

    async def _decide(self, tx: Tx, payout: Payout, event: PayoutEvent, *, reason: str, cause: str) -> Payout:
        if not PAYOUT.allows(payout.state, event):
            raise PayoutTooLate(payout.state)
        after = PAYOUT.next(payout.state, event)
        now = self._clock.now()
        await store.save(tx, [PayoutChange(payout, event, after, reason=reason, cause=cause)], now)
        return replace(payout, state=after, reason=reason)


async def waits(tx: Tx, payouts: Sequence[Payout]) -> Mapping[PayoutId, str]:
    """Return why payouts have not left yet, of those that wait for anything but their turn in the queue."""
    found = await sending.waits(tx, list(OWNERS.values()), [payout.payout_id for payout in payouts])
    return {PayoutId(owner_id): reason for owner_id, reason in found.items()}


async def give_back(tx: Tx, registry: Registry, payouts: Sequence[Payout], now: datetime) -> None:
    """Return what was reserved for payouts that came to nothing, and say so to their merchants.

    What a refund had taken of a deposit is odd money again; the rest goes back to the balance.
    """
    refunded = sorted(payout.deposit_id for payout in payouts if payout.deposit_id)
    returned = await settling.end_refunds(tx, refunded, now) if refunded else set()
    postings = [_released(payout, now, is_odd=payout.deposit_id in returned) for payout in payouts]
    await ledger.post_all(tx, postings)
    await events.announce(tx, registry, payouts, now)


def _released(payout: Payout, now: datetime, *, is_odd: bool) -> Posting:
    if is_odd and payout.deposit_id:
        return chart.refund_released(
            payout.payout_id,
            merchant_id=payout.merchant_id,
            deposit_id=payout.deposit_id,
            asset=payout.asset,
            units=payout.reserved_units,
            happened_at=now,
        )
    return chart.payout_released(
        payout.payout_id,
        merchant_id=payout.merchant_id,
        asset=payout.asset,
        units=payout.reserved_units,
        happened_at=now,
    )
