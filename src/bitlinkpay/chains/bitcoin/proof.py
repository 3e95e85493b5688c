"""Recompute what a node says of a block: its hash, the work behind it, and that its transactions are its header's.

A block that passes is exactly the block with this hash, whoever sent it; and on the main chain it has cost so much that
nobody makes one to cheat. So endpoints need to agree on hashes alone. Witnesses are not covered, and nothing uses them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bitlinkpay.chains.bitcoin.wire import Header, Malformed, RawBlock, sha256d

_MANTISSA_BITS: Final = 23
_MANTISSA: Final = (1 << _MANTISSA_BITS) - 1
_TARGET_BITS: Final = 256

MAIN_GENESIS: Final = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
_MAIN_FLOOR_HEIGHT: Final = 840_000
_MAIN_FLOOR_BITS: Final = 0x17034219  # difficulty of block 840,000 (April 2024)
_MAIN_FLOOR_SHARE: Final = 16  # later blocks may be this much easier before they are refused


class Unproven(Malformed):
    """The content of an answer is not what its header commits to, or the header carries too little work."""


@dataclass(frozen=True, slots=True)
class WorkRule:
    """The least work that a block of one chain must show.

    Attributes:
        limit: the easiest target (the higher, the easier) that the chain ever allows: that of its genesis block.
        is_main: whether this is Bitcoin's main chain, whose later blocks cannot be easy.
    """

    limit: int
    is_main: bool

    def target_max(self, height: int) -> int:
        """Return the easiest target allowed at a height."""
        if self.is_main and height >= _MAIN_FLOOR_HEIGHT:
            return target_of(_MAIN_FLOOR_BITS) * _MAIN_FLOOR_SHARE
        return self.limit


def target_of(bits: int) -> int:
    """Return the target of a header's compact form (Bitcoin Core, `arith_uint256::SetCompact`).

    Raises:
        Unproven: negative, zero or more than 256 bits.
    """
    exponent, mantissa = bits >> 24, bits & _MANTISSA
    target = mantissa << 8 * (exponent - 3) if exponent >= 3 else mantissa >> 8 * (3 - exponent)  # noqa: PLR2004
    if bits >> _MANTISSA_BITS & 1 or not 0 < target < 1 << _TARGET_BITS:
        raise Unproven("a node sent a header with an impossible target")
    return target


def check_work(header: Header, target_max: int) -> None:
    """Check that the header's hash meets its own target, and the target the chain's rule.

    Raises:
        Unproven: it does not.
    """
    target = target_of(header.bits)
    if target > target_max:
        raise Unproven(f"block {header.hash} is easier than this chain allows")
    if int(header.hash, 16) > target:
        raise Unproven(f"block {header.hash} does not meet its own target")


def prove(block: RawBlock, block_hash: str, target_max: int) -> None:
    """Check that this is the block of that hash, whole and unaltered.

    A first transaction that is no coinbase would make room for transactions of 64 bytes that pass as inner nodes of
    the tree (Bitcoin Core, `IsBlockMutated`).

    Raises:
        Unproven: it is another block, or its transactions are not those of its header.
    """
    header = block.header
    if header.hash != block_hash:
        raise Unproven(f"a node sent block {header.hash} for {block_hash}")
    check_work(header, target_max)
    transactions = block.transactions
    if not transactions or not transactions[0].is_coinbase or any(tx.is_coinbase for tx in transactions[1:]):
        raise Unproven(f"block {block_hash} does not begin with its one coinbase transaction")
    if merkle_root([tx.hash for tx in transactions]) != header.merkle_root:
        raise Unproven(f"block {block_hash}: its transactions are not those of its header")


def merkle_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root over transaction hashes.

    Raises:
        Unproven: two equal neighbours, by which one root stands for several lists (CVE-2012-2459).
    """
    level = list(hashes)
    while len(level) > 1:
        pairs = list(zip(level[::2], level[1::2], strict=False))
        if any(left == right for left, right in pairs):
            raise Unproven("a node sent a block with repeated transactions")
        if len(level) % 2:
            pairs.append((level[-1], level[-1]))
        level = [sha256d(left + right) for left, right in pairs]
    return level[0]
