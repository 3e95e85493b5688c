"""What `bitlinkpay treasury` shows: wallets with books and chain side by side, the plan, moves, unowned money."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from uuid import UUID, uuid4

from bitlinkpay.app.networks import chains_of
from bitlinkpay.app.paying import treasuries_of
from bitlinkpay.app.platform import Platform
from bitlinkpay.chains.address import show_address
from bitlinkpay.chains.base import Chain, ChainError
from bitlinkpay.chains.outgoing import Purpose, Wallet
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Asset, Family
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.core.ids import show_id
from bitlinkpay.core.money import format_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.ledger import accounts
from bitlinkpay.sending.outputs import store as outputs
from bitlinkpay.sending.service import custody
from bitlinkpay.signer.client import SignerClient
from bitlinkpay.treasury import store
from bitlinkpay.treasury.consolidating import Consolidating
from bitlinkpay.treasury.joining import Joint
from bitlinkpay.treasury.levels import store as levels_store
from bitlinkpay.treasury.loans import store as loans_store
from bitlinkpay.treasury.model import Levels, Move, Permit
from bitlinkpay.treasury.moves import store as moves_store
from bitlinkpay.treasury.parts import TreasuryParts
from bitlinkpay.treasury.service import ANYTHING
from bitlinkpay.treasury.store import Held
from bitlinkpay.treasury.sweeping import Sweeping

_LIMIT = 1000


class _Sight:
    """What addresses hold on the chains, each at one final block, for which its chain is asked once."""

    def __init__(self, chains: Mapping[str, Chain]) -> None:
        self._chains = chains
        self._finals: dict[str, int] = {}

    async def holds(self, asset: Asset, address: str) -> str:
        """Return what an address holds of an asset, or why that is not known."""
        chain, name = self._chains[asset.network], asset.network
        try:
            if name not in self._finals:
                self._finals[name] = (await chain.head()).final.height
            (units,) = await chain.balances(asset, [address], self._finals[name])
        except ChainError as error:
            return f"unknown: {error}"
        return format_units(units, asset.decimals)


async def show_status(platform: Platform) -> list[dict[str, object]]:
    """Return a row per hot wallet and asset, then a row per asset in cold storage."""
    wallets = {network.id: platform.ring.hot_wallet(network) for network in platform.registry.networks.values()}
    async with platform.database.reader() as tx:
        held = await store.list_custody(tx, sorted({wallet.address for wallet in wallets.values()}))
        levels = await levels_store.list_levels(tx)
        counts = await _count_outputs(platform, tx, wallets)
        lent = await loans_store.lent_units(tx)
    books = {(one.account, one.asset): one for one in held}
    cold = (await permit_of(platform)).cold
    chains = chains_of(platform.settings, platform.registry, platform.database, platform.ring)
    assets, sight = [asset for asset in platform.registry.assets.values() if asset.network in chains], _Sight(chains)
    try:
        hot = [
            await _hot_row(platform, asset, wallets[asset.network], books, sight)
            | {"outputs": counts.get(asset.network)}
            | _lent_cell(asset, lent)
            | _levels_cells(asset, levels.get(asset.id))
            for asset in assets
        ]
        frozen = [
            await _cold_row(platform, asset, cold.get(asset.id, ""), books, sight)
            | {"outputs": None}
            | _lent_cell(asset, {})
            | _levels_cells(asset, None)
            for asset in assets
            if (accounts.COLD, asset.id) in books
        ]
        return [*hot, *frozen]
    finally:
        await asyncio.gather(*(chain.aclose() for chain in chains.values()))


async def _count_outputs(platform: Platform, tx: Tx, wallets: Mapping[str, Wallet]) -> Mapping[str, int]:
    """Return by network how many outputs a hot wallet can spend now, where the network counts those."""
    if platform.settings.is_sandbox:  # simulated networks count balances
        return {}
    counting = [one.id for one in platform.registry.networks.values() if one.family is Family.BITCOIN]
    return {name: len(await outputs.list_free(tx, name, [wallets[name].address])) for name in counting}


async def permit_of(platform: Platform) -> Permit:
    """Return what the signer beside us allows; where none answers, nothing is known of cold addresses."""
    folder = platform.settings.signer_dir
    if not folder.is_dir():
        return Permit(ANYTHING, {})
    try:
        standing = await SignerClient(folder).standing()
    except Unavailable:
        return Permit(ANYTHING, {})
    return Permit(frozenset(map(Purpose, standing.purposes)), standing.cold)


async def _hot_row(
    platform: Platform, asset: Asset, wallet: Wallet, books: Mapping[tuple[str, str], Held], sight: _Sight
) -> dict[str, object]:
    network = platform.registry.networks[asset.network]
    account = custody(network, wallet)
    found = books.get((account, asset.id), Held(account, asset.id, 0, 0))
    return {
        "network": network.id,
        "kind": "hot",
        "wallet": show_address(network, wallet.address),
        "asset": asset.id,
        "books": format_units(found.units, asset.decimals),
        "promised": format_units(found.promised_units, asset.decimals),
        "chain": await sight.holds(asset, wallet.address),
    }


async def _cold_row(
    platform: Platform, asset: Asset, address: str, books: Mapping[tuple[str, str], Held], sight: _Sight
) -> dict[str, object]:
    network = platform.registry.networks[asset.network]
    return {
        "network": network.id,
        "kind": "cold",
        "wallet": show_address(network, address) if address else "not pinned",
        "asset": asset.id,
        "books": format_units(books[accounts.COLD, asset.id].units, asset.decimals),
        "promised": "0",
        "chain": await sight.holds(asset, address) if address else "unknown: no address is pinned",
    }


def _lent_cell(asset: Asset, lent: Mapping[str, int]) -> dict[str, object]:
    """Return the stake that is out for sweeps, or promised to them, beside the coin that it is staked of."""
    return {"lent": format_units(lent.get(asset.network, 0) if asset.is_native else 0, asset.decimals)}


def _levels_cells(asset: Asset, levels: Levels | None) -> dict[str, object]:
    units = (levels.floor_units, levels.target_units, levels.ceiling_units) if levels else (None, None, None)
    names = ("floor", "target", "ceiling")
    return {
        name: None if one is None else format_units(one, asset.decimals) for name, one in zip(names, units, strict=True)
    }


async def show_plan(platform: Platform) -> list[dict[str, object]]:
    """Return what would be collected or joined now and why the rest waits, by asset and reason; nothing is done."""
    purposes = (await permit_of(platform)).purposes
    chains = chains_of(platform.settings, platform.registry, platform.database, platform.ring)
    try:
        rows = [await _plan_rows(parts, purposes) for parts in treasuries_of(platform, chains)]
    finally:
        await asyncio.gather(*(chain.aclose() for chain in chains.values()))
    return [row for some in rows for row in some]


async def _plan_rows(parts: TreasuryParts, purposes: frozenset[Purpose]) -> list[dict[str, object]]:
    try:
        found = await Sweeping(parts).plan(purposes)
        joint = await Consolidating(parts, uuid4()).plan()
    except ChainError as error:
        return [_plan_row(parts.native, "unknown", str(error), 0, 0)]
    rows: list[dict[str, object]] = []
    for asset_id, weighed in found.items():
        count: Counter[tuple[str, str]] = Counter()
        units: Counter[tuple[str, str]] = Counter()
        for one in weighed:
            key = (f"sweep {one.move.method}", "") if one.move else ("wait", one.reason)
            count[key] += 1
            units[key] += one.move.units if one.move else one.address.units
        asset = parts.registry.assets[asset_id]
        rows += [_plan_row(asset, *key, count[key], units[key]) for key in count]
    return [*rows, _joint_row(parts.native, joint)] if joint else rows


def _joint_row(asset: Asset, joint: Joint) -> dict[str, object]:
    if joint.reason:
        return _plan_row(asset, "wait", f"outputs of the hot wallet: {joint.reason}", 1, joint.units)
    cost = format_units(joint.fee_units, asset.decimals)
    return _plan_row(asset, "consolidate", f"{joint.outputs} outputs into one, for about {cost}", 1, joint.units)


def _plan_row(asset: Asset, decision: str, reason: str, addresses: int, units: int) -> dict[str, object]:
    return {
        "network": asset.network,
        "asset": asset.id,
        "decision": decision,
        "addresses": addresses,
        "amount": format_units(units, asset.decimals),
        "reason": reason,
    }


async def show_moves(platform: Platform, network: str) -> list[dict[str, object]]:
    """Return the newest moves between our wallets.

    Raises:
        Invalid: no such network.
    """
    if network:
        platform.registry.network(network)
    async with platform.database.reader() as tx:
        found = await moves_store.list_newest(tx, network, _LIMIT)
        loans = await loans_store.states(tx, [move.move_id for move, _, _ in found])
    assets, networks = platform.registry.assets, platform.registry.networks
    return [
        {
            "planned_at": at.isoformat(timespec="seconds"),
            "kind": move.kind,
            "method": move.method,
            "asset": move.asset,
            "amount": format_units(move.units, assets[move.asset].decimals)
            if move.asset in assets
            else str(move.units),
            "from": show_address(networks[move.network], move.source.address) if move.network in networks else "",
            "state": move.state,
            "lent": _stake(platform.registry, move),
            "loan": loans.get(move.move_id, ""),
            "reason": reason,
        }
        for move, at, reason in found
    ]


def _stake(registry: Registry, move: Move) -> str:
    if move.network not in registry.networks:
        return str(move.stake_units)
    return format_units(move.stake_units, registry.native(move.network).decimals)


async def show_unclaimed(platform: Platform) -> list[dict[str, object]]:
    """Return money that came straight to our wallets and has no owner, the newest first."""
    async with platform.database.reader() as tx:
        found = await store.list_unclaimed(tx, _LIMIT)
    assets, networks = platform.registry.assets, platform.registry.networks
    return [
        {
            "id": show_id("dep", UUID(deposit_id)),
            "asset": asset,
            "sender": show_address(networks[assets[asset].network], source) if asset in assets else source,
            "wallet": address,
            "amount": format_units(units, assets[asset].decimals) if asset in assets else str(units),
        }
        for deposit_id, asset, source, address, units in found
    ]
