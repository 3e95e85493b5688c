"""`/v1/events`: what happened, in one order, for who would rather ask than be called."""

from dataclasses import dataclass

import msgspec

from bitlinkpay.core.ids import show_id
from bitlinkpay.db import feed
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.feed import Placed
from bitlinkpay.db.pool import Database
from bitlinkpay.web.api.call import Call
from bitlinkpay.web.api.cursors import read_number, write_cursor
from bitlinkpay.web.api.operations import Operation, reading
from bitlinkpay.web.api.shapes import EventBody, EventQuery, EventsBody


@dataclass(frozen=True, slots=True)
class Events:
    """The feed of a merchant's events."""

    database: Database

    def operations(self) -> list[Operation]:
        """Return what may be asked about events."""
        return [
            reading(
                "listEvents",
                "/v1/events",
                "Read what happened since a cursor, the oldest first",
                scopes=set(),
                answer=EventsBody,
                query=EventQuery,
                do=self.list_page,
            )
        ]

    async def list_page(self, call: Call, query: EventQuery) -> EventsBody:
        """Read on; the newest events get their places first, so that the answer is not behind."""
        after = read_number("events", query.cursor) or 0
        await self.database.unit(feed.place)

        async def read(tx: Tx) -> list[Placed]:
            return list(await feed.read(tx, call.merchant_id, after=after, limit=query.limit))

        found = await self.database.unit(read)
        last = found[-1].place if found else after
        return EventsBody(data=[_body(placed) for placed in found], next_cursor=write_cursor("events", number=last))


def _body(placed: Placed) -> EventBody:
    event = placed.event
    told = event.payload.get("order", event.payload)
    return EventBody(
        id=show_id("evt", event.event_id),
        kind=event.kind,
        subject_id=event.subject_id.hex,
        happened_at=event.happened_at,
        data=msgspec.Raw(msgspec.json.encode(told)),
    )
