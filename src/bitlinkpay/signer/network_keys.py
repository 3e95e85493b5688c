"""One network as the signer knows it: rows of its own registry, and the keys of our wallets."""

from dataclasses import dataclass

from bitlinkpay.chains.outgoing import Wallet
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.signer.problems import ForeignAsset
from bitlinkpay.signer.vault import Vault


@dataclass(frozen=True, slots=True)
class NetworkKeys:
    """`families.keys.Keys` of one network, with the signer's own registry."""

    vault: Vault
    registry: Registry
    network: Network

    def asset(self, asset_id: str) -> Asset:
        """Return an asset of this network.

        Raises:
            ForeignAsset: the signer's registry has none of this id on this network.
        """
        asset = self.registry.assets.get(asset_id)
        if asset is None or asset.network != self.network.id:
            raise ForeignAsset(self.network.id, asset_id)
        return asset

    def private_key(self, wallet: Wallet) -> bytes:
        """Return the 32-byte private key of a wallet of ours.

        Raises:
            ForeignWallet: the key at the wallet's place does not give the wallet's address.
        """
        return self.vault.private_key(self.network, wallet)
