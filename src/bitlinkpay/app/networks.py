"""Which networks a deployment has, and the adapter of each: the one place that knows all families."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import assert_never

from bitlinkpay.chains.base import Chain
from bitlinkpay.chains.bitcoin.chain import BitcoinChain, BitcoinOptions
from bitlinkpay.chains.bitcoin.proof import MAIN_GENESIS
from bitlinkpay.chains.evm.access import EvmOptions
from bitlinkpay.chains.evm.chain import EvmChain
from bitlinkpay.chains.evm.reader import Proof
from bitlinkpay.chains.registry import Registry, load_registry
from bitlinkpay.chains.registry_rows import Endpoints
from bitlinkpay.chains.simulated import SimulatedChain
from bitlinkpay.chains.solana.chain import SolanaChain
from bitlinkpay.chains.ton.chain import TonChain
from bitlinkpay.chains.transport import count_operators, endpoints_of
from bitlinkpay.chains.tron.access import TronOptions
from bitlinkpay.chains.tron.chain import TronChain
from bitlinkpay.chains.tron.reader import Proof as TronProof
from bitlinkpay.core.assets import Demand, Family, Network
from bitlinkpay.core.errors import Invalid
from bitlinkpay.db.pool import Database
from bitlinkpay.sandbox.store import SandboxState
from bitlinkpay.settings import Settings
from bitlinkpay.signer.keyring import KeyRing


class MissingRows(Invalid):
    """The registry files lack rows that the deployment cannot do without."""

    code = "registry.missing_rows"

    def __init__(self, what: str, names: Iterable[str], instead: str) -> None:
        super().__init__(f"the registry has no row any more of {what}: {', '.join(names)}; put it back; {instead}")


def load_networks(settings: Settings, *, used: Collection[str] = ()) -> Registry:
    """Return the registry of networks that are on: all in a sandbox, those with endpoints in a live deployment.

    Args:
        settings: of the deployment.
        used: networks that were read before: those that are not on stay known as switched off.

    Raises:
        MissingRows: one of those has no row any more.
        Invalid: the settings name a network without a row, or fewer hosts than its quorum; BadRegistry: a row is wrong.
    """
    registry = load_registry(*settings.registry_paths)
    if gone := set(used) - registry.networks.keys():
        raise MissingRows("networks that were read", sorted(gone), "without endpoints it is switched off")
    unknown = settings.networks.keys() - registry.networks.keys()
    if unknown:
        raise Invalid(f"bitlinkpay.toml names unknown networks: {', '.join(sorted(unknown))}")
    named = {name: Endpoints(row.endpoints, row.quorum) for name, row in settings.networks.items() if row.endpoints}
    endpoints = {**registry.endpoints, **named}
    if not settings.is_sandbox:
        _check_quorums(endpoints)
    on = registry.networks.keys() if settings.is_sandbox else endpoints.keys()
    known = {*on, *used}
    return Registry(
        MappingProxyType({name: network for name, network in registry.networks.items() if name in known}),
        MappingProxyType({name: asset for name, asset in registry.assets.items() if asset.network in known}),
        MappingProxyType(endpoints),
        switched_off=frozenset(known - on),
    )


def _check_quorums(endpoints: Mapping[str, Endpoints]) -> None:
    for name, nodes in endpoints.items():
        operators = count_operators(nodes.urls)
        if nodes.quorum > operators:
            raise Invalid(
                f"networks.{name}: quorum is {nodes.quorum}, and endpoints names {operators} hosts; name more"
            )


def chains_of(settings: Settings, registry: Registry, database: Database, ring: KeyRing) -> Mapping[str, Chain]:
    """Return an adapter for every network that is on: simulated in a sandbox, else for real nodes."""
    networks = [network for network in registry.networks.values() if network.id not in registry.switched_off]
    if settings.is_sandbox:
        state = SandboxState(database)
        return {network.id: SimulatedChain(network, registry.assets_of(network.id), state) for network in networks}
    return {network.id: _adapter(settings, registry, network, ring, Demand()) for network in networks}


def stricter_of(
    settings: Settings, registry: Registry, network: Network, ring: KeyRing
) -> Mapping[Demand, Chain | None]:
    """Return a reader for every demand of a network's assets that its own quorum and final tag do not meet.

    None stands where fewer independent endpoints are named than the amount asks for. Whoever asks closes them.
    """
    if settings.is_sandbox:
        return {}
    nodes = registry.endpoints[network.id]
    own, operators = settings.network(network.id).finality, count_operators(nodes.urls)
    demands = frozenset().union(*(asset.demands for asset in registry.assets_of(network.id)))
    return {
        demand: _adapter(settings, registry, network, ring, demand) if demand.quorum <= operators else None
        for demand in demands
        if demand.quorum > nodes.quorum or demand.finality not in {"", own}
    }


def _adapter(settings: Settings, registry: Registry, network: Network, ring: KeyRing, demand: Demand) -> Chain:
    named = settings.network(network.id)
    nodes, assets = registry.endpoints[network.id], registry.assets_of(network.id)
    endpoints = endpoints_of(nodes.urls, named.egress)
    # No operator is heard more than twice: twice as many answers come from at least as many operators.
    quorum = max(nodes.quorum, demand.quorum) * (2 if named.egress else 1)
    match network.family:
        case Family.EVM:
            finality, proof = demand.finality or named.finality, Proof(named.proof or network.proof)
            options = EvmOptions(finality=finality, proof=proof)
            return EvmChain(network, assets, endpoints, quorum=quorum, options=options)
        case Family.BITCOIN:
            is_main = network.genesis == MAIN_GENESIS  # other chains may rest for as long as they like
            rest = BitcoinOptions() if is_main else BitcoinOptions(tip_age_max=None)
            return BitcoinChain(network, assets, endpoints, quorum=quorum, options=rest)
        case Family.TON:
            return TonChain(network, assets, endpoints, wallet=ring.ton_wallet, quorum=quorum)
        case Family.SOLANA:
            return SolanaChain(network, assets, endpoints, quorum=quorum)
        case Family.TRON:
            tron = TronOptions(proof=TronProof(named.proof or network.proof))
            return TronChain(network, assets, endpoints, quorum=quorum, options=tron)
        case _:
            assert_never(network.family)
