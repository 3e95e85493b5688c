"""Putting a frozen lane back to work, after a person has found out who used its key."""

from datetime import datetime

from bitlinkpay.chains.outgoing import Wallet
from bitlinkpay.db.driver import Tx
from bitlinkpay.sending.lanes import store
from bitlinkpay.sending.lanes.store import LaneRow
from bitlinkpay.sending.model import LaneBusy, LaneNotFrozen


async def thaw(tx: Tx, network: str, payer: Wallet, *, chain_number: int, by: str, now: datetime) -> LaneRow:
    """Let a frozen lane plan again; numbers that the chain has used up without us are skipped for ever.

    Args:
        tx: the open transaction.
        network: id of the network.
        payer: the lane's wallet.
        chain_number: the next number by the chain itself (`chains.outgoing.Lane.next_number`).
        by: who decided.
        now: business time.

    Raises:
        LaneNotFrozen: there is no such lane, or it works.
        LaneBusy: numbers would be skipped beside transactions that have not ended.
    """
    await store.lock(tx, network, payer.address)
    lane = await _find(tx, network, payer)
    if lane is None or not lane.frozen_reason:
        raise LaneNotFrozen(network, payer.address)
    if chain_number > lane.next_number and lane.running:
        raise LaneBusy(lane.running)
    await store.thaw(tx, network, payer.address, number=chain_number, cause=by, now=now)
    after = await _find(tx, network, payer)
    assert after is not None
    return after


async def _find(tx: Tx, network: str, payer: Wallet) -> LaneRow | None:
    rows = await store.list_all(tx)
    return next((row for row in rows if (row.network, row.payer.address) == (network, payer.address)), None)
