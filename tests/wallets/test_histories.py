"""Random histories of a deployment: whatever stops, restarts and is restored, no place is handed out twice."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest
from tests.wallets.conftest import SEED

from bitlinkpay.core.assets import Family, Network
from bitlinkpay.db.driver import connect
from bitlinkpay.db.pool import Database
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.keys import SolanaBranch, derive_keyring
from bitlinkpay.signer.service import RESTORE_GAP
from bitlinkpay.wallets import service, store
from bitlinkpay.wallets.model import Allotted, NoAddressLeft
from bitlinkpay.wallets.service import Allocator

BRANCH = SolanaBranch.of(SEED)


@dataclass
class Deployment:
    """What the outside world remembers of it."""

    database: Database
    networks: list[Network]
    chance: random.Random
    ring: KeyRing = field(default_factory=lambda: derive_keyring(SEED))
    allocators: list[Allocator] = field(default_factory=list)
    handed_out: list[Allotted] = field(default_factory=list)
    backup: dict[str, int] = field(default_factory=dict)

    async def import_ring(self) -> None:
        async with self.database.transaction() as tx:
            await service.import_keyring(tx, self.ring)

    async def orders(self) -> None:
        """Many orders at once, some of which are given up."""
        tasks = [
            asyncio.create_task(self.chance.choice(self.allocators).take(self.chance.choice(self.networks)))
            for _ in range(self.chance.randrange(1, 60))
        ]
        await asyncio.sleep(0)
        for task in tasks:
            if self.chance.random() < 0.1:
                task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Allotted):
                self.handed_out.append(outcome)
            else:
                assert isinstance(outcome, asyncio.CancelledError | NoAddressLeft), outcome

    async def restart(self) -> None:
        """A process ends with whatever it held, another one starts."""
        self.allocators[self.chance.randrange(len(self.allocators))] = Allocator(self.database, self.ring)

    async def fill_pool(self) -> None:
        async with self.database.transaction() as tx:
            gap = await service.find_pool_gap(tx, low=50, full=self.chance.randrange(60, 200))
        if gap is not None:
            addresses = BRANCH.pool(gap.first, gap.count)
            async with self.database.transaction() as tx:
                await service.extend_pool(tx, addresses[: self.chance.randrange(1, len(addresses) + 1)])

    async def back_up(self) -> None:
        async with self.database.reader() as tx:
            self.backup = await service.highest_indexes(tx)

    async def restore_signer(self) -> None:
        """From the last backup, however old, with a narrow gap so that floors fall below and above the sequences."""
        floors = {family.value: self.backup.get(family, -1) + 1 + self.chance.randrange(40) for family in Family}
        floors = {name: max(floor, self.ring.floors.get(name, 0)) for name, floor in floors.items()}
        self.ring = derive_keyring(SEED, floors)
        await self.import_ring()

    async def check(self) -> None:
        places = [(allotted.address, allotted.tag) for allotted in self.handed_out]
        assert len(places) == len(set(places))
        keys = [(allotted.key_family, allotted.key_index) for allotted in self.handed_out]
        assert len(keys) == len(set(keys))
        async with self.database.reader() as tx:
            highest = await service.highest_indexes(tx)
            blocks = await tx.fetch("select key_family, first_index, last_index from address_blocks order by 1, 2")
        assert all(allotted.key_index <= highest[allotted.key_family] for allotted in self.handed_out)
        covered = {
            (Family(row["key_family"]), index)
            for row in blocks
            for index in range(row["first_index"], row["last_index"] + 1)
        }
        assert {key for key in keys if key[0] is not Family.SOLANA} <= covered
        assert len(covered) == sum(row["last_index"] - row["first_index"] + 1 for row in blocks)


@pytest.mark.parametrize("seed", range(8))
async def test_DEP_14_no_history_hands_a_place_out_twice(
    database: Database, networks: dict[str, Network], seed: int
) -> None:
    """Replay one with `-k 'twice[3]'`: the seed decides everything but the timing inside one step."""
    deployment = Deployment(database, list(networks.values()), random.Random(seed))
    await deployment.import_ring()
    deployment.allocators = [Allocator(database, deployment.ring) for _ in range(3)]
    steps = [deployment.orders] * 6 + [
        deployment.restart,
        deployment.fill_pool,
        deployment.fill_pool,
        deployment.back_up,
        deployment.restore_signer,
        deployment.import_ring,
    ]
    for _ in range(25):
        await deployment.chance.choice(steps)()
        await deployment.check()
    assert len(deployment.handed_out) > 100


async def test_OPS_14_a_lost_database_and_an_old_backup_still_hand_out_nothing_twice(
    database: Database, schema_owner_dsn: str, networks: dict[str, Network]
) -> None:
    """The worst case: everything since the backup is forgotten by everybody but the payers."""
    ring = derive_keyring(SEED)
    async with database.transaction() as tx:
        await service.import_keyring(tx, ring)
        backup = await service.highest_indexes(tx)
    allocator = Allocator(database, ring)
    before = [await allocator.take(network) for network in networks.values() for _ in range(50)]
    await forget_everything(schema_owner_dsn)
    restored = derive_keyring(SEED, {name: index + 1 + RESTORE_GAP for name, index in backup.items()})
    async with database.transaction() as tx:
        await service.import_keyring(tx, restored)
        assert min((await store.next_indexes(tx)).values()) >= RESTORE_GAP
    fresh = Allocator(database, restored)
    after = [await fresh.take(network) for network in networks.values() for _ in range(50)]
    assert not {(a.address, a.tag) for a in before} & {(a.address, a.tag) for a in after}


async def forget_everything(owner_dsn: str) -> None:
    owner = await connect(owner_dsn)
    await owner.execute("truncate addresses, address_blocks, keyrings, solana_addresses, address_sequences")
    for family in Family:
        await owner.execute("insert into address_sequences (key_family) values ($1)", family.value)
    await owner.close()
