"""How a deployment checks who moves a merchant's own money."""

from bitlinkpay.app.platform import Platform
from bitlinkpay.authorizations.factors import OneTimeCodes
from bitlinkpay.authorizations.service import Checks
from bitlinkpay.core.clock import SystemClock
from bitlinkpay.core.sealing import Sealer


def checks_of(platform: Platform, sealer: Sealer) -> Checks:
    """Return the four checks, with one-time codes as the second factor."""
    return Checks(platform.database, OneTimeCodes(sealer), mode=platform.settings.mode, wall=SystemClock())
