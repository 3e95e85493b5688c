"""Seeded random lives of a simulated network, followed by a small watcher that sees only what `Chain` shows."""

import random
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from tests.sandbox.world import REGISTRY, World, check_chain, transfers_of
from tests.support.clock import ManualClock

from bitlinkpay.chains.base import Block, FateState
from bitlinkpay.chains.simulated import SimulatedChain
from bitlinkpay.db.pool import Database
from bitlinkpay.sandbox.model import Fork


@dataclass
class Follower:
    """Keeps the blocks seen so far, and goes back to the fork's root when they are no longer those of the chain."""

    chain: SimulatedChain
    blocks: list[Block] = field(default_factory=list)
    final: int = 0

    async def catch_up(self) -> None:
        head = await self.chain.head()
        assert head.final.height >= self.final, "final never goes backwards"
        self.final = head.final.height
        while self.blocks and await self.chain.block_hash(self.blocks[-1].height) != self.blocks[-1].hash:
            self.blocks.pop()
        first = self.blocks[-1].height + 1 if self.blocks else 1
        while first <= head.latest.height:
            got = await self.chain.scan(first, min(first + 6, head.latest.height))
            if self.blocks and got:
                assert got[0].parent == self.blocks[-1].hash
            self.blocks += got
            first = min(first + 6, head.latest.height) + 1
        check_chain(self.chain.network, self.blocks)
        assert self.blocks[-1].hash == head.latest.hash


class Life:
    """What the network must look like after everything that was done to it."""

    def __init__(self, world: World, network_id: str, seed: int) -> None:
        self.world = world
        self.network = world.registry.network(network_id)
        self.random = random.Random(seed)
        self.waiting: list[str] = []
        self.mined: list[tuple[str, int]] = []  # transaction, how many blocks the chain had after its block
        self.length = 64
        self.gone: list[str] = []
        self.units: dict[str, int] = {}

    async def step(self) -> None:
        choice = self.random.choices([self.pay, self.mine, self.tick, self.fork, self.forget], weights=[5, 4, 6, 2, 1])[
            0
        ]
        await choice()

    async def pay(self) -> None:
        assets = self.world.registry.assets_of(self.network.id)
        payments = [
            self.world.payment(self.random.choice(assets).id, self.random.randrange(5), self.random.randrange(1, 10**9))
            for _ in range(self.random.randrange(1, 5))
        ]
        txids = await self.world.pay(*payments)
        self.waiting += txids
        self.units |= {txid: payment.units for txid, payment in zip(txids, payments, strict=True)}

    async def mine(self) -> None:
        blocks = self.random.randrange(1, 4)
        await self.world.mine(self.network.id, blocks)
        self._take(self.length + 1)
        self.length += blocks

    async def tick(self) -> None:
        if self.network.id in await self.world.tick(timedelta(seconds=self.random.choice([1, 3, 3, 3, 4, 60]))):
            self.length += 1
            self._take(self.length)

    async def fork(self) -> None:
        depth, fork = self.random.randrange(1, 9), self.random.choice(list(Fork))
        await self.world.reorg(self.network.id, depth, fork)
        undone = [txid for txid, place in self.mined if place > self.length - depth]
        self.mined = [(txid, place) for txid, place in self.mined if place <= self.length - depth]
        if fork is Fork.KEEP:
            self.waiting = undone + self.waiting
        else:
            self.gone += undone
        self._take(self.length - depth + 2)
        self.length += 1

    async def forget(self) -> None:
        if self.waiting:
            txid = self.waiting.pop(self.random.randrange(len(self.waiting)))
            assert await self.world.forget(self.network.id, txid)
            self.gone.append(txid)

    def _take(self, place: int) -> None:
        self.mined += [(txid, place) for txid in self.waiting]
        self.waiting = []

    async def check(self, follower: Follower) -> None:
        await follower.catch_up()
        assert len(follower.blocks) == self.length
        found = {t.txid: place for place, block in enumerate(follower.blocks, 1) for t in block.transfers}
        assert found == dict(self.mined)
        assert {t.txid: t.units for t in transfers_of(follower.blocks)} == {t: self.units[t] for t, _ in self.mined}
        assert await self.world.all_blocks(self.network.id) == follower.blocks


@pytest.fixture
async def world(database: Database, clock: ManualClock) -> World:
    return await World.start(database, clock)


@pytest.mark.parametrize("network_id", ["tron", "solana", "bitcoin", "ton", "polygon"])
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_follower_always_ends_up_with_the_chain_as_it_is(world: World, network_id: str, seed: int) -> None:
    assert network_id in REGISTRY.networks
    life = Life(world, network_id, seed)
    chain = world.chain(network_id)
    follower = Follower(chain)
    for _ in range(25):
        for _ in range(life.random.randrange(1, 5)):
            await life.step()
        await life.check(follower)
    for txids, states in (
        (life.waiting, {FateState.PENDING}),
        (life.gone, {FateState.UNKNOWN}),
        ([txid for txid, _ in life.mined], {FateState.MINED, FateState.FINAL}),
    ):
        for txid in txids[:10]:
            assert (await chain.fate(txid)).state in states
