"""The door to private keys, and to the signer's own registry, that a family's signing gets."""

from typing import Protocol

from bitlinkpay.chains.outgoing import Wallet
from bitlinkpay.core.assets import Asset, Network


class Keys(Protocol):
    """One network as the signer knows it by its own configuration, with the private keys of our wallets on it.

    Chain ids, contracts, mints, jetton wallets and decimals are taken from here and never from a plan: a plan comes
    from a database that the signer does not trust.
    """

    @property
    def network(self) -> Network:
        """The network of the intent, from the signer's own registry."""
        ...

    def asset(self, asset_id: str) -> Asset:
        """Return an asset of this network.

        Raises:
            ForeignAsset: the signer's registry has none of this id on this network.
        """
        ...

    def private_key(self, wallet: Wallet) -> bytes:
        """Return the 32-byte private key of a wallet of ours; let it go as soon as it has signed.

        Raises:
            ForeignWallet: the key at the wallet's place does not give the wallet's address.
        """
        ...
