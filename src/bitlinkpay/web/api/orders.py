"""`/v1/orders` and `/v1/pre-orders`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from bitlinkpay.chains.address import show_address
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import NotFound, Problem
from bitlinkpay.core.ids import PayinId, show_id
from bitlinkpay.core.mode import Mode
from bitlinkpay.core.money import format_decimal
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits import store as deposits_store
from bitlinkpay.deposits.model import Deposit, DepositState
from bitlinkpay.merchants.api_keys.model import Scope
from bitlinkpay.payins.model import NewOrder, NewPreOrder, Payin, PayinState, ReturnLinks
from bitlinkpay.payins.pages import store as pages
from bitlinkpay.payins.pages.store import OrderFilter
from bitlinkpay.payins.service import Payins, Repeat
from bitlinkpay.payins.store import Draft
from bitlinkpay.web.api.call import Call
from bitlinkpay.web.api.cursors import page_of, read_id, write_cursor
from bitlinkpay.web.api.deeds import Deed, Deeds
from bitlinkpay.web.api.figures import money, money_of
from bitlinkpay.web.api.operations import Nothing, Operation, doing, reading
from bitlinkpay.web.api.reading import asset_of, id_of, optional, positive, span_of
from bitlinkpay.web.api.shapes import CreateOrder, CreatePreOrder, DepositBody, OrderBody, OrderQuery, Page
from bitlinkpay.web.api.shop_shapes import PickAsset, QuoteOrder
from bitlinkpay.web.wm.links import return_links
from bitlinkpay.web.wm.shapes import OrderUrl
from bitlinkpay.webhooks.policy import UrlPolicy
from bitlinkpay.webhooks.urls import check_url

_GONE: Final = frozenset({DepositState.DROPPED, DepositState.REVERSED})


class NoSuchOrder(NotFound):
    """The merchant has no order of this id."""

    code = "order.not_found"

    def __init__(self) -> None:
        super().__init__("you have no order of this id", param="order_id")


@dataclass(frozen=True, slots=True)
class Orders:
    """Orders as the API makes and shows them. `wall` is what ids are made by."""

    database: Database
    registry: Registry
    payins: Payins
    deeds: Deeds
    mode: Mode
    urls: UrlPolicy
    order_url: OrderUrl
    wall: Clock

    def operations(self) -> list[Operation]:
        """Return what may be asked about orders."""
        return [*self._making(), *self._changing(), *self._looking()]

    def _making(self) -> list[Operation]:
        return [
            doing(
                "createOrder",
                "/v1/orders",
                "Create an order for one asset",
                scopes={Scope.PAYIN},
                answer=OrderBody,
                body=CreateOrder,
                deeds=self.deeds,
                prepare=self.create,
            ),
            doing(
                "createPreOrder",
                "/v1/pre-orders",
                "Create an order whose payer picks the network",
                scopes={Scope.PAYIN},
                answer=OrderBody,
                body=CreatePreOrder,
                deeds=self.deeds,
                prepare=self.create_pre,
            ),
        ]

    def _changing(self) -> list[Operation]:
        return [
            doing(
                "cancelOrder",
                "/v1/orders/{order_id}/cancel",
                "Cancel an order on which nothing was received",
                scopes={Scope.PAYIN},
                answer=OrderBody,
                body=Nothing,
                deeds=self.deeds,
                prepare=self.cancel,
            ),
            doing(
                "pickAsset",
                "/v1/orders/{order_id}/pick",
                "Fix the asset of a pre-order as its payer chose it, on a page of your own",
                scopes={Scope.PAYIN},
                answer=OrderBody,
                body=PickAsset,
                deeds=self.deeds,
                prepare=self.pick,
                status=200,
            ),
        ]

    def _looking(self) -> list[Operation]:
        return [
            reading(
                "listOrders",
                "/v1/orders",
                "List orders, the newest first",
                scopes={Scope.PAYIN},
                answer=Page[OrderBody],
                query=OrderQuery,
                do=self.list_page,
            ),
            reading(
                "getOrder",
                "/v1/orders/{order_id}",
                "Show an order",
                scopes={Scope.PAYIN},
                answer=OrderBody,
                query=Nothing,
                do=self.get,
            ),
        ]

    async def create(self, call: Call, body: CreateOrder) -> Deed:
        """Price an order; the deed stores it, or finds the one that it repeats."""
        new = replace(
            asked_of(self.registry, call, body),
            source_id=body.source_id,
            callback_url=check_url(body.callback_url, self.urls) if body.callback_url else "",
            lang=body.lang,
        )
        return self._opening(await self.payins.prepare(new))

    async def create_pre(self, call: Call, body: CreatePreOrder) -> Deed:
        """Prepare an order whose payer picks the network."""
        links = ReturnLinks(body.home_url, body.success_url, body.failure_url)
        new = NewPreOrder(
            merchant=call.merchant,
            source_id=body.source_id,
            coin=body.coin,
            fiat_amount=positive(body.fiat_amount, "fiat_amount"),
            lang=body.lang,
            links=return_links(links, call.merchant, self.mode),
            callback_url=check_url(body.callback_url, self.urls) if body.callback_url else "",
        )
        return self._opening(await self.payins.prepare_pre(new))

    async def list_page(self, call: Call, query: OrderQuery) -> Page[OrderBody]:
        """List orders, or the one of a `source_id`."""
        before = read_id("orders", query.cursor)
        which = OrderFilter(
            source_id=query.source_id or None,
            state=query.state,
            asset=query.asset or None,
            span=span_of(query, self.payins.now() - self.wall.now()),
        )

        async def read(tx: Tx) -> tuple[list[Payin], dict[PayinId, OrderBody]]:
            last = PayinId(before) if before else None
            found = await pages.list_newest(tx, call.merchant_id, before=last, limit=query.limit + 1, which=which)
            return found, await self._show(tx, found)

        payins, shown = await self.database.unit(read)
        return page_of(
            payins,
            query.limit,
            lambda payin: shown[payin.payin_id],
            lambda payin: write_cursor("orders", id_=payin.payin_id),
        )

    async def get(self, call: Call, _: Nothing) -> OrderBody:
        """Show an order."""

        async def read(tx: Tx) -> OrderBody:
            return await self._show_one(tx, await self._own(tx, call))

        return await self.database.unit(read)

    async def cancel(self, call: Call, _: Nothing) -> Deed:
        """Cancel an order."""

        async def deed(tx: Tx) -> OrderBody:
            payin = await self._own(tx, call)
            return await self._show_one(tx, await self.payins.cancel(tx, call.merchant_id, payin.source_id))

        return deed

    async def pick(self, call: Call, body: PickAsset) -> Deed:
        """Price a pre-order in the asset that its payer chose; the deed fixes it."""
        payin = await self.database.unit(lambda tx: self._own(tx, call))
        picked = await self.payins.prepare_pick(payin, call.merchant, body.asset)

        async def deed(tx: Tx) -> OrderBody:
            return await self._show_one(tx, await self.payins.pick(tx, picked))

        return deed

    def _opening(self, draft: Draft | Repeat) -> Deed:
        async def deed(tx: Tx) -> OrderBody:
            (opened,) = await self.payins.open_many(tx, [draft])
            if isinstance(opened, Problem):
                raise opened
            return await self._show_one(tx, opened)

        return deed

    async def _own(self, tx: Tx, call: Call) -> Payin:
        payin_id = PayinId(id_of("pay", call.ids[0], NoSuchOrder()))
        payin = await pages.find_own(tx, call.merchant_id, payin_id)
        if payin is None:
            raise NoSuchOrder
        return payin

    async def _show_one(self, tx: Tx, payin: Payin) -> OrderBody:
        return (await self._show(tx, [payin]))[payin.payin_id]

    async def _show(self, tx: Tx, payins: Sequence[Payin]) -> dict[PayinId, OrderBody]:
        came: dict[PayinId, list[Deposit]] = {payin.payin_id: [] for payin in payins}
        for deposit in await deposits_store.list_of_payins(tx, list(came)):
            if deposit.payin_id is not None and deposit.state not in _GONE:
                came[deposit.payin_id].append(deposit)
        return {payin.payin_id: self._body(payin, came[payin.payin_id]) for payin in payins}

    def _body(self, payin: Payin, deposits: Sequence[Deposit]) -> OrderBody:
        asset = self.registry.assets[payin.asset] if payin.asset else None
        network = self.registry.networks[asset.network] if asset else None
        is_paid = payin.state is PayinState.PAID
        return OrderBody(
            id=show_id("pay", payin.payin_id),
            source_id=payin.source_id,
            state=payin.state,
            labels=sorted(payin.labels),
            coin=payin.coin,
            asset=payin.asset,
            amount=money(payin.units, asset) if asset else None,
            accepted=money(payin.accepted_units, asset) if asset and is_paid else None,
            fee=money(payin.fee_units, asset) if asset and is_paid else None,
            fiat_amount=format_decimal(payin.fiat_amount),
            symbol=payin.symbol,
            exchange_rate=format_decimal(payin.exchange_rate),
            address=show_address(network, payin.address) if network else "",
            tag=payin.tag,
            txid=next((d.txid for d in deposits if d.deposit_id == payin.deposit_id), ""),
            url=self.order_url(payin.payin_id),
            callback_url=payin.callback_url,
            deposits=[self._deposit(deposit) for deposit in deposits],
            created_at=payin.created_at,
            expires_at=payin.expires_at,
            paid_at=payin.paid_at,
        )

    def _deposit(self, deposit: Deposit) -> DepositBody:
        return DepositBody(
            id=show_id("dep", deposit.deposit_id),
            amount=money_of(self.registry, deposit.units, deposit.asset),
            txid=deposit.txid,
            state=deposit.state,
            label=deposit.label,
            seen_at=deposit.seen_at,
        )


def asked_of(registry: Registry, call: Call, body: CreateOrder | QuoteOrder) -> NewOrder:
    """Return what is asked to be priced, of an order and of the quote for it alike.

    Raises:
        NotOffered, Invalid: see `asset_of` and `positive`.
    """
    asset = asset_of(registry, body.asset)
    return NewOrder(
        merchant=call.merchant,
        source_id="",
        asset=asset,
        fiat_amount=positive(body.fiat_amount, "fiat_amount"),
        symbol=f"{asset.symbol}/{body.currency or call.merchant.pricing_currency}",
        exchange_rate=optional(body.exchange_rate, "exchange_rate"),
        amount=optional(body.amount, "amount"),
        callback_url="",
        lang="",
    )
