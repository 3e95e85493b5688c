"""When a failed delivery is tried again: 16 more times over 72 hours, as data."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

_S, _M, _H = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)

OFFSETS: Final = (
    *(0 * _S, 10 * _S, 30 * _S, 90 * _S),
    *(5 * _M, 15 * _M, 30 * _M),
    *(1 * _H, 2 * _H, 4 * _H, 8 * _H, 16 * _H, 24 * _H, 36 * _H, 48 * _H, 60 * _H, 72 * _H),
)
"""Time of each attempt after the first one of a run; the run ends with the last."""

JITTER_PPM: Final = 100_000
"""A wait is stretched by up to this share, so that what failed together is not tried again together."""

_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Slot:
    """The next try: its place in the schedule and how long to wait for it."""

    step: int
    wait: timedelta


def next_slot(step: int, *, wait_s: int, jitter_ppm: int) -> Slot | None:
    """Return the slot after `step`, or None when the schedule is used up.

    Args:
        step: place of the attempt that failed.
        wait_s: what the merchant asked for by `Retry-After`: the first slot that is not sooner is taken, the last
            one at most, so that a wish delays a delivery but neither ends it nor stretches the schedule.
        jitter_ppm: how much of `JITTER_PPM` to use, 0 to 1,000,000.
    """
    assert 0 <= jitter_ppm <= _MILLION
    if step + 1 >= len(OFFSETS):
        return None
    wanted = timedelta(seconds=min(wait_s, int(OFFSETS[-1].total_seconds())))
    last = len(OFFSETS) - 1
    chosen = next((slot for slot in range(step + 1, last) if OFFSETS[slot] - OFFSETS[step] >= wanted), last)
    wait = OFFSETS[chosen] - OFFSETS[step]
    return Slot(chosen, wait + wait * (JITTER_PPM * jitter_ppm // _MILLION) / _MILLION)
