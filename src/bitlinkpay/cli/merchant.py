"""`bitlinkpay merchant`: onboard merchants, change their terms, take their keys back."""

import argparse
import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec

from bitlinkpay.app.platform import Platform, open_authority, open_platform
from bitlinkpay.app.sealing import open_sealer
from bitlinkpay.chains.registry import Registry
from bitlinkpay.cli import api_key, credential_files, merchant_security
from bitlinkpay.cli.console import add_usual, find_deployment, show
from bitlinkpay.cli.naming import find_merchant
from bitlinkpay.core.clock import SystemClock
from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.ids import show_id
from bitlinkpay.core.money import parse_decimal, to_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.merchants import service as merchants
from bitlinkpay.merchants.model import Merchant
from bitlinkpay.settings import Settings
from bitlinkpay.webhooks.urls import check_url

G = TypeVar("G")
T = TypeVar("T")

_WALL: Final = SystemClock()
_PERCENT_TO_PPM_DIGITS: Final = 4
_MANY_MINUTES: Final = 10**6  # more than any term allows, less than a timedelta holds

Action = Callable[[Platform, argparse.Namespace], Coroutine[object, object, object]]


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Create, show, list, revoke or change merchants."""
    actions = parser.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="a merchant with its certificate, key and webhook secret")
    create.add_argument("name")
    create.add_argument(
        "--out", type=Path, required=True, help="folder for new files: ca.crt client.crt client.key public_key.pem"
    )
    create.add_argument("--callback-url", default="")
    create.add_argument("--pricing-currency", default="CNY")
    actions.add_parser("list", help="all merchants")
    for name, text in (
        ("show", "terms, certificates and history"),
        ("revoke", "end a merchant with all its certificates, open connections included"),
        ("suspend", "refuse its requests for a while"),
        ("resume", "let a suspended merchant work again"),
        ("rotate-secret", "a new webhook secret; the old one signs beside it for a day"),
    ):
        actions.add_parser(name, help=text).add_argument("merchant", help="broker id, merchant id or name")
    rotate = actions.add_parser("rotate-certificate", help="a new certificate; the old ones end after a day")
    rotate.add_argument("merchant")
    rotate.add_argument("--out", type=Path, required=True)
    refuse = actions.add_parser("revoke-certificate", help="refuse one certificate at once, open connections included")
    refuse.add_argument("merchant")
    refuse.add_argument("spki", help="64 hex digits, as `merchant show` lists it")
    fee = actions.add_parser("set-fee", help="deposit fee of new orders")
    fee.add_argument("merchant")
    fee.add_argument("percent", help="such as 0.3")
    policy = actions.add_parser("set-policy", help="terms of new orders")
    policy.add_argument("merchant")
    _add_policy(policy)
    merchant_security.add_actions(actions)
    add_usual(actions)
    api_key.add_commands(actions)
    given = parser.parse_args(words)
    show(asyncio.run(_run(find_deployment(given.data_dir), given)), as_json=given.json)
    return 0


def _add_policy(policy: argparse.ArgumentParser) -> None:
    yes_no = argparse.BooleanOptionalAction
    policy.add_argument("--tolerance", default=None, metavar="PERCENT", help="how far off an amount may be")
    policy.add_argument(
        "--tolerance-units", default=None, metavar="usdt-tron=0.5,…", help="the same as an amount; the larger counts"
    )
    policy.add_argument("--summing", action=yes_no, default=None, help="several transfers may add up")
    policy.add_argument("--late", action=yes_no, default=None, help="money after expiry still completes")
    policy.add_argument("--over", action=yes_no, default=None, help="more than asked completes, the excess is credited")
    policy.add_argument("--order-life", type=int, default=None, metavar="MINUTES")
    policy.add_argument("--callback-url", default=None)
    policy.add_argument("--callback-statuses", default=None, metavar="8,12,16,20")
    policy.add_argument("--return-hosts", default=None, metavar="HOST,HOST")
    policy.add_argument("--rate-limit", type=int, default=None, metavar="PER_MINUTE")
    policy.add_argument(
        "--assets", default=None, metavar="usdt-tron,…", help="the only ones it may ask for; empty: all"
    )
    policy.add_argument(
        "--payout-networks", default=None, metavar="CIDR,…", help="where withdrawals may be asked for from"
    )
    policy.add_argument("--accent", default=None, metavar="#RRGGBB")
    policy.add_argument("--support", default=None)


async def _run(settings: Settings, given: argparse.Namespace) -> object:
    async with open_platform(settings) as platform:
        return await _ACTIONS[given.action](platform, given)


async def _create(platform: Platform, given: argparse.Namespace) -> object:
    callback_url = check_url(given.callback_url, platform.urls) if given.callback_url else ""
    authority = await open_authority(platform.settings, platform.database)
    sealer = await open_sealer(platform.settings, platform.database)

    async def work(tx: Tx) -> tuple[merchants.Created, dict[str, str]]:
        created = await merchants.create(
            tx,
            authority,
            sealer,
            given.name,
            now=_WALL.now(),
            callback_url=callback_url,
            pricing_currency=given.pricing_currency,
        )
        return created, credential_files.write(given.out, created.credentials)

    with credential_files.new_files(given.out):
        created, files = await platform.database.unit(work)
    return {
        "broker": created.merchant.broker,
        "merchant_id": show_id("mer", created.merchant.merchant_id),
        "webhook_secret": created.webhook_secret,
        "files": files,
    }


async def _list(platform: Platform, _: argparse.Namespace) -> object:
    async with platform.database.reader() as tx:
        return [_row(merchant) for merchant in await merchants.list_merchants(tx)]


async def _show(platform: Platform, given: argparse.Namespace) -> object:
    async with platform.database.reader() as tx:
        merchant = await find_merchant(tx, given.merchant)
        certificates = await merchants.list_certificates(tx, merchant.merchant_id)
    terms = msgspec.to_builtins(merchant)
    assert isinstance(terms, dict)
    held = [
        {
            "spki": certificate.spki.hex(),
            "not_after": certificate.not_after.isoformat(),
            "revoked_at": certificate.revoked_at.isoformat() if certificate.revoked_at else None,
        }
        for certificate in certificates
    ]
    return {**_row(merchant), **{key: terms[key] for key in _TERMS}, "certificates": held}


_TERMS: Final = (
    "callback_url",
    "callback_statuses",
    "policy",
    "order_life",
    "return_hosts",
    "lang",
    "support",
    "accent",
    "allowed_assets",
    "rate_per_minute",
    "payout_networks",
)


async def _end(platform: Platform, given: argparse.Namespace) -> object:
    step = {"revoke": merchants.revoke, "suspend": merchants.suspend, "resume": merchants.resume}[given.action]

    async def work(tx: Tx) -> Merchant:
        return await step(tx, (await find_merchant(tx, given.merchant)).merchant_id, now=_WALL.now())

    return _row(await platform.database.unit(work))


async def _rotate_secret(platform: Platform, given: argparse.Namespace) -> object:
    sealer = await open_sealer(platform.settings, platform.database)

    async def work(tx: Tx) -> str:
        merchant = await find_merchant(tx, given.merchant)
        return await merchants.rotate_webhook_secret(tx, sealer, merchant.merchant_id, now=_WALL.now())

    return {"webhook_secret": await platform.database.unit(work)}


async def _rotate_certificate(platform: Platform, given: argparse.Namespace) -> object:
    authority = await open_authority(platform.settings, platform.database)

    async def work(tx: Tx) -> dict[str, str]:
        merchant = await find_merchant(tx, given.merchant)
        made = await merchants.rotate_certificates(tx, authority, merchant.merchant_id, now=_WALL.now())
        return credential_files.write(given.out, made)

    with credential_files.new_files(given.out):
        return {"files": await platform.database.unit(work)}


async def _revoke_certificate(platform: Platform, given: argparse.Namespace) -> object:
    try:
        spki = bytes.fromhex(given.spki)
    except ValueError:
        raise Invalid("write the certificate's spki as `bitlinkpay merchant show` lists it", param="spki") from None

    async def work(tx: Tx) -> None:
        merchant = await find_merchant(tx, given.merchant)
        await merchants.revoke_certificate(tx, merchant.merchant_id, spki, now=_WALL.now())

    await platform.database.unit(work)
    return await _show(platform, given)


async def _set_fee(platform: Platform, given: argparse.Namespace) -> object:
    fee_ppm = _ppm(given.percent)

    async def work(tx: Tx) -> Merchant:
        merchant = await find_merchant(tx, given.merchant)
        return await merchants.set_fee(tx, merchant.merchant_id, fee_ppm, now=_WALL.now())

    return _row(await platform.database.unit(work))


async def _set_policy(platform: Platform, given: argparse.Namespace) -> object:
    if given.callback_url:
        given.callback_url = check_url(given.callback_url, platform.urls)

    async def work(tx: Tx) -> Merchant:
        merchant = await find_merchant(tx, given.merchant)
        return await merchants.change(
            tx, merchant.merchant_id, lambda m: _edited(m, given, platform.registry), now=_WALL.now()
        )

    await platform.database.unit(work)
    return await _show(platform, given)


def _edited(merchant: Merchant, given: argparse.Namespace, registry: Registry) -> Merchant:
    """Return the merchant with the terms that were named; the others stay."""
    units = partial(_units, registry=registry)
    policy = replace(
        merchant.policy,
        tolerance_ppm=_given(given.tolerance, _ppm, merchant.policy.tolerance_ppm),
        tolerance_units=_given(given.tolerance_units, units, merchant.policy.tolerance_units),
        is_summing=_given(given.summing, bool, merchant.policy.is_summing),
        accepts_late=_given(given.late, bool, merchant.policy.accepts_late),
        accepts_over=_given(given.over, bool, merchant.policy.accepts_over),
    )
    return replace(
        merchant,
        policy=policy,
        order_life=_given(given.order_life, _minutes, merchant.order_life),
        callback_url=_given(given.callback_url, str, merchant.callback_url),
        callback_statuses=_given(given.callback_statuses, _statuses, merchant.callback_statuses),
        return_hosts=_given(given.return_hosts, _words, merchant.return_hosts),
        rate_per_minute=_given(given.rate_limit, int, merchant.rate_per_minute),
        payout_networks=_given(given.payout_networks, _words, merchant.payout_networks),
        allowed_assets=_given(given.assets, _words, merchant.allowed_assets),
        accent=_given(given.accent, str, merchant.accent),
        support=_given(given.support, str, merchant.support),
    )


def _given(value: G | None, read: Callable[[G], T], default: T) -> T:
    return default if value is None else read(value)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _minutes(count: int) -> timedelta:
    return timedelta(minutes=max(0, min(count, _MANY_MINUTES)))


def _statuses(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in _words(text))
    except ValueError:
        raise Invalid("write statuses as 8,12,16,20") from None


def _units(text: str, registry: Registry) -> Mapping[str, int]:
    """Read `usdt-tron=0.5,…` into base units by asset id."""
    found: dict[str, int] = {}
    for word in _words(text):
        name, _, amount = word.partition("=")
        asset = registry.assets.get(name)
        if asset is None:
            raise Invalid(f"{name[:40]!r} is no asset here; write amounts as usdt-tron=0.5", param="tolerance_units")
        found[name] = to_units(parse_decimal(amount, param="tolerance_units"), asset.decimals, param="tolerance_units")
    return found


def _ppm(percent: str) -> int:
    return to_units(parse_decimal(percent, param="percent"), _PERCENT_TO_PPM_DIGITS, param="percent")


def _row(merchant: Merchant) -> dict[str, object]:
    return {
        "merchant_id": show_id("mer", merchant.merchant_id),
        "broker": merchant.broker,
        "name": merchant.name,
        "state": merchant.state,
        "fee_ppm": merchant.fee_ppm,
        "pricing_currency": merchant.pricing_currency,
        "created_at": merchant.created_at.isoformat(),
    }


_ACTIONS: Final[Mapping[str, Action]] = MappingProxyType(
    {
        "create": _create,
        "list": _list,
        "show": _show,
        "revoke": _end,
        "suspend": _end,
        "resume": _end,
        "rotate-secret": _rotate_secret,
        "rotate-certificate": _rotate_certificate,
        "revoke-certificate": _revoke_certificate,
        "set-fee": _set_fee,
        "set-policy": _set_policy,
        **merchant_security.ACTIONS,
        "api-key": api_key.run,
    }
)
