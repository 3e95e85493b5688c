"""Run one step for ever: a failed step is logged and tried again with a growing, jittered pause."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

from bitlinkpay.chains.base import ChainError
from bitlinkpay.core.errors import Unavailable

log = logging.getLogger(__name__)

_LONGEST_PAUSE: Final = timedelta(seconds=30)


async def forever(name: str, step: Callable[[], Awaitable[bool]], *, pause: timedelta, wake: asyncio.Event) -> None:
    """Call `step` until cancelled: at once again while it says that it did something, else after `pause` or a wake.

    Args:
        name: for the log.
        step: one bounded piece of work; True when there may be more to do now.
        pause: how long an idle loop sleeps.
        wake: set by anyone who knows of work; cleared before each step.
    """
    failures = 0
    while True:
        wake.clear()
        try:
            has_more = await step()
            failures = 0
        except asyncio.CancelledError:
            raise
        except (ChainError, Unavailable) as error:  # foreseen: a node or the database is away
            failures += 1
            log.warning("%s: %s (%d in a row)", name, error, failures)
            await asyncio.sleep(_backoff(pause, failures).total_seconds())
            continue
        except Exception:
            failures += 1
            log.exception("%s: step failed (%d in a row)", name, failures)
            await asyncio.sleep(_backoff(pause, failures).total_seconds())
            continue
        if not has_more:
            await _sleep(wake, pause)


async def _sleep(wake: asyncio.Event, pause: timedelta) -> None:
    # `asyncio.timeout` and not `wait_for`: on Python 3.11 that one can swallow a cancellation.
    with suppress(TimeoutError):
        async with asyncio.timeout(pause.total_seconds()):
            await wake.wait()


def _backoff(pause: timedelta, failures: int) -> timedelta:
    longest: timedelta = min(_LONGEST_PAUSE, max(pause, timedelta(milliseconds=100)) * (1 << min(failures, 8)))
    return longest * random.uniform(0.5, 1)  # noqa: S311 - jitter, not a secret
