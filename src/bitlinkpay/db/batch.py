"""Micro-batches: requests that arrive while a batch is under way travel together in the next one.

There is no timer: an idle system answers at once, a busy one fills its batches.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from bitlinkpay.core.errors import Problem, Unavailable

Q = TypeVar("Q")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, eq=False)
class _Item(Generic[Q, R]):
    query: Q
    answer: "asyncio.Future[R]"


class MicroBatch(Generic[Q, R]):
    """Collects queries and answers each by its own result.

    Each of `in_flight` pumps takes what has queued, at most `limit`, and runs it as one batch.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Q]], Awaitable[Sequence[R | Problem]]],
        *,
        limit: int = 256,
        in_flight: int = 1,
        queue_limit: int = 16_384,
    ) -> None:
        """Prepare a batch.

        Args:
            run: answers queries in their order, one result per query; a `Problem` is that item's refusal alone.
            limit: most queries of one batch.
            in_flight: most batches at once.
            queue_limit: most queries waiting; more are refused at once.
        """
        self._run = run
        self._limit = limit
        self._in_flight = in_flight
        self._queue_limit = queue_limit
        self._queue: deque[_Item[Q, R]] = deque()
        self._pumps: set[asyncio.Task[None]] = set()
        self._running = 0

    async def submit(self, query: Q) -> R:
        """Queue a query and return its result. Cancelling the caller does not stop the batch; the result is dropped.

        Raises:
            Problem: the item was refused, or the batch failed as a whole (then every item gets that error).
            Unavailable: too many queries wait.
        """
        if len(self._queue) >= self._queue_limit:
            raise Unavailable("too many requests wait for the database; try again in a moment")
        item: _Item[Q, R] = _Item(query, asyncio.get_running_loop().create_future())
        self._queue.append(item)
        if self._running < self._in_flight:
            self._running += 1
            pump = asyncio.create_task(self._pump(), name="micro-batch")
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)
        return await item.answer

    async def drain(self) -> None:
        """Return once every query submitted so far is answered."""
        while self._pumps:
            await asyncio.wait(self._pumps)

    async def _pump(self) -> None:
        try:
            while batch := self._take():
                await self._answer(batch)
        except asyncio.CancelledError as error:  # the event loop is closing
            while left := self._take():
                for item in left:
                    _refuse(item, error)
            raise
        finally:
            # No await stands between the last look at the queue and this line: a query that comes later starts a pump.
            self._running -= 1

    def _take(self) -> list[_Item[Q, R]]:
        batch: list[_Item[Q, R]] = []
        while self._queue and len(batch) < self._limit:
            item = self._queue.popleft()
            if not item.answer.cancelled():
                batch.append(item)
        return batch

    async def _answer(self, batch: Sequence[_Item[Q, R]]) -> None:
        try:
            results = await self._run([item.query for item in batch])
            assert len(results) == len(batch), "one result per query"
        except BaseException as error:
            for item in batch:
                _refuse(item, error)
            if not isinstance(error, Exception):
                raise
            return
        for item, result in zip(batch, results, strict=True):
            if isinstance(result, Problem):
                _refuse(item, result)
            elif not item.answer.done():
                item.answer.set_result(result)


def _refuse(item: _Item[Q, R], error: BaseException) -> None:
    if item.answer.done():
        return
    if isinstance(error, Exception):
        item.answer.set_exception(error)
    else:
        item.answer.set_exception(Unavailable("the service is stopping"))
