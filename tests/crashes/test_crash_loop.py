"""Thousands of schedules of money out, each with crashes. `make sim N=20000 SEED=5` plays as many as you like."""

import asyncio
import itertools
import logging
import os
from collections.abc import Iterator, Mapping

import pytest
import uvloop
from tests.crashes import schedule
from tests.crashes.flow import Act, Loop
from tests.crashes.schedule import draw
from tests.crashes.stage import Process, Stage
from tests.crashes.theatre import Theatre
from tests.support.server import TestServer

from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.sending.service import Owner

COUNT = int(os.environ.get("BITLINKPAY_CRASHES", "2000"))
FIRST = int(os.environ.get("BITLINKPAY_CRASH_SEED", "0"))
UNIT = 50
UNITS = [range(first, min(first + UNIT, FIRST + COUNT)) for first in range(FIRST, FIRST + COUNT, UNIT)]


class Brittle:
    """`Flow` that is not fit for its one act: a platform with a fault."""

    WEIGHTS: Mapping[str, int] = {"crack": 20}

    def __init__(self, stage: Stage) -> None:
        self.cracks = 0

    def owners(self) -> Mapping[OwnerKind, Owner]:
        return {}

    def loops(self, process: Process) -> Mapping[str, Loop]:
        return {}

    async def crack(self, act: Act) -> str:
        self.cracks += 1
        return "oh"

    async def settle(self) -> None:
        """Leave it."""

    async def account(self) -> int:
        assert not self.cracks, "cracked"
        return 0


@pytest.fixture(scope="session")
def theatre(server: TestServer) -> Theatre:
    return asyncio.run(Theatre.build(server, "template_migrated"))


@pytest.fixture
def runner(caplog: pytest.LogCaptureFixture) -> Iterator[asyncio.Runner]:
    """Crashes by the thousand fill no log; what the platform calls critical still shows."""
    with caplog.at_level(logging.CRITICAL, "bitlinkpay"), asyncio.Runner(loop_factory=uvloop.new_event_loop) as found:
        yield found


@pytest.mark.parametrize("seeds", UNITS, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_PAY_01_schedules_of_crashes_leave_every_payout_one_end_and_one_payment(
    theatre: Theatre, runner: asyncio.Runner, seeds: range
) -> None:
    runner.run(theatre.play_all(seeds))


def test_one_seed_is_one_story_whatever_was_played_before(theatre: Theatre, runner: asyncio.Runner) -> None:
    together = runner.run(theatre.play_all([105, 306, 11, 5, 20]))
    assert [runner.run(theatre.play_all([seed]))[0] for seed in (11, 5, 20)] == together[2:]


def test_a_schedule_that_fails_is_told_by_its_seed_and_the_shortest_that_fails_too(
    theatre: Theatre, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Play against a flow that has a fault: of the whole schedule one act is left."""
    monkeypatch.setattr(schedule, "FLOWS", (*schedule.FLOWS, Brittle))
    seed = next(seed for seed in itertools.count() if any(act.flow == "Brittle" for act in draw(seed).acts))
    with pytest.raises(AssertionError) as caught:
        runner.run(theatre.play_all([seed]))
    notes = "\n".join(caught.value.__notes__)
    assert f"seed {seed} on " in notes
    assert notes.endswith(f"make sim N=1 SEED={seed}; the shortest that still fails:\n  Brittle.crack")
