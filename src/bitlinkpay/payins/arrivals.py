"""What the chains bring: blocks observed, money recorded, finality noted, blocks taken back.

Every function works inside the caller's one transaction, together with the cursor: an exception stops the cursor.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from bitlinkpay.chains.base import Block, BlockRef, Transfer
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Network
from bitlinkpay.core.ids import DepositId, PayinId, new_uuid7
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits import store as deposits_store
from bitlinkpay.deposits.journal import store as journal
from bitlinkpay.deposits.model import DEPOSIT, Deposit, DepositEvent, DepositState, Lease, Watched
from bitlinkpay.deposits.own import store as own_store
from bitlinkpay.deposits.store import DepositChange
from bitlinkpay.payins import books, store
from bitlinkpay.payins.model import PAYIN, Arrived, Judgement, Label, Payin, PayinEvent, judge
from bitlinkpay.payins.store import PayinChange

_QUARANTINED: Final = frozenset({Label.QUARANTINED})


@dataclass(frozen=True, slots=True)
class Observed:
    """What a batch of blocks held for us."""

    deposits: int
    finalized: int


async def observe(
    tx: Tx, registry: Registry, lease: Lease, *, blocks: Sequence[Block], final_height: int, now: datetime
) -> Observed:
    """Record what contiguous verified blocks brought and move the cursor to the last of them.

    Args:
        tx: the open transaction.
        registry: networks and assets.
        lease: the watcher's right to move this network's cursor.
        blocks: ascending, linked by parent hash; the first one's parent is the cursor's block.
        final_height: the chain's final height, read before the blocks were.
        now: business time.

    Raises:
        LostLease: another watcher moved the cursor; everything is thrown away.
    """
    network = registry.networks[lease.network]
    final = min(final_height, blocks[-1].height)
    await journal.advance(tx, lease, parent=blocks[0].parent, last=blocks[-1], final_height=final, now=now)
    await journal.write_journal(tx, network.id, blocks)
    arrived = [(block, transfer) for block in blocks for transfer in block.transfers]
    deposits = await record(tx, registry, network, arrived, now)
    return Observed(len(deposits), await finalize(tx, network.id, final, now))


async def record(
    tx: Tx, registry: Registry, network: Network, arrived: Sequence[tuple[Block, Transfer]], now: datetime
) -> list[Deposit]:
    """Record the transfers that arrived at addresses of ours: one row, one pending move, one event each."""
    if not arrived:
        return []
    watched = await _match(tx, network, [transfer for _, transfer in arrived])
    ours = [(block, transfer) for block, transfer in arrived if (transfer.target, transfer.tag) in watched]
    ours = await _from_outside(tx, network, ours, watched) if ours else []
    if not ours:
        return []
    found = _in_chain_order(
        [_deposit(network, block, transfer, watched[transfer.target, transfer.tag], now) for block, transfer in ours]
    )
    payins = await store.lock(tx, sorted({d.payin_id for d in found if d.payin_id}))
    sightings = await deposits_store.first_sightings(tx, network.id, sorted({d.txid for d in found}))
    found = [_sighted(deposit, sightings) for deposit in found]
    found = _labelled(registry, found, payins, await _earlier_units(tx, payins))
    fresh = await deposits_store.insert(tx, found, now)
    if fresh:
        await _note_seen(tx, fresh, payins, now)
    return fresh


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


def _deposit(network: Network, block: Block, transfer: Transfer, watched: Watched, now: datetime) -> Deposit:
    return Deposit(
        deposit_id=DepositId(new_uuid7()),
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


def _in_chain_order(found: Sequence[Deposit]) -> list[Deposit]:
    """Hand out rising ids, which tell the order of sight: made within one millisecond they are random."""
    ids = sorted(deposit.deposit_id for deposit in found)
    return [replace(deposit, deposit_id=made) for deposit, made in zip(found, ids, strict=True)]


def _sighted(deposit: Deposit, sightings: Mapping[tuple[str, str, str], datetime]) -> Deposit:
    first = sightings.get((deposit.txid, deposit.position, deposit.target), deposit.first_block_at)
    return replace(deposit, first_block_at=min(first, deposit.first_block_at))


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
        labelled.append(replace(deposit, label=label or ""))
    return labelled


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


async def _note_seen(tx: Tx, fresh: Sequence[Deposit], payins: Mapping[PayinId, Payin], now: datetime) -> None:
    seen = [
        DepositChange(d.deposit_id, DepositEvent.SEEN, DepositState.SEEN, DepositState.SEEN, cause=f"block {d.height}")
        for d in fresh
    ]
    await deposits_store.write_events(tx, seen, now)
    await books.post_seen(tx, fresh, now)
    changes: list[PayinChange] = []
    living = dict(payins)
    for deposit in fresh:
        if deposit.payin_id in living:
            payin = living[deposit.payin_id]
            changes.append(_seen_change(payin, deposit))
            living[payin.payin_id] = replace(payin, state=changes[-1].after)
    await store.save(tx, changes, now)


def _seen_change(payin: Payin, deposit: Deposit) -> PayinChange:
    if deposit.label:
        label = Label(deposit.label)
        return PayinChange(payin, PayinEvent.LABELLED, payin.state, frozenset({label}), cause=deposit.txid)
    if PAYIN.allows(payin.state, PayinEvent.SEEN):
        return PayinChange(payin, PayinEvent.SEEN, PAYIN.next(payin.state, PayinEvent.SEEN), cause=deposit.txid)
    return PayinChange(payin, PayinEvent.LABELLED, payin.state, cause=deposit.txid)


async def finalize(tx: Tx, network: str, height: int, now: datetime) -> int:
    """Move seen deposits at or below a final height on to screening; return how many."""
    moved = await deposits_store.finalize(tx, network, height, now)
    if moved:
        event, before, after = DepositEvent.FINALIZED, DepositState.SEEN, DepositState.FINAL
        assert DEPOSIT.next(before, event) is after
        changes = [DepositChange(deposit_id, event, before, after, cause=f"final {height}") for deposit_id in moved]
        await deposits_store.write_events(tx, changes, now)
    return len(moved)


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
        await deposits_store.save(tx, changes, now)
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
    hopeful = await deposits_store.list_hopeful(tx, ids)
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
