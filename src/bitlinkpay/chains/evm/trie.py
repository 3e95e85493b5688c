"""The root of a Merkle Patricia trie over a list: what a header says of its transactions and receipts.

Yellow Paper, appendix D.
"""

from collections.abc import Sequence

from bitlinkpay.chains.codec.evm import keccak256
from bitlinkpay.chains.evm.rlp import encode_bytes, encode_int, encode_list

_Pair = tuple[bytes, bytes]  # path as one nibble a byte, value
_EMPTY = encode_bytes(b"")
_INLINE = 32


def list_root(values: Sequence[bytes]) -> bytes:
    """Return the trie root of `values`, each keyed by the RLP of its index."""
    if not values:
        return keccak256(_EMPTY)
    pairs = sorted((_nibbles(encode_int(i)), value) for i, value in enumerate(values))
    return keccak256(_node(pairs, 0))


def _nibbles(key: bytes) -> bytes:
    return bytes(nibble for byte in key for nibble in (byte >> 4, byte & 15))


def _node(pairs: Sequence[_Pair], depth: int) -> bytes:
    """Return the encoded node over sorted pairs that agree in their first `depth` nibbles.

    The RLP of an integer is never a prefix of another's, so no branch carries a value of its own.
    """
    first, last = pairs[0][0], pairs[-1][0]
    if len(pairs) == 1:
        return encode_list((_path(first[depth:], 0x20), encode_bytes(pairs[0][1])))
    fork = depth
    while first[fork] == last[fork]:
        fork += 1
    if fork > depth:
        return encode_list((_path(first[depth:fork], 0x00), _reference(_node(pairs, fork))))
    children = [_EMPTY] * 17
    start = 0
    for end in range(1, len(pairs) + 1):
        if end == len(pairs) or pairs[end][0][depth] != pairs[start][0][depth]:
            children[pairs[start][0][depth]] = _reference(_node(pairs[start:end], depth + 1))
            start = end
    return encode_list(children)


def _path(nibbles: bytes, kind: int) -> bytes:
    """Encode a path in hex-prefix form; `kind` is 0x20 for a leaf, 0 for an extension."""
    if len(nibbles) % 2:
        packed, nibbles = bytes((kind + 0x10 + nibbles[0],)), nibbles[1:]
    else:
        packed = bytes((kind,))
    return encode_bytes(packed + bytes(16 * high + low for high, low in zip(nibbles[::2], nibbles[1::2], strict=True)))


def _reference(node: bytes) -> bytes:
    return node if len(node) < _INLINE else encode_bytes(keccak256(node))
