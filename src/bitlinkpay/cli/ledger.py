"""`bitlinkpay ledger check | audit`: every invariant over all of the books, or over what nobody has audited yet."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from bitlinkpay.app.platform import check_books
from bitlinkpay.cli.console import add_data_dir, add_json, find_deployment, show
from bitlinkpay.connection import connect
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger.audit.service import audit_new
from bitlinkpay.ledger.model import all_ok
from bitlinkpay.settings import Settings

Found = TypeVar("Found")


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Check the books; exit code 1 when an invariant is broken."""
    parser.add_argument("action", choices=["check", "audit"], help="check: everything; audit: what is new")
    add_data_dir(parser)
    add_json(parser)
    given = parser.parse_args(words)
    settings = find_deployment(given.data_dir)
    return _audit(settings, given) if given.action == "audit" else _check(settings, given)


def _audit(settings: Settings, given: argparse.Namespace) -> int:
    done = asyncio.run(_on(settings, audit_new))
    findings = [{"check": finding.check, "culprit": finding.culprit} for finding in done.findings]
    show({"ok": not findings, "postings": done.postings, "findings": findings}, as_json=given.json)
    return 1 if findings else 0


def _check(settings: Settings, given: argparse.Namespace) -> int:
    checks = asyncio.run(_on(settings, check_books))
    if given.json:
        show({"ok": all_ok(checks), "checks": checks}, as_json=True)
    else:
        show(checks, as_json=False)
        print("the books hold" if all_ok(checks) else "THE BOOKS DO NOT HOLD")
    return 0 if all_ok(checks) else 1


async def _on(settings: Settings, look: Callable[[Database], Awaitable[Found]]) -> Found:
    database = await connect(settings)
    try:
        return await look(database)
    finally:
        await database.close()
