"""Which queued payments go next: a pure decision, fair between merchants, never more than the wallet holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bitlinkpay.sending.model import Sending

PATIENCE: Final = timedelta(hours=1)
"""A payment that has waited this long for liquidity holds up whatever stands behind it and wants the same money."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What goes into the next transaction, in order, and what waits because the wallet holds too little of an asset."""

    taken: tuple[Sending, ...]
    lacking: tuple[Sending, ...]


def choose(
    queued: Sequence[Sending], free_units: Mapping[tuple[str, str], int], *, native: str, most: int, now: datetime
) -> Choice:
    """Choose payments for one transaction: one purpose and one asset, those of the first that fits.

    Merchants take turns; within a merchant the order is that of the queue, and nobody overtakes a payment of the same
    merchant that does not fit and wants the same money. After `PATIENCE` nobody at all overtakes it. Money elsewhere is
    another: a sweep brings what a payment waits for.

    Args:
        queued: in the order of the queue.
        free_units: by (address, asset) what is not promised to anything else yet; the payer's native coin pays fees.
        native: id of the network's own coin.
        most: how many payments the transaction may carry.
        now: business time.
    """
    free = dict(free_units)
    blocked_merchants: set[tuple[object, str, str]] = set()
    blocked: set[tuple[str, str]] = set()
    taken: list[Sending] = []
    lacking: list[Sending] = []
    for sending in _in_turns(queued):
        if taken and not _fits_beside(sending, taken[0]):
            continue
        wanted = (sending.spends.source.address, sending.spends.asset) if sending.spends else ("", "")
        if (sending.merchant_id, *wanted) in blocked_merchants or wanted in blocked:
            lacking.append(sending)
            continue
        if not _take(free, sending, native):
            lacking.append(sending)
            blocked_merchants.add((sending.merchant_id, *wanted))
            if now - sending.queued_at >= PATIENCE:
                blocked.add(wanted)
            continue
        taken.append(sending)
        if len(taken) == most:
            break
    return Choice(tuple(taken), tuple(lacking))


def _in_turns(queued: Sequence[Sending]) -> list[Sending]:
    """Deal the queue out merchant by merchant, each one's first, then each one's second, and so on."""
    rounds: dict[object, int] = {}
    dealt: list[tuple[int, int, Sending]] = []
    for place, sending in enumerate(queued):
        turn = rounds.get(sending.merchant_id, 0)
        rounds[sending.merchant_id] = turn + 1
        dealt.append((turn, place, sending))
    return [sending for _, _, sending in sorted(dealt, key=lambda one: one[:2])]


def _fits_beside(sending: Sending, first: Sending) -> bool:
    if sending.payment is None or first.payment is None:
        return False
    return sending.purpose is first.purpose and sending.payment.asset == first.payment.asset


def _take(free: dict[tuple[str, str], int], sending: Sending, native: str) -> bool:
    """Take a payment and the most that its fee may be out of what is free; False changes nothing."""
    needs = {(sending.payer.address, native): sending.fee_max_units - sending.covered_units}
    if spent := sending.spends:
        key = spent.source.address, spent.asset
        needs[key] = needs.get(key, 0) + spent.units
    if any(free.get(key, 0) < units for key, units in needs.items()):
        return False
    for key, units in needs.items():
        free[key] = free.get(key, 0) - units
    return True
