"""The platform in one process on a real EVM node: `World`, with Ethereum read by `EvmChain` and its tokens guarded."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Self

from tests.flows.harness import World
from tests.nodes.anvil import Anvil, Contract
from tests.support.clock import ManualClock

from bitlinkpay.app.networks import stricter_of
from bitlinkpay.chains.codec.evm import parse
from bitlinkpay.chains.evm.access import EvmOptions
from bitlinkpay.chains.evm.chain import EvmChain
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.chains.registry_rows import Endpoints
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.core.mode import Mode
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.assets import store as reviews
from bitlinkpay.deposits.assets.model import Review
from bitlinkpay.deposits.assets.service import AssetGuard, accept_asset
from bitlinkpay.payins.reconciling import CADENCE
from bitlinkpay.settings import NetworkSettings, Settings
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
        *, folder: Path, decimals: int = 6, url: str = "", witnesses: Sequence[str] = (), finality: str = "finalized",
        rows: str = "", **terms: object,
    ) -> AsyncIterator[Self]:  # fmt: skip
        """Start the platform on a node; `token` is its USDT, by a registry row of so many `decimals` and what `rows` add.

        Where there are `witnesses`, large money asks them beside the endpoint that the network is read from.
        """
        text = _ROWS.format(chain_id=node.chain_id, genesis=node.genesis, url=node.url)
        if token:
            text += _TOKEN.format(contract=parse(token.address), decimals=decimals) + rows
        (folder / "devnet.toml").write_text(text)
        registry = load_registry(folder / "devnet.toml")
        world = await cls.start(database, clock, ring, **terms)
        world.node, world.registry = node, registry
        options = EvmOptions(finality=finality, patience=timedelta(seconds=60))
        endpoint = Endpoint(url or node.url, timeout=timedelta(seconds=60))
        network, assets = registry.networks[NETWORK], registry.assets_of(NETWORK)
        chain = EvmChain(network, assets, [endpoint], quorum=1, options=options)
        named = {NETWORK: NetworkSettings((url or node.url, *witnesses), finality=finality)}
        settings = Settings(folder, Mode.LIVE, networks=named)
        nodes = MappingProxyType({NETWORK: Endpoints(named[NETWORK].endpoints, 1)})
        readers = stricter_of(settings, replace(registry, endpoints=nodes), network, ring) if witnesses else {}
        world.stricter = readers
        world.guard = AssetGuard(database=database, chain=chain, assets=assets, clock=clock)
        try:
            async with world.following(chain, ring):
                yield world
        finally:
            await asyncio.gather(*(reader.aclose() for reader in readers.values() if reader))

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
