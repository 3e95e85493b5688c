"""Money that came to a shared wallet without its tag (TON) finds its owner: an operator says whose it is.

It becomes unassigned money like any other of its merchant, and is then accepted or credited (`payins.settling`).
"""

from dataclasses import dataclass, replace
from datetime import datetime

from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Family
from bitlinkpay.core.errors import Conflict, NotFound
from bitlinkpay.core.ids import DepositId, MerchantId, PayinId
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits import store as deposits_store
from bitlinkpay.deposits.changes import store as changes_store
from bitlinkpay.deposits.model import DEPOSIT, Deposit, DepositChange, DepositEvent
from bitlinkpay.payins import books, store
from bitlinkpay.payins.model import PAYIN, Label, OrderNotFound, Payin, PayinEvent
from bitlinkpay.payins.store import PayinChange


class NotAssignable(Conflict):
    """This money cannot be given to this owner."""

    code = "unassigned.not_assignable"


@dataclass(frozen=True, slots=True)
class _Owner:
    merchant_id: MerchantId
    payin_id: PayinId | None
    label: str
    words: str


async def to_order(
    tx: Tx, registry: Registry, deposit_id: DepositId, payin_id: PayinId, *, by: str, now: datetime
) -> Deposit:
    """Give money without an owner to the order that it was meant for; the order is labelled `untagged`.

    Args:
        tx: the open transaction.
        registry: networks and assets.
        deposit_id: the money.
        payin_id: the order.
        by: the operator, for both histories.
        now: business time.

    Raises:
        NotFound: no such money, no such order.
        NotAssignable: the order asks for another asset, or the money has an owner, is not final or did not come to a
            shared wallet.
    """
    payin = (await store.lock(tx, [payin_id])).get(payin_id)
    if payin is None:
        raise OrderNotFound
    deposit = await _without_owner(tx, registry, deposit_id)
    if payin.asset != deposit.asset:
        raise NotAssignable(f"the order does not ask for {deposit.asset}: assign the money to its merchant alone")
    given = await _give(
        tx, deposit, _Owner(payin.merchant_id, payin_id, Label.UNTAGGED, f"order {payin_id.hex}"), by, now
    )
    await store.save(tx, [_labelled(payin, deposit, by)], now)
    return given


async def to_merchant(
    tx: Tx, registry: Registry, deposit_id: DepositId, merchant_id: MerchantId, *, by: str, now: datetime
) -> Deposit:
    """Give money without an owner to a merchant, whichever order it was meant for. Raises as `to_order`."""
    deposit = await _without_owner(tx, registry, deposit_id)
    return await _give(tx, deposit, _Owner(merchant_id, None, "", f"merchant {merchant_id.hex}"), by, now)


async def _without_owner(tx: Tx, registry: Registry, deposit_id: DepositId) -> Deposit:
    found = await deposits_store.lock(tx, [deposit_id])
    if not found:
        raise NotFound("no money with this id; see `bitlinkpay unassigned list`")
    (deposit,) = found
    if deposit.merchant_id is not None:
        raise NotAssignable("this money has an owner already")
    if not DEPOSIT.allows(deposit.state, DepositEvent.ASSIGNED):
        raise NotAssignable(f"this money is {deposit.state}: only final money that waits for its owner can be assigned")
    if registry.networks[deposit.network].family is not Family.TON:
        raise NotAssignable("this money came straight to a wallet that pays, not to one that takes orders' payments")
    return deposit


async def _give(tx: Tx, deposit: Deposit, owner: _Owner, by: str, now: datetime) -> Deposit:
    event = DepositEvent.ASSIGNED
    after = DEPOSIT.next(deposit.state, event)
    cause = f"{by}: {owner.words}"
    change = DepositChange(deposit.deposit_id, event, deposit.state, after, owner.label, cause=cause)
    given = replace(deposit, state=after, label=owner.label, merchant_id=owner.merchant_id, payin_id=owner.payin_id)
    await changes_store.save(tx, [change], now)
    await changes_store.give(tx, deposit.deposit_id, merchant_id=owner.merchant_id, payin_id=owner.payin_id)
    await books.post_assigned(tx, given, now)
    return given


def _labelled(payin: Payin, deposit: Deposit, by: str) -> PayinChange:
    event = PayinEvent.LABELLED
    after = PAYIN.next(payin.state, event)
    return PayinChange(payin, event, after, frozenset({Label.UNTAGGED}), cause=f"{by}: {deposit.txid}")
