"""A month of small deposits is swept without a single loss, whatever gas costs."""

import pytest
from tests.treasury.month import play


@pytest.mark.parametrize("asset_id", ["usdt-ethereum", "usdt-tron"])
async def test_SWP_04_a_month_of_small_deposits_has_no_sweep_at_a_loss(asset_id: str) -> None:
    month = await play(asset_id, deposits=2, seed=1)
    assert month.losses == 0
    assert month.sweeps > 20
    assert month.waiting, "nothing had to wait: the month was too easy"
    assert month.cost_units < month.moved_units * 3 // 10
