"""A wrong registry row in a whole running deployment: seen at the start, shown, refused, and not to be waved through."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.nodes.anvil import Anvil
from tests.support.live import Devnet, Live, eventually

from bitlinkpay.client.wm import WmClient
from bitlinkpay.wm.bodies import CreateOrder


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the database's own user can pass through."""
    with tempfile.TemporaryDirectory(prefix="bitlinkpay-hold-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)


async def refusal(client: WmClient, request: CreateOrder) -> str:
    try:
        await client.create_order(request)
    except Exception as error:
        return str(error)
    return ""


@pytest.mark.timeout(300)
async def test_DEP_22_a_worker_holds_a_token_of_other_decimals_at_its_start(open_folder):
    async with Anvil.start(chain_id=31337) as node:
        token = await node.deploy("PlainToken", ("string", "string", "uint8"), ["Tether USD", "USDT", 18])
        await node.mine(3)
        devnet = Devnet("ethereum", 31337, node.genesis, [node.url], token.address)
        async with Live.start(open_folder / "data", [devnet]) as live:
            rows = await eventually(lambda: live.command("chains", "status"), lambda rows: rows[0]["on_hold"])
            assert rows[0]["on_hold"] == ["usdt-ethereum: the contract says 18 decimals, the registry 6"]
            request = CreateOrder("held-1", 3, 1, 72, "USDT/CNY")
            async with live.client() as client:
                said = await eventually(lambda: refusal(client, request), lambda said: "order.asset_held" in said)
            assert "on hold for a review" in said
            with pytest.raises(AssertionError, match="correct the registry row and restart"):
                await live.command("registry", "accept", "usdt-ethereum")
            with pytest.raises(AssertionError, match="nothing is known"):
                await live.command("registry", "accept", "eth-ethereum")
            await live.order("coin-1", coin="ETH")
            await live.books_hold()
