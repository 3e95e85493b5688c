"""One frozen object from `bitlinkpay.toml` in the data folder, the environment and what `serve` was told."""

import os
import tomllib
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.mode import Mode

CONFIG_FILE: Final = "bitlinkpay.toml"
WM_PORT: Final = 8443
WEB_PORT: Final = 8080
RUNNING_FILE: Final = "running.json"
LOOPBACK: Final = ("127.0.0.0/8", "::1/128")


class Address(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a port listens. Port 0 stands for the usual one, `url` "" for the listening address itself."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    url: str = ""


class DatabaseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`dsn` and `owner_dsn` name an external PostgreSQL; empty means the embedded one."""

    dsn: str = ""
    owner_dsn: str = ""
    pool_size: Annotated[int, msgspec.Meta(ge=1, le=100)] = 4


class NetworkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Endpoints of one network in a live deployment; a network without any is off.

    Attributes:
        endpoints: JSON-RPC URLs of independent operators.
        quorum: how many must agree before anything is believed.
        egress: an HTTP proxy in another place; each endpoint is then asked both ways, and twice `quorum` answers must
            agree, so that no node can lie to us alone.
        poll: seconds between looks at the head; 0 takes half the network's block time, at most 1 s.
        finality: EVM: the block tag that decides what is final, `finalized` or `safe`.
        batches: EVM: whether the hot wallet may delegate to its batch executor (EIP-7702); without, one payment is one
            transaction.
        proof: EVM, TRON: `recomputed` checks blocks against their own hash, `compared` only compares endpoints; ""
            takes what the registry row says.
    """

    endpoints: tuple[str, ...] = ()
    quorum: Annotated[int, msgspec.Meta(ge=1, le=20)] = 1
    poll: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0
    finality: Literal["finalized", "safe"] = "finalized"
    proof: Literal["", "recomputed", "compared"] = ""
    batches: bool = True
    egress: str = ""


class CallbackSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What merchant URLs may name besides public addresses on 443: networks in CIDR form, extra ports."""

    allowed_networks: tuple[str, ...] = ()
    allowed_ports: tuple[Annotated[int, msgspec.Meta(ge=1, le=65535)], ...] = ()
    is_http_allowed: bool = False


class RateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`is_static` serves fixed prices (sandbox); otherwise the public tickers and the fiat reference are asked.

    Attributes:
        tickers: URL templates with `{symbol}` by ticker name, in place of the built-in ones.
        fiat_reference: URL of the reference source, in place of the built-in one.
    """

    is_static: bool = False
    tickers: dict[str, str] = {}
    fiat_reference: str = ""
    refresh_s: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 10


class SettlementSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`hold_h`: hours that a new bound or saved address rests before money follows it."""

    hold_h: Annotated[int, msgspec.Meta(ge=0, le=720)] = 24


class SandboxSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`block_s`: seconds between the blocks that simulated networks mine by themselves; 0 means by hand only."""

    block_s: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 3


def usual_api_processes() -> int:
    """Return how many API processes `serve` runs unless told: two, where this process may use two cores.

    One keeps one core busy, mostly with RSA; each takes about 65 MB, so further cores wait for the operator's word.
    """
    return min(2, len(os.sched_getaffinity(0)))


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a process of the deployment needs to know."""

    data_dir: Path
    mode: Mode = Mode.SANDBOX
    wm: Address = Address(port=WM_PORT)
    web: Address = Address(port=WEB_PORT)
    hosts: tuple[str, ...] = ()
    database: DatabaseSettings = DatabaseSettings()
    networks: dict[str, NetworkSettings] = field(default_factory=dict)
    registry_files: tuple[str, ...] = ()
    callbacks: CallbackSettings = CallbackSettings()
    rates: RateSettings = RateSettings()
    sandbox: SandboxSettings = SandboxSettings()
    settlements: SettlementSettings = SettlementSettings()
    screening_lists: tuple[str, ...] = ()
    support_contact: str = ""
    api_processes: int = field(default_factory=usual_api_processes)
    log_level: str = "INFO"

    @property
    def is_sandbox(self) -> bool:
        """Say whether networks are simulated and `w-test` is answered."""
        return self.mode is Mode.SANDBOX

    @property
    def keys_dir(self) -> Path:
        """Folder of the platform's CA, server certificate and envelope key."""
        return self.data_dir / "keys"

    @property
    def signer_dir(self) -> Path:
        """Folder of the sealed seed and the signer's socket."""
        return self.data_dir / "signer"

    @property
    def signer_key_file(self) -> Path:
        """Key file that opens the seed in an all-in-one deployment without a passphrase."""
        return self.data_dir / "signer.key"

    @property
    def registry_paths(self) -> tuple[Path, ...]:
        """Operator's registry files, relative names taken from the data folder."""
        return tuple(self.data_dir / name for name in self.registry_files)

    @property
    def web_url(self) -> str:
        """Base URL of hosted pages."""
        return self.web.url or f"http://{self.web.host}:{self.web.port}"

    def order_url(self, payin_id: UUID) -> str:
        """Return the hosted page of an order."""
        return f"{self.web_url}/pay/{payin_id.hex}"

    @property
    def wm_url(self) -> str:
        """Base URL of the merchant API."""
        return self.wm.url or f"https://{self.wm.host}:{self.wm.port}"

    def network(self, network: str) -> NetworkSettings:
        """Return what is set for a network, the defaults where nothing is."""
        return self.networks.get(network, NetworkSettings())

    @property
    def poll_of(self) -> dict[str, timedelta]:
        """Configured pauses between looks at a network's head."""
        return {name: timedelta(seconds=network.poll) for name, network in self.networks.items() if network.poll}


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The keys that `bitlinkpay.toml` may hold."""

    mode: Mode | None = None
    wm: Address = Address()
    web: Address = Address()
    hosts: tuple[str, ...] = ()
    database: DatabaseSettings = DatabaseSettings()
    networks: dict[str, NetworkSettings] = {}
    registry_files: tuple[str, ...] = ()
    callbacks: CallbackSettings | None = None
    rates: RateSettings | None = None
    sandbox: SandboxSettings = SandboxSettings()
    settlements: SettlementSettings = SettlementSettings()
    screening_lists: tuple[str, ...] = ()
    support_contact: str = ""
    api_processes: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"


def load_settings(data_dir: Path, *, mode: Mode | None = None) -> Settings:
    """Read the deployment's settings.

    Args:
        data_dir: the deployment's folder; `bitlinkpay.toml` in it is optional.
        mode: what `serve --mode` said; the file's `mode`, if any, must be the same.

    Raises:
        Invalid: the file cannot be read or holds a key or value that is not known; the message names it.
    """
    path = data_dir / CONFIG_FILE
    file = _read(path) if path.exists() else _File()
    if mode and file.mode and mode is not file.mode:
        raise Invalid(f"{path} says mode {file.mode.value}; start with --mode {file.mode} or change the file")
    chosen = mode or file.mode or Mode.SANDBOX
    is_sandbox = chosen is Mode.SANDBOX
    settings = Settings(
        data_dir=data_dir.absolute(),
        mode=chosen,
        wm=_listening(file.wm, WM_PORT),
        web=_listening(file.web, WEB_PORT),
        hosts=file.hosts,
        database=file.database,
        networks=file.networks,
        registry_files=file.registry_files,
        callbacks=file.callbacks or CallbackSettings(LOOPBACK if is_sandbox else ()),
        rates=file.rates or RateSettings(is_static=is_sandbox),
        sandbox=file.sandbox,
        settlements=file.settlements,
        screening_lists=file.screening_lists,
        support_contact=file.support_contact,
        api_processes=file.api_processes or usual_api_processes(),
        log_level=file.log_level,
    )
    return _environment(settings)


def _listening(address: Address, usual: int) -> Address:
    return msgspec.structs.replace(address, port=address.port or usual)


def _read(path: Path) -> _File:
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), _File)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise Invalid(f"{path}: {error}") from None


def _environment(settings: Settings) -> Settings:
    dsn = os.environ.get("BITLINKPAY_DATABASE_DSN", settings.database.dsn)
    owner_dsn = os.environ.get("BITLINKPAY_DATABASE_OWNER_DSN", settings.database.owner_dsn)
    return replace(settings, database=msgspec.structs.replace(settings.database, dsn=dsn, owner_dsn=owner_dsn))


class Running(msgspec.Struct, frozen=True):
    """What `serve` was told on its command line, for every other process of the deployment."""

    mode: Mode
    wm: Address
    web: Address


def write_running(settings: Settings) -> None:
    """Leave a note of mode and addresses for the deployment's other processes."""
    note = Running(settings.mode, settings.wm, settings.web)
    path = settings.data_dir / RUNNING_FILE
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(note))
    fresh.replace(path)


def load_running(data_dir: Path) -> Settings:
    """Read the settings as the deployment's `serve` runs them: the file, and what its command line said.

    Raises:
        Invalid: as `load_settings`.
    """
    path = data_dir / RUNNING_FILE
    if not path.exists():
        return load_settings(data_dir)
    try:
        note = msgspec.json.decode(path.read_bytes(), type=Running)
    except msgspec.MsgspecError as error:
        raise Invalid(f"{path} is damaged ({error}); start `bitlinkpay serve` again, which writes it anew") from None
    return replace(load_settings(data_dir, mode=note.mode), wm=note.wm, web=note.web)
