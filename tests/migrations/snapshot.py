"""Writes `schema.txt`, the schema after all migrations. Run after adding one: `python -m tests.migrations.snapshot`."""

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.migrations.catalogue import catalogue

from bitlinkpay.db.cluster import OWNER_ROLE, Options
from bitlinkpay.db.driver import connect
from bitlinkpay.db.embedded import EmbeddedPostgres
from bitlinkpay.db.migrate import migrate

SNAPSHOT = Path(__file__).with_name("schema.txt")


async def dump(owner_dsn: str) -> str:
    """Migrate the database and return its schema as text."""
    await migrate(owner_dsn)
    connection = await connect(owner_dsn)
    lines = await catalogue(connection)
    await connection.close()
    return "\n".join([*lines, ""])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        with EmbeddedPostgres(Path(folder) / "postgres", Options(is_durable=False)) as server:
            text = asyncio.run(dump(server.dsn(OWNER_ROLE)))
    SNAPSHOT.write_text(text)
    sys.stdout.write(f"{SNAPSHOT.name}: {text.count(chr(10))} lines\n")


if __name__ == "__main__":
    main()
