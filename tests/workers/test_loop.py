"""Loops that run for ever: no failure ends one, no wake is lost, and no chore holds up another. Time does not pass here."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.chains.base import ChainError
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.workers import loop
from bitlinkpay.workers.chores import Chore, run_chores
from bitlinkpay.workers.loop import forever

HOUR, NO_TIME = timedelta(hours=1), timedelta(0)
really_sleep = asyncio.sleep


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the loop wanted to sleep after each failure; it does not."""
    wanted: list[float] = []

    async def note(seconds: float) -> None:
        wanted.append(seconds)
        await really_sleep(0)

    monkeypatch.setattr(asyncio, "sleep", note)
    return wanted


def script(*answers: bool | BaseException) -> tuple[Callable[[], Awaitable[bool]], list[int]]:
    """Return a step that answers or fails as written, and is cancelled behind the last one; and what it counts."""
    left, done = list(answers), [0]

    async def step() -> bool:
        if not left:
            raise asyncio.CancelledError
        done[0] += 1
        answer = left.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return step, done


async def run(
    step: Callable[[], Awaitable[bool]], *, pause: timedelta = NO_TIME, wake: asyncio.Event | None = None
) -> None:
    async with asyncio.timeout(60):
        with pytest.raises(asyncio.CancelledError):
            await forever("a loop", step, pause=pause, wake=wake or asyncio.Event())


async def test_while_there_is_more_it_goes_on_at_once(slept: list[float]) -> None:
    step, done = script(True, True, True)
    await run(step, pause=HOUR)
    assert (done, slept) == ([3], [])


async def test_an_idle_loop_goes_on_after_its_pause(slept: list[float]) -> None:
    step, done = script(False, False)
    await run(step)
    assert (done, slept) == ([2], [])


async def test_a_wake_during_a_step_is_not_lost() -> None:
    """Else work that came while the loop looked elsewhere would wait for a whole pause."""
    wake, done = asyncio.Event(), 0

    async def step() -> bool:
        nonlocal done
        done += 1
        assert not wake.is_set(), "a wake counts once"
        if done == 3:
            raise asyncio.CancelledError
        wake.set()
        return False

    await run(step, pause=HOUR, wake=wake)
    assert done == 3


async def test_a_wake_ends_the_pause_and_a_cancellation_ends_the_loop() -> None:
    wake, looked = asyncio.Event(), asyncio.Queue[int]()

    async def step() -> bool:
        await looked.put(1)
        return False

    task = asyncio.create_task(forever("a loop", step, pause=HOUR, wake=wake))
    async with asyncio.timeout(60):
        await looked.get()
        await really_sleep(0)
        assert looked.empty(), "it sleeps"
        wake.set()
        await looked.get()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    "failure", [ChainError("no answer"), Unavailable("the database is away"), RuntimeError("broken")]
)
async def test_no_failure_ends_the_loop_and_what_was_foreseen_is_told_without_a_trace(
    failure: Exception, slept: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    step, done = script(failure, True, failure, failure)
    with caplog.at_level(logging.WARNING, loop.__name__):
        await run(step)
    assert done == [4]
    assert len(slept) == 3
    is_foreseen = not isinstance(failure, RuntimeError)
    assert {record.levelname for record in caplog.records} == {"WARNING" if is_foreseen else "ERROR"}
    assert [record.exc_info is None for record in caplog.records] == [is_foreseen] * 3
    counts = [record.getMessage().rpartition("(")[2] for record in caplog.records]
    assert counts == ["1 in a row)", "1 in a row)", "2 in a row)"], "a success begins the count again"
    assert all(record.getMessage().startswith("a loop: ") for record in caplog.records)


async def test_after_a_failure_it_does_not_go_on_at_once_whatever_wakes_it(slept: list[float]) -> None:
    wake = asyncio.Event()
    wake.set()
    step, _ = script(ChainError("no answer"))
    await run(step, wake=wake)
    (pause,) = slept
    assert pause >= 0.1


async def test_pauses_grow_and_have_an_end(slept: list[float]) -> None:
    step, _ = script(*[ChainError("no answer")] * 20)
    await run(step, pause=timedelta(seconds=1))
    assert len(slept) == 20
    assert 1 <= slept[0] <= 2
    assert all(later > first for first, later in zip(slept, slept[2:5], strict=False))
    assert all(15 <= pause <= 30 for pause in slept[5:])


@given(st.integers(0, 3_600_000), st.integers(1, 10_000))
def test_a_pause_is_at_least_half_of_what_doubling_asks_for_and_never_above_half_a_minute(
    millis: int, failures: int
) -> None:
    pause = loop._backoff(timedelta(milliseconds=millis), failures)
    longest = min(timedelta(seconds=30), timedelta(milliseconds=max(millis, 100)) * 2 ** min(failures, 8))
    assert longest / 2 <= pause <= longest


async def test_a_chore_that_always_fails_holds_up_no_other(slept: list[float]) -> None:
    done = asyncio.Event()
    broken, tries = script(*[RuntimeError("broken")] * 1000)
    counted = 0

    async def healthy() -> bool:
        nonlocal counted
        counted += 1
        await really_sleep(0)
        if counted == 50:
            done.set()
        return True

    chores = [Chore("broken", NO_TIME, broken), Chore("healthy", NO_TIME, healthy)]
    task = asyncio.create_task(run_chores(chores))
    async with asyncio.timeout(60):
        await done.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert counted >= 50
    assert tries[0] == len(slept) > 1


async def test_each_chore_has_a_wake_of_its_own() -> None:
    async def nothing() -> bool:
        return False

    one, other = Chore("one", HOUR, nothing), Chore("other", HOUR, nothing)
    one.wake.set()
    assert not other.wake.is_set()
