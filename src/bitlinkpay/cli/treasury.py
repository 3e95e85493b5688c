"""`bitlinkpay treasury`: the platform's own wallets, books and chain side by side, and money put into them."""

import argparse
import asyncio
import getpass
from collections.abc import Mapping, Sequence
from uuid import UUID

from bitlinkpay.app.networks import chains_of
from bitlinkpay.app.platform import Platform, open_platform
from bitlinkpay.chains.address import parse_address, show_address
from bitlinkpay.chains.base import Chain, ChainError
from bitlinkpay.chains.outgoing import Wallet
from bitlinkpay.cli.console import add_data_dir, add_json, find_deployment, show
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.ids import DepositId, parse_id, show_id
from bitlinkpay.core.money import format_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits import store as deposits
from bitlinkpay.deposits.model import Deposit
from bitlinkpay.sending.service import custody
from bitlinkpay.settings import Settings
from bitlinkpay.treasury import funding, store

_LIMIT = 1000


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Show the wallets, list money without an owner, or claim some of it as the company's."""
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("status", help="each wallet that pays: books, promised, chain")
    actions.add_parser("unclaimed", help="money that came straight to our wallets, without an owner")
    claim = actions.add_parser("claim", help="it is the company's own: liquidity and gas of that wallet")
    claim.add_argument("id", help="dep_…, as `treasury unclaimed` shows it")
    claim.add_argument("--sender", default="", help="TON: the company's address that sent it, as `unclaimed` shows it")
    for action in actions.choices.values():
        add_data_dir(action)
        add_json(action)
    given = parser.parse_args(words)
    show(asyncio.run(_run(find_deployment(given.data_dir), given)), as_json=given.json)
    return 0


async def _run(settings: Settings, given: argparse.Namespace) -> object:
    async with open_platform(settings) as platform:
        match given.action:
            case "status":
                return await _status(platform)
            case "unclaimed":
                return await _unclaimed(platform)
            case _:
                return await _claim(platform, DepositId(parse_id("dep", given.id)), given.sender)


async def _status(platform: Platform) -> list[dict[str, object]]:
    wallets = {network.id: platform.ring.hot_wallet(network) for network in platform.registry.networks.values()}
    async with platform.database.reader() as tx:
        held = await store.list_custody(tx, sorted({wallet.address for wallet in wallets.values()}))
    books = {(one.account, one.asset): one for one in held}
    chains = chains_of(platform.settings, platform.registry, platform.database, platform.ring)
    try:
        return [
            await _row(platform, asset, wallets[asset.network], books, chains[asset.network])
            for asset in platform.registry.assets.values()
            if asset.network in chains
        ]
    finally:
        await asyncio.gather(*(chain.aclose() for chain in chains.values()))


async def _row(
    platform: Platform, asset: Asset, wallet: Wallet, books: Mapping[tuple[str, str], store.Held], chain: Chain
) -> dict[str, object]:
    network = platform.registry.networks[asset.network]
    account = custody(network, wallet)
    found = books.get((account, asset.id), store.Held(account, asset.id, 0, 0))
    return {
        "network": network.id,
        "wallet": show_address(network, wallet.address),
        "asset": asset.id,
        "books": format_units(found.units, asset.decimals),
        "promised": format_units(found.promised_units, asset.decimals),
        "chain": await _on_chain(chain, asset, wallet.address),
    }


async def _on_chain(chain: Chain, asset: Asset, address: str) -> str:
    try:
        final = (await chain.head()).final.height
        (units,) = await chain.balances(asset, [address], final)
    except ChainError as error:
        return f"unknown: {error}"
    return format_units(units, asset.decimals)


async def _unclaimed(platform: Platform) -> list[dict[str, object]]:
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


async def _claim(platform: Platform, deposit_id: DepositId, sender: str) -> dict[str, object]:
    operator, now = getpass.getuser(), platform.clock.now()

    async def work(tx: Tx) -> Deposit:
        found = await deposits.find(tx, deposit_id)
        named = parse_address(platform.registry.networks[found.network], sender) if found and sender else ""
        return await funding.claim(tx, platform.registry, deposit_id, sender=named, by=operator, now=now)

    deposit = await platform.database.unit(work)
    asset = platform.registry.assets[deposit.asset]
    return {
        "id": show_id("dep", deposit_id),
        "asset": asset.id,
        "amount": format_units(deposit.units, asset.decimals),
        "state": deposit.state,
    }
