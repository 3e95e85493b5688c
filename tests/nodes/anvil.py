"""A real EVM node (anvil) on loopback, for tests: start, deploy, transfer, mine, reorganise, stop.

    async with Anvil.start(chain_id=31337) as node:
        token = await node.deploy("DollarToken")
        await token.send("transfer(address,uint256)", target, 5_000_000)
        await node.mine()

Nothing is mined until `mine` is called. `finalized` trails the newest block by `2 * slots` blocks.
"""

import asyncio
import ctypes
import functools
import json
import os
import platform
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import aiohttp
from eth_abi import decode, encode

NODES = Path(__file__).parent
_STARTED = b"Listening on "
_START_S = 20
_LOG_MAX = 1 << 20


class NodeError(Exception):
    """The node refused a call, or did not start."""


@functools.cache
def artefacts() -> Mapping[str, dict[str, object]]:
    """Return creation code and selectors of every contract of `contracts/`."""
    return json.loads((NODES / "contracts.json").read_text())


def anvil_path() -> str:
    """Return the node's binary: `ANVIL` from the environment, what tools/setup_nodes.py installed, or PATH."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    package = f"anvil-{platform.system().lower()}-{machine}"
    installed = NODES / "node_modules" / "@foundry-rs" / package / "bin" / "anvil"
    for path in (os.environ.get("ANVIL"), str(installed), shutil.which("anvil")):
        if path and Path(path).exists():
            return path
    raise NodeError("anvil is missing: run python tools/setup_nodes.py")


def die_with_parent() -> None:
    """Let a program that is being started end with the tests that start it."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


@dataclass(frozen=True, slots=True)
class Contract:
    """A deployed contract."""

    node: "Anvil"
    name: str
    address: str

    def data(self, signature: str, *args: object) -> str:
        """Return the call data of a function, such as `transfer(address,uint256)`."""
        selectors = artefacts()[self.name]["selectors"]
        return "0x" + selectors[signature] + encode(_types(signature), args).hex()

    async def send(self, signature: str, *args: object, sender: str = "", value: int = 0) -> str:
        """Send a transaction to the pool and return its id."""
        return await self.node.send(to=self.address, data=self.data(signature, *args), sender=sender, value=value)

    async def view(self, signature: str, *args: object, returns: str = "uint256") -> object:
        """Return what a view function answers now."""
        call = {"to": self.address, "data": self.data(signature, *args)}
        answer = await self.node.rpc("eth_call", call, "latest")
        return decode([returns], bytes.fromhex(answer[2:]))[0]


def _types(signature: str) -> list[str]:
    inside = signature[signature.index("(") + 1 : -1]
    return inside.split(",") if inside else []


