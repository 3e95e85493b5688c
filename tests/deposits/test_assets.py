"""The review of token contracts: what holds an asset, what ends a hold, and who did it (DEP-21, DEP-22)."""

import asyncio
import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import asyncpg
import pytest

from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.chains.token import TokenFacts, objections
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Conflict, NotFound
from bitlinkpay.core.fsm import IllegalMove
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.assets import store
from bitlinkpay.deposits.assets.model import REVIEW, NotAcceptable, Review, ReviewEvent, ReviewState, accept, judge
from bitlinkpay.deposits.assets.service import LIFE_S, AssetGuard, Holds, accept_asset

USDT = load_registry().assets["usdt-ethereum"]
ETH = load_registry().assets["eth-ethereum"]
USDC = replace(USDT, id="usdc-ethereum", symbol="USDC", contract="0x" + "c2" * 20)
GOOD = TokenFacts(USDT.contract, "0xaa", "0xbb", "0xcc", 6, "USDT", is_paused=False, is_deprecated=False)
GONE = replace(GOOD, code_hash="", implementation="", implementation_hash="", decimals=None, symbol="")
ELSEWHERE = replace(GOOD, contract="0x" + "d3" * 20)
BAD = {
    "code": replace(GOOD, code_hash="0xa1"),
    "implementation": replace(GOOD, implementation="0xb1"),
    "implementation's code": replace(GOOD, implementation_hash="0xc1"),
    "no proxy any more": replace(GOOD, implementation="", implementation_hash=""),
    "decimals": replace(GOOD, decimals=18),
    "gone": GONE,
    "paused": replace(GOOD, is_paused=True),
    "deprecated": replace(GOOD, is_deprecated=True),
    "another address": ELSEWHERE,
}
ACCEPTED = Review(USDT.id, ReviewState.ACCEPTED, "", GOOD, GOOD, version=1)


@dataclass
class Contracts:
    """What the chain shows of each token: the `TokenProbe` port under the test's control."""

    facts: dict[str, TokenFacts | Exception] = field(default_factory=lambda: {USDT.id: GOOD})
    asked: list[str] = field(default_factory=list)

    async def probe(self, asset: Asset) -> TokenFacts:
        self.asked.append(asset.id)
        await asyncio.sleep(0)
        found = self.facts[asset.id]
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def contracts() -> Contracts:
    return Contracts()


@pytest.fixture
def guard(database, clock, contracts) -> Callable[..., AssetGuard]:
    def make(assets: Sequence[Asset] = (ETH, USDT)) -> AssetGuard:
        return AssetGuard(database=database, chain=contracts, assets=assets, clock=clock)

    return make


async def review_of(database: Database, asset: str = USDT.id) -> Review | None:
    async with database.reader() as tx:
        return await store.find(tx, asset)


async def take(database: Database, clock: object, asset: Asset = USDT) -> Review:
    return await database.unit(lambda tx: accept_asset(tx, clock, asset, actor="operator ann"))


async def events(database: Database) -> list[tuple[object, ...]]:
    async with database.reader() as tx:
        rows = await tx.fetch("select seq, event, from_state, to_state, actor, cause from asset_events order by seq")
        return [tuple(row) for row in rows]


# --- the rules -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "event"), list(itertools.product(ReviewState, ReviewEvent)))
def test_every_move_is_listed_or_refused(state, event):
    allowed = {
        (ReviewState.ACCEPTED, ReviewEvent.OBJECTED): ReviewState.HELD,
        (ReviewState.HELD, ReviewEvent.OBJECTED): ReviewState.HELD,
        (ReviewState.HELD, ReviewEvent.CLEARED): ReviewState.ACCEPTED,
        (ReviewState.HELD, ReviewEvent.ACCEPTED): ReviewState.ACCEPTED,
    }
    if (state, event) in allowed:
        assert REVIEW.next(state, event) is allowed[state, event]
    else:
        with pytest.raises(IllegalMove):
            REVIEW.next(state, event)


@pytest.mark.parametrize("facts", BAD.values(), ids=BAD)
def test_DEP_21_whatever_differs_from_what_was_accepted_holds(facts):
    turn = judge(USDT, ACCEPTED, facts)
    assert turn.after.state is ReviewState.HELD
    assert turn.after.reason.startswith("usdt-ethereum: ")
    assert turn.after.accepted == GOOD, "what was reviewed is kept beside what is seen"
    assert (turn.before, turn.after.seen, turn.after.version) == ("accepted", facts, 2)
    assert judge(USDT, turn.after, facts) is None, "nothing new: no second event"


