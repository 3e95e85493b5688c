"""What changes something: done once under an idempotency key, and answered the same way for 24 hours.

As Stripe does it: the same key with the same request gets the first answer again, refusals included; with another
request it is refused; while the first still runs it is refused too. The answer is kept in the transaction of the work,
so that there is no moment in which one of them is there and the other is not.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec

from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Conflict, Kind, Problem
from bitlinkpay.db import idempotency
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.idempotency import Key, Stored
from bitlinkpay.db.pool import Database, OutcomeUnknown
from bitlinkpay.web.api.call import Call, Reply
from bitlinkpay.web.api.refusals import Unreadable, error_of, status_of

HEADER: Final = "idempotency-key"
_GRAMMAR: Final = re.compile(r"[!-~]{1,255}", re.ASCII)
_REPLAYED: Final[Mapping[str, str]] = {"idempotent-replayed": "true"}
_KEPT: Final = frozenset({Kind.INVALID, Kind.NOT_FOUND, Kind.CONFLICT})
"""Refusals that are answers: what is limited, forbidden or unavailable may go well the next time."""

Deed = Callable[[Tx], Awaitable[msgspec.Struct]]
"""The work of a request in one transaction. Repeated, it finds by `source_id` what it made; a cancel is refused."""

Prepare = Callable[[], Awaitable[Deed]]
"""What comes before, with no transaction open: prices, addresses, networks."""


class KeyReused(Conflict):
    """The idempotency key came with another request before."""

    code = "idempotency.key_reused"

    def __init__(self) -> None:
        super().__init__(
            "this Idempotency-Key was used with another request in the last 24 hours; take a new key for a new request",
            param=HEADER,
        )


class InProgress(Conflict):
    """The first request with this key still runs."""

    code = "idempotency.in_progress"

    def __init__(self) -> None:
        super().__init__("the first request with this Idempotency-Key still runs; ask again in a moment", param=HEADER)


def key_of(values: Sequence[str]) -> str:
    """Return the idempotency key from every header of that name, "" where there is none.

    Raises:
        Unreadable: sent twice, or not 1 to 255 visible ASCII characters: it would protect from nothing.
    """
    if not values:
        return ""
    if len(values) > 1 or not _GRAMMAR.fullmatch(values[0]):
        raise Unreadable("Idempotency-Key: once, 1 to 255 visible ASCII characters, such as a UUID", param=HEADER)
    return values[0]


class Deeds:
    """Does what requests ask for."""

    def __init__(self, database: Database, wall: Clock) -> None:
        self._database = database
        self._wall = wall

    async def perform(self, call: Call, status: int, prepare: Prepare) -> Reply:
        """Prepare and do, or answer as before.

        Raises:
            KeyReused, InProgress: see there.
            Problem: what the work refuses, where nothing is kept of it.
        """
        if not call.idempotency_key:
            return await self._once(status, await prepare())
        digest = hashlib.sha256(f"{call.method} {call.target}\n".encode() + call.body).digest()
        key = Key(call.merchant_id, call.idempotency_key, digest)
        earlier = await self._database.unit(lambda tx: self._find(tx, key))
        if earlier is not None:
            return earlier
        try:
            return await self._keeping(key, status, await prepare())
        except (KeyReused, InProgress):
            raise
        except Problem as problem:
            if problem.kind not in _KEPT:
                raise
            return await self._keep(key, status_of(problem), error_of(problem, call.request_id))

    async def _once(self, status: int, deed: Deed) -> Reply:
        async def work(tx: Tx) -> Reply:
            return Reply(status, msgspec.json.encode(await deed(tx)))

        async def resolve(tx: Tx) -> Reply:
            try:
                return await work(tx)
            except Problem as refused:  # perhaps only because it is done: a cancel cannot be done twice
                raise OutcomeUnknown(f"the work cannot be found: {refused}") from refused

        return await self._database.unit(work, resolve=resolve)

    async def _keeping(self, key: Key, status: int, deed: Deed) -> Reply:
        async def work(tx: Tx) -> Reply:
            earlier = await self._taken(tx, key)
            if earlier is not None:
                return earlier
            body = msgspec.json.encode(await deed(tx))
            await idempotency.keep(tx, key, status, body, now=self._wall.now())
            return Reply(status, body)

        return await self._database.unit(work, resolve=work)

    async def _keep(self, key: Key, status: int, answer: msgspec.Struct) -> Reply:
        """Keep a refusal; who was faster meanwhile has the word."""
        body = msgspec.json.encode(answer)

        async def work(tx: Tx) -> Reply:
            earlier = await self._taken(tx, key)
            if earlier is None:
                await idempotency.keep(tx, key, status, body, now=self._wall.now())
            return earlier or Reply(status, body)

        return await self._database.unit(work, resolve=work)

    async def _taken(self, tx: Tx, key: Key) -> Reply | None:
        if not await idempotency.take(tx, key):
            raise InProgress
        return await self._find(tx, key)

    async def _find(self, tx: Tx, key: Key) -> Reply | None:
        stored = await idempotency.find(tx, key, now=self._wall.now())
        return None if stored is None else _repeated(stored, key)


def _repeated(stored: Stored, key: Key) -> Reply:
    if stored.request_hash != key.request_hash:
        raise KeyReused
    return Reply(stored.status, stored.body, _REPLAYED)
