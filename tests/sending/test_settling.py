"""What moves together when a transaction moves: its payments, their owners, its outputs and the books, or nothing at all."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from tests.flows.harness import REGISTRY
from tests.sending.test_queue import HOT, NATIVE, sending
from tests.sending.test_stores import NETWORK, NOW, open_lane, queue, transaction

from bitlinkpay.chains.base import BlockRef, FateState
from bitlinkpay.chains.outgoing import Outcome, Purpose, Slot, Unspent
from bitlinkpay.core.fsm import IllegalMove
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import LedgerEvent, Move, Posting
from bitlinkpay.sending import service, settling
from bitlinkpay.sending.lanes import store as lanes
from bitlinkpay.sending.model import (
    OwnerKind,
    PaymentMoved,
    Sending,
    SendingEvent,
    SendingState,
    Transaction,
    TransactionEvent,
    TransactionState,
)
from bitlinkpay.sending.outputs import store as outputs
from bitlinkpay.sending.service import Ending, Stage
from bitlinkpay.sending.transactions import store as transactions

BLOCK = BlockRef(77, "0x" + "b1" * 32, NOW)
CUSTODY = accounts.hot_custody(HOT.address)
NETWORK_ROW = REGISTRY.networks[NETWORK]
COIN = Unspent("ab" * 32, 0, 5000, HOT)


@dataclass
class Ear:
    """An owner of payments that keeps what it is told; the packages above are the seam that stands behind it."""

    stages: list[tuple[Stage, str, tuple[UUID, ...]]] = field(default_factory=list)
    heard: list[Sending] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    problem: Exception | None = None

    async def progressed(self, tx: Tx, sendings: Sequence[Sending], stage: Stage, txid: str, now: datetime) -> None:
        del tx, now
        self.stages.append((stage, txid, tuple(one.owner_id for one in sendings)))
        self.heard = list(sendings)
        if self.problem:
            raise self.problem

    async def ended(self, tx: Tx, endings: Sequence[Ending], now: datetime) -> None:
        del tx, now
        self.endings += endings
        if self.problem:
            raise self.problem


@dataclass
class Table:
    """A lane with one transaction on its way, and those who asked for its payments."""

    database: Database
    owners: dict[OwnerKind, Ear]
    moving: Transaction

    async def now(self) -> Transaction:
        async with self.database.reader() as tx:
            found = await transactions.find(tx, self.moving.transaction_id)
        assert found is not None
        return found

    async def states(self) -> list[tuple[str, str]]:
        async with self.database.reader() as tx:
            rows = await tx.fetch("select state, reason from sendings order by place, queued_at")
        return [tuple(row) for row in rows]

    async def balance(self, account: str, asset: str = NATIVE) -> int:
        async with self.database.reader() as tx:
            return await ledger.balance(tx, account, asset)

    async def end(self, outcome: Outcome, *given_back: Unspent) -> None:
        moving = await self.now()
        async with self.database.transaction() as tx:
            await settling.end(
                tx, self.owners, moving, outcome, network=NETWORK_ROW, native=NATIVE, outputs=given_back, now=NOW
            )


async def carried(database: Database, *payments: Sending, unspent: Sequence[Unspent] = ()) -> Table:
    """Return payments that a signed and broadcast transaction carries."""
    await open_lane(database, uuid4())
    await queue(database, *payments)
    made = replace(transaction(*payments), slot=Slot(0, tuple(unspent)))
    owners = {kind: Ear() for kind in OwnerKind}
    async with database.transaction() as tx:
        if unspent:
            await outputs.add(tx, NETWORK, unspent, NOW)
        await ledger.post_all(
            tx,
            [
                Posting(
                    "funds", LedgerEvent.HOT_WALLET_FUNDED, NATIVE, (Move(CUSTODY, accounts.EQUITY, 1000),), None, NOW
                )
            ],
        )
        await transactions.allot(tx, made, NOW)
        await settling.progress(tx, owners, made, SendingEvent.TAKEN, now=NOW)
        await transactions.store_signed(tx, made, txid="t1", raw=b"bytes", wall=NOW)
        await transactions.move(tx, made, TransactionEvent.SIGNED, cause="t1", now=NOW)
        signed = replace(made, state=TransactionState.SIGNED)
        await transactions.move(tx, signed, TransactionEvent.BROADCAST, cause="accepted", now=NOW)
        found = await transactions.find(tx, made.transaction_id)
    assert found is not None
    assert [ear.stages for ear in owners.values() if ear.stages] == [], "to be taken is told to nobody"
    return Table(database, owners, found)


def outcome(state: FateState, *delivered: bool, fee: int = 9, back: int = 0) -> Outcome:
    return Outcome(state, "t1", BLOCK, fee, delivered, back)


def of(owner: OwnerKind, units: int = 1, merchant: int = 0) -> Sending:
    return replace(sending(units, merchant), owner=owner)


async def test_every_owner_hears_of_its_own_payments_and_of_no_others(database: Database) -> None:
    payout, refund, other = of(OwnerKind.PAYOUT), of(OwnerKind.REFUND, 2), of(OwnerKind.PAYOUT, 3, 1)
    table = await carried(database, payout, refund, other)
    async with database.transaction() as tx:
        await settling.announce(tx, table.owners, table.moving, Stage.BROADCAST, txid="t1", now=NOW)
    assert table.owners[OwnerKind.PAYOUT].stages == [(Stage.BROADCAST, "t1", (payout.owner_id, other.owner_id))]
    assert table.owners[OwnerKind.REFUND].stages == [(Stage.BROADCAST, "t1", (refund.owner_id,))]
    assert table.owners[OwnerKind.SWEEP].stages == []
    assert await table.states() == [("sending", "")] * 3, "to announce moves nothing"


async def test_mined_and_vanished_keep_the_payments_with_their_transaction(database: Database) -> None:
    asked = of(OwnerKind.PAYOUT)
    table = await carried(database, asked)
    ear = table.owners[OwnerKind.PAYOUT]
    async with database.transaction() as tx:
        await settling.mined(tx, table.owners, table.moving, outcome(FateState.MINED, fee=4), NOW)
    assert [s.state for s in ear.heard] == [SendingState.CONFIRMING]
    assert [s.transaction_id for s in ear.heard] == [table.moving.transaction_id]
    async with database.reader() as tx:
        row = await tx.fetchrow("select state, txid, height, block_hash, fee_units from transactions")
    assert tuple(row or ()) == ("mined", "t1", 77, BLOCK.hash, 4)
    async with database.transaction() as tx:
        await settling.vanished(tx, table.owners, await table.now(), NOW)
    async with database.reader() as tx:
        row = await tx.fetchrow("select state, txid, height, block_hash, fee_units from transactions")
    assert tuple(row or ()) == ("broadcast", "", None, "", 0)
    assert await table.states() == [("sending", "")]
    assert ear.stages == [(Stage.CONFIRMING, "t1", (asked.owner_id,)), (Stage.BROADCAST, "t1", (asked.owner_id,))]
    assert await table.balance(CUSTODY) == 1000, "nothing is booked before it is final"


async def test_a_final_batch_pays_those_it_reached_and_fails_the_rest_with_what_it_cost(database: Database) -> None:
    reached, missed = of(OwnerKind.PAYOUT), of(OwnerKind.REFUND, 2)
    table = await carried(database, reached, missed)
    await table.end(outcome(FateState.FINAL, True, False))
    assert (await table.now()).state is TransactionState.FINAL
    assert await table.states() == [("delivered", ""), ("failed", settling.NOT_DELIVERED)]
    (paid,), (lost,) = table.owners[OwnerKind.PAYOUT].endings, table.owners[OwnerKind.REFUND].endings
    assert (paid.is_delivered, paid.txid, paid.height, paid.reason) == (True, "t1", 77, "")
    assert (lost.is_delivered, lost.txid, lost.height, lost.reason) == (False, "t1", 77, settling.NOT_DELIVERED)
    assert await table.balance(CUSTODY) == 991
    assert await table.balance(accounts.GAS) == 9


async def test_a_reverted_transaction_delivers_nothing_and_costs_its_gas_all_the_same(database: Database) -> None:
    table = await carried(database, of(OwnerKind.PAYOUT), of(OwnerKind.PAYOUT, 2))
    await table.end(outcome(FateState.FAILED, False, False))
    assert (await table.now()).state is TransactionState.REVERTED
    assert await table.states() == [("failed", settling.REVERTED)] * 2
    assert [e.reason for e in table.owners[OwnerKind.PAYOUT].endings] == [settling.REVERTED] * 2
    assert await table.balance(accounts.GAS) == 9


@pytest.mark.parametrize(("fee", "back", "gas", "earned"), [(0, 0, 0, 0), (9, 0, 9, 0), (0, 5, 0, 5), (9, 5, 9, 5)])
async def test_what_the_network_took_and_gave_back_is_booked_each_by_itself(
    database: Database, fee: int, back: int, gas: int, earned: int
) -> None:
    table = await carried(database, of(OwnerKind.SWEEP))
    await table.end(outcome(FateState.FINAL, True, fee=fee, back=back))
    assert await table.balance(accounts.GAS) == gas
    assert await table.balance(accounts.FEES_NETWORK) == earned
    assert await table.balance(CUSTODY) == 1000 - gas + earned


@pytest.mark.parametrize(("state", "after"), [(FateState.FINAL, "delivered"), (FateState.FAILED, "failed")])
async def test_a_setup_has_worked_exactly_if_its_transaction_has(
    database: Database, state: FateState, after: str
) -> None:
    table = await carried(database, replace(sending(0, purpose=Purpose.SETUP), owner=OwnerKind.SETUP))
    await table.end(outcome(state))
    assert [row[0] for row in await table.states()] == [after]
    assert [e.is_delivered for e in table.owners[OwnerKind.SETUP].endings] == [after == "delivered"]


@pytest.mark.parametrize("delivered", [(), (True,), (True, True, True)])
async def test_an_end_needs_a_verdict_for_each_payment(database: Database, delivered: tuple[bool, ...]) -> None:
    table = await carried(database, of(OwnerKind.PAYOUT), of(OwnerKind.PAYOUT, 2))
    with pytest.raises(AssertionError, match="a verdict per payment"):
        await table.end(outcome(FateState.FINAL, *delivered))
    assert (await table.now()).state is TransactionState.BROADCAST


async def test_an_end_needs_a_block(database: Database) -> None:
    table = await carried(database, of(OwnerKind.PAYOUT))
    with pytest.raises(AssertionError, match="without a block"):
        await table.end(replace(outcome(FateState.FINAL, True), block=None))
    assert await table.states() == [("sending", "")]


async def test_an_end_that_its_owner_cannot_book_leaves_everything_as_it_was(database: Database) -> None:
    table = await carried(database, of(OwnerKind.PAYOUT), of(OwnerKind.REFUND, 2))
    table.owners[OwnerKind.REFUND].problem = RuntimeError("the books refuse it")
    change = Unspent("cd" * 32, 1, 70, HOT)
    with pytest.raises(RuntimeError, match="the books refuse it"):
        await table.end(outcome(FateState.FINAL, True, True), change)
    assert (await table.now()).state is TransactionState.BROADCAST
    assert await table.states() == [("sending", "")] * 2
    assert await table.balance(CUSTODY) == 1000
    async with database.reader() as tx:
        assert await outputs.list_free(tx, NETWORK, [HOT.address]) == []
    table.owners[OwnerKind.REFUND].problem = None
    await table.end(outcome(FateState.FINAL, True, True), change)
    assert await table.states() == [("delivered", "")] * 2
    async with database.reader() as tx:
        assert await outputs.list_free(tx, NETWORK, [HOT.address]) == [change]


async def test_LED_09_an_end_comes_once(database: Database) -> None:
    table = await carried(database, of(OwnerKind.PAYOUT))
    stale = await table.now()
    await table.end(outcome(FateState.FINAL, True))
    with pytest.raises(IllegalMove):
        await table.end(outcome(FateState.FAILED, False))
    with pytest.raises(AssertionError, match="not broadcast any more"):
        async with database.transaction() as tx:
            await settling.mined(tx, table.owners, stale, outcome(FateState.MINED), NOW)
    assert await table.states() == [("delivered", "")]
    assert await table.balance(accounts.GAS) == 9
    assert len(table.owners[OwnerKind.PAYOUT].endings) == 1


async def test_a_dead_transaction_gives_payments_and_outputs_back_each_after_its_own_rest(database: Database) -> None:
    at_once, later = of(OwnerKind.PAYOUT), of(OwnerKind.REFUND, 2)
    table = await carried(database, at_once, later, unspent=[COIN])
    async with database.reader() as tx:
        assert await outputs.list_free(tx, NETWORK, [HOT.address]) == []
    until = NOW + timedelta(minutes=1)
    async with database.transaction() as tx:
        await settling.release(
            tx, table.owners, table.moving, TransactionEvent.DIED, reason="it expired", now=NOW, rests=[NOW, until]
        )
        assert await outputs.list_free(tx, NETWORK, [HOT.address]) == [COIN]
        rows = await tx.fetch("select state, reason, not_before, transaction_id from sendings order by place")
    assert [tuple(row) for row in rows] == [("queued", "", NOW, None), ("queued", "it expired", until, None)]
    assert table.owners[OwnerKind.PAYOUT].stages == [(Stage.QUEUED, "", (at_once.owner_id,))]
    assert table.owners[OwnerKind.REFUND].stages == [(Stage.QUEUED, "", (later.owner_id,))]
    assert [s.transaction_id for s in table.owners[OwnerKind.PAYOUT].heard] == [None]


async def test_a_release_says_of_each_payment_how_long_it_rests(database: Database) -> None:
    table = await carried(database, of(OwnerKind.PAYOUT), of(OwnerKind.PAYOUT, 2))
    with pytest.raises(ValueError, match="zip"):
        async with database.transaction() as tx:
            await settling.release(
                tx, table.owners, table.moving, TransactionEvent.DIED, reason="it expired", now=NOW, rests=[NOW]
            )
    assert await table.states() == [("sending", "")] * 2


async def test_PAY_06_what_was_sent_is_never_released_as_refused(database: Database) -> None:
    table = await carried(database, of(OwnerKind.PAYOUT), unspent=[COIN])
    with pytest.raises(IllegalMove):
        async with database.transaction() as tx:
            await settling.release(
                tx, table.owners, table.moving, TransactionEvent.REFUSED, reason="no", now=NOW, rests=[NOW]
            )
    async with database.reader() as tx:
        assert await outputs.list_spent(tx, [table.moving.transaction_id]) == {table.moving.transaction_id: [COIN]}


async def test_after_a_release_those_in_doubt_are_held_and_the_others_wait_their_turn(database: Database) -> None:
    payments = [of(OwnerKind.PAYOUT, n + 1) for n in range(3)]
    table = await carried(database, *payments)
    doubts = settling.released(table.moving, {2: "third", 0: "first"})
    assert [(s.owner_id, s.state, s.transaction_id, why) for s, why in doubts] == [
        (payments[0].owner_id, SendingState.QUEUED, None, "first"),
        (payments[2].owner_id, SendingState.QUEUED, None, "third"),
    ]
    async with database.transaction() as tx:
        rests = [NOW] * 3
        await settling.release(tx, table.owners, table.moving, TransactionEvent.DIED, reason="x", now=NOW, rests=rests)
        await settling.hold(tx, table.owners, doubts, NOW)
    assert await table.states() == [("held", "first"), ("queued", ""), ("held", "third")]
    held = table.owners[OwnerKind.PAYOUT].heard
    assert [(s.state, s.reason) for s in held] == [(SendingState.HELD, "first"), (SendingState.HELD, "third")]
    assert table.owners[OwnerKind.PAYOUT].stages[-1][:2] == (Stage.HELD, "")


async def test_a_queued_payment_that_can_never_go_ends_without_a_transaction(database: Database) -> None:
    asked, ear = of(OwnerKind.REFUND), Ear()
    await queue(database, asked)
    async with database.transaction() as tx:
        await settling.refuse(tx, {OwnerKind.REFUND: ear}, asked, "the recipient's account is closed", NOW)
        row = await tx.fetchrow("select state, reason, transaction_id from sendings")
    assert tuple(row or ()) == ("failed", "the recipient's account is closed", None)
    (ending,) = ear.endings
    assert (ending.is_delivered, ending.txid, ending.height) == (False, "", None)
    assert ending.reason == "the recipient's account is closed"


async def test_PAY_44_what_was_called_back_meanwhile_is_not_refused_as_well(database: Database) -> None:
    asked, ear = of(OwnerKind.REFUND), Ear()
    await queue(database, asked)
    async with database.transaction() as tx:
        await service.cancel(tx, OwnerKind.REFUND, asked.owner_id, NOW)
    with pytest.raises(PaymentMoved):
        async with database.transaction() as tx:
            await settling.refuse(tx, {OwnerKind.REFUND: ear}, asked, "too small", NOW)
    assert ear.endings == []


async def test_PAY_44_one_payment_called_back_while_it_was_planned_takes_none_of_the_others(database: Database) -> None:
    stays, leaves = of(OwnerKind.PAYOUT), of(OwnerKind.PAYOUT, 2)
    await open_lane(database, uuid4())
    await queue(database, stays, leaves)
    async with database.transaction() as tx:
        await service.cancel(tx, OwnerKind.PAYOUT, leaves.owner_id, NOW)
    made = transaction(stays, leaves)
    with pytest.raises(PaymentMoved):
        async with database.transaction() as tx:
            await transactions.allot(tx, made, NOW)
            await settling.progress(tx, {}, made, SendingEvent.TAKEN, now=NOW)
    async with database.reader() as tx:
        rows = await tx.fetch("select state, transaction_id from sendings order by units")
        assert [tuple(row) for row in rows] == [("queued", None), ("cancelled", None)]
        assert await transactions.find(tx, made.transaction_id) is None
        assert [row.waiting for row in await lanes.list_all(tx)] == [1]


async def test_every_move_of_a_payment_stands_in_its_history_in_order(database: Database) -> None:
    asked = of(OwnerKind.PAYOUT)
    table = await carried(database, asked)
    async with database.transaction() as tx:
        await settling.mined(tx, table.owners, table.moving, outcome(FateState.MINED), NOW)
    async with database.transaction() as tx:
        await settling.vanished(tx, table.owners, await table.now(), NOW)
    await table.end(outcome(FateState.FINAL, True))
    async with database.reader() as tx:
        rows = await tx.fetch("select seq, event, from_state, to_state from sending_events order by seq")
    assert [tuple(row) for row in rows] == [
        (1, "queued", "", "queued"),
        (2, "taken", "queued", "sending"),
        (3, "mined", "sending", "confirming"),
        (4, "vanished", "confirming", "sending"),
        (5, "delivered", "sending", "delivered"),
    ]
