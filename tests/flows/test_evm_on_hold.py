"""A wrong registry row in a whole running deployment: seen at the start, shown, refused, and not to be waved through."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_utils import to_checksum_address
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


ROW = """
[assets.{symbol}-ethereum]
symbol = "{ticker}"
network = "ethereum"
standard = "ERC20"
contract = "{contract}"
decimals = {decimals}
payable_decimals = 6
wm_coin_id = 100
minimum = "0.01"
sanity = "1000000"
"""


async def checked(node: Anvil, live: Live, folder: Path) -> None:
    """`registry check` refuses the row that lies, and one that no row fits, and takes a new one that tells the truth."""
    with pytest.raises(AssertionError, match="write `decimals = 18` into the row"):
        await live.command("registry", "check")
    with pytest.raises(AssertionError, match="has no contract to ask"):
        await live.command("registry", "check", "--asset", "eth-ethereum")
    for name, ticker, expected in (
        ("AnsweringToken", "ANS", ""),
        ("AnsweringToken", "DAI", "calls itself 'ANS', the row 'DAI': write `onchain_symbol = 'ANS'`"),
        ("SkimToken", "SKIM", "brings 900000000: it takes a fee, or moves nothing: no row fits that"),
    ):
        token = await node.deploy(name)
        await token.send("transfer(address,uint256)", node.accounts[1], 10**10)
        await node.mine(4)
        path = folder / "more.toml"
        contract = to_checksum_address(token.address)
        path.write_text(ROW.format(symbol=ticker.lower(), ticker=ticker, contract=contract, decimals=6))
        asset = f"{ticker.lower()}-ethereum"
        words = ("registry", "check", str(path), "--asset", asset, "--holder", node.accounts[0])
        if expected:
            with pytest.raises(AssertionError) as refused:
                await live.command(*words)
            assert expected in str(refused.value)
        else:
            [row] = [row for row in await live.command(*words) if row["asset"] == asset]
            assert row["chain"] == "as the row says; 1 of 1 transfers went through when tried"


async def test_DEP_22_a_worker_holds_a_token_of_other_decimals_at_its_start(open_folder):
    async with Anvil.start(chain_id=31337) as node:
        token = await node.deploy("PlainToken", ("string", "string", "uint8"), ["Tether USD", "USDT", 18])
        await node.mine(3)
        devnet = Devnet("ethereum", 31337, node.genesis, [node.url], token.address)
        async with Live.start(open_folder / "data", [devnet]) as live:
            rows = await eventually(lambda: live.command("chains", "status"), lambda rows: rows[0]["on_hold"])
            assert rows[0]["on_hold"][0].startswith("usdt-ethereum: the contract says 18 decimals, the registry 6: ")
            request = CreateOrder("held-1", 3, 1, 72, "USDT/CNY")
            async with live.client() as client:
                said = await eventually(lambda: refusal(client, request), lambda said: "order.asset_held" in said)
            assert "on hold for a review" in said
            with pytest.raises(AssertionError, match="if this is the contract; then restart"):
                await live.command("registry", "accept", "usdt-ethereum")
            with pytest.raises(AssertionError, match="nothing is known"):
                await live.command("registry", "accept", "eth-ethereum")
            await checked(node, live, open_folder)
            await live.order("coin-1", coin="ETH")
            await live.books_hold()
