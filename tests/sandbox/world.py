"""Simulated networks on a real database, and short words to move them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from tests.support.clock import ManualClock

from bitlinkpay.chains.address import parse_address
from bitlinkpay.chains.base import Arrival, Block, BlockRef, Transfer
from bitlinkpay.chains.registry import Registry, load_registry
from bitlinkpay.chains.simulated import SimulatedChain
from bitlinkpay.chains.simulated_format import address_from
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.db.pool import Database
from bitlinkpay.sandbox.model import Fork, Payment
from bitlinkpay.sandbox.service import Sandbox, mine_due
from bitlinkpay.sandbox.store import SandboxState

REGISTRY = load_registry()
INTERVAL = timedelta(seconds=3)


def address_of(network: Network, number: int) -> str:
    """Return the n-th of many addresses of a network."""
    return address_from(network, number.to_bytes(32, "big")[::-1])


@dataclass
class World:
    database: Database
    clock: ManualClock
    registry: Registry
    sandbox: Sandbox
    state: SandboxState

    @classmethod
    async def start(cls, database: Database, clock: ManualClock) -> "World":
        world = cls(database, clock, REGISTRY, Sandbox(REGISTRY), SandboxState(database))
        async with database.transaction() as tx:
            await world.sandbox.prepare(tx, clock.now())
        clock.advance(timedelta(minutes=1))
        return world

    def chain(self, network_id: str, state: SandboxState | None = None) -> SimulatedChain:
        network = self.registry.network(network_id)
        return SimulatedChain(network, self.registry.assets_of(network_id), state or self.state)

    def payment(self, asset_id: str, number: int, units: int, **more: object) -> Payment:
        asset = self.registry.asset(asset_id)
        return Payment(asset, address_of(self.registry.network(asset.network), number), units, **more)  # type: ignore[arg-type]

    async def pay(self, *payments: Payment) -> list[str]:
        async with self.database.transaction() as tx:
            return await self.sandbox.pay(tx, payments, self.clock.now())

    async def pay_together(self, *payments: Payment) -> str:
        async with self.database.transaction() as tx:
            return await self.sandbox.pay_together(tx, payments, self.clock.now())

    async def mine(self, network_id: str, blocks: int = 1) -> BlockRef:
        async with self.database.transaction() as tx:
            return await self.sandbox.mine(tx, network_id, blocks, self.clock.now())

    async def reorg(self, network_id: str, depth: int, fork: Fork) -> BlockRef:
        async with self.database.transaction() as tx:
            return await self.sandbox.reorg(tx, network_id, depth, fork, self.clock.now())

    async def forget(self, network_id: str, txid: str) -> bool:
        async with self.database.transaction() as tx:
            return await self.sandbox.forget(tx, network_id, txid)

    async def tick(self, by: timedelta = INTERVAL, interval: timedelta = INTERVAL) -> list[str]:
        self.clock.advance(by)
        async with self.database.transaction() as tx:
            return await mine_due(tx, self.clock.now(), interval)

    async def rows(self, table: str) -> int:
        async with self.database.reader() as tx:
            return await tx.fetchval(f"SELECT count(*) FROM {table}")

    async def all_blocks(self, network_id: str) -> list[Block]:
        chain = self.chain(network_id)
        latest = (await chain.head()).latest.height
        blocks: list[Block] = []
        first = 1
        while first <= latest:
            got = await chain.scan(first, latest)
            assert got, "a range that holds blocks never comes back empty"
            blocks += got
            first = got[-1].height + 1
        return blocks


def check_chain(network: Network, blocks: Sequence[Block]) -> None:
    """Assert what `Chain.scan` promises of any blocks it returns."""
    for before, after in pairwise(blocks):
        assert after.parent == before.hash
        assert after.height > before.height
        assert after.time >= before.time
    assert len({block.hash for block in blocks}) == len(blocks)
    keys = [(t.txid, t.position) for block in blocks for t in block.transfers]
    assert len(set(keys)) == len(keys)
    for block in blocks:
        for transfer in block.transfers:
            assert transfer.units > 0
            assert parse_address(network, transfer.target) == transfer.target
            assert not transfer.source or parse_address(network, transfer.source) == transfer.source


def transfers_of(blocks: Sequence[Block]) -> list[Transfer]:
    return [transfer for block in blocks for transfer in block.transfers]


def internal(asset: Asset, target: str, units: int) -> Payment:
    return Payment(asset, target, units, arrival=Arrival.INTERNAL)


def minutes(count: int) -> timedelta:
    return timedelta(minutes=count)


def later(moment: datetime, seconds: int) -> datetime:
    return moment + timedelta(seconds=seconds)
