"""`bitlinkpay merchant api-key`: make, list and revoke the keys that sign requests to the REST API."""

import argparse
from pathlib import Path
from typing import Final, Protocol

from bitlinkpay.app.platform import Platform
from bitlinkpay.app.sealing import open_sealer
from bitlinkpay.cli.console import add_usual
from bitlinkpay.cli.naming import find_merchant
from bitlinkpay.core.clock import SystemClock
from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.ids import ApiKeyId, parse_id, show_id
from bitlinkpay.db.driver import Tx
from bitlinkpay.merchants.api_keys import service as api_keys
from bitlinkpay.merchants.api_keys.model import ApiKey, Scope
from bitlinkpay.merchants.api_keys.service import Created, Terms

_WALL: Final = SystemClock()


class _Actions(Protocol):
    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser: ...  # noqa: A002 - argparse's own name


def add_commands(actions: _Actions) -> None:
    """Add `api-key create | list | revoke` to the merchant's commands."""
    own = actions.add_parser("api-key", help="create | list | revoke keys of the REST API").add_subparsers(
        dest="step", required=True
    )
    create = own.add_parser("create", help="a new key; its secret is shown this once")
    create.add_argument("merchant", help="broker id, merchant id or name")
    create.add_argument("--name", required=True, help="what it is for, such as shop")
    create.add_argument("--scopes", required=True, metavar="payin,payout,read")
    create.add_argument("--networks", default="", metavar="CIDR,…", help="where it may be used from; empty: anywhere")
    create.add_argument(
        "--public-key",
        type=Path,
        default=None,
        metavar="FILE",
        help="an Ed25519 public key in PEM; without one, an HMAC secret is made",
    )
    own.add_parser("list", help="all keys that a merchant ever had").add_argument("merchant")
    revoke = own.add_parser("revoke", help="refuse a key from its next request on")
    revoke.add_argument("merchant")
    revoke.add_argument("key", help="key_…, as `api-key list` shows it")
    add_usual(own)


async def run(platform: Platform, given: argparse.Namespace) -> object:
    """Do what was asked about API keys."""
    match given.step:
        case "create":
            return await _create(platform, given)
        case "revoke":
            return await _revoke(platform, given)
        case _:
            return await _list(platform, given)


async def _create(platform: Platform, given: argparse.Namespace) -> object:
    terms = Terms(given.name, _scopes(given.scopes), _words(given.networks))
    public_key = api_keys.read_public_key(_read(given.public_key)) if given.public_key else None
    sealer = None if public_key else await open_sealer(platform.settings, platform.database)

    async def work(tx: Tx) -> Created:
        merchant_id = (await find_merchant(tx, given.merchant)).merchant_id
        if sealer is None:
            assert public_key is not None, "a key signs with one or the other"
            return await api_keys.create_ed25519(tx, public_key, merchant_id, terms, now=_WALL.now())
        return await api_keys.create_hmac(tx, sealer, merchant_id, terms, now=_WALL.now())

    created = await platform.database.unit(work)
    shown = _row(created.key)
    return {**shown, "secret": created.secret} if created.secret else shown


async def _list(platform: Platform, given: argparse.Namespace) -> object:
    async with platform.database.reader() as tx:
        merchant = await find_merchant(tx, given.merchant)
        return [_row(key) for key in await api_keys.list_keys(tx, merchant.merchant_id)]


async def _revoke(platform: Platform, given: argparse.Namespace) -> object:
    key_id = ApiKeyId(parse_id("key", given.key))

    async def work(tx: Tx) -> None:
        merchant = await find_merchant(tx, given.merchant)
        await api_keys.revoke(tx, merchant.merchant_id, key_id, now=_WALL.now())

    await platform.database.unit(work)
    return await _list(platform, given)


def _row(key: ApiKey) -> dict[str, object]:
    return {
        "key_id": show_id("key", key.key_id),
        "name": key.name,
        "algorithm": key.algorithm,
        "scopes": sorted(key.scopes),
        "networks": list(key.networks),
        "created_at": key.created_at.isoformat(),
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}", param="public_key") from None


def _scopes(text: str) -> frozenset[Scope]:
    try:
        return frozenset(Scope(word) for word in _words(text))
    except ValueError:
        raise Invalid("scopes: write some of payin,payout,read", param="scopes") from None


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
