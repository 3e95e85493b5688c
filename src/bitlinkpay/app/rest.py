"""The REST API of a deployment."""

from bitlinkpay.app.platform import Platform, sandbox_actions
from bitlinkpay.app.sealing import open_sealer
from bitlinkpay.app.settling import settling_of
from bitlinkpay.core.clock import SystemClock
from bitlinkpay.merchants.api_keys.directory import ApiKeys
from bitlinkpay.payouts.service import Payouts
from bitlinkpay.web.api.app import ApiApp
from bitlinkpay.web.api.build import Services, build_api
from bitlinkpay.web.api.gate import Gate


async def build_rest(platform: Platform, payouts: Payouts) -> ApiApp:
    """Return the REST API; it hears of changed keys from now on.

    Raises:
        SealingKeyElsewhere: this host cannot read the secrets of API keys.
    """
    keys = ApiKeys(platform.database)
    await keys.start()
    wall = SystemClock()
    sealer = await open_sealer(platform.settings, platform.database)
    gate = Gate(platform.database, keys, sealer, platform.directory, wall=wall)
    settling = settling_of(platform, payouts, sealer)
    services = Services(
        database=platform.database,
        registry=platform.registry,
        payins=platform.payins,
        payouts=payouts,
        settlements=settling.settlements,
        rules=settling.rules,
        homes=settling.homes,
        mode=platform.settings.mode,
        urls=platform.urls,
        order_url=platform.settings.order_url,
        clock=platform.clock,
        wall=wall,
        sandbox=sandbox_actions(platform) if platform.settings.is_sandbox else None,
    )
    return build_api(gate, services)
