"""`bitlinkpay payout terms`: what a merchant pays for payouts, and how much may leave without a person."""

import argparse
import getpass
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from bitlinkpay.app.platform import Platform
from bitlinkpay.cli.naming import find_merchant
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.money import format_units, parse_decimal, to_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.payouts import terms as payout_terms
from bitlinkpay.payouts.model import PayoutKind, Terms

_PERCENT_TO_PPM_DIGITS: Final = 4
_LIMITS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "payment_max": "the most that one payout may be",
        "day_max": "the most that the payouts of 24 hours may be",
        "review_above": "a larger payout waits for a person",
        "fresh_max": "the most that may leave without a person of what came in within 24 hours",
    }
)


def add_words(parser: argparse.ArgumentParser) -> None:
    """Add the words of the command."""
    parser.add_argument("merchant", help="broker id, merchant id or name")
    parser.add_argument("asset", help="id of the asset")
    parser.add_argument("--settlement", action="store_true", help="of settlements instead of payouts and refunds")
    parser.add_argument("--fee", default=None, help="percent of the amount, such as 0.1")
    parser.add_argument("--fee-flat", default=None, help="what is added to it, in the asset")
    for name, text in _LIMITS.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, dest=name, default=None, help=f'{text}, in the asset; "" for no limit')


async def set_or_show(platform: Platform, given: argparse.Namespace) -> dict[str, object]:
    """Change what is given and return what holds then.

    Raises:
        NotFound: no such merchant or asset.
        Invalid: a number that makes no sense.
    """
    asset = platform.registry.asset(given.asset)
    kind = PayoutKind.SETTLEMENT if given.settlement else PayoutKind.PAYOUT
    edit = _edit(asset, given)

    async def work(tx: Tx) -> Terms:
        merchant = await find_merchant(tx, given.merchant)
        who = getpass.getuser()
        return await payout_terms.change(
            tx, merchant.merchant_id, kind, asset.id, edit, now=platform.clock.now(), cause=who
        )

    return _row(asset, kind, await platform.database.unit(work))


def _edit(asset: Asset, given: argparse.Namespace) -> Callable[[Terms], Terms]:
    fee = None if given.fee is None else to_units(parse_decimal(given.fee), _PERCENT_TO_PPM_DIGITS, param="fee")
    flat = None if given.fee_flat is None else _units(asset, given.fee_flat, "fee-flat")
    limits: dict[str, int | None] = {}
    for name in _LIMITS:
        text: str | None = getattr(given, name)
        if text is not None:
            limits[name] = _units(asset, text, name.replace("_", "-")) if text else None
    return lambda before: Terms(
        fee_ppm=before.fee_ppm if fee is None else fee,
        fee_flat_units=before.fee_flat_units if flat is None else flat,
        payment_max_units=limits.get("payment_max", before.payment_max_units),
        day_max_units=limits.get("day_max", before.day_max_units),
        review_above_units=limits.get("review_above", before.review_above_units),
        fresh_max_units=limits.get("fresh_max", before.fresh_max_units),
    )


def _units(asset: Asset, text: str, param: str) -> int:
    try:
        return to_units(parse_decimal(text, param=param), asset.decimals, param=param)
    except Invalid as error:
        raise Invalid(f"--{param}: {error.message}", param=param) from None


def _row(asset: Asset, kind: PayoutKind, terms: Terms) -> dict[str, object]:
    limits: dict[str, int | None] = {
        "payment_max": terms.payment_max_units,
        "day_max": terms.day_max_units,
        "review_above": terms.review_above_units,
        "fresh_max": terms.fresh_max_units,
    }
    return {
        "kind": kind,
        "asset": asset.id,
        "fee_percent": format_units(terms.fee_ppm, _PERCENT_TO_PPM_DIGITS),
        "fee_flat": format_units(terms.fee_flat_units, asset.decimals),
        **{name: None if units is None else format_units(units, asset.decimals) for name, units in limits.items()},
    }
