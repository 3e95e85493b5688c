"""The test nodes themselves: the committed artefacts are those of the sources, and set-up runs twice to the same end."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.nodes.anvil import NODES, Anvil, NodeError, anvil_path, artefacts
from tests.nodes.proxy import Proxy

ROOT = NODES.parent.parent
SCRIPT = ROOT / "tools" / "setup_nodes.py"


def script() -> object:
    spec = importlib.util.spec_from_file_location("setup_nodes", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_lock_file_names_no_registry() -> None:
    for path in (NODES / "package-lock.json", NODES / "package.json", NODES / ".npmrc", SCRIPT):
        text = path.read_text()
        assert '"resolved"' not in text
        assert "registry." not in text
    assert all(
        "integrity" in p
        for name, p in json.loads((NODES / "package-lock.json").read_text())["packages"].items()
        if name
    )


@pytest.mark.skipif(
    not (NODES / "node_modules" / "solc").exists() or not shutil.which("node"), reason="solc is not installed"
)
def test_the_committed_artefacts_are_those_of_the_sources() -> None:
    tool = script()
    assert tool.compile_contracts() == tool.ARTEFACTS.read_text()
    assert tool.compile_wallets() == tool.WALLETS.read_text(), "the code that our own addresses run"


def test_a_second_set_up_changes_nothing_and_says_so() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=True)
    assert done.stdout == "test nodes: up to date\n"


def test_every_contract_is_there() -> None:
    sources = "".join(path.read_text() for path in (NODES / "contracts").glob("*.sol"))
    names = [line.split()[1] for line in sources.splitlines() if line.startswith("contract ")]
    assert sorted(names) == sorted(artefacts())


def test_a_missing_node_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tests.nodes.anvil.NODES", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ANVIL", raising=False)
    with pytest.raises(NodeError, match=r"tools/setup_nodes\.py"):
        anvil_path()


async def test_the_node_listens_on_loopback_only_and_ends_with_its_block() -> None:
    async with Anvil.start() as node:
        pid = node.process.pid
        assert node.url.startswith("http://127.0.0.1:")
        local = Path(f"/proc/{pid}/net/tcp").read_text()
        port = f"{int(node.url.rsplit(':', 1)[1]):04X}"
        listening = [line.split()[1] for line in local.splitlines()[1:] if line.split()[3] == "0A"]
        assert f"0100007F:{port}" in listening
    assert node.process.poll() is not None


async def test_two_nodes_are_two_chains() -> None:
    async with Anvil.start(chain_id=1, timestamp=1_700_000_000) as a, Anvil.start(chain_id=56) as b:
        assert a.url != b.url
        assert a.genesis != b.genesis
        assert (int(await a.rpc("eth_chainId"), 16), int(await b.rpc("eth_chainId"), 16)) == (1, 56)
        assert (await a.block(0))["timestamp"] == hex(1_700_000_000)


async def test_the_small_api_of_the_node() -> None:
    async with Anvil.start(slots=2) as node:
        token = await node.deploy("DollarToken")
        target = node.accounts[9]
        txid = await token.send("transfer(address,uint256)", target, 5)
        assert await node.height() == 1
        assert await node.mine() == 2
        assert (await node.receipt(txid))["blockNumber"] == "0x2"
        assert await token.view("balanceOf(address)", target) == 5
        await node.mine(5)
        assert (await node.block("finalized"))["number"] == hex(7 - 4)
        before = (await node.block(6))["hash"]
        await node.reorg(3)
        assert (await node.block(6))["hash"] != before
        assert await node.height() == 7
        node.pause()
        node.resume()
        assert await node.height() == 7
        node.stop()
        with pytest.raises(Exception, match=r"Cannot connect|Server disconnected|reset"):
            await node.height()


async def test_an_honest_proxy_is_transparent() -> None:
    async with Anvil.start() as node, Proxy.start(node.url) as proxy:
        await node.mine(3)
        real = await node.block(2, full=True)
        assert await proxy.forward("eth_getBlockByNumber", ["0x2", True]) == real
        proxy.lag = 2
        assert (await proxy._lagging("eth_getBlockByNumber", ["latest", False]))["number"] == "0x1"
        assert await proxy._lagging("eth_getBlockByNumber", ["0x2", False]) is None
