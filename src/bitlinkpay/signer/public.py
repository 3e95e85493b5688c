"""Typed door to public derivation (BIP-32 on secp256k1) in libwally: all that address-giving processes may import."""

from typing import Final

import wallycore

# No fingerprints of parents: only keys are asked.
_PUBLIC: Final = wallycore.BIP32_FLAG_KEY_PUBLIC | wallycore.BIP32_FLAG_SKIP_HASH


class DepositNode:
    """The public node of chain 0 below an account's extended public key: its child `i` is deposit key `i`.

    Raises:
        ValueError: not an extended public key.
    """

    def __init__(self, xpub: str) -> None:
        self._chain = wallycore.bip32_key_from_parent(wallycore.bip32_key_from_base58(xpub), 0, _PUBLIC)

    def child(self, index: int) -> bytes:
        """Return the 33-byte public key of an index below 2**31."""
        key = wallycore.bip32_key_from_parent(self._chain, index, _PUBLIC)
        return bytes(wallycore.bip32_key_get_pub_key(key))
