"""`bitlinkpay migrate`: bring the schema, and what it holds, up to this release."""

import argparse
import asyncio
from collections.abc import Sequence

from bitlinkpay.app.sealing import seal_secrets
from bitlinkpay.cli.console import add_data_dir, find_deployment
from bitlinkpay.connection import connect, database_dsns, not_running
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.deployment import claim_mode
from bitlinkpay.db.migrate import migrate
from bitlinkpay.settings import Settings


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Apply what is missing and claim the deployment's mode."""
    add_data_dir(parser)
    settings = find_deployment(parser.parse_args(words).data_dir)
    for name in asyncio.run(_migrate(settings)):
        print(f"applied {name}")
    return 0


async def _migrate(settings: Settings) -> list[str]:
    owner_dsn, _ = database_dsns(settings)
    try:
        applied = await migrate(owner_dsn)
    except Unavailable as error:
        raise not_running(settings, error) from error
    database = await connect(settings)
    try:
        await database.unit(lambda tx: claim_mode(tx, settings.mode))
        await seal_secrets(settings, database)
    finally:
        await database.close()
    return applied
