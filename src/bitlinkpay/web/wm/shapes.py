"""Orders in the shapes of the SDK protocol."""

from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

from bitlinkpay.chains.address import show_address
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.money import from_units, share_down
from bitlinkpay.payins.model import Payin, PayinState, wm_status
from bitlinkpay.wm.answers import OrderCreated, OrderDetail, PreOrderCreated
from bitlinkpay.wm.ids import DEPOSIT_STATUS_DESC

OrderUrl = Callable[[UUID], str]
"""The hosted page of an order."""


def created(payin: Payin, registry: Registry, order_url: OrderUrl) -> OrderCreated:
    """Return the answer to `order/create`: what was fixed at creation, whatever became of the order since."""
    assert payin.asset is not None, "an order that was created for a network has an asset"
    asset = registry.assets[payin.asset]
    return OrderCreated(
        source_id=payin.source_id,
        chain_id=registry.networks[asset.network].wm_chain_id,
        coin_id=asset.wm_coin_id,
        fiat_amount=payin.fiat_amount,
        symbol=payin.symbol,
        order_id=payin.payin_id.hex,
        exchange_rate=payin.exchange_rate,
        amount=from_units(payin.units, asset.decimals),
        service_fee=from_units(share_down(payin.units, payin.fee_ppm), asset.decimals),
        url=order_url(payin.payin_id),
    )


def pre_created(payin: Payin, order_url: OrderUrl) -> PreOrderCreated:
    """Return the answer to `pre-order/create`."""
    return PreOrderCreated(source_id=payin.source_id, order_id=payin.payin_id.hex, pay_url=order_url(payin.payin_id))


def detail(payin: Payin, txid: str, registry: Registry, order_url: OrderUrl) -> OrderDetail:
    """Return the answer to `order/detail`. `txid` is the transfer that completed the order, "" before."""
    asset = registry.asset(payin.asset) if payin.asset else None
    network = registry.networks[asset.network] if asset else None
    status = wm_status(payin)
    return OrderDetail(
        source_id=payin.source_id,
        chain_id=network.wm_chain_id if network else 0,
        coin_id=asset.wm_coin_id if asset else 0,
        address=show_address(network, payin.address) if network else "",
        tag=payin.tag,
        hash=txid,
        fiat_amount=payin.fiat_amount,
        symbol=payin.symbol,
        exchange_rate=payin.exchange_rate,
        amount=_major(asset, payin.accepted_units if payin.state is PayinState.PAID else payin.units),
        service_fee=_major(asset, payin.fee_units),
        order_id=payin.payin_id.hex,
        url=order_url(payin.payin_id),
        status=status,
        status_desc=DEPOSIT_STATUS_DESC[status],
    )


def _major(asset: Asset | None, units: int) -> Decimal:
    return from_units(units, asset.decimals) if asset else Decimal(0)
