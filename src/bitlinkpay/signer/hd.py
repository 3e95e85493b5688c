"""Typed doors to private keys in the untyped libraries `bip32` (BIP-32 on secp256k1) and `slip10` (SLIP-0010)."""

from collections.abc import Callable, Sequence
from typing import Protocol

import wallycore
from bip32 import BIP32
from slip10 import SLIP10

HARDENED = 0x80000000


class PrivateNode(Protocol):
    """A private extended key; paths are `m/44'/…` or a sequence of child numbers."""

    def get_xpub_from_path(self, path: str | Sequence[int]) -> str:
        """Return the extended public key at a path."""
        ...

    def get_privkey_from_path(self, path: str | Sequence[int]) -> bytes:
        """Return the 32-byte private key at a path."""
        ...

    def get_extended_privkey_from_path(self, path: str | Sequence[int]) -> tuple[bytes, bytes]:
        """Return chain code and private key at a path."""
        ...


_bip32_from_seed: Callable[[bytes, str], PrivateNode] = BIP32.from_seed
_slip10_from_seed: Callable[[bytes, str, str], PrivateNode] = SLIP10.from_seed
_bip32_node: Callable[[bytes, bytes], PrivateNode] = BIP32
_slip10_node: Callable[[bytes, bytes, None, bytes, int, int, str, str], PrivateNode] = SLIP10


def secp256k1_master(seed: bytes, *, testnet: bool = False) -> PrivateNode:
    """Return the BIP-32 master key; `testnet` only changes how extended keys are written (`tpub`)."""
    return _bip32_from_seed(seed, "test" if testnet else "main")


def secp256k1_node(chain_code: bytes, key: bytes) -> PrivateNode:
    """Rebuild a node on secp256k1 from its parts."""
    return _bip32_node(chain_code, key)


def secp256k1_public_key(key: bytes) -> bytes:
    """Return the 33-byte public key of a private one."""
    return bytes(wallycore.ec_public_key_from_private_key(key))


def ed25519_master(seed: bytes) -> PrivateNode:
    """Return the SLIP-0010 master key on Ed25519."""
    return _slip10_from_seed(seed, "main", "ed25519")


def ed25519_node(chain_code: bytes, key: bytes, *, depth: int) -> PrivateNode:
    """Rebuild a node on Ed25519 from its parts; it has hardened children only."""
    return _slip10_node(chain_code, key, None, bytes(4), depth, 0, "main", "ed25519")
