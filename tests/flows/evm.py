"""The platform in one process on a real EVM node: `World`, with Ethereum read by `EvmChain` and its tokens guarded."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self

from tests.flows.harness import World, market
from tests.nodes.anvil import Anvil, Contract
from tests.support.clock import ManualClock

from bitlinkpay.chains.base import Chain
from bitlinkpay.chains.codec.evm import parse
from bitlinkpay.chains.evm.access import EvmOptions
from bitlinkpay.chains.evm.chain import EvmChain
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.assets import store as reviews
from bitlinkpay.deposits.assets.model import Review
from bitlinkpay.deposits.assets.service import AssetGuard, Holds, accept_asset
from bitlinkpay.payins.clearing import Clearing
from bitlinkpay.payins.model import Payin
from bitlinkpay.payins.reconciling import CADENCE, Reconciling
from bitlinkpay.payins.service import Payins
from bitlinkpay.risk.service import Screening
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.wallets.service import Allocator
from bitlinkpay.workers.watcher import Parts, Watcher

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
    guard: AssetGuard = None

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
        world.node, world.registry, world.is_simulated = node, registry, False
        options = EvmOptions(patience=timedelta(milliseconds=300))
        endpoint = Endpoint(url or node.url, timeout=timedelta(seconds=3))
        network, assets = registry.networks[NETWORK], registry.assets_of(NETWORK)
        chain = EvmChain(network, assets, [endpoint], quorum=1, options=options)
        world.guard = AssetGuard(database=database, chain=chain, assets=assets, clock=clock)
        world.chains[NETWORK] = chain
        world.payins = Payins(
            registry=registry, allocator=Allocator(database, ring), market=market, clock=clock, holds=world.list_holds
        )
        try:
            await world.watch(NETWORK)
            yield world
            await world.settle()
        finally:
            await chain.aclose()

    def build_watcher(self, chain: Chain, database: Database | None = None) -> Watcher:
        parts = {
            "database": database or self.database,
            "registry": self.registry,
            "chain": chain,
            "clock": self.clock,
        }
        screener = Screening([self.lists], self.clock)
        return Watcher(
            Parts(
                **parts,
                payins=self.payins,
                clearing=Clearing(**parts, screener=screener, guard=self.guard),
                reconciling=Reconciling(**parts),
            )
        )

    async def list_holds(self) -> Mapping[str, str]:
        return await Holds(self.database).list_held()

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

    async def is_paid(self, order: Payin) -> bool:
        return await self.state(order) == "paid"

    async def unpaid(self, order: Payin) -> bool:
        """Say that nothing at all arrived for an order."""
        return await self.state(order) == "created" and await self.deposits(order) == []
