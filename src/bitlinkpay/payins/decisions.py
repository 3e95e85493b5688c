"""What deposits do to their orders, decided in memory and written in one go: seen, completed, put aside, held. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise

from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.ids import DepositId, PayinId
from bitlinkpay.core.money import share_down
from bitlinkpay.deposits.model import DEPOSIT, Deposit, DepositChange, DepositEvent, DepositState
from bitlinkpay.payins.books import Money, Way
from bitlinkpay.payins.events import Outcome
from bitlinkpay.payins.model import PAYIN, Arrived, Judgement, Label, Payin, PayinEvent, PayinState, judge
from bitlinkpay.payins.store import PayinChange


@dataclass(slots=True)
class Batch:
    """What one transaction is about to write, in order.

    Attributes:
        payins: the orders, locked, as they stand after what was decided so far.
        parts: by order what a summing policy may count: short money put aside, and earlier payments.
        hopeful: by order the money on its way that may still complete it.
        waiting: orders that had money on its way before this transaction, hopeful or not.
        new: arrivals of this transaction, which have no row and no posting yet.
    """

    payins: dict[PayinId, Payin]
    parts: dict[PayinId, list[Deposit]]
    hopeful: dict[PayinId, set[DepositId]]
    waiting: frozenset[PayinId]
    new: dict[DepositId, Deposit] = field(default_factory=dict)
    moves: list[Money] = field(default_factory=list)
    deposit_changes: list[DepositChange] = field(default_factory=list)
    payin_changes: list[PayinChange] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def payin_of(self, deposit: Deposit) -> Payin | None:
        """Return the order that the money came for, if any."""
        return self.payins.get(deposit.payin_id) if deposit.payin_id else None

    def change(self, payin: Payin, change: PayinChange) -> None:
        """Note the change of an order that is `payin` from now on."""
        self.payin_changes.append(change)
        self.payins[payin.payin_id] = payin


def judge_deposit(registry: Registry, payin: Payin, deposit: Deposit, *, earlier_units: int) -> Judgement:
    """Judge a deposit against its order by the rules of `payins.model`."""
    assert payin.asset is not None, "an address without an asset"
    money = Arrived(
        asset=deposit.asset,
        network=deposit.network,
        units=deposit.units,
        arrival=deposit.arrival,
        first_block_at=deposit.first_block_at,
        grace=registry.networks[deposit.network].grace,
    )
    order_network = registry.assets[payin.asset].network
    return judge(payin, money, order_network=order_network, earlier_units=earlier_units)


def see(batch: Batch, deposit: Deposit) -> None:
    """Take an arrival in: its order confirms while the money may complete it, and is labelled otherwise."""
    event = DepositEvent.SEEN
    change = DepositChange(deposit.deposit_id, event, deposit.state, deposit.state, cause=f"block {deposit.height}")
    batch.deposit_changes.append(change)
    batch.new[deposit.deposit_id] = deposit
    payin = batch.payin_of(deposit)
    if payin is None:
        return
    if not deposit.label:
        batch.hopeful.setdefault(payin.payin_id, set()).add(deposit.deposit_id)
    seen = _seen_change(payin, deposit)
    batch.change(replace(payin, state=seen.after, labels=payin.labels | seen.labels), seen)


def _seen_change(payin: Payin, deposit: Deposit) -> PayinChange:
    if deposit.label:
        label = Label(deposit.label)
        return PayinChange(payin, PayinEvent.LABELLED, payin.state, frozenset({label}), cause=deposit.txid)
    if PAYIN.allows(payin.state, PayinEvent.SEEN):
        return PayinChange(payin, PayinEvent.SEEN, PAYIN.next(payin.state, PayinEvent.SEEN), cause=deposit.txid)
    return PayinChange(payin, PayinEvent.LABELLED, payin.state, cause=deposit.txid)


def finalize(batch: Batch, deposit: Deposit, height: int) -> Deposit:
    """Note that an arrival of this transaction is final already; return it so."""
    return _move(batch, deposit, DepositEvent.FINALIZED, cause=f"final {height}")


def quarantine(batch: Batch, deposit: Deposit, reason: str) -> None:
    """Hold final money back for a person."""
    _move(batch, deposit, DepositEvent.HELD, cause=reason)
    batch.moves.append(_money(batch, Way.QUARANTINE, deposit))
    payin = batch.payin_of(deposit)
    if payin is not None:
        _give_up(batch, payin, deposit, Label.QUARANTINED, cause=reason)


def decide(batch: Batch, registry: Registry, deposit: Deposit) -> None:
    """Give final money that screening let through its end: it completes its order, or is put aside with its label."""
    deposit = _move(batch, deposit, DepositEvent.PASSED)
    payin = batch.payin_of(deposit)
    if payin is None:
        _put_aside(batch, deposit, "")
        return
    parts = [part for part in batch.parts.get(payin.payin_id, ()) if part.asset == deposit.asset]
    judgement = judge_deposit(registry, payin, deposit, earlier_units=sum(part.units for part in parts))
    if judgement.label is None:
        short = [part for part in parts if judgement.is_sum and part.state is DepositState.UNASSIGNED]
        complete(batch, payin, [*short, deposit], PayinEvent.COMPLETED)
        return
    label = Label(deposit.label) if deposit.label else judgement.label  # what it was called at sight, it stays
    aside = _put_aside(batch, deposit, label)
    _give_up(batch, payin, deposit, label, cause=deposit.txid)
    if label is Label.SHORT and payin.payin_id in batch.parts:
        batch.parts[payin.payin_id].append(aside)


def complete(batch: Batch, payin: Payin, parts: Sequence[Deposit], event: PayinEvent, *, by: str = "") -> None:
    """Credit `parts` and let the order be paid by them and by what still stands of an earlier payment.

    `by` is the person who decided so, "" where a rule did; both histories name them.
    """
    last = parts[-1]
    fees = _fees(parts, payin.fee_ppm)
    _credit_parts(batch, parts, fees, by)
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
    change = PayinChange(
        payin,
        happened,
        after.state,
        unlabels=unlabels,
        accepted_units=after.accepted_units,
        fee_units=after.fee_units,
        deposit_id=last.deposit_id,
        cause=f"{by}: {last.txid}" if by else last.txid,
    )
    batch.change(after, change)
    batch.parts.pop(payin.payin_id, None)
    if happened is not PayinEvent.RESTORED:  # its merchant was told before; to him it never stopped being paid
        batch.outcomes.append(Outcome(after, last))


def _put_aside(batch: Batch, deposit: Deposit, label: str) -> Deposit:
    batch.moves.append(_money(batch, Way.PUT_ASIDE, deposit))
    return _move(batch, deposit, DepositEvent.PUT_ASIDE, label=label)


def _give_up(batch: Batch, payin: Payin, deposit: Deposit, label: Label, *, cause: str) -> None:
    """Label an order with money that did not complete it; one that waited for no other money is open again."""
    hopeful = batch.hopeful.get(payin.payin_id, set())
    hopeful.discard(deposit.deposit_id)
    is_hopeless = not hopeful and PAYIN.allows(payin.state, PayinEvent.DROPPED)
    event = PayinEvent.DROPPED if is_hopeless else PayinEvent.LABELLED
    after = replace(payin, state=PAYIN.next(payin.state, event), labels=payin.labels | {label})
    batch.change(after, PayinChange(payin, event, after.state, frozenset({label}), cause=cause))


def _fees(parts: Sequence[Deposit], fee_ppm: int) -> list[int]:
    """Share the fee of the whole among its parts; none bears more than it is worth, and they add up exactly."""
    totals = accumulate((part.units for part in parts), initial=0)
    shares = [share_down(units, fee_ppm) for units in totals]
    return [after - before for before, after in pairwise(shares)]


def _credit_parts(batch: Batch, parts: Sequence[Deposit], fees: Sequence[int], by: str) -> None:
    for part, fee in zip(parts, fees, strict=True):
        way = Way.ACCEPT if part.state is DepositState.UNASSIGNED else Way.CREDIT
        batch.moves.append(_money(batch, way, part, fee))
        _move(batch, part, DepositEvent.CREDITED, label="", fee_units=fee, cause=by)


def _settled_labels(payin: Payin, parts: Sequence[Deposit], event: PayinEvent) -> frozenset[Label]:
    # Short money that was added up is no longer odd; what a person accepted stays visible as what it was.
    added = {Label.SHORT} if len(parts) > 1 and event is PayinEvent.COMPLETED else set()
    return payin.labels & {Label.REVERSED, *added}


def _money(batch: Batch, way: Way, deposit: Deposit, fee_units: int = 0) -> Money:
    return Money(way, deposit, fee_units, is_new=deposit.deposit_id in batch.new)


def _move(
    batch: Batch,
    deposit: Deposit,
    event: DepositEvent,
    *,
    label: str | None = None,
    fee_units: int = 0,
    cause: str = "",
) -> Deposit:
    """Move a deposit along its state table, with a new label or a fee where it gets one; return it as it is then."""
    state = DEPOSIT.next(deposit.state, event)
    after = replace(
        deposit, state=state, label=deposit.label if label is None else label, fee_units=fee_units or deposit.fee_units
    )
    change = DepositChange(deposit.deposit_id, event, deposit.state, state, after.label, after.fee_units, cause)
    batch.deposit_changes.append(change)
    if after.deposit_id in batch.new:
        batch.new[after.deposit_id] = after
    return after
