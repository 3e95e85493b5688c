"""The platform in one process on the TRON test network: `World`, with TRON read by `TronChain` and its tokens guarded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self

from tests.chains.tron.network import TronContract, TronNet
from tests.flows.harness import World
from tests.support.clock import ManualClock

from bitlinkpay.chains.registry import load_registry
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.chains.tron.access import TronOptions
from bitlinkpay.chains.tron.chain import TronChain
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.assets.service import AssetGuard
from bitlinkpay.payins.model import Payin
from bitlinkpay.payins.reconciling import CADENCE
from bitlinkpay.signer.keyring import KeyRing

USDT, TRX, NETWORK = "usdt-tron", "trx-tron", "tron"
TRANSFER = "transfer(address,uint256)"

ROWS = """
[networks.tron]
genesis = "{genesis}"
endpoints = {urls}
quorum = {quorum}

[assets.trx-tron]
symbol = "TRX"
network = "tron"
decimals = 6
payable_decimals = 6
wm_coin_id = 2
minimum = "0.1"
sanity = "50000000"

[assets.usdt-tron]
symbol = "USDT"
network = "tron"
standard = "TRC20"
contract = "{contract}"
decimals = 6
payable_decimals = 6
wm_coin_id = 1
minimum = "0.01"
sanity = "10000000"
"""


@dataclass
class TronWorld(World):
    net: TronNet = None
    token: TronContract = None
    is_lied_to: bool = False  # the books hold money, in quarantine, that every node invented

    @classmethod
    @asynccontextmanager
    async def on(
        cls, net: TronNet, token: TronContract, database: Database, clock: ManualClock, ring: KeyRing, *, folder: Path
    ) -> AsyncIterator[Self]:
        """Start the platform on a network of three nodes of which two must agree; `token` is its USDT."""
        urls = str(net.urls).replace("'", '"')
        (folder / "devnet.toml").write_text(
            ROWS.format(genesis=net.genesis, urls=urls, quorum=2, contract=token.address)
        )
        registry = load_registry(folder / "devnet.toml")
        world = await cls.start(database, clock, ring)
        world.net, world.token, world.registry = net, token, registry
        network, assets = registry.networks[NETWORK], registry.assets_of(NETWORK)
        chain = TronChain(
            network,
            assets,
            [Endpoint(url, timeout=timedelta(seconds=60)) for url in net.urls],
            quorum=2,
            options=TronOptions(patience=timedelta(seconds=60)),
        )
        world.guard = AssetGuard(database=database, chain=chain, assets=assets, clock=clock)
        async with world.following(chain, ring):
            yield world

    async def finish(self, blocks: int = 20) -> None:
        """Mine until what was sent is solid, pass the cadence of the search for hidden money, and follow."""
        await self.net.mine(blocks)
        self.clock.advance(CADENCE + timedelta(seconds=1))
        await self.settle()

    def pay(self, order: Payin, units: int | None = None) -> str:
        """Put the payment of an order into the pool."""
        units = order.units if units is None else units
        if order.asset == TRX:
            return self.net.pay(order.address, units)
        return self.token.send(TRANSFER, order.address, units)
