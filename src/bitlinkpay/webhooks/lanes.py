"""How much of the sending window each endpoint may hold, so that a dead one never delays another. Pure."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

FIRST_ROOM: Final = 4
ROOM_MAX: Final = 64  # each place is a connection of its own, each wave of 64 one claim
FAILURES_MAX: Final = 4
SLOW_S: Final = 2.0
REST_FACTOR: Final = 20
REST_MAX_S: Final = 300.0
_LANES_MAX: Final = 20_000


@dataclass(slots=True)
class _Lane:
    """One endpoint as seen by this process.

    Attributes:
        cap: how many attempts at once; grows by one with each that works, halves with each that does not.
        is_full: the last claim took all its room, so that more may be due.
    """

    cap: int = FIRST_ROOM
    in_flight: int = 0
    failures: int = 0
    rests_until: float = 0.0
    is_full: bool = False


class Lanes:
    """Caps per endpoint and a breaker: after a few failures in a row an endpoint gets one attempt at a time.

    Between two of them it rests 20 times as long as the last one took: it holds a place in the window for at most a
    twentieth of the time, however many such endpoints there are, and one that fails fast hardly rests at all.
    """

    def __init__(self) -> None:
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()

    def rooms(self, now_s: float) -> dict[str, int]:
        """Return how many more attempts each known endpoint may start (monotonic seconds)."""
        return {endpoint: _room(lane, now_s) for endpoint, lane in self._lanes.items()}

    def start(self, endpoint: str) -> None:
        """Note that an attempt starts."""
        lane = self._lanes.setdefault(endpoint, _Lane())
        lane.in_flight += 1
        self._lanes.move_to_end(endpoint)

    def claimed(self, endpoint: str, *, count: int, room: int) -> None:
        """Note that a claim brought `count` attempts for this endpoint, which had `room` when the claim began.

        What finished while the claim was under way does not matter: where the room was used up, more may be due.
        """
        self._lanes.setdefault(endpoint, _Lane()).is_full = count >= room

    def succeed(self, endpoint: str, *, took_s: float) -> bool:
        """Note an answer of a living server; returns whether a full endpoint has room worth a claim again.

        One that takes its time gets less room, not more: many slow ones must not fill the window either.
        """
        lane = self._lanes[endpoint]
        lane.in_flight -= 1
        lane.failures = 0
        lane.cap = min(ROOM_MAX, lane.cap + 1) if took_s <= SLOW_S else max(1, lane.cap // 2)
        return self._has_drained(lane)

    def fail(self, endpoint: str, *, took_s: float, now_s: float) -> bool:
        """Note a failure of the endpoint; returns as `succeed` does."""
        lane = self._lanes[endpoint]
        lane.in_flight -= 1
        lane.failures += 1
        lane.cap = max(1, lane.cap // 2)
        if lane.failures >= FAILURES_MAX:
            lane.cap = 1
            lane.rests_until = now_s + min(REST_MAX_S, REST_FACTOR * took_s)
        return self._has_drained(lane)

    def forget_idle(self, now_s: float) -> None:
        """Drop the endpoints used longest ago beyond a bound; their next claim starts afresh."""
        while len(self._lanes) > _LANES_MAX:
            endpoint, lane = next(iter(self._lanes.items()))
            if lane.in_flight or lane.rests_until > now_s:
                self._lanes.move_to_end(endpoint)
                return
            del self._lanes[endpoint]

    @staticmethod
    def _has_drained(lane: _Lane) -> bool:
        return lane.is_full and 2 * lane.in_flight <= lane.cap


def _room(lane: _Lane, now_s: float) -> int:
    return 0 if lane.rests_until > now_s else max(0, lane.cap - lane.in_flight)
