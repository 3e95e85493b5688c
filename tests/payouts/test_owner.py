"""What payouts make of the news about their payments: every stage in every state, and the books at every end."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from tests.flows.harness import REGISTRY
from tests.flows.paying import STRANGERS
from tests.payouts.test_drafting import HOT
from tests.payouts.till import ASSET, UNIT, Till
from tests.sending.test_queue import sending

from bitlinkpay.core.fsm import IllegalMove
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import service as ledger
from bitlinkpay.payouts.model import Payout, PayoutKind, PayoutState
from bitlinkpay.payouts.owner import PayoutOwner
from bitlinkpay.payouts.placing import OWNERS
from bitlinkpay.sending.model import Sending, SendingState
from bitlinkpay.sending.service import Ending, Stage

OWNER = PayoutOwner(REGISTRY)
FEE = 750_001  # of the network, as the desk quotes it


@pytest.fixture
async def till(database: Database) -> Till:
    return await Till.start(database)


def payment(payout: Payout, state: SendingState = SendingState.SENDING, reason: str = "") -> Sending:
    network = REGISTRY.assets[payout.asset].network
    return replace(
        sending(payout.units), owner=OWNERS[payout.kind], owner_id=payout.payout_id, network=network, payer=HOT,
        state=state, reason=reason,
    )  # fmt: skip


def delivered(payout: Payout, txid: str = "ab") -> Ending:
    return Ending(payment(payout, SendingState.DELIVERED), txid, 100, "")


def failed(payout: Payout, txid: str = "", reason: str = "the recipient refuses it") -> Ending:
    return Ending(payment(payout, SendingState.FAILED, reason), txid, None, reason)


async def end(till: Till, *endings: Ending) -> None:
    await till.database.unit(lambda tx: OWNER.ended(tx, endings, till.clock.now()))


async def in_state(till: Till, state: PayoutState) -> Payout:
    """Return a payout that carries a transaction's id and a reason, put into a state by hand."""
    payout = await till.ask(f"w-{state}")
    await till.put(payout, state)
    async with till.database.transaction() as tx:
        await tx.execute("update payouts set txid = 'old', reason = 'before' where payout_id = $1", payout.payout_id)
    return await till.show(payout.payout_id)


# --- on its way


@pytest.mark.parametrize(
    ("stage", "txid", "moves"),
    [
        (
            Stage.QUEUED,
            "",
            {"signed": "approved", "broadcast": "approved", "uncertain": "approved", "confirming": "approved"},
        ),
        (Stage.HELD, "", {"approved": "in_review"}),
        (Stage.SIGNED, "new", {"approved": "signed"}),
        (Stage.BROADCAST, "new", {"signed": "broadcast", "uncertain": "broadcast", "confirming": "broadcast"}),
        (Stage.UNCERTAIN, "new", {"signed": "uncertain", "broadcast": "uncertain"}),
        (Stage.CONFIRMING, "new", {"signed": "confirming", "broadcast": "confirming", "uncertain": "confirming"}),
    ],
)
async def test_every_stage_moves_a_payout_from_its_states_and_passes_over_it_in_any_other(
    till: Till, stage: Stage, txid: str, moves: Mapping[str, str]
) -> None:
    payouts = [await in_state(till, state) for state in PayoutState]
    money = await till.money()
    seen = {one.payout_id: await till.events(one.payout_id) for one in payouts}
    news = [payment(one, reason="listed meanwhile") for one in payouts]
    await till.database.unit(lambda tx: OWNER.progressed(tx, news, stage, txid, till.clock.now()))
    for one in payouts:
        after = await till.show(one.payout_id)
        events = await till.events(one.payout_id)
        if one.state not in moves:
            assert (after, events) == (one, seen[one.payout_id])
            continue
        reason = "listed meanwhile" if stage is Stage.HELD else "before"
        assert after == replace(one, state=PayoutState(moves[one.state]), txid=txid, reason=reason)
        event = {Stage.QUEUED: "requeued", Stage.UNCERTAIN: "lost"}.get(stage, stage.value)
        cause = {Stage.QUEUED: "back in the queue", Stage.HELD: "listed meanwhile"}.get(stage, txid)
        assert events == [*seen[one.payout_id], (event, moves[one.state], cause)]
    assert await till.money() == money
    async with till.database.reader() as tx:
        assert await tx.fetchval("select count(*) from outbox") == 0  # nobody is told of the way, only of the end


async def test_news_of_nobodys_payment_change_nothing(till: Till) -> None:
    payout = await till.ask("w-1")
    before = await till.everything()
    stranger = sending(5)
    await till.database.unit(lambda tx: OWNER.progressed(tx, [stranger], Stage.SIGNED, "ab", till.clock.now()))
    await end(till, Ending(stranger, "ab", 100, "gone"))
    assert await till.everything() == before
    assert await till.show(payout.payout_id) == payout


