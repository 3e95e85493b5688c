"""Live updates as server-sent events (HTML standard, section 9.2): a nudge to look again, never data of an order."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field

from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Kind, Problem
from bitlinkpay.core.ids import PayinId
from bitlinkpay.web.checkout.figures import epoch_ms
from bitlinkpay.web.checkout.port import CheckoutPort

_log = logging.getLogger(__name__)


class TooManyStreams(Problem):
    """This process follows as many pages as it may; the page polls instead."""

    code = "checkout.too_many_streams"
    kind = Kind.UNAVAILABLE

    def __init__(self) -> None:
        super().__init__("too many live pages; ask again by polling")


@dataclass(slots=True)
class Streams:
    """The open streams of this process.

    Attributes:
        limit: how many may be open at once.
        beat_s: how often a stream tells the server's time, so that proxies keep it open and the countdown stays right.
        beats: after how many beats a stream ends; the browser opens a new one by itself.
    """

    port: CheckoutPort
    clock: Clock
    limit: int = 1000
    beat_s: float = 15
    beats: int = 40
    _open: int = field(default=0, init=False)

    def follow(self, payin_id: PayinId) -> AsyncGenerator[bytes, None]:
        """Return the events of one order's page: `change` when it should look again, `beat` in between.

        Raises:
            TooManyStreams: `limit` streams are open.
        """
        if self._open >= self.limit:
            raise TooManyStreams
        return self._events(payin_id)

    async def _events(self, payin_id: PayinId) -> AsyncGenerator[bytes, None]:
        self._open += 1
        changed = asyncio.Event()
        listener = asyncio.create_task(self._listen(payin_id, changed))
        beats = 0
        try:
            yield b"retry: 2000\n\n" + self._event("beat")
            while beats < self.beats:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.beat_s):
                        await changed.wait()
                if listener.done():
                    return
                beats += not changed.is_set()
                name = "change" if changed.is_set() else "beat"
                changed.clear()
                yield self._event(name)
        finally:
            self._open -= 1
            listener.cancel()

    async def _listen(self, payin_id: PayinId, changed: asyncio.Event) -> None:
        """Set `changed` at each change and at the end; several changes before the page hears of one count as one."""
        try:
            async for _ in self.port.changes(payin_id):
                changed.set()
        except Problem as problem:
            _log.warning("live updates of %s ended: %s", payin_id.hex, problem.message)
        finally:
            changed.set()

    def _event(self, name: str) -> bytes:
        return f"event: {name}\ndata: {epoch_ms(self.clock.now())}\n\n".encode()
