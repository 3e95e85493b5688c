"""One function per business event: it returns the posting with its moves and its key. Nobody else makes any.

Events of which only one may ever happen to a deposit share a key (`deposit:<id>:settled`), so that the second is
refused by the unique index whatever the code above believes.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from bitlinkpay.core.ids import DepositId, MerchantId
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger.model import LedgerEvent, Move, Posting

_SEEN, _SETTLED = ":seen", ":settled"


@dataclass(frozen=True, slots=True)
class Split:
    """How an arrival is shared out; the three parts add up to it exactly."""

    net_units: int
    fee_units: int
    debt_units: int


def split_credit(units: int, *, fee_units: int, debt_units: int) -> Split:
    """Share out an arrival: the fee first, then what the merchant owes, the rest to the merchant; never below zero.

    Args:
        units: what arrived.
        fee_units: the fee asked for; one larger than the arrival takes all of it and no more.
        debt_units: what the merchant owes in this asset.
    """
    assert min(units, fee_units, debt_units) >= 0
    fee = min(fee_units, units)
    repaid = min(debt_units, units - fee)
    return Split(net_units=units - fee - repaid, fee_units=fee, debt_units=repaid)


def deposit_seen(
    deposit_id: DepositId, *, merchant_id: MerchantId, asset: str, address: str, units: int, happened_at: datetime
) -> Posting:
    """A transfer to a merchant's deposit address stands in a block: pending."""
    return Posting(
        key=_key(deposit_id) + _SEEN,
        event=LedgerEvent.DEPOSIT_SEEN,
        asset=asset,
        moves=(Move(accounts.deposit_custody(address), accounts.pending(merchant_id, deposit_id), units),),
        merchant_id=merchant_id,
        happened_at=happened_at,
    )


def deposit_dropped(seen: Posting, *, happened_at: datetime) -> Posting:
    """The block left the chain before the deposit was settled: undo `deposit_seen` or `unattributed_seen`."""
    assert seen.event in (LedgerEvent.DEPOSIT_SEEN, LedgerEvent.UNATTRIBUTED_SEEN)
    return replace(
        seen,
        key=seen.key.removesuffix(_SEEN) + _SETTLED,
        event=LedgerEvent.DEPOSIT_DROPPED,
        moves=tuple(Move(move.credit, move.debit, move.units) for move in reversed(seen.moves)),
        happened_at=happened_at,
    )


def deposit_credited(
    deposit_id: DepositId,
    *,
    merchant_id: MerchantId,
    asset: str,
    units: int,
    fee_units: int,
    debt_units: int,
    happened_at: datetime,
) -> Posting:
    """A final, screened deposit completes its order: available, less fee and repaid debt (see `split_credit`)."""
    source = accounts.pending(merchant_id, deposit_id)
    return Posting(
        key=_key(deposit_id) + _SETTLED,
        event=LedgerEvent.DEPOSIT_CREDITED,
        asset=asset,
        moves=_credit(merchant_id, source, units=units, fee_units=fee_units, debt_units=debt_units),
        merchant_id=merchant_id,
        happened_at=happened_at,
    )


def deposit_unassigned(
    deposit_id: DepositId, *, merchant_id: MerchantId, asset: str, units: int, happened_at: datetime
) -> Posting:
    """A final, screened deposit that does not complete its order (short, over, late, ...) is put aside."""
    source, target = accounts.pending(merchant_id, deposit_id), accounts.unassigned(merchant_id, deposit_id)
    return Posting(
        key=_key(deposit_id) + _SETTLED,
        event=LedgerEvent.DEPOSIT_UNASSIGNED,
        asset=asset,
        moves=(Move(source, target, units),),
        merchant_id=merchant_id,
        happened_at=happened_at,
    )


def deposit_quarantined(
    deposit_id: DepositId, *, merchant_id: MerchantId, asset: str, units: int, happened_at: datetime
) -> Posting:
    """Screening or a sanity rule holds a final deposit back."""
    source, target = accounts.pending(merchant_id, deposit_id), accounts.quarantined(merchant_id, deposit_id)
    return Posting(
        key=_key(deposit_id) + _SETTLED,
        event=LedgerEvent.DEPOSIT_QUARANTINED,
        asset=asset,
        moves=(Move(source, target, units),),
        merchant_id=merchant_id,
        happened_at=happened_at,
    )


def at_sight(settled: Posting, *, address: str) -> Posting:
    """Book the end of a deposit that was final when it was first seen: from its address, it never stood as pending."""
    assert settled.key.endswith(_SETTLED), f"{settled.key} settles no deposit"
    custody = accounts.deposit_custody(address)
    return replace(settled, moves=tuple(Move(custody, move.credit, move.units) for move in settled.moves))


