"""Micro-batches: results per item, no lost wake-up, no cancelled neighbour."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from bitlinkpay.core.errors import Conflict, Invalid, Problem, Unavailable
from bitlinkpay.db.batch import MicroBatch
from bitlinkpay.db.pool import Database, Tx


class Recorder:
    """Answers `n` with `n * 10`, refuses negative numbers, remembers its batches."""

    def __init__(self, *, pause_s: float = 0.0) -> None:
        self.batches: list[list[int]] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.gate: asyncio.Event | None = None
        self.pause_s = pause_s

    async def run(self, queries: Sequence[int]) -> Sequence[int | Problem]:
        self.batches.append(list(queries))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(self.pause_s)
        self.in_flight -= 1
        return [Invalid(f"{query} is negative") if query < 0 else query * 10 for query in queries]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_query_goes_alone_and_at_once():
    recorder = Recorder()
    batch = MicroBatch(recorder.run)
    assert await batch.submit(4) == 40
    assert recorder.batches == [[4]]


async def test_what_queues_during_a_batch_travels_in_the_next():
    recorder = Recorder()
    recorder.gate = asyncio.Event()
    batch = MicroBatch(recorder.run)
    first = asyncio.create_task(batch.submit(0))
    await settle()
    rest = [asyncio.create_task(batch.submit(number)) for number in range(1, 6)]
    await settle()
    recorder.gate.set()
    assert await asyncio.gather(first, *rest) == [0, 10, 20, 30, 40, 50]
    assert recorder.batches == [[0], [1, 2, 3, 4, 5]]


async def test_no_batch_is_larger_than_the_limit_and_order_is_kept():
    recorder = Recorder()
    batch = MicroBatch(recorder.run, limit=7)
    assert await asyncio.gather(*(batch.submit(number) for number in range(100))) == [n * 10 for n in range(100)]
    assert max(map(len, recorder.batches)) == 7
    assert [query for one in recorder.batches for query in one] == list(range(100))


@pytest.mark.parametrize("in_flight", [1, 2, 3])
async def test_no_more_batches_are_in_flight_than_allowed(in_flight: int):
    recorder = Recorder(pause_s=0.001)
    batch = MicroBatch(recorder.run, limit=3, in_flight=in_flight)
    await asyncio.gather(*(batch.submit(number) for number in range(50)))
    assert recorder.most_in_flight == in_flight


async def test_a_refused_item_does_not_fail_its_neighbours():
    batch = MicroBatch(Recorder().run)
    found = await asyncio.gather(*(batch.submit(n) for n in (1, -2, 3)), return_exceptions=True)
    assert [found[0], found[2]] == [10, 30]
    assert isinstance(found[1], Invalid)
    assert found[1].message == "-2 is negative"


async def test_a_batch_that_fails_fails_its_items_and_no_later_ones():
    calls = 0

    async def run(queries: Sequence[int]) -> Sequence[int | Problem]:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        if calls == 1:
            raise Conflict("the whole batch")
        return list(queries)

    batch = MicroBatch(run, limit=2)
    found = await asyncio.gather(*(batch.submit(n) for n in range(4)), return_exceptions=True)
    assert [type(one) for one in found] == [Conflict, Conflict, int, int]
    assert await batch.submit(9) == 9


async def test_a_wrong_number_of_results_is_a_broken_belief_for_all():
    async def run(queries: Sequence[int]) -> Sequence[int | Problem]:
        return list(queries)[:-1]

    batch = MicroBatch(run)
    found = await asyncio.gather(batch.submit(1), batch.submit(2), return_exceptions=True)
    assert [type(one) for one in found] == [AssertionError, AssertionError]


async def test_a_cancelled_request_never_cancels_the_batch():
    recorder = Recorder()
    recorder.gate = asyncio.Event()
    batch = MicroBatch(recorder.run)
    tasks = [asyncio.create_task(batch.submit(number)) for number in range(3)]
    await settle()
    tasks[0].cancel()  # the one that started the pump
    tasks[1].cancel()
    await settle()
    recorder.gate.set()
    assert await tasks[2] == 20
    assert tasks[0].cancelled()
    assert tasks[1].cancelled()
    assert recorder.batches == [[0, 1, 2]]
    assert await batch.submit(5) == 50


async def test_a_request_cancelled_while_it_waits_is_not_sent():
    recorder = Recorder()
    recorder.gate = asyncio.Event()
    batch = MicroBatch(recorder.run)
    first = asyncio.create_task(batch.submit(0))
    await settle()
    waiting = [asyncio.create_task(batch.submit(number)) for number in (1, 2, 3)]
    await settle()
    waiting[1].cancel()
    await settle()
    recorder.gate.set()
    assert await asyncio.gather(first, waiting[0], waiting[2]) == [0, 10, 30]
    assert recorder.batches == [[0], [1, 3]]


async def test_all_waiting_requests_cancelled_leave_a_batch_that_still_works():
    recorder = Recorder()
    recorder.gate = asyncio.Event()
    batch = MicroBatch(recorder.run)
    first = asyncio.create_task(batch.submit(0))
    await settle()
    waiting = [asyncio.create_task(batch.submit(number)) for number in range(1, 600)]
    await settle()
    for task in waiting:
        task.cancel()
    await settle()
    recorder.gate.set()
    assert await first == 0
    assert await batch.submit(7) == 70
    assert recorder.batches == [[0], [7]]


@pytest.mark.parametrize("ticks", range(12))
async def test_no_wake_up_is_lost_at_any_moment_of_a_batch_ending(ticks: int):
    """A query that comes n steps of the loop after the last batch ended finds a pump or starts one."""
    recorder = Recorder()
    batch = MicroBatch(recorder.run)
    for _ in range(50):
        first = asyncio.create_task(batch.submit(1))
        for _ in range(ticks):
            await asyncio.sleep(0)
        async with asyncio.timeout(60):
            assert await batch.submit(2) == 20
            assert await first == 10


async def test_a_query_submitted_by_the_answer_of_the_last_one_is_not_lost():
    recorder = Recorder()
    batch = MicroBatch(recorder.run)

    async def chain(length: int) -> int:
        total = 0
        for number in range(length):
            total += await batch.submit(number)
        return total

    async with asyncio.timeout(60):
        assert await asyncio.gather(*(chain(30) for _ in range(20))) == [4350] * 20


@pytest.mark.parametrize("in_flight", [1, 2])
@pytest.mark.parametrize("seed", range(5))
async def test_nothing_hangs_under_random_traffic_with_cancellations(in_flight: int, seed: int):
    chance = random.Random(seed)
    recorder = Recorder()
    batch = MicroBatch(recorder.run, limit=8, in_flight=in_flight)
    answered = 0

    async def ask(number: int) -> None:
        nonlocal answered
        for _ in range(chance.randrange(6)):
            await asyncio.sleep(0)
        assert await batch.submit(number) == number * 10
        answered += 1

    tasks = []
    for number in range(400):
        tasks.append(asyncio.create_task(ask(number)))
        if chance.random() < 0.2:
            chance.choice(tasks).cancel()
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
    async with asyncio.timeout(60):
        found = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(one is None or isinstance(one, asyncio.CancelledError) for one in found)
    assert answered == sum(one is None for one in found) > 250


async def test_a_full_queue_refuses_at_once():
    recorder = Recorder()
    recorder.gate = asyncio.Event()
    batch = MicroBatch(recorder.run, queue_limit=3)
    running = asyncio.create_task(batch.submit(0))
    await settle()
    waiting = [asyncio.create_task(batch.submit(n)) for n in (1, 2, 3)]
    await settle()
    with pytest.raises(Unavailable, match="wait"):
        await batch.submit(4)
    recorder.gate.set()
    assert await asyncio.gather(running, *waiting) == [0, 10, 20, 30]
    assert await batch.submit(5) == 50


async def test_drain_waits_for_all_answers():
    recorder = Recorder(pause_s=0.01)
    batch = MicroBatch(recorder.run, limit=2)
    tasks = [asyncio.create_task(batch.submit(n)) for n in range(6)]
    await settle()
    await batch.drain()
    assert all(task.done() for task in tasks)
    await batch.drain()


async def test_a_cancelled_pump_answers_those_who_wait():
    recorder = Recorder()
    recorder.gate = asyncio.Event()
    batch = MicroBatch(recorder.run, limit=1)
    tasks = [asyncio.create_task(batch.submit(n)) for n in range(3)]
    await settle()
    for pump in list(batch._pumps):
        pump.cancel()
    async with asyncio.timeout(60):
        found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in found] == [Unavailable] * 3
    recorder.gate = None
    assert await batch.submit(3) == 30


async def test_a_batch_over_the_database_answers_each_item(database: Database):
    """The shape of real use: one statement per batch, a refusal for some items."""

    async def run(queries: Sequence[int]) -> Sequence[int | Problem]:
        async def work(tx: Tx) -> list[int | Problem]:
            rows = await tx.fetch("SELECT n, 100 / NULLIF(n, 0) AS share FROM unnest($1::int[]) AS n", list(queries))
            return [Invalid("zero") if row["share"] is None else row["share"] for row in rows]

        return await database.unit(work)

    batch = MicroBatch(run, in_flight=2)
    found = await asyncio.gather(*(batch.submit(n % 10) for n in range(500)), return_exceptions=True)
    for number, one in enumerate(found):
        if number % 10 == 0:
            assert isinstance(one, Invalid)
        else:
            assert one == 100 // (number % 10)
