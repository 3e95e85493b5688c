"""How much of the caps is used, what is planned, and where the audit stands."""

from collections.abc import Iterator
from datetime import datetime

from bitlinkpay.core.assets import Asset
from bitlinkpay.core.money import format_units
from bitlinkpay.signer.policy.cold import objection
from bitlinkpay.signer.policy.model import DAY, HOUR
from bitlinkpay.signer.policy.rules import fee_key
from bitlinkpay.signer.protocol import Standing, Used
from bitlinkpay.signer.room import Room


def standing(room: Room, *, waiting: int) -> Standing:
    """Describe where a signer stands.

    Raises:
        ClockJumped: it signs nothing at the moment.
    """
    history, now = room.history, room.clock.now()
    return Standing(
        mode=room.policy.mode.value,
        policy=room.policy.digest,
        audit_seq=room.journal.head.seq,
        audit_hash=room.journal.head.hash,
        refusals=history.refusals,
        waiting=waiting,
        operators=tuple(sorted(room.policy.operators)),
        purposes=tuple(sorted(room.policy.purposes)),
        cold=dict(history.cold.addresses) if history.cold else {},
        cold_change=_cold_change(room),
        used=tuple(_used(room, now)),
    )


def _cold_change(room: Room) -> str:
    planned = room.history.planned
    if planned is None:
        return objection(room.policy, room.history, room.ring.fingerprint)
    rows = ", ".join(f"{asset} = {address}" for asset, address in sorted(planned.cold.addresses.items()))
    return f"in force from {planned.at:%Y-%m-%d %H:%M} UTC, signed by {' and '.join(planned.operators)}: {rows}"


def _used(room: Room, now: datetime) -> Iterator[Used]:
    windows, policy, registry = room.history.windows, room.policy, room.registry
    for name, caps in policy.caps.items():
        hour, day = windows.spent(name, HOUR, now), windows.spent(name, DAY, now)
        if day:
            yield _row(registry.asset(name), name, hour=hour, hour_cap=caps.hour, day=day, day_cap=caps.day)
    for name, fees in policy.fees.items():
        key = fee_key(name)
        hour, day = windows.spent(key, HOUR, now), windows.spent(key, DAY, now)
        if day:
            yield _row(registry.native(name), key, hour=hour, hour_cap=fees.day, day=day, day_cap=fees.day)


def _row(asset: Asset, name: str, *, hour: int, hour_cap: int, day: int, day_cap: int) -> Used:
    return Used(name, *(format_units(units, asset.decimals) for units in (hour, hour_cap, day, day_cap)))
