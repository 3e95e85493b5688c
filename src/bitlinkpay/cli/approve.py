"""`bitlinkpay approve`: an operator lets a payment through that is above the signer's caps, on a machine of his own."""

import argparse
import asyncio
import getpass
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from bitlinkpay.chains.registry import load_registry
from bitlinkpay.cli.console import add_data_dir, add_json, find_deployment, show
from bitlinkpay.core.clock import SystemClock
from bitlinkpay.core.errors import Invalid, NotFound
from bitlinkpay.core.money import Amount
from bitlinkpay.signer import operator_key
from bitlinkpay.signer.client import SignerClient
from bitlinkpay.signer.operator_key import PASSPHRASE_VARIABLE, OperatorKey
from bitlinkpay.signer.policy.approval import Approval
from bitlinkpay.signer.policy.file import load_policy
from bitlinkpay.signer.protocol import Waiting
from bitlinkpay.signer.sealing import Unlock, choose_unlock, from_passphrase

OPERATOR_VARIABLE: Final = "BITLINKPAY_OPERATOR"
_MOST_HOURS: Final = 24
_FINGERPRINT_DIGITS: Final = 32
_WITH_NAME: Final = frozenset({"keygen", "show", "deliver", "cold"})

T = TypeVar("T")


class Carried(msgspec.Struct, frozen=True):
    """A payment on its way to an operator's machine: for which signer, and what."""

    signer: str
    payment: Waiting


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Make an operator's key; approve payments with it, here or far from the signer; sign a cold list."""
    parser.usage = (
        "%(prog)s REQUEST | REQUEST.json | keygen FILE | list | show REQUEST | deliver FILE | cold POLICY_FILE"
    )
    parser.add_argument("what", help="a request as the signer names it, a file of `show`, or one of the words above")
    parser.add_argument("name", nargs="?", default="", help="what the word is about")
    parser.add_argument("--operator", type=Path, help=f"the operator's sealed key; else ${OPERATOR_VARIABLE}")
    parser.add_argument("--key-file", type=Path, help=f"opens it; else ${PASSPHRASE_VARIABLE}, else you are asked")
    parser.add_argument("--hours", type=int, default=1, help=f"how long the approval counts, 1 to {_MOST_HOURS}")
    parser.add_argument("--registry", type=Path, action="append", default=[], help="a file of own networks and tokens")
    parser.add_argument("--signer", default="", help="cold: the signer's fingerprint, as `bitlinkpay signer status`")
    parser.add_argument("--yes", action="store_true", help="do not ask again")
    add_data_dir(parser)
    add_json(parser)
    given = parser.parse_args(words)
    if (given.what in _WITH_NAME) != bool(given.name):
        parser.error("give a file or a request after keygen, show, deliver and cold, and nothing after the rest")
    return _act(given)


def _act(given: argparse.Namespace) -> int:
    match given.what:
        case "keygen":
            key = operator_key.make(Path(given.name), _unlock(given, is_new=True), now=SystemClock().now())
            show({"key": key.public, "file": given.name}, as_json=given.json)
            print(
                "pin it: a line with your name and this key under [operators] in the signer's policy.toml",
                file=sys.stderr,
            )
        case "list":
            show(list(asyncio.run(_client(given).waiting()).payments), as_json=given.json)
        case "show":
            print(msgspec.json.encode(asyncio.run(_find(given, given.name))).decode())
        case "deliver":
            approval = _read(Path(given.name), Approval)
            show({"operator": asyncio.run(_client(given).approve(approval))}, as_json=given.json)
        case "cold":
            _sign_cold(given)
        case name if Path(name).is_file():
            print(msgspec.json.encode(_approve(given, _read(Path(name), Carried))).decode())
        case name:
            approval = _approve(given, asyncio.run(_find(given, name)))
            show({"operator": asyncio.run(_client(given).approve(approval)), "request": name}, as_json=given.json)
    return 0


def _approve(given: argparse.Namespace, carried: Carried) -> Approval:
    """Show what the payment is, by this machine's own registry, and sign once a person has said yes.

    Raises:
        Invalid: the person said no, or `--hours` is out of range.
    """
    if not 1 <= given.hours <= _MOST_HOURS:
        raise Invalid(f"--hours takes 1 to {_MOST_HOURS}")
    payment = carried.payment
    asset = load_registry(*given.registry).asset(payment.asset)
    memo = f" with the memo {payment.tag!r}" if payment.tag else ""
    print(f"pay {Amount(asset, payment.units)} to {payment.target}{memo}", file=sys.stderr)
    print(f"once, within {given.hours} h, by the signer {carried.signer[:8]}", file=sys.stderr)
    if not given.yes and input("type yes to approve: ") != "yes":
        raise Invalid("not approved")
    key = _operator(given)
    return key.approve(carried.signer, payment, now=SystemClock().now(), life=timedelta(hours=given.hours))


def _sign_cold(given: argparse.Namespace) -> None:
    policy, _ = load_policy(Path(given.name))
    if len(given.signer) != _FINGERPRINT_DIGITS:
        raise Invalid("name the signer: --signer FINGERPRINT, 32 hex digits, as `bitlinkpay signer status` shows them")
    for asset, address in policy.cold.addresses.items():
        print(f"{asset}: {address}", file=sys.stderr)
    if not given.yes and input(f"type yes to sign cold list {policy.cold.serial}: ") != "yes":
        raise Invalid("not signed")
    show({"signature": _operator(given).sign_cold(given.signer, policy.cold)}, as_json=given.json)


def _client(given: argparse.Namespace) -> SignerClient:
    return SignerClient(find_deployment(given.data_dir).signer_dir)


async def _find(given: argparse.Namespace, request: str) -> Carried:
    waiting = await _client(given).waiting()
    for payment in waiting.payments:
        if payment.request == request:
            return Carried(waiting.fingerprint, payment)
    raise NotFound(f"no payment {request[:40]!r} waits for an approval; see `bitlinkpay approve list`")


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise NotFound(f"{path}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Invalid(f"{path} is not what `bitlinkpay approve` writes") from None


def _operator(given: argparse.Namespace) -> OperatorKey:
    named = given.operator or (Path(os.environ[OPERATOR_VARIABLE]) if OPERATOR_VARIABLE in os.environ else None)
    if named is None:
        raise Invalid(
            f"name your key: --operator FILE or {OPERATOR_VARIABLE}; `bitlinkpay approve keygen FILE` makes one"
        )
    return operator_key.read(named, _unlock(given))


def _unlock(given: argparse.Namespace, *, is_new: bool = False) -> Unlock:
    """Take the key file, the environment's passphrase, or ask for one where somebody sits before the screen."""
    if given.key_file or PASSPHRASE_VARIABLE in os.environ or not sys.stdin.isatty():
        return choose_unlock(os.environ, given.key_file, variable=PASSPHRASE_VARIABLE)
    passphrase = getpass.getpass("passphrase of the operator's key: ")
    if is_new and getpass.getpass("again: ") != passphrase:
        raise Invalid("the two passphrases differ")
    return from_passphrase(passphrase)
