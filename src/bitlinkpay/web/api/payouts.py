"""`/v1/payouts`: one, many at once, look, cancel."""

import asyncio
from dataclasses import dataclass, field

from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import NotFound, Problem
from bitlinkpay.core.mode import Mode
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database, savepoint
from bitlinkpay.merchants.api_keys.model import Scope
from bitlinkpay.payouts.batches import AT_ONCE
from bitlinkpay.payouts.drafting import Draft, Repeat
from bitlinkpay.payouts.model import NewPayout, Payout, PayoutKind
from bitlinkpay.payouts.pages import store as pages
from bitlinkpay.payouts.pages.store import PayoutFilter
from bitlinkpay.payouts.service import Payouts
from bitlinkpay.web.api.call import Call
from bitlinkpay.web.api.cursors import page_of, read_id, write_cursor
from bitlinkpay.web.api.deeds import Deed, Deeds
from bitlinkpay.web.api.figures import payout_body
from bitlinkpay.web.api.odd_shapes import ConfirmRefund
from bitlinkpay.web.api.operations import Nothing, Operation, doing, reading
from bitlinkpay.web.api.reading import asset_of, id_of, positive, span_of
from bitlinkpay.web.api.refusals import error_of
from bitlinkpay.web.api.shapes import (
    BatchBody,
    BatchError,
    BatchResult,
    CreatePayout,
    CreatePayoutBatch,
    Page,
    PayoutBody,
    PayoutQuery,
)
from bitlinkpay.web.origins import check_origin
from bitlinkpay.webhooks.policy import UrlPolicy
from bitlinkpay.webhooks.urls import check_url


class NoSuchPayout(NotFound):
    """The merchant has no payout of this id."""

    code = "payout.not_found"

    def __init__(self) -> None:
        super().__init__("you have no payout of this id", param="payout_id")


