"""Every network row that the platform ships, pointed at its family's test network: what payers and the chain can do there.

The adapter is built as a deployment builds it, out of a registry file. What each network is not stands in its `network.py`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from eth_utils import to_checksum_address
from tests.chains.bitcoin.network import GENESIS, BitcoinNetwork
from tests.chains.evm.network import EvmNetwork
from tests.chains.solana.network import SolanaNetwork
from tests.chains.solana.network import coin as sol
from tests.chains.ton import network as ton
from tests.chains.tron.network import TronNet
from tests.nodes.anvil import Anvil, Contract

from bitlinkpay.app.networks import chains_of, load_networks
from bitlinkpay.chains.base import Chain
from bitlinkpay.chains.registry import Registry, load_registry
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.mode import Mode
from bitlinkpay.db.pool import Database
from bitlinkpay.settings import Settings
from bitlinkpay.signer.keyring import KeyRing

NETWORKS = tuple(load_registry().networks)
TRANSFER = "transfer(address,uint256)"

Pay = Callable[[str, str, int], Awaitable[object]]  # address, tag, base units; what is paid waits for the next block


@dataclass
class Place:
    """One row's test network.

    Attributes:
        rows: what its registry file says of the network and its token.
        pays: by asset id how a stranger pays an order; "" for a token that nobody has listed.
        mine: makes a block of what waits.
        finalize: makes everything final that stands in a block, and what waits.
        reorg: replaces the newest block by one without its transactions, None where nothing is shown before it is final.
    """

    network_id: str
    rows: str
    pays: Mapping[str, Pay]
    mine: Callable[[], Awaitable[object]]
    finalize: Callable[[], Awaitable[object]]
    reorg: Callable[[], Awaitable[object]] | None

    def settings(self, folder: Path) -> Settings:
        (folder / "rows.toml").write_text(self.rows)
        return Settings(folder, Mode.LIVE, registry_files=("rows.toml",))

    def registry(self, folder: Path) -> Registry:
        """Return the rows that a deployment with this file reads."""
        return load_networks(self.settings(folder))

    def chain(self, folder: Path, database: Database, ring: KeyRing) -> Chain:
        """Return a fresh adapter, as after a start."""
        return chains_of(self.settings(folder), self.registry(folder), database, ring)[self.network_id]

    def payable(self, registry: Registry) -> list[Asset]:
        return [asset for asset in registry.assets_of(self.network_id) if asset.payable]


def _rows(network_id: str, genesis: str, url: str, more: str = "", **token: object) -> str:
    """Return a registry file: the row's own chain id, another genesis, and its USDT by another contract."""
    text = f'[networks.{network_id}]\ngenesis = "{genesis}"\nendpoints = ["{url}"]\n{more}'
    if not token:
        return text
    whole = {"symbol": "USDT", "network": network_id, "payable_decimals": 6, "wm_coin_id": 1}
    fields = "".join(f"{key} = {value!r}\n" for key, value in (whole | token).items())
    return f"{text}\n[assets.usdt-{network_id}]\n{fields}minimum = '0.01'\nsanity = '10000000'\n"


@asynccontextmanager
async def open_place(network_id: str, ring: KeyRing, clock: Callable[[], float]) -> AsyncIterator[Place]:
    """Run a row's test network for the length of a `with` block."""
    family = load_registry().networks[network_id].family
    async with AsyncExitStack() as stack:
        match family:
            case "evm":
                yield await _evm(stack, network_id)
            case "tron":
                yield await _tron(stack)
            case "bitcoin":
                yield await _bitcoin(stack, clock)
            case "solana":
                yield await _solana(stack)
            case "ton":
                yield await _ton(stack, ring)


