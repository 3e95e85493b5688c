"""Registry files into checked rows: TOML text, merged file over file, then every rule a row must keep."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

from bitlinkpay.chains.address import parse_address
from bitlinkpay.core.assets import Agreement, Asset, Depth, Family, Network
from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.money import parse_decimal, to_units

_FILE_BYTES = 1_000_000
_IDENTITY = ("chain_id", "genesis", "family", "testnet")  # a change of one of these makes it another chain
_NETWORK_ID = re.compile(r"[a-z][a-z0-9]{1,15}", re.ASCII)
_SYMBOL = re.compile(r"[A-Z][A-Z0-9]{1,11}", re.ASCII)
_GENESIS = {
    Family.EVM: re.compile(r"0x[0-9a-f]{64}", re.ASCII),
    Family.TRON: re.compile(r"[0-9a-f]{64}", re.ASCII),
    Family.BITCOIN: re.compile(r"[0-9a-f]{64}", re.ASCII),
    Family.SOLANA: re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,44}", re.ASCII),
    Family.TON: re.compile(r"[0-9A-Za-z+/]{43}=", re.ASCII),
}
_NATIVE_DECIMALS = {Family.EVM: 18, Family.TRON: 6, Family.BITCOIN: 8, Family.SOLANA: 9, Family.TON: 9}

Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Digits = Annotated[int, msgspec.Meta(ge=0, le=30)]
Foreign = Annotated[str, msgspec.Meta(max_length=40)]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=40, pattern=r"^[ -~]*$")]


class BadRegistry(Invalid):
    """A registry file can't be used: the message names file, row and field."""

    code = "registry.invalid"


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    networks: dict[str, dict[str, object]] = msgspec.field(default_factory=dict)
    assets: dict[str, dict[str, object]] = msgspec.field(default_factory=dict)


