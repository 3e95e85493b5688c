"""How a process of the deployment reaches its database."""

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.embedded import APP_ROLE, OWNER_ROLE, EmbeddedPostgres
from bitlinkpay.db.pool import Database
from bitlinkpay.settings import Settings


def database_dsns(settings: Settings) -> tuple[str, str]:
    """Return the connection strings of the owner (migrations) and of the application role."""
    external = settings.database
    if external.dsn:
        return external.owner_dsn or external.dsn, external.dsn
    postgres = EmbeddedPostgres(settings.data_dir / "postgres")
    return postgres.dsn(OWNER_ROLE), postgres.dsn(APP_ROLE)


async def connect(settings: Settings) -> Database:
    """Connect to the deployment's database as the application role.

    Raises:
        Unavailable: it is not running.
    """
    try:
        return await Database.connect(database_dsns(settings)[1], size=settings.database.pool_size)
    except Unavailable as error:
        raise not_running(settings, error) from error


def not_running(settings: Settings, error: Unavailable) -> Unavailable:
    """Return the problem of a database that does not answer, with how to start the embedded one."""
    if settings.database.dsn:
        return error
    start = f"bitlinkpay serve --data-dir {settings.data_dir}"
    return Unavailable(f"{error.message}; is it running? Start it with: {start}")
