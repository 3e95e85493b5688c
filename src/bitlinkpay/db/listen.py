"""LISTEN on one direct connection per process. A notification is a hint: who only polls stays correct."""

import asyncio
import logging
from collections.abc import Callable

from bitlinkpay.db.driver import connect
from bitlinkpay.db.failures import DRIVER_ERRORS, one_line

Callback = Callable[[str], None]

_PAUSE_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_PULSE_S = 30.0
_log = logging.getLogger(__name__)


class Listener:
    """Keeps one connection listening on all channels asked for, and connects again by itself.

    After each connect every callback is called once with an empty payload, because notifications sent meanwhile are
    lost.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._callbacks: dict[str, list[Callback]] = {}
        self._heard: set[str] = set()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failures = 0  # since it was heard last

    def add(self, channel: str, callback: Callback) -> None:
        """Call `callback(payload)` for each notification on `channel`, beginning soon; returns at once."""
        self._callbacks.setdefault(channel, []).append(callback)
        self._changed.set()
        if channel in self._heard:
            _call(callback, channel, "")
        if self._task is None:
            self._task = asyncio.create_task(self._stay(), name="listen")

    async def close(self) -> None:
        """Stop listening."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _stay(self) -> None:
        while True:
            try:
                await self._hear()
            except (*DRIVER_ERRORS, TimeoutError) as error:
                if not self._failures:  # told once for as long as it lasts
                    _log.warning("lost the LISTEN connection, polling until it is back: %s", one_line(error))
                self._failures += 1
            await asyncio.sleep(_PAUSE_S[min(self._failures, len(_PAUSE_S) - 1)])

    async def _hear(self) -> None:
        name = {"application_name": "bitlinkpay listen"}
        connection = await connect(self._dsn, timeout=10, command_timeout=_PULSE_S, server_settings=name)
        self._failures = 0
        connection.add_termination_listener(lambda _: self._changed.set())
        try:
            while not connection.is_closed():
                self._changed.clear()
                for channel in [name for name in self._callbacks if name not in self._heard]:
                    await connection.add_listener(channel, self._deliver)
                    self._heard.add(channel)
                    self._deliver(connection, 0, channel, "")
                try:
                    async with asyncio.timeout(_PULSE_S):  # `wait_for` of Python 3.11 may swallow a cancellation
                        await self._changed.wait()
                except TimeoutError:
                    await connection.execute("SELECT 1")  # finds a peer that vanished without a word
        finally:
            self._heard.clear()
            connection.terminate()

    def _deliver(self, _connection: object, _pid: int, channel: str, payload: str) -> None:
        for callback in self._callbacks.get(channel, ()):
            _call(callback, channel, payload)


def _call(callback: Callback, channel: str, payload: str) -> None:
    try:
        callback(payload)
    except Exception:  # noqa: BLE001 - whatever it is, the other callbacks still want to hear
        _log.exception("a callback for notifications on %s failed", channel)
