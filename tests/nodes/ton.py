"""The program that TON networks on loopback run in: one for all networks of this process, one after another or at once.

Starting it takes most of a second of a core; another network in it takes a moment. It dies with this process.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
from typing import IO, ClassVar

from tests.nodes.anvil import NODES, NodeError, die_with_parent

_STARTED = b"Listening on 127.0.0.1:"
_START_S = 30


class TonProgram:
    """`ton.js`, running."""

    _shared: ClassVar["TonProgram | None"] = None

    def __init__(self) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()
        self._asked = 0
        self.process = subprocess.Popen(
            [shutil.which("node") or "node", str(NODES / "ton.js")],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.PIPE,
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )

    @classmethod
    def shared(cls) -> "TonProgram":
        """Return the one that runs, or start it: the first time, or after a test killed it."""
        if cls._shared is None or cls._shared.process.poll() is not None:
            cls._shared = cls()
        return cls._shared

    async def open(self) -> int:
        """Start one more network and return its port.

        Raises:
            NodeError: it ended, or did not start in time.
        """
        self._asked += 1
        mine = self._asked
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        for _ in range(_START_S * 200):
            said = os.pread(self._log.fileno(), 1 << 20, 0)
            ports = [part.partition(b"\n") for part in said.split(_STARTED)[1:]]
            if len(ports) >= mine and ports[mine - 1][1]:
                return int(ports[mine - 1][0])
            if self.process.poll() is not None:
                raise NodeError(f"the networks ended: {said[-500:].decode(errors='replace')}")
            await asyncio.sleep(0.005)
        raise NodeError("the network did not start in time")
