"""How long a process runs."""

import gc
import signal
from asyncio import Event, get_running_loop

from bitlinkpay.heartbeat import beat_until
from bitlinkpay.notifier import Notifier


async def until_told(notifier: Notifier) -> None:
    """Return at the first SIGTERM or SIGINT; until then whoever minds is told that this loop runs."""
    told = Event()
    loop = get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    await beat_until(notifier, told)


def settle_memory() -> None:
    """Take what was built at the start out of the collector's sight: it stays as long as the process does.

    Otherwise a full collection walks all of it, 30 to 40 ms in which a process answers nobody.
    """
    gc.collect()
    gc.freeze()
