"""Payouts: check and quote outside, reserve and queue in one transaction, decide, cancel."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import msgspec

from bitlinkpay.chains.address import parse_address
from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.outgoing import CannotPlan, FeeQuote, Intent, LacksFunds, LacksGas, Payment, Purpose, Wallet
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Network
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Problem, Unavailable
from bitlinkpay.core.ids import MerchantId, PayoutId, SendingId, new_uuid7
from bitlinkpay.core.money import format_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import chart_outgoing as chart
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import InsufficientBalance, Refusal
from bitlinkpay.payouts import checks, events, store
from bitlinkpay.payouts.model import (
    PAYOUT,
    AddressRefused,
    BalanceTooLow,
    Charge,
    NewPayout,
    NoLiquidity,
    Payout,
    PayoutEvent,
    PayoutExistsDifferent,
    PayoutKind,
    PayoutNotFound,
    PayoutsStopped,
    PayoutState,
    PayoutTooLate,
    Terms,
)
from bitlinkpay.payouts.quoting import Prices, network_fee_units
from bitlinkpay.payouts.store import PayoutChange
from bitlinkpay.risk.model import Provider, ProviderDown, VerdictKind
from bitlinkpay.sending import service as sending
from bitlinkpay.sending.model import OwnerKind, Sending, SendingState, TooLate

EARLIER_TARGETS: Final = 200
_OWNERS: Final[Mapping[PayoutKind, OwnerKind]] = {
    PayoutKind.PAYOUT: OwnerKind.PAYOUT,
    PayoutKind.SETTLEMENT: OwnerKind.SETTLEMENT,
    PayoutKind.REFUND: OwnerKind.REFUND,
}

Quotes = Callable[[Intent], Awaitable[FeeQuote]]
"""What an intent would cost on its network now; raises `CannotPlan` or `ChainError`."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A checked and quoted request; nothing is stored yet.

    Attributes:
        hold: why a person has to look first, "" for nobody.
    """

    new: NewPayout
    target: str
    quote: FeeQuote
    network_fee_units: int
    hold: str
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class Repeat:
    """A request whose preparation failed; it may still repeat a payout that exists."""

    new: NewPayout
    request_hash: bytes
    problem: Problem


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
        self._quotes = quotes
        self._prices = prices
        self._providers = providers
        self._hot_wallet = hot_wallet
        self._clock = clock

    async def prepare(self, new: NewPayout) -> Draft | Repeat:
        """Check and quote a request; networks and providers are asked here, and no transaction is open."""
        digest = _digest(new)
        try:
            return await self._draft(new, digest)
        except Problem as problem:
            return Repeat(new, digest, problem)

    async def _draft(self, new: NewPayout, digest: bytes) -> Draft:
        network = self._registry.networks[new.asset.network]
        try:
            target = parse_address(network, new.target)
        except Problem as problem:
            raise AddressRefused(problem.message) from None
        checks.check_tag(network.family, new.tag)
        units = checks.check_amount(new.asset, new.amount, Terms(), today_units=0)
        hold = await self._screen(network, target)
        quote = await self._quote(network, Payment(self._hot_wallet(network), new.asset.id, target, new.tag, units))
        native = self._registry.native(network.id)
        fee = await network_fee_units(new.asset, native, quote, self._prices)
        return Draft(new, target, quote, fee, hold, digest)

    async def _screen(self, network: Network, target: str) -> str:
        """Return why a person has to look at the recipient, "" if nobody has.

        Raises:
            AddressRefused: it is listed.
        """
        for provider in self._providers:
            try:
                findings = await provider.look_up(network.id, [target])
            except ProviderDown:
                return f"screening by {provider.name} gave no answer"
            if any(finding.kind is VerdictKind.LISTED for finding in findings):
                raise AddressRefused("it is on a sanctions list")
        return ""

    async def _quote(self, network: Network, payment: Payment) -> FeeQuote:
        intent = Intent(
            intent_id=new_uuid7(),
            network=network.id,
            purpose=Purpose.PAYOUT,
            payer=payment.source,
            payments=(payment,),
            fee_max_units=0,
            expires_at=self._clock.now(),
        )
        try:
            return await self._quotes(intent)
        except (LacksFunds, LacksGas):
            raise NoLiquidity(network.title) from None
        except CannotPlan as obstacle:
            raise AddressRefused(f"the network would not carry it out ({obstacle.reason})") from None
        except ChainError as error:
            raise Unavailable(f"{network.title} can't be asked for its fee now; try again in a moment") from error

    async def request(self, tx: Tx, draft: Draft | Repeat) -> Payout:
        """Reserve a payout's money and queue it, or return the one that this request repeats.

        Raises:
            PayoutExistsDifferent: the source_id was used with other parameters.
            AddressRefused, AmountRefused, BalanceTooLow, PayoutsStopped: nothing was reserved; the source_id is free.
            Problem: what the preparation of a request failed of that repeats nothing.
        """
        new = draft.new
        earlier = await store.find_by_source(tx, new.merchant.merchant_id, new.kind, new.source_id)
        if earlier is not None:
            return _repeated(earlier, draft.request_hash)
        if isinstance(draft, Repeat):
            raise draft.problem
        asset = new.asset
        await self._check_place(tx, draft)
        available = accounts.available(new.merchant.merchant_id)
        await ledger.lock(tx, [(available, asset.id)])  # before the day's sum is read: no other request comes between
        terms = await store.find_terms(tx, new.merchant.merchant_id, new.kind, asset.id)
        now = self._clock.now()
        today = await store.day_units(tx, new.merchant.merchant_id, asset.id, now - timedelta(days=1))
        units = checks.check_amount(asset, new.amount, terms, today_units=today)
        hold = draft.hold or await self._hold(tx, draft, units, terms)
        payout = self._payout(draft, units, terms, hold, now)
        if not await store.insert(tx, payout, asset.network):
            stored = await store.find_by_source(tx, new.merchant.merchant_id, new.kind, new.source_id)
            assert stored is not None, "a source_id that is taken by nobody"
            return _repeated(stored, draft.request_hash)
        await self._reserve(tx, payout, now)
        if payout.state is PayoutState.APPROVED:
            await self._queue(tx, payout, now)
        return payout

    async def _check_place(self, tx: Tx, draft: Draft) -> None:
        new, asset = draft.new, draft.new.asset
        stopped = await store.stops(tx, new.merchant.merchant_id, asset.network, asset.id)
        if stopped:
            raise PayoutsStopped(stopped[0])
        family = self._registry.networks[asset.network].family
        ours = await store.is_ours(tx, family.value, draft.target, new.tag)
        contracts = [one.contract for one in self._registry.assets_of(asset.network) if one.contract]
        checks.check_target(family, draft.target, ours=ours, contracts=contracts)

    async def _hold(self, tx: Tx, draft: Draft, units: int, terms: Terms) -> str:
        if terms.review_above_units is not None and units > terms.review_above_units:
            return "larger than what goes out without a review"
        new = draft.new
        earlier = await store.earlier_targets(tx, new.merchant.merchant_id, new.asset.network, EARLIER_TARGETS)
        twin = checks.look_alike(draft.target, earlier)
        return f"looks like {twin}, which was paid before, and is another address" if twin else ""

    def _payout(self, draft: Draft, units: int, terms: Terms, hold: str, now: datetime) -> Payout:
        new = draft.new
        return Payout(
            payout_id=PayoutId(new_uuid7()),
            merchant_id=new.merchant.merchant_id,
            kind=new.kind,
            source_id=new.source_id,
            state=PayoutState.IN_REVIEW if hold else PayoutState.APPROVED,
            asset=new.asset.id,
            target=draft.target,
            tag=new.tag,
            units=units,
            charge=Charge(checks.fee_units(units, terms), draft.network_fee_units, draft.quote.units_max),
            fiat_amount=new.fiat_amount or Decimal(0),
            symbol=new.symbol,
            exchange_rate=new.exchange_rate or Decimal(0),
            callback_url=new.callback_url or new.merchant.callback_url,
            reason=hold,
            txid="",
            request_hash=draft.request_hash,
            created_at=now,
        )

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

    async def _queue(self, tx: Tx, payout: Payout, now: datetime) -> None:
        network = self._registry.networks[self._registry.assets[payout.asset].network]
        wallet = self._hot_wallet(network)
        queued = Sending(
            sending_id=SendingId(new_uuid7()),
            owner=_OWNERS[payout.kind],
            owner_id=payout.payout_id,
            merchant_id=payout.merchant_id,
            network=network.id,
            purpose=Purpose.PAYOUT,
            payer=wallet,
            payment=Payment(wallet, payout.asset, payout.target, payout.tag, payout.units),
            fee_max_units=payout.charge.native_max_units,
            state=SendingState.QUEUED,
            transaction_id=None,
            reason="",
            queued_at=now,
            not_before=now,
        )
        await sending.queue(tx, [queued], now)

    async def approve(self, tx: Tx, payout_id: PayoutId, *, by: str) -> Payout:
        """Let a payout go that waited for a person.

        Raises:
            PayoutNotFound: there is none.
            PayoutTooLate: it does not wait for one.
        """
        payout = await self._locked(tx, payout_id)
        payout = await self._decide(tx, payout, PayoutEvent.APPROVED, reason="", cause=by)
        await self._queue(tx, payout, self._clock.now())
        return payout

    async def reject(self, tx: Tx, payout_id: PayoutId, *, reason: str, by: str) -> Payout:
        """Refuse a payout that waited for a person; everything goes back.

        Raises:
            PayoutNotFound, PayoutTooLate: see `approve`.
        """
        payout = await self._locked(tx, payout_id)
        payout = await self._decide(tx, payout, PayoutEvent.REJECTED, reason=reason, cause=by)
        await give_back(tx, self._registry, [payout], self._clock.now())
        return payout

    async def cancel(self, tx: Tx, merchant_id: MerchantId, kind: PayoutKind, source_id: str) -> Payout:
        """Call a payout back that nothing was signed for; everything goes back.

        Raises:
            PayoutNotFound: the merchant has none of this id.
            PayoutTooLate: it is signed, being signed, being approved, or has ended.
        """
        found = await store.find_by_source(tx, merchant_id, kind, source_id)
        if found is None:
            raise PayoutNotFound
        now = self._clock.now()
        if found.state is PayoutState.APPROVED:  # its payment is locked first, as the lane's worker does
            try:
                await sending.cancel(tx, _OWNERS[kind], found.payout_id, now)
            except TooLate:
                raise PayoutTooLate(PayoutState.SIGNED) from None
        payout = await self._locked(tx, found.payout_id)
        if payout.state is not found.state:  # approved meanwhile: its payment is queued and was not called back
            raise PayoutTooLate(payout.state)
        payout = await self._decide(
            tx, payout, PayoutEvent.CANCELLED, reason="cancelled by the merchant", cause="request"
        )
        await give_back(tx, self._registry, [payout], now)
        return payout

    async def _locked(self, tx: Tx, payout_id: PayoutId) -> Payout:
        payout = (await store.lock(tx, [payout_id])).get(payout_id)
        if payout is None:
            raise PayoutNotFound
        return payout

    async def _decide(self, tx: Tx, payout: Payout, event: PayoutEvent, *, reason: str, cause: str) -> Payout:
        if not PAYOUT.allows(payout.state, event):
            raise PayoutTooLate(payout.state)
        after = PAYOUT.next(payout.state, event)
        now = self._clock.now()
        await store.save(tx, [PayoutChange(payout, event, after, reason=reason, cause=cause)], now)
        return replace(payout, state=after, reason=reason)


async def give_back(tx: Tx, registry: Registry, payouts: Sequence[Payout], now: datetime) -> None:
    """Return what was reserved for payouts that came to nothing, and say so to their merchants."""
    postings = [
        chart.payout_released(
            payout.payout_id,
            merchant_id=payout.merchant_id,
            asset=payout.asset,
            units=payout.reserved_units,
            happened_at=now,
        )
        for payout in payouts
    ]
    await ledger.post_all(tx, postings)
    await events.announce(tx, registry, payouts, now)


def _repeated(stored: Payout, request_hash: bytes) -> Payout:
    if stored.request_hash != request_hash:
        raise PayoutExistsDifferent(stored.source_id)
    return stored


def _digest(new: NewPayout) -> bytes:
    fields = (
        new.kind,
        new.source_id,
        new.asset.id,
        new.target,
        new.tag,
        str(new.amount.normalize()),
        str(new.fiat_amount.normalize()) if new.fiat_amount is not None else "",
        new.symbol,
        str(new.exchange_rate.normalize()) if new.exchange_rate is not None else "",
        new.callback_url,
    )
    return hashlib.sha256(msgspec.json.encode(fields)).digest()
