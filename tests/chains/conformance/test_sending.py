"""One suite over every family: the shipped lane pays on the family's own network, once, whatever happens in between."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import pytest
from tests.chains.conformance.rigs import FAMILIES, Rig, start
from tests.flows.faults import Crash, Fault, FaultyDatabase, Fuse
from tests.support.clock import ManualClock
from tests.support.crowd import WrongClock, crowd

from bitlinkpay.chains.outgoing import Broadcast, Intent, Payment, Purpose, Signed, numbers_taken
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.clock import Clock, SystemClock
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.core.ids import SendingId, new_uuid7
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import LedgerEvent, Move, Posting
from bitlinkpay.sending import service
from bitlinkpay.sending.lane import LaneWorker
from bitlinkpay.sending.lanes import store as lanes
from bitlinkpay.sending.model import OwnerKind, Sending, SendingState
from bitlinkpay.sending.outputs import store as outputs
from bitlinkpay.sending.parts import LaneParts
from bitlinkpay.sending.service import Ending, Stage

PLACES = (3, 9, 14, 18, 22, 26, 30, 34)


@dataclass
class Ledgerless:
    """Who asked for the payments: keeps what it is told, and books what has left."""

    rig: Rig
    ended_: list[Ending] = field(default_factory=list)

    async def progressed(self, tx: Tx, sendings: Sequence[Sending], stage: Stage, txid: str, now: object) -> None:
        assert sendings
        assert txid or stage is Stage.QUEUED

    async def ended(self, tx: Tx, endings: Sequence[Ending], now) -> None:
        self.ended_ += endings
        custody = service.custody(self.rig.network, self.rig.payer)
        for ending in endings:
            payment = ending.sending.payment
            if payment is not None and ending.is_delivered:
                left = Posting(
                    key=f"left:{ending.sending.owner_id.hex}",
                    event=LedgerEvent.OWN_TRANSFER,
                    asset=payment.asset,
                    moves=(Move(accounts.EQUITY, custody, payment.units),),
                    merchant_id=None,
                    happened_at=now,
                )
                await ledger.post_all(tx, [left])


@dataclass
class Door:
    """The family's sender, with a fuse around what it tells the network."""

    rig: Rig
    fuse: Fuse

    def __getattr__(self, name: str) -> object:
        return getattr(self.rig.sender, name)

    async def broadcast(self, signed: Signed) -> Broadcast:
        self.fuse.tick()
        answer = await self.rig.sender.broadcast(signed)
        self.fuse.tick()
        return answer

    async def sign(self, intent: Intent, plan: object) -> Signed:
        self.fuse.tick()
        signed = await self.rig.sign(intent, plan)
        self.fuse.tick()
        return signed


