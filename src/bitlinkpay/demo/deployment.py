"""The demo's own deployment: a throw-away `bitlinkpay serve`, and the commands that are typed beside it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec

from bitlinkpay.core.errors import Unavailable

_PORTS: Final = (8443, 8080)
_STOP_S: Final = 60
_Printed = TypeVar("_Printed")


@dataclass(slots=True)
class Demo:
    """One run in one data folder: its numbered steps, its commands."""

    folder: Path
    started: float
    step: int = 0

    def say(self, text: str, *details: str) -> None:
        """Print a numbered step with the time since the start."""
        self.step += 1
        print(f"\n{self.step:2}. {text}   [{time.monotonic() - self.started:.1f} s]")
        for detail in details:
            print(f"      {detail}")
        sys.stdout.flush()

    def command(
        self, kind: type[_Printed], *words: str, environment: Mapping[str, str] = MappingProxyType({})
    ) -> _Printed:
        """Show and run one `bitlinkpay` command and return what it printed as JSON. Raises as `ask`."""
        print(f"      $ bitlinkpay {' '.join(words)}")
        return self.ask(kind, *words, environment=environment)

    def ask(self, kind: type[_Printed], *words: str, environment: Mapping[str, str] = MappingProxyType({})) -> _Printed:
        """Run one command without showing it.

        Raises:
            Unavailable: it failed; its own message stands on stderr.
        """
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "bitlinkpay.cli.main", *words, "--json", "--data-dir", str(self.folder)],
            stdout=subprocess.PIPE,
            check=False,
            env=os.environ | environment,
        )
        if done.returncode:
            raise Unavailable(f"`bitlinkpay {words[0]}` failed")
        return msgspec.json.decode(done.stdout, type=kind)


class Server:
    """A running `bitlinkpay serve`."""

    def __init__(self, folder: Path) -> None:
        """Start it in an empty folder; its log goes to `serve.log` there."""
        wm_port, web_port = (_free_port(port) for port in _PORTS)
        words = ["serve", "--mode", "sandbox", "--wm-port", str(wm_port), "--web-port", str(web_port)]
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "bitlinkpay.cli.main", *words, "--data-dir", str(folder)],
            stdout=subprocess.PIPE,
            stderr=(folder / "serve.log").open("w"),
            text=True,
        )

    def await_ready(self) -> Mapping[str, str]:
        """Wait until it serves and return its URLs by name.

        Raises:
            Unavailable: it ended instead.
        """
        urls: dict[str, str] = {}
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == "ready":
                return urls
            name, _, url = line.strip().partition(" ")
            urls[name] = url
        raise Unavailable("the platform did not start; see serve.log in its folder")

    def stop(self) -> None:
        """Stop it and wait for its end."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(_STOP_S)


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            free: int = probe.getsockname()[1]
            return free
    raise Unavailable("no free port on 127.0.0.1")
