"""Every SQL statement about deliveries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from bitlinkpay.core.ids import DeliveryId, MerchantId
from bitlinkpay.db.driver import Row
from bitlinkpay.db.pool import Tx
from bitlinkpay.db.where import Where
from bitlinkpay.webhooks.model import Attempt, Claimed, Delivery, DeliveryState, NewDelivery, Outcome, Result
from bitlinkpay.webhooks.urls import endpoint_of

CHANNEL: Final = "deliveries"
BODY_KEPT_MAX: Final = 4_096
_HEADERS_KEPT_MAX: Final = 32
_HEADER_KEPT_MAX: Final = 500
_PAST_THE_LAST: Final = 2**63 - 1


async def insert(tx: Tx, deliveries: Sequence[NewDelivery]) -> None:
    """Write deliveries and wake the relays at commit; one that exists already stays as it is.

    One for an order whose receiver answered 410 at the same URL is written as ended.
    """
    await tx.execute(
        """
        with given as (
            select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bytea[],
                                 $8::timestamptz[])
            with ordinality
            as given (delivery_id, merchant_id, subject_id, kind, url, endpoint, body, created_at, place)
        ), written as (
            insert into deliveries (delivery_id, merchant_id, subject_id, kind, url, endpoint, body, created_at,
                                    next_at, state)
            select delivery_id, merchant_id, subject_id, kind, url, endpoint, body, created_at, created_at,
                   case when exists (select from deliveries gone
                                     where gone.merchant_id = given.merchant_id and gone.subject_id = given.subject_id
                                       and gone.url = given.url and gone.state = 'ended')
                        then 'ended' else 'pending' end
            from given order by place
            on conflict (delivery_id) do nothing
            returning delivery_id, state, created_at
        ), noted as (
            insert into delivery_events (delivery_id, event, from_state, to_state, cause, at)
            select delivery_id, 'gone', 'pending', 'ended', 'the receiver answered 410 for this order', created_at
            from written where state = 'ended'
        )
        select pg_notify($9, '')
        """,
        [delivery.delivery_id for delivery in deliveries],
        [delivery.merchant_id for delivery in deliveries],
        [delivery.subject_id for delivery in deliveries],
        [delivery.kind for delivery in deliveries],
        [delivery.url for delivery in deliveries],
        [endpoint_of(delivery.url) for delivery in deliveries],
        [delivery.body for delivery in deliveries],
        [delivery.created_at for delivery in deliveries],
        CHANNEL,
    )


async def claim(
    tx: Tx, *, now: datetime, limit: int, rooms: Mapping[str, int], room_else: int, lease: timedelta
) -> list[Claimed]:
    """Lease due deliveries, of each endpoint as many as it has room for, longest waiting endpoint first.

    A lease is on the database's clock, `now` is business time. Rows that another relay has locked are passed over.
    """
    rows = await tx.fetch(
        """
        with recursive heads as (
            (select endpoint, next_at from deliveries where state = 'pending' order by endpoint, next_at limit 1)
            union all
            select head.endpoint, head.next_at
            from heads cross join lateral (
                select endpoint, next_at from deliveries
                where state = 'pending' and endpoint > heads.endpoint
                order by endpoint, next_at limit 1
            ) head
        ), due as (
            select picked.delivery_id
            from heads
            left join unnest($3::text[], $4::integer[]) as known (endpoint, room) on known.endpoint = heads.endpoint
            cross join lateral (
                select delivery_id from deliveries
                where state = 'pending' and endpoint = heads.endpoint and next_at <= $1
                  and (lease_until is null or lease_until < now())
                order by next_at
                limit coalesce(known.room, $5)
                for update skip locked
            ) picked
            where heads.next_at <= $1 and coalesce(known.room, $5) > 0
            order by heads.next_at
            limit $2
        )
        update deliveries set attempts = attempts + 1, lease_until = clock_timestamp() + $6
        from due where deliveries.delivery_id = due.delivery_id
        returning deliveries.delivery_id, merchant_id, subject_id, kind, url, endpoint, body, attempts, step, next_at,
                  sequence
        """,
        now,
        limit,
        list(rooms),
        list(rooms.values()),
        room_else,
        lease,
    )
    return [_claimed(row) for row in sorted(rows, key=lambda row: (row["next_at"], row["sequence"]))]


def _claimed(row: Row) -> Claimed:
    return Claimed(
        delivery_id=DeliveryId(row["delivery_id"]),
        merchant_id=MerchantId(row["merchant_id"]),
        subject_id=row["subject_id"],
        kind=row["kind"],
        url=row["url"],
        endpoint=row["endpoint"],
        body=row["body"],
        attempt=row["attempts"],
        step=row["step"],
    )


async def record(tx: Tx, results: Sequence[Result]) -> list[UUID]:
    """Write attempts and what they make of their deliveries; returns the deliveries that are parked now.

    A result of a lease that ran out changes nothing, unless it proves that the merchant has the callback.
    """
    ordered = sorted(results, key=lambda result: result.claimed.delivery_id)
    rows = await tx.fetch(
        """
        with given as (
            select * from unnest($1::uuid[], $2::uuid[], $3::integer[], $4::timestamptz[], $5::timestamptz[],
                                 $6::text[], $7::jsonb[], $8::integer[], $9::jsonb[], $10::text[], $11::text[],
                                 $12::text[], $13::text[], $14::integer[], $15::timestamptz[])
            as given (merchant_id, delivery_id, attempt, started_at, finished_at, url, request_headers, response_status,
                      response_headers, response_body, error, outcome, state, step, next_at)
        ), logged as (
            insert into delivery_attempts
            select merchant_id, delivery_id, attempt, started_at, finished_at, url, request_headers, response_status,
                   response_headers, response_body, error, outcome
            from given
            on conflict do nothing
        )
        update deliveries set state = given.state, step = given.step, next_at = given.next_at, lease_until = null,
               delivered_at = case when given.state = 'delivered' then given.next_at else delivered_at end
        from given
        where deliveries.delivery_id = given.delivery_id
          and (deliveries.state = 'pending' and deliveries.attempts = given.attempt
               or given.state = 'delivered' and deliveries.state <> 'delivered')
        returning deliveries.delivery_id, deliveries.state
        """,
        [result.claimed.merchant_id for result in ordered],
        [result.claimed.delivery_id for result in ordered],
        [result.claimed.attempt for result in ordered],
        [result.started_at for result in ordered],
        [result.finished_at for result in ordered],
        [result.claimed.url for result in ordered],
        [dict(result.request_headers) for result in ordered],
        [result.answer.status for result in ordered],
        [_kept_headers(result.answer.headers) for result in ordered],
        [_kept_text(result.answer.body) for result in ordered],
        [_clean(result.judgement.reason) for result in ordered],
        [result.judgement.outcome.value for result in ordered],
        [result.state.value for result in ordered],
        [result.step for result in ordered],
        [result.next_at for result in ordered],
    )
    return [row["delivery_id"] for row in rows if row["state"] == DeliveryState.PARKED]


def _kept_text(body: bytes) -> str:
    return _clean(body[:BODY_KEPT_MAX].decode(errors="replace"))


def _kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    kept = list(headers.items())[:_HEADERS_KEPT_MAX]
    return {_clean(name)[:_HEADER_KEPT_MAX]: _clean(value)[:_HEADER_KEPT_MAX] for name, value in kept}


def _clean(text: str) -> str:
    """Replace what PostgreSQL text cannot hold: NUL, and the lone surrogates of undecodable header bytes."""
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")


async def end_siblings(tx: Tx, ended: Sequence[Claimed], now: datetime) -> None:
    """End what else waits for the same orders at the same URLs, after a 410."""
    await tx.execute(
        """
        with gone as (
            select * from unnest($1::uuid[], $2::uuid[], $3::text[]) as gone (merchant_id, subject_id, url)
        ), moved as (
            update deliveries set state = 'ended', lease_until = null
            from gone
            where deliveries.merchant_id = gone.merchant_id and deliveries.subject_id = gone.subject_id
              and deliveries.url = gone.url and deliveries.state = 'pending'
            returning delivery_id
        )
        insert into delivery_events (delivery_id, event, from_state, to_state, cause, at)
        select delivery_id, 'gone', 'pending', 'ended', 'the receiver answered 410 for this order', $4 from moved
        """,
        [claimed.merchant_id for claimed in ended],
        [claimed.subject_id for claimed in ended],
        [claimed.url for claimed in ended],
        now,
    )


async def restart(tx: Tx, delivery_id: DeliveryId, *, now: datetime, cause: str) -> bool:
    """Make a delivery due now with its whole schedule before it; False if there is none of this id.

    One that is being sent keeps its lease, so that it is not sent twice at once.
    """
    found: bool = await tx.fetchval(
        """
        with before as (
            select delivery_id, state from deliveries where delivery_id = $1 for update
        ), moved as (
            update deliveries set state = 'pending', step = 0, next_at = $2,
                   lease_until = case when before.state = 'pending' then lease_until end
            from before where deliveries.delivery_id = before.delivery_id
        ), noted as (
            insert into delivery_events (delivery_id, event, from_state, to_state, cause, at)
            select delivery_id, 'resent', state, 'pending', $3, $2 from before
        )
        select count(*) = 1 from (select pg_notify($4, '') from before) as woken
        """,
        delivery_id,
        now,
        cause,
        CHANNEL,
    )
    return found


async def find(tx: Tx, delivery_id: DeliveryId) -> Delivery | None:
    """Return a delivery, or None."""
    row = await tx.fetchrow("select * from deliveries where delivery_id = $1", delivery_id)
    return _delivery(row) if row is not None else None


async def list_of_subject(tx: Tx, merchant_id: MerchantId, subject_id: UUID) -> list[Delivery]:
    """Return what was owed about one order, in the order it was owed."""
    rows = await tx.fetch(
        "select * from deliveries where merchant_id = $1 and subject_id = $2 order by sequence",
        merchant_id,
        subject_id,
    )
    return [_delivery(row) for row in rows]


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries are listed; None for all."""

    merchant_id: MerchantId | None = None
    subject_id: UUID | None = None
    state: DeliveryState | None = None


