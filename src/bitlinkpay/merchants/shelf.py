"""What a process remembers of its merchants for a few seconds: bounded, forgotten at a notification."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from bitlinkpay.core.ids import MerchantId

LIFE_S: Final = 5
ABSENT_LIFE_S: Final = 2
MOST_KNOWN: Final = 20_000
MOST_ABSENT: Final = 2_000

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class _Entry(Generic[V]):
    value: V | None
    until_s: float


class Shelf(Generic[K, V]):
    """One bounded table of answers. Absences live shorter and have a bound of their own, so that strangers who try
    keys push no merchant out.
    """

    def __init__(
        self,
        load: Callable[[K], Awaitable[V | None]],
        owner: Callable[[V], MerchantId],
        monotonic_s: Callable[[], float],
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
        return entry.value is not None and self._owner(entry.value) == merchant_id

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
