"""From final money to an end: credited, put aside with its label, or quarantined; and a person's decisions.

Every function works inside the caller's one transaction. Locks are taken orders first, then deposits, then accounts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.errors import Conflict, NotFound
from bitlinkpay.core.ids import DepositId, MerchantId, PayinId
from bitlinkpay.core.money import share_down
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits import store as deposits_store
from bitlinkpay.deposits.changes import store as changes_store
from bitlinkpay.deposits.model import DEPOSIT, Deposit, DepositChange, DepositEvent, DepositState
from bitlinkpay.payins import books, store
from bitlinkpay.payins.decisions import Batch, complete, decide, quarantine
from bitlinkpay.payins.events import announce
from bitlinkpay.payins.model import PAYIN, Label, Payin, PayinEvent

_NONE: Final = "no unassigned money with this id; see `bitlinkpay unassigned list`"


class Ownerless(Conflict):
    """Money that no merchant owns can be nobody's payment and nobody's credit."""

    def __init__(self) -> None:
        super().__init__(
            "nobody knows yet whose money this is: say so first, with `bitlinkpay unassigned assign` (TON without its"
            " tag) or `bitlinkpay treasury claim` (the company's own)"
        )


class NotAcceptable(Conflict):
    """The money cannot be its order's payment."""

    code = "deposit.not_acceptable"


async def settle(
    tx: Tx, registry: Registry, *, passed: Sequence[DepositId], held: Mapping[DepositId, str], now: datetime
) -> int:
    """Give final deposits their end, by verdict, rule and policy; return how many got one.

    Args:
        tx: the open transaction.
        registry: networks and assets.
        passed: deposits that screening let through.
        held: deposits that go to quarantine, each with its reason.
        now: business time.
    """
    payins, deposits = await _lock(tx, [*passed, *held])
    deposits = [deposit for deposit in deposits if deposit.state is DepositState.FINAL]
    batch = await begin(tx, payins)
    for deposit in deposits:
        if deposit.deposit_id in held:
            quarantine(batch, deposit, held[deposit.deposit_id])
        else:
            decide(batch, registry, deposit)
    await write(tx, registry, batch, now)
    return len(deposits)


async def _lock(tx: Tx, deposit_ids: Sequence[DepositId]) -> tuple[dict[PayinId, Payin], list[Deposit]]:
    payins = await store.lock(tx, await deposits_store.payins_of(tx, deposit_ids))
    return payins, await deposits_store.lock(tx, deposit_ids)


async def begin(tx: Tx, payins: Mapping[PayinId, Payin]) -> Batch:
    """Return an empty batch over locked orders, with what decisions about them have to know."""
    summing = sorted(key for key, payin in payins.items() if payin.policy.is_summing)
    parts: dict[PayinId, list[Deposit]] = {key: [] for key in summing}
    for deposit in await deposits_store.list_parts(tx, summing) if summing else []:
        if deposit.payin_id:
            parts[deposit.payin_id].append(deposit)
    unsettled = await deposits_store.list_unsettled(tx, sorted(payins)) if payins else []
    hopeful: dict[PayinId, set[DepositId]] = {}
    for payin_id, deposit_id, label in unsettled:
        if not label:
            hopeful.setdefault(payin_id, set()).add(deposit_id)
    return Batch(dict(payins), parts, hopeful, frozenset(payin_id for payin_id, _, _ in unsettled))


async def write(tx: Tx, registry: Registry, batch: Batch, now: datetime) -> None:
    """Write what a batch decided: rows, events, one batch of postings, one batch of news.

    Raises:
        Refusal, AssertionError: a broken belief; the caller's transaction must not commit.
    """
    if not batch.deposit_changes:
        return
    first = [change for change in batch.deposit_changes if change.deposit_id in batch.new]
    later = [change for change in batch.deposit_changes if change.deposit_id not in batch.new]
    await changes_store.insert(tx, list(batch.new.values()), first, now)
    await changes_store.save(tx, later, now)
    await store.save(tx, batch.payin_changes, now)
    pending = [deposit for deposit in batch.new.values() if not deposit.is_settled]
    await books.post(tx, pending, batch.moves, now)
    await announce(tx, registry, batch.outcomes, now)