async def _evm(stack: AsyncExitStack, network_id: str) -> Place:
    row = load_registry().networks[network_id]
    node = await stack.enter_async_context(Anvil.start(chain_id=row.chain_id))
    net = EvmNetwork(node, await node.deploy("DollarToken"))
    other = await node.deploy("DollarToken")
    decimals = next(a.decimals for a in load_registry().assets_of(network_id) if a.symbol == "USDT")
    token = net.usdt_contract
    if decimals != 6:  # Binance-Peg
        token = await node.deploy("PlainToken", ("string", "string", "uint8"), ["Tether USD", "USDT", decimals])
    await node.mine(3)

    async def coin(address: str, _tag: str, units: int) -> None:
        await node.send(to=address, value=units, gas=60_000)

    async def send(contract: Contract, address: str, _tag: str, units: int) -> None:
        await contract.send(TRANSFER, address, units)

    native = next(a.id for a in load_registry().assets_of(network_id) if a.is_native)
    contract = to_checksum_address(token.address)
    return Place(
        network_id,
        _rows(
            network_id, node.genesis, node.url, f'proof = "{row.proof}"\n',
            standard="ERC20", contract=contract, decimals=decimals,
        ),
        {native: coin, f"usdt-{network_id}": partial(send, token), "": partial(send, other)},
        net.mine,
        partial(node.mine, 4),
        partial(node.reorg, 1),
    )  # fmt: skip


async def _tron(stack: AsyncExitStack) -> Place:
    net = await stack.enter_async_context(TronNet.start(nodes=1))
    usdt, other = await net.token(), await net.token()

    async def coin(address: str, _tag: str, units: int) -> None:
        net.pay(address, units)

    async def token(address: str, _tag: str, units: int) -> None:
        usdt.send(TRANSFER, address, units)

    async def foreign(address: str, _tag: str, units: int) -> None:
        other.send(TRANSFER, address, units)

    await net.finalize()
    rows = _rows("tron", net.genesis, net.urls[0], standard="TRC20", contract=usdt.address, decimals=6)
    pays = {"trx-tron": coin, "usdt-tron": token, "": foreign}
    return Place("tron", rows, pays, net.mine, net.finalize, partial(net.reorg, 1))


async def _bitcoin(stack: AsyncExitStack, clock: Callable[[], float]) -> Place:
    net = await stack.enter_async_context(BitcoinNetwork.start("kernel", clock=clock))

    async def coin(address: str, _tag: str, units: int) -> None:
        await net.pay(address, units)

    rows = _rows("bitcoin", GENESIS, net.url, "testnet = true\n")
    return Place("bitcoin", rows, {"btc-bitcoin": coin}, net.mine, net.finalize, partial(net.reorg, 1))


async def _solana(stack: AsyncExitStack) -> Place:
    net = await stack.enter_async_context(SolanaNetwork.start())
    usdt, other = await net.token(), await net.token()

    async def send(asset: Asset, address: str, _tag: str, units: int) -> None:
        await net.fund(address, asset, units)

    await net.finalize()
    rows = _rows("solana", net.ledger.genesis_hash, net.urls[0], standard="SPL", contract=usdt.contract, decimals=6)
    pays = {"usdt-solana": partial(send, usdt), "sol-solana": partial(send, sol()), "": partial(send, other)}
    return Place("solana", rows, pays, net.mine, net.finalize, None)


async def _ton(stack: AsyncExitStack, ring: KeyRing) -> Place:
    net = await stack.enter_async_context(ton.TonNetwork.start())
    usdt, other = await net.token(ring.ton_wallet), await net.token(ring.ton_wallet)
    for asset in (usdt, other):
        await net.fund(ton.PAYER, asset, 10**12)

    async def coin(address: str, tag: str, units: int) -> None:
        await net.pay(address, units, tag)

    async def send(asset: Asset, address: str, tag: str, units: int) -> None:
        await net.pay_jettons(asset.contract, address, units, tag)

    rows = _rows("ton", ton.GENESIS, net.url, standard="jetton", contract=usdt.contract, wallet=usdt.wallet, decimals=6)
    pays = {"ton-ton": coin, "usdt-ton": partial(send, usdt), "": partial(send, other)}
    return Place("ton", rows, pays, net.mine, net.finalize, None)
