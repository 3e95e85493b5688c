"""Which worker of a test run gets what: everything once, a file's tests together, files and single tests side by side."""

from dataclasses import dataclass, field
from types import SimpleNamespace

from tests.support.schedule import Schedule

LIVE = [f"tests/live/test_long.py::test_{n}" for n in range(4)]
PAGE = [f"tests/browser/test_page.py::test_{n}" for n in range(6)]
SINGLE = [f"tests/flows/test_flow.py::test_{n:02}" for n in range(40)]
COLLECTED = [*PAGE, *SINGLE[:20], *LIVE, *SINGLE[20:]]


@dataclass(eq=False)
class Worker:
    """What xdist's controller knows of a worker; it runs a test when it is told to, all but the last that it has."""

    name: str
    given: list[int] = field(default_factory=list)
    done: int = 0
    shutting_down: bool = False

    @property
    def gateway(self) -> SimpleNamespace:
        return SimpleNamespace(id=self.name)

    def send_runtest_some(self, indexes: list[int]) -> None:
        assert not self.shutting_down
        self.given += indexes

    def shutdown(self) -> None:
        self.shutting_down = True

    @property
    def can_run(self) -> bool:
        return len(self.given) - self.done > (0 if self.shutting_down else 1)


def begin(count: int) -> tuple[Schedule, list[Worker]]:
    config = SimpleNamespace(
        getvalue=lambda _name: [f"{count}*popen"], option=SimpleNamespace(loadscopereorder=True, maxworkerrestart=None)
    )
    schedule, workers = Schedule(config), [Worker(f"gw{n}") for n in range(count)]
    for worker in workers:
        schedule.add_node(worker)
    for worker in workers:
        schedule.add_node_collection(worker, COLLECTED)
    schedule.schedule()
    return schedule, workers


def run(schedule: Schedule, workers: list[Worker]) -> list[list[str]]:
    """Let all workers run their tests in turn to the end; return what each ran."""
    while any(worker.can_run for worker in workers):
        for worker in workers:
            if worker.can_run:
                worker.done += 1
                schedule.mark_test_complete(worker, worker.given[worker.done - 1])
    assert not schedule.has_pending
    return [[COLLECTED[index] for index in worker.given] for worker in workers]


def test_everything_runs_once_whatever_the_number_of_workers() -> None:
    for count in (1, 2, 3, 4):
        ran = run(*begin(count))
        assert sorted(test for tests in ran for test in tests) == sorted(COLLECTED)


def test_every_other_worker_begins_with_files_the_largest_first_and_the_rest_with_single_tests_in_order() -> None:
    files, singles, *_ = run(*begin(2))
    assert files[:10] == [*PAGE, *LIVE]
    assert singles == sorted(singles)
    assert files[10:] == sorted(files[10:])
    assert singles[0] == SINGLE[0]


def test_the_tests_of_a_file_stay_together() -> None:
    for ran in run(*begin(4)):
        for file in (PAGE, LIVE):
            assert set(file) <= set(ran) or not set(file) & set(ran)


def test_what_a_worker_has_done_is_forgotten() -> None:
    schedule, workers = begin(2)
    run(schedule, workers)
    assert all(units == {} for units in schedule.assigned_work.values())


def test_what_a_dead_worker_had_goes_to_another() -> None:
    schedule, (first, second) = begin(2)
    assert schedule.remove_node(first) == PAGE[0]
    assert set(PAGE) <= set(run(schedule, [second])[0])