@pytest.mark.parametrize("facts", BAD.values(), ids=BAD)
def test_DEP_21_a_hold_does_not_end_by_itself(facts):
    held = judge(USDT, ACCEPTED, facts).after
    back = judge(USDT, held, GOOD)
    assert (back.after.state, back.after.reason) == (ReviewState.HELD, held.reason)
    assert back.after.seen == GOOD, "what a person would accept is what is there now"
    assert judge(USDT, back.after, GOOD) is None
    assert accept(USDT, back.after).after.state is ReviewState.ACCEPTED


@pytest.mark.parametrize("facts", [v for k, v in BAD.items() if k not in {"decimals", "gone"}], ids=str)
def test_DEP_21_what_a_person_accepted_is_not_objected_to_again(facts):
    held = judge(USDT, ACCEPTED, facts).after
    taken = accept(USDT, held).after
    assert (taken.state, taken.reason, taken.accepted, taken.version) == (ReviewState.ACCEPTED, "", facts, 3)
    assert judge(USDT, taken, facts) is None
    assert judge(USDT, taken, replace(facts, code_hash="0xa9")).after.state is ReviewState.HELD


@pytest.mark.parametrize("facts", [BAD["decimals"], GONE], ids=["decimals", "gone"])
def test_DEP_22_a_wrong_row_or_a_missing_contract_cannot_be_accepted(facts):
    held = judge(USDT, ACCEPTED, facts).after
    with pytest.raises(NotAcceptable, match=r"into the row.*; then restart"):
        accept(USDT, held)


def test_DEP_22_other_decimals_hold_from_the_first_look_on_and_a_corrected_row_clears_them():
    first = judge(USDT, None, BAD["decimals"])
    assert (first.before, first.after.state, first.after.accepted) == ("", ReviewState.HELD, None)
    corrected = replace(USDT, decimals=18)
    cleared = judge(corrected, first.after, BAD["decimals"])
    assert (cleared.event, cleared.after.state) == (ReviewEvent.CLEARED, ReviewState.ACCEPTED)
    assert cleared.after.accepted == BAD["decimals"]


def test_DEP_22_a_row_that_is_made_wrong_later_holds_what_was_accepted():
    held = judge(replace(USDT, decimals=18), ACCEPTED, GOOD).after
    assert held.reason.startswith("usdt-ethereum: the contract says 6 decimals, the registry 18: ")


def test_a_contract_that_says_no_decimals_is_measured_by_the_registry_alone():
    silent = replace(GOOD, decimals=None)
    assert objections(USDT, silent) == ()
    assert judge(USDT, None, silent).after.state is ReviewState.ACCEPTED


def test_a_contract_that_is_not_there_yet_is_left_open():
    assert judge(USDT, None, GONE) is None


def test_another_name_is_nothing_to_object_to():
    assert judge(USDT, ACCEPTED, replace(GOOD, symbol="<b>USDT0</b>")) is None


def test_all_that_is_wrong_is_told():
    reason = judge(USDT, ACCEPTED, replace(GOOD, decimals=18, code_hash="0xa1", is_paused=True)).after.reason
    assert [part.split(": ")[1].split()[0:3] for part in reason.split("; ")] == [
        ["the", "contract", "says"],
        ["the", "contract", "is"],
        ["the", "contract's", "code"],
    ]


# --- the guard and its rows ---------------------------------------------------------------------------------------------


async def test_the_first_look_is_the_first_review(guard, contracts, database):
    await guard().check()
    assert contracts.asked == [USDT.id], "a native coin has no contract"
    assert await review_of(database) == ACCEPTED
    await guard().check()
    assert await events(database) == [(1, "cleared", "", "accepted", "watcher", "USDT")]


