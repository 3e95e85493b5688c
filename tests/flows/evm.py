"""The platform in one process on a real EVM node: `World`, with Ethereum read by `EvmChain` and its tokens guarded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self

from tests.flows.harness import World
from tests.nodes.anvil import Anvil, Contract
from tests.support.clock import ManualClock

from bitlinkpay.chains.codec.evm import parse
from bitlinkpay.chains.evm.access import EvmOptions
from bitlinkpay.chains.evm.chain import EvmChain
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.assets import store as reviews
from bitlinkpay.deposits.assets.model import Review
from bitlinkpay.deposits.assets.service import AssetGuard, accept_asset
from bitlinkpay.payins.reconciling import CADENCE
from bitlinkpay.signer.keyring import KeyRing

USDT, ETH, NETWORK = "usdt-ethereum", "eth-ethereum", "ethereum"
TRANSFER = "transfer(address,uint256)"

_ROWS = """
[networks.ethereum]
chain_id = {chain_id}
genesis = "{genesis}"
endpoints = ["{url}"]
"""
_TOKEN = """
[assets.usdt-ethereum]
contract = "{contract}"
decimals = {decimals}
symbol = "USDT"
network = "ethereum"
standard = "ERC20"
payable_decimals = 6
wm_coin_id = 1
minimum = "0.01"
sanity = "10000000"
"""


@dataclass
class EvmWorld(World):
    node: Anvil = None

    @classmethod
    @asynccontextmanager
    async def on(
        cls, node: Anvil, database: Database, clock: ManualClock, ring: KeyRing, token: Contract | None = None,
        *, folder: Path, decimals: int = 6, url: str = "", **terms: object,
    ) -> AsyncIterator[Self]:  # fmt: skip
        """Start the platform on a node; `token` is its USDT, by a registry row of so many `decimals`."""
        text = _ROWS.format(chain_id=node.chain_id, genesis=node.genesis, url=node.url)
        if token:
            text += _TOKEN.format(contract=parse(token.address), decimals=decimals)
        (folder / "devnet.toml").write_text(text)
        registry = load_registry(folder / "devnet.toml")
        world = await cls.start(database, clock, ring, **terms)
        world.node, world.registry = node, registry
        options = EvmOptions(patience=timedelta(milliseconds=300))
        endpoint = Endpoint(url or node.url, timeout=timedelta(seconds=3))
        network, assets = registry.networks[NETWORK], registry.assets_of(NETWORK)
        chain = EvmChain(network, assets, [endpoint], quorum=1, options=options)
        world.guard = AssetGuard(database=database, chain=chain, assets=assets, clock=clock)
        async with world.following(chain, ring):
            yield world

    async def finish(self, blocks: int = 4) -> None:
        """Mine until what was sent is final, pass the cadence of the search for hidden money, and follow."""
        await self.node.mine(blocks)
        self.clock.advance(CADENCE + timedelta(seconds=1))
        await self.settle()

    async def review(self, asset_id: str = USDT) -> Review | None:
        async with self.database.reader() as tx:
            return await reviews.find(tx, asset_id)

    async def accept_contract(self, asset_id: str = USDT) -> Review:
        asset = self.registry.assets[asset_id]
        return await self.database.unit(lambda tx: accept_asset(tx, self.clock, asset, actor="operator ann"))
