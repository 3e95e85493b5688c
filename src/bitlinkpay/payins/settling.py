"""From final money to an end: credited, put aside with its label, or quarantined; and a person's decisions.

Every function works inside the caller's one transaction. Locks are taken orders first, then deposits, then accounts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.errors import Conflict, NotFound
from bitlinkpay.core.ids import DepositId, PayinId
from bitlinkpay.core.money import share_down
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits import store as deposits_store
from bitlinkpay.deposits.model import DEPOSIT, Deposit, DepositEvent, DepositState
from bitlinkpay.deposits.store import DepositChange
from bitlinkpay.payins import books, store
from bitlinkpay.payins.arrivals import label_of
from bitlinkpay.payins.events import Outcome, announce
from bitlinkpay.payins.model import PAYIN, Label, Payin, PayinEvent
from bitlinkpay.payins.store import PayinChange


@dataclass(slots=True)
class _Batch:
    """What one settling transaction is about to write, in order."""

    payins: dict[PayinId, Payin]
    moves: list[books.Money]
    deposit_changes: list[DepositChange]
    payin_changes: list[PayinChange]
    outcomes: list[Outcome]
    short: dict[PayinId, list[Deposit]]  # unassigned short money that a summing policy may still add up


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
    batch = _Batch(payins, [], [], [], [], await _short(tx, payins))
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


async def _short(tx: Tx, payins: Mapping[PayinId, Payin]) -> dict[PayinId, list[Deposit]]:
    found: dict[PayinId, list[Deposit]] = {key: [] for key, payin in payins.items() if payin.policy.is_summing}
    for deposit in await deposits_store.list_of_payins(tx, sorted(found)) if found else []:
        if deposit.payin_id and deposit.state is DepositState.UNASSIGNED and deposit.label == Label.SHORT:
            found[deposit.payin_id].append(deposit)
    return found


def _quarantine(batch: _Batch, deposit: Deposit, reason: str) -> None:
    event = DepositEvent.HELD
    batch.deposit_changes.append(
        DepositChange(
            deposit.deposit_id, event, deposit.state, DEPOSIT.next(deposit.state, event), deposit.label, cause=reason
        )
    )
    batch.moves.append(books.Money(books.Way.QUARANTINE, deposit))
    payin = batch.payins.get(deposit.payin_id) if deposit.payin_id else None
    if payin is None:
        return
    event_of_payin = PayinEvent.LABELLED
    if not deposit.label and PAYIN.allows(payin.state, PayinEvent.DROPPED):
        event_of_payin = PayinEvent.DROPPED
    _move(batch, payin, event_of_payin, labels=frozenset({Label.QUARANTINED}), cause=reason)


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
    parts = [part for part in batch.short.get(payin.payin_id, ()) if part.asset == deposit.asset]
    label = label_of(registry, payin, deposit, earlier_units=sum(part.units for part in parts))
    if label is None:
        _complete(batch, payin, [*parts, deposit], PayinEvent.COMPLETED)
        return
    aside = _put_aside(batch, deposit, label)
    _release_hope(batch, payin, deposit, label)
    if label is Label.SHORT and payin.payin_id in batch.short:
        batch.short[payin.payin_id].append(aside)


def _put_aside(batch: _Batch, deposit: Deposit, label: str) -> Deposit:
    event = DepositEvent.PUT_ASIDE
    after = DEPOSIT.next(deposit.state, event)
    batch.deposit_changes.append(DepositChange(deposit.deposit_id, event, deposit.state, after, label))
    batch.moves.append(books.Money(books.Way.PUT_ASIDE, deposit))
    return replace(deposit, state=after, label=label)


def _release_hope(batch: _Batch, payin: Payin, deposit: Deposit, label: Label) -> None:
    # At sight it looked right and now it does not (another one was first): the order must not wait for it.
    was_hopeful = not deposit.label and PAYIN.allows(payin.state, PayinEvent.DROPPED)
    event = PayinEvent.DROPPED if was_hopeful else PayinEvent.LABELLED
    _move(batch, payin, event, labels=frozenset({label}), cause=deposit.txid)


def _complete(batch: _Batch, payin: Payin, parts: Sequence[Deposit], event: PayinEvent) -> None:
    last = parts[-1]
    units = sum(part.units for part in parts)
    fees = [share_down(part.units, payin.fee_ppm) for part in parts]
    fees[-1] += share_down(units, payin.fee_ppm) - sum(fees)  # the parts' fees add up to the fee of the whole
    for part, fee in zip(parts, fees, strict=True):
        credited = DepositEvent.CREDITED
        batch.deposit_changes.append(
            DepositChange(part.deposit_id, credited, part.state, DEPOSIT.next(part.state, credited), "", fee)
        )
        way = books.Way.ACCEPT if part.state is DepositState.UNASSIGNED else books.Way.CREDIT
        batch.moves.append(books.Money(way, part, fee))
    after = replace(
        payin,
        state=PAYIN.next(payin.state, event),
        accepted_units=units,
        fee_units=sum(fees),
        deposit_id=last.deposit_id,
    )
    batch.payin_changes.append(
        PayinChange(
            payin,
            event,
            after.state,
            accepted_units=units,
            fee_units=sum(fees),
            deposit_id=last.deposit_id,
            cause=last.txid,
        )
    )
    batch.payins[payin.payin_id] = after
    batch.outcomes.append(Outcome(after, last))


def _move(batch: _Batch, payin: Payin, event: PayinEvent, *, labels: frozenset[Label], cause: str) -> None:
    after = PAYIN.next(payin.state, event)
    batch.payin_changes.append(PayinChange(payin, event, after, labels, cause=cause))
    batch.payins[payin.payin_id] = replace(payin, state=after, labels=payin.labels | labels)


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
    if not PAYIN.allows(payin.state, PayinEvent.ACCEPTED):
        raise Conflict(f"the order is {payin.state} already; credit the money to the balance instead")
    batch = _Batch(payins, [], [], [], [], {})
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
    change = DepositChange(deposit.deposit_id, event, deposit.state, after, deposit.label, cause="operator")
    await deposits_store.save(tx, [change], now)
    if deposit.merchant_id is not None:
        await books.post_money(tx, [books.Money(books.Way.RELEASE, deposit)], now)
    return replace(deposit, state=after)


async def _unassigned(tx: Tx, deposit_id: DepositId) -> tuple[dict[PayinId, Payin], Deposit]:
    payins, deposits = await _lock(tx, [deposit_id])
    if not deposits or deposits[0].state is not DepositState.UNASSIGNED:
        raise NotFound("no unassigned money with this id; see `bitlinkpay unassigned list`")
    return payins, deposits[0]
