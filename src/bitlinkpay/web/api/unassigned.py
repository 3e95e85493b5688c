"""`/v1/unassigned`: odd money, and what its merchant decides about it: payment, credit, refund.

The money is locked by what decides about it, so that of two decisions one is refused and says what the other was.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bitlinkpay.chains.address import show_address
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Conflict, NotFound
from bitlinkpay.core.ids import DepositId, show_id
from bitlinkpay.core.mode import Mode
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.model import Deposit, DepositState
from bitlinkpay.deposits.pages import store as pages
from bitlinkpay.deposits.pages.store import AsideFilter
from bitlinkpay.merchants.api_keys.model import Scope
from bitlinkpay.payins import settling
from bitlinkpay.payouts import store as payouts_store
from bitlinkpay.payouts.model import Payout
from bitlinkpay.payouts.service import Payouts
from bitlinkpay.web.api.call import Call
from bitlinkpay.web.api.cursors import page_of, read_id, write_cursor
from bitlinkpay.web.api.deeds import Deed, Deeds
from bitlinkpay.web.api.figures import money, payout_body
from bitlinkpay.web.api.odd_shapes import RefundQuoteBody, RefundUnassigned, UnassignedBody, UnassignedQuery
from bitlinkpay.web.api.operations import Nothing, Operation, asking, doing, reading
from bitlinkpay.web.api.reading import id_of, span_of
from bitlinkpay.web.api.shapes import Page, PayoutBody
from bitlinkpay.web.origins import check_origin

_BY = "the merchant"


class NoSuchDeposit(NotFound):
    """The merchant has no deposit of this id."""

    code = "deposit.not_found"

    def __init__(self) -> None:
        super().__init__("you have no deposit of this id", param="deposit_id")


class Decided(Conflict):
    """The money does not wait for a decision of its merchant."""

    code = "deposit.not_unassigned"

    def __init__(self, state: DepositState) -> None:
        super().__init__(f"this money is {state}: only unassigned money waits for your decision", param="deposit_id")


@dataclass(frozen=True, slots=True)
class OddMoney:
    """Odd money as the API shows it and lets its merchant decide about it. `clock` is business time."""

    database: Database
    registry: Registry
    payouts: Payouts
    deeds: Deeds
    mode: Mode
    clock: Clock

    def operations(self) -> list[Operation]:
        """Return what may be asked about odd money."""
        return [*self._looking(), *self._keeping(), *self._returning()]

    def _looking(self) -> list[Operation]:
        return [
            reading(
                "listUnassigned",
                "/v1/unassigned",
                "List the money that completed no order and waits for a decision, the newest first",
                scopes={Scope.PAYIN, Scope.PAYOUT},
                answer=Page[UnassignedBody],
                query=UnassignedQuery,
                do=self.list_page,
            ),
            reading(
                "getUnassigned",
                "/v1/unassigned/{deposit_id}",
                "Show a deposit, whatever became of it, with its refunds",
                scopes={Scope.PAYIN, Scope.PAYOUT},
                answer=UnassignedBody,
                query=Nothing,
                do=self.get,
            ),
        ]

    def _keeping(self) -> list[Operation]:
        return [
            doing(
                "acceptUnassigned",
                "/v1/unassigned/{deposit_id}/accept",
                "Take it as its order's payment: the order is paid, its callback goes out",
                scopes={Scope.PAYIN},
                answer=UnassignedBody,
                body=Nothing,
                deeds=self.deeds,
                prepare=self.accept,
            ),
            doing(
                "creditUnassigned",
                "/v1/unassigned/{deposit_id}/credit",
                "Credit it to the balance less the order fee; the order stays as it is",
                scopes={Scope.PAYIN},
                answer=UnassignedBody,
                body=Nothing,
                deeds=self.deeds,
                prepare=self.credit,
            ),
        ]

    def _returning(self) -> list[Operation]:
        return [
            doing(
                "refundUnassigned",
                "/v1/unassigned/{deposit_id}/refund",
                "Send all of it, less what a payout costs, to an address that you confirm hereby",
                scopes={Scope.PAYOUT},
                answer=PayoutBody,
                body=RefundUnassigned,
                deeds=self.deeds,
                prepare=self.refund,
            ),
            asking(
                "quoteRefund",
                "/v1/unassigned/{deposit_id}/refund/quote",
                "Say what a refund would bring and cost now",
                scopes={Scope.PAYOUT, Scope.READ},
                answer=RefundQuoteBody,
                body=RefundUnassigned,
                do=self.quote,
            ),
        ]

    async def list_page(self, call: Call, query: UnassignedQuery) -> Page[UnassignedBody]:
        """List odd money."""
        before = read_id("unassigned", query.cursor)
        which = AsideFilter(
            state=DepositState(query.state) if query.state else None,
            label=query.label,
            asset=query.asset or None,
            span=span_of(query),
        )
        last = DepositId(before) if before else None
        found = await self.database.unit(
            lambda tx: pages.list_put_aside(tx, call.merchant_id, before=last, limit=query.limit + 1, which=which)
        )
        return page_of(found, query.limit, self._body, lambda one: write_cursor("unassigned", id_=one.deposit_id))

    async def get(self, call: Call, _: Nothing) -> UnassignedBody:
        """Show a deposit."""
        return await self.database.unit(lambda tx: self._show(tx, call))

    async def accept(self, call: Call, _: Nothing) -> Deed:
        """Take odd money as its order's payment."""

        async def decide(tx: Tx, deposit_id: DepositId) -> None:
            await settling.accept(tx, self.registry, deposit_id, self.clock.now(), by=_BY)

        return self._deciding(call, decide)

    async def credit(self, call: Call, _: Nothing) -> Deed:
        """Credit odd money to the balance."""

        async def decide(tx: Tx, deposit_id: DepositId) -> None:
            await settling.credit(tx, deposit_id, fee_ppm=call.merchant.fee_ppm, now=self.clock.now(), by=_BY)

        return self._deciding(call, decide)

    async def refund(self, call: Call, body: RefundUnassigned) -> Deed:
        """Check and quote a refund; the deed reserves and queues it, or finds the one that it repeats."""
        check_origin(call.merchant, call.caller.peer, self.mode, key_networks=call.caller.key.networks)
        deposit = await self.database.unit(lambda tx: _own(tx, call))
        refunds = self.payouts.refunds
        draft = await refunds.prepare(call.merchant, deposit, target=body.address, tag=body.tag)

        async def deed(tx: Tx) -> PayoutBody:
            try:
                return payout_body(self.registry, await refunds.request(tx, draft, deposit.deposit_id))
            except NotFound:
                raise Decided((await _own(tx, call)).state) from None

        return deed

    async def quote(self, call: Call, body: RefundUnassigned) -> RefundQuoteBody:
        """Say what a refund would come to."""
        deposit = await self.database.unit(lambda tx: _own(tx, call))
        if deposit.state is not DepositState.UNASSIGNED:
            raise Decided(deposit.state)
        refunds, asset = self.payouts.refunds, self.registry.assets[deposit.asset]
        draft = await refunds.prepare(call.merchant, deposit, target=body.address, tag=body.tag)
        units, charge = await self.database.unit(lambda tx: refunds.estimate(tx, draft, deposit))
        return RefundQuoteBody(
            amount=money(units, asset),
            fee=money(charge.fee_units, asset),
            network_fee=money(charge.network_fee_units, asset),
            total=money(deposit.units, asset),
        )

    def _deciding(self, call: Call, decide: Callable[[Tx, DepositId], Awaitable[None]]) -> Deed:
        async def deed(tx: Tx) -> UnassignedBody:
            deposit = await _own(tx, call)
            try:
                await decide(tx, deposit.deposit_id)
            except NotFound:  # nothing of this id is unassigned, and it is there
                raise Decided((await _own(tx, call)).state) from None
            return await self._show(tx, call)

        return deed

    async def _show(self, tx: Tx, call: Call) -> UnassignedBody:
        deposit = await _own(tx, call)
        return self._body(deposit, await payouts_store.list_refunds(tx, call.merchant_id, deposit.deposit_id))

    def _body(self, deposit: Deposit, refunds: Sequence[Payout] = ()) -> UnassignedBody:
        asset, network = self.registry.assets[deposit.asset], self.registry.networks[deposit.network]
        return UnassignedBody(
            id=show_id("dep", deposit.deposit_id),
            state=deposit.state,
            label=deposit.label,
            amount=money(deposit.units, asset),
            fee=money(deposit.fee_units, asset) if deposit.state is DepositState.CREDITED else None,
            network=deposit.network,
            txid=deposit.txid,
            sender=show_address(network, deposit.source) if deposit.source else "",
            address=show_address(network, deposit.target),
            tag=deposit.tag,
            order_id=show_id("pay", deposit.payin_id) if deposit.payin_id else "",
            refunds=[payout_body(self.registry, one) for one in refunds],
            seen_at=deposit.seen_at,
        )


async def _own(tx: Tx, call: Call) -> Deposit:
    deposit = await pages.find_own(tx, call.merchant_id, DepositId(id_of("dep", call.ids[0], NoSuchDeposit())))
    if deposit is None:
        raise NoSuchDeposit
    return deposit
