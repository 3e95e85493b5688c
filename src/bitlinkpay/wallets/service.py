"""Hand out addresses, keep the pool full, take over the signer's public keys."""

import asyncio
import os
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bitlinkpay.core.assets import Family, Network
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.signer.keyring import HotAddress, KeyRing, PoolAddress
from bitlinkpay.wallets import store
from bitlinkpay.wallets.derivation import Derivation
from bitlinkpay.wallets.model import Allotted, KeyRingDiffers, KeyRingMissing, NoAddressLeft, PoolGap

POOL_LOW: Final = 2_000
POOL_FULL: Final = 4_000
POOL_STEP: Final = 1_000

_SMALLEST_BLOCK = 16
_LARGEST_BLOCK = 1024
_LARGEST_CLAIM = 64  # the pool is finite: no process may starve the others of it
_BUSY_S = 1.0
_SAMPLES = 3


async def import_keyring(tx: Tx, ring: KeyRing) -> None:
    """Take over the signer's public keys; safe to repeat at every start.

    Sequences rise to the ring's floors, its first Solana addresses join the pool, the wallets that pay become ours:
    money that goes straight to one is recorded, as nobody's.

    Raises:
        KeyRingDiffers: this database handed out addresses of another seed, or by other rules.
    """
    there = await store.save_keyring(tx, ring)
    if there != ring.fingerprint:
        raise KeyRingDiffers(
            f"this database belongs to key ring {there[:8]}, the signer holds {ring.fingerprint[:8]};"
            " restore the right backup or point to the right database"
        )
    await _check_handed_out(tx, ring)
    await store.raise_sequences(tx, ring.floors)
    await store.add_pooled(tx, ring.solana)
    await store.save_wallets(tx, ring.hot or (HotAddress(Family.TON, False, 0, ring.ton_wallet),))


async def get_keyring(tx: Tx) -> KeyRing:
    """Return the key ring that this database works with.

    Raises:
        KeyRingMissing: none was imported yet.
    """
    ring = await store.find_keyring(tx)
    if ring is None:
        raise KeyRingMissing
    return ring


async def highest_indexes(tx: Tx) -> dict[str, int]:
    """Return per key family the highest index that may have been handed out, -1 for none: what a backup carries."""
    return {family.value: following - 1 for family, following in (await store.next_indexes(tx)).items()}


async def find_pool_gap(tx: Tx, *, low: int = POOL_LOW, full: int = POOL_FULL) -> PoolGap | None:
    """Say what to ask the signer for, at most 1,000 at a time, or None while the Solana pool is above its low mark."""
    free = await store.count_free(tx, full)
    if free >= low:
        return None
    first = (await store.next_indexes(tx))[Family.SOLANA]
    return PoolGap(first, min(full - free, POOL_STEP))


async def extend_pool(tx: Tx, addresses: Sequence[PoolAddress]) -> int:
    """Put the signer's answer into the pool; return how many were new (0 when another process was faster)."""
    return await store.add_pooled(tx, addresses)


@dataclass(slots=True)
class _Lane:
    """What one process holds of one key family."""

    stock: deque[Allotted | int] = field(default_factory=deque)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    size: int = _SMALLEST_BLOCK
    refilled_at: float = float("-inf")


class Allocator:
    """Hands out addresses of one deployment in this process.

    Indexes come in blocks, each taken in a short transaction of its own, so that two processes never hold the same one;
    blocks grow while orders are many. What a stopped process leaves unused is never handed out.
    """

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database = database
        self._derivation = Derivation(ring)
        self._lanes = {family: _Lane() for family in Family}
        self._holder = f"{socket.gethostname()}:{os.getpid()}"

    async def take(self, network: Network) -> Allotted:
        """Return an address (and tag) that nobody else has or will have.

        Raises:
            NoAddressLeft: the Solana pool is empty for the moment.
            Unavailable: the database gave no block.
        """
        lane = self._lanes[network.family]
        while not lane.stock:
            async with lane.lock:
                if not lane.stock:
                    await self._refill(lane, network.family)
        taken = lane.stock.popleft()
        if isinstance(taken, Allotted):
            return taken
        if network.family is Family.TON:
            address, tag = self._derivation.place(taken)
            return Allotted(Family.TON, taken, address, tag)
        address = self._derivation.address(network.family, taken, testnet=network.testnet)
        return Allotted(network.family, taken, address, "")

    async def _refill(self, lane: _Lane, family: Family) -> None:
        now = asyncio.get_running_loop().time()
        is_busy = now - lane.refilled_at < _BUSY_S
        lane.size = min(lane.size * 2, _LARGEST_BLOCK) if is_busy else _SMALLEST_BLOCK
        lane.refilled_at = now
        if family is Family.SOLANA:
            lane.stock.extend(await self._claim_pooled(min(lane.size, _LARGEST_CLAIM)))
        else:
            lane.stock.extend(await self._take_block(family, lane.size))

    async def _take_block(self, family: Family, count: int) -> range:
        async def work(tx: Tx) -> range:
            return await store.take_block(tx, family, count, self._holder)

        return await self._database.unit(work, resolve=work)  # a block lost at COMMIT is a gap: take the next

    async def _claim_pooled(self, count: int) -> list[Allotted]:
        async def work(tx: Tx) -> list[PoolAddress]:
            return await store.claim_pooled(tx, count, self._holder)

        claimed = await self._database.unit(work, resolve=work)
        if not claimed:
            raise NoAddressLeft
        return [Allotted(Family.SOLANA, pooled.index, pooled.address, "") for pooled in claimed]


async def _check_handed_out(tx: Tx, ring: KeyRing) -> None:
    """Compare some addresses that orders have with what the ring derives (THREATS, PAY-41)."""
    derivation = Derivation(ring)
    for family in Family:
        for index, address, tag in await store.sample_handed_out(tx, family, _SAMPLES):
            if (address, tag) not in await _derive(tx, derivation, family, index):
                raise KeyRingDiffers(
                    f"the signer's keys do not give {address}, which this database handed out as {family} {index}"
                )


async def _derive(tx: Tx, derivation: Derivation, family: Family, index: int) -> set[tuple[str, str]]:
    match family:
        case Family.TON:
            return {derivation.place(index)}
        case Family.SOLANA:
            return {(await store.find_pooled(tx, index) or "", "")}
        case _:
            return {(derivation.address(family, index, testnet=testnet), "") for testnet in (False, True)}
