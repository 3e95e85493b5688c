"""Which tests a worker of the run gets together."""

from xdist.scheduler.loadscope import LoadScopeScheduling

# Each of their files stands on one deployment or browser, which is started once, and its tests follow one another.
TOGETHER = ("tests/live/", "tests/browser/")


def unit_of(nodeid: str) -> str:
    """Return the unit of work that a test belongs to: its file where a world is shared, otherwise the test itself."""
    return nodeid.partition("::")[0] if nodeid.startswith(TOGETHER) else nodeid


class Schedule(LoadScopeScheduling):
    """Hands out whole files of a shared world, the largest first, then single tests.

    Not `--dist loadgroup`: xdist 3.8 writes the group into an attribute that pytest 9.2 no longer reads.
    """

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
