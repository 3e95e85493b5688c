"""The registry: every network and asset as a checked row of `registry.toml` and of the operator's own files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from bitlinkpay.chains.registry_rows import Endpoints, merge_files, read_assets, read_networks
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.errors import NotFound

BUILT_IN = Path(__file__).with_name("registry.toml")


class UnknownNetwork(NotFound):
    """No network of this id in the registry."""

    code = "network.unknown"


class UnknownAsset(NotFound):
    """No asset of this id in the registry."""

    code = "asset.unknown"


@dataclass(frozen=True, slots=True)
class Registry:
    """All networks and assets by id, in the order of the files.

    Attributes:
        networks: by network id.
        assets: by asset id.
        endpoints: RPC endpoints by network id, of the networks whose row names any.
        switched_off: networks that are neither read nor paid on, and known because of what happened on them before.
    """

    networks: Mapping[str, Network]
    assets: Mapping[str, Asset]
    endpoints: Mapping[str, Endpoints]
    switched_off: frozenset[str] = frozenset()

    def network(self, network_id: str) -> Network:
        """Return the network of this id.

        Raises:
            UnknownNetwork: there is none.
        """
        try:
            return self.networks[network_id]
        except KeyError:
            known = ", ".join(self.networks)
            raise UnknownNetwork(f"no network {network_id[:40]!r}; known are {known}", param="network") from None

    def asset(self, asset_id: str) -> Asset:
        """Return the asset of this id.

        Raises:
            UnknownAsset: there is none.
        """
        try:
            return self.assets[asset_id]
        except KeyError:
            known = ", ".join(self.assets)
            raise UnknownAsset(f"no asset {asset_id[:40]!r}; known are {known}", param="asset") from None

    def is_on(self, asset: Asset) -> bool:
        """Say whether the asset's network is read and paid on."""
        return asset.network not in self.switched_off

    def asset_by_wm(self, wm_chain_id: int, wm_coin_id: int) -> Asset | None:
        """Return the asset that the SDK protocol names by these two ids, if any that is on."""
        for asset in filter(self.is_on, self.assets.values()):
            if asset.wm_coin_id == wm_coin_id and self.networks[asset.network].wm_chain_id == wm_chain_id:
                return asset
        return None

    def assets_of(self, network_id: str) -> tuple[Asset, ...]:
        """Return all assets of a network, the native coin among them."""
        return tuple(asset for asset in self.assets.values() if asset.network == network_id)

    def native(self, network_id: str) -> Asset:
        """Return the network's own coin. Each network has exactly one.

        Raises:
            UnknownNetwork: no such network.
        """
        network = self.network(network_id)
        return next(asset for asset in self.assets_of(network.id) if asset.is_native)

    def by_symbol(self, symbol: str) -> tuple[Asset, ...]:
        """Return the assets of a ticker (or one of its aliases) on all networks that are on, in any letter case."""
        wanted = symbol.upper()
        return tuple(a for a in self.assets.values() if self.is_on(a) and (wanted == a.symbol or wanted in a.aliases))


def load_registry(*extra: Path) -> Registry:
    """Read the built-in rows and then the operator's files, each overriding or adding rows.

    Raises:
        BadRegistry: a row is wrong; the message names file, row and field and says what to change.
    """
    rows = merge_files(BUILT_IN, *extra)
    networks, endpoints = read_networks(rows)
    assets = read_assets(rows, networks)
    return Registry(MappingProxyType(networks), MappingProxyType(assets), MappingProxyType(endpoints))
