"""Orders: price them, give them an address, store them, let the payer pick, cancel, expire."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Conflict, NotFound, Problem
from bitlinkpay.core.ids import MerchantId, PayinId, new_uuid7
from bitlinkpay.core.money import format_decimal
from bitlinkpay.db.driver import Tx
from bitlinkpay.merchants.model import Merchant
from bitlinkpay.payins import store
from bitlinkpay.payins.events import Outcome, announce
from bitlinkpay.payins.model import (
    PAYIN,
    AssetHeld,
    AssetNotOffered,
    NewOrder,
    NewPreOrder,
    OrderExistsDifferent,
    OrderNotCancellable,
    OrderNotFound,
    Payin,
    PayinEvent,
    PayinState,
    Price,
    ReturnLinks,
)
from bitlinkpay.payins.pricing import RateSource, Symbol, parse_symbol, price
from bitlinkpay.payins.store import Draft, PayinChange, Pick
from bitlinkpay.wallets.model import Allotted
from bitlinkpay.wallets.service import Allocator

EXPIRY_BATCH: Final = 500

_NO_PRICE: Final = Price(units=0, symbol="", exchange_rate=Decimal(0), fee_units=0)
_NO_LINKS: Final = ReturnLinks()

Holds = Callable[[], Awaitable[Mapping[str, str]]]
"""Why assets are on hold, by asset id."""


async def nothing_held() -> Mapping[str, str]:
    """Return no holds: for networks that have no contracts to look at."""
    return {}


@dataclass(frozen=True, slots=True)
class Repeat:
    """A request whose preparation failed; it may still repeat an order that exists."""

    merchant_id: MerchantId
    source_id: str
    request_hash: bytes
    problem: Problem


class Payins:
    """The orders of a deployment."""

    def __init__(
        self,
        *,
        registry: Registry,
        allocator: Allocator,
        market: RateSource,
        clock: Clock,
        holds: Holds = nothing_held,
    ) -> None:
        self._registry = registry
        self._allocator = allocator
        self._market = market
        self._clock = clock
        self._holds = holds

    def now(self) -> datetime:
        """Return the business time that orders live by."""
        return self._clock.now()

    async def prepare(self, new: NewOrder) -> Draft | Repeat:
        """Price an order and give it an address; nothing is stored yet, and an address not used is a harmless gap."""
        digest = _hash_order(new)
        try:
            return await self._draft(new, digest)
        except Problem as problem:
            return Repeat(new.merchant.merchant_id, new.source_id, digest, problem)

    async def quote(self, new: NewOrder) -> Price:
        """Say what an order would ask for now; it takes no address, and nothing is stored.

        Raises:
            AssetNotOffered, AssetHeld, AmountOutOfRange, PriceDisagrees: as when it is asked for.
            Problem: no quote.
        """
        asset = await self._open_to(new.merchant, new.asset)
        return await price(
            asset,
            symbol=parse_symbol(new.symbol, asset.symbol),
            fiat_amount=new.fiat_amount,
            exchange_rate=new.exchange_rate,
            amount=new.amount,
            fee_ppm=new.merchant.fee_ppm,
            market=self._market,
        )

    async def _draft(self, new: NewOrder, digest: bytes) -> Draft:
        asset, asked = new.asset, await self.quote(new)
        allotted = await self._allocator.take(self._registry.networks[asset.network])
        payin = self._opened(new, asset.symbol, digest, asset=asset.id, price=asked, allotted=allotted)
        return Draft(payin, asset.network, allotted)

    async def prepare_pre(self, new: NewPreOrder) -> Draft | Repeat:
        """Prepare an order whose payer picks the network."""
        digest = _hash_pre_order(new)
        options = self.options(new.merchant, new.coin)
        if not options:
            problem = AssetNotOffered(f"no network is offered for {new.coin[:20]!r}", param="coin")
            return Repeat(new.merchant.merchant_id, new.source_id, digest, problem)
        coin = options[0].symbol  # whichever case or alias was written: the pick compares tickers
        return Draft(self._opened(new, coin, digest, links=new.links), "", None)

    def _opened(
        self,
        new: NewOrder | NewPreOrder,
        coin: str,
        digest: bytes,
        *,
        asset: str | None = None,
        price: Price = _NO_PRICE,
        allotted: Allotted | None = None,
        links: ReturnLinks = _NO_LINKS,
    ) -> Payin:
        """Return a new order; without asset, price and address it is one whose payer has still to pick."""
        merchant, now = new.merchant, self._clock.now()
        return Payin(
            payin_id=PayinId(new_uuid7()),
            merchant_id=merchant.merchant_id,
            source_id=new.source_id,
            state=PayinState.CREATED,
            labels=frozenset(),
            coin=coin,
            asset=asset,
            units=price.units,
            accepted_units=0,
            fee_ppm=merchant.fee_ppm,
            fee_units=price.fee_units,
            fiat_amount=new.fiat_amount,
            symbol=price.symbol,
            exchange_rate=price.exchange_rate,
            address=allotted.address if allotted else "",
            tag=allotted.tag if allotted else "",
            policy=merchant.policy,
            callback_url=new.callback_url or merchant.callback_url,
            lang=new.lang,
            links=links,
            request_hash=digest,
            created_at=now,
            expires_at=now + merchant.order_life,
        )

    async def list_held(self) -> Mapping[str, str]:
        """Return why assets are on hold, by asset id: no new order may ask for them."""
        return await self._holds()

    def options(self, merchant: Merchant, coin: str) -> tuple[Asset, ...]:
        """Return the assets that a payer of this merchant may pick for a coin."""
        return tuple(asset for asset in self._registry.by_symbol(coin) if asset.payable and merchant.offers(asset.id))

    def _offered(self, merchant: Merchant, asset: Asset) -> Asset:
        if not asset.payable or not merchant.offers(asset.id):
            network = self._registry.networks[asset.network].title
            raise AssetNotOffered(f"{asset.symbol} on {network} is not offered to this merchant", param="coin_id")
        return asset

    async def _open_to(self, merchant: Merchant, asset: Asset) -> Asset:
        self._offered(merchant, asset)
        if asset.id in await self._holds():
            network = self._registry.networks[asset.network].title
            raise AssetHeld(
                f"{asset.symbol} on {network} is on hold for a review; offer another network", param="coin_id"
            )
        return asset

    async def open_many(self, tx: Tx, drafts: Sequence[Draft | Repeat]) -> list[Payin | Problem]:
        """Store orders, set-based; a `source_id` used before answers with the first order or is refused.

        Returns, in order: the stored order, or OrderExistsDifferent, or the problem of a failed preparation.
        """
        repeated = await store.insert(tx, [draft for draft in drafts if isinstance(draft, Draft)])
        asked = [draft for draft in drafts if isinstance(draft, Repeat) or draft.payin.payin_id in repeated]
        if not asked:
            return [draft.payin for draft in drafts if isinstance(draft, Draft)]
        known = await store.find_by_sources(tx, [_source(draft) for draft in asked])
        return [_outcome(draft, repeated, known) for draft in drafts]

    async def prepare_pick(self, payin: Payin, merchant: Merchant, asset_id: str) -> Pick:
        """Price a pre-order for the network that its payer chose, and allot its address.

        Raises:
            AssetNotOffered: not one of the order's options.
            AssetHeld: its contract is under review.
            Problem: no quote, amount out of range.
        """
        asset = self._registry.assets.get(asset_id)
        if asset is None or asset.symbol != payin.coin or not self._registry.is_on(asset):
            raise AssetNotOffered("pick one of the networks that the page offers", param="asset")
        await self._open_to(merchant, asset)
        symbol = Symbol(asset.symbol, merchant.pricing_currency, is_coin_base=True)
        asked = await price(
            asset,
            symbol=symbol,
            fiat_amount=payin.fiat_amount,
            exchange_rate=None,
            amount=None,
            fee_ppm=payin.fee_ppm,
            market=self._market,
        )
        allotted = await self._allocator.take(self._registry.networks[asset.network])
        return Pick(payin.payin_id, asset, asked, allotted, merchant.order_life)

    async def pick(self, tx: Tx, pick: Pick) -> Payin:
        """Fix network, rate, amount, address and a fresh life of a pre-order; a repeat of the same pick is no error.

        Raises:
            Conflict: another network was picked before, or the order has ended.
        """
        payin = (await store.lock(tx, [pick.payin_id]))[pick.payin_id]
        now = self._clock.now()
        if payin.asset == pick.asset.id and payin.state is PayinState.CREATED:
            return payin
        if payin.asset or payin.state is not PayinState.CREATED or payin.expires_at < now:
            raise Conflict("the network of this order cannot be chosen any more", param="asset")
        await store.pick(tx, pick, expires_at=now + pick.life, now=now)
        return (await store.lock(tx, [pick.payin_id]))[pick.payin_id]

    async def cancel(self, tx: Tx, merchant_id: MerchantId, source_id: str) -> Payin:
        """Cancel an order on which nothing was received.

        Raises:
            OrderNotFound, OrderNotCancellable.
        """
        payin = await store.lock_by_source(tx, merchant_id, source_id)
        if payin is None:
            raise OrderNotFound
        if not PAYIN.allows(payin.state, PayinEvent.CANCELLED) or await store.has_deposits(tx, payin.payin_id):
            raise OrderNotCancellable(payin)
        return (await self._end(tx, [payin], PayinEvent.CANCELLED, self._clock.now()))[0]

    async def expire(self, tx: Tx, network: Network | None, read_to: datetime) -> int:
        """Expire open orders of a network whose time ended before the block time that was read to.

        `None` stands for pre-orders without a network, which wait for no chain. Returns how many expired.
        """
        now = self._clock.now()
        payins = await store.lock_expiring(
            tx,
            network.id if network else "",
            read_to=min(now, read_to),
            grace=network.grace if network else now - now,
            limit=EXPIRY_BATCH,
        )
        return len(await self._end(tx, payins, PayinEvent.EXPIRED, now))

    async def _end(self, tx: Tx, payins: Sequence[Payin], event: PayinEvent, now: datetime) -> list[Payin]:
        changes = [PayinChange(payin, event, PAYIN.next(payin.state, event)) for payin in payins]
        await store.save(tx, changes, now)
        ended = [replace(change.payin, state=change.after) for change in changes]
        await announce(tx, self._registry, [Outcome(payin) for payin in ended], now)
        return ended


def _source(draft: Draft | Repeat) -> tuple[MerchantId, str]:
    if isinstance(draft, Repeat):
        return draft.merchant_id, draft.source_id
    return draft.payin.merchant_id, draft.payin.source_id


def _outcome(
    draft: Draft | Repeat, repeated: set[PayinId], known: Mapping[tuple[MerchantId, str], Payin]
) -> Payin | Problem:
    if isinstance(draft, Draft) and draft.payin.payin_id not in repeated:
        return draft.payin
    first = known.get(_source(draft))
    if first is None:
        return draft.problem if isinstance(draft, Repeat) else NotFound("the order was not stored; send it again")
    digest = draft.request_hash if isinstance(draft, Repeat) else draft.payin.request_hash
    return first if first.request_hash == digest else OrderExistsDifferent(first.source_id)


def _hash_order(new: NewOrder) -> bytes:
    return _digest(
        "order",
        new.asset.id,
        format_decimal(new.fiat_amount),
        new.symbol,
        _optional(new.exchange_rate),
        _optional(new.amount),
        new.callback_url,
        new.lang,
    )


def _hash_pre_order(new: NewPreOrder) -> bytes:
    links = new.links
    fiat = format_decimal(new.fiat_amount)
    return _digest("pre-order", new.coin, fiat, new.lang, links.home, links.success, links.failure, new.callback_url)


def _optional(value: Decimal | None) -> str:
    return "" if value is None else format_decimal(value)


def _digest(*fields: str) -> bytes:
    return hashlib.sha256("\x1f".join(fields).encode()).digest()
