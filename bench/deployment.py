"""A throw-away sandbox for benchmarks: `bitlinkpay serve` in a temporary folder, driven from outside like any other."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Deployment:
    folder: Path
    wm_port: int
    web_port: int
    pid: int

    def command(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "bitlinkpay.cli.main", *words, "--data-dir", str(self.folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"bitlinkpay {' '.join(words)}: {done.stderr}")
        return done.stdout

    def merchant(self, name: str, *words: str) -> dict:
        """Make a merchant without a practical rate limit."""
        made = json.loads(self.command("merchant", "create", name, "--out", str(self.folder / name), "--json", *words))
        self.command("merchant", "set-policy", made["broker"], "--rate-limit", "100000000")
        return made

    def processes(self) -> dict[int, str]:
        """Pids of the deployment with a name each, the supervisor first."""
        found = {self.pid: "supervisor"}
        frontier = [self.pid]
        while frontier:
            parent = frontier.pop()
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
            for child in map(int, children):
                found[child] = _name(child, found.get(parent, ""))
                frontier.append(child)
        return found


def _name(pid: int, parent: str) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
    for name in ("signer", "worker", "api"):
        if f" {name}" in words or f".{name}" in words:
            return name
    return "postgres" if "postgres" in words or parent == "postgres" else words[:20]


@contextmanager
def deployment(config: str = "", files: Mapping[str, str] | None = None) -> Iterator[Deployment]:
    with tempfile.TemporaryDirectory(prefix="bitlinkpay-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # started by root, PostgreSQL runs as a user that has to pass through
        for name_, text in {"bitlinkpay.toml": config, **(files or {})}.items():
            (folder / name_).write_text(text)
        wm_port, web_port = free_port(), free_port()
        words = ["serve", "--mode", "sandbox", "--wm-port", str(wm_port), "--web-port", str(web_port)]
        server = subprocess.Popen(
            [sys.executable, "-m", "bitlinkpay.cli.main", *words, "--data-dir", name],
            stdout=subprocess.PIPE,
            stderr=(folder / "serve.log").open("w"),
            text=True,
        )
        try:
            for line in server.stdout:
                if line.strip() == "ready":
                    break
            else:
                raise SystemExit((folder / "serve.log").read_text())
            yield Deployment(folder, wm_port, web_port, server.pid)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


def free_port() -> int:
    """A port below those that the system hands to outgoing connections, which might take it before we listen."""
    while True:
        port = secrets.choice(range(20_000, 32_000))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def proportional_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0
