"""From final money to an end: credited, put aside with its label, or quarantined; and a person's decisions.

Every function works inside the caller's one transaction. Locks are taken orders first, then deposits, then accounts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate, pairwise

from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.errors import Conflict, NotFound
from bitlinkpay.core.ids import DepositId, PayinId
from bitlinkpay.core.money import share_down
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits import store as deposits_store
from bitlinkpay.deposits.model import DEPOSIT, Deposit, DepositEvent, DepositState
from bitlinkpay.deposits.store import DepositChange
from bitlinkpay.payins import books, store
from bitlinkpay.payins.arrivals import judge_deposit
from bitlinkpay.payins.events import Outcome, announce
from bitlinkpay.payins.model import PAYIN, Label, Payin, PayinEvent, PayinState
from bitlinkpay.payins.store import PayinChange


@dataclass(slots=True)
class _Batch:
    """What one settling transaction is about to write, in order."""

    payins: dict[PayinId, Payin]
    moves: list[books.Money]
    deposit_changes: list[DepositChange]
    payin_changes: list[PayinChange]
    outcomes: list[Outcome]
    parts: dict[PayinId, list[Deposit]]  # what a summing policy may count: short money put aside, and earlier payments
    hopeful: dict[PayinId, set[DepositId]]  # money on its way that may still complete its order


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
    batch = await _begin(tx, payins)
    for deposit in deposits:
        if deposit.deposit_id in held:
            _quarantine(batch, deposit, held[deposit.deposit_id])
        else:
            _decide(batch, registry, deposit)
    await _write(tx, registry, batch, now)
    return len(deposits)


async def _lock(tx: Tx, deposit_ids: Sequence[DepositId]) -> tuple[dict[PayinId, Payin], list[Deposit]]:
    payins = await store.lock(tx, await deposits_store.payins_of(tx, deposit_ids))
    return payins, await deposits_store.lock(tx, deposit_ids)


async def _begin(tx: Tx, payins: dict[PayinId, Payin]) -> _Batch:
    summing = sorted(key for key, payin in payins.items() if payin.policy.is_summing)
    parts: dict[PayinId, list[Deposit]] = {key: [] for key in summing}
    for deposit in await deposits_store.list_parts(tx, summing) if summing else []:
        if deposit.payin_id:
            parts[deposit.payin_id].append(deposit)
    waiting = sorted(key for key, payin in payins.items() if payin.state is PayinState.CONFIRMING)
    hopeful = await deposits_store.list_hopeful(tx, waiting) if waiting else {}
    return _Batch(payins, [], [], [], [], parts, hopeful)


def _quarantine(batch: _Batch, deposit: Deposit, reason: str) -> None:
    event = DepositEvent.HELD
    batch.deposit_changes.append(
        DepositChange(
            deposit.deposit_id, event, deposit.state, DEPOSIT.next(deposit.state, event), deposit.label, cause=reason
        )
    )
    batch.moves.append(books.Money(books.Way.QUARANTINE, deposit))
    payin = batch.payins.get(deposit.payin_id) if deposit.payin_id else None
    if payin is not None:
        _give_up(batch, payin, deposit, Label.QUARANTINED, cause=reason)


def _decide(batch: _Batch, registry: Registry, deposit: Deposit) -> None:
    screened = DEPOSIT.next(deposit.state, DepositEvent.PASSED)
    batch.deposit_changes.append(
        DepositChange(deposit.deposit_id, DepositEvent.PASSED, deposit.state, screened, deposit.label)
    )
    deposit = replace(deposit, state=screened)
    payin = batch.payins.get(deposit.payin_id) if deposit.payin_id else None
    if payin is None:
        _put_aside(batch, deposit, "")
        return
    parts = [part for part in batch.parts.get(payin.payin_id, ()) if part.asset == deposit.asset]
    judgement = judge_deposit(registry, payin, deposit, earlier_units=sum(part.units for part in parts))
    if judgement.label is None:
        short = [part for part in parts if judgement.is_sum and part.state is DepositState.UNASSIGNED]
        _complete(batch, payin, [*short, deposit], PayinEvent.COMPLETED)
        return
    label = Label(deposit.label) if deposit.label else judgement.label  # what it was called at sight, it stays
    aside = _put_aside(batch, deposit, label)
    _give_up(batch, payin, deposit, label, cause=deposit.txid)
    if label is Label.SHORT and payin.payin_id in batch.parts:
        batch.parts[payin.payin_id].append(aside)


def _put_aside(batch: _Batch, deposit: Deposit, label: str) -> Deposit:
    event = DepositEvent.PUT_ASIDE
    after = DEPOSIT.next(deposit.state, event)
    batch.deposit_changes.append(DepositChange(deposit.deposit_id, event, deposit.state, after, label))
    batch.moves.append(books.Money(books.Way.PUT_ASIDE, deposit))
    return replace(deposit, state=after, label=label)


def _give_up(batch: _Batch, payin: Payin, deposit: Deposit, label: Label, *, cause: str) -> None:
    """Label an order with money that did not complete it; one that waited for no other money is open again."""
    hopeful = batch.hopeful.get(payin.payin_id, set())
    hopeful.discard(deposit.deposit_id)
    is_hopeless = not hopeful and PAYIN.allows(payin.state, PayinEvent.DROPPED)
    event = PayinEvent.DROPPED if is_hopeless else PayinEvent.LABELLED
    after = PAYIN.next(payin.state, event)
    labels = frozenset({label})
    batch.payin_changes.append(PayinChange(payin, event, after, labels, cause=cause))
    batch.payins[payin.payin_id] = replace(payin, state=after, labels=payin.labels | labels)


def _complete(batch: _Batch, payin: Payin, parts: Sequence[Deposit], event: PayinEvent) -> None:
    """Credit `parts` and let the order be paid by them and by what still stands of an earlier payment."""
    last = parts[-1]
    fees = _fees(parts, payin.fee_ppm)
    _credit_parts(batch, parts, fees)
    kept = [part for part in batch.parts.get(payin.payin_id, ()) if part.state is DepositState.CREDITED]
    unlabels = _settled_labels(payin, parts, event)
    after = replace(
        payin,
        state=PayinState.PAID,
        labels=payin.labels - unlabels,
        accepted_units=sum(part.units for part in [*kept, *parts]),
        fee_units=sum(part.fee_units for part in kept) + sum(fees),
        deposit_id=last.deposit_id,
    )
    happened = PayinEvent.RESTORED if payin.has_lost_payment else event
    assert PAYIN.next(payin.state, happened) is after.state
    batch.payin_changes.append(
        PayinChange(
            payin,
            happened,
            after.state,
            unlabels=unlabels,
            accepted_units=after.accepted_units,
            fee_units=after.fee_units,
            deposit_id=last.deposit_id,
            cause=last.txid,
        )
    )
    batch.payins[payin.payin_id] = after
    batch.parts.pop(payin.payin_id, None)
    if happened is not PayinEvent.RESTORED:  # its merchant was told before; to him it never stopped being paid
        batch.outcomes.append(Outcome(after, last))


def _fees(parts: Sequence[Deposit], fee_ppm: int) -> list[int]:
    """Share the fee of the whole among its parts; none bears more than it is worth, and they add up exactly."""
    totals = accumulate((part.units for part in parts), initial=0)
    shares = [share_down(units, fee_ppm) for units in totals]
    return [after - before for before, after in pairwise(shares)]


def _credit_parts(batch: _Batch, parts: Sequence[Deposit], fees: Sequence[int]) -> None:
    event = DepositEvent.CREDITED
    for part, fee in zip(parts, fees, strict=True):
        after = DEPOSIT.next(part.state, event)
        batch.deposit_changes.append(DepositChange(part.deposit_id, event, part.state, after, "", fee))
        way = books.Way.ACCEPT if part.state is DepositState.UNASSIGNED else books.Way.CREDIT
        batch.moves.append(books.Money(way, part, fee))


def _settled_labels(payin: Payin, parts: Sequence[Deposit], event: PayinEvent) -> frozenset[Label]:
    # Short money that was added up is no longer odd; what a person accepted stays visible as what it was.
    added = {Label.SHORT} if len(parts) > 1 and event is PayinEvent.COMPLETED else set()
    return payin.labels & {Label.REVERSED, *added}


async def _write(tx: Tx, registry: Registry, batch: _Batch, now: datetime) -> None:
    if not batch.deposit_changes:
        return
    await deposits_store.save(tx, batch.deposit_changes, now)
    await store.save(tx, batch.payin_changes, now)
    await books.post_money(tx, batch.moves, now)
    await announce(tx, registry, batch.outcomes, now)


async def accept(tx: Tx, registry: Registry, deposit_id: DepositId, now: datetime) -> Payin:
    """Accept unassigned money as the payment of its order: the order becomes paid, its callback goes out.

    Raises:
        NotFound: no such unassigned money.
        Conflict: it belongs to no order, is of another asset, or the order is paid already.
    """
    payins, deposit = await _unassigned(tx, deposit_id)
    payin = payins.get(deposit.payin_id) if deposit.payin_id else None
    if payin is None or payin.asset != deposit.asset:
        raise Conflict("only money of the order's own asset can be accepted as its payment; credit it instead")
    if not PAYIN.allows(payin.state, PayinEvent.ACCEPTED) and not payin.has_lost_payment:
        raise Conflict(f"the order is {payin.state} already; credit the money to the balance instead")
    batch = await _begin(tx, payins)
    _complete(batch, payin, [deposit], PayinEvent.ACCEPTED)
    await _write(tx, registry, batch, now)
    return batch.payins[payin.payin_id]


async def credit(tx: Tx, deposit_id: DepositId, *, fee_ppm: int, now: datetime) -> Deposit:
    """Credit unassigned money to its merchant's balance, less the deposit fee; the order stays as it is.

    Raises:
        NotFound: no such unassigned money.
        Conflict: its owner is not known.
    """
    _, deposit = await _unassigned(tx, deposit_id)
    if deposit.merchant_id is None:
        raise Conflict("the owner of this money is not known; it stays unattributed")
    fee = share_down(deposit.units, fee_ppm)
    event = DepositEvent.CREDITED
    after = DEPOSIT.next(deposit.state, event)
    change = DepositChange(deposit.deposit_id, event, deposit.state, after, deposit.label, fee, "operator")
    await deposits_store.save(tx, [change], now)
    await books.post_money(tx, [books.Money(books.Way.ACCEPT, deposit, fee)], now)
    return replace(deposit, state=after, fee_units=fee)


async def release(tx: Tx, deposit_id: DepositId, now: datetime) -> Deposit:
    """Let quarantined money go on to unassigned, where it can be accepted or credited.

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
    change = DepositChange(deposit.deposit_id, event, deposit.state, after, label, cause="operator")
    await deposits_store.save(tx, [change], now)
    if deposit.merchant_id is not None:
        await books.post_money(tx, [books.Money(books.Way.RELEASE, deposit)], now)
    return replace(deposit, state=after, label=label)


async def _unassigned(tx: Tx, deposit_id: DepositId) -> tuple[dict[PayinId, Payin], Deposit]:
    payins, deposits = await _lock(tx, [deposit_id])
    if not deposits or deposits[0].state is not DepositState.UNASSIGNED:
        raise NotFound("no unassigned money with this id; see `bitlinkpay unassigned list`")
    return payins, deposits[0]
