"""The chart's other half: one function per business event of money that leaves, or moves between our own wallets.

As in `chart`: events of which only one may ever happen to an item share a key.
"""

from datetime import datetime
from uuid import UUID

from bitlinkpay.core.ids import DepositId, MerchantId, PayoutId, TransactionId
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger.model import LedgerEvent, Move, Posting


def payout_reserved(
    payout_id: PayoutId, *, merchant_id: MerchantId, asset: str, units: int, happened_at: datetime
) -> Posting:
    """A payout was asked for: principal and fees are set aside at once."""
    source, target = accounts.available(merchant_id), accounts.reserved(merchant_id, payout_id)
    return Posting(
        key=f"payout:{payout_id.hex}:reserved",
        event=LedgerEvent.PAYOUT_RESERVED,
        asset=asset,
        moves=(Move(source, target, units),),
        merchant_id=merchant_id,
        happened_at=happened_at,
    )


def payout_released(
    payout_id: PayoutId, *, merchant_id: MerchantId, asset: str, units: int, happened_at: datetime
) -> Posting:
    """A payout came to nothing (rejected, cancelled, failed): all that was set aside goes back."""
    source, target = accounts.reserved(merchant_id, payout_id), accounts.available(merchant_id)
    return Posting(
        key=f"payout:{payout_id.hex}:settled",
        event=LedgerEvent.PAYOUT_RELEASED,
        asset=asset,
        moves=(Move(source, target, units),),
        merchant_id=merchant_id,
        happened_at=happened_at,
    )


def payout_completed(
    payout_id: PayoutId,
    *,
    merchant_id: MerchantId,
    asset: str,
    custody: str,
    units: int,
    fee_units: int,
    network_fee_units: int,
    fee_account: str,
    happened_at: datetime,
) -> Posting:
    """A payout is final on the chain: the principal has left custody, the fees are the platform's.

    Args:
        payout_id: the payout.
        merchant_id: whose money it was.
        asset: its asset.
        custody: the custody account of the wallet that paid.
        units: what the recipient got.
        fee_units: the platform's fee.
        network_fee_units: what the merchant was quoted for the network.
        fee_account: where the platform's fee goes.
        happened_at: business time.
    """
    reserved = accounts.reserved(merchant_id, payout_id)
    parts = ((custody, units), (fee_account, fee_units), (accounts.FEES_NETWORK, network_fee_units))
    return Posting(
        key=f"payout:{payout_id.hex}:settled",
        event=LedgerEvent.PAYOUT_COMPLETED,
        asset=asset,
        moves=tuple(Move(reserved, account, part) for account, part in parts if part),
        merchant_id=merchant_id,
        happened_at=happened_at,
    )


def refund_reserved(
    payout_id: PayoutId,
    *,
    merchant_id: MerchantId,
    deposit_id: DepositId,
    asset: str,
    units: int,
    happened_at: datetime,
) -> Posting:
    """A refund of odd money was asked for: all of it is set aside, what the network takes included."""
    source, target = accounts.unassigned(merchant_id, deposit_id), accounts.reserved(merchant_id, payout_id)
    return Posting(
        key=f"payout:{payout_id.hex}:reserved",
        event=LedgerEvent.REFUND_RESERVED,
        asset=asset,
        moves=(Move(source, target, units),),
        merchant_id=merchant_id,
        happened_at=happened_at,
    )


def refund_released(
    payout_id: PayoutId,
    *,
    merchant_id: MerchantId,
    deposit_id: DepositId,
    asset: str,
    units: int,
    happened_at: datetime,
) -> Posting:
    """A refund came to nothing: the money is odd money again."""
    source, target = accounts.reserved(merchant_id, payout_id), accounts.unassigned(merchant_id, deposit_id)
    return Posting(
        key=f"payout:{payout_id.hex}:settled",
        event=LedgerEvent.REFUND_RELEASED,
        asset=asset,
        moves=(Move(source, target, units),),
        merchant_id=merchant_id,
        happened_at=happened_at,
    )


def gas_spent(
    transaction_id: TransactionId, *, asset: str, account: str, units: int, happened_at: datetime
) -> Posting | None:
    """A transaction of ours is final: the network took its fee, whether it worked or not; None where it took nothing.

    Args:
        transaction_id: the transaction.
        asset: the network's own coin.
        account: the custody account of the wallet that paid.
        units: what the network took.
        happened_at: business time.
    """
    if not units:
        return None
    return Posting(
        key=f"transaction:{transaction_id.hex}:gas",
        event=LedgerEvent.GAS_SPENT,
        asset=asset,
        moves=(Move(accounts.GAS, account, units),),
        merchant_id=None,
        happened_at=happened_at,
    )


def rent_returned(
    transaction_id: TransactionId, *, asset: str, account: str, units: int, happened_at: datetime
) -> Posting | None:
    """A final sweep closed accounts that payers had opened: their rent is the company's now; None where there is none.

    Args:
        transaction_id: the transaction.
        asset: the network's own coin.
        account: the custody account of the wallet that got it.
        units: what the network gave back.
        happened_at: business time.
    """
    if not units:
        return None
    return Posting(
        key=f"transaction:{transaction_id.hex}:rent",
        event=LedgerEvent.RENT_RETURNED,
        asset=asset,
        moves=(Move(account, accounts.FEES_NETWORK, units),),
        merchant_id=None,
        happened_at=happened_at,
    )


def own_transfer(item_id: UUID, *, asset: str, source: str, target: str, units: int, happened_at: datetime) -> Posting:
    """Money is final at another wallet of ours: a sweep, a gas top-up, a surplus gone cold, a consolidation.

    Args:
        item_id: the sweep or top-up.
        asset: its asset.
        source: the custody account that it left.
        target: the custody account that it reached.
        units: how much.
        happened_at: business time.
    """
    return Posting(
        key=f"own:{item_id.hex}",
        event=LedgerEvent.OWN_TRANSFER,
        asset=asset,
        moves=(Move(target, source, units),),
        merchant_id=None,
        happened_at=happened_at,
    )


def unattributed_funded(
    deposit_id: DepositId, *, asset: str, address: str, custody: str, units: int, happened_at: datetime
) -> Posting:
    """Money that came straight to a wallet of ours is the company's own: gas and liquidity of that wallet.

    Args:
        deposit_id: the arrival.
        asset: its asset.
        address: where it arrived.
        custody: the custody account of that wallet.
        units: how much.
        happened_at: business time.
    """
    arrived = accounts.deposit_custody(address)
    moved = () if arrived == custody else (Move(custody, arrived, units),)
    return Posting(
        key=f"deposit:{deposit_id.hex}:claimed",
        event=LedgerEvent.UNATTRIBUTED_FUNDED,
        asset=asset,
        moves=(Move(accounts.unattributed(deposit_id), accounts.EQUITY, units), *moved),
        merchant_id=None,
        happened_at=happened_at,
    )


def claimed_reversed(deposit_id: DepositId, *, asset: str, address: str, units: int, happened_at: datetime) -> Posting:
    """A reorganisation deeper than finality took money away that the company had put in."""
    is_ton = ":" in address  # canonical TON addresses are raw, and their one wallet takes deposits too
    custody = accounts.deposit_custody(address) if is_ton else accounts.hot_custody(address)
    return Posting(
        key=f"deposit:{deposit_id.hex}:reversed",
        event=LedgerEvent.DEPOSIT_REVERSED,
        asset=asset,
        moves=(Move(accounts.EQUITY, custody, units),),
        merchant_id=None,
        happened_at=happened_at,
    )
