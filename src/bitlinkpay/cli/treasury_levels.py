"""`bitlinkpay treasury levels` and `gas`: how much belongs into a hot wallet, how much gas may be handed out."""

import argparse

from bitlinkpay.app.platform import Platform
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.money import format_units, parse_decimal, to_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.treasury.levels import store
from bitlinkpay.treasury.model import GasLimits, Levels

_LEVELS = ("floor", "target", "ceiling")


def add_levels(parser: argparse.ArgumentParser) -> None:
    """Add what `treasury levels` takes."""
    parser.add_argument("asset")
    parser.add_argument("--floor", help="below it an alarm is raised")
    parser.add_argument("--target", help="what is left when surplus goes cold")
    parser.add_argument("--ceiling", help="above it the surplus over the target goes cold")


def add_gas(parser: argparse.ArgumentParser) -> None:
    """Add what `treasury gas` takes."""
    parser.add_argument("network")
    parser.add_argument("--day", help="native coin a day, for all addresses together")
    parser.add_argument("--tops", help="times a day, for one address")


async def run(platform: Platform, given: argparse.Namespace, *, by: str) -> dict[str, object]:
    """Show or set levels or limits.

    Raises:
        Invalid: no such asset or network, or levels out of order.
    """
    if given.action == "levels":
        return await _levels(platform, given, by)
    return await _gas(platform, given, by)


async def _levels(platform: Platform, given: argparse.Namespace, by: str) -> dict[str, object]:
    asset = platform.registry.asset(given.asset)
    wanted = [getattr(given, name) for name in _LEVELS]
    if any(wanted):
        if not all(wanted):
            raise Invalid("set all three at once: --floor, --target and --ceiling")
        levels = Levels(*(_units(asset, text) for text in wanted))
        if not levels.floor_units <= levels.target_units <= levels.ceiling_units:
            raise Invalid("write floor <= target <= ceiling")
        now = platform.clock.now()
        await platform.database.unit(lambda tx: store.set_levels(tx, asset.id, levels, by=by, now=now))
    async with platform.database.reader() as tx:
        found = (await store.list_levels(tx)).get(asset.id)
    if found is None:
        return {"asset": asset.id, **dict.fromkeys(_LEVELS)}
    units = (found.floor_units, found.target_units, found.ceiling_units)
    shown = [format_units(one, asset.decimals) for one in units]
    return {"asset": asset.id, **dict(zip(_LEVELS, shown, strict=True))}


async def _gas(platform: Platform, given: argparse.Namespace, by: str) -> dict[str, object]:
    network, now = platform.registry.network(given.network), platform.clock.now()
    native = platform.registry.native(network.id)

    async def work(tx: Tx) -> GasLimits:
        limits = await store.find_gas_limits(tx, network.id) or store.standard_gas_limits(native)
        if given.day is None and given.tops is None:
            return limits
        limits = GasLimits(
            limits.day_units if given.day is None else _units(native, given.day),
            limits.tops_per_address if given.tops is None else _times(given.tops),
        )
        await store.set_gas_limits(tx, network.id, limits, by=by, now=now)
        return limits

    limits = await platform.database.unit(work)
    return {
        "network": network.id,
        "day": format_units(limits.day_units, native.decimals),
        "tops": limits.tops_per_address,
    }


def _times(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > store.TOPS_MAX:
        raise Invalid(f"--tops is a number from 0 to {store.TOPS_MAX}")
    return int(text)


def _units(asset: Asset, text: str) -> int:
    return to_units(parse_decimal(text, places=asset.decimals, param="amount"), asset.decimals)
