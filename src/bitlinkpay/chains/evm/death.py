"""Whether a transaction of ours can never take effect any more: the proof is the block that used up its nonce.

That an endpoint knows no such transaction proves nothing: a node that makes its index of transactions anew, or keeps
none of old ones, knows the account's nonce very well. So the block is searched in which the nonce passed ours, and read
as blocks are read for deposits: had ours taken effect, it would stand there.
"""

from bitlinkpay.chains.base import BlockRef, ChainError
from bitlinkpay.chains.evm.access import EvmAccess
from bitlinkpay.chains.evm.lookup import place_of
from bitlinkpay.chains.evm.node import EvmNode
from bitlinkpay.chains.evm.reader import Sealed
from bitlinkpay.chains.evm.state import pinned, read_state
from bitlinkpay.chains.evm.wire import quantity
from bitlinkpay.chains.rpc import Call


async def is_displaced(access: EvmAccess, payer: str, nonce: int, txid: str) -> bool:
    """Return True only if a final block used up the nonce of `payer` and does not hold `txid`.

    Where the state of that time can't be read any more (a pruned node), nothing is proved.

    Raises:
        ChainError: the quorum can't say where the chain stands.
    """
    final = (await access.finality.head()).final
    if await _count(access, payer, pinned(final.hash)) <= nonce:
        return False
    if await access.quorum.agree(lambda node: place_of(node, txid)) is not None:
        return False
    try:
        return await _passed_without(access, payer, nonce, txid, final)
    except ChainError:
        return False


async def _passed_without(access: EvmAccess, payer: str, nonce: int, txid: str, final: BlockRef) -> bool:
    height = await _passed_at(access, payer, nonce, final.height)

    def read(sealed: Sealed) -> tuple[str, str, bool]:
        return (
            sealed.block.hash,
            sealed.block.parent_hash,
            any(tx.hash.lower() == txid for tx in sealed.block.transactions),
        )

    ((block, parent, is_ours),) = await access.reader.read(height, height, read)
    before, after = [await _count(access, payer, pinned(at)) for at in (parent, block)]
    return before <= nonce < after and not is_ours


async def _passed_at(access: EvmAccess, payer: str, nonce: int, high: int) -> int:
    """Return the first height whose nonce is beyond ours; it is beyond ours at `high`. The search proves nothing."""
    low, step = high - 1, 1  # near the end first: only archives know old states
    while low > 0 and await _count(access, payer, hex(low)) > nonce:
        high, step = low, 2 * step
        low = max(0, high - step)
    while high - low > 1:
        middle = (low + high) // 2
        if await _count(access, payer, hex(middle)) > nonce:
            high = middle
        else:
            low = middle
    return high


async def _count(access: EvmAccess, payer: str, at: object) -> int:
    call = Call("eth_getTransactionCount", (payer, at))

    async def ask(node: EvmNode) -> int:
        (count,) = await read_state(node, [call])
        return quantity(count)

    return await access.quorum.agree(ask)
