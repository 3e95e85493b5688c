"""Creation and configuration of the embedded cluster.

Authentication is `peer` on the socket, with a map: the user that runs the platform may be the platform's roles, the
server's own user may be the superuser, nobody else gets in. TCP is off unless asked for, then SCRAM on loopback.
"""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.binaries import MAJOR, Binaries
from bitlinkpay.db.home import PORT, Account, Home, give_folder, write_file

DATABASE = "bitlinkpay"
OWNER_ROLE = "bitlinkpay_owner"
APP_ROLE = "bitlinkpay_app"
SUPERUSER = "postgres"
ENVIRONMENT: Mapping[str, str] = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"}

# Each line of a single-user session is one statement.
_BOOTSTRAP = f"""\
CREATE ROLE {OWNER_ROLE} LOGIN
CREATE ROLE {APP_ROLE} LOGIN
CREATE DATABASE {DATABASE} OWNER {OWNER_ROLE}
REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC
GRANT CONNECT ON DATABASE {DATABASE} TO {APP_ROLE}
"""

_SETTINGS: Mapping[str, str] = {
    "max_connections": "50",
    "shared_buffers": "32MB",
    "work_mem": "4MB",
    "maintenance_work_mem": "32MB",
    "wal_buffers": "2MB",
    "effective_cache_size": "512MB",
    "random_page_cost": "1.1",
    "jit": "off",
    "huge_pages": "off",
    # Helper processes that this load does not need: each costs memory from the start.
    "io_method": "sync",
    "max_logical_replication_workers": "0",
    "max_worker_processes": "2",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    # Durability is not for sale; physical back-ups (pg_basebackup) need the wal senders.
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "replica",
    "max_wal_senders": "2",
    "max_replication_slots": "2",
    "max_wal_size": "512MB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    # Queues turn over all the time: look often, start early.
    "autovacuum_naptime": "15s",
    "autovacuum_max_workers": "2",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.05",
    "autovacuum_vacuum_cost_delay": "1ms",
    "idle_in_transaction_session_timeout": "60s",
    "unix_socket_permissions": "0700",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "'%m [%p] %q%u@%d '",
    "password_encryption": "scram-sha-256",
}


@dataclass(frozen=True, slots=True)
class Options:
    """What a deployment may choose.

    Attributes:
        is_durable: False only for throw-away servers of tests: a crash of the machine may then lose the cluster.
        tcp_port: loopback TCP port with SCRAM passwords, or None for the socket alone.
        max_connections: limit of connections.
    """

    is_durable: bool = True
    tcp_port: int | None = None
    max_connections: int = 50


def create_cluster(binaries: Binaries, home: Home, options: Options) -> None:
    """Make the cluster, its roles and its database. A half-made cluster never bears its final name.

    Raises:
        Unavailable: a program failed; the message carries its last words.
    """
    unfinished = home.root / "cluster.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    give_folder(unfinished, home.account)
    initdb = [
        *(str(binaries.program("initdb")), "-D", str(unfinished), "--username", SUPERUSER, "--encoding=UTF8"),
        *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
        *("--auth-local=peer", "--auth-host=scram-sha-256"),
        "--wal-segsize=4",  # MB; a new segment is filled with zeros first, and every commit waits: 45 ms for 16 MB
    ]
    run_program(initdb if options.is_durable else [*initdb, "--no-sync"], home)
    single = [str(binaries.program("postgres")), "--single", "-D", str(unfinished), "-c", "exit_on_error=on"]
    run_program([*single, "-c", f"fsync={_switch(options.is_durable)}", SUPERUSER], home, words=_BOOTSTRAP)
    unfinished.rename(home.cluster)


def check_version(home: Home) -> None:
    """Refuse a cluster of another major release.

    Raises:
        Unavailable: the cluster needs `pg_upgrade` first.
    """
    found = (home.cluster / "PG_VERSION").read_text().strip()
    if found != MAJOR:
        raise Unavailable(
            f"{home.cluster} was made by PostgreSQL {found}, this release runs {MAJOR}; run pg_upgrade first"
        )


def configure(home: Home, sockets: Path, me: Account, options: Options) -> None:
    """Write the configuration files; the operator's own `local.conf` comes last and wins."""
    home.conf.mkdir(mode=0o755, exist_ok=True)
    home.conf.chmod(0o755)
    settings = {
        **_SETTINGS,
        "max_connections": str(options.max_connections),
        "fsync": _switch(options.is_durable),
        "port": str(options.tcp_port or PORT),
        "listen_addresses": _quote("127.0.0.1" if options.tcp_port else ""),
        "unix_socket_directories": _quote(str(sockets)),
        "dynamic_shared_memory_type": "posix" if Path("/dev/shm").is_dir() else "sysv",  # noqa: S108 - asks, never writes
        "hba_file": _quote(str(home.conf / "pg_hba.conf")),
        "ident_file": _quote(str(home.conf / "pg_ident.conf")),
    }
    lines = [f"{name} = {value}" for name, value in settings.items()]
    lines.append(f"include_if_exists = {_quote(str(home.root / 'local.conf'))}")
    write_file(home.conf / "postgresql.conf", "\n".join([*lines, ""]))
    write_file(home.conf / "pg_hba.conf", _hba(options))
    pairs = [(me.name, OWNER_ROLE), (me.name, APP_ROLE), (home.account.name, SUPERUSER)]
    write_file(home.conf / "pg_ident.conf", "".join(f'platform "{user}" {role}\n' for user, role in pairs))


def run_program(command: Sequence[str], home: Home, *, words: str = "") -> str:
    """Run one of the programs as the server's user, with `words` as its input, and return what it wrote.

    Raises:
        Unavailable: it ended with an error.
    """
    done = subprocess.run(  # noqa: S603 - our own programs, no shell
        command,
        input=words,
        capture_output=True,
        text=True,
        check=False,
        cwd=home.root,
        env=ENVIRONMENT,
        umask=0o077,
        user=home.drop_uid,
        group=home.drop_gid,
        extra_groups=home.drop_groups,
    )
    if done.returncode != 0:
        raise Unavailable(f"{Path(command[0]).name} failed: {done.stderr.strip()[-800:]}")
    return done.stdout


def _hba(options: Options) -> str:
    lines = ["local all all peer map=platform", "local replication all peer map=platform"]
    if options.tcp_port is not None:
        lines.append("host all all 127.0.0.1/32 scram-sha-256")
    return "\n".join([*lines, ""])


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _switch(is_on: bool) -> str:  # noqa: FBT001 - a formatter of one value
    return "on" if is_on else "off"