def deposit_released(
    deposit_id: DepositId, *, merchant_id: MerchantId, asset: str, units: int, happened_at: datetime
) -> Posting:
    """A person lets quarantined money go: unassigned, from where `unassigned_accepted` credits it."""
    source, target = accounts.quarantined(merchant_id, deposit_id), accounts.unassigned(merchant_id, deposit_id)
    return Posting(
        key=_key(deposit_id) + ":released",
        event=LedgerEvent.DEPOSIT_RELEASED,
        asset=asset,
        moves=(Move(source, target, units),),
        merchant_id=merchant_id,
        happened_at=happened_at,
    )


def unassigned_accepted(
    deposit_id: DepositId,
    *,
    merchant_id: MerchantId,
    asset: str,
    units: int,
    fee_units: int,
    debt_units: int,
    happened_at: datetime,
) -> Posting:
    """Unassigned money is credited, by policy or by a person, less fee and repaid debt (see `split_credit`)."""
    source = accounts.unassigned(merchant_id, deposit_id)
    return Posting(
        key=_key(deposit_id) + ":accepted",
        event=LedgerEvent.UNASSIGNED_ACCEPTED,
        asset=asset,
        moves=_credit(merchant_id, source, units=units, fee_units=fee_units, debt_units=debt_units),
        merchant_id=merchant_id,
        happened_at=happened_at,
    )


def deposit_reversed(
    deposit_id: DepositId,
    *,
    merchant_id: MerchantId,
    asset: str,
    address: str,
    units: int,
    fee_units: int,
    taken_units: int,
    happened_at: datetime,
) -> Posting:
    """A reorganisation deeper than finality took a credited deposit away; what the balance lacks becomes debt.

    Args:
        deposit_id: the deposit.
        merchant_id: whose it was.
        asset: its asset.
        address: where it had arrived.
        units: what had arrived.
        fee_units: the fee that had been booked.
        taken_units: what the merchant's available balance still yields of the rest, see `service.recoverable`.
        happened_at: business time.
    """
    custody = accounts.deposit_custody(address)
    owed_units = units - fee_units - taken_units
    assert min(fee_units, taken_units, owed_units) >= 0
    return Posting(
        key=_key(deposit_id) + ":reversed",
        event=LedgerEvent.DEPOSIT_REVERSED,
        asset=asset,
        moves=_moves(
            (accounts.available(merchant_id), custody, taken_units),
            (accounts.debt(merchant_id), custody, owed_units),
            (accounts.FEES_PAYIN, custody, fee_units),
        ),
        merchant_id=merchant_id,
        happened_at=happened_at,
    )


def unassigned_reversed(
    deposit_id: DepositId, *, merchant_id: MerchantId, asset: str, address: str, units: int, happened_at: datetime
) -> Posting:
    """A reorganisation deeper than finality took unassigned money away."""
    source = accounts.unassigned(merchant_id, deposit_id)
    return _vanished(
        deposit_id, source, merchant_id=merchant_id, asset=asset, address=address, units=units, happened_at=happened_at
    )


def quarantined_reversed(
    deposit_id: DepositId, *, merchant_id: MerchantId, asset: str, address: str, units: int, happened_at: datetime
) -> Posting:
    """A reorganisation deeper than finality took quarantined money away."""
    source = accounts.quarantined(merchant_id, deposit_id)
    return _vanished(
        deposit_id, source, merchant_id=merchant_id, asset=asset, address=address, units=units, happened_at=happened_at
    )


def unattributed_seen(deposit_id: DepositId, *, asset: str, address: str, units: int, happened_at: datetime) -> Posting:
    """Money whose owner is unknown (TON without a tag) stands in a block."""
    return Posting(
        key=_key(deposit_id) + _SEEN,
        event=LedgerEvent.UNATTRIBUTED_SEEN,
        asset=asset,
        moves=(Move(accounts.deposit_custody(address), accounts.platform_pending(deposit_id), units),),
        merchant_id=None,
        happened_at=happened_at,
    )


def unattributed_final(deposit_id: DepositId, *, asset: str, units: int, happened_at: datetime) -> Posting:
    """Money whose owner is unknown is final: it waits for its owner, with an age and an alarm."""
    return Posting(
        key=_key(deposit_id) + _SETTLED,
        event=LedgerEvent.UNATTRIBUTED_FINAL,
        asset=asset,
        moves=(Move(accounts.platform_pending(deposit_id), accounts.unattributed(deposit_id), units),),
        merchant_id=None,
        happened_at=happened_at,
    )


