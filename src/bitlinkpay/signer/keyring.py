"""The public half of our keys: everything that hands out addresses, nothing that can spend."""

import hashlib
from dataclasses import dataclass, field

import msgspec

from bitlinkpay.chains.outgoing import KeyRole, Wallet
from bitlinkpay.core.assets import Family, Network
from bitlinkpay.core.errors import Invalid, NotFound

FIRST_POOL = 256
HOT_WALLETS = 8  # hot wallets of each family; TON has one


@dataclass(frozen=True, slots=True)
class PoolAddress:
    """A Solana address derived ahead: `m/44'/501'/index'/0'`, base58."""

    index: int
    address: str


@dataclass(frozen=True, slots=True)
class HotAddress:
    """A wallet that pays: `m/44'/60'/1'/0/index` and so on, one account beside the deposit keys.

    Attributes:
        family: the key family; all EVM networks share an address.
        is_testnet: the address as test networks write it; Bitcoin only.
        index: the key, from 0.
        address: canonical.
    """

    family: Family
    is_testnet: bool
    index: int
    address: str


class NoHotWallet(NotFound):
    """The key ring has no hot wallet of this index on this network."""

    code = "signer.no_hot_wallet"

    def __init__(self, network: Network, index: int) -> None:
        super().__init__(
            f"the key ring has no hot wallet {index} on {network.id}; start the signer of this release once"
            f" and take an index below {HOT_WALLETS} (TON: 0)"
        )


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Public keys of one seed.

    Attributes:
        fingerprint: 32 hex digits over the keys below: which seed, by which derivation rules.
        evm: extended public key of `m/44'/60'/0'`; deposit addresses stand at `/0/index` below it.
        tron: the same of `m/44'/195'/0'`.
        bitcoin: the same of `m/84'/0'/0'`.
        bitcoin_testnet: the same of `m/84'/1'/0'`, in `tpub` form.
        ton_key: Ed25519 public key of `m/44'/607'/0'`, hex.
        ton_wallet: raw address of its highload wallet v3.
        solana_zero: the Solana address of index 0, part of the identity.
        solana: the first addresses of the pool.
        floors: per key family the lowest index that may still be handed out, set by a restore: a lost database
            may have handed out more than the backup knew of.
        hot: addresses of the wallets that pay; none in a ring of an earlier release. They follow from the same seed
            and are no part of the fingerprint.
    """

    fingerprint: str
    evm: str
    tron: str
    bitcoin: str
    bitcoin_testnet: str
    ton_key: str
    ton_wallet: str
    solana_zero: str
    solana: tuple[PoolAddress, ...] = ()
    floors: dict[str, int] = field(default_factory=dict)
    hot: tuple[HotAddress, ...] = ()

    def hot_wallet(self, network: Network, index: int = 0) -> Wallet:
        """Return a wallet that pays on a network.

        Raises:
            NoHotWallet: there is none of this index.
        """
        found = next((wallet for wallet in self.hot_wallets(network) if wallet.index == index), None)
        if found is None:
            raise NoHotWallet(network, index)
        return found

    def hot_wallets(self, network: Network) -> tuple[Wallet, ...]:
        """Return all wallets that pay on a network, by index."""
        is_testnet = network.testnet and network.family is Family.BITCOIN
        return tuple(
            Wallet(KeyRole.HOT, hot.index, hot.address)
            for hot in self.hot
            if (hot.family, hot.is_testnet) == (network.family, is_testnet)
        )

    def digest(self) -> str:
        """Return the fingerprint that these keys have."""
        keys = (
            self.evm,
            self.tron,
            self.bitcoin,
            self.bitcoin_testnet,
            self.ton_key,
            self.ton_wallet,
            self.solana_zero,
        )
        return hashlib.sha256("\n".join(("bitlinkpay key ring 1", *keys)).encode()).hexdigest()[:32]

    def tag_secret(self) -> bytes:
        """Return what scrambles TON tags: the same after each restore, unknown to who sees addresses and tags only."""
        return hashlib.sha256(f"bitlinkpay ton tags 1\n{self.ton_key}\n{self.evm}".encode()).digest()

    def to_json(self) -> bytes:
        """Return the ring as JSON text."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, text: bytes) -> "KeyRing":
        """Read the ring back.

        Raises:
            Invalid: not a key ring, or its keys are not those of its fingerprint.
        """
        try:
            ring = msgspec.json.decode(text, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Invalid(f"not a key ring: {error}") from None
        if ring.digest() != ring.fingerprint:
            raise Invalid("the key ring's keys are not those of its fingerprint")
        return ring