class _NetworkRow(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    title: Label
    family: Family
    chain_id: Natural = 0
    genesis: str = ""
    wm_chain_id: Positive
    block_time_ms: Positive
    confirmations: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    final_after_s: Annotated[int, msgspec.Meta(ge=0, le=86_400)]
    grace_s: Annotated[int, msgspec.Meta(ge=0, le=86_400)]
    testnet: bool = False
    sandbox_lag: Annotated[int, msgspec.Meta(ge=0, le=100)] = 2
    proof: Literal["recomputed", "compared"] = "recomputed"
    endpoints: tuple[str, ...] = ()
    quorum: Annotated[int, msgspec.Meta(ge=1, le=20)] = 1


class _DepthRow(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    amount: str
    confirmations: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None
    finality: Literal["finalized"] | None = None


class _QuorumRow(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    amount: str
    quorum: Annotated[int, msgspec.Meta(ge=2, le=20)]


class _AssetRow(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    symbol: str
    title: Label | None = None
    aliases: tuple[str, ...] = ()
    network: str
    standard: str = ""
    contract: str = ""
    wallet: str = ""
    decimals: Digits
    payable_decimals: Digits
    wm_coin_id: Positive
    minimum: str
    sanity: str
    payable: bool = True
    payer_fee_cents: Natural = 0
    depths: tuple[_DepthRow, ...] = ()
    quorums: tuple[_QuorumRow, ...] = ()
    onchain_symbol: Foreign = ""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """RPC endpoints of a network and how many of them must answer alike."""

    urls: tuple[str, ...]
    quorum: int


@dataclass(slots=True)
class Rows:
    """The merged, not yet checked rows, and which file touched each row last."""

    networks: dict[str, dict[str, object]] = field(default_factory=dict)
    assets: dict[str, dict[str, object]] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)

    def problem(self, row: str, text: str, *, param: str | None = None) -> BadRegistry:
        """Return the refusal of a row, such as `assets.usdt-tron`, that says where it stands."""
        return BadRegistry(f"{self.origin.get(row, 'registry')}: [{row}]: {text}", param=param)


def merge_files(*paths: Path) -> Rows:
    """Read the files in order; a later file overrides single fields of a row or adds rows.

    Raises:
        BadRegistry: a file can't be read, is not TOML or has something else than networks and assets.
    """
    rows = Rows()
    for path in paths:
        _merge(rows, _read(path), path.name)
    return rows


def _read(path: Path) -> _Document:
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_BYTES + 1)
        if len(data) > _FILE_BYTES:
            raise BadRegistry(f"{path.name}: larger than {_FILE_BYTES} bytes: split it")
        return msgspec.convert(tomllib.loads(data.decode()), type=_Document)
    except OSError as error:
        raise BadRegistry(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadRegistry(f"{path.name}: save it as UTF-8") from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadRegistry(f"{path.name}: {error}") from None


def _merge(rows: Rows, document: _Document, name: str) -> None:
    for network_id, new in document.networks.items():
        old = rows.networks.get(network_id, {})
        if old and any(key in new and new[key] != old.get(key) for key in _IDENTITY):
            _forget_chain(rows, network_id, restated=document.assets)
        rows.networks[network_id] = {**rows.networks.get(network_id, {}), **new}
        rows.origin[f"networks.{network_id}"] = name
    for asset_id, new in document.assets.items():
        rows.assets[asset_id] = {**rows.assets.get(asset_id, {}), **new}
        rows.origin[f"assets.{asset_id}"] = name


def _forget_chain(rows: Rows, network_id: str, *, restated: Mapping[str, object]) -> None:
    """Drop what belonged to the chain that this row named before: a mainnet token must not haunt a devnet."""
    for key in ("genesis", "proof"):
        rows.networks[network_id].pop(key, None)
    tokens = [key for key, row in rows.assets.items() if row.get("network") == network_id and row.get("contract")]
    for asset_id in tokens:
        rows.assets[asset_id].update(contract="", wallet="")
        if asset_id not in restated:
            del rows.assets[asset_id]


Row = TypeVar("Row", bound=msgspec.Struct)


def _convert(rows: Rows, name: str, row: Mapping[str, object], kind: type[Row]) -> Row:
    try:
        return msgspec.convert(row, type=kind)
    except msgspec.ValidationError as error:
        text = str(error).replace(" - at `$.", " in field `")
        raise rows.problem(name, text[:1].lower() + text[1:]) from None


def read_networks(rows: Rows) -> tuple[dict[str, Network], dict[str, Endpoints]]:
    """Return the checked networks, and the endpoints of those that name any, by network id.

    Raises:
        BadRegistry: a row is wrong.
    """
    networks: dict[str, Network] = {}
    endpoints: dict[str, Endpoints] = {}
    for network_id, raw in rows.networks.items():
        name = f"networks.{network_id}"
        row = _convert(rows, name, raw, _NetworkRow)
        _check_network(rows, name, row)
        if not _NETWORK_ID.fullmatch(network_id):
            raise rows.problem(name, "name it by one lower-case word of 2 to 16 letters and digits", param="id")
        networks[network_id] = _network(network_id, row)
        if row.endpoints:
            endpoints[network_id] = Endpoints(row.endpoints, row.quorum)
    _check_unique(rows, "networks", {key: value.wm_chain_id for key, value in networks.items()}, "wm_chain_id")
    evm = {key: value.chain_id for key, value in networks.items() if value.family is Family.EVM}
    _check_unique(rows, "networks", evm, "chain_id")
    return networks, endpoints


def _network(network_id: str, row: _NetworkRow) -> Network:
    return Network(
        id=network_id,
        title=row.title,
        family=row.family,
        chain_id=row.chain_id,
        genesis=row.genesis,
        wm_chain_id=row.wm_chain_id,
        block_time=timedelta(milliseconds=row.block_time_ms),
        confirmations=row.confirmations,
        final_after=timedelta(seconds=row.final_after_s),
        grace=timedelta(seconds=row.grace_s),
        testnet=row.testnet,
        sandbox_lag=row.confirmations - 1 if row.confirmations else row.sandbox_lag,
        proof=row.proof,
    )


def _check_network(rows: Rows, name: str, row: _NetworkRow) -> None:
    if (row.family is Family.EVM) != (row.chain_id > 0):
        raise rows.problem(name, "EVM networks, and no others, have a `chain_id` of 1 or more", param="chain_id")
    if (row.family is Family.BITCOIN) != (row.confirmations > 0):
        text = "Bitcoin networks, and no others, have `confirmations` of 1 or more (the others have a final tag)"
        raise rows.problem(name, text, param="confirmations")
    if row.genesis and not _GENESIS[row.family].fullmatch(row.genesis):
        text = f"`genesis` is not a block hash as {row.family} writes it; leave it out where unknown"
        raise rows.problem(name, text, param="genesis")
    for url in row.endpoints:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise rows.problem(name, "write each of `endpoints` as http:// or https:// and a host", param="endpoints")
    if row.endpoints and row.quorum > len(set(row.endpoints)):
        raise rows.problem(name, "`quorum` asks for more endpoints than `endpoints` names", param="quorum")


def _check_unique(rows: Rows, table: str, values: Mapping[str, object], param: str) -> None:
    first: dict[object, str] = {}
    for key, value in values.items():
        if value in first:
            text = f"`{param}` {value} is taken by [{table}.{first[value]}]: choose another"
            raise rows.problem(f"{table}.{key}", text, param=param)
        first[value] = key


def read_assets(rows: Rows, networks: Mapping[str, Network]) -> dict[str, Asset]:
    """Return the checked assets by id.

    Raises:
        BadRegistry: a row is wrong, or a network has not exactly one native coin.
    """
    assets = {key: _asset(rows, key, raw, networks) for key, raw in rows.assets.items()}
    for network in networks.values():
        of_network = [asset for asset in assets.values() if asset.network == network.id]
        natives = [asset.id for asset in of_network if asset.is_native]
        if len(natives) != 1:
            text = f"needs exactly one asset without `contract` (its own coin), has {len(natives)}: {natives}"
            raise rows.problem(f"networks.{network.id}", text, param="contract")
        _check_unique(rows, "assets", {asset.id: asset.wm_coin_id for asset in of_network}, "wm_coin_id")
        _check_unique(rows, "assets", {a.id: a.contract for a in of_network if a.contract}, "contract")
        _check_native(rows, network, assets[natives[0]])
    _check_coins(rows, assets.values())
    return assets


def _check_native(rows: Rows, network: Network, coin: Asset) -> None:
    """A family's own coin has the digits that its nodes count in, whatever it is called."""
    digits = _NATIVE_DECIMALS[network.family]
    if coin.decimals != digits:
        text = f"the coin of a network of family {network.family} has {digits} digits: write `decimals = {digits}`"
        raise rows.problem(f"assets.{coin.id}", text, param="decimals")


def _check_coins(rows: Rows, assets: Iterable[Asset]) -> None:
    """A ticker and its wm coin id belong together on all networks, and no ticker means two coins."""
    by_id: dict[int, str] = {}
    by_ticker: dict[str, str] = {}
    for asset in assets:
        if by_id.setdefault(asset.wm_coin_id, asset.symbol) != asset.symbol:
            text = f"`wm_coin_id` {asset.wm_coin_id} means {by_id[asset.wm_coin_id]}: choose another"
            raise rows.problem(f"assets.{asset.id}", text, param="wm_coin_id")
        for ticker in (asset.symbol, *asset.aliases):
            if by_ticker.setdefault(ticker, asset.symbol) != asset.symbol:
                text = f"ticker {ticker} means {by_ticker[ticker]} already: take it out of `aliases`"
                raise rows.problem(f"assets.{asset.id}", text, param="aliases")
    ids: dict[str, int] = {}
    for asset in assets:
        if ids.setdefault(asset.symbol, asset.wm_coin_id) != asset.wm_coin_id:
            text = f"{asset.symbol} has `wm_coin_id` {ids[asset.symbol]} on another network: write the same"
            raise rows.problem(f"assets.{asset.id}", text, param="wm_coin_id")


def _asset(rows: Rows, asset_id: str, raw: Mapping[str, object], networks: Mapping[str, Network]) -> Asset:
    name = f"assets.{asset_id}"
    row = _convert(rows, name, raw, _AssetRow)
    for ticker in (row.symbol, *row.aliases):
        if not _SYMBOL.fullmatch(ticker):
            text = f"write the ticker {ticker[:20]!r} in 2 to 12 upper-case letters and digits"
            raise rows.problem(name, text, param="symbol" if ticker == row.symbol else "aliases")
    if row.network not in networks:
        text = f"`network` names {row.network[:20]!r}; known are {', '.join(networks)}"
        raise rows.problem(name, text, param="network")
    if asset_id != f"{row.symbol.lower()}-{row.network}":
        raise rows.problem(name, f"name the row {row.symbol.lower()}-{row.network}", param="id")
    if row.payable_decimals > row.decimals:
        text = f"`payable_decimals` {row.payable_decimals} is more than `decimals` {row.decimals}"
        raise rows.problem(name, text, param="payable_decimals")
    network = networks[row.network]
    minimum_units = _units(rows, name, row, "minimum", row.minimum)
    sanity_units = _units(rows, name, row, "sanity", row.sanity)
    if minimum_units >= sanity_units:
        raise rows.problem(name, "`minimum` must be less than `sanity`", param="minimum")
    return Asset(
        id=asset_id,
        symbol=row.symbol,
        network=row.network,
        standard=row.standard,
        contract=_contract(rows, name, network, row),
        wallet=_jetton_wallet(rows, name, network, row),
        decimals=row.decimals,
        payable_decimals=row.payable_decimals,
        wm_coin_id=row.wm_coin_id,
        minimum_units=minimum_units,
        sanity_units=sanity_units,
        payable=row.payable,
        title=row.title or "",
        aliases=row.aliases,
        payer_fee_cents=row.payer_fee_cents,
        depths=_depths(rows, name, network, row),
        quorums=tuple(Agreement(_units(rows, name, row, "quorums", q.amount), q.quorum) for q in row.quorums),
        onchain_symbol=row.onchain_symbol,
    )


def _depths(rows: Rows, name: str, network: Network, row: _AssetRow) -> tuple[Depth, ...]:
    wanted = {Family.BITCOIN: "confirmations", Family.EVM: "finality"}.get(network.family)
    if row.depths and wanted is None:
        text = f"amounts on a network of family {network.family} have no `depths`: take it out"
        raise rows.problem(name, text, param="depths")
    kinds = {(depth.confirmations is not None, depth.finality is not None) for depth in row.depths}
    if kinds - {(wanted == "confirmations", wanted == "finality")}:
        raise rows.problem(name, f"write each of `depths` with `amount` and `{wanted}`", param="depths")
    return tuple(
        Depth(_units(rows, name, row, "depths", d.amount), d.confirmations or 0, d.finality or "") for d in row.depths
    )


def _units(rows: Rows, name: str, row: _AssetRow, param: str, text: str) -> int:
    try:
        return to_units(parse_decimal(text, places=row.decimals), row.decimals)
    except Invalid as error:
        raise rows.problem(name, f"`{param}` {text[:40]!r}: {error.message}", param=param) from None


def _contract(rows: Rows, name: str, network: Network, row: _AssetRow) -> str:
    if bool(row.contract) != bool(row.standard):
        raise rows.problem(name, "a token has `contract` and `standard`, a native coin has neither", param="standard")
    if not row.contract:
        return ""
    return _checked_address(rows, name, network, "contract", row.contract)


def _jetton_wallet(rows: Rows, name: str, network: Network, row: _AssetRow) -> str:
    if not row.wallet:
        return ""
    if network.family is not Family.TON or not row.contract:
        raise rows.problem(name, "only tokens on TON have a `wallet`: take it out", param="wallet")
    return _checked_address(rows, name, network, "wallet", row.wallet)


def _checked_address(rows: Rows, name: str, network: Network, param: str, text: str) -> str:
    try:
        canonical = parse_address(network, text)
    except Invalid as error:
        raise rows.problem(name, f"`{param}` {text[:80]!r}: {error.message}", param=param) from None
    if network.family is Family.EVM and canonical != text:
        raise rows.problem(name, f"write `{param}` with its checksum: {canonical}", param=param)
    return canonical