@dataclass(frozen=True, slots=True)
class PayoutDesk:
    """Payouts as the API makes and shows them. `clock` is business time, `wall` what ids are made by."""

    database: Database
    registry: Registry
    payouts: Payouts
    deeds: Deeds
    mode: Mode
    urls: UrlPolicy
    clock: Clock
    wall: Clock
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE), init=False)

    def operations(self) -> list[Operation]:
        """Return what may be asked about payouts."""
        return [*self._making(), *self._deciding(), *self._looking()]

    def _making(self) -> list[Operation]:
        return [
            doing(
                "createPayout",
                "/v1/payouts",
                "Pay a third party out of the balance",
                scopes={Scope.PAYOUT},
                answer=PayoutBody,
                body=CreatePayout,
                deeds=self.deeds,
                prepare=self.create,
            ),
            doing(
                "createPayoutBatch",
                "/v1/payouts/batch",
                "Make many payouts at once, each with a result of its own",
                scopes={Scope.PAYOUT},
                answer=BatchBody,
                body=CreatePayoutBatch,
                deeds=self.deeds,
                prepare=self.create_batch,
            ),
        ]

    def _deciding(self) -> list[Operation]:
        return [
            doing(
                "cancelPayout",
                "/v1/payouts/{payout_id}/cancel",
                "Call a payout back that is not signed yet",
                scopes={Scope.PAYOUT},
                answer=PayoutBody,
                body=Nothing,
                deeds=self.deeds,
                prepare=self.cancel,
            ),
            doing(
                "confirmRefund",
                "/v1/payouts/{payout_id}/confirm",
                "Confirm the address of a refund that the platform's people asked for",
                scopes={Scope.PAYOUT},
                answer=PayoutBody,
                body=ConfirmRefund,
                deeds=self.deeds,
                prepare=self.confirm,
                status=200,
            ),
        ]

    def _looking(self) -> list[Operation]:
        return [
            reading(
                "listPayouts",
                "/v1/payouts",
                "List payouts, settlements and refunds, the newest first",
                scopes={Scope.PAYOUT},
                answer=Page[PayoutBody],
                query=PayoutQuery,
                do=self.list_page,
            ),
            reading(
                "getPayout",
                "/v1/payouts/{payout_id}",
                "Show a payout",
                scopes={Scope.PAYOUT},
                answer=PayoutBody,
                query=Nothing,
                do=self.get,
            ),
        ]

    async def create(self, call: Call, body: CreatePayout) -> Deed:
        """Check and quote a payout; the deed reserves and queues it, or finds the one that it repeats."""
        self._check_origin(call)
        draft = await self.payouts.prepare(self._new(call, body))

        async def deed(tx: Tx) -> PayoutBody:
            return self._body(await self.payouts.request(tx, draft))

        return deed

    async def create_batch(self, call: Call, body: CreatePayoutBatch) -> Deed:
        """Check and quote many; the deed makes those that can be made, all in one transaction."""
        self._check_origin(call)
        drafts = await asyncio.gather(*(self._prepare(call, one) for one in body.payouts))
        order = sorted(range(len(drafts)), key=lambda at: body.payouts[at].asset)  # accounts are locked by asset

        async def deed(tx: Tx) -> BatchBody:
            made = {at: await self._make(tx, drafts[at]) for at in order}
            results = [self._result(one.source_id, made[at]) for at, one in enumerate(body.payouts)]
            return BatchBody(results=results)

        return deed

    async def list_page(self, call: Call, query: PayoutQuery) -> Page[PayoutBody]:
        """List payouts, or the one of a `source_id`."""
        before = read_id("payouts", query.cursor)
        which = PayoutFilter(
            source_id=query.source_id or None,
            kind=query.kind or (PayoutKind.PAYOUT if query.source_id else None),
            state=query.state,
            asset=query.asset or None,
            span=span_of(query, self.clock.now() - self.wall.now()),
        )
        found = await self.database.unit(
            lambda tx: pages.list_newest(tx, call.merchant_id, before=before, limit=query.limit + 1, which=which)
        )
        return page_of(found, query.limit, self._body, lambda one: write_cursor("payouts", id_=one.payout_id))

    async def get(self, call: Call, _: Nothing) -> PayoutBody:
        """Show a payout."""
        return self._body(await self.database.unit(lambda tx: self._own(tx, call)))

    async def cancel(self, call: Call, _: Nothing) -> Deed:
        """Call a payout back."""

        async def deed(tx: Tx) -> PayoutBody:
            payout = await self._own(tx, call)
            return self._body(await self.payouts.cancel(tx, call.merchant_id, payout.kind, payout.source_id))

        return deed

    async def confirm(self, call: Call, body: ConfirmRefund) -> Deed:
        """Take the merchant's own word on where a refund goes."""
        self._check_origin(call)

        async def deed(tx: Tx) -> PayoutBody:
            payout_id = (await self._own(tx, call)).payout_id
            return self._body(await self.payouts.confirm_own(tx, call.merchant, payout_id, body.address))

        return deed

    def _check_origin(self, call: Call) -> None:
        check_origin(call.merchant, call.caller.peer, self.mode, key_networks=call.caller.key.networks)

    def _new(self, call: Call, body: CreatePayout) -> NewPayout:
        return NewPayout(
            merchant=call.merchant,
            kind=PayoutKind.PAYOUT,
            source_id=body.source_id,
            asset=asset_of(self.registry, body.asset),
            target=body.address,
            tag=body.tag,
            amount=positive(body.amount, "amount"),
            callback_url=check_url(body.callback_url, self.urls) if body.callback_url else "",
        )

    async def _prepare(self, call: Call, body: CreatePayout) -> Draft | Repeat | Problem:
        try:
            new = self._new(call, body)
        except Problem as problem:
            return problem
        async with self._room:
            return await self.payouts.prepare(new)

    async def _make(self, tx: Tx, draft: Draft | Repeat | Problem) -> Payout | Problem:
        """Make one payout of a batch; what is refused leaves no trace and the others alone."""
        if isinstance(draft, Problem):
            return draft
        try:
            async with savepoint(tx):
                return await self.payouts.request(tx, draft)
        except Problem as problem:
            return problem

    async def _own(self, tx: Tx, call: Call) -> Payout:
        payout = await pages.find_own(tx, call.merchant_id, id_of("out", call.ids[0], NoSuchPayout()))
        if payout is None:
            raise NoSuchPayout
        return payout

    def _result(self, source_id: str, made: Payout | Problem) -> BatchResult:
        if isinstance(made, Payout):
            return BatchResult(source_id=source_id, payout=self._body(made), error=None)
        told = error_of(made, "")
        error = BatchError(type=told.type, code=told.code, message=told.message, param=told.param)
        return BatchResult(source_id=source_id, payout=None, error=error)

    def _body(self, payout: Payout) -> PayoutBody:
        return payout_body(self.registry, payout)
