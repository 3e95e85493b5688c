"""Small duties on a schedule: none of them holds up another."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from bitlinkpay.workers.loop import forever


@dataclass(frozen=True, slots=True)
class Chore:
    """A duty: `step` runs at once again while it says that there is more, else after `every` or a wake."""

    name: str
    every: timedelta
    step: Callable[[], Awaitable[bool]]
    wake: asyncio.Event = field(default_factory=asyncio.Event)


async def run_chores(chores: Sequence[Chore]) -> None:
    """Run all chores side by side until cancelled."""
    async with asyncio.TaskGroup() as group:
        for chore in chores:
            group.create_task(forever(chore.name, chore.step, pause=chore.every, wake=chore.wake), name=chore.name)
