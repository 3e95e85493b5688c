"""`bitlinkpay authority`: whose CA and envelope key count, and what to do when they are lost."""

import argparse
import asyncio
from collections.abc import Sequence

from bitlinkpay.app.platform import make_authority, open_platform
from bitlinkpay.cli.console import add_data_dir, add_json, find_deployment, show
from bitlinkpay.merchants import recognition
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.merchants.model import Fingerprint
from bitlinkpay.settings import Settings


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Show fingerprints, or let the folder of this host count."""
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("show", help="fingerprints of CA and envelope key: the deployment's, and those of keys/ here")
    actions.add_parser("adopt", help="let keys/ of this host count from now on; every merchant then needs new files")
    for action in actions.choices.values():
        add_data_dir(action)
        add_json(action)
    given = parser.parse_args(words)
    settings = find_deployment(given.data_dir)
    if given.action == "adopt":
        asyncio.run(_adopt(settings))
    show(asyncio.run(_show(settings)), as_json=given.json)
    return 0


async def _adopt(settings: Settings) -> None:
    async with open_platform(settings) as platform:
        here = make_authority(settings).fingerprint
        await platform.database.unit(lambda tx: recognition.adopt(tx, here), races=("authorities_pkey",))


async def _show(settings: Settings) -> dict[str, object]:
    async with open_platform(settings) as platform, platform.database.reader() as tx:
        recognised = await recognition.find(tx)
    here = make_authority(settings).fingerprint if Authority.is_made(settings.keys_dir) else None
    return {"deployment": _row(recognised), "here": _row(here), "agree": recognised == here}


def _row(fingerprint: Fingerprint | None) -> dict[str, str] | None:
    return {"ca": fingerprint.ca.hex(), "envelope": fingerprint.envelope.hex()} if fingerprint else None
