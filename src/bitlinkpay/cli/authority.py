"""`bitlinkpay authority`: whose CA, envelope key and sealing key count, and what to do when they are lost."""

import argparse
import asyncio
from collections.abc import Sequence

from bitlinkpay.app.platform import make_authority, open_platform
from bitlinkpay.cli.console import add_usual, find_deployment, show
from bitlinkpay.merchants import recognition
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.merchants.model import Fingerprint
from bitlinkpay.merchants.sealing import key
from bitlinkpay.merchants.sealing import service as sealing
from bitlinkpay.settings import Settings


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Show fingerprints, or let the folder of this host count."""
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("show", help="fingerprints of the keys that count, and of those in keys/ here")
    actions.add_parser(
        "adopt", help="let keys/ of this host count from now on; merchants then need new files, or new webhook secrets"
    )
    add_usual(actions)
    given = parser.parse_args(words)
    settings = find_deployment(given.data_dir)
    if given.action == "adopt":
        asyncio.run(_adopt(settings))
    show(asyncio.run(_show(settings)), as_json=given.json)
    return 0


async def _adopt(settings: Settings) -> None:
    async with open_platform(settings) as platform:
        here, sealer = make_authority(settings).fingerprint, key.make_sealer(settings.keys_dir)
        await platform.database.unit(lambda tx: recognition.adopt(tx, here), races=("authorities_pkey",))
        await platform.database.unit(lambda tx: sealing.adopt(tx, sealer), races=("sealing_keys_pkey",))


async def _show(settings: Settings) -> dict[str, object]:
    folder = settings.keys_dir
    async with open_platform(settings) as platform, platform.database.reader() as tx:
        counts = _row(await recognition.find(tx), await sealing.find(tx))
    here = _row(
        make_authority(settings).fingerprint if Authority.is_made(folder) else None,
        key.make_sealer(folder).fingerprint if key.is_made(folder) else None,
    )
    return {"deployment": counts, "here": here, "agree": counts == here}


def _row(authority: Fingerprint | None, sealing_key: bytes | None) -> dict[str, str | None]:
    return {
        "ca": authority.ca.hex() if authority else None,
        "envelope": authority.envelope.hex() if authority else None,
        "sealing": sealing_key.hex() if sealing_key else None,
    }
