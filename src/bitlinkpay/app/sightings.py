"""Which networks show payments before any block holds them, and how often they are looked at."""

from datetime import timedelta

from bitlinkpay.app.platform import Platform
from bitlinkpay.chains.base import Chain
from bitlinkpay.chains.simulated import SimulatedChain
from bitlinkpay.chains.simulated_waiting import SimulatedWaiting
from bitlinkpay.chains.waiting import WaitingChain
from bitlinkpay.core.assets import Family
from bitlinkpay.payins.sightings import CADENCE, Sightings
from bitlinkpay.sandbox.store import SandboxState


def sightings_of(platform: Platform, chain: Chain) -> Sightings | None:
    """Return what looks at a network's waiting transactions, None where nobody shows them."""
    shown, cadence = _shown(platform, chain), CADENCE
    if isinstance(chain, SimulatedChain):
        cadence = timedelta(0)  # one short query, and its next block is seconds away
    if shown is None:
        return None
    return Sightings(
        database=platform.database, network=chain.network, chain=shown, clock=platform.clock, cadence=cadence
    )


def _shown(platform: Platform, chain: Chain) -> WaitingChain | None:
    if isinstance(chain, SimulatedChain) and chain.network.family is Family.BITCOIN:
        return SimulatedWaiting(chain, SandboxState(platform.database))
    return chain if isinstance(chain, WaitingChain) else None
