"""Amounts and payouts as the API shows them, wherever it does."""

from bitlinkpay.chains.address import show_address
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.ids import show_id
from bitlinkpay.core.money import format_units
from bitlinkpay.payouts.model import Payout
from bitlinkpay.web.api.shapes import Money, PayoutBody


def money(units: int, asset: Asset) -> Money:
    """Return an amount in major units."""
    return Money(amount=format_units(units, asset.decimals), asset=asset.id)


def money_of(registry: Registry, units: int, asset_id: str) -> Money:
    """Return an amount of an asset by its id."""
    return money(units, registry.assets[asset_id])


def payout_body(registry: Registry, payout: Payout) -> PayoutBody:
    """Return a payout, settlement or refund."""
    asset = registry.assets[payout.asset]
    return PayoutBody(
        id=show_id("out", payout.payout_id),
        source_id=payout.source_id,
        kind=payout.kind,
        state=payout.state,
        amount=money(payout.units, asset),
        fee=money(payout.charge.fee_units, asset),
        network_fee=money(payout.charge.network_fee_units, asset),
        address=show_address(registry.networks[asset.network], payout.target),
        tag=payout.tag,
        txid=payout.txid,
        reason=payout.reason,
        callback_url=payout.callback_url,
        created_at=payout.created_at,
        ended_at=payout.ended_at,
    )
