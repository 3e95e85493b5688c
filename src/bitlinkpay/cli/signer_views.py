"""What `bitlinkpay signer` shows: where it stands, what its policy allows, what its audit holds."""

import asyncio
from collections import deque
from pathlib import Path

import msgspec

from bitlinkpay.chains.registry import Registry
from bitlinkpay.cli.console import show
from bitlinkpay.core.errors import Invalid, Unavailable
from bitlinkpay.core.money import format_units
from bitlinkpay.signer import service
from bitlinkpay.signer.audit.chain import BrokenAudit
from bitlinkpay.signer.audit.events import (
    Approved,
    ColdInForce,
    ColdPlanned,
    Event,
    Issued,
    Opened,
    Record,
    Recovered,
    Refused,
)
from bitlinkpay.signer.audit.files import read_all
from bitlinkpay.signer.audit.journal import FOLDER
from bitlinkpay.signer.client import SignerClient
from bitlinkpay.signer.policy.file import load_policy
from bitlinkpay.signer.policy.model import Policy
from bitlinkpay.signer.protocol import SOCKET

EXIT_BROKEN = 1


def show_status(folder: Path, *, as_json: bool) -> None:
    """Print what the folder shows without being opened, and what a running signer says of itself.

    On a host that has the signer's forwarded socket only, the signer alone is asked.

    Raises:
        DamagedFile, SignerMissing, LooseFile: see `service.status`.
        SignerUnreachable: nobody answers on a forwarded socket.
    """
    client = SignerClient(folder)
    if (folder / service.SEED_FILE).exists() or not (folder / SOCKET).exists():
        found = service.status(folder)
    else:
        found = service.FolderStatus(asyncio.run(client.status()).fingerprint, "", is_running=True)
    shown: dict[str, object] = msgspec.to_builtins(found)
    if found.is_running:
        try:
            shown |= msgspec.structs.asdict(asyncio.run(client.standing()))
        except Unavailable as problem:
            shown |= {"problem": problem.message}
    show(shown, as_json=as_json)


def show_policy(path: Path, *, as_json: bool) -> None:
    """Print what a policy file allows, defaults included.

    Raises:
        BadPolicy, BadRegistry, LooseFile: it can't be read.
    """
    policy, registry = load_policy(path)
    show(
        {
            "mode": policy.mode,
            "purposes": sorted(policy.purposes),
            "attempts": policy.attempts_max,
            "operators": sorted(policy.operators),
            "cold": policy.cold.addresses,
            "caps": _caps(policy, registry),
            "fees": _fees(policy, registry),
        },
        as_json=as_json,
    )


def check_policy(path: Path, *, as_json: bool) -> None:
    """Say that a policy file is sound, and what it leaves out.

    Raises:
        BadPolicy, BadRegistry, LooseFile: it is not.
        Invalid: there is none.
    """
    if not path.exists():
        raise Invalid(
            f"{path} is not there, so nothing is allowed; `bitlinkpay signer ensure` writes one to begin with"
        )
    policy, _ = load_policy(path)
    missing = [name for name in ("purposes", "caps", "fees", "operators") if not getattr(policy, name)]
    show({"file": str(path), "digest": policy.digest, "allows_nothing_for_want_of": missing}, as_json=as_json)


def show_audit(folder: Path, *, last: int, as_json: bool) -> None:
    """Print the newest records, each checked against the one before.

    Raises:
        Invalid: the audit does not hold.
    """
    try:
        records = deque(read_all(folder / FOLDER), maxlen=last)
    except BrokenAudit as error:
        raise Invalid(f"the audit in {folder / FOLDER} does not hold: {error}") from None
    show([_row(record) for record in records], as_json=as_json)


def verify_audit(folder: Path, anchor: str, *, as_json: bool) -> int:
    """Check every record, and that `SEQ:HASH`, kept elsewhere, is among them; return the exit code."""
    count, head, is_anchored = 0, "", not anchor
    problem = ""
    try:
        for record in read_all(folder / FOLDER):
            count, head = count + 1, f"{record.seq}:{record.hash}"
            is_anchored = is_anchored or head == anchor
    except BrokenAudit as error:
        problem = str(error)
    if not problem and not is_anchored:
        problem = f"{anchor[:90]} is not in it: records were cut off or rewritten"
    show({"ok": not problem, "records": count, "head": head, "problem": problem}, as_json=as_json)
    return EXIT_BROKEN if problem else 0


def _row(record: Record) -> dict[str, object]:
    return {
        "seq": record.seq,
        "at": record.at.isoformat(timespec="seconds"),
        "what": type(record.event).__name__.lower(),
        "about": _about(record.event),
        "hash": record.hash,
    }


def _about(event: Event) -> str:
    text = ""
    match event:
        case Opened(mode=mode, policy=policy):
            text = f"{mode}, policy {policy[:8] or 'none'}"
        case Issued(intent=intent, kind=kind, txid=txid):
            text = f"{kind} {intent.purpose} on {intent.network}, {len(intent.payments)} payments: {txid}"
        case Refused(code=code, message=message):
            text = f"{code}: {message}"
        case Approved(operator=operator, asset=asset, units=units, target=target):
            text = f"{operator}: {units} base units of {asset} to {target}"
        case ColdPlanned(change=None):
            text = "taken back"
        case ColdPlanned(change=change) if change:
            text = f"for {change.at:%Y-%m-%d %H:%M} UTC by {' and '.join(change.operators)}"
        case ColdInForce(cold=cold):
            text = ", ".join(f"{asset} = {address}" for asset, address in cold.addresses.items())
        case Recovered(lost=lost):
            text = f"{lost} bytes of a record that nobody was answered for"
    return text


def _caps(policy: Policy, registry: Registry) -> list[dict[str, str]]:
    return [
        {
            "asset": name,
            **{
                window: format_units(units, registry.asset(name).decimals)
                for window, units in (("payment", caps.payment), ("hour", caps.hour), ("day", caps.day))
            },
        }
        for name, caps in policy.caps.items()
    ]


def _fees(policy: Policy, registry: Registry) -> list[dict[str, str]]:
    return [
        {
            "network": name,
            "most": format_units(fees.most, registry.native(name).decimals),
            "day": format_units(fees.day, registry.native(name).decimals),
        }
        for name, fees in policy.fees.items()
    ]
