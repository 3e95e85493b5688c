"""`bitlinkpay ledger check`: every invariant of the books, each one sentence."""

import argparse
import asyncio
from collections.abc import Sequence

from bitlinkpay.app.platform import check_books
from bitlinkpay.cli.console import add_data_dir, add_json, find_deployment, show
from bitlinkpay.connection import connect
from bitlinkpay.ledger.model import Check, all_ok
from bitlinkpay.settings import Settings


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Check the books; exit code 1 when an invariant is broken."""
    parser.add_argument("action", choices=["check"])
    add_data_dir(parser)
    add_json(parser)
    given = parser.parse_args(words)
    checks = asyncio.run(_check(find_deployment(given.data_dir)))
    if given.json:
        show({"ok": all_ok(checks), "checks": checks}, as_json=True)
    else:
        show(checks, as_json=False)
        print("the books hold" if all_ok(checks) else "THE BOOKS DO NOT HOLD")
    return 0 if all_ok(checks) else 1


async def _check(settings: Settings) -> list[Check]:
    database = await connect(settings)
    try:
        return await check_books(database)
    finally:
        await database.close()
