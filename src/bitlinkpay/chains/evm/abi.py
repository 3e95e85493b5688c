"""The few forms of the contract ABI that we send: static words behind a selector, and one array of pairs."""

from collections.abc import Sequence

from bitlinkpay.chains.codec.abi import WORD_BYTES
from bitlinkpay.chains.codec.abi import word as padded
from bitlinkpay.chains.codec.evm import keccak256, to_bytes

_TRANSFER = keccak256(b"transfer(address,uint256)")[:4]


def word(value: int) -> bytes:
    """Return an unsigned number as one word."""
    return value.to_bytes(WORD_BYTES, "big")


def address_word(address: str) -> bytes:
    """Return a canonical address as one word."""
    return padded(to_bytes(address))


def transfer(target: str, units: int) -> bytes:
    """Return the call data of ERC-20 `transfer`."""
    return _TRANSFER + address_word(target) + word(units)


def with_pairs(selector: bytes, head: Sequence[bytes], pairs: Sequence[tuple[str, int]]) -> bytes:
    """Return the call data of a function whose last parameter is an `(address,uint256)[]`.

    Args:
        selector: four bytes.
        head: the parameters before it, one word each.
        pairs: canonical address and number of each item.
    """
    body = b"".join(address_word(account) + word(units) for account, units in pairs)
    offset = word(WORD_BYTES * (len(head) + 1))
    return selector + b"".join(head) + offset + word(len(pairs)) + body
