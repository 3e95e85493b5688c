"""The chart's last part: what is booked so that the books say what the chain says. A difference is booked once."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from bitlinkpay.ledger import accounts
from bitlinkpay.ledger.model import LedgerEvent, Move, Posting


def surplus_found(difference_id: UUID, *, asset: str, account: str, units: int, happened_at: datetime) -> Posting:
    """The chain holds more than the books, and nobody's it is: the company's own.

    Args:
        difference_id: what reconciliation found.
        asset: its asset.
        account: the custody account of the place.
        units: how much more.
        happened_at: business time.
    """
    return Posting(
        key=_key(difference_id),
        event=LedgerEvent.SURPLUS_FOUND,
        asset=asset,
        moves=(Move(account, accounts.EQUITY, units),),
        merchant_id=None,
        happened_at=happened_at,
    )


def shortage_written_off(
    difference_id: UUID, *, asset: str, parts: Sequence[tuple[str, int]], happened_at: datetime
) -> Posting:
    """The chain holds less than the books: the company's loss; what merchants are owed stays as it is.

    Args:
        difference_id: what reconciliation found.
        asset: its asset.
        parts: custody accounts of the place, with how much each of them lacks.
        happened_at: business time.
    """
    return Posting(
        key=_key(difference_id),
        event=LedgerEvent.SHORTAGE_WRITTEN_OFF,
        asset=asset,
        moves=tuple(Move(accounts.LOSS, account, units) for account, units in parts),
        merchant_id=None,
        happened_at=happened_at,
    )


def upkeep_spent(
    difference_id: UUID, *, asset: str, parts: Sequence[tuple[str, int]], happened_at: datetime
) -> Posting:
    """A wallet paid for what it got and for its place on the chain, by no transaction of ours (TON): that is gas.

    Args:
        difference_id: what reconciliation found.
        asset: the network's own coin.
        parts: custody accounts of the place, with how much each of them lacks.
        happened_at: business time.
    """
    return Posting(
        key=_key(difference_id),
        event=LedgerEvent.UPKEEP_SPENT,
        asset=asset,
        moves=tuple(Move(accounts.GAS, account, units) for account, units in parts),
        merchant_id=None,
        happened_at=happened_at,
    )


def _key(difference_id: UUID) -> str:
    return f"difference:{difference_id.hex}:booked"
