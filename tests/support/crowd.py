"""Many lane workers on one wallet whose clocks disagree at every look, so that they take each other's lease all the time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from bitlinkpay.core.clock import Clock
from bitlinkpay.sending.lane import LaneWorker

SKEW_S = 30
"""One and a half lives of a lease: one look in eighteen finds another worker's lease run out."""
STEPS_A_BLOCK = 2
MOST_BLOCKS = 5_000


@dataclass
class WrongClock:
    """A clock that is right on average."""

    clock: Clock
    chance: Random

    def now(self) -> datetime:
        return self.clock.now() + timedelta(seconds=self.chance.uniform(0, SKEW_S))


async def crowd(
    workers: Sequence[LaneWorker[Any]],
    *,
    mine: Callable[[], Awaitable[object]],
    left: Callable[[], Awaitable[int]],
    steps_a_block: int = STEPS_A_BLOCK,
) -> None:
    """Let all workers step at once, and a block be mined every few steps of theirs, until nothing is left."""
    steps = asyncio.Semaphore(0)

    async def work(worker: LaneWorker[Any]) -> None:
        while True:
            await worker.step()
            steps.release()
            await asyncio.sleep(0)

    async def follow() -> None:
        for _ in range(MOST_BLOCKS):
            if not await left():
                return
            await mine()
            for _ in range(steps_a_block * len(workers)):
                await steps.acquire()
        raise AssertionError(f"{await left()} payments are still on their way")

    tasks = [asyncio.create_task(work(worker)) for worker in workers]
    follower = asyncio.create_task(follow())
    try:
        await asyncio.wait([follower, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in [follower, *tasks]:
            if task.done():
                task.result()
    finally:
        for task in [follower, *tasks]:
            task.cancel()
        await asyncio.gather(follower, *tasks, return_exceptions=True)
