"""Where a transaction stands, as a quorum of endpoints sees it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from bitlinkpay.chains.base import BlockRef, GapError
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.rpc import Call
from bitlinkpay.chains.solana.node import SolanaNode, transaction_call
from bitlinkpay.chains.solana.transfers import block_ref, txid_of
from bitlinkpay.chains.solana.wire import FOUND, STATUSES, Found

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Place:
    """A transaction's slot, whether it took effect, and whether the slot is final.

    Attributes:
        slot: 0 while it is not final, since it may move.
        is_success: meaningless while it is not final.
    """

    slot: int
    is_success: bool
    is_final: bool


async def find_status(quorum: Quorum[SolanaNode], txid: str) -> Place | None:
    """Return where a transaction stands, None if nobody knows it.

    What one endpoint alone has seen in a block that is not final counts as seen; finality is agreed.
    """
    is_seen = False

    async def place(node: SolanaNode) -> Place | None:
        nonlocal is_seen
        call = Call("getSignatureStatuses", ([txid], {"searchTransactionHistory": True}))
        (answer,) = await node.ask([call], STATUSES)
        status = answer.value[0] if answer.value else None
        is_seen = is_seen or status is not None
        if status is None or not status.is_final:
            return None
        return Place(status.slot, status.is_success, is_final=True)

    placed = await quorum.agree(place)
    if placed is None and is_seen:
        return Place(0, is_success=False, is_final=False)
    return placed


async def find_final(
    quorum: Quorum[SolanaNode], txid: str, place: Place, extract: Callable[[Found], F]
) -> tuple[BlockRef, F]:
    """Return the block of a final transaction and what `extract` reads out of it, equal from a quorum.

    Raises:
        GapError: it does not stand where it was said to.
    """

    async def read(node: SolanaNode) -> tuple[BlockRef, F]:
        (found,) = await node.ask([transaction_call(txid)], FOUND)
        if found is None or found.slot != place.slot or txid_of(found) != txid:
            raise GapError(f"{node.label} does not show {txid} in slot {place.slot}")
        return block_ref(place.slot, await node.header(place.slot)), extract(found)

    return await quorum.agree(read)
