"""How a deployment settles: by hand under the four checks, and by rules."""

from dataclasses import dataclass
from datetime import timedelta

from bitlinkpay.app.authorizing import checks_of
from bitlinkpay.app.platform import Platform
from bitlinkpay.core.sealing import Sealer
from bitlinkpay.payouts.service import Payouts
from bitlinkpay.settlements.addresses.service import Homes
from bitlinkpay.settlements.automatic import Automatic
from bitlinkpay.settlements.rules.service import Rules
from bitlinkpay.settlements.service import Settlements


@dataclass(frozen=True, slots=True)
class Settling:
    """Everything that a merchant's people may do about settlements."""

    settlements: Settlements
    homes: Homes
    rules: Rules


def settling_of(platform: Platform, payouts: Payouts, sealer: Sealer) -> Settling:
    """Return the settlements of a deployment, their addresses and their rules."""
    database, registry, clock, checks = (
        platform.database,
        platform.registry,
        platform.clock,
        checks_of(platform, sealer),
    )
    return Settling(
        settlements=Settlements(database=database, registry=registry, payouts=payouts, checks=checks, clock=clock),
        homes=Homes(database, registry, checks, clock, hold=timedelta(hours=platform.settings.settlements.hold_h)),
        rules=Rules(database, checks, clock),
    )


def automatic_of(platform: Platform, payouts: Payouts) -> Automatic:
    """Return the rules of a deployment at work; they ask nobody for a password."""
    return Automatic(platform.database, platform.registry, payouts, platform.clock)
