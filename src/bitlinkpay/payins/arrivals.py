"""What the chains bring: blocks observed, money recorded, finality noted, blocks taken back.

Every function works inside the caller's one transaction, together with the cursor: an exception stops the cursor.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime
from typing import Final

from bitlinkpay.chains.base import Block, BlockRef, Transfer
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Network
from bitlinkpay.core.ids import DepositId, PayinId, new_uuid7
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits import store as deposits_store
from bitlinkpay.deposits.changes import store as changes_store
from bitlinkpay.deposits.journal import store as journal
from bitlinkpay.deposits.model import (
    DEPOSIT,
    Deposit,
    DepositChange,
    DepositEvent,
    DepositState,
    Lease,
    Sighting,
    TransferKey,
    Watched,
)
from bitlinkpay.deposits.own import store as own_store
from bitlinkpay.payins import books, store
from bitlinkpay.payins.decisions import Batch, decide, finalize, judge_deposit, see
from bitlinkpay.payins.model import PAYIN, Label, Payin, PayinEvent
from bitlinkpay.payins.settling import begin, write
from bitlinkpay.payins.store import PayinChange
from bitlinkpay.risk import service as risk
from bitlinkpay.risk.model import Verdict

_QUARANTINED: Final = frozenset({Label.QUARANTINED})


async def sight(tx: Tx, network: Network, arrived: Sequence[tuple[Block, Transfer]], now: datetime) -> list[Deposit]:
    """Return what of it arrived at addresses of ours, as deposits to be recorded; nothing is written."""
    watched = await _match(tx, network, [transfer for _, transfer in arrived])
    ours = [(block, transfer) for block, transfer in arrived if (transfer.target, transfer.tag) in watched]
    ours = await _from_outside(tx, network, ours, watched) if ours else []
    return [  # rising ids tell the order of sight
        _deposit(DepositId(new_uuid7()), network, one, watched[one[1].target, one[1].tag], now) for one in ours
    ]


async def _match(tx: Tx, network: Network, transfers: Sequence[Transfer]) -> Mapping[tuple[str, str], Watched]:
    targets = [transfer.target for transfer in transfers]
    found = await deposits_store.match(tx, network.family, targets, [transfer.tag for transfer in transfers])
    return {(watched.target, watched.tag): watched for watched in found}


async def _from_outside(
    tx: Tx,
    network: Network,
    arrived: Sequence[tuple[Block, Transfer]],
    watched: Mapping[tuple[str, str], Watched],
) -> list[tuple[Block, Transfer]]:
    """Leave out what our own transactions bring to ourselves (sweeps, gas, change); a payout may pay an order."""
    own = await own_store.find(tx, network.id, sorted({transfer.txid for _, transfer in arrived}))

    def is_internal(transfer: Transfer) -> bool:
        if transfer.txid not in own:
            return False
        return not own[transfer.txid] or watched[transfer.target, transfer.tag].payin_id is None

    return [(block, transfer) for block, transfer in arrived if not is_internal(transfer)]


def _deposit(
    deposit_id: DepositId, network: Network, arrived: tuple[Block, Transfer], watched: Watched, now: datetime
) -> Deposit:
    block, transfer = arrived
    return Deposit(
        deposit_id=deposit_id,
        network=network.id,
        height=block.height,
        block_hash=block.hash,
        txid=transfer.txid,
        position=transfer.position,
        asset=transfer.asset,
        source=transfer.source,
        target=transfer.target,
        tag=transfer.tag,
        units=transfer.units,
        arrival=transfer.arrival,
        merchant_id=watched.merchant_id,
        payin_id=watched.payin_id,
        state=DepositState.SEEN,
        label="",
        fee_units=0,
        first_block_at=block.time,
        seen_at=now,
    )


async def observe(
    tx: Tx,
    registry: Registry,
    lease: Lease,
    *,
    blocks: Sequence[Block],
    sighted: Sequence[Deposit],
    cleared: Sequence[Verdict],
    final_height: int,
    now: datetime,
) -> None:
    """Record what contiguous verified blocks brought and move the cursor to the last of them.

    Args:
        tx: the open transaction.
        registry: networks and assets.
        lease: the watcher's right to move this network's cursor.
        blocks: ascending, linked by parent hash; the first one's parent is the cursor's block.
        sighted: what they brought to addresses of ours, see `sight`.
        cleared: verdicts that let some of it pass, see `record`.
        final_height: the chain's final height, read before the blocks were.
        now: business time.

    Raises:
        LostLease: another watcher moved the cursor; everything is thrown away.
    """
    final = min(final_height, blocks[-1].height)
    await journal.advance(tx, lease, blocks=blocks, final_height=final, now=now)
    await record(tx, registry, sighted, cleared=cleared, final_height=final, now=now)
    await finalize_seen(tx, lease.network, final, now)


async def record(
    tx: Tx,
    registry: Registry,
    sighted: Sequence[Deposit],
    *,
    cleared: Sequence[Verdict],
    final_height: int,
    now: datetime,
) -> list[Deposit]:
    """Record what arrived, each transfer once; return it as it stands now.

    What is not final stands as pending money. What is final, and is passed by a verdict in `cleared`, gets its end at
    once; the rest of the final money waits for `clearing`.
    """
    if not sighted:
        return []
    payins = await store.lock(tx, sorted({deposit.payin_id for deposit in sighted if deposit.payin_id}))
    known = await deposits_store.sightings(tx, sighted[0].network, sorted({deposit.txid for deposit in sighted}))
    fresh = _labelled(registry, _unknown(sighted, known), payins, await _earlier_units(tx, payins))
    batch = await begin(tx, payins)
    for deposit in fresh:
        see(batch, deposit)
    final = [finalize(batch, deposit, final_height) for deposit in fresh if deposit.height <= final_height]
    verdicts = {verdict.deposit_id: verdict for verdict in cleared}
    passed = _in_turn(batch, final, verdicts.keys())
    for deposit in passed:
        decide(batch, registry, deposit)
    await write(tx, registry, batch, now)
    await risk.keep(tx, [verdicts[deposit.deposit_id] for deposit in passed])
    return list(batch.new.values())


def _in_turn(batch: Batch, final: Sequence[Deposit], cleared: AbstractSet[DepositId]) -> list[Deposit]:
    """Return the cleared money that no earlier money of its order waits before: what came first is decided first."""
    waiting = set(batch.waiting)
    passed: list[Deposit] = []
    for deposit in final:
        if deposit.deposit_id in cleared and deposit.payin_id not in waiting:
            passed.append(deposit)
        elif deposit.payin_id:
            waiting.add(deposit.payin_id)
    return passed


def _unknown(sighted: Sequence[Deposit], known: Mapping[TransferKey, Sighting]) -> list[Deposit]:
    """Return the transfers of which no row stands, once each, with the time at which they count as made."""
    fresh: dict[TransferKey, Deposit] = {}
    for deposit in sighted:
        before = known.get(deposit.key)
        if before is None:
            fresh.setdefault(deposit.key, deposit)
        elif not before.stands:
            made_at = before.made_at(deposit.first_block_at)
            fresh.setdefault(deposit.key, replace(deposit, first_block_at=made_at))
    return list(fresh.values())


async def _earlier_units(tx: Tx, payins: Mapping[PayinId, Payin]) -> dict[tuple[PayinId, str], int]:
    summing = sorted(key for key, payin in payins.items() if payin.policy.is_summing)
    return await deposits_store.sum_parts(tx, summing) if summing else {}


def _labelled(
    registry: Registry,
    deposits: Sequence[Deposit],
    payins: Mapping[PayinId, Payin],
    earlier: dict[tuple[PayinId, str], int],
) -> list[Deposit]:
    labelled: list[Deposit] = []
    for deposit in deposits:
        payin = payins.get(deposit.payin_id) if deposit.payin_id else None
        if payin is None:
            labelled.append(deposit)
            continue
        key = payin.payin_id, deposit.asset
        label = judge_deposit(registry, payin, deposit, earlier_units=earlier.get(key, 0)).label
        if label is Label.SHORT:
            earlier[key] = earlier.get(key, 0) + deposit.units
        labelled.append(replace(deposit, label=label) if label else deposit)
    return labelled


async def finalize_seen(tx: Tx, network: str, height: int, now: datetime) -> int:
    """Move seen deposits at or below a final height on to screening; return how many."""
    assert DEPOSIT.next(DepositState.SEEN, DepositEvent.FINALIZED) is DepositState.FINAL
    return await changes_store.finalize(tx, network, height, now)


async def rewind(tx: Tx, lease: Lease, to: BlockRef, now: datetime) -> list[Deposit]:
    """Take back every block above the ancestor `to`; return the deposits that had already been credited or put aside.

    Money not yet settled is dropped and its pending move undone. Settled money (a reorganisation deeper than
    finality) is reversed out of the merchant's balance, and what is missing there becomes the merchant's debt.

    Raises:
        LostLease: another watcher holds the lease.
    """
    await journal.rewind(tx, lease, to, now)
    payins = await store.lock(tx, await deposits_store.payins_above(tx, lease.network, to.height))
    above = await deposits_store.lock_above(tx, lease.network, to.height)
    gone = [deposit for deposit in above if DEPOSIT.allows(deposit.state, DepositEvent.DROPPED)]
    deep = [deposit for deposit in above if not DEPOSIT.allows(deposit.state, DepositEvent.DROPPED)]
    if above:
        changes = [_change(d, DepositEvent.DROPPED) for d in gone] + [_change(d, DepositEvent.REVERSED) for d in deep]
        await changes_store.save(tx, changes, now)
        await books.post_dropped(tx, gone, now)
        await books.post_reversed(tx, deep, now)
        await _take_back(tx, payins, above, now)
    return deep


async def _take_back(tx: Tx, payins: Mapping[PayinId, Payin], above: Sequence[Deposit], now: datetime) -> None:
    if not payins:
        return
    lost: dict[PayinId, list[Deposit]] = {}
    for deposit in above:
        if deposit.payin_id:
            lost.setdefault(deposit.payin_id, []).append(deposit)
    ids = sorted(payins)
    standing = await deposits_store.standing_labels(tx, ids)
    hopeful = {payin_id for payin_id, _, label in await deposits_store.list_unsettled(tx, ids) if not label}
    changes = [_taken_back(payins[key], lost[key], standing.get(key, set()), is_hopeful=key in hopeful) for key in ids]
    await store.save(tx, changes, now)


def _taken_back(payin: Payin, lost: Sequence[Deposit], standing: AbstractSet[str], *, is_hopeful: bool) -> PayinChange:
    """Return the change of an order whose deposits `lost` left the chain; `standing` are the labels of the others."""
    unlabels = _labels_of(lost) - {label for label in Label if label in standing}
    if any(d.state is DepositState.CREDITED and not d.label for d in lost):
        event, labels = PayinEvent.REVERSED, frozenset({Label.REVERSED})
    elif not is_hopeful and PAYIN.allows(payin.state, PayinEvent.DROPPED):
        event, labels = PayinEvent.DROPPED, frozenset[Label]()
    else:
        event, labels = PayinEvent.LABELLED, frozenset[Label]()
    after = PAYIN.next(payin.state, event)
    return PayinChange(payin, event, after, labels, unlabels, cause="its block left the chain")


def _labels_of(lost: Sequence[Deposit]) -> frozenset[Label]:
    labels = {Label(deposit.label) for deposit in lost if deposit.label}
    is_quarantined = any(deposit.state is DepositState.QUARANTINED for deposit in lost)
    return frozenset(labels) | (_QUARANTINED if is_quarantined else frozenset())


def _change(deposit: Deposit, event: DepositEvent) -> DepositChange:
    return DepositChange(
        deposit.deposit_id,
        event,
        deposit.state,
        DEPOSIT.next(deposit.state, event),
        label=deposit.label,
        fee_units=deposit.fee_units,
    )
