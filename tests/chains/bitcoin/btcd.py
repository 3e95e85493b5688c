"""btcd, a second full node by other hands, as a regression-test node: its own consensus, mempool and JSON-RPC.

`tools/setup_nodes.py` builds it with the Go toolchain; without one the tests on it are skipped.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import aiohttp
from tests.nodes.anvil import die_with_parent
from tests.support.server import free_port

USER, PASSWORD = "bitlinkpay", "p@ss/wörd"
_START_S = 20


def btcd_path() -> str | None:
    """Return the node's binary: `BTCD` from the environment, what tools/setup_nodes.py built, or PATH."""
    built = Path(__file__).parents[2] / "nodes" / "bin" / "btcd"
    return next((p for p in (os.environ.get("BTCD"), str(built), shutil.which("btcd")) if p and Path(p).exists()), None)


class Btcd:
    """One running node."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, folder: str) -> None:
        self.process, self.port, self.folder = process, port, folder
        self.target = f"http://127.0.0.1:{port}"

    @classmethod
    async def start(cls) -> "Btcd":
        port = free_port()
        folder = tempfile.mkdtemp(prefix="blp-btcd-")
        command = [
            str(btcd_path()), "--regtest", "--notls", "--nolisten", "--nodnsseed", "--txindex", "--nocfilters",
            f"--rpcuser={USER}", f"--rpcpass={PASSWORD}", f"--rpclisten=127.0.0.1:{port}", "--rpcmaxclients=50",
            f"--datadir={folder}/data", f"--logdir={folder}/logs", "--configfile=/dev/null", "--debuglevel=warn",
            "--rejectnonstd", "--maxorphantx=0", "--norelaypriority", "--utxocachemaxsize=16",
        ]  # fmt: skip
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - runs before any thread could hold a lock
        )
        node = cls(process, port, folder)
        await node._ready()
        return node

    async def _ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + _START_S
        while asyncio.get_running_loop().time() < deadline and self.process.poll() is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
        raise AssertionError(f"btcd did not start: exit code {self.process.poll()}")

    def headers(self) -> dict[str, str]:
        return {"Authorization": aiohttp.encode_basic_auth(USER, PASSWORD, "utf-8")}

    async def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self.process.wait, 10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
