"""Which tests a worker of the run gets together, and in which order."""

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling
from xdist.workermanage import WorkerController

# Each of their files stands on one deployment or browser, which is started once, and its tests follow one another.
TOGETHER = ("tests/live/", "tests/browser/")


def unit_of(nodeid: str) -> str:
    """Return the unit of work that a test belongs to: its file where a world is shared, otherwise the test itself."""
    return nodeid.partition("::")[0] if nodeid.startswith(TOGETHER) else nodeid


def is_file(unit: str) -> bool:
    """Say whether a unit is a whole file."""
    return "::" not in unit


class Schedule(LoadScopeScheduling):
    """Hands out whole files of a shared world to every other worker and single tests to the rest, as long as there are any.

    Such files wait for chains and clocks most of the time, single tests hardly ever: all files first would leave the
    processor idle, and the longest file last would leave all workers but one idle.
    Not `--dist loadgroup`: xdist 3.8 writes the group into an attribute that pytest 9.2 no longer reads.
    """

    def __init__(self, config: pytest.Config, log: object = None) -> None:
        super().__init__(config, log)
        self._is_in_order = False

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """Forget a unit once it is done: xdist counts all that a worker ever had after each test."""
        super().mark_test_complete(node, item_index, duration)
        unit = unit_of(self.registered_collections[node][item_index])
        if all(self.assigned_work[node][unit].values()):
            del self.assigned_work[node][unit]

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Take from the front while there are files, every other worker, or from the back."""
        if not self._is_in_order:
            self._put_in_order()
        if self.nodes.index(node) % 2 or not is_file(next(iter(self.workqueue))):
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)

    def _put_in_order(self) -> None:
        """Files to the front, the largest first; single tests behind them, the first of them last."""
        files = [unit for unit in self.workqueue if is_file(unit)]
        for unit in reversed(files):
            self.workqueue.move_to_end(unit, last=False)
        for unit in reversed(list(self.workqueue)[len(files) :]):
            self.workqueue.move_to_end(unit)
        self._is_in_order = True
