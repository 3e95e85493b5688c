"""The deployment's sealing key, opened where secrets are made or read."""

from bitlinkpay.core.sealing import Sealer
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants.sealing import service as sealing
from bitlinkpay.merchants.sealing.key import make_sealer
from bitlinkpay.settings import Settings


async def open_sealer(settings: Settings, database: Database) -> Sealer:
    """Open the key that seals secrets; make it where the deployment has none yet.

    Raises:
        SealingKeyElsewhere: the deployment has one already, and this host has no copy, or another one.
        BadAuthority, LooseFile: the file is not what it should be.
    """
    folder = settings.keys_dir
    async with database.reader() as tx:
        await sealing.check_folder(tx, folder)
    sealer = make_sealer(folder)
    await database.unit(lambda tx: sealing.recognise(tx, sealer, folder))
    return sealer


async def seal_secrets(settings: Settings, database: Database) -> None:
    """Seal the secrets that a release without sealing left plain. Raises as `open_sealer`."""
    async with database.reader() as tx:
        if not await sealing.has_plain(tx):
            return
    sealer = await open_sealer(settings, database)
    await database.unit(lambda tx: sealing.seal_plain(tx, sealer))
