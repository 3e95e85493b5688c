"""How a deployment pays: the senders of its networks, its payouts, and what their lanes are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitlinkpay.app.platform import Platform
from bitlinkpay.chains.base import Chain
from bitlinkpay.chains.bitcoin.chain import BitcoinChain
from bitlinkpay.chains.bitcoin.plan import BitcoinPlan
from bitlinkpay.chains.bitcoin.sender import BitcoinSender
from bitlinkpay.chains.evm.chain import EvmChain
from bitlinkpay.chains.evm.plan import EvmPlan
from bitlinkpay.chains.evm.planning import SenderOptions
from bitlinkpay.chains.evm.sender import EvmSender
from bitlinkpay.chains.outgoing import CannotPlan, FeeQuote, Intent, Lending, Sender
from bitlinkpay.chains.simulated import SimulatedChain
from bitlinkpay.chains.simulated_lending import LOAN_FEES, SimulatedLending
from bitlinkpay.chains.simulated_plan import SimulatedPlan
from bitlinkpay.chains.simulated_sender import SimulatedSender
from bitlinkpay.chains.solana.chain import SolanaChain
from bitlinkpay.chains.solana.plan import SolanaPlan
from bitlinkpay.chains.solana.sender import SolanaSender
from bitlinkpay.chains.ton.chain import TonChain
from bitlinkpay.chains.ton.plan import TonPlan
from bitlinkpay.chains.ton.sender import TonSender
from bitlinkpay.chains.tron.chain import TronChain
from bitlinkpay.chains.tron.lending import TronLending
from bitlinkpay.chains.tron.plan import TronPlan
from bitlinkpay.chains.tron.sender import TronSender
from bitlinkpay.core.clock import SystemClock
from bitlinkpay.deposits.assets.service import Holds
from bitlinkpay.payouts.owner import PayoutOwner
from bitlinkpay.payouts.service import Payouts
from bitlinkpay.risk.listfile import ListFile
from bitlinkpay.risk.model import Provider
from bitlinkpay.risk.service import NoLists
from bitlinkpay.sandbox.mempool.store import Mempool
from bitlinkpay.sandbox.stakes.store import Stakes
from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.sending.parts import LaneParts, Limits
from bitlinkpay.sending.service import Owner
from bitlinkpay.sending.setup import SetupOwner
from bitlinkpay.sending.signatory import Signatory
from bitlinkpay.settings import NetworkSettings
from bitlinkpay.signer.client import SignerClient
from bitlinkpay.treasury.loans.service import LoanOwner
from bitlinkpay.treasury.owner import TREASURY_KINDS, TreasuryOwner
from bitlinkpay.treasury.parts import TreasuryParts


@dataclass(frozen=True, slots=True)
class Road:
    """A network that we can pay on: its sender, and the type of the sender's plans."""

    sender: Sender[Any]  # each family has its own type of plan, and only its own sender ever sees it
    plan_type: type[Any]
    lending: Lending | None = None
    limits: Limits = Limits()  # noqa: RUF009 - a frozen value


def roads_of(platform: Platform, chains: Mapping[str, Chain]) -> Mapping[str, Road]:
    """Return the networks that this deployment can pay on."""
    return {name: road for name, chain in chains.items() if (road := _road(platform, chain))}


def _road(platform: Platform, chain: Chain) -> Road | None:
    assets = platform.registry.assets_of(chain.network.id)
    match chain:
        case SimulatedChain():
            sender = SimulatedSender(chain, Mempool(platform.database, platform.registry))
            lends = chain.network.family in LOAN_FEES
            lending = SimulatedLending(chain, Stakes(platform.database)) if lends else None
            road = Road(sender, SimulatedPlan, lending)
        case EvmChain():
            named = platform.settings.network(chain.network.id)
            options = SenderOptions(batches=named.batches)
            road = Road(EvmSender(chain.access, options), EvmPlan, limits=_evm_limits(named))
        case BitcoinChain():
            road = Road(BitcoinSender(chain, platform.registry.native(chain.network.id)), BitcoinPlan)
        case TronChain():
            road = Road(TronSender(chain.access), TronPlan, TronLending(chain.access))
        case SolanaChain():
            road = Road(SolanaSender(chain, assets), SolanaPlan)
        case TonChain():
            road = Road(TonSender(chain, assets), TonPlan)
        case _:
            return None
    return road


def _evm_limits(named: NetworkSettings) -> Limits:
    return Limits(unmined=1) if named.batches else Limits()


def payouts_of(platform: Platform, chains: Mapping[str, Chain]) -> Payouts:
    """Return the payouts of a deployment."""
    roads = roads_of(platform, chains)

    async def quotes(intent: Intent) -> FeeQuote:
        road = roads.get(intent.network)
        if road is None:
            raise CannotPlan(f"this deployment does not pay on {intent.network}")
        return await road.sender.quote(intent)

    return Payouts(
        registry=platform.registry,
        quotes=quotes,
        prices=platform.rates.price,
        providers=providers_of(platform),
        hot_wallet=platform.ring.hot_wallet,
        clock=platform.clock,
    )


def providers_of(platform: Platform) -> Sequence[Provider]:
    """Return who knows about addresses: the configured list files, or nobody."""
    lists = platform.settings.screening_lists
    files = [ListFile(platform.database, platform.settings.data_dir / name, platform.clock) for name in lists]
    return files or [NoLists()]


def lanes_of(platform: Platform, chains: Mapping[str, Chain], signer: SignerClient) -> list[LaneParts[Any]]:
    """Return what the lanes of each network are made of."""
    payouts, providers = PayoutOwner(platform.registry), providers_of(platform)
    owners: dict[OwnerKind, Owner] = {
        **dict.fromkeys((OwnerKind.PAYOUT, OwnerKind.SETTLEMENT, OwnerKind.REFUND), payouts),
        **dict.fromkeys(TREASURY_KINDS, TreasuryOwner(platform.registry)),
        OwnerKind.RECALL: LoanOwner(),
        OwnerKind.SETUP: SetupOwner(),
    }
    return [
        LaneParts(
            database=platform.database,
            registry=platform.registry,
            network=platform.registry.networks[name],
            sender=road.sender,
            plan_type=road.plan_type,
            signing=Signatory(signer, platform.database, platform.registry.networks[name]),
            owners=owners,
            clock=platform.clock,
            wall=SystemClock(),
            limits=road.limits,
            providers=providers,
        )
        for name, road in roads_of(platform, chains).items()
    ]


def treasuries_of(platform: Platform, chains: Mapping[str, Chain]) -> list[TreasuryParts]:
    """Return what the treasury of each network that we can pay on is made of."""
    holds = Holds(platform.database).list_held
    return [
        TreasuryParts(
            database=platform.database,
            registry=platform.registry,
            network=platform.registry.networks[name],
            sender=road.sender,
            prices=platform.rates.price,
            holds=holds,
            hot=platform.ring.hot_wallet(platform.registry.networks[name]),
            clock=platform.clock,
            wall=SystemClock(),
            lending=road.lending,
        )
        for name, road in roads_of(platform, chains).items()
    ]
