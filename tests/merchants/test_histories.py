"""Random lives of a merchant: the history alone gives back what it is, and every state was reached by an allowed move."""

import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import msgspec
import pytest
from tests.merchants.conftest import NOW
from tests.support.clock import ManualClock
from tests.support.sealing import SEALER

from bitlinkpay.core.errors import Conflict, Invalid, NotFound
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.merchants import service, store
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.merchants.directory import Directory
from bitlinkpay.merchants.model import MERCHANT, Certificate, Merchant, MerchantEvent, MerchantState, Policy
from bitlinkpay.merchants.service import Created

E = MerchantEvent
POLICIES = [Policy(), Policy(1000), Policy(0, {"usdt-tron": 5}), Policy(is_summing=True, accepts_over=True)]


@dataclass
class Life:
    """A merchant, and what its operator did to it."""

    database: Database
    authority: Authority
    created: Created
    chance: random.Random
    now: datetime = NOW
    live_spkis: set[bytes] = field(default_factory=set)
    refusals: int = 0

    async def act(self) -> None:
        """Do one thing, allowed or not, in a transaction of its own."""
        self.now += timedelta(minutes=self.chance.randrange(1, 100))
        step = self.chance.choice(
            [
                self.change,
                self.change,
                self.change,
                self.suspend,
                self.resume,
                self.rotate_secret,
                self.certify,
                self.revoke_one,
            ]
        )
        try:
            async with self.database.transaction() as tx:
                await step(tx)
        except (Conflict, Invalid, NotFound):
            self.refusals += 1

    async def change(self, tx: Tx) -> None:
        edits: list[Callable[[Merchant], Merchant]] = [
            lambda m: replace(m, fee_ppm=self.chance.choice([0, 3000, 2500, -1])),
            lambda m: replace(m, policy=self.chance.choice(POLICIES)),
            lambda m: replace(m, order_life=timedelta(minutes=self.chance.choice([30, 45, 0]))),
            lambda m: replace(m, accent=self.chance.choice(["", "#0b57d0", "#ffff00"])),
            lambda m: replace(m, callback_statuses=self.chance.choice([(8,), (8, 12, 16, 20), (9,)])),
            lambda m: replace(m, return_hosts=self.chance.choice([(), ("a.example",), ("a.example", "b.example")])),
        ]
        await service.change(tx, self.key, self.chance.choice(edits), now=self.now)

    async def suspend(self, tx: Tx) -> None:
        await service.suspend(tx, self.key, now=self.now)

    async def resume(self, tx: Tx) -> None:
        await service.resume(tx, self.key, now=self.now)

    async def rotate_secret(self, tx: Tx) -> None:
        await service.rotate_webhook_secret(tx, SEALER, self.key, now=self.now)

    async def certify(self, tx: Tx) -> None:
        """Stand in for `issue_certificate` without the cost of an RSA key: the same row, the same limit."""
        held = [held for held in await service.list_certificates(tx, self.key) if held.is_valid(self.now)]
        if len(held) < service.MOST_CERTIFICATES:
            spki = self.chance.randbytes(32)
            year = timedelta(days=365)
            await store.insert_certificate(tx, Certificate(spki, self.key, "1", "pem", self.now, self.now + year))
            self.live_spkis.add(spki)

    async def revoke_one(self, tx: Tx) -> None:
        held = await service.list_certificates(tx, self.key)
        chosen = self.chance.choice(held).spki
        await service.revoke_certificate(tx, self.key, chosen, now=self.now)
        self.live_spkis.discard(chosen)

    @property
    def key(self) -> service.MerchantId:
        return self.created.merchant.merchant_id


def replay(created: Merchant, notes: list[service.Note]) -> Merchant:
    """Rebuild the merchant from its history."""
    terms = msgspec.json.decode(msgspec.json.encode(created))
    state = ""
    for note in notes:
        assert note.from_state == state
        if note.event is not E.CREATED:
            assert MERCHANT.next(MerchantState(note.from_state), note.event) == note.to_state
        state = note.to_state
        if note.event is E.CHANGED:
            for name, change in note.detail.items():
                assert isinstance(change, dict)
                assert terms[name] == change["from"]
                terms[name] = change["to"]
    return msgspec.convert(terms | {"state": state}, Merchant)


@pytest.mark.parametrize("seed", range(6))
async def test_the_history_tells_the_whole_life(
    database: Database, authority: Authority, created: Created, seed: int
) -> None:
    life = Life(database, authority, created, random.Random(seed), live_spkis={created.credentials.spki})
    for _ in range(40):
        await life.act()
        async with database.reader() as tx:
            merchant, notes = await service.get(tx, life.key), await service.list_events(tx, life.key)
        assert replay(created.merchant, notes) == merchant
    assert life.refusals
    assert [note.seq for note in notes] == list(range(1, len(notes) + 1))
    assert all(earlier.at <= later.at for earlier, later in itertools.pairwise(notes))


@pytest.mark.parametrize("seed", range(6))
async def test_API_05_only_live_certificates_of_a_living_merchant_are_let_in(
    database: Database, authority: Authority, created: Created, seed: int
) -> None:
    """After each step, for every certificate it ever had, with a directory that remembers across all of them."""
    life = Life(database, authority, created, random.Random(seed), live_spkis={created.credentials.spki})
    wall, moment = ManualClock(NOW), [1000.0]
    directory = Directory(database, wall=wall, monotonic_s=lambda: moment[0])
    ever = {created.credentials.spki}
    for _ in range(30):
        await life.act()
        ever |= life.live_spkis
        moment[0] += 5
        wall.set(life.now)
        for spki in ever:
            found = await directory.find_by_spki(spki)
            assert found is not None
            assert found.is_revoked == (spki not in life.live_spkis)
    async with database.transaction() as tx:
        await service.revoke(tx, life.key, now=life.now)
    moment[0] += 5
    for spki in ever:
        found = await directory.find_by_spki(spki)
        assert found is not None
        assert found.is_revoked


ENDED: list[Callable[[Tx, Life], Awaitable[object]]] = [
    lambda tx, life: service.set_fee(tx, life.key, 1, now=NOW),
    lambda tx, life: service.change(tx, life.key, lambda m: replace(m, policy=Policy()), now=NOW),
    lambda tx, life: service.suspend(tx, life.key, now=NOW),
    lambda tx, life: service.resume(tx, life.key, now=NOW),
    lambda tx, life: service.revoke(tx, life.key, now=NOW),
    lambda tx, life: service.issue_certificate(tx, life.authority, life.key, now=NOW),
    lambda tx, life: service.rotate_certificates(tx, life.authority, life.key, now=NOW),
    lambda tx, life: service.revoke_certificate(tx, life.key, life.created.credentials.spki, now=NOW),
    lambda tx, life: service.rotate_webhook_secret(tx, SEALER, life.key, now=NOW),
]


async def test_nothing_can_be_done_to_a_merchant_that_ended(
    database: Database, authority: Authority, created: Created
) -> None:
    life = Life(database, authority, created, random.Random(0))
    async with database.transaction() as tx:
        await service.revoke(tx, life.key, now=NOW)
    for attempt in ENDED:
        with pytest.raises(Conflict, match="is revoked"):
            async with database.transaction() as tx:
                await attempt(tx, life)
    async with database.reader() as tx:
        assert (await service.list_events(tx, life.key))[-1].event is E.REVOKED
        assert await service.webhook_secrets(tx, [life.key], sealer=SEALER)  # what is still owed to it is still signed
