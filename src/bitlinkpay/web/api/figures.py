"""Amounts and addresses as the API shows them."""

from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.money import format_units
from bitlinkpay.web.api.shapes import Money


def money(units: int, asset: Asset) -> Money:
    """Return an amount in major units."""
    return Money(amount=format_units(units, asset.decimals), asset=asset.id)


def money_of(registry: Registry, units: int, asset_id: str) -> Money:
    """Return an amount of an asset by its id."""
    return money(units, registry.assets[asset_id])