def unattributed_claimed(
    deposit_id: DepositId, *, merchant_id: MerchantId, asset: str, units: int, happened_at: datetime
) -> Posting:
    """An operator found the owner: the money becomes the merchant's unassigned money, to be accepted like any other."""
    return Posting(
        key=_key(deposit_id) + ":claimed",
        event=LedgerEvent.UNATTRIBUTED_CLAIMED,
        asset=asset,
        moves=(Move(accounts.unattributed(deposit_id), accounts.unassigned(merchant_id, deposit_id), units),),
        merchant_id=merchant_id,
        happened_at=happened_at,
    )


def unattributed_reversed(
    deposit_id: DepositId, *, asset: str, address: str, units: int, happened_at: datetime
) -> Posting:
    """A reorganisation deeper than finality took money away whose owner was never known."""
    return _vanished(
        deposit_id,
        accounts.unattributed(deposit_id),
        merchant_id=None,
        asset=asset,
        address=address,
        units=units,
        happened_at=happened_at,
    )


def dust_written_off(deposit_id: DepositId, *, asset: str, units: int, happened_at: datetime) -> Posting:
    """An operator gives up on the owner of dust: it is the platform's own. It stays on chain, so custody stays."""
    return Posting(
        key=_key(deposit_id) + ":written_off",
        event=LedgerEvent.DUST_WRITTEN_OFF,
        asset=asset,
        moves=(Move(accounts.unattributed(deposit_id), accounts.EQUITY, units),),
        merchant_id=None,
        happened_at=happened_at,
    )


def hot_wallet_funded(funding_id: UUID, *, asset: str, wallet: str, units: int, happened_at: datetime) -> Posting:
    """The operator put the company's own money (gas, liquidity) into a hot wallet."""
    return Posting(
        key=f"funding:{funding_id.hex}",
        event=LedgerEvent.HOT_WALLET_FUNDED,
        asset=asset,
        moves=(Move(accounts.hot_custody(wallet), accounts.EQUITY, units),),
        merchant_id=None,
        happened_at=happened_at,
    )


def refill_sent(refill_id: UUID, *, asset: str, units: int, happened_at: datetime) -> Posting:
    """The operator sent money from cold storage towards a hot wallet."""
    return Posting(
        key=f"refill:{refill_id.hex}:sent",
        event=LedgerEvent.REFILL_SENT,
        asset=asset,
        moves=(Move(accounts.in_transit(refill_id), accounts.COLD, units),),
        merchant_id=None,
        happened_at=happened_at,
    )


def refill_arrived(
    refill_id: UUID,
    *,
    deposit_id: DepositId,
    asset: str,
    address: str,
    custody: str,
    units: int,
    happened_at: datetime,
) -> Posting:
    """The refill is final in the hot wallet: money that had come without an owner turns out to be it.

    Args:
        refill_id: the refill.
        deposit_id: the arrival.
        asset: its asset.
        address: where it arrived.
        custody: the custody account of that wallet.
        units: how much, all that was sent.
        happened_at: business time.
    """
    arrived = accounts.deposit_custody(address)
    moved = () if arrived == custody else (Move(custody, arrived, units),)
    return Posting(
        key=f"refill:{refill_id.hex}:arrived",
        event=LedgerEvent.REFILL_ARRIVED,
        asset=asset,
        moves=(Move(accounts.unattributed(deposit_id), accounts.in_transit(refill_id), units), *moved),
        merchant_id=None,
        happened_at=happened_at,
    )


def _key(deposit_id: DepositId) -> str:
    return f"deposit:{deposit_id.hex}"


def _moves(*moves: tuple[str, str, int]) -> tuple[Move, ...]:
    return tuple(Move(debit, credit, units) for debit, credit, units in moves if units)


def _credit(merchant_id: MerchantId, source: str, *, units: int, fee_units: int, debt_units: int) -> tuple[Move, ...]:
    net_units = units - fee_units - debt_units
    assert min(net_units, fee_units, debt_units) >= 0, "fee and debt exceed the credit, see split_credit"
    return _moves(
        (source, accounts.available(merchant_id), net_units),
        (source, accounts.debt(merchant_id), debt_units),
        (source, accounts.FEES_PAYIN, fee_units),
    )


def _vanished(
    deposit_id: DepositId,
    source: str,
    *,
    merchant_id: MerchantId | None,
    asset: str,
    address: str,
    units: int,
    happened_at: datetime,
) -> Posting:
    return Posting(
        key=_key(deposit_id) + ":reversed",
        event=LedgerEvent.DEPOSIT_REVERSED,
        asset=asset,
        moves=(Move(source, accounts.deposit_custody(address), units),),
        merchant_id=merchant_id,
        happened_at=happened_at,
    )
