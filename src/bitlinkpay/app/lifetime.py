"""How long a process runs."""

import signal
from asyncio import Event, get_running_loop


async def until_told() -> None:
    """Return at the first SIGTERM or SIGINT."""
    told = Event()
    loop = get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    await told.wait()
