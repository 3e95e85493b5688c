"""Files of payouts: who is asked when, in which order lines reserve, and what is said of a line when the database is lost."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from tests.flows.harness import REGISTRY
from tests.flows.paying import STRANGERS
from tests.payouts.test_drafting import Desk
from tests.payouts.till import ASSET, UNIT, Till
from tests.support.server import TestServer
from tests.support.wire import Fault, Wire, listening

from bitlinkpay.chains.outgoing import FeeQuote, Intent
from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.ids import show_id
from bitlinkpay.db.cluster import APP_ROLE
from bitlinkpay.db.pool import Database
from bitlinkpay.payouts.batch_file import BadLine, Line
from bitlinkpay.payouts.batches import AT_ONCE, Batches, LineResult, Verdict, result_file, result_rows

FEE = 750_001  # of the network, as the desk quotes it
BAD = BadLine(7, "bad", Invalid("amount is empty", param="amount"))


@pytest.fixture
async def till(database: Database) -> Till:
    return await Till.start(database)


@pytest.fixture
async def wire(server: TestServer) -> Wire:
    return Wire(Path(server.host) / f".s.PGSQL.{server.port}")


@pytest.fixture
async def cut_off(wire: Wire, database_name: str) -> AsyncIterator[Till]:
    """A till whose database is behind a wire that can be cut."""
    with tempfile.TemporaryDirectory(prefix="blp-") as folder:  # a socket's path must be short
        async with listening(wire, Path(folder)) as host:
            found = await Database.connect(f"postgresql://{APP_ROLE}@/{database_name}?host={host}", size=2)
            yield await Till.start(found)
            await found.close()


def line(number: int, amount: str = "1", asset: str = ASSET, source_id: str = "", tag: str = "") -> Line:
    return Line(number, source_id or f"w-{number}", asset, STRANGERS["tron"], Decimal(amount), tag)


async def run(till: Till, *lines: Line | BadLine, maker: str = "") -> list[LineResult]:
    return await Batches(till.database, till.payouts(), REGISTRY).run(till.merchant, lines, maker=maker)


def verdicts(results: list[LineResult]) -> list[str]:
    return [result.verdict.value for result in results]


# --- lines


async def test_a_file_of_nothing_asks_nobody(till: Till) -> None:
    assert await run(till) == []
    assert till.desk.asked == []


@dataclass
class Crowded(Desk):
    """A desk that lets everybody come in before it answers anybody, and counts them."""

    running: int = 0
    most: int = 0

    async def quotes(self, intent: Intent) -> FeeQuote:
        self.running += 1
        self.most = max(self.most, self.running)
        for _ in range(3):
            await asyncio.sleep(0)
        self.running -= 1
        return await super().quotes(intent)


class Backwards(Desk):
    """A desk that answers about large payments first."""

    async def quotes(self, intent: Intent) -> FeeQuote:
        for _ in range(1_000 - intent.payments[0].units // UNIT):
            await asyncio.sleep(0)
        return await super().quotes(intent)


async def test_at_most_eight_lines_are_quoted_at_once_and_all_of_them_in_the_end(till: Till) -> None:
    till.desk = desk = Crowded()
    results = await run(till, *(line(number) for number in range(2, 2 + 3 * AT_ONCE + 1)))
    assert verdicts(results) == ["accepted"] * (3 * AT_ONCE + 1)
    assert (desk.most, len(desk.asked)) == (AT_ONCE, 3 * AT_ONCE + 1)


async def test_lines_reserve_in_the_order_of_the_file_whoever_was_quoted_first(till: Till) -> None:
    till.desk = Backwards()
    results = await run(till, line(2, "400"), line(3, "500"), line(4, "600"), line(5, "10"))
    assert [intent.payments[0].units // UNIT for intent in till.desk.asked] == [600, 500, 400, 10]
    assert verdicts(results) == ["accepted", "accepted", "refused", "accepted"]
    assert [result.number for result in results] == [2, 3, 4, 5]
    assert await till.money() == (90 * UNIT - 3 * FEE, 910 * UNIT + 3 * FEE)


async def test_a_line_that_cannot_be_one_is_answered_without_asking_anybody(till: Till) -> None:
    results = await run(till, BAD, line(8, asset="usdt-mars"), line(9, asset="m" * 100), line(10, tag="7"))
    assert verdicts(results) == ["refused"] * 4
    assert [result.problem and result.problem.message for result in results] == [
        "amount is empty",
        "no asset 'usdt-mars' here; write its id, such as usdt-tron",
        f"no asset '{'m' * 60}' here; write its id, such as usdt-tron",
        "this network knows no tags; leave tag empty",
    ]
    assert [result.problem and result.problem.param for result in results] == ["amount", "asset", "asset", "tag"]
    assert (results[0].number, results[0].source_id) == (7, "bad")
    assert till.desk.asked == []


async def test_PAY_43_every_payout_of_a_file_knows_who_ran_it(till: Till) -> None:
    (result,) = await run(till, line(2), maker="operator")
    assert result.payout
    assert (await till.show(result.payout.payout_id)).maker == "operator"


async def test_PAY_42_a_file_with_one_line_changed_repeats_the_others_and_names_that_one(till: Till) -> None:
    first = await run(till, line(2), line(3), line(4))
    money = await till.money()
    again = await run(till, line(2), line(3, "1.5"), line(4), line(5, source_id="w-4"))
    assert verdicts(again) == ["repeated", "refused", "repeated", "repeated"]
    assert again[1].problem
    assert again[1].problem.code == "payout.exists_different"
    assert [again[place].payout for place in (0, 2, 3)] == [first[0].payout, first[2].payout, first[2].payout]
    assert await till.money() == money


# --- results


async def test_results_are_told_in_full(till: Till) -> None:
    await till.terms(review_above_units=50 * UNIT)
    results = await run(till, line(2), line(3, "60"), BAD)
    accepted, held = results[0].payout, results[1].payout
    assert accepted
    assert held
    assert result_rows(results) == [
        {
            "line": 2,
            "source_id": "w-2",
            "result": Verdict.ACCEPTED,
            "id": show_id("out", accepted.payout_id),
            "state": "approved",
            "code": "",
            "message": "",
        },
        {
            "line": 3,
            "source_id": "w-3",
            "result": Verdict.ACCEPTED,
            "id": show_id("out", held.payout_id),
            "state": "in_review",
            "code": "",
            "message": "larger than what goes out without a review",
        },
        {
            "line": 7,
            "source_id": "bad",
            "result": Verdict.REFUSED,
            "id": "",
            "state": "",
            "code": "request.invalid",
            "message": "amount is empty",
        },
    ]
    assert result_file(results).decode().split("\r\n") == [
        "line,source_id,result,id,state,code,message",
        f"2,w-2,accepted,{show_id('out', accepted.payout_id)},approved,,",
        f"3,w-3,accepted,{show_id('out', held.payout_id)},in_review,,larger than what goes out without a review",
        "7,bad,refused,,,request.invalid,amount is empty",
        "",
    ]


# --- a database that is lost


def at_commit_of(wire: Wire, source_id: bytes, fault: Fault, *, for_ever: bool) -> None:
    """Cut the wire at the COMMIT of the transaction that stores a line, and from then on where it is cut for ever."""

    def plan(_number: int, request: bytes) -> Fault | None:
        if wire.fired:
            return Fault.CUT_BEFORE if for_ever else None
        is_stored = any(source_id in earlier for earlier in wire.requests)
        return fault if is_stored and b"COMMIT" in request else None

    wire.arm(plan)


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
async def test_a_line_whose_commit_was_cut_is_looked_up_and_the_file_goes_on(
    cut_off: Till, wire: Wire, fault: Fault
) -> None:
    at_commit_of(wire, b"w-3", fault, for_ever=False)
    results = await run(cut_off, line(2), line(3), line(4))
    assert wire.fired == 1
    assert {result.verdict for result in results} <= {Verdict.ACCEPTED, Verdict.REPEATED}
    assert await cut_off.money() == (997 * UNIT - 3 * FEE, 3 * UNIT + 3 * FEE)
    await cut_off.check()


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
async def test_PAY_42_a_line_of_which_nobody_knows_is_not_called_refused(
    cut_off: Till, wire: Wire, fault: Fault
) -> None:
    """Whoever read "refused" might ask for it anew under another source_id, and it would be paid twice."""
    at_commit_of(wire, b"w-3", fault, for_ever=True)
    results = await run(cut_off, line(2), line(3))
    assert verdicts(results) == ["accepted", "unknown"]
    assert results[1].problem
    assert (results[1].problem.code, results[1].payout) == ("database.outcome_unknown", None)
    assert result_rows(results)[1]["code"] == "database.outcome_unknown"
    wire.arm(lambda _number, _request: None)
    again = await run(cut_off, line(2), line(3))
    assert verdicts(again) == ["repeated", "repeated" if fault is Fault.CUT_AFTER else "accepted"]
    assert await cut_off.money() == (998 * UNIT - 2 * FEE, 2 * UNIT + 2 * FEE)
