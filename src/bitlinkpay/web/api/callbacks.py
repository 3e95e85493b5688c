"""`/v1/callbacks`: what was sent, what was answered, send it again."""

from collections.abc import Sequence
from dataclasses import dataclass

from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import NotFound
from bitlinkpay.core.ids import DeliveryId, show_id
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants.api_keys.model import Scope
from bitlinkpay.web.api.call import Call
from bitlinkpay.web.api.cursors import page_of, read_number, write_cursor
from bitlinkpay.web.api.deeds import Deed, Deeds
from bitlinkpay.web.api.operations import Nothing, Operation, doing, reading
from bitlinkpay.web.api.reading import id_of, some_id
from bitlinkpay.web.api.shapes import AttemptBody, CallbackBody, CallbackQuery, Page
from bitlinkpay.webhooks import service as webhooks
from bitlinkpay.webhooks.model import Attempt, Delivery, DeliveryState, UnknownDelivery


class NoSuchCallback(NotFound):
    """The merchant has no callback of this id."""

    code = "callback.not_found"

    def __init__(self) -> None:
        super().__init__("you have no callback of this id", param="callback_id")


@dataclass(frozen=True, slots=True)
class Callbacks:
    """A merchant's callbacks as the API shows them. `clock` is business time, by which retries are due."""

    database: Database
    deeds: Deeds
    clock: Clock

    def operations(self) -> list[Operation]:
        """Return what may be asked about callbacks."""
        return [
            reading(
                "listCallbacks",
                "/v1/callbacks",
                "List callbacks, the newest first",
                scopes=set(),
                answer=Page[CallbackBody],
                query=CallbackQuery,
                do=self.list_page,
            ),
            reading(
                "getCallback",
                "/v1/callbacks/{callback_id}",
                "Show a callback with every try",
                scopes=set(),
                answer=CallbackBody,
                query=Nothing,
                do=self.get,
            ),
            doing(
                "resendCallback",
                "/v1/callbacks/{callback_id}/resend",
                "Send a callback again: the same id and body, a fresh signature",
                scopes={Scope.PAYIN, Scope.PAYOUT},
                answer=CallbackBody,
                body=Nothing,
                deeds=self.deeds,
                prepare=self.resend,
            ),
        ]

    async def list_page(self, call: Call, query: CallbackQuery) -> Page[CallbackBody]:
        """List callbacks."""
        state = DeliveryState(query.state) if query.state else None
        before = read_number("callbacks", query.cursor)
        found = await self.database.unit(
            lambda tx: webhooks.list_deliveries(
                tx,
                merchant_id=call.merchant_id,
                subject_id=some_id(query.subject_id),
                state=state,
                before=before,
                limit=query.limit + 1,
            )
        )
        return page_of(found, query.limit, _body, lambda one: write_cursor("callbacks", number=one.sequence))

    async def get(self, call: Call, _: Nothing) -> CallbackBody:
        """Show a callback."""
        return _body(*await self.database.unit(lambda tx: _own(tx, call)))

    async def resend(self, call: Call, _: Nothing) -> Deed:
        """Send a callback again."""

        async def deed(tx: Tx) -> CallbackBody:
            delivery, _attempts = await _own(tx, call)
            await webhooks.resend(tx, delivery.delivery_id, now=self.clock.now(), cause="the merchant")
            return _body(*await _own(tx, call))

        return deed


async def _own(tx: Tx, call: Call) -> tuple[Delivery, list[Attempt]]:
    delivery_id = DeliveryId(id_of("evt", call.ids[0], NoSuchCallback()))
    try:
        delivery, attempts = await webhooks.get_delivery(tx, delivery_id)
    except UnknownDelivery:
        raise NoSuchCallback from None
    if delivery.merchant_id != call.merchant_id:
        raise NoSuchCallback
    return delivery, attempts


def _body(delivery: Delivery, attempts: Sequence[Attempt] = ()) -> CallbackBody:
    return CallbackBody(
        id=show_id("evt", delivery.delivery_id),
        kind=delivery.kind,
        subject_id=delivery.subject_id.hex,
        url=delivery.url,
        state=delivery.state,
        body=delivery.body.decode(),
        tries=delivery.attempts,
        attempts=[_attempt(attempt) for attempt in attempts],
        next_at=delivery.next_at,
        created_at=delivery.created_at,
        delivered_at=delivery.delivered_at,
    )


def _attempt(attempt: Attempt) -> AttemptBody:
    return AttemptBody(
        attempt=attempt.attempt,
        at=attempt.started_at,
        outcome=attempt.outcome,
        status=attempt.response_status,
        error=attempt.error,
    )
