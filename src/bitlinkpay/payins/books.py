"""From what happened to a deposit to postings in the books.

A refused posting is a broken belief: `Refusal` is raised and the caller's transaction must not commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from bitlinkpay.core.assets import Asset
from bitlinkpay.core.ids import MerchantId
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits import store as deposits_store
from bitlinkpay.deposits.model import Deposit, DepositState
from bitlinkpay.deposits.own import store as own_store
from bitlinkpay.ledger import accounts, chart, chart_outgoing, service
from bitlinkpay.ledger.model import Posting

Debts = dict[tuple[MerchantId, str], int]
"""Base units by (merchant, asset)."""


_SPENT: Final = frozenset({DepositState.CREDITED, DepositState.REFUNDED})
"""Money that is no longer where the deposit was booked: taken back from the balance, and else a debt."""


class Way(StrEnum):
    """Where settled money goes."""

    CREDIT = "credit"
    PUT_ASIDE = "put_aside"
    QUARANTINE = "quarantine"
    ACCEPT = "accept"  # from unassigned to the balance
    RELEASE = "release"  # from quarantine to unassigned


@dataclass(frozen=True, slots=True)
class Money:
    """One deposit on its way, with the fee taken where it is credited.

    `is_new` money was final when it was first seen: it goes where it belongs without having stood as pending.
    """

    way: Way
    deposit: Deposit
    fee_units: int = 0
    is_new: bool = False


async def held_at(tx: Tx, asset: Asset, addresses: Sequence[str], height: int) -> dict[str, int]:
    """Return the base units that each address holds by the books after the block at `height`."""
    names = {accounts.deposit_custody(address): address for address in addresses}
    above = await deposits_store.units_above(tx, asset, addresses, height)
    left = await own_store.units_moved_above(tx, asset, addresses, height)
    held = await service.holdings(tx, asset.id, list(names))
    return {
        address: held.get(name, 0) - above.get(address, 0) + left.get(address, 0) for name, address in names.items()
    }


async def post_dropped(tx: Tx, deposits: Sequence[Deposit], now: datetime) -> None:
    """Take pending arrivals back out of the books."""
    await service.post_all(tx, [chart.deposit_dropped(seen(deposit, now), happened_at=now) for deposit in deposits])


async def post(tx: Tx, arrivals: Sequence[Deposit], moneys: Sequence[Money], now: datetime) -> None:
    """Book arrivals in a block as pending, then the ends of deposits, in order, all in one call.

    A credit repays the merchant's debt first.
    """
    credited = {
        (money.deposit.merchant_id, money.deposit.asset)
        for money in moneys
        if money.deposit.merchant_id and money.way in (Way.CREDIT, Way.ACCEPT)
    }
    debts = await service.debts(tx, sorted(credited)) if credited else {}
    await service.post_all(
        tx, [*(seen(deposit, now) for deposit in arrivals), *(_posting(money, debts, now) for money in moneys)]
    )


async def post_assigned(tx: Tx, deposit: Deposit, now: datetime) -> None:
    """Book money without an owner as the unassigned money of the merchant that it was given to."""
    assert deposit.merchant_id is not None
    posting = chart.unattributed_claimed(
        deposit.deposit_id,
        merchant_id=deposit.merchant_id,
        asset=deposit.asset,
        units=deposit.units,
        happened_at=now,
    )
    await service.post_all(tx, [posting])


async def post_reversed(tx: Tx, deposits: Sequence[Deposit], now: datetime) -> None:
    """Take settled arrivals back out; what the merchant has spent already becomes its debt."""
    missing: Debts = {}
    for deposit in deposits:
        if deposit.merchant_id and deposit.state in _SPENT:
            key = deposit.merchant_id, deposit.asset
            missing[key] = missing.get(key, 0) + deposit.units - deposit.fee_units
    left = {key: await service.recoverable(tx, *key, units) for key, units in sorted(missing.items())}
    await service.post_all(tx, [_reversal(deposit, left, now) for deposit in deposits])


def seen(deposit: Deposit, now: datetime) -> Posting:
    """Return the posting of an arrival in a block."""
    if deposit.merchant_id is None:
        return chart.unattributed_seen(
            deposit.deposit_id, asset=deposit.asset, address=deposit.target, units=deposit.units, happened_at=now
        )
    return chart.deposit_seen(
        deposit.deposit_id,
        merchant_id=deposit.merchant_id,
        asset=deposit.asset,
        address=deposit.target,
        units=deposit.units,
        happened_at=now,
    )


def _posting(money: Money, debts: Debts, now: datetime) -> Posting:
    posting = _end(money, debts, now)
    comes_from_pending = money.way in (Way.CREDIT, Way.PUT_ASIDE, Way.QUARANTINE)
    return chart.at_sight(posting, address=money.deposit.target) if money.is_new and comes_from_pending else posting


def _end(money: Money, debts: Debts, now: datetime) -> Posting:
    deposit, merchant_id = money.deposit, money.deposit.merchant_id
    if merchant_id is None:
        assert money.way in (Way.PUT_ASIDE, Way.QUARANTINE), "money without an owner can only be put aside"
        return chart.unattributed_final(deposit.deposit_id, asset=deposit.asset, units=deposit.units, happened_at=now)
    match money.way:
        case Way.PUT_ASIDE | Way.QUARANTINE | Way.RELEASE:
            book = {
                Way.PUT_ASIDE: chart.deposit_unassigned,
                Way.QUARANTINE: chart.deposit_quarantined,
                Way.RELEASE: chart.deposit_released,
            }[money.way]
            return book(
                deposit.deposit_id,
                merchant_id=merchant_id,
                asset=deposit.asset,
                units=deposit.units,
                happened_at=now,
            )
        case Way.CREDIT | Way.ACCEPT:
            return _credit(money, merchant_id, debts, now)


def _credit(money: Money, merchant_id: MerchantId, debts: Debts, now: datetime) -> Posting:
    deposit = money.deposit
    owed = debts.get((merchant_id, deposit.asset), 0)
    split = chart.split_credit(deposit.units, fee_units=money.fee_units, debt_units=owed)
    debts[merchant_id, deposit.asset] = owed - split.debt_units
    book = chart.deposit_credited if money.way is Way.CREDIT else chart.unassigned_accepted
    return book(
        deposit.deposit_id,
        merchant_id=merchant_id,
        asset=deposit.asset,
        units=deposit.units,
        fee_units=split.fee_units,
        debt_units=split.debt_units,
        happened_at=now,
    )


def _reversal(deposit: Deposit, left: Debts, now: datetime) -> Posting:
    asset, address, units = deposit.asset, deposit.target, deposit.units
    if deposit.merchant_id is None:
        is_claimed = deposit.state is DepositState.CLAIMED
        take_back = chart_outgoing.claimed_reversed if is_claimed else chart.unattributed_reversed
        return take_back(deposit.deposit_id, asset=asset, address=address, units=units, happened_at=now)
    if deposit.state not in _SPENT:
        is_quarantined = deposit.state is DepositState.QUARANTINED
        book = chart.quarantined_reversed if is_quarantined else chart.unassigned_reversed
        return book(
            deposit.deposit_id,
            merchant_id=deposit.merchant_id,
            asset=asset,
            address=address,
            units=units,
            happened_at=now,
        )
    key = deposit.merchant_id, asset
    taken = min(units - deposit.fee_units, left.get(key, 0))
    left[key] = left.get(key, 0) - taken
    return chart.deposit_reversed(
        deposit.deposit_id,
        merchant_id=deposit.merchant_id,
        asset=asset,
        address=address,
        units=units,
        fee_units=deposit.fee_units,
        taken_units=taken,
        happened_at=now,
    )
