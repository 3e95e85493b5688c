"""One test network of each family as a running deployment and its customers see it."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from tests.chains.bitcoin.network import GENESIS as BITCOIN_GENESIS
from tests.chains.bitcoin.network import BitcoinNetwork
from tests.chains.evm.network import EvmNetwork
from tests.chains.solana import treasury as solana_wallets
from tests.chains.solana.network import SolanaNetwork
from tests.chains.ton.network import GENESIS as TON_GENESIS
from tests.chains.ton.network import PAYER, TonNetwork, jetton
from tests.chains.tron.network import TronNet
from tests.flows import bitcoin as bitcoin_rows
from tests.flows import tron as tron_rows
from tests.live.test_paid_on_solana import ROW as SOLANA_ROW
from tests.live.test_paid_on_ton import ROW as TON_ROW
from tests.support.live import Devnet

from bitlinkpay.chains.address import show_address
from bitlinkpay.chains.simulated_format import address_from
from bitlinkpay.core.assets import Asset, Family, Network

POLICY = """
mode = "live"
registry_files = [{{registry}}]
purposes = ["payout", "setup", "cancel", "sweep", "gas"]

[caps]
{caps}

[fees]
{network} = {{{{ most = "{most}", day = "{day}" }}}}
"""
CAPS = '{asset} = {{{{ payment = "10000", hour = "100000", day = "500000" }}}}'
_AN_HOUR_MS = 3_600_000


class TestNetwork(Protocol):
    """What every family's test network can do."""

    @property
    def urls(self) -> Sequence[str]: ...

    async def fund(self, address: str, asset: Asset, units: int) -> object: ...

    async def mine(self, blocks: int = 1) -> object: ...

    async def balance(self, asset: Asset, address: str) -> int: ...


@dataclass
class Town:
    """A network under its registry name.

    Attributes:
        asset: what is paid in and out.
        gas: the network's coin, if it is another.
        chain_id, coin: how the SDK protocol names them.
        fiat: an order's price.
        payment: what a withdrawal pays.
        liquidity: what the company puts into the hot wallet, in whole coins: asset, gas.
        threshold: the balance at which the merchant's money goes home, and how much of it stays.
        pause_s: between two blocks.
    """

    network: str
    asset: str
    gas: str
    chain_id: int
    coin: str
    coin_id: int
    net: TestNetwork
    text: str
    most: str = "1"
    fiat: str = "720"
    payment: str = "1.5"
    liquidity: tuple[str, str] = ("2000", "2")
    threshold: tuple[str, str] = ("1050", "1000")
    pause_s: float = 0.5
    pin: Callable[[str], Awaitable[str]] | None = None  # completes the row once the platform's wallet is known
    pay_tagged: Callable[[str, int, str], Awaitable[None]] | None = None
    endpoints: Sequence[str] = ()

    def row(self) -> str:
        return self._text_of(self.text)

    def go_behind(self, urls: Sequence[str]) -> None:
        """Give the deployment other endpoints than the network's own."""
        self.endpoints = urls

    def _text_of(self, text: str) -> str:
        if not self.endpoints:
            return text
        quorum = f"quorum = {min(2, len(self.endpoints) - 1) or 1}"
        kept = "\n".join(line for line in text.splitlines() if not line.startswith("quorum = "))
        return kept.replace(json.dumps(list(self.net.urls)), f"{json.dumps(list(self.endpoints))}\n{quorum}")

    @property
    def policy(self) -> str:
        caps = "\n".join(CAPS.format(asset=asset) for asset in (self.asset, self.gas) if asset)
        return POLICY.format(caps=caps, network=self.network, most=self.most, day=int(float(self.most) * 100))

    def stranger(self, network: Network, number: int) -> tuple[str, str]:
        """Return an address that nobody uses: canonical, and as people write it."""
        if network.family is Family.SOLANA:  # on the curve: a wallet somebody may hold the key of
            canonical = solana_wallets.wallet(100 + number).address
        else:
            canonical = address_from(network, sha256(f"stranger {number}".encode()).digest())
        return canonical, show_address(network, canonical)


@asynccontextmanager
async def _evm() -> AsyncIterator[Town]:
    async with EvmNetwork.start() as net:
        row = Devnet("ethereum", net.network.chain_id or 0, net.node.genesis, net.urls, net.usdt.contract)
        yield Town("ethereum", "usdt-ethereum", "eth-ethereum", 3, "USDT", 1, net, row.row())


@asynccontextmanager
async def _tron() -> AsyncIterator[Town]:
    start = int(time.time() * 1000) - 2 * _AN_HOUR_MS  # blocks are mined ahead of the clock, and end before now
    async with TronNet.start(nodes=2, genesis_ms=start) as net:
        token = await net.token()
        await net.finalize()
        text = tron_rows.ROWS.format(genesis=net.genesis, urls=json.dumps(net.urls), quorum=2, contract=token.address)
        yield Town(
            "tron", "usdt-tron", "trx-tron", 1, "USDT", 1, net, text, most="100", liquidity=("2000", "5000"), pause_s=1
        )


@asynccontextmanager
async def _bitcoin() -> AsyncIterator[Town]:
    async with BitcoinNetwork.start("kernel") as net:
        text = bitcoin_rows.ROWS.format(genesis=BITCOIN_GENESIS, url=net.urls[0])
        yield Town(
            "bitcoin",
            "btc-bitcoin",
            "",
            8,
            "BTC",
            6,
            net,
            text,
            most="0.01",
            fiat="720",
            payment="0.001",
            liquidity=("0.05", "0"),
            threshold=("0.0095", "0.009"),
            pause_s=2,
        )


@asynccontextmanager
async def _solana() -> AsyncIterator[Town]:
    async with SolanaNetwork.start(nodes=2) as net:
        usdt = await net.token()
        await net.finalize()
        text = SOLANA_ROW.format(genesis=net.ledger.genesis_hash, endpoints=json.dumps(net.urls), mint=usdt.contract)
        yield Town("solana", "usdt-solana", "sol-solana", 7, "USDT", 1, net, text)


@asynccontextmanager
async def _ton() -> AsyncIterator[Town]:
    async with TonNetwork.start() as net:
        usdt = await net.jetton()

        def row(wallet: str) -> str:
            return TON_ROW.format(genesis=TON_GENESIS, url=net.url, master=usdt.master, wallet=wallet)

        async def pin(wallet: str) -> str:
            return row(await usdt.wallet_of(wallet))

        async def pay(address: str, units: int, tag: str) -> None:
            await net.pay_jettons(usdt.master, address, units, tag)

        await net.fund(PAYER, jetton(usdt.master, ""), 10**13)
        yield Town("ton", "usdt-ton", "ton-ton", 2, "USDT", 1, net, row(""), pin=pin, pay_tagged=pay)


TOWNS: Mapping[str, Callable[[], AbstractAsyncContextManager[Town]]] = {
    "evm": _evm,
    "tron": _tron,
    "bitcoin": _bitcoin,
    "solana": _solana,
    "ton": _ton,
}