class Lane:
    """The lane of the rig's wallet on a real database."""

    def __init__(self, rig: Rig, database: Database) -> None:
        self.rig = rig
        self.database = database
        self.wall = ManualClock(SystemClock().now())
        self.owner = Ledgerless(rig)

    def worker(self, fuse: Fuse | None = None, wall: Clock | None = None) -> LaneWorker[object]:
        fuse = fuse or Fuse()
        door = Door(self.rig, fuse)
        database: Database = FaultyDatabase(self.database, fuse)  # type: ignore[assignment]
        return LaneWorker(
            LaneParts(
                database=database,
                registry=self.rig.registry,
                network=self.rig.network,
                sender=door,  # type: ignore[arg-type]
                plan_type=self.rig.plan_type,
                signing=door,
                owners=dict.fromkeys(OwnerKind, self.owner),
                clock=self.wall,
                wall=wall or self.wall,
                limits=self.rig.limits,
            ),
            self.rig.payer,
        )

    async def open(self) -> None:
        """Book what the wallet holds, and take note of its outputs."""
        custody = service.custody(self.rig.network, self.rig.payer)
        gifts = [
            Posting(
                key=f"gift:{asset}",
                event=LedgerEvent.HOT_WALLET_FUNDED,
                asset=asset,
                moves=(Move(custody, accounts.EQUITY, units),),
                merchant_id=None,
                happened_at=self.wall.now(),
            )
            for asset, units in self.rig.held.items()
        ]
        async with self.database.transaction() as tx:
            await ledger.post_all(tx, gifts)
            await outputs.add(tx, self.rig.network.id, self.rig.outputs, self.wall.now())
            if self.rig.first_number is not None:
                await lanes.open_(tx, self.rig.network.id, self.rig.payer, self.rig.first_number)

    async def ask(self, asset: Asset, *payments: tuple[str, int], times: int = 2) -> list[Sending]:
        """Queue payments, each of which may cost so many `times` what one alone may cost at most."""
        quote = await self.rig.sender.quote(self._intent(asset, payments[0]))
        now = self.wall.now()
        asked = [
            Sending(
                sending_id=SendingId(new_uuid7()),
                owner=OwnerKind.PAYOUT,
                owner_id=new_uuid7(),
                merchant_id=None,
                network=self.rig.network.id,
                purpose=Purpose.PAYOUT,
                payer=self.rig.payer,
                payment=Payment(self.rig.payer, asset.id, target, "", units),
                fee_max_units=times * quote.units_max,
                state=SendingState.QUEUED,
                transaction_id=None,
                reason="",
                queued_at=now,
                not_before=now,
            )
            for target, units in payments
        ]
        await self.database.unit(lambda tx: service.queue(tx, asked, now))
        return asked

    def _intent(self, asset: Asset, payment: tuple[str, int]) -> Intent:
        target, units = payment
        return Intent(
            intent_id=new_uuid7(),
            network=self.rig.network.id,
            purpose=Purpose.PAYOUT,
            payer=self.rig.payer,
            payments=(Payment(self.rig.payer, asset.id, target, "", units),),
            fee_max_units=0,
            expires_at=self.wall.now() + timedelta(hours=1),
        )

    async def finish(self, count: int) -> None:
        """Let workers and blocks alternate until so many payments have their end."""
        worker = self.worker()
        for _ in range(30):
            self.wall.advance(timedelta(seconds=25))  # any lease of one that was killed runs out
            while await worker.step():
                continue
            if len(self.owner.ended_) >= count:
                return
            await self.rig.finalize()
        raise AssertionError(f"{len(self.owner.ended_)} of {count} payments ended")

    async def states(self) -> set[str]:
        async with self.database.reader() as tx:
            return {row["state"] for row in await tx.fetch("select state from transactions")}

    async def check_books(self) -> None:
        """Hold what the books say of the wallet against the chain, to the unit."""
        custody = service.custody(self.rig.network, self.rig.payer)
        for asset in self.rig.assets.values():
            if self.rig.name == "ton" and asset.is_native:
                continue  # jetton payments bring excess coin back, which the watcher books when it arrives
            async with self.database.reader() as tx:
                booked = await ledger.balance(tx, custody, asset.id)
            assert booked == await self.rig.balance(asset, self.rig.payer.address), asset.id


@pytest.fixture(params=FAMILIES)
async def lane(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Lane]:
    async with start(request.param) as rig:
        lane = Lane(rig, database)
        await lane.open()
        yield lane


def paid_assets(rig: Rig) -> list[tuple[Asset, int]]:
    return [(rig.coin, rig.coin_units), *([(rig.token, 1_500_000)] if rig.token else [])]


async def test_one_payment_of_each_asset_arrives_once(lane: Lane) -> None:
    rig = lane.rig
    for number, (asset, units) in enumerate(paid_assets(rig)):
        await lane.ask(asset, (rig.stranger(number), units))
        await lane.finish(number + 1)
        assert lane.owner.ended_[-1].is_delivered
        assert await rig.balance(asset, rig.stranger(number)) == units
    assert await lane.states() == {"final"}
    await lane.check_books()


async def test_a_batch_arrives_and_shares_what_the_network_lets_it_share(lane: Lane) -> None:
    rig = lane.rig
    asset, units = paid_assets(rig)[-1]
    targets = [rig.stranger(number) for number in range(6)]
    await lane.ask(asset, *((target, units + number) for number, target in enumerate(targets)))
    most = rig.sender.payments_max(asset, Purpose.PAYOUT)
    await lane.finish(6 + (1 if rig.name == "evm" else 0))  # an EVM wallet is made ready first
    assert [await rig.balance(asset, target) for target in targets] == [units + number for number in range(6)]
    async with lane.database.reader() as tx:
        carried = await tx.fetchval("select count(*) from transactions where purpose = 'payout' and state = 'final'")
    assert carried == (6 if most == 1 else 1)
    await lane.check_books()


