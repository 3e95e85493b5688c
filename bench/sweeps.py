"""A month of small deposits: how many sweeps cost more than they brought (none may), and what moving it all cost.

    python -m bench.sweeps

The shipped planner on networks whose gas and coin change their price every hour; each sweep's fee ends between what was
expected and the most that the planner allowed.
"""

import asyncio

from tests.treasury.month import play

from bench.table import Row, show

DEPOSITS = 5
SEEDS = range(4)


async def rows() -> list[Row]:
    found = []
    for asset_id in ("usdt-ethereum", "usdt-tron"):
        months = [await play(asset_id, deposits=DEPOSITS, seed=seed) for seed in SEEDS]
        sweeps, losses = sum(month.sweeps for month in months), sum(month.losses for month in months)
        moved, cost = sum(month.moved_units for month in months), sum(month.cost_units for month in months)
        waiting = sum(len(month.waiting) for month in months)
        detail = f"of {sweeps:,} sweeps in {len(months)} months; {waiting:,} deposits wait; fees are {100 * cost / moved:.1f} % of what moved"
        found.append(Row(f"{asset_id}: sweeps at a loss", losses, 0, detail, at_least=False))
    return found


def main() -> list[Row]:
    return asyncio.run(rows())


if __name__ == "__main__":
    show(main())
