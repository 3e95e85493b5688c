"""Opening envelopes off the event loop: one thread takes what waits, up to eight at a time (STACK.md section 9)."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from bitlinkpay.db.batch import MicroBatch
from bitlinkpay.wm.envelope import EnvelopeError, EnvelopeKey, Headers, Opened, open_envelope

_PER_CALL: Final = 8
_WAITING_MAX: Final = 2048


@dataclass(frozen=True, slots=True)
class Envelope:
    """One envelope as it came in."""

    headers: Headers
    body: bytes


class Opener:
    """Opens envelopes in `threads` threads of its own. An idle system opens one at once; no timer is involved."""

    def __init__(self, key: EnvelopeKey, *, threads: int = 1) -> None:
        self._key = key
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="wm-envelope")
        self._batch = MicroBatch[Envelope, Opened | EnvelopeError](
            self._run, limit=_PER_CALL, in_flight=threads, queue_limit=_WAITING_MAX
        )

    async def open(self, headers: Headers, body: bytes) -> Opened | EnvelopeError:
        """Open one envelope.

        Raises:
            Unavailable: more than 2,048 wait.
        """
        return await self._batch.submit(Envelope(headers, body))

    async def close(self) -> None:
        """Finish what waits and end the threads."""
        await self._batch.drain()
        self._pool.shutdown(wait=True)

    async def _run(self, envelopes: Sequence[Envelope]) -> Sequence[Opened | EnvelopeError]:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._open_all, envelopes)

    def _open_all(self, envelopes: Sequence[Envelope]) -> list[Opened | EnvelopeError]:
        return [open_envelope(self._key, envelope.headers, envelope.body) for envelope in envelopes]
