"""`bitlinkpay statement`: a merchant's day by day, asset by asset, for people, as JSON and as CSV."""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import msgspec

from bitlinkpay.app.platform import Platform, open_platform
from bitlinkpay.cli.console import add_data_dir, add_json, find_deployment, show
from bitlinkpay.cli.naming import find_merchant
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.clock import SystemClock
from bitlinkpay.core.errors import Invalid
from bitlinkpay.db.driver import Tx
from bitlinkpay.merchants.model import Merchant
from bitlinkpay.settings import Settings
from bitlinkpay.statements import export, service
from bitlinkpay.statements.model import Line, Statement, is_worth_showing

_MAX_DAYS: Final = 366
_HIDDEN: Final = ("merchant_id", "merchant", "day", "first", "last")


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Show one day, or write several of them to a file."""
    actions = parser.add_subparsers(dest="action", required=True)
    shown = actions.add_parser("show", help="one day")
    add_json(shown)
    exported = actions.add_parser("export", help="a range of days, as CSV or JSON")
    exported.add_argument("--to", type=_day, default=None, help="the last day; one day without it")
    exported.add_argument("--format", choices=["csv", "json"], default="csv")
    exported.add_argument("--postings", action="store_true", help="every posting behind the movements, one a row")
    exported.add_argument("--out", type=Path, default=None, help="a new file; standard output without it")
    for action in actions.choices.values():
        action.add_argument("merchant", help="broker id, merchant id or name")
        action.add_argument("--day", type=_day, default=None, help="YYYY-MM-DD, a day in UTC; today without it")
        action.add_argument("--asset", default=None, help="one asset only")
        add_data_dir(action)
    given = parser.parse_args(words)
    settings = find_deployment(given.data_dir)
    if given.action == "show":
        show(asyncio.run(_show(settings, given)), as_json=given.json)
    else:
        _write(asyncio.run(_export(settings, given)), given.out)
    return 0


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:  # Python reads 20260131 and 2026-W05-6, too
        raise argparse.ArgumentTypeError(f"{text!r} is no day of the form 2026-01-31")
    return day


def _write(text: str, out: Path | None) -> None:
    if out is None:
        sys.stdout.write(text)
        return
    try:
        with out.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError:
        raise Invalid(f"{out} exists already; name a new file") from None
    except OSError as error:
        raise Invalid(f"{out} can't be written: {error.strerror}") from None


async def _show(settings: Settings, given: argparse.Namespace) -> object:
    async with open_platform(settings) as platform, platform.database.reader() as tx:
        merchant = await find_merchant(tx, given.merchant)
        assets = _assets(platform, given.asset)
        found = await _of_day(tx, merchant, assets, given.day or _today())
        if given.json:
            return [export.show_statement(one, assets[one.asset]) for one in found]
        rows = [row for one in found for row in export.statement_rows(one, assets[one.asset], merchant.name)]
        return [{name: row.get(name, "") for name in export.COLUMNS if name not in _HIDDEN} for row in rows]


async def _export(settings: Settings, given: argparse.Namespace) -> str:
    async with open_platform(settings) as platform, platform.database.reader() as tx:
        merchant = await find_merchant(tx, given.merchant)
        assets = _assets(platform, given.asset)
        first = given.day or _today()
        days = _range(first, given.to or first)
        found = [one for day in days for one in await _of_day(tx, merchant, assets, day)]
        if given.postings:
            return await _postings(tx, found, assets, merchant, as_json=given.format == "json")
        if given.format == "json":
            return _json([export.show_statement(one, assets[one.asset]) for one in found])
        return export.statements_csv(found, assets, merchant.name)


async def _postings(
    tx: Tx, found: Sequence[Statement], assets: Mapping[str, Asset], merchant: Merchant, *, as_json: bool
) -> str:
    lines = [(one, line) for one in found for line in await _lines(tx, one)]
    if not as_json:
        return export.lines_csv(lines, assets, merchant.name)
    return _json(
        [
            export.show_statement(one, assets[one.asset])
            | {"postings": [export.show_line(line, assets[one.asset]) for of, line in lines if of is one]}
            for one in found
        ]
    )


async def _lines(tx: Tx, statement: Statement) -> list[Line]:
    lines: list[Line] = []
    while page := await service.list_lines(
        tx, statement.merchant_id, statement.asset, statement.day, after=lines[-1] if lines else None
    ):
        lines += page
    return lines


async def _of_day(tx: Tx, merchant: Merchant, assets: Mapping[str, Asset], day: date) -> list[Statement]:
    found = await service.list_of_day(tx, merchant.merchant_id, list(assets), day)
    return [statement for statement in found if is_worth_showing(statement)]


def _assets(platform: Platform, asset_id: str | None) -> Mapping[str, Asset]:
    return {asset_id: platform.registry.asset(asset_id)} if asset_id else platform.registry.assets


def _range(first: date, last: date) -> list[date]:
    count = (last - first).days + 1
    if not 1 <= count <= _MAX_DAYS:
        raise Invalid(f"name 1 to {_MAX_DAYS} days, the first of them with --day and the last with --to")
    return [first + timedelta(days=number) for number in range(count)]


def _today() -> date:
    return SystemClock().now().date()


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode() + "\n"
