"""The REST API of a deployment, and the key that opens the secrets of its API keys."""

from bitlinkpay.app.platform import Platform
from bitlinkpay.core.clock import SystemClock
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants.api_keys import service as api_keys
from bitlinkpay.merchants.api_keys.directory import ApiKeys
from bitlinkpay.merchants.api_keys.sealing import Sealer
from bitlinkpay.payouts.service import Payouts
from bitlinkpay.settings import Settings
from bitlinkpay.web.api.app import ApiApp
from bitlinkpay.web.api.build import Services, build_api
from bitlinkpay.web.api.gate import Gate


async def open_sealer(settings: Settings, database: Database) -> Sealer:
    """Open the key of API keys' secrets; make it where no secret was ever sealed.

    Raises:
        SealingKeyElsewhere: secrets are sealed already, and this host has no copy of the key.
    """
    async with database.reader() as tx:
        await api_keys.check_folder(tx, settings.keys_dir)
    return Sealer.open(settings.keys_dir)


async def build_rest(platform: Platform, payouts: Payouts) -> ApiApp:
    """Return the REST API; it hears of changed keys from now on.

    Raises:
        SealingKeyElsewhere: as `open_sealer`.
    """
    keys = ApiKeys(platform.database)
    await keys.start()
    wall = SystemClock()
    sealer = await open_sealer(platform.settings, platform.database)
    gate = Gate(platform.database, keys, sealer, platform.directory, wall=wall)
    services = Services(
        database=platform.database,
        registry=platform.registry,
        payins=platform.payins,
        payouts=payouts,
        mode=platform.settings.mode,
        urls=platform.urls,
        order_url=platform.settings.order_url,
        clock=platform.clock,
        wall=wall,
    )
    return build_api(gate, services)
