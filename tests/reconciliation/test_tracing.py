"""By which transactions a difference is explained: what the chain shows and the books lack, and the other way round."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from tests.deposits.test_store import deposit
from tests.flows.scripted import ScriptedChain
from tests.reconciliation.test_store import HERE, NOW, TOKEN, Written

from bitlinkpay.chains.base import Block, BlockRef, ChainError, EndpointFailed, Fate, FateState, Transfer
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.core.assets import Asset
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.changes import store as deposits
from bitlinkpay.deposits.journal import store as journal
from bitlinkpay.deposits.model import DepositChange, DepositEvent, DepositState
from bitlinkpay.deposits.own import store as own
from bitlinkpay.reconciliation.model import Evidence, EvidenceKind, Running, Sight
from bitlinkpay.reconciliation.tracing import BLOCKS, BOOKED, Tracer

TRON = load_registry().networks["tron"]
LESS = Sight("tron", TOKEN.id, HERE.name, height=10, books_units=50, chain_units=45)
MORE = replace(LESS, chain_units=55)


@dataclass
class Chain(ScriptedChain):
    """A scripted chain that also knows what became of transactions, and what `scan` cannot see."""

    fates: dict[str, Fate] = field(default_factory=dict)
    hidden: list[tuple[Block, Transfer]] = field(default_factory=list)
    located: list[tuple[str, int, int]] = field(default_factory=list)
    is_down: bool = False
    most: int = 1_000

    async def fate(self, txid: str) -> Fate:
        if self.is_down:
            raise EndpointFailed("no answer")
        return self.fates.get(txid, Fate(FateState.UNKNOWN))

    async def scan(self, first: int, last: int) -> Sequence[Block]:
        return (await super().scan(first, last))[: self.most]

    async def locate(self, asset: Asset, address: str, first: int, last: int) -> Sequence[tuple[Block, Transfer]]:
        assert asset == TOKEN
        self.located.append((address, first, last))
        if self.is_down:
            raise EndpointFailed("no answer")
        return self.hidden


@pytest.fixture
def chain() -> Chain:
    return Chain(TRON, NOW)


@pytest.fixture
async def tracer(database: Database, chain: Chain) -> Tracer:
    await begin(database, 0)
    return Tracer(database, chain)


async def begin(database: Database, height: int) -> None:
    async with database.transaction() as tx:
        await journal.begin(tx, "tron", BlockRef(height, "0x0", NOW), NOW)


def moved(txid: str, units: int, source: str = "Tstranger", target: str = HERE.name, **more: object) -> Transfer:
    return replace(Transfer(TOKEN.id, txid, "log:0", source, target, "", units), **more)  # type: ignore[arg-type]


def unbooked(txid: str, height: int, units: int) -> Evidence:
    return Evidence(EvidenceKind.UNBOOKED, txid, height, units)


def fate(state: FateState, height: int | None = None) -> Fate:
    return Fate(state, None if height is None else BlockRef(height, f"0x{height}", NOW))


async def test_what_came_and_went_without_the_books_is_named_the_newest_first(tracer: Tracer, chain: Chain) -> None:
    chain.cut(6)
    chain.grow(1, moved("in", 7), moved("out", 3, HERE.name, "Tstranger"), moved("far", 9, "Ta", "Tb"))
    chain.grow(1, moved("coin", 1, asset="trx-tron"), moved("late", 4))
    chain.grow(2, moved("round", 2, HERE.name, HERE.name))
    assert await tracer.trace(TOKEN, HERE, LESS, None) == [
        unbooked("late", 8, 4),
        unbooked("in", 7, 7),
        unbooked("out", 7, -3),
    ]


async def test_a_place_of_many_addresses_is_one_place(tracer: Tracer, chain: Chain) -> None:
    cold = replace(HERE, name="cold", addresses=("Tc1", "Tc2"))
    chain.cut(6)
    chain.grow(4, moved("within", 5, "Tc1", "Tc2"), moved("in", 7, target="Tc2"), moved("out", 2, "Tc1", "Tx"))
    assert await tracer.trace(TOKEN, cold, MORE, None) == [unbooked("in", 7, 7), unbooked("out", 7, -2)]
    assert chain.located == [("Tc1", 1, 10), ("Tc2", 1, 10)]


@pytest.mark.parametrize("state", DepositState)
async def test_what_the_books_have_is_not_named_unless_they_gave_it_up(
    tracer: Tracer, chain: Chain, database: Database, state: DepositState
) -> None:
    one = deposit(1, height=7, target=HERE.name, state=state)
    async with database.transaction() as tx:
        await deposits.insert(tx, [one], [DepositChange(one.deposit_id, DepositEvent.SEEN, state, state)], NOW)
    chain.cut(6)
    chain.grow(4, moved(one.txid, 7), moved(one.txid, 5, position="log:9"))
    chain.fates[one.txid] = fate(FateState.FINAL, 7)
    names = [found.units for found in await tracer.trace(TOKEN, HERE, LESS, None)]
    is_given_up = state in (DepositState.DROPPED, DepositState.REVERSED)
    assert names == ([5, 7] if is_given_up else [5]), "the transfer counts, not the transaction"


async def test_a_transaction_of_our_own_is_no_strangers(tracer: Tracer, chain: Chain, database: Database) -> None:
    async with database.transaction() as tx:
        await own.note(tx, "tron", "ours", pays_others=True)
        await own.note(tx, "ethereum", "theirs", pays_others=False)
    chain.cut(6)
    chain.grow(4, moved("ours", 7, HERE.name, "Tx"), moved("theirs", 7, HERE.name, "Tx"))
    assert await tracer.trace(TOKEN, HERE, LESS, None) == [unbooked("theirs", 7, -7)]


async def test_hidden_arrivals_are_asked_for_only_where_the_chain_holds_more(tracer: Tracer, chain: Chain) -> None:
    chain.hidden = [(chain.blocks[4], moved("inner", 5, position="internal:0"))]
    assert await tracer.trace(TOKEN, HERE, LESS, None) == []
    assert chain.located == []
    assert await tracer.trace(TOKEN, HERE, MORE, None) == [unbooked("inner", 5, 5)]
    assert chain.located == [("Thot", 1, 10)]


async def test_a_transfer_that_two_ways_show_is_named_once(tracer: Tracer, chain: Chain) -> None:
    chain.cut(6)
    (block, *_) = chain.grow(4, moved("in", 5))
    chain.hidden = [(block, moved("in", 5))]
    assert await tracer.trace(TOKEN, HERE, MORE, None) == [unbooked("in", 7, 5)]


@pytest.mark.parametrize(
    ("agreed", "oldest", "read"),
    [
        (None, 0, (1, 10)),
        (7, 0, (8, 10)),
        (9, 0, (10, 10)),
        (2, 5, (6, 10)),
        (None, 3, (4, 10)),
        (None, 0, (51, 150)),
    ],
)
async def test_blocks_are_read_since_the_last_agreement_and_no_further_back_than_known_and_useful(
    database: Database, chain: Chain, agreed: int | None, oldest: int, read: tuple[int, int]
) -> None:
    await begin(database, oldest)
    first, last = read
    chain.grow(last - chain.height)
    await Tracer(database, chain).trace(TOKEN, HERE, replace(LESS, height=last), agreed)
    assert chain.scans[0] == read
    assert last - first < BLOCKS


async def test_an_agreement_at_this_very_height_leaves_no_block_to_read(tracer: Tracer, chain: Chain) -> None:
    assert await tracer.trace(TOKEN, HERE, LESS, 10) == []
    assert chain.scans == []


async def test_a_node_that_answers_in_small_portions_is_asked_until_all_is_read(tracer: Tracer, chain: Chain) -> None:
    chain.most = 4
    chain.cut(9)
    chain.grow(1, moved("in", 5))
    assert await tracer.trace(TOKEN, HERE, LESS, None) == [unbooked("in", 10, 5)]
    assert chain.scans == [(1, 10), (5, 10), (9, 10)]


async def test_heights_without_blocks_at_the_end_are_no_endless_question(tracer: Tracer, chain: Chain) -> None:
    await tracer.trace(TOKEN, HERE, replace(LESS, height=13), None)
    assert chain.scans == [(1, 13), (11, 13)]


@pytest.mark.parametrize("state", FateState)
async def test_a_posting_whose_transfer_stands_in_no_block_is_named(
    tracer: Tracer, chain: Chain, database: Database, state: FateState
) -> None:
    await Written(database).arrive(7, 5)
    txid = f"{1:064x}"
    chain.fates[txid] = fate(state, 5)
    stands = state in (FateState.MINED, FateState.FINAL)
    expected = [] if stands else [Evidence(EvidenceKind.VANISHED, txid, 5, -7)]
    assert await tracer.trace(TOKEN, HERE, LESS, None) == expected
    assert await tracer.trace(TOKEN, HERE, LESS, 5) == [], "both agreed after it"
    assert await tracer.trace(TOKEN, HERE, replace(LESS, height=4), None) == []


async def test_the_newest_postings_are_asked_about_and_not_all_of_them(tracer: Tracer, database: Database) -> None:
    written = Written(database)
    for number in range(BOOKED + 2):
        await written.arrive(1, 1 if number < 2 else 2)
    found = await tracer.trace(TOKEN, HERE, LESS, None)
    assert len(found) == BOOKED
    assert {one.height for one in found} == {2}


@pytest.mark.parametrize("error", [ChainError("gone"), EndpointFailed("no answer")])
async def test_what_cannot_be_read_hides_nothing_else(
    tracer: Tracer, chain: Chain, database: Database, error: ChainError
) -> None:
    await Written(database).arrive(7, 5)
    chain.failures = [error]
    assert [one.kind for one in await tracer.trace(TOKEN, HERE, LESS, None)] == ["vanished"]
    chain.is_down = True
    chain.cut(9)
    chain.grow(1, moved("in", 5))
    assert await tracer.trace(TOKEN, HERE, MORE, None) == [unbooked("in", 10, 5)]
    assert chain.located, "it was asked, gave no answer, and the blocks still tell"


@pytest.mark.parametrize(
    ("found", "stands"),
    [
        (fate(FateState.UNKNOWN), None),
        (fate(FateState.PENDING), None),
        (fate(FateState.FINAL, 11), None),
        (fate(FateState.FINAL, 10), Running(("t1", "t2"), 20, 5, 9)),
        (fate(FateState.MINED, 9), Running(("t1", "t2"), 20, 5, 9)),
        (fate(FateState.FAILED, 10), Running(("t2",), 0, 0, 9)),
        (fate(FateState.FAILED, 11), None),
    ],
)
async def test_what_stands_in_a_block_already_counts_and_what_failed_there_cost_its_fee_only(
    tracer: Tracer, chain: Chain, found: Fate, stands: Running | None
) -> None:
    chain.fates["t2"] = found
    running = Running(("t1", "t2"), 20, 5, 9)
    assert await tracer.standing([running, Running((), 1, 1, 1)], 10) == ([stands] if stands else [])


async def test_of_two_attempts_one_counts(tracer: Tracer, chain: Chain) -> None:
    chain.fates |= {"t1": fate(FateState.FAILED, 9), "t2": fate(FateState.FINAL, 10)}
    first, second = Running(("t1", "t2"), 20, 5, 9), Running(("t2", "t1"), 20, 5, 9)
    assert await tracer.standing([first], 10) == [Running(("t1",), 0, 0, 9)]
    assert await tracer.standing([second], 10) == [second]


async def test_a_chain_that_gives_no_answer_is_no_proof_that_nothing_stands(tracer: Tracer, chain: Chain) -> None:
    chain.is_down = True
    with pytest.raises(EndpointFailed):
        await tracer.standing([Running(("t1",), 20, 0, 0)], 10)
