"""From the seed to keys: BIP-32 with BIP-44 and BIP-84 paths on secp256k1, SLIP-0010 on Ed25519.

Private keys live in local variables of these functions and in `SolanaBranch`; Python cannot erase memory for certain,
so what protects them is the process they live in (`hardening`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nacl.signing import SigningKey

from bitlinkpay.chains.address import deposit_address
from bitlinkpay.core.assets import Family
from bitlinkpay.signer.hd import HARDENED, ed25519_master, ed25519_node, secp256k1_master
from bitlinkpay.signer.keyring import FIRST_POOL, KeyRing, PoolAddress
from bitlinkpay.signer.ton import wallet_address

SEED_BYTES = 64  # what BIP-39 makes and the most that BIP-32 takes
HIGHEST_INDEX = 2**31 - 1

EVM_PATH = "m/44'/60'/0'"
TRON_PATH = "m/44'/195'/0'"
BITCOIN_PATH = "m/84'/0'/0'"
BITCOIN_TESTNET_PATH = "m/84'/1'/0'"
SOLANA_PATH = "m/44'/501'"  # then /index'/0'
TON_PATH = "m/44'/607'/0'"


def new_seed() -> bytes:
    """Return 64 bytes from the kernel's generator."""
    return os.urandom(SEED_BYTES)


@dataclass(frozen=True, slots=True)
class SolanaBranch:
    """The private node `m/44'/501'`: all that the running signer keeps of the seed, to derive pool addresses ahead."""

    chain_code: bytes = field(repr=False)
    key: bytes = field(repr=False)

    @classmethod
    def of(cls, seed: bytes) -> "SolanaBranch":
        """Derive the branch."""
        chain_code, key = ed25519_master(seed).get_extended_privkey_from_path(SOLANA_PATH)
        return cls(chain_code, key)

    def private_key(self, index: int) -> bytes:
        """Return the 32-byte Ed25519 private key (RFC 8032 seed) of an index."""
        node = ed25519_node(self.chain_code, self.key, depth=2)
        return node.get_privkey_from_path([index | HARDENED, HARDENED])

    def pool(self, first: int, count: int) -> tuple[PoolAddress, ...]:
        """Derive `count` addresses from index `first` on."""
        return tuple(PoolAddress(index, self._address(index)) for index in range(first, first + count))

    def _address(self, index: int) -> str:
        public_key = bytes(SigningKey(self.private_key(index)).verify_key)
        return deposit_address(Family.SOLANA, False, public_key)


def derive_keyring(seed: bytes, floors: Mapping[str, int] | None = None) -> KeyRing:
    """Derive every public key that the other processes need."""
    lowest = dict(floors or {})
    main, test = secp256k1_master(seed), secp256k1_master(seed, testnet=True)
    ton_key = _ton_public_key(seed)
    branch = SolanaBranch.of(seed)
    ring = KeyRing(
        fingerprint="",
        evm=main.get_xpub_from_path(EVM_PATH),
        tron=main.get_xpub_from_path(TRON_PATH),
        bitcoin=main.get_xpub_from_path(BITCOIN_PATH),
        bitcoin_testnet=test.get_xpub_from_path(BITCOIN_TESTNET_PATH),
        ton_key=ton_key.hex(),
        ton_wallet=wallet_address(ton_key),
        solana_zero=branch.pool(0, 1)[0].address,
        solana=branch.pool(lowest.get(Family.SOLANA, 0), FIRST_POOL),
        floors=lowest,
    )
    return replace(ring, fingerprint=ring.digest())


def recover_private_key(seed: bytes, family: Family, index: int, *, testnet: bool = False) -> bytes:
    """Return the 32-byte private key that controls a deposit address, for recovery and (later) for signing.

    TON has one wallet: every index gives its key.
    """
    assert 0 <= index <= HIGHEST_INDEX
    match family:
        case Family.EVM:
            return _secp256k1_key(seed, EVM_PATH, index)
        case Family.TRON:
            return _secp256k1_key(seed, TRON_PATH, index)
        case Family.BITCOIN:
            return _secp256k1_key(seed, BITCOIN_TESTNET_PATH if testnet else BITCOIN_PATH, index)
        case Family.SOLANA:
            return SolanaBranch.of(seed).private_key(index)
        case Family.TON:
            return _ton_private_key(seed)


def _secp256k1_key(seed: bytes, account: str, index: int) -> bytes:
    return secp256k1_master(seed).get_privkey_from_path(f"{account}/0/{index}")


def _ton_private_key(seed: bytes) -> bytes:
    return ed25519_master(seed).get_privkey_from_path(TON_PATH)


def _ton_public_key(seed: bytes) -> bytes:
    return bytes(SigningKey(_ton_private_key(seed)).verify_key)