async def test_DEP_21_a_change_is_held_logged_once_and_ended_by_a_person(guard, contracts, database, clock, caplog):
    one = guard()
    await one.check()
    contracts.facts[USDT.id] = BAD["implementation"]
    for _ in range(3):
        await one.check()
    assert await one.waiting({USDT.id, ETH.id}) == {USDT.id}
    critical = [r.getMessage() for r in caplog.records if r.levelno == logging.CRITICAL]
    assert critical == [
        "usdt-ethereum is on hold: usdt-ethereum: the contract's code has changed since it was reviewed"
    ]
    assert (await take(database, clock)).accepted == BAD["implementation"]
    await one.check()
    assert await one.waiting({USDT.id}) == set()
    assert [(event, actor) for _, event, _, _, actor, _ in await events(database)] == [
        ("cleared", "watcher"),
        ("objected", "watcher"),
        ("accepted", "operator ann"),
    ]


async def test_money_in_a_token_that_was_never_read_waits_and_makes_it_be_read(guard, contracts, database):
    one = guard()
    contracts.facts[USDT.id] = ChainError("silent")
    assert await one.waiting({USDT.id, ETH.id}) == {USDT.id}
    contracts.facts[USDT.id] = GONE
    assert await one.waiting({USDT.id}) == {USDT.id}
    assert await review_of(database) is None
    contracts.facts[USDT.id] = GOOD
    assert await one.waiting({USDT.id}) == set()
    asked = len(contracts.asked)
    assert await one.waiting({USDT.id}) == set()
    assert await one.waiting({ETH.id}) == set()
    assert len(contracts.asked) == asked, "a reviewed token is read on the schedule only"


async def test_a_token_that_cannot_be_read_stays_as_it_is_and_hinders_no_other(guard, contracts, database):
    one = guard([ETH, USDT, USDC])
    usdc = replace(GOOD, contract=USDC.contract)
    contracts.facts[USDC.id] = usdc
    await one.check()
    contracts.facts |= {USDT.id: ChainError("silent"), USDC.id: replace(usdc, is_paused=True)}
    await one.check()
    assert (await review_of(database)).state is ReviewState.ACCEPTED
    assert (await review_of(database, USDC.id)).state is ReviewState.HELD
    assert await one.waiting({USDT.id, USDC.id}) == {USDC.id}


async def test_two_workers_that_see_the_same_change_write_it_once(guard, contracts, database):
    guards = [guard() for _ in range(6)]
    await asyncio.gather(*(one.check() for one in guards))
    contracts.facts[USDT.id] = BAD["code"]
    await asyncio.gather(*(one.check() for one in guards))
    assert [event for _, event, *_ in await events(database)] == ["cleared", "objected"]


async def test_an_acceptance_of_what_has_changed_again_meanwhile_is_refused(guard, contracts, database, clock):
    await guard().check()
    contracts.facts[USDT.id] = BAD["code"]
    await guard().check()
    stale = accept(USDT, await review_of(database))
    contracts.facts[USDT.id] = BAD["paused"]
    await guard().check()
    assert not await database.unit(lambda tx: store.save(tx, stale, actor="operator ann", now=clock.now()))
    assert (await review_of(database)).seen == BAD["paused"]


async def test_only_a_held_asset_can_be_accepted(guard, database, clock):
    with pytest.raises(NotFound, match="no worker has read it yet"):
        await take(database, clock)
    await guard().check()
    with pytest.raises(Conflict, match="not on hold"):
        await take(database, clock)


async def test_the_history_of_reviews_cannot_be_rewritten(guard, database):
    await guard().check()
    for statement in ("update asset_events set actor = 'nobody'", "delete from asset_events"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.transaction() as tx:
                await tx.execute(statement)


async def test_the_database_refuses_a_hold_without_a_reason_and_an_acceptance_of_nothing(guard, database):
    await guard().check()
    for statement in (
        "update asset_facts set state = 'held'",
        "update asset_facts set reason = 'why'",
        "update asset_facts set accepted = null",
        "update asset_facts set state = 'perhaps'",
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            async with database.transaction() as tx:
                await tx.execute(statement)


async def test_holds_are_known_within_two_seconds(guard, contracts, database, clock):
    seconds = [0.0]
    holds = Holds(database, monotonic_s=lambda: seconds[0])
    contracts.facts[USDT.id] = BAD["decimals"]
    assert await holds.list_held() == {}
    await guard().check()
    assert await holds.list_held() == {}
    seconds[0] = LIFE_S
    held = await holds.list_held()
    assert held.keys() == {USDT.id}
    assert held[USDT.id].startswith("usdt-ethereum: the contract says 18 decimals, the registry 6: ")
