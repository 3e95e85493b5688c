"""Who is asking: merchants by certificate key and by broker id, from memory at most a few seconds old.

Asked at every request, so that a revocation works on open connections too (THREATS, API-05): it arrives by NOTIFY,
and within the entries' life where the notification is lost. When the database can't be asked, nobody is let in on an
entry past its life.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from uuid import UUID

from bitlinkpay.core.clock import Clock, SystemClock
from bitlinkpay.core.ids import MerchantId
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.merchants import store
from bitlinkpay.merchants.certificates import PUBLISHED
from bitlinkpay.merchants.model import Certificate, Identity, Merchant, MerchantState

LIFE_S: Final = 5
ABSENT_LIFE_S: Final = 2
MOST_KNOWN: Final = 20_000
MOST_ABSENT: Final = 2_000

K = TypeVar("K")
V = TypeVar("V")
_SPKI_BYTES = 32
_LONGEST_BROKER = 64


class Directory:
    """Cached look-ups; safe to share between all tasks of a process."""

    def __init__(
        self,
        database: Database,
        *,
        wall: Clock | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
        denied: frozenset[bytes] = PUBLISHED,
    ) -> None:
        self._database = database
        self._wall = wall or SystemClock()
        self._denied = denied
        self._by_spki = _Shelf[bytes, tuple[Merchant, Certificate]](self._load_spki, lambda f: f[0], monotonic_s)
        self._by_broker = _Shelf[str, Merchant](self._load_broker, lambda found: found, monotonic_s)

    async def start(self) -> None:
        """Hear of changes at once; without it they are seen within 5 s."""
        await self._database.listen(store.CHANNEL, self.forget)

    async def find_by_spki(self, spki: bytes) -> Identity | None:
        """Return whose certificate this is, or None: unknown, or a key pair that the SDKs publish (THREATS, API-03).

        Raises:
            Unavailable: the database can't be asked.
        """
        if spki in self._denied or len(spki) != _SPKI_BYTES:
            return None
        found = await self._by_spki.find(spki)
        if found is None:
            return None
        merchant, certificate = found
        is_valid = certificate.is_valid(self._wall.now()) and merchant.state is not MerchantState.REVOKED
        return Identity(merchant, is_revoked=not is_valid)

    async def find_by_broker(self, broker: str) -> Merchant | None:
        """Return the merchant with this broker id, or None. For the sandbox's plain mode: it proves nothing.

        Raises:
            Unavailable: the database can't be asked.
        """
        return await self._by_broker.find(broker) if 0 < len(broker) <= _LONGEST_BROKER else None

    def forget(self, merchant: str = "") -> None:
        """Drop what is known of a merchant (hex id), or everything for "" (notifications may have been lost)."""
        merchant_id = MerchantId(UUID(hex=merchant)) if merchant else None
        self._by_spki.forget(merchant_id)
        self._by_broker.forget(merchant_id)

    async def _load_spki(self, spki: bytes) -> tuple[Merchant, Certificate] | None:
        async def read(tx: Tx) -> tuple[Merchant, Certificate] | None:
            return await store.find_by_spki(tx, spki)

        return await self._database.unit(read)

    async def _load_broker(self, broker: str) -> Merchant | None:
        async def read(tx: Tx) -> Merchant | None:
            return await store.find_by_broker(tx, broker)

        return await self._database.unit(read)


@dataclass(frozen=True, slots=True)
class _Entry(Generic[V]):
    value: V | None
    until_s: float


class _Shelf(Generic[K, V]):
    """One bounded table of answers. Absences live shorter and have a bound of their own, so that strangers who try
    keys push no merchant out.
    """

    def __init__(
        self, load: Callable[[K], Awaitable[V | None]], owner: Callable[[V], Merchant], monotonic_s: Callable[[], float]
    ) -> None:
        self._load = load
        self._owner = owner
        self._monotonic_s = monotonic_s
        self._known: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._absent: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._loading: dict[K, asyncio.Task[V | None]] = {}
        self._generation = 0

    async def find(self, key: K) -> V | None:
        """Return the answer from memory, or ask; tasks that want the same key at once ask together."""
        entry = self._known.get(key) or self._absent.get(key)
        if entry is not None and self._monotonic_s() < entry.until_s:
            return entry.value
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._ask(key))
            task.add_done_callback(lambda done: self._finish(key, done))
        return await asyncio.shield(task)  # who gives up waiting does not stop the others' question

    def forget(self, merchant_id: MerchantId | None) -> None:
        """Drop a merchant's entries and all absences, or everything; an answer under way is not kept."""
        self._generation += 1
        self._loading.clear()
        self._absent.clear()
        if merchant_id is None:
            self._known.clear()
        for key in [key for key, entry in self._known.items() if self._owned_by(entry, merchant_id)]:
            del self._known[key]

    def _owned_by(self, entry: _Entry[V], merchant_id: MerchantId | None) -> bool:
        return entry.value is not None and self._owner(entry.value).merchant_id == merchant_id

    async def _ask(self, key: K) -> V | None:
        generation, asked_s = self._generation, self._monotonic_s()
        value = await self._load(key)
        if generation == self._generation:
            self._keep(key, value, asked_s)
        return value

    def _keep(self, key: K, value: V | None, asked_s: float) -> None:
        self._known.pop(key, None)
        self._absent.pop(key, None)
        table, most, life_s = (
            (self._absent, MOST_ABSENT, ABSENT_LIFE_S) if value is None else (self._known, MOST_KNOWN, LIFE_S)
        )
        table[key] = _Entry(value, asked_s + life_s)
        while len(table) > most:
            table.popitem(last=False)

    def _finish(self, key: K, done: "asyncio.Task[V | None]") -> None:
        if self._loading.get(key) is done:
            del self._loading[key]
        if not done.cancelled():
            done.exception()  # each waiter gets it; without waiters it is of no interest
