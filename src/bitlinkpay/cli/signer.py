"""`bitlinkpay signer`: the holder of the keys."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bitlinkpay.cli.console import add_data_dir, add_json, find_deployment, show, whole
from bitlinkpay.cli.signer_views import check_policy, show_audit, show_policy, show_status, verify_audit
from bitlinkpay.connection import connect
from bitlinkpay.core.clock import SystemClock
from bitlinkpay.notifier import Notifier
from bitlinkpay.settings import Settings
from bitlinkpay.signer import hardening, server, service
from bitlinkpay.signer.policy.file import POLICY_FILE
from bitlinkpay.signer.policy.template import write_template
from bitlinkpay.signer.sealing import PASSPHRASE_VARIABLE, Unlock, choose_unlock, create_key_file, from_key_file
from bitlinkpay.wallets.service import highest_indexes

_MOST_RECORDS: Final = 1_000_000
_NOTE = "back it up now: bitlinkpay signer backup FILE"


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Make, back up, restore, look at or serve the sealed seed."""
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("init", help="make a new seed, sealed; refuses when there is one")
    actions.add_parser("ensure", help="init unless there is a seed")
    backup = actions.add_parser("backup", help="write a sealed copy of the seed with the highest indexes handed out")
    backup.add_argument("file", type=Path)
    restore = actions.add_parser("restore", help="make the signer of this deployment from a backup")
    restore.add_argument("file", type=Path)
    restore.add_argument("--file-key", type=Path, default=None, help="opens the backup, where it is another")
    actions.add_parser("status", help="what the folder shows without being opened, and where a running signer stands")
    policy = actions.add_parser("policy", help="show what may be signed | check a policy file")
    policy.add_argument("view", choices=["show", "check"])
    policy.add_argument("file", type=Path, nargs="?", help="else the one of this deployment's signer")
    audit = actions.add_parser("audit", help="what was signed and refused")
    audit.add_argument("--last", type=whole(1, _MOST_RECORDS), default=20, metavar="N", help="the newest N records")
    audit.add_argument("--verify", action="store_true", help="check every record against the one before")
    audit.add_argument("--anchor", default="", metavar="SEQ:HASH", help="with --verify: a head noted down earlier")
    actions.add_parser("serve", help="run the signer process")
    for action in actions.choices.values():
        add_data_dir(action)
        add_json(action)
        action.add_argument("--key-file", type=Path, default=None, help=f"opens the seed; else ${PASSPHRASE_VARIABLE}")
    given = parser.parse_args(words)
    return _act(find_deployment(given.data_dir), given)


def _act(settings: Settings, given: argparse.Namespace) -> int:
    folder, now = settings.signer_dir, SystemClock().now()
    match given.action:
        case "serve":
            hardening.harden()
            server.run(folder, _unlock(settings, given), Notifier.take())
        case "ensure" if (folder / service.SEED_FILE).exists():
            write_template(folder, settings.mode, settings.registry_paths)
        case "init" | "ensure":
            ring = service.init(folder, _unlock(settings, given, is_new=True), now=now)
            write_template(folder, settings.mode, settings.registry_paths)
            print(f"signer: new seed {ring.fingerprint}; {_NOTE}", file=sys.stderr)
        case "backup":
            highest = asyncio.run(_highest(settings))
            unlock = _unlock(settings, given)
            fingerprint = service.backup(folder, unlock, given.file, unlock, highest=highest, now=now)
            show({"fingerprint": fingerprint, "file": str(given.file), "highest": highest}, as_json=given.json)
        case "restore":
            unlock = _unlock(settings, given, is_new=True)
            source = from_key_file(given.file_key) if given.file_key else unlock
            ring = service.restore(folder, unlock, given.file, source, now=now)
            write_template(folder, settings.mode, settings.registry_paths)
            show({"fingerprint": ring.fingerprint, "folder": str(folder)}, as_json=given.json)
        case "policy":
            view = show_policy if given.view == "show" else check_policy
            view(given.file or folder / POLICY_FILE, as_json=given.json)
        case "audit" if given.verify:
            return verify_audit(folder, given.anchor, as_json=given.json)
        case "audit":
            show_audit(folder, last=given.last, as_json=given.json)
        case _:
            show_status(folder, as_json=given.json)
    return 0


def _unlock(settings: Settings, given: argparse.Namespace, *, is_new: bool = False) -> Unlock:
    """Take the named key file, the passphrase, or the deployment's own key file, which a new signer gets made."""
    if given.key_file or PASSPHRASE_VARIABLE in os.environ:
        return choose_unlock(os.environ, given.key_file)
    own = settings.signer_key_file
    if is_new and not own.exists():
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        create_key_file(own)
    return from_key_file(own)


async def _highest(settings: Settings) -> dict[str, int]:
    database = await connect(settings)
    try:
        async with database.reader() as tx:
            return await highest_indexes(tx)
    finally:
        await database.close()
