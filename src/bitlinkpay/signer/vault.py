"""What the running signer keeps of the seed: the branches that it signs from, never the seed itself.

One branch per family and role (a node of BIP-32 or SLIP-0010), the TON key. A private key is derived for one signature
and let go with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import assert_never

from nacl.signing import SigningKey

from bitlinkpay.chains.address import deposit_address
from bitlinkpay.chains.outgoing import KeyRole, Wallet
from bitlinkpay.chains.ton.highload import wallet_address
from bitlinkpay.core.assets import Family, Network
from bitlinkpay.signer.hd import PrivateNode, secp256k1_master, secp256k1_node, secp256k1_public_key
from bitlinkpay.signer.keyring import HOT_WALLETS
from bitlinkpay.signer.keys import HIGHEST_INDEX, SECP256K1_PATHS, SolanaBranch, account_path, ton_private_key
from bitlinkpay.signer.problems import ForeignWallet

_Place = tuple[Family, bool, KeyRole]


@dataclass(frozen=True, slots=True)
class Vault:
    """Private branches of one seed.

    Attributes:
        secp256k1: node of chain 0 by family, whether it is a test network, and role; its child `i` is key `i`.
        solana: the branch of all Solana keys.
        ton: the key of the one TON wallet.
    """

    secp256k1: Mapping[_Place, PrivateNode] = field(repr=False)
    solana: SolanaBranch = field(repr=False)
    ton: bytes = field(repr=False)

    @classmethod
    def of(cls, seed: bytes) -> "Vault":
        """Derive every branch."""
        master = secp256k1_master(seed)
        nodes = {
            (family, testnet, role): secp256k1_node(
                *master.get_extended_privkey_from_path(f"{account_path(coin, role)}/0")
            )
            for (family, testnet), coin in SECP256K1_PATHS.items()
            for role in KeyRole
        }
        return cls(MappingProxyType(nodes), SolanaBranch.of(seed), ton_private_key(seed))

    def private_key(self, network: Network, wallet: Wallet) -> bytes:
        """Return the 32-byte private key of a wallet of ours.

        Raises:
            ForeignWallet: there is no such wallet, or its key gives another address.
        """
        if not _exists(network.family, wallet):
            raise ForeignWallet(network.id, wallet)
        key = self._key(network, wallet)
        if _address(network, key) != wallet.address:
            raise ForeignWallet(network.id, wallet)
        return key

    def _key(self, network: Network, wallet: Wallet) -> bytes:
        match network.family:
            case Family.EVM | Family.TRON | Family.BITCOIN:
                testnet = network.testnet and network.family is Family.BITCOIN
                return self.secp256k1[network.family, testnet, wallet.role].get_privkey_from_path([wallet.index])
            case Family.SOLANA:
                return self.solana.private_key(wallet.index, wallet.role)
            case Family.TON:
                return self.ton
            case _:
                assert_never(network.family)


def _exists(family: Family, wallet: Wallet) -> bool:
    if family is Family.TON:
        return (wallet.role, wallet.index) == (KeyRole.HOT, 0)
    return 0 <= wallet.index <= (HOT_WALLETS - 1 if wallet.role is KeyRole.HOT else HIGHEST_INDEX)


def _address(network: Network, key: bytes) -> str:
    match network.family:
        case Family.EVM | Family.TRON | Family.BITCOIN:
            return deposit_address(network.family, network.testnet, secp256k1_public_key(key))
        case Family.SOLANA:
            return deposit_address(network.family, network.testnet, bytes(SigningKey(key).verify_key))
        case Family.TON:
            return wallet_address(bytes(SigningKey(key).verify_key))
        case _:
            assert_never(network.family)
