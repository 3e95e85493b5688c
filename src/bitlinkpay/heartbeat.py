"""Signs of life from the event loop that does a process's work: when that hangs, they end."""

import asyncio
from contextlib import suppress

from bitlinkpay.notifier import Notifier


async def beat_until(notifier: Notifier, told: asyncio.Event) -> None:
    """Return when `told` is set; until then say from this very event loop, and no thread, that it runs."""
    while not told.is_set():
        notifier.beat()
        with suppress(TimeoutError):
            async with asyncio.timeout(notifier.every_s):
                await told.wait()
