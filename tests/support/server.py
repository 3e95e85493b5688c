"""How tests reach the PostgreSQL of the test run."""

import contextlib
import secrets
import socket
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

from bitlinkpay.db.cluster import APP_ROLE
from bitlinkpay.db.embedded import EmbeddedPostgres
from bitlinkpay.db.home import find_root, find_sockets


def free_port() -> int:
    """A port below those that the system hands to outgoing connections, which might take it before we listen."""
    while True:
        port = secrets.choice(range(20_000, 32_000))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass(frozen=True, slots=True)
class TestServer:
    """Socket folder and port, plain enough to hand to xdist workers."""

    __test__ = False

    host: str
    port: int
    password: str

    @classmethod
    def of(cls, server: EmbeddedPostgres, port: int) -> Self:
        """Give the application role a password, so that tests may also come by TCP as to an external server."""
        password = secrets.token_hex(16)
        server.administer(f"ALTER ROLE {APP_ROLE} PASSWORD '{password}'")
        return cls(str(find_sockets(find_root(server.data_dir))), port, password)

    def dsn(self, role: str, database: str) -> str:
        return f"postgresql://{role}@/{database}?host={quote(self.host, safe='/')}&port={self.port}"
