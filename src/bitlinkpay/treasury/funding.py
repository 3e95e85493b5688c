"""Money that came straight to a wallet of ours is claimed as the company's own: liquidity and gas."""

from dataclasses import replace
from datetime import datetime

from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Family
from bitlinkpay.core.errors import Conflict, NotFound
from bitlinkpay.core.ids import DepositId
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits import store
from bitlinkpay.deposits.changes import store as changes_store
from bitlinkpay.deposits.model import DEPOSIT, Deposit, DepositChange, DepositEvent
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import chart_outgoing as chart
from bitlinkpay.ledger import service as ledger


class NotClaimable(Conflict):
    """The money has an owner, or is not final yet."""

    code = "treasury.not_claimable"


async def claim(
    tx: Tx, registry: Registry, deposit_id: DepositId, *, sender: str = "", by: str, now: datetime
) -> Deposit:
    """Take final money without an owner, at a wallet of ours, into the company's equity.

    Args:
        tx: the open transaction.
        registry: networks and assets.
        deposit_id: the money.
        sender: canonical address that the company sent it from; asked for on TON alone, whose one wallet takes
            payers' money too, with a tag or without.
        by: the operator, for the history.
        now: business time.

    Raises:
        NotFound: no such deposit.
        NotClaimable: it belongs to a merchant, is not final, was claimed before, or another sender sent it.
    """
    found = await store.lock(tx, [deposit_id])
    if not found:
        raise NotFound(f"no deposit {deposit_id.hex}")
    (deposit,) = found
    if deposit.merchant_id is not None:
        raise NotClaimable("this money came to a merchant's address; a person decides with `bitlinkpay unassigned`")
    if not DEPOSIT.allows(deposit.state, DepositEvent.CLAIMED):
        raise NotClaimable(f"this money is {deposit.state}: only final money that waits for its owner can be claimed")
    family = registry.networks[deposit.network].family
    if family is Family.TON and sender != deposit.source:
        raise NotClaimable(
            "payers' money without a tag comes to this wallet too: name the company's own sender with --sender, or give"
            " the money to its owner with `bitlinkpay unassigned assign`"
        )
    after = DEPOSIT.next(deposit.state, DepositEvent.CLAIMED)
    await changes_store.save(tx, [DepositChange(deposit_id, DepositEvent.CLAIMED, deposit.state, after, cause=by)], now)
    custody = accounts.deposit_custody(deposit.target)
    posting = chart.unattributed_funded(
        deposit_id,
        asset=deposit.asset,
        address=deposit.target,
        custody=custody if family is Family.TON else accounts.hot_custody(deposit.target),
        units=deposit.units,
        happened_at=now,
    )
    await ledger.post_all(tx, [posting])
    return replace(deposit, state=after)
