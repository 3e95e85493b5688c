"""A small platform behind the hosted page: orders in memory, changed by the test's hand. No database, no chain."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from tests.support.clock import ManualClock

from bitlinkpay.chains.address import show_address
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.core.assets import Asset, Family
from bitlinkpay.core.errors import Conflict, Invalid, NotFound
from bitlinkpay.core.ids import DepositId, MerchantId, PayinId, new_uuid7
from bitlinkpay.core.money import parse_decimal, to_units
from bitlinkpay.deposits.model import DepositState, Unconfirmed
from bitlinkpay.merchants.model import Merchant, MerchantState, Policy
from bitlinkpay.payins.model import Label, PayinState, ReturnLinks
from bitlinkpay.payins.view import DepositView, NetworkOption, PayinView
from bitlinkpay.web.checkout.port import Lookup, LookupKind, Payable

REGISTRY = load_registry()
OPENED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LIFE = timedelta(minutes=30)
ADDRESSES = {
    Family.EVM: "0x52908400098527886E0F7030069857D2E4169EE7",
    Family.TRON: "TJRabPrwbZy45sbavfcjinPJC18kjpRTv8",
    Family.BITCOIN: "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    Family.SOLANA: "7EcDhSYGxXyscszYEp35KHN8vvw3svAuLKTzXwCFLtV",
    Family.TON: "0:83dfd552e63729b472fcbcc8c45ebcc6691702558b68ec7527e1ba403a0f31a8",
}
TXID = "6f1a9cbd0f2f4f1ab0d5f0a7d52a1e7a1c55b3d1d4c1f5e0a9b8c7d6e5f40312"


def merchant(name: str = "Tea & Oolong", *, accent: str = "", policy: Policy | None = None) -> Merchant:
    return Merchant(
        merchant_id=MerchantId(UUID(int=7)),
        broker="b-7",
        name=name,
        state=MerchantState.ACTIVE,
        created_at=OPENED,
        policy=policy or Policy(),
        accent=accent,
    )


def order(asset_id: str = "usdt-tron", *, units: int = 10_000_000, **changes: object) -> PayinView:
    asset = REGISTRY.assets[asset_id]
    network = REGISTRY.networks[asset.network]
    view = PayinView(
        payin_id=PayinId(new_uuid7()),
        source_id="A-20260301-17",
        merchant=merchant(),
        state=PayinState.CREATED,
        labels=frozenset(),
        coin=asset.symbol,
        asset=asset,
        network=network,
        amount_units=units,
        accepted_units=0,
        fee_units=units * 3 // 1000,
        fiat_amount=Decimal(72),
        symbol=f"{asset.symbol}/CNY",
        exchange_rate=Decimal("7.2"),
        address=show_address(network, ADDRESSES[network.family]),
        tag="10293847" if network.family is Family.TON else "",
        created_at=OPENED,
        expires_at=OPENED + LIFE,
        paid_at=None,
        lang="",
        links=ReturnLinks("https://tea.example/", "https://tea.example/thanks", "https://tea.example/again"),
        waiting=(),
        received=(),
        completing_txid="",
        options=(),
        wm_status=0,
        policy=Policy(),
    )
    policy = changes.get("merchant", view.merchant).policy  # an order keeps the policy it was opened with
    return replace(view, **{"policy": policy, **changes})


def sighted(view: PayinView, *, units: int = 0) -> PayinView:
    """The order with a payment that waits for its first block."""
    assert view.asset is not None
    units = units or view.amount_units
    seen = Unconfirmed(view.payin_id, TXID, "vout:0", view.address, view.asset.id, units, OPENED)
    return replace(view, waiting=(seen,))


def pre_order(**changes: object) -> PayinView:
    options = [NetworkOption(a, REGISTRY.networks[a.network]) for a in REGISTRY.by_symbol("USDT")]
    blank = {"asset": None, "network": None, "amount_units": 0, "address": "", "tag": "", "symbol": ""}
    return order(**{"exchange_rate": Decimal(0), "options": tuple(options), **blank, **changes})


def money(
    units: int,
    *,
    asset_id: str = "usdt-tron",
    label: Label | None = None,
    state: DepositState = DepositState.UNASSIGNED,
    confirmations: int = 25,
    final_in: timedelta = timedelta(0),
    after: timedelta = timedelta(minutes=4),
) -> DepositView:
    asset = REGISTRY.assets[asset_id]
    return DepositView(
        deposit_id=DepositId(new_uuid7()),
        asset=asset,
        network=REGISTRY.networks[asset.network],
        units=units,
        txid=TXID,
        state=state,
        label=label or "",
        confirmations=confirmations,
        final_in=final_in,
        seen_at=OPENED + after,
    )


def confirming(view: PayinView, *, minutes: int = 2, confirmations: int = 1) -> PayinView:
    assert view.asset
    coming = money(
        view.amount_units,
        asset_id=view.asset.id,
        state=DepositState.SEEN,
        confirmations=confirmations,
        final_in=timedelta(minutes=minutes),
    )
    return replace(view, state=PayinState.CONFIRMING, received=(*view.received, coming))


def paid(view: PayinView, *, extra: tuple[DepositView, ...] = (), units: int = 0) -> PayinView:
    assert view.asset
    counted = money(units or view.amount_units, asset_id=view.asset.id, state=DepositState.CREDITED)
    return replace(
        view,
        state=PayinState.PAID,
        accepted_units=units or view.amount_units,
        received=(counted, *extra),
        paid_at=OPENED + timedelta(minutes=5),
        completing_txid=TXID,
    )


def odd(view: PayinView, *received: DepositView, state: PayinState = PayinState.CREATED) -> PayinView:
    return replace(view, state=state, received=received, labels=frozenset(Label(deposit.label) for deposit in received))


SHORT = money(8_000_000, label=Label.SHORT)
OVER = money(12_000_000, label=Label.OVER)
LATE = money(10_000_000, label=Label.LATE, after=timedelta(minutes=42))
DOUBLE = money(10_000_000, label=Label.DOUBLE, after=timedelta(minutes=9))
WRONG_NETWORK = money(10_000_000, asset_id="usdt-polygon", label=Label.WRONG_NETWORK)
WRONG_ASSET = money(35_000_000, asset_id="trx-tron", label=Label.WRONG_ASSET)
HELD = money(10_000_000, label=Label.QUARANTINED, state=DepositState.QUARANTINED)
UNTAGGED = money(10_000_000, asset_id="usdt-ton", label=Label.UNTAGGED)
AFTER_CANCEL = money(10_000_000, label=Label.AFTER_CANCEL, after=timedelta(minutes=20))


@dataclass(frozen=True)
class Scene:
    """One look of the page: an order, when it is looked at, and what the page must then say in English and Chinese."""

    make: Callable[[], PayinView]
    english: str
    chinese: str
    at: timedelta = timedelta(minutes=2)


_ENDED = timedelta(minutes=45)
_EXPIRED = PayinState.EXPIRED
SCENES: dict[str, Scene] = {
    "created-tron": Scene(order, "Waiting for your payment", "等待付款"),
    "created-bitcoin": Scene(lambda: order("btc-bitcoin", units=123_450), "Waiting for your payment", "等待付款"),
    "created-ethereum": Scene(lambda: order("usdt-ethereum"), "Waiting for your payment", "等待付款"),
    "created-bnb": Scene(
        lambda: order("bnb-bsc", units=12_345_670_000_000_000), "Waiting for your payment", "等待付款"
    ),
    "created-arbitrum": Scene(lambda: order("eth-arbitrum", units=10**15), "Waiting for your payment", "等待付款"),
    "created-solana": Scene(lambda: order("usdt-solana"), "Waiting for your payment", "等待付款"),
    "created-ton": Scene(lambda: order("usdt-ton"), "Waiting for your payment", "等待付款"),
    "created-gram": Scene(lambda: order("ton-ton", units=2_500_000_000), "Waiting for your payment", "等待付款"),
    "created-large": Scene(
        lambda: order(units=1_234_567_891_234, fiat_amount=Decimal("8888888.88")),
        "Waiting for your payment",
        "等待付款",
    ),
    "pick": Scene(pre_order, "How would you like to pay?", "请选择付款网络"),
    "pick-expired": Scene(pre_order, "This order has expired", "订单已过期", at=_ENDED),
    "confirming": Scene(
        lambda: confirming(order()), "Payment seen, about 2 minutes to go", "已收到付款，约 2 分钟后确认"
    ),
    "confirming-bitcoin": Scene(
        lambda: confirming(order("btc-bitcoin", units=123_450), minutes=20), "Confirmation 1 of 3", "确认数 1 / 3"
    ),
    "sighted": Scene(
        lambda: sighted(order("btc-bitcoin", units=123_450)),
        "Payment seen, waiting for a block",
        "已看到付款，等待区块确认",
    ),
    "sighted-after-time": Scene(
        lambda: sighted(order("btc-bitcoin", units=123_450)),
        "Payment seen, waiting for a block",
        "已看到付款，等待区块确认",
        at=_ENDED,
    ),
    "sighted-other-amount": Scene(
        lambda: sighted(order("btc-bitcoin", units=123_450), units=123_449), "Waiting for your payment", "等待付款"
    ),
    "paid": Scene(lambda: paid(order()), "Paid", "支付成功"),
    "paid-double": Scene(lambda: paid(order(), extra=(DOUBLE,)), "More than one payment arrived", "收到了不止一笔付款"),
    "paid-over": Scene(lambda: paid(order(), units=12_000_000), "More than asked was received", "付款金额超出"),
    "short": Scene(lambda: odd(order(), SHORT), "8.00 of 10.00 USDT received", "已收到 8.00 / 10.00 USDT"),
    "short-summing": Scene(
        lambda: odd(order(merchant=merchant(policy=Policy(is_summing=True))), SHORT),
        "8.00 of 10.00 USDT received",
        "已收到 8.00 / 10.00 USDT",
    ),
    "short-expired": Scene(
        lambda: odd(order(), SHORT, state=_EXPIRED), "8.00 of 10.00 USDT received", "已收到 8.00 / 10.00 USDT", _ENDED
    ),
    "over": Scene(lambda: odd(order(), OVER), "More than asked was received", "付款金额超出"),
    "over-expired": Scene(
        lambda: odd(order(), OVER, state=_EXPIRED), "More than asked was received", "付款金额超出", _ENDED
    ),
    "wrong-network": Scene(
        lambda: odd(order("usdt-ethereum"), WRONG_NETWORK), "Sent on another network: Polygon", "付款网络不符：Polygon"
    ),
    "wrong-network-expired": Scene(
        lambda: odd(order("usdt-ethereum"), WRONG_NETWORK, state=_EXPIRED),
        "Sent on another network: Polygon",
        "付款网络不符：Polygon",
        _ENDED,
    ),
    "wrong-asset": Scene(lambda: odd(order(), WRONG_ASSET), "Sent in another coin: TRX", "付款币种不符：TRX"),
    "held": Scene(lambda: odd(order(), HELD), "Payment under review", "付款审核中"),
    "untagged": Scene(lambda: odd(order("usdt-ton"), UNTAGGED), "Payment under review", "付款审核中"),
    "late": Scene(
        lambda: odd(order(), LATE, state=_EXPIRED), "Your payment arrived late", "付款到达时订单已过期", _ENDED
    ),
    "time-up": Scene(order, "Time is up", "时间已到", timedelta(minutes=30, seconds=1)),
    "expired": Scene(lambda: order(state=_EXPIRED), "This order has expired", "订单已过期", _ENDED),
    "cancelled": Scene(lambda: order(state=PayinState.CANCELLED), "Cancelled by the shop", "订单已取消"),
    "after-cancel": Scene(
        lambda: odd(order(), AFTER_CANCEL, state=PayinState.CANCELLED),
        "A payment arrived after that",
        "取消之后收到了一笔付款",
    ),
}


@dataclass
class Shop:
    """`CheckoutPort` in memory."""

    views: dict[PayinId, PayinView] = field(default_factory=dict)
    lookups: dict[str, Lookup] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    listeners: dict[PayinId, list[asyncio.Queue[None]]] = field(default_factory=dict)

    def add(self, view: PayinView) -> PayinView:
        self.views[view.payin_id] = view
        return view

    def change(self, view: PayinView) -> None:
        """Replace an order and tell its open pages."""
        self.views[view.payin_id] = view
        for queue in self.listeners.get(view.payin_id, ()):
            queue.put_nowait(None)

    async def find_view(self, payin_id: PayinId) -> PayinView:
        if payin_id not in self.views:
            raise NotFound("no such order")
        return self.views[payin_id]

    async def pick_network(self, payin_id: PayinId, asset_id: str) -> None:
        view = self.views[payin_id]
        offered = {option.asset.id: option for option in view.options}
        if view.asset is not None:
            raise Conflict("picked before")
        if asset_id not in offered:
            raise Invalid("not offered", param="asset")
        picked = order(asset_id)
        self.change(replace(picked, payin_id=payin_id, merchant=view.merchant, source_id=view.source_id))

    async def look_up(self, payin_id: PayinId, text: str) -> Lookup:
        self.asked.append(text)
        return self.lookups.get(text, Lookup(LookupKind.NOT_SEEN))

    async def changes(self, payin_id: PayinId) -> AsyncIterator[None]:
        queue: asyncio.Queue[None] = asyncio.Queue()
        self.listeners.setdefault(payin_id, []).append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self.listeners[payin_id].remove(queue)


@dataclass
class Till:
    """`SandboxActions` on the same memory: a payment is seen at once, a mined block makes it final."""

    shop: Shop
    clock: ManualClock

    async def list_payable(self, payin_id: PayinId) -> Sequence[Payable]:
        asset = self._asset(payin_id, "")
        siblings = [a for a in REGISTRY.assets.values() if a.network == asset.network and a != asset]
        return [Payable(a, REGISTRY.networks[a.network]) for a in (asset, *siblings)]

    async def pay(self, payin_id: PayinId, *, asset_id: str, amount: str) -> str:
        view = self.shop.views[payin_id]
        asset = self._asset(payin_id, asset_id)
        units = to_units(parse_decimal(amount), asset.decimals) if amount else view.amount_units
        if asset == view.asset and units == view.amount_units:
            self.shop.change(confirming(view))
        else:
            label = Label.SHORT if asset == view.asset else Label.WRONG_ASSET
            self.shop.change(odd(view, *view.received, money(units, asset_id=asset.id, label=label)))
        return TXID

    async def mine(self, payin_id: PayinId, blocks: int) -> None:
        view = self.shop.views[payin_id]
        if view.state is PayinState.CONFIRMING:
            self.shop.change(paid(view))

    async def advance_clock(self, minutes: int) -> datetime:
        self.clock.advance(timedelta(minutes=minutes))
        return self.clock.now()

    def _asset(self, payin_id: PayinId, asset_id: str) -> Asset:
        asset = REGISTRY.assets.get(asset_id) if asset_id else self.shop.views[payin_id].asset
        if asset is None:
            raise Invalid("unknown asset", param="asset")
        return asset
