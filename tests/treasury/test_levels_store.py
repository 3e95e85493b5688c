"""What was set for hot wallets and for gas: the newest word counts, and nonsense is refused by the database itself."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.flows.harness import REGISTRY

from bitlinkpay.db.pool import Database
from bitlinkpay.treasury.levels import store
from bitlinkpay.treasury.model import GasLimits, Levels

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


async def set_levels(database: Database, asset: str, levels: Levels, now: datetime = NOW, by: str = "operator") -> None:
    async with database.transaction() as tx:
        await store.set_levels(tx, asset, levels, by=by, now=now)


async def set_gas(database: Database, network: str, limits: GasLimits, now: datetime = NOW, by: str = "me") -> None:
    async with database.transaction() as tx:
        await store.set_gas_limits(tx, network, limits, by=by, now=now)


async def levels_of(database: Database) -> dict[str, Levels]:
    async with database.reader() as tx:
        return await store.list_levels(tx)


async def gas_of(database: Database, network: str) -> GasLimits | None:
    async with database.reader() as tx:
        return await store.find_gas_limits(tx, network)


async def test_SWP_08_levels_are_replaced_whole_and_each_asset_has_its_own(database: Database) -> None:
    assert await levels_of(database) == {}
    await set_levels(database, "usdt-tron", Levels(1, 2, 3))
    await set_levels(database, "eth-ethereum", Levels(0, 0, 0))
    await set_levels(database, "usdt-tron", Levels(10, 2**200, 2**250), LATER, by="other")
    assert await levels_of(database) == {"usdt-tron": Levels(10, 2**200, 2**250), "eth-ethereum": Levels(0, 0, 0)}
    async with database.reader() as tx:
        rows = await tx.fetch("select asset, set_by, set_at from treasury_levels order by asset")
    assert [tuple(row.values()) for row in rows] == [
        ("eth-ethereum", "operator", NOW),
        ("usdt-tron", "other", LATER),
    ]


@pytest.mark.parametrize("levels", [Levels(-1, 2, 3), Levels(3, 2, 3), Levels(1, 4, 3)])
async def test_SWP_08_levels_out_of_order_are_refused_and_the_old_ones_stay(database: Database, levels: Levels) -> None:
    await set_levels(database, "usdt-tron", Levels(1, 2, 3))
    with pytest.raises(asyncpg.CheckViolationError, match="treasury_levels_order"):
        await set_levels(database, "usdt-tron", levels, LATER)
    assert await levels_of(database) == {"usdt-tron": Levels(1, 2, 3)}


@given(levels=st.lists(st.integers(0, 2**255), min_size=3, max_size=3).map(sorted), free=st.integers(-(2**255), 2**255))
def test_SWP_08_what_goes_cold_leaves_the_target_and_never_less_than_the_floor(levels: list[int], free: int) -> None:
    floor, target, ceiling = levels
    surplus = Levels(floor, target, ceiling).surplus(free)
    if free > ceiling:
        assert surplus > 0
        assert free - surplus == target >= floor
    else:
        assert surplus == 0


async def test_SWP_05_limits_of_gas_are_set_by_network_and_the_newest_word_counts(database: Database) -> None:
    assert await gas_of(database, "tron") is None
    await set_gas(database, "tron", GasLimits(2**200, store.TOPS_MAX))
    await set_gas(database, "bsc", GasLimits(5, 1))
    await set_gas(database, "bsc", GasLimits(0, 0), LATER)
    assert await gas_of(database, "tron") == GasLimits(2**200, 100)
    assert await gas_of(database, "bsc") == GasLimits(0, 0), "no gas at all is a limit, and not the lack of one"
    async with database.reader() as tx:
        assert await tx.fetchval("select set_at from treasury_gas_limits where network = 'bsc'") == LATER


@pytest.mark.parametrize(
    ("limits", "rule"),
    [
        (GasLimits(-1, 2), "treasury_gas_limits_day"),
        (GasLimits(1, -1), "treasury_gas_limits_tops"),
        (GasLimits(1, store.TOPS_MAX + 1), "treasury_gas_limits_tops"),
    ],
)
async def test_SWP_05_limits_that_make_no_sense_are_refused(database: Database, limits: GasLimits, rule: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match=rule):
        await set_gas(database, "tron", limits)
    assert await gas_of(database, "tron") is None


@pytest.mark.parametrize("network", sorted(REGISTRY.networks))
def test_SWP_05_without_a_word_a_network_hands_out_a_hundredth_of_a_deposit_a_day(network: str) -> None:
    native = REGISTRY.native(network)
    limits = store.standard_gas_limits(native)
    assert 0 < limits.day_units * 100 <= native.sanity_units
    assert (limits.day_units + 1) * 100 > native.sanity_units
    assert limits.tops_per_address == 2
