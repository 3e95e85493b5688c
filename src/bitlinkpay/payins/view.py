"""An order as its page, the SDK's `detail` and the operator see it: one read, nothing decided."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from bitlinkpay.chains.address import show_address
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Asset, Family, Network
from bitlinkpay.core.ids import DepositId, PayinId
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits import store as deposits_store
from bitlinkpay.deposits.journal import store as journal
from bitlinkpay.deposits.model import Cursor, Deposit, DepositState, Unconfirmed
from bitlinkpay.deposits.unconfirmed import store as unconfirmed
from bitlinkpay.merchants import service as merchants
from bitlinkpay.merchants.model import Merchant, Policy
from bitlinkpay.payins import store
from bitlinkpay.payins.model import Label, OrderNotFound, Payin, PayinState, ReturnLinks, wm_status


@dataclass(frozen=True, slots=True)
class DepositView:
    """One arrival for an order. `confirmations` counts blocks from its own to the newest read, 0 when dropped."""

    deposit_id: DepositId
    asset: Asset
    network: Network
    units: int
    txid: str
    state: DepositState
    label: str
    confirmations: int
    final_in: timedelta
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class NetworkOption:
    """A network that the payer of a pre-order may pick."""

    asset: Asset
    network: Network


@dataclass(frozen=True, slots=True)
class PayinView:
    """Everything that may be shown of one order.

    Attributes:
        asset, network: None until the payer of a pre-order has picked.
        amount_units: what is asked.
        accepted_units: what was accepted as its payment, 0 until paid.
        address: the network's usual spelling (PROTOCOL.md, "Spelling").
        received: living deposits, in chain order.
        waiting: payments that were seen and wait for their first block, oldest first.
        completing_txid: the transfer that completed it, "" before.
        options: networks to pick from, empty unless the order waits for the pick.
        wm_status: the status of the SDK protocol.
        policy: the order's own, fixed when it was opened.
    """

    payin_id: PayinId
    source_id: str
    merchant: Merchant
    state: PayinState
    labels: frozenset[Label]
    coin: str
    asset: Asset | None
    network: Network | None
    amount_units: int
    accepted_units: int
    fee_units: int
    fiat_amount: Decimal
    symbol: str
    exchange_rate: Decimal
    address: str
    tag: str
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None
    lang: str
    links: ReturnLinks
    received: tuple[DepositView, ...]
    waiting: tuple[Unconfirmed, ...]
    completing_txid: str
    options: tuple[NetworkOption, ...]
    wm_status: int
    policy: Policy

    @property
    def currency(self) -> str:
        """Return the pricing currency: the side of the symbol that is not the coin."""
        base, _, quote = self.symbol.partition("/")
        return (quote if base == self.coin else base) or self.merchant.pricing_currency


_GONE = frozenset({DepositState.DROPPED, DepositState.REVERSED})


async def find_view(tx: Tx, registry: Registry, payin_id: PayinId) -> PayinView:
    """Return an order by its id.

    Raises:
        OrderNotFound: no such order.
    """
    payin = await store.find(tx, payin_id)
    if payin is None:
        raise OrderNotFound
    return await view(tx, registry, payin, await merchants.get(tx, payin.merchant_id))


async def view(tx: Tx, registry: Registry, payin: Payin, merchant: Merchant) -> PayinView:
    """Return what may be shown of an order at hand."""
    deposits = await deposits_store.list_of_payins(tx, [payin.payin_id])
    cursors = {cursor.network: cursor for cursor in await journal.list_cursors(tx)} if deposits else {}
    asset = registry.asset(payin.asset) if payin.asset else None
    network = registry.network(asset.network) if asset else None
    return PayinView(
        payin_id=payin.payin_id,
        source_id=payin.source_id,
        merchant=merchant,
        state=payin.state,
        labels=payin.labels,
        coin=payin.coin,
        asset=asset,
        network=network,
        amount_units=payin.units,
        accepted_units=payin.accepted_units,
        fee_units=payin.fee_units,
        fiat_amount=payin.fiat_amount,
        symbol=payin.symbol,
        exchange_rate=payin.exchange_rate,
        address=show_address(network, payin.address) if network else "",
        tag=payin.tag,
        created_at=payin.created_at,
        expires_at=payin.expires_at,
        paid_at=payin.paid_at,
        lang=payin.lang,
        links=payin.links,
        received=tuple(_deposit_view(registry, d, cursors) for d in deposits if d.state not in _GONE),
        waiting=await _waiting(tx, payin, network),
        completing_txid=next((d.txid for d in deposits if d.deposit_id == payin.deposit_id), ""),
        options=_options(registry, payin, merchant),
        wm_status=wm_status(payin),
        policy=payin.policy,
    )


async def _waiting(tx: Tx, payin: Payin, network: Network | None) -> tuple[Unconfirmed, ...]:
    if network is None or network.family is not Family.BITCOIN or payin.state is not PayinState.CREATED:
        return ()
    return tuple(await unconfirmed.list_of_payin(tx, payin.payin_id))


def _options(registry: Registry, payin: Payin, merchant: Merchant) -> tuple[NetworkOption, ...]:
    if payin.asset or payin.state is not PayinState.CREATED:
        return ()
    return tuple(
        NetworkOption(asset, registry.networks[asset.network])
        for asset in registry.by_symbol(payin.coin)
        if asset.payable and merchant.offers(asset.id)
    )


def _deposit_view(registry: Registry, deposit: Deposit, cursors: dict[str, Cursor]) -> DepositView:
    network = registry.network(deposit.network)
    cursor = cursors.get(deposit.network)
    confirmations = max(0, cursor.height - deposit.height + 1) if cursor else 0
    waited = network.block_time * confirmations
    return DepositView(
        deposit_id=deposit.deposit_id,
        asset=registry.asset(deposit.asset),
        network=network,
        units=deposit.units,
        txid=deposit.txid,
        state=deposit.state,
        label=deposit.label,
        confirmations=confirmations,
        final_in=max(timedelta(0), network.final_after - waited),
        seen_at=deposit.seen_at,
    )
