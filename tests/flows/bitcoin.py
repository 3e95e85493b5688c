"""The platform in one process on a real Bitcoin node: `World`, with Bitcoin read by `BitcoinChain`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self

from tests.chains.bitcoin.network import GENESIS, BitcoinNetwork
from tests.chains.bitcoin.serialize import TxOut
from tests.flows.harness import World
from tests.support.clock import ManualClock

from bitlinkpay.chains.bitcoin.chain import BitcoinChain, BitcoinOptions
from bitlinkpay.chains.bitcoin.script import script_of
from bitlinkpay.chains.codec.bitcoin import TEST
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.db.pool import Database
from bitlinkpay.payins.model import Payin
from bitlinkpay.signer.keyring import KeyRing

BTC, NETWORK = "btc-bitcoin", "bitcoin"
ROWS = """
[networks.bitcoin]
genesis = "{genesis}"
testnet = true
endpoints = ["{url}"]
"""


@dataclass
class BitcoinWorld(World):
    node: BitcoinNetwork = None

    @classmethod
    @asynccontextmanager
    async def on(
        cls,
        node: BitcoinNetwork,
        database: Database,
        clock: ManualClock,
        ring: KeyRing,
        *,
        folder: Path,
        **terms: object,
    ) -> AsyncIterator[Self]:
        """Start the platform on a node."""
        (folder / "devnet.toml").write_text(ROWS.format(genesis=GENESIS, url=node.url))
        registry = load_registry(folder / "devnet.toml")
        world = await cls.start(database, clock, ring, **terms)
        world.node, world.registry = node, registry
        async with world.following(world.adapter(), ring):
            yield world
        await world.holds_what_the_chain_shows()

    def adapter(self) -> BitcoinChain:
        """Return a fresh adapter, as after a restart."""
        endpoint = Endpoint(self.node.url, timeout=timedelta(seconds=60))
        options = BitcoinOptions(patience=timedelta(seconds=60), tip_age_max=None)
        registry = self.registry
        return BitcoinChain(
            registry.networks[NETWORK], registry.assets_of(NETWORK), [endpoint], quorum=1, options=options
        )

    async def restart(self) -> None:
        """Begin again with a fresh adapter and watcher on the same database."""
        await self.chains[NETWORK].aclose()
        self.chains[NETWORK] = self.adapter()
        self.watchers[NETWORK] = self.build_watcher(self.chains[NETWORK])
        async with self.database.transaction() as tx:  # the lease of the process that ended runs out
            await tx.execute("update cursors set lease_until = now() - interval '1 second'")

    async def mine_blocks(self, blocks: int = 1, **more: object) -> None:
        """Mine ten minutes apart, and let the platform follow."""
        for _ in range(blocks):
            self.clock.advance(timedelta(seconds=20))
            await self.node.mine(**more)
        await self.settle()

    async def send(self, order: Payin, units: int = 0, **more: object) -> str:
        """Broadcast a payment of an order by the faucet."""
        return await self.node.pay(order.address, units or order.units, **more)

    def out(self, order: Payin, units: int = 0) -> TxOut:
        return TxOut(units or order.units, script_of(order.address, TEST))

    async def holds_what_the_chain_shows(self) -> None:
        """Compare the books' custody with the blocks, read by the tests' own parser, to the satoshi."""
        held = await self.rows(
            """
            select substr(name, length(kind) + 2), sum(balance_units) from ledger_accounts
            where kind in ('custody:deposits', 'custody:hot') and asset = $1 group by 1
            """,
            BTC,
        )
        for address, units in held:
            assert await self.node.balance(BTC, str(address)) == units, address
