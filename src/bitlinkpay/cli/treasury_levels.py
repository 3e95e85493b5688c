"""`bitlinkpay treasury levels`, `gas`, `consolidation`: how much belongs where, how much gas, when outputs join."""

import argparse
from typing import Final

from bitlinkpay.app.platform import Platform
from bitlinkpay.cli.console import is_whole
from bitlinkpay.core.assets import Asset, Family
from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.money import format_units, parse_decimal, to_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.treasury.joining import per_vb
from bitlinkpay.treasury.levels import store
from bitlinkpay.treasury.model import GasLimits, JoinTerms, Levels
from bitlinkpay.treasury.terms import store as terms_store

_LEVELS = ("floor", "target", "ceiling")
_RATE_PLACES: Final = 3
_RATE_MAX: Final = 1_000_000
_LEAST: Final = range(2, 201)
_KEEP: Final = range(10_001)


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


def add_join_terms(parser: argparse.ArgumentParser) -> None:
    """Add what `treasury consolidation` takes."""
    parser.add_argument("network")
    parser.add_argument("--low", help="sat/vB: while the network asks for more nothing is joined; 0 for never")
    parser.add_argument("--least", help="fewer outputs are left as they are")
    parser.add_argument("--keep", help="so many of the largest outputs are left free for payments")


async def run(platform: Platform, given: argparse.Namespace, *, by: str) -> dict[str, object]:
    """Show or set levels, limits or terms.

    Raises:
        Invalid: no such asset or network, or levels out of order.
    """
    if given.action == "levels":
        return await _levels(platform, given, by)
    if given.action == "gas":
        return await _gas(platform, given, by)
    return await _join_terms(platform, given, by)


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


async def _join_terms(platform: Platform, given: argparse.Namespace, by: str) -> dict[str, object]:
    network, now = platform.registry.network(given.network), platform.clock.now()
    if network.family is not Family.BITCOIN:
        raise Invalid(f"{network.id} counts balances and not outputs: there is nothing to join")

    async def work(tx: Tx) -> JoinTerms:
        terms = await terms_store.find(tx, network.id) or terms_store.STANDARD
        if given.low is given.least is given.keep is None:
            return terms
        terms = JoinTerms(
            terms.low_rate if given.low is None else _rate(given.low),
            terms.least if given.least is None else _number("--least", given.least, _LEAST),
            terms.keep if given.keep is None else _number("--keep", given.keep, _KEEP),
        )
        await terms_store.set_terms(tx, network.id, terms, by=by, now=now)
        return terms

    terms = await platform.database.unit(work)
    return {"network": network.id, "low": per_vb(terms.low_rate), "least": terms.least, "keep": terms.keep}


def _rate(text: str) -> int:
    rate = to_units(parse_decimal(text, places=_RATE_PLACES, param="low"), _RATE_PLACES)
    if rate > _RATE_MAX:
        raise Invalid("--low is a number of sat/vB from 0 to 1000")
    return rate


def _times(text: str) -> int:
    return _number("--tops", text, range(store.TOPS_MAX + 1))


def _number(name: str, text: str, allowed: range) -> int:
    if not is_whole(text, allowed[0], allowed[-1]):
        raise Invalid(f"{name} is a number from {allowed[0]} to {allowed[-1]}")
    return int(text)


def _units(asset: Asset, text: str) -> int:
    return to_units(parse_decimal(text, places=asset.decimals, param="amount"), asset.decimals)