async def list_latest(tx: Tx, *, before: int | None, limit: int, which: DeliveryFilter) -> list[Delivery]:
    """Return deliveries, newest first, before a sequence number."""
    where = Where("sequence < {}", before if before is not None else _PAST_THE_LAST)
    where.add("merchant_id = {}", which.merchant_id)
    where.add("subject_id = {}", which.subject_id)
    where.add("state = {}", which.state)
    at_most = where.place(limit)
    rows = await tx.fetch(
        f"select * from deliveries where {where} order by sequence desc limit {at_most}",  # noqa: S608 - constants
        *where.values,
    )
    return [_delivery(row) for row in rows]


def _delivery(row: Row) -> Delivery:
    return Delivery(
        delivery_id=DeliveryId(row["delivery_id"]),
        merchant_id=MerchantId(row["merchant_id"]),
        subject_id=row["subject_id"],
        kind=row["kind"],
        url=row["url"],
        body=row["body"],
        state=DeliveryState(row["state"]),
        attempts=row["attempts"],
        sequence=row["sequence"],
        next_at=row["next_at"],
        created_at=row["created_at"],
        delivered_at=row["delivered_at"],
    )


async def list_attempts(tx: Tx, delivery_ids: Sequence[DeliveryId]) -> list[Attempt]:
    """Return every attempt of these deliveries, oldest first."""
    rows = await tx.fetch(
        """
        select delivery_id, attempt, started_at, finished_at, url, request_headers, response_status, response_headers,
               response_body, error, outcome
        from delivery_attempts where delivery_id = any ($1::uuid[]) order by started_at, attempt
        """,
        list(delivery_ids),
    )
    return [
        Attempt(
            delivery_id=DeliveryId(row["delivery_id"]),
            attempt=row["attempt"],
            started_at=row["started_at"],
            finished_at=row["finished_at"],
            url=row["url"],
            request_headers=row["request_headers"],
            response_status=row["response_status"],
            response_headers=row["response_headers"],
            response_body=row["response_body"],
            error=row["error"],
            outcome=Outcome(row["outcome"]),
        )
        for row in rows
    ]
