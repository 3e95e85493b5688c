"""Typed door to public derivation in the untyped library `bip32`: all that address-giving processes may import."""

from collections.abc import Callable, Sequence
from typing import Protocol

from bip32 import BIP32


class PublicNode(Protocol):
    """A public extended key."""

    def get_pubkey_from_path(self, path: str | Sequence[int]) -> bytes:
        """Return the 33-byte public key at an unhardened path."""
        ...

    def get_extended_pubkey_from_path(self, path: str | Sequence[int]) -> tuple[bytes, bytes]:
        """Return chain code and public key at an unhardened path."""
        ...


_bip32_from_xpub: Callable[[str], PublicNode] = BIP32.from_xpub
_bip32_public: Callable[[bytes, None, bytes], PublicNode] = BIP32


def secp256k1_public(xpub: str) -> PublicNode:
    """Read an extended public key."""
    return _bip32_from_xpub(xpub)


def deposit_node(xpub: str) -> PublicNode:
    """Return the public node of chain 0 below an account's extended public key: its child `i` is deposit key `i`."""
    return _bip32_public(*_chain_zero(xpub))


def _chain_zero(xpub: str) -> tuple[bytes, None, bytes]:
    chain_code, key = _bip32_from_xpub(xpub).get_extended_pubkey_from_path([0])
    return chain_code, None, key
