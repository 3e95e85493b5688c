"""The signer's configuration: `policy.toml` in its folder, read at its start.

A file that is not there allows nothing. In a sandbox, what the file does not name has the defaults below; in a live
deployment it is refused.
"""

import re
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from bitlinkpay.chains.address import parse_address
from bitlinkpay.chains.outgoing import Purpose
from bitlinkpay.chains.registry import Registry, load_registry
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Invalid, Problem
from bitlinkpay.core.mode import Mode
from bitlinkpay.core.money import parse_decimal, to_units
from bitlinkpay.signer.audit.events import ColdList
from bitlinkpay.signer.files import check_private
from bitlinkpay.signer.policy.model import Caps, FeeCaps, Policy
from bitlinkpay.signer.policy.operators import read_public_key

POLICY_FILE: Final = "policy.toml"
_SIGNATURE: Final = re.compile(r"[0-9a-f]{128}", re.ASCII)
_SANDBOX_HOURS: Final = 10
_SANDBOX_DAYS: Final = 100
_SANDBOX_FEE: Final = 100


class BadPolicy(Invalid):
    """The policy file is wrong; the message says where."""

    code = "signer.bad_policy"

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}")


class _Caps(msgspec.Struct, forbid_unknown_fields=True):
    payment: str
    hour: str
    day: str


class _Fees(msgspec.Struct, forbid_unknown_fields=True):
    most: str
    day: str


class _Cold(msgspec.Struct, forbid_unknown_fields=True):
    serial: int = 0
    addresses: dict[str, str] = {}
    signatures: dict[str, str] = {}


class _File(msgspec.Struct, forbid_unknown_fields=True):
    mode: Mode = Mode.LIVE
    registry_files: tuple[str, ...] = ()
    purposes: tuple[Purpose, ...] | None = None
    attempts: int = 8
    operators: dict[str, str] = {}
    caps: dict[str, _Caps] = {}
    fees: dict[str, _Fees] = {}
    cold: _Cold = msgspec.field(default_factory=_Cold)


def load_policy(path: Path) -> tuple[Policy, Registry]:
    """Read a policy file, and the registry that it names.

    Raises:
        BadPolicy: a value is wrong, or names what the registry does not have.
        BadRegistry: see `load_registry`.
        LooseFile: other users may write or read it.
    """
    text = _read(path)
    try:
        file = msgspec.convert(tomllib.loads(text), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadPolicy(path, str(error)) from None
    registry = load_registry(*(path.parent / name for name in file.registry_files))
    try:
        return _policy(file, registry, sha256(text.encode()).hexdigest()), registry
    except Problem as problem:
        raise BadPolicy(path, problem.message) from None


def _read(path: Path) -> str:
    if not path.exists():
        return ""
    check_private(path)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BadPolicy(path, "not UTF-8 text") from None


def _policy(file: _File, registry: Registry, digest: str) -> Policy:
    is_sandbox = file.mode is Mode.SANDBOX
    defaults = _sandbox_caps(registry) if is_sandbox else {}
    fee_defaults = _sandbox_fees(registry) if is_sandbox else {}
    purposes = file.purposes if file.purposes is not None else tuple(Purpose) if is_sandbox else ()
    return Policy(
        mode=file.mode,
        digest=digest,
        purposes=frozenset(purposes),
        attempts_max=file.attempts,
        operators=MappingProxyType(_operators(file.operators)),
        caps=MappingProxyType({**defaults, **{name: _caps(registry, name, row) for name, row in file.caps.items()}}),
        fees=MappingProxyType(
            {**fee_defaults, **{name: _fees(registry, name, row) for name, row in file.fees.items()}}
        ),
        cold=ColdList(file.cold.serial, _cold(registry, file.cold.addresses)),
        cold_signatures=MappingProxyType(_signatures(file.cold.signatures)),
    )


def _operators(keys: Mapping[str, str]) -> dict[str, str]:
    found = {name: read_public_key(key).hex() for name, key in keys.items()}
    if len(set(found.values())) < len(found):
        raise Invalid("operators: two names have one key; each person has a key of his own")
    return found


def _signatures(texts: Mapping[str, str]) -> dict[str, bytes]:
    for name, text in texts.items():
        if not _SIGNATURE.fullmatch(text):
            raise Invalid(f"cold.signatures.{name}: write the 128 hex digits that `bitlinkpay approve cold` printed")
    return {name: bytes.fromhex(text) for name, text in texts.items()}


def _caps(registry: Registry, name: str, row: _Caps) -> Caps:
    asset = registry.asset(name)
    caps = Caps(*(_units(asset, f"caps.{name}", text) for text in (row.payment, row.hour, row.day)))
    if not caps.payment <= caps.hour <= caps.day:
        raise Invalid(f"caps.{name}: write payment <= hour <= day")
    return caps


def _fees(registry: Registry, name: str, row: _Fees) -> FeeCaps:
    native = registry.native(name)
    fees = FeeCaps(*(_units(native, f"fees.{name}", text) for text in (row.most, row.day)))
    if fees.most > fees.day:
        raise Invalid(f"fees.{name}: write most <= day")
    return fees


def _units(asset: Asset, where: str, text: str) -> int:
    try:
        return to_units(parse_decimal(text, places=asset.decimals), asset.decimals)
    except Invalid as problem:
        raise Invalid(f"{where}: {problem.message}") from None


def _cold(registry: Registry, addresses: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, text in sorted(addresses.items()):
        try:
            found[name] = parse_address(registry.network(registry.asset(name).network), text)
        except Problem as problem:
            raise Invalid(f"cold.addresses.{name}: {problem.message}") from None
    return found


def _sandbox_caps(registry: Registry) -> dict[str, Caps]:
    """In a sandbox a payment may be as large as a deposit that needs no review."""
    return {
        name: Caps(asset.sanity_units, _SANDBOX_HOURS * asset.sanity_units, _SANDBOX_DAYS * asset.sanity_units)
        for name, asset in registry.assets.items()
    }


def _sandbox_fees(registry: Registry) -> dict[str, FeeCaps]:
    units = {name: registry.native(name).sanity_units // _SANDBOX_FEE for name in registry.networks}
    return {name: FeeCaps(most, _SANDBOX_DAYS * most) for name, most in units.items()}
