"""Known answers, checked each time before keys are made or used: BIP-32, SLIP-0010, BIP-84, EIP-55, TRON, Solana, TON.

Sources: BIP-32 and SLIP-0010 test vector 1; BIP-84's own vector, and the first addresses that every wallet shows for
the BIP-39 test phrase "abandon … about" (its seed is below); the TON address of the Ed25519 key of RFC 8032, 7.1,
test 1, as `tonutils` computes it. The tests compare all of these with other libraries.
"""

from bitlinkpay.chains.address import deposit_address
from bitlinkpay.chains.ton.highload import wallet_address
from bitlinkpay.core.assets import Family
from bitlinkpay.signer.hd import ed25519_master, secp256k1_master
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.keys import derive_keyring
from bitlinkpay.signer.problems import SelfTestFailed
from bitlinkpay.signer.public import DepositNode

VECTOR_SEED = bytes.fromhex("000102030405060708090a0b0c0d0e0f")
BIP32_PATH = "m/0'/1/2'/2/1000000000"
BIP32_XPUB = (
    "xpub6H1LXWLaKsWFhvm6RVpEL9P4KfRZSW7abD2ttkWP3SSQvnyA8FSVqNTEcYFgJS2UaFcxupHiYkro49S8yGasTvXEYBVPamhGW6cFJodrTHy"
)
SLIP10_PATH = "m/0'/1'/2'/2'/1000000000'"
SLIP10_KEY = "8f94d394a8e8fd6b1bc2f3f49f5c47e385281d5c17e65324b0f62483e37e8793"

PHRASE_SEED = bytes.fromhex(
    "5eb00bbddcf069084889a8ab9155568165f5c453ccb85e70811aaed6f6da5fc1"
    "9a5ac40b389cd370d086206dec8aa6c43daea6690f20ad3d8d48b2d2ce9e38e4"
)
PHRASE_ADDRESSES = {
    "evm": "0x9858EfFD232B4033E47d90003D41EC34EcaEda94",
    "tron": "TUEZSdKsoDHQMeZwihtdoBiN46zxhGWYdH",
    "bitcoin": "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu",
    "bitcoin_testnet": "tb1q6rz28mcfaxtmd6v789l9rrlrusdprr9pqcpvkl",
    "solana": "HAgk14JpMQLgt6rVgv7cBQFJWFto5Dqxi472uT3DKpqk",
}

TON_KEY = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
TON_WALLET = "0:07081ddbb5de7a2b002d98a2c42625cf9161741b5ac1afda9ca3463bc50eda1c"


def run() -> None:
    """Check every known answer.

    Raises:
        SelfTestFailed: one came out wrong; no key may be made or used.
    """
    _expect("BIP-32", secp256k1_master(VECTOR_SEED).get_xpub_from_path(BIP32_PATH), BIP32_XPUB)
    ed25519 = ed25519_master(VECTOR_SEED)
    _expect("SLIP-0010", ed25519.get_privkey_from_path(SLIP10_PATH).hex(), SLIP10_KEY)
    found = _first_addresses(derive_keyring(PHRASE_SEED))
    for name, address in PHRASE_ADDRESSES.items():
        _expect(f"first {name} address", found[name], address)
    _expect("TON wallet", wallet_address(TON_KEY), TON_WALLET)


def _first_addresses(ring: KeyRing) -> dict[str, str]:
    def first(account: str, family: Family, *, testnet: bool = False) -> str:
        return deposit_address(family, testnet, DepositNode(account).child(0))

    return {
        "evm": first(ring.evm, Family.EVM),
        "tron": first(ring.tron, Family.TRON),
        "bitcoin": first(ring.bitcoin, Family.BITCOIN),
        "bitcoin_testnet": first(ring.bitcoin_testnet, Family.BITCOIN, testnet=True),
        "solana": ring.solana_zero,
    }


def _expect(name: str, found: str, expected: str) -> None:
    if found != expected:
        raise SelfTestFailed(name)
