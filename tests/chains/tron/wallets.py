"""Keys of people who pay on the test network, and the keys that a signer would hold for us."""

from dataclasses import dataclass
from hashlib import sha256

import wallycore
from eth_account import Account
from eth_keys.datatypes import Signature
from tests.chains.tron import messages

from bitlinkpay.chains.codec.tron import from_bytes, from_public_key
from bitlinkpay.chains.outgoing import KeyRole, Wallet
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.signer.problems import ForeignAsset, ForeignWallet


@dataclass(frozen=True)
class Payer:
    """Someone with a key."""

    key: bytes

    @classmethod
    def named(cls, name: str) -> "Payer":
        return cls(sha256(name.encode()).digest())

    @property
    def address(self) -> str:
        return from_public_key(bytes(wallycore.ec_public_key_from_private_key(self.key)))

    @property
    def account(self) -> bytes:
        """The 20 bytes by which the network's machine knows it."""
        return bytes.fromhex(Account.from_key(self.key).address[2:])

    @property
    def owner(self) -> bytes:
        return b"\x41" + self.account

    def sign(self, raw: messages.Message) -> bytes:
        """Return the bytes of a signed transaction, signed by another library than ours."""
        digest = sha256(raw.SerializeToString()).digest()
        signature = Account.unsafe_sign_hash(digest, self.key)
        tail = bytes([signature.v - 27])
        both = signature.r.to_bytes(32, "big") + signature.s.to_bytes(32, "big") + tail
        return messages.new("Transaction", raw_data=raw, signature=[both]).SerializeToString()


def signer_of(digest: bytes, signature: bytes) -> bytes:
    """Return the 20 bytes of the account whose key signed.

    Raises:
        ValueError: no signature.
    """
    if len(signature) < 65:
        raise ValueError(f"Signature size is {len(signature)}")
    place = signature[64] - 27 if signature[64] >= 27 else signature[64]
    try:
        key = Signature(signature[:64] + bytes([place])).recover_public_key_from_msg_hash(digest)
    except Exception as error:
        raise ValueError("no such signature") from error
    return key.to_canonical_address()


@dataclass
class HeldKeys:
    """The signer's door to keys (`signer.families.keys.Keys`), of a handful of named wallets."""

    network: Network
    assets: dict[str, Asset]
    payers: dict[str, Payer]

    def asset(self, asset_id: str) -> Asset:
        if asset_id not in self.assets:
            raise ForeignAsset(self.network.id, asset_id)
        return self.assets[asset_id]

    def private_key(self, wallet: Wallet) -> bytes:
        if wallet.address not in self.payers:
            raise ForeignWallet(self.network.id, wallet)
        return self.payers[wallet.address].key


def hot(payer: Payer, index: int = 0) -> Wallet:
    return Wallet(KeyRole.HOT, index, payer.address)


def deposit(payer: Payer, index: int = 0) -> Wallet:
    return Wallet(KeyRole.DEPOSIT, index, payer.address)


def canonical(account: bytes) -> str:
    return from_bytes(account)