# --- ends


MOVING = {"signed", "broadcast", "uncertain", "confirming"}


@pytest.mark.parametrize(("is_delivered", "states"), [(True, MOVING), (False, MOVING | {"approved"})])
async def test_LED_09_an_end_is_booked_from_a_payout_on_its_way_and_breaks_off_everything_from_any_other(
    till: Till, is_delivered: bool, states: set[str]
) -> None:
    for state in PayoutState:
        payout, other = await in_state(till, state), await till.ask(f"beside-{state}")
        before, money = await till.everything(), await till.money()
        endings = [failed(other), delivered(payout) if is_delivered else failed(payout, "ab")]
        if state not in states:
            with pytest.raises(IllegalMove, match=f"no move from {state}"):
                await end(till, *endings)
            assert await till.everything() == before
            continue
        await end(till, *endings)
        available, reserved = await till.money()
        back = other.reserved_units + (0 if is_delivered else payout.reserved_units)
        assert (available, reserved) == (money[0] + back, money[1] - other.reserved_units - payout.reserved_units)
        after = await till.show(payout.payout_id)
        assert (after.state, after.txid) == ("completed" if is_delivered else "failed", "ab")
        assert after.reason == ("" if is_delivered else "the recipient refuses it")
        assert after.ended_at == till.clock.now()


async def test_a_payment_that_never_had_a_transaction_keeps_what_the_payout_knew(till: Till) -> None:
    payout = await in_state(till, PayoutState.UNCERTAIN)
    await end(till, failed(payout))
    assert (await till.show(payout.payout_id)).txid == "old"
    assert (await till.events(payout.payout_id))[-1] == ("failed", "failed", "the recipient refuses it")


async def test_nothing_ends_twice(till: Till) -> None:
    payout = await in_state(till, PayoutState.BROADCAST)
    await end(till, delivered(payout))
    before = await till.everything()
    for again in (delivered(payout), failed(payout)):
        with pytest.raises(IllegalMove, match="no move from completed"):
            await end(till, again)
    assert await till.everything() == before


async def test_the_books_of_a_batch_in_which_some_arrived_and_one_did_not(till: Till) -> None:
    await till.terms(fee_flat_units=5)
    arrived = await till.ask("w-1", "20")
    settled = await till.ask("w-1", "30", kind=PayoutKind.SETTLEMENT)
    refused = await till.ask("w-2", "40")
    for one in (arrived, settled, refused):
        await till.put(one, PayoutState.BROADCAST)
    await end(till, delivered(arrived), failed(refused, "ab"), delivered(settled))
    cost = 50 * UNIT + 5 + 2 * FEE
    assert await till.money() == (1_000 * UNIT - cost, 0)
    async with till.database.reader() as tx:
        found = {
            name: await ledger.balance(tx, name, ASSET)
            for name in (accounts.FEES_PAYOUT, accounts.FEES_SETTLEMENT, accounts.FEES_NETWORK)
        }
        assert found == {accounts.FEES_PAYOUT: 5, accounts.FEES_SETTLEMENT: 0, accounts.FEES_NETWORK: 2 * FEE}
        assert await ledger.balance(tx, accounts.hot_custody(HOT.address), ASSET) == 950 * UNIT
        told = await tx.fetch("select kind, payload from outbox order by seq")
    assert [(row["kind"], row["payload"]["order"]["source_id"], row["payload"]["order"]["hash"]) for row in told] == [
        ("payout.completed", "w-1", "ab"),
        ("payout.completed", "w-1", "ab"),
        ("payout.failed", "w-2", "ab"),
    ]
    assert told[-1]["payload"]["reason"] == "the recipient refuses it"


async def test_on_ton_the_one_wallet_pays_out_of_where_deposits_arrive(till: Till) -> None:
    held = accounts.deposit_custody(HOT.address)
    await till.give("usdt-ton", 100 * UNIT, custody=held)
    asset = REGISTRY.assets["usdt-ton"]
    payout = await till.ask("w-1", "20", asset=asset, target=STRANGERS["ton"], tag="7")
    await till.put(payout, PayoutState.CONFIRMING)
    await end(till, delivered(payout))
    async with till.database.reader() as tx:
        assert await ledger.balance(tx, held, "usdt-ton") == 80 * UNIT
        assert await ledger.balance(tx, accounts.hot_custody(HOT.address), "usdt-ton") == 0


async def test_a_batch_of_ends_that_crashes_anywhere_was_never_settled(till: Till) -> None:
    arrived, refused = await in_state(till, PayoutState.CONFIRMING), await in_state(till, PayoutState.SIGNED)
    endings = [delivered(arrived), failed(refused)]
    crashes = await till.crash_at_each_statement(lambda tx: OWNER.ended(tx, endings, till.clock.now()))
    assert crashes >= 10
    assert await till.money() == (1_000 * UNIT - arrived.reserved_units, 0)
