"""Every SQL statement about how much belongs into hot wallets, and how much gas addresses may get."""

from datetime import datetime
from typing import Final

from bitlinkpay.core.assets import Asset
from bitlinkpay.db.driver import Tx
from bitlinkpay.treasury.model import GasLimits, Levels

TOPS_PER_ADDRESS: Final = 2
TOPS_MAX: Final = 100
_DAY_SHARE: Final = 100


def standard_gas_limits(native: Asset) -> GasLimits:
    """Return the limits of a network for which none were set: a hundredth of what one deposit may be without review."""
    return GasLimits(native.sanity_units // _DAY_SHARE, TOPS_PER_ADDRESS)


async def list_levels(tx: Tx) -> dict[str, Levels]:
    """Return what was set, by asset."""
    rows = await tx.fetch("select * from treasury_levels order by asset")
    return {
        row["asset"]: Levels(int(row["floor_units"]), int(row["target_units"]), int(row["ceiling_units"]))
        for row in rows
    }


async def set_levels(tx: Tx, asset: str, levels: Levels, *, by: str, now: datetime) -> None:
    """Set how much of an asset belongs into the hot wallet."""
    await tx.execute(
        """
        insert into treasury_levels (asset, floor_units, target_units, ceiling_units, set_by, set_at)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (asset) do update set floor_units = excluded.floor_units, target_units = excluded.target_units,
            ceiling_units = excluded.ceiling_units, set_by = excluded.set_by, set_at = excluded.set_at
        """,
        asset,
        levels.floor_units,
        levels.target_units,
        levels.ceiling_units,
        by,
        now,
    )


async def find_gas_limits(tx: Tx, network: str) -> GasLimits | None:
    """Return the limits that were set for a network."""
    row = await tx.fetchrow("select * from treasury_gas_limits where network = $1", network)
    return GasLimits(int(row["day_units"]), row["tops_per_address"]) if row else None


async def set_gas_limits(tx: Tx, network: str, limits: GasLimits, *, by: str, now: datetime) -> None:
    """Set how much gas addresses may get on a network."""
    await tx.execute(
        """
        insert into treasury_gas_limits (network, day_units, tops_per_address, set_by, set_at)
        values ($1, $2, $3, $4, $5)
        on conflict (network) do update set day_units = excluded.day_units,
            tops_per_address = excluded.tops_per_address, set_by = excluded.set_by, set_at = excluded.set_at
        """,
        network,
        limits.day_units,
        limits.tops_per_address,
        by,
        now,
    )
