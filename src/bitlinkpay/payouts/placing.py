"""From a draft to a payout in its place: checked once more under the transaction, made, and put into its queue."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from bitlinkpay.chains.outgoing import Payment, Purpose, Wallet
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Network
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.ids import DepositId, PayoutId, SendingId, new_uuid7
from bitlinkpay.db.driver import Tx
from bitlinkpay.payouts import checks, store
from bitlinkpay.payouts.drafting import QUOTE_LIFE, Draft, Repeat
from bitlinkpay.payouts.estimating import check_recipient
from bitlinkpay.payouts.model import (
    Charge,
    Payout,
    PayoutExistsDifferent,
    PayoutKind,
    PayoutsStopped,
    PayoutState,
    QuoteExpired,
    Terms,
)
from bitlinkpay.sending import service as sending
from bitlinkpay.sending.model import OwnerKind, Sending, SendingState

EARLIER_TARGETS: Final = 200
"""How many addresses that were paid before a new one is compared with."""

OWNERS: Final[Mapping[PayoutKind, OwnerKind]] = MappingProxyType(
    {
        PayoutKind.PAYOUT: OwnerKind.PAYOUT,
        PayoutKind.SETTLEMENT: OwnerKind.SETTLEMENT,
        PayoutKind.REFUND: OwnerKind.REFUND,
    }
)


class Placing:
    """What requests of every kind have in common."""

    def __init__(self, registry: Registry, hot_wallet: Callable[[Network], Wallet], clock: Clock) -> None:
        self._registry = registry
        self._hot_wallet = hot_wallet
        self._clock = clock

    async def check(self, tx: Tx, draft: Draft | Repeat) -> Draft:
        """Return a draft that may still become a payout.

        Raises:
            Problem: what its preparation failed of.
            QuoteExpired, PayoutsStopped, AddressRefused: see there.
        """
        if isinstance(draft, Repeat):
            raise draft.problem
        if self._clock.now() - draft.quoted_at > QUOTE_LIFE:
            raise QuoteExpired
        new, asset = draft.new, draft.new.asset
        stopped = await store.stops(tx, new.merchant.merchant_id, asset.network, asset.id)
        if stopped:
            raise PayoutsStopped(stopped[0])
        await check_recipient(tx, self._registry, self._registry.networks[asset.network], draft.target, new.tag)
        return draft

    async def suspicion(self, tx: Tx, draft: Draft, units: int, terms: Terms) -> str:
        """Return why a person has to look first at so much going there, "" if nobody has (THREATS, PAY-29)."""
        if terms.review_above_units is not None and units > terms.review_above_units:
            return "larger than what goes out without a review"
        network = self._registry.networks[draft.new.asset.network]
        earlier = await store.earlier_targets(tx, draft.new.merchant.merchant_id, network.id, EARLIER_TARGETS)
        twin = checks.look_alike(network, draft.target, earlier)
        return f"looks like {twin}, which was paid before, and is another address" if twin else ""

    def payout(
        self, draft: Draft, *, units: int, charge: Charge, hold: str, now: datetime, deposit_id: DepositId | None = None
    ) -> Payout:
        """Return what is to be stored; `hold` is why a person has to look first, "" for nobody."""
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
            charge=charge,
            fiat_amount=new.fiat_amount or Decimal(0),
            symbol=new.symbol,
            exchange_rate=new.exchange_rate or Decimal(0),
            callback_url=new.callback_url or new.merchant.callback_url,
            reason=hold,
            txid="",
            request_hash=draft.request_hash,
            created_at=now,
            maker=new.maker,
            deposit_id=deposit_id,
        )

    async def queue(self, tx: Tx, payout: Payout, now: datetime) -> None:
        """Put an approved payout into the queue of the wallet that pays it."""
        network = self._registry.networks[self._registry.assets[payout.asset].network]
        wallet = self._hot_wallet(network)
        queued = Sending(
            sending_id=SendingId(new_uuid7()),
            owner=OWNERS[payout.kind],
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


def repeated(stored: Payout, request_hash: bytes) -> Payout:
    """Return the payout that a request repeats.

    Raises:
        PayoutExistsDifferent: it was another request.
    """
    if stored.request_hash != request_hash:
        raise PayoutExistsDifferent(stored.source_id)
    return stored