async def test_a_few_payments_that_may_cost_what_each_alone_costs_leave_without_a_rest(lane: Lane) -> None:
    """As payouts are quoted: together they may not cost what a batch on an EVM network may cost at most."""
    rig = lane.rig
    asset, units = paid_assets(rig)[-1]
    setups = 1 if rig.name == "evm" else 0
    for count in (2, 3):
        targets = [rig.stranger(10 * count + number) for number in range(count)]
        before = len(lane.owner.ended_)
        await lane.ask(asset, *((target, units) for target in targets), times=1)
        await lane.finish(before + count + (setups if before == 0 else 0))
        assert [await rig.balance(asset, target) for target in targets] == [units] * count
    async with lane.database.reader() as tx:
        assert await tx.fetch("select reason from sendings where reason <> '' or not_before > queued_at") == []
    await lane.check_books()


@pytest.mark.parametrize("lane", ["evm", "bitcoin"], indirect=True)
async def test_PAY_03_many_workers_use_no_number_and_no_output_twice(lane: Lane) -> None:
    rig, count = lane.rig, 12
    workers = [lane.worker(wall=WrongClock(lane.wall, Random(number))) for number in range(8)]
    asked = 0

    async def left() -> int:
        nonlocal asked
        if asked < count:  # one by one, so that many transactions follow each other
            await lane.ask(rig.coin, (rig.stranger(asked), rig.coin_units + asked))
            asked += 1
        async with lane.database.reader() as tx:
            done = "select count(*) from sendings where owner = 'payout' and state = 'delivered'"
            return count - await tx.fetchval(done)

    await crowd(workers, mine=rig.finalize, left=left)
    for number in range(count):
        assert await rig.balance(rig.coin, rig.stranger(number)) == rig.coin_units + number
    async with lane.database.reader() as tx:
        sent = await tx.fetch("select number, purpose from transactions where state <> 'released' order by number")
        spent = await tx.fetch("select spent_by from unspents where spent_by is not null")
    following = 0
    for row in sent:  # no gap, no duplicate
        assert row["number"] == following
        following += numbers_taken(rig.network.family, Purpose(row["purpose"]))
    assert rig.name == "evm" or len({row["spent_by"] for row in spent}) == len(sent) > 1
    assert await lane.states() <= {"final", "released"}
    await lane.check_books()


@pytest.mark.parametrize("fault", [Fault.KILL, Fault.CUT])
async def test_PAY_01_killed_between_steps_of_a_send_it_is_still_one_payment(lane: Lane, fault: Fault) -> None:
    rig, blown = lane.rig, 0
    for number, place in enumerate(PLACES):
        await lane.ask(rig.coin, (rig.stranger(number), rig.coin_units + number))
        fuse = Fuse(place, fault)
        worker = lane.worker(fuse)
        lane.wall.advance(timedelta(seconds=25))
        try:
            while await _step(worker):
                continue
        except Crash:
            pass
        blown += fuse.has_blown
        await lane.finish(number + 1)
        assert await rig.balance(rig.coin, rig.stranger(number)) == rig.coin_units + number, place
    assert blown >= len(PLACES) // 2
    assert all(ending.is_delivered for ending in lane.owner.ended_)
    await lane.check_books()


async def _step(worker: LaneWorker[object]) -> bool:
    try:
        return await worker.step()
    except Unavailable:
        return True


async def test_PAY_02_two_workers_pay_once(lane: Lane) -> None:
    rig = lane.rig
    await lane.ask(rig.coin, (rig.stranger(0), rig.coin_units))
    one, other = lane.worker(), lane.worker()
    for _ in range(4):
        await one.step()
        await other.step()
    await lane.finish(1)
    assert await rig.balance(rig.coin, rig.stranger(0)) == rig.coin_units
    await lane.check_books()


async def test_PAY_05_what_every_node_forgot_is_sent_again_as_the_same_bytes(lane: Lane) -> None:
    rig = lane.rig
    if rig.drop is None:
        pytest.skip("this network has no pool that could forget: a transaction is taken into the next block or expires")
    await lane.ask(rig.coin, (rig.stranger(0), rig.coin_units))
    worker = lane.worker()
    while await worker.step():
        continue
    await rig.drop()
    await lane.finish(1)
    assert await rig.balance(rig.coin, rig.stranger(0)) == rig.coin_units
    async with lane.database.reader() as tx:
        assert await tx.fetchval("select count(distinct raw) from transaction_attempts") == 1
    await lane.check_books()
