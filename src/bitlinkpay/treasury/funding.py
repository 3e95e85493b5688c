"""Money that came straight to a wallet of ours is claimed: as the company's own, or as a refill from cold storage."""

from dataclasses import replace
from datetime import datetime

from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Asset, Family
from bitlinkpay.core.errors import Conflict, NotFound
from bitlinkpay.core.ids import DepositId, RefillId, TransactionId, new_uuid7, show_id
from bitlinkpay.core.money import format_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits import store
from bitlinkpay.deposits.changes import store as changes_store
from bitlinkpay.deposits.model import DEPOSIT, Deposit, DepositChange, DepositEvent
from bitlinkpay.ledger import accounts, chart, chart_outgoing
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import Posting


class NotClaimable(Conflict):
    """The money has an owner, or is not final yet."""

    code = "treasury.not_claimable"


async def claim(
    tx: Tx,
    registry: Registry,
    deposit_id: DepositId,
    *,
    sender: str = "",
    refill: RefillId | None = None,
    by: str,
    now: datetime,
) -> Deposit:
    """Take final money without an owner, at a wallet of ours, into the company's equity, or as a refill.

    Args:
        tx: the open transaction.
        registry: networks and assets.
        deposit_id: the money.
        sender: canonical address that the company sent it from; asked for on TON alone, whose one wallet takes
            payers' money too, with a tag or without.
        refill: the refill that it is, all of it; None for money that is new to the company.
        by: the operator, for the history.
        now: business time.

    Raises:
        NotFound: no such deposit.
        NotClaimable: it belongs to a merchant, is not final, was claimed before, another sender sent it, or the refill
            is of another amount.
    """
    deposit = await _claimable(tx, registry, deposit_id, sender)
    after = DEPOSIT.next(deposit.state, DepositEvent.CLAIMED)
    await changes_store.save(tx, [DepositChange(deposit_id, DepositEvent.CLAIMED, deposit.state, after, cause=by)], now)
    if refill is not None:
        await _check_refill(tx, registry.assets[deposit.asset], refill, deposit)
    is_shared = registry.networks[deposit.network].family is Family.TON
    custody = accounts.deposit_custody(deposit.target) if is_shared else accounts.hot_custody(deposit.target)
    await ledger.post_all(tx, [_claimed(deposit, refill, custody, now)])
    return replace(deposit, state=after)


def _claimed(deposit: Deposit, refill: RefillId | None, custody: str, now: datetime) -> Posting:
    if refill is None:
        return chart_outgoing.unattributed_funded(
            deposit.deposit_id,
            asset=deposit.asset,
            address=deposit.target,
            custody=custody,
            units=deposit.units,
            happened_at=now,
        )
    return chart.refill_arrived(
        refill,
        deposit_id=deposit.deposit_id,
        asset=deposit.asset,
        address=deposit.target,
        custody=custody,
        units=deposit.units,
        happened_at=now,
    )


async def _claimable(tx: Tx, registry: Registry, deposit_id: DepositId, sender: str) -> Deposit:
    found = await store.lock(tx, [deposit_id])
    if not found:
        raise NotFound(f"no deposit {show_id('dep', deposit_id)}; see `bitlinkpay treasury unclaimed`")
    (deposit,) = found
    if deposit.merchant_id is not None:
        raise NotClaimable("this money came to a merchant's address; a person decides with `bitlinkpay unassigned`")
    if not DEPOSIT.allows(deposit.state, DepositEvent.CLAIMED):
        raise NotClaimable(f"this money is {deposit.state}: only final money that waits for its owner can be claimed")
    if registry.networks[deposit.network].family is Family.TON and sender != deposit.source:
        raise NotClaimable(
            "payers' money without a tag comes to this wallet too: name the company's own sender with --sender, or give"
            " the money to its owner with `bitlinkpay unassigned assign`"
        )
    return deposit


async def _check_refill(tx: Tx, asset: Asset, refill: RefillId, deposit: Deposit) -> None:
    sent = await ledger.balance(tx, accounts.in_transit(refill), asset.id)
    if sent != deposit.units:
        raise NotClaimable(
            f"this refill has {_amount(sent, asset)} on its way and the money is {_amount(deposit.units, asset)}: it is"
            " another refill, or the company's own"
        )


async def refill(tx: Tx, asset: Asset, units: int, *, fee: tuple[Asset, int] | None, now: datetime) -> RefillId:
    """Note that an operator sent money from cold storage to a hot wallet; it is on its way until it is claimed.

    Args:
        tx: the open transaction.
        asset: what was sent.
        units: how much.
        fee: what the network took from cold storage beside it, in its own coin.
        now: business time.

    Raises:
        NotClaimable: the books say that cold storage holds less.
    """
    refill_id = RefillId(new_uuid7())
    wanted = [(asset, units), *([fee] if fee else [])]
    for one, _ in wanted:
        held = await ledger.balance(tx, accounts.COLD, one.id)
        needed = sum(units for asset, units in wanted if asset.id == one.id)
        if held < needed:
            raise NotClaimable(f"cold storage holds {_amount(held, one)} by the books, not {_amount(needed, one)}")
    sent = chart.refill_sent(refill_id, asset=asset.id, units=units, happened_at=now)
    burnt = fee and chart_outgoing.gas_spent(
        TransactionId(refill_id), asset=fee[0].id, account=accounts.COLD, units=fee[1], happened_at=now
    )
    await ledger.post_all(tx, [posting for posting in (sent, burnt) if posting])
    return refill_id


def _amount(units: int, asset: Asset) -> str:
    return f"{format_units(units, asset.decimals)} {asset.id}"
