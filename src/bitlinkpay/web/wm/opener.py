"""Opening envelopes on the event loop, a few to a turn (docs/decisions/0015).

A thread would run beside the loop, but the two hand the interpreter's lock to and fro at every decryption, and that
costs more than it brings: processes use further cores, and between turns everything else is served.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bitlinkpay.db.batch import MicroBatch
from bitlinkpay.wm.envelope import EnvelopeError, EnvelopeKey, Headers, Opened, open_envelope

PER_TURN: Final = 8  # about 2 ms of RSA-2048: what a page or a callback may have to wait for its turn
_WAITING_MAX: Final = 2048


@dataclass(frozen=True, slots=True)
class Envelope:
    """One envelope as it came in."""

    headers: Headers
    body: bytes


class Opener:
    """Opens envelopes in the order of their arrival, at most 8 before the loop's other work has its turn."""

    def __init__(self, key: EnvelopeKey) -> None:
        self._key = key
        self._batch = MicroBatch[Envelope, Opened | EnvelopeError](
            self._open_all, limit=PER_TURN, queue_limit=_WAITING_MAX
        )

    async def open(self, headers: Headers, body: bytes) -> Opened | EnvelopeError:
        """Open one envelope.

        Raises:
            Unavailable: more than 2,048 wait.
        """
        return await self._batch.submit(Envelope(headers, body))

    async def close(self) -> None:
        """Finish what waits."""
        await self._batch.drain()

    async def _open_all(self, envelopes: Sequence[Envelope]) -> Sequence[Opened | EnvelopeError]:
        await asyncio.sleep(0)  # everybody else's turn
        return [open_envelope(self._key, envelope.headers, envelope.body) for envelope in envelopes]
