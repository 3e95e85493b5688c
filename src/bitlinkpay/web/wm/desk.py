"""The six endpoints behind the gate: parse, do, answer. Work and replay seal are one transaction."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Conflict, Invalid, Kind, NotFound, Problem
from bitlinkpay.core.ids import DepositId, MerchantId
from bitlinkpay.core.mode import Mode
from bitlinkpay.db.batch import MicroBatch
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits import store as deposits_store
from bitlinkpay.payins import store
from bitlinkpay.payins.model import NewOrder, NewPreOrder, OrderNotFound, Payin, ReturnLinks
from bitlinkpay.payins.service import Payins, Repeat
from bitlinkpay.payins.store import Draft
from bitlinkpay.web.errors import wm_code, wm_message
from bitlinkpay.web.wm.gate import Admitted
from bitlinkpay.web.wm.links import return_links
from bitlinkpay.web.wm.seals import Replayed, claim
from bitlinkpay.web.wm.shapes import OrderUrl, created, detail, pre_created
from bitlinkpay.web.wm.withdrawals import Withdrawals
from bitlinkpay.webhooks.policy import UrlPolicy
from bitlinkpay.webhooks.urls import check_url
from bitlinkpay.wm.answers import accept, refuse, turn_away
from bitlinkpay.wm.bodies import parse_create_order, parse_create_pre_order, parse_lookup
from bitlinkpay.wm.envelope import Seal
from bitlinkpay.wm.ids import OuterCode, Route

BATCH: Final = 256

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Opening:
    """An order to be stored."""

    seal: Seal | None
    draft: Draft | Repeat


@dataclass(frozen=True, slots=True)
class _Look:
    """An order to be looked up."""

    seal: Seal | None
    key: tuple[MerchantId, str]


@dataclass(frozen=True, slots=True)
class _Found:
    """An order with the transfer that completed it, if any."""

    payin: Payin
    txid: str


class Desk:
    """Does what an admitted request asks for. Creations share transactions, and so do look-ups (STACK.md section 9)."""

    def __init__(
        self,
        database: Database,
        payins: Payins,
        withdrawals: Withdrawals,
        registry: Registry,
        *,
        mode: Mode,
        urls: UrlPolicy,
        order_url: OrderUrl,
        wall: Clock,
    ) -> None:
        """Build the desk.

        Args:
            database: where orders and seals are.
            payins: the orders.
            withdrawals: the payouts.
            registry: networks and assets.
            mode: a sandbox allows http in return links.
            urls: what callback URLs may name.
            order_url: the hosted page of an order.
            wall: the wall clock, which dates the seals.
        """
        self._database = database
        self._payins = payins
        self._withdrawals = withdrawals
        self._registry = registry
        self._mode = mode
        self._urls = urls
        self._order_url = order_url
        self._wall = wall
        self._openings = MicroBatch[_Opening, Payin](self._open, limit=BATCH)
        self._looks = MicroBatch[_Look, _Found](self._look, limit=BATCH)

    async def serve(self, route: Route, admitted: Admitted) -> bytes:
        """Return the whole answer to an admitted request.

        Every `Problem` becomes an answer.
        """
        try:
            return await self._serve(route, admitted)
        except Replayed as replayed:
            return turn_away(OuterCode.REPLAY, replayed.message)
        except Problem as problem:
            if problem.kind is Kind.UNAVAILABLE:
                _log.warning("a request to %s was not answered: %s", route.value, problem)
            return refuse(wm_code(problem), wm_message(problem))

    async def drain(self) -> None:
        """Return once everything that was begun is answered."""
        await self._openings.drain()
        await self._looks.drain()

    async def _serve(self, route: Route, admitted: Admitted) -> bytes:
        match route:
            case Route.CREATE:
                return await self._create(admitted)
            case Route.PRE_CREATE:
                return await self._pre_create(admitted)
            case Route.DETAIL:
                return await self._detail(admitted)
            case Route.CANCEL:
                return await self._cancel(admitted)
            case Route.WITHDRAW:
                return accept(await self._withdrawals.create(admitted))
            case Route.WITHDRAW_DETAIL:
                return accept(await self._withdrawals.detail(admitted))
            case _:
                assert_never(route)

    async def _create(self, admitted: Admitted) -> bytes:
        order = parse_create_order(admitted.plaintext)
        new = NewOrder(
            merchant=admitted.merchant,
            source_id=order.source_id,
            asset=self._asset(order.chain_id, order.coin_id),
            fiat_amount=order.fiat_amount,
            symbol=order.symbol,
            exchange_rate=order.exchange_rate,
            amount=order.amount,
            callback_url=self._callback(order.callback_url),
            lang=order.lang,
        )
        payin = await self._openings.submit(_Opening(admitted.seal, await self._payins.prepare(new)))
        return accept(created(payin, self._registry, self._order_url))

    async def _pre_create(self, admitted: Admitted) -> bytes:
        order = parse_create_pre_order(admitted.plaintext)
        links = ReturnLinks(order.home_url, order.success_url, order.failure_url)
        new = NewPreOrder(
            merchant=admitted.merchant,
            source_id=order.source_id,
            coin=order.coin,
            fiat_amount=order.fiat_amount,
            lang=order.lang,
            links=return_links(links, admitted.merchant, self._mode),
            callback_url=self._callback(order.callback_url),
        )
        payin = await self._openings.submit(_Opening(admitted.seal, await self._payins.prepare_pre(new)))
        return accept(pre_created(payin, self._order_url))

    async def _detail(self, admitted: Admitted) -> bytes:
        source_id = parse_lookup(admitted.plaintext).source_id
        found = await self._looks.submit(_Look(admitted.seal, (admitted.merchant.merchant_id, source_id)))
        return accept(detail(found.payin, found.txid, self._registry, self._order_url))

    async def _cancel(self, admitted: Admitted) -> bytes:
        merchant_id = admitted.merchant.merchant_id
        source_id = parse_lookup(admitted.plaintext).source_id

        async def work(tx: Tx) -> Payin | Problem:
            if not all(await self._claim(tx, [admitted.seal])):
                return Replayed()
            try:
                return await self._payins.cancel(tx, merchant_id, source_id)
            except (NotFound, Conflict) as refused:
                return refused  # the seal stays claimed: a refusal too is answered once

        done = await self._database.unit(work)
        if isinstance(done, Problem):
            raise done
        return accept(None)

    async def _open(self, openings: Sequence[_Opening]) -> Sequence[Payin | Problem]:
        async def work(tx: Tx) -> list[Payin | Problem]:
            is_new = await self._claim(tx, [opening.seal for opening in openings])
            fresh = [opening.draft for opening, is_fresh in zip(openings, is_new, strict=True) if is_fresh]
            opened = iter(await self._payins.open_many(tx, fresh))
            return [next(opened) if is_fresh else Replayed() for is_fresh in is_new]

        async def resolve(tx: Tx) -> list[Payin | Problem]:
            # COMMIT was sent and no answer came. `source_id` finds what was stored and stores what was not.
            await self._claim(tx, [opening.seal for opening in openings])
            return await self._payins.open_many(tx, [opening.draft for opening in openings])

        return await self._database.unit(work, resolve=resolve)

    async def _look(self, looks: Sequence[_Look]) -> Sequence[_Found | Problem]:
        async def work(tx: Tx) -> list[_Found | Problem]:
            is_new = await self._claim(tx, [look.seal for look in looks])
            payins = await store.find_by_sources(tx, [look.key for look in looks])
            paid = [payin.payin_id for payin in payins.values() if payin.deposit_id is not None]
            deposits = await deposits_store.list_of_payins(tx, paid) if paid else []
            txids = {deposit.deposit_id: deposit.txid for deposit in deposits}
            return [
                _found(payins.get(look.key), txids) if is_fresh else Replayed()
                for look, is_fresh in zip(looks, is_new, strict=True)
            ]

        return await self._database.unit(work)

    async def _claim(self, tx: Tx, seals: Sequence[Seal | None]) -> list[bool]:
        return await claim(tx, seals, self._wall.now())

    def _asset(self, chain_id: int, coin_id: int) -> Asset:
        asset = self._registry.asset_by_wm(chain_id, coin_id)
        if asset is None:
            raise Invalid(f"chain_id {chain_id} with coin_id {coin_id} is not offered here", param="coin_id")
        return asset

    def _callback(self, url: str) -> str:
        return check_url(url, self._urls) if url else ""


def _found(payin: Payin | None, txids: Mapping[DepositId, str]) -> _Found | Problem:
    if payin is None:
        return OrderNotFound()
    return _Found(payin, txids[payin.deposit_id] if payin.deposit_id is not None else "")