async def accept(tx: Tx, registry: Registry, deposit_id: DepositId, now: datetime, *, by: str = "operator") -> Payin:
    """Accept unassigned money as the payment of its order: the order becomes paid, its callback goes out.

    `by` is who decided so, for both histories.

    Raises:
        NotFound: no such unassigned money.
        Ownerless: it is nobody's yet.
        NotAcceptable: it belongs to no order, is of another asset, or the order is paid already.
    """
    payins, deposit = await _unassigned(tx, deposit_id)
    if deposit.merchant_id is None:
        raise Ownerless
    payin = payins.get(deposit.payin_id) if deposit.payin_id else None
    if payin is None or payin.asset != deposit.asset:
        raise NotAcceptable("only money of the order's own asset can be accepted as its payment; credit it instead")
    if not PAYIN.allows(payin.state, PayinEvent.ACCEPTED) and not payin.has_lost_payment:
        raise NotAcceptable(f"the order is {payin.state} already; credit the money to the balance instead")
    batch = await begin(tx, payins)
    complete(batch, payin, [deposit], PayinEvent.ACCEPTED, by=by)
    await write(tx, registry, batch, now)
    return batch.payins[payin.payin_id]


async def credit(tx: Tx, deposit_id: DepositId, *, fee_ppm: int, now: datetime, by: str = "operator") -> Deposit:
    """Credit unassigned money to its merchant's balance, less the deposit fee; the order stays as it is.

    `by` is who decided so, for the history.

    Raises:
        NotFound: no such unassigned money.
        Ownerless: it is nobody's yet.
    """
    _, deposit = await _unassigned(tx, deposit_id)
    if deposit.merchant_id is None:
        raise Ownerless
    fee = share_down(deposit.units, fee_ppm)
    event = DepositEvent.CREDITED
    after = DEPOSIT.next(deposit.state, event)
    change = DepositChange(deposit.deposit_id, event, deposit.state, after, deposit.label, fee, by)
    await changes_store.save(tx, [change], now)
    await books.post(tx, [], [books.Money(books.Way.ACCEPT, deposit, fee)], now)
    return replace(deposit, state=after, fee_units=fee)


async def release(tx: Tx, deposit_id: DepositId, now: datetime, *, by: str = "operator") -> Deposit:
    """Let quarantined money go on to unassigned, where it can be accepted or credited.

    `by` is who decided so, for the history.

    Raises:
        NotFound: no such quarantined money.
    """
    found = await deposits_store.lock(tx, [deposit_id])
    if not found or found[0].state is not DepositState.QUARANTINED:
        raise NotFound("no quarantined money with this id")
    deposit = found[0]
    event = DepositEvent.RELEASED
    after = DEPOSIT.next(deposit.state, event)
    label = deposit.label or (Label.QUARANTINED if deposit.payin_id else "")
    change = DepositChange(deposit.deposit_id, event, deposit.state, after, label, cause=by)
    await changes_store.save(tx, [change], now)
    if deposit.merchant_id is not None:
        await books.post(tx, [], [books.Money(books.Way.RELEASE, deposit)], now)
    return replace(deposit, state=after, label=label)


async def begin_refund(tx: Tx, merchant_id: MerchantId, deposit_id: DepositId, now: datetime) -> Deposit:
    """Give a merchant's odd money to a refund, which books it; the order stays as it is.

    Raises:
        NotFound: the merchant has no such unassigned money.
    """
    _, deposit = await _unassigned(tx, deposit_id)
    if deposit.merchant_id != merchant_id:
        raise NotFound(_NONE)
    event = DepositEvent.REFUNDED
    after = DEPOSIT.next(deposit.state, event)
    change = DepositChange(deposit.deposit_id, event, deposit.state, after, deposit.label, cause="a refund of it")
    await changes_store.save(tx, [change], now)
    return replace(deposit, state=after)


async def end_refunds(tx: Tx, deposit_ids: Sequence[DepositId], now: datetime) -> set[DepositId]:
    """Take odd money back from refunds that came to nothing; return what is unassigned again.

    What left the chain meanwhile is none of it: its merchant owes it already.
    """
    found = [d for d in await deposits_store.lock(tx, deposit_ids) if d.state is DepositState.REFUNDED]
    event = DepositEvent.RETURNED
    changes = [
        DepositChange(d.deposit_id, event, d.state, DEPOSIT.next(d.state, event), d.label, cause="nothing was paid")
        for d in found
    ]
    await changes_store.save(tx, changes, now)
    return {deposit.deposit_id for deposit in found}


async def _unassigned(tx: Tx, deposit_id: DepositId) -> tuple[dict[PayinId, Payin], Deposit]:
    payins, deposits = await _lock(tx, [deposit_id])
    if not deposits or deposits[0].state is not DepositState.UNASSIGNED:
        raise NotFound(_NONE)
    return payins, deposits[0]
