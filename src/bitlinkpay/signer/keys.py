"""From the seed to keys: BIP-32 with BIP-44 and BIP-84 paths on secp256k1, SLIP-0010 on Ed25519.

Deposit keys stand on account 0 of each family, keys of hot wallets on account 1: an extended public key together with
one private key below it gives the account away, and so a hot key never gives a deposit key away.

Private keys live in local variables of these functions, in `SolanaBranch` and in `vault.Vault`; Python cannot erase
memory for certain, so what protects them is the process they live in (`hardening`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from nacl.signing import SigningKey

from bitlinkpay.chains.address import deposit_address
from bitlinkpay.chains.outgoing import KeyRole
from bitlinkpay.chains.ton.highload import wallet_address
from bitlinkpay.core.assets import Family
from bitlinkpay.signer.hd import HARDENED, PrivateNode, ed25519_master, ed25519_node, secp256k1_master
from bitlinkpay.signer.keyring import FIRST_POOL, HOT_WALLETS, HotAddress, KeyRing, PoolAddress
from bitlinkpay.signer.public import DepositNode

SEED_BYTES = 64  # what BIP-39 makes and the most that BIP-32 takes
HIGHEST_INDEX = 2**31 - 1

EVM_PATH = "m/44'/60'"
TRON_PATH = "m/44'/195'"
BITCOIN_PATH = "m/84'/0'"
BITCOIN_TESTNET_PATH = "m/84'/1'"
SOLANA_PATH = "m/44'/501'"  # then /index'/account'
TON_PATH = "m/44'/607'/0'"  # the one wallet, deposits and payments alike

SECP256K1_PATHS: Mapping[tuple[Family, bool], str] = MappingProxyType(
    {
        (Family.EVM, False): EVM_PATH,
        (Family.TRON, False): TRON_PATH,
        (Family.BITCOIN, False): BITCOIN_PATH,
        (Family.BITCOIN, True): BITCOIN_TESTNET_PATH,
    }
)
"""By family and whether it is a test network; then /account'/0/index."""

ACCOUNTS: Mapping[KeyRole, int] = MappingProxyType({KeyRole.DEPOSIT: 0, KeyRole.HOT: 1})


def new_seed() -> bytes:
    """Return 64 bytes from the kernel's generator."""
    return os.urandom(SEED_BYTES)


@dataclass(frozen=True, slots=True)
class SolanaBranch:
    """The private node `m/44'/501'`: pool addresses are derived ahead from it, and it signs."""

    chain_code: bytes = field(repr=False)
    key: bytes = field(repr=False)

    @classmethod
    def of(cls, seed: bytes) -> "SolanaBranch":
        """Derive the branch."""
        chain_code, key = ed25519_master(seed).get_extended_privkey_from_path(SOLANA_PATH)
        return cls(chain_code, key)

    def private_key(self, index: int, role: KeyRole = KeyRole.DEPOSIT) -> bytes:
        """Return the 32-byte Ed25519 private key (RFC 8032 seed) of an index."""
        node = ed25519_node(self.chain_code, self.key, depth=2)
        return node.get_privkey_from_path([index | HARDENED, ACCOUNTS[role] | HARDENED])

    def pool(self, first: int, count: int) -> tuple[PoolAddress, ...]:
        """Derive `count` addresses from index `first` on."""
        return tuple(PoolAddress(index, self.address(index)) for index in range(first, first + count))

    def address(self, index: int, role: KeyRole = KeyRole.DEPOSIT) -> str:
        """Return the address of an index."""
        public_key = bytes(SigningKey(self.private_key(index, role)).verify_key)
        return deposit_address(Family.SOLANA, False, public_key)


def derive_keyring(seed: bytes, floors: Mapping[str, int] | None = None) -> KeyRing:
    """Derive every public key that the other processes need."""
    lowest = dict(floors or {})
    main, test = secp256k1_master(seed), secp256k1_master(seed, testnet=True)
    ton_key = _ton_public_key(seed)
    branch = SolanaBranch.of(seed)
    ring = KeyRing(
        fingerprint="",
        evm=main.get_xpub_from_path(account_path(EVM_PATH, KeyRole.DEPOSIT)),
        tron=main.get_xpub_from_path(account_path(TRON_PATH, KeyRole.DEPOSIT)),
        bitcoin=main.get_xpub_from_path(account_path(BITCOIN_PATH, KeyRole.DEPOSIT)),
        bitcoin_testnet=test.get_xpub_from_path(account_path(BITCOIN_TESTNET_PATH, KeyRole.DEPOSIT)),
        ton_key=ton_key.hex(),
        ton_wallet=wallet_address(ton_key),
        solana_zero=branch.address(0),
        solana=branch.pool(lowest.get(Family.SOLANA, 0), FIRST_POOL),
        floors=lowest,
    )
    return replace(ring, fingerprint=ring.digest(), hot=_hot_addresses(main, branch, ring.ton_wallet))


def account_path(coin: str, role: KeyRole) -> str:
    """Return the path of the account that the keys of a role stand on."""
    return f"{coin}/{ACCOUNTS[role]}'"


def recover_private_key(
    seed: bytes, family: Family, index: int, *, testnet: bool = False, role: KeyRole = KeyRole.DEPOSIT
) -> bytes:
    """Return the 32-byte private key that controls an address, for recovery.

    TON has one wallet: every index and role gives its key.
    """
    assert 0 <= index <= HIGHEST_INDEX
    match family:
        case Family.SOLANA:
            return SolanaBranch.of(seed).private_key(index, role)
        case Family.TON:
            return ton_private_key(seed)
        case _:
            coin = SECP256K1_PATHS[family, testnet and family is Family.BITCOIN]
            return secp256k1_master(seed).get_privkey_from_path(f"{account_path(coin, role)}/0/{index}")


def ton_private_key(seed: bytes) -> bytes:
    """Return the 32-byte Ed25519 private key of the TON wallet."""
    return ed25519_master(seed).get_privkey_from_path(TON_PATH)


def _ton_public_key(seed: bytes) -> bytes:
    return bytes(SigningKey(ton_private_key(seed)).verify_key)


def _hot_addresses(master: PrivateNode, branch: SolanaBranch, ton_wallet: str) -> tuple[HotAddress, ...]:
    found = [HotAddress(Family.TON, False, 0, ton_wallet)]
    for (family, testnet), coin in SECP256K1_PATHS.items():
        node = DepositNode(master.get_xpub_from_path(account_path(coin, KeyRole.HOT)))
        keys = [node.child(index) for index in range(HOT_WALLETS)]
        addresses = [deposit_address(family, testnet, key) for key in keys]
        found.extend(HotAddress(family, testnet, index, address) for index, address in enumerate(addresses))
    solana = [branch.address(index, KeyRole.HOT) for index in range(HOT_WALLETS)]
    return (*found, *(HotAddress(Family.SOLANA, False, index, address) for index, address in enumerate(solana)))
