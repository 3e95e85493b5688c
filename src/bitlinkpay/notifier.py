"""Tells whoever started this process that it is up and that it still runs, in the words of sd_notify(3).

systemd names a socket; our own supervisor hands one end of a pair down (docs/decisions/0032). In a terminal nobody
listens, and nothing is said but `ready`. Without asyncio, which the supervisor has no use for (`heartbeat` has).
"""

import os
import socket
import sys
import time
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Final, Self

READY_LINE: Final = "ready"
READY: Final = b"READY=1"
ALIVE: Final = b"WATCHDOG=1"

LINE_VARIABLE: Final = "BITLINKPAY_NOTIFY_FD"  # a number: the end of our supervisor's pair
SOCKET_VARIABLE: Final = "NOTIFY_SOCKET"
SPAN_VARIABLE: Final = "WATCHDOG_USEC"  # how long we may be silent, absent where nobody minds
PID_VARIABLE: Final = "WATCHDOG_PID"  # whom systemd means by it
VARIABLES: Final = (LINE_VARIABLE, SOCKET_VARIABLE, SPAN_VARIABLE, PID_VARIABLE)
_BEATS: Final = 4  # to a span: one may be late and one lost


class Notifier:
    """The line to whoever started this process. What cannot be sent at once is dropped: nobody is waited for.

    Attributes:
        every_s: how often to `beat`, None where nobody minds.
    """

    def __init__(self, line: socket.socket | None = None, *, address: str = "", span_s: float | None = None) -> None:
        """Take a line; without one nobody listens.

        Args:
            line: a datagram socket.
            address: where each word goes, "" for the line's other end.
            span_s: the longest silence allowed, None for any.
        """
        self._line = line
        self._address = address
        self.every_s = span_s / _BEATS if line and span_s else None
        self._beat_at = 0.0
        if line:
            line.setblocking(False)

    @classmethod
    def take(cls, environment: MutableMapping[str, str] | None = None) -> Self:
        """Take what the environment says of a listener, and out of it: those that we start are not meant by it."""
        found = os.environ if environment is None else environment
        descriptor, address, span, pid = (found.pop(name, "") for name in VARIABLES)
        span_s = int(span) / 1_000_000 if span.isdecimal() and pid in {"", str(os.getpid())} else None
        if descriptor.isdecimal():
            return cls(_inherited(int(descriptor)), span_s=span_s)
        if address:  # "@" stands for the zero byte of a name outside of the file system, see unix(7)
            line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            return cls(line, address=address.replace("@", "\0", 1) if address[0] == "@" else address, span_s=span_s)
        return cls()

    def ready(self) -> None:
        """Say that we serve."""
        self._say(READY)

    def announce(self) -> None:
        """Say that we serve: to the listener, or with the line `ready` on stdout where there is none."""
        if self._line:
            self.ready()
        else:
            sys.stdout.write(f"{READY_LINE}\n")
            sys.stdout.flush()

    def beat(self) -> None:
        """Say that we run, if anybody minds our silence and was not told a moment ago. Call it often."""
        now = time.monotonic()
        if self.every_s and now - self._beat_at >= self.every_s / 2:
            self._beat_at = now
            self._say(ALIVE)

    def _say(self, word: bytes) -> None:
        if self._line is None:
            return
        with suppress(OSError):  # the listener is gone, or stopped and full of what waits for it
            if self._address:
                self._line.sendto(word, self._address)
            else:
                self._line.send(word)


def _inherited(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    return socket.socket(fileno=descriptor)
