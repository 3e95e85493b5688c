"""What became of a transaction of ours: found in a block, delivered or not, or dead beyond doubt.

TRON has no fee bump and no nonce. A transaction that no block holds may still get into one until the parent of that
block is as late as its expiration; a new one may be made only after that (THREATS PAY-20).
"""

from dataclasses import dataclass
from functools import partial

from bitlinkpay.chains.base import BlockRef, ChainError, FateState, GapError
from bitlinkpay.chains.outgoing import LOANS, Intent, Outcome, Signed
from bitlinkpay.chains.tron.access import Placed, TronAccess
from bitlinkpay.chains.tron.node import Api, TronNode
from bitlinkpay.chains.tron.plan import TronPlan
from bitlinkpay.chains.tron.proof import Unproven, check_ids, is_proven
from bitlinkpay.chains.tron.sealed import stand
from bitlinkpay.chains.tron.wire import milliseconds


async def outcome_of(access: TronAccess, intent: Intent, signed: Signed) -> Outcome:
    """Return what became of it; `UNKNOWN` is no proof of death.

    The final block is asked for first: what is read below it is then the solidified state's word (THREATS TRX-02).
    """
    final = (await access.finality.head()).final
    placed = await access.find(signed.txid)
    if placed is None:
        is_pending = await access.is_pending(signed.txid)
        return Outcome(FateState.PENDING if is_pending else FateState.UNKNOWN, signed.txid)
    if placed.ref.height > final.height:
        return Outcome(FateState.MINED, signed.txid, placed.ref, placed.fee_units)
    state = FateState.FINAL if placed.is_success else FateState.FAILED
    return Outcome(state, signed.txid, placed.ref, placed.fee_units, (_is_delivered(intent, placed),))


def _is_delivered(intent: Intent, placed: Placed) -> bool:
    """Say whether the payment arrived: a token that answers "false" moves nothing and fails nothing."""
    (payment,) = intent.payments
    if intent.purpose in LOANS:
        return placed.is_success
    wanted = (payment.asset, payment.source.address, payment.target, payment.units)
    return any((t.asset, t.source, t.target, t.units) == wanted for t in placed.transfers)


@dataclass(frozen=True, slots=True)
class _Passed:
    """A final block, as far as it matters whether it holds a transaction."""

    ref: BlockRef
    parent: str
    holds: bool
    is_proven: bool


async def is_dead(access: TronAccess, plan: TronPlan, signed: Signed) -> bool:
    """Return True only if every block that could hold it is final and none does.

    An endpoint that knows no such transaction may just have forgotten it, so the blocks themselves are read: all from
    the one that the plan refers to up to the first that is as late as the expiration, whole and by their own hashes.

    Raises:
        ChainError: they can't be read, or are no chain that the plan refers to.
    """
    final = (await access.finality.head()).final
    if milliseconds(final) < plan.expiration_ms or await access.find(signed.txid) is not None:
        return False
    parent = plan.ref_id.hex()
    for height in range(plan.ref_height + 1, final.height + 1):
        block = await access.quorum.agree(partial(_pass, height=height, txid=signed.txid))
        if block.parent != parent:
            raise ChainError(f"block {height} does not follow the one before it")
        if not block.is_proven and access.operators == 1:
            raise Unproven(f"block {height} does not hash to its root: one endpoint is not believed that it is whole")
        if block.holds:
            return False
        if milliseconds(block.ref) >= plan.expiration_ms:
            return True
        parent = block.ref.hash
    raise ChainError(f"block {final.height} is final, late enough, and not among those that were read")


async def _pass(node: TronNode, *, height: int, txid: str) -> _Passed:
    raw = await node.block(Api.SOLID, height)
    ref = stand(raw)
    if ref is None or ref.height != height or raw.header is None:
        raise GapError(f"{node.label} has no final block {height}")
    header = raw.header.raw_data
    is_whole = is_proven(raw, header, check_ids(raw, header))
    return _Passed(ref, header.parent_hash, any(tx.id == txid for tx in raw.transactions), is_whole)
