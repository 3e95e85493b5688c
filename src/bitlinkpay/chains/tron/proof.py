"""Recomputing a block from its own bytes: ids of transactions, the tree over them, the block's id.

The tree's leaves are whole transactions, `ret` included, so a proven block also proves how each contract call ended.
What executing it did (logs, inner calls, fees) stands in no hash: that is compared between endpoints.

The rules: java-tron's `BlockCapsule.getBlockId` and `calcMerkleRoot`, `MerkleTree.createTree`,
`TransactionCapsule.getMerkleHash`; messages of core/Tron.proto.
"""

from collections.abc import Sequence
from hashlib import sha256

from bitlinkpay.chains.base import EndpointFailed
from bitlinkpay.chains.tron.protobuf import data, message, number
from bitlinkpay.chains.tron.wire import ADDRESS_BYTES, HASH_BYTES, HeaderData, RawBlock, RawTransaction, Result, unhex

_NUMBER_BYTES = 8
_EMPTY_ROOT = bytes(HASH_BYTES)
_CODES = ("SUCESS", "FAILED")
_RESULTS = (
    "DEFAULT", "SUCCESS", "REVERT", "BAD_JUMP_DESTINATION", "OUT_OF_MEMORY", "PRECOMPILED_CONTRACT", "STACK_TOO_SMALL",
    "STACK_TOO_LARGE", "ILLEGAL_OPERATION", "STACK_OVERFLOW", "OUT_OF_ENERGY", "OUT_OF_TIME", "JVM_STACK_OVER_FLOW",
    "UNKNOWN", "TRANSFER_FAILED", "INVALID_CODE",
)  # fmt: skip


class Unproven(EndpointFailed):
    """What an endpoint sent as a block does not hash to the block's id."""


def block_id(header: HeaderData) -> str:
    """Return a block's id: its height, then the last 24 bytes of its header's hash.

    Raises:
        Malformed: a field that is not hex of its size.
    """
    raw = b"".join(
        (
            number(1, header.timestamp),
            data(2, unhex(header.tx_trie_root)),
            data(3, unhex(header.parent_hash, HASH_BYTES)),
            number(7, header.number),
            number(8, header.witness_id),
            data(9, unhex(header.witness_address)),
            number(10, header.version),
            data(11, unhex(header.account_state_root)),
        )
    )
    return (header.number.to_bytes(_NUMBER_BYTES, "big") + sha256(raw).digest()[_NUMBER_BYTES:]).hex()


def check_ids(block: RawBlock, header: HeaderData) -> tuple[bytes, ...]:
    """Recompute the ids of a block and of its transactions, and return the signed bytes of each transaction.

    Raises:
        Unproven: one is another.
        Malformed: no hex.
    """
    if block_id(header) != block.id:
        raise Unproven(f"block {header.number} does not hash to {block.id}")
    signed = tuple(unhex(tx.raw_data_hex) for tx in block.transactions)
    for tx, raw in zip(block.transactions, signed, strict=True):
        if sha256(raw).hexdigest() != tx.id:
            raise Unproven(f"transaction {tx.id} of block {header.number} has another id")
    return signed


def is_proven(block: RawBlock, header: HeaderData, signed: Sequence[bytes]) -> bool:
    """Say whether the transactions hash to the header's root.

    An honest node's may not, for its JSON leaves out what a sender put beside the fields that the protocol knows.
    """
    leaves = [sha256(transaction_bytes(tx, raw)).digest() for tx, raw in zip(block.transactions, signed, strict=True)]
    return tree_root(leaves) == unhex(header.tx_trie_root, HASH_BYTES)


def transaction_bytes(tx: RawTransaction, signed: bytes) -> bytes:
    """Return a transaction as it stands in the block.

    Raises:
        Malformed: no hex.
    """
    signatures = (message(2, unhex(signature)) for signature in tx.signature)
    return b"".join((message(1, signed), *signatures, *(message(5, _result(result)) for result in tx.ret)))


def _result(result: Result) -> bytes:
    return (
        number(1, result.fee) + number(2, _place(_CODES, result.ret)) + number(3, _place(_RESULTS, result.contract_ret))
    )


def _place(names: Sequence[str], name: str) -> int:
    """Return an enum's number; one that came after us is 0, and then the root tells."""
    return names.index(name) if name in names else 0


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root of java-tron's hash tree: pairs hashed level by level, one without a partner goes up as it is."""
    level = list(leaves)
    while len(level) > 1:
        level = [
            sha256(level[i] + level[i + 1]).digest() if i + 1 < len(level) else level[i]
            for i in range(0, len(level), 2)
        ]
    return level[0] if level else _EMPTY_ROOT


def is_address(raw: bytes) -> bool:
    """Say whether these are the 21 bytes of an account's address."""
    return len(raw) == ADDRESS_BYTES and raw[0] == 0x41  # noqa: PLR2004 - the version byte of every TRON network
