"""`bitlinkpay lane`: the queue of each wallet that pays, and putting a frozen one back to work."""

import argparse
import asyncio
import getpass
from collections.abc import Sequence

from bitlinkpay.app.networks import chains_of
from bitlinkpay.app.paying import roads_of
from bitlinkpay.app.platform import Platform, open_platform
from bitlinkpay.chains.address import parse_address, show_address
from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.outgoing import Wallet
from bitlinkpay.cli.console import add_usual, find_deployment, show
from bitlinkpay.core.assets import Network
from bitlinkpay.core.errors import Invalid, NotFound, Unavailable
from bitlinkpay.sending import thawing
from bitlinkpay.sending.lanes import store
from bitlinkpay.sending.lanes.store import LaneRow
from bitlinkpay.settings import Settings


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """List the lanes, or let a frozen one go on."""
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="each wallet that pays: what waits, what is on its way, why it is frozen")
    thaw = actions.add_parser("thaw", help="let a frozen lane go on, after you know who used its key")
    thaw.add_argument("network", help="id of the network")
    thaw.add_argument("wallet", nargs="?", default="", help="its address; the network's hot wallet by itself")
    add_usual(actions)
    given = parser.parse_args(words)
    show(asyncio.run(_run(find_deployment(given.data_dir), given)), as_json=given.json)
    return 0


async def _run(settings: Settings, given: argparse.Namespace) -> object:
    async with open_platform(settings) as platform:
        if given.action == "thaw":
            return _row(platform, await _thaw(platform, platform.registry.network(given.network), given.wallet))
        async with platform.database.reader() as tx:
            found = await store.list_all(tx)
        return [_row(platform, lane) for lane in found]


async def _thaw(platform: Platform, network: Network, wallet: str) -> LaneRow:
    payer = await _payer(platform, network, wallet)
    number = await _chain_number(platform, network, payer)
    by, now = getpass.getuser(), platform.clock.now()
    return await platform.database.unit(
        lambda tx: thawing.thaw(tx, network.id, payer, chain_number=number, by=by, now=now)
    )


async def _payer(platform: Platform, network: Network, wallet: str) -> Wallet:
    if not wallet:
        return platform.ring.hot_wallet(network)
    try:
        address = parse_address(network, wallet)
    except Invalid as error:
        raise Invalid(f"wallet: {error.message}", param="wallet") from None
    async with platform.database.reader() as tx:
        lanes = await store.list_all(tx)
    found = next((lane.payer for lane in lanes if (lane.network, lane.payer.address) == (network.id, address)), None)
    if found is None:
        raise NotFound("no lane of this wallet; see `bitlinkpay lane list`")
    return found


async def _chain_number(platform: Platform, network: Network, payer: Wallet) -> int:
    chains = chains_of(platform.settings, platform.registry, platform.database, platform.ring)
    try:
        road = roads_of(platform, chains).get(network.id)
        if road is None:
            raise NotFound(f"this deployment does not pay on {network.id}")
        return (await road.sender.lane(payer)).next_number
    except ChainError as error:
        raise Unavailable(f"{network.title} can't be asked where the wallet stands: {error}") from error
    finally:
        await asyncio.gather(*(chain.aclose() for chain in chains.values()))


def _row(platform: Platform, lane: LaneRow) -> dict[str, object]:
    network = platform.registry.networks.get(lane.network)
    return {
        "network": lane.network,
        "wallet": show_address(network, lane.payer.address) if network else lane.payer.address,
        "next_number": lane.next_number,
        "waiting": lane.waiting,
        "running": lane.running,
        "frozen": lane.frozen_reason,
    }