class Anvil:
    """One running node. `accounts` are rich and unlocked."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: IO[bytes], port: int, chain_id: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.chain_id = chain_id
        self.accounts: list[str] = []
        self.genesis = ""
        self._log = log
        self._session = aiohttp.ClientSession()

    @classmethod
    @asynccontextmanager
    async def start(
        cls, *, chain_id: int = 31337, slots: int = 1, timestamp: int | None = None, flags: Sequence[str] = ()
    ) -> AsyncIterator[Self]:
        """Run a node for the length of a `with` block; its port is free, its address loopback.

        Args:
            chain_id: EIP-155 id.
            slots: `finalized` is `2 * slots` blocks behind `latest`.
            timestamp: time of block 0 in Unix seconds, now by default; blocks then go on by the clock.
            flags: more of anvil's own command line, such as `--block-time 1`.
        """
        command = [anvil_path(), "--port", "0", "--host", "127.0.0.1", "--chain-id", str(chain_id)]
        command += ["--slots-in-an-epoch", str(slots), "--gas-price", "1000000000", *flags]
        if "--block-time" not in flags:
            command.append("--no-mining")
        if timestamp is not None:
            command += ["--timestamp", str(timestamp)]
        async with cls._run(command, NODES, chain_id) as node:
            yield node

    @classmethod
    @asynccontextmanager
    async def _run(cls, command: Sequence[str], folder: Path, chain_id: int) -> AsyncIterator[Self]:
        """Run a program that says where it listens, and die with it."""
        log = tempfile.TemporaryFile()
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )
        try:
            node = cls(process, log, await _port(process, log), chain_id)
            try:
                node.accounts = list(await node.rpc("eth_accounts"))
                node.genesis = (await node.block(0))["hash"]
                yield node
            finally:
                await node._session.close()
        finally:
            process.kill()
            process.wait()
            log.close()

    async def rpc(self, method: str, *params: object) -> object:
        """Make one JSON-RPC call.

        Raises:
            NodeError: the node answered with an error.
        """
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        async with self._session.post(self.url, json=body) as response:
            answer = await response.json(content_type=None)
        if "error" in answer:
            raise NodeError(f"{method}: {answer['error']}")
        return answer.get("result")

    async def block(self, at: int | str = "latest", *, full: bool = False) -> dict[str, object]:
        """Return a block as the node writes it."""
        return await self.rpc("eth_getBlockByNumber", hex(at) if isinstance(at, int) else at, full)

    async def height(self) -> int:
        """Return the newest height."""
        return int(await self.rpc("eth_blockNumber"), 16)

    async def send(
        self, *, to: str | None = None, value: int = 0, data: str = "0x", sender: str = "", gas: int = 3_000_000
    ) -> str:
        """Send a transaction of an unlocked account to the pool and return its id."""
        tx = {"from": sender or self.accounts[0], "value": hex(value), "data": data, "gas": hex(gas)}
        return await self.rpc("eth_sendTransaction", tx | ({"to": to} if to else {}))

    async def transfer(self, target: str, units: int, *, sender: str = "") -> str:
        """Send native coin in a plain transaction and return its id."""
        return await self.send(to=target, value=units, sender=sender, gas=21_000)

    async def mine(self, blocks: int = 1) -> int:
        """Mine blocks (the pool's transactions go into the first) and return the newest height."""
        await self.rpc("anvil_mine", hex(blocks))
        return await self.height()

    async def reorg(self, depth: int, transactions: Sequence[tuple[object, int]] = ()) -> None:
        """Replace the newest `depth` blocks by as many others, without their transactions unless given again.

        Args:
            depth: how many blocks.
            transactions: (raw transaction or call object, block offset from the first replaced one).
        """
        await self.rpc("anvil_reorg", depth, [list(pair) for pair in transactions])

    async def deploy(
        self, name: str, types: Sequence[str] = (), args: Sequence[object] = (), value: int = 0
    ) -> Contract:
        """Deploy a contract of `contracts/` in a block of its own."""
        code = str(artefacts()[name]["code"]) + encode(list(types), list(args)).hex()
        txid = await self.send(data=code, value=value, gas=8_000_000)
        await self.mine()
        receipt = await self.receipt(txid)
        return Contract(self, name, receipt["contractAddress"])

    async def receipt(self, txid: str) -> dict[str, object]:
        """Return the receipt of a mined transaction, checked to have succeeded."""
        receipt = await self.rpc("eth_getTransactionReceipt", txid)
        if receipt is None or receipt["status"] != "0x1":
            raise NodeError(f"{txid} is not mined or failed")
        return receipt

    def stop(self) -> None:
        """Kill the node at once: what talks to it sees a refused connection."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """Freeze the node: connections stay open and nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen node go on."""
        self.process.send_signal(signal.SIGCONT)


async def _port(process: "subprocess.Popen[bytes]", log: IO[bytes]) -> int:
    """Wait until the node says where it listens."""
    for _ in range(_START_S * 50):
        text = os.pread(log.fileno(), _LOG_MAX, 0)
        if _STARTED in text:
            return int(text.split(_STARTED, 1)[1].split(b"\n", 1)[0].rsplit(b":", 1)[1])
        if process.poll() is not None:
            raise NodeError(f"the node ended: {text[-500:].decode(errors='replace')}")
        await asyncio.sleep(0.02)
    raise NodeError("the node did not start in time")
