"""Every family behind one face: its test network, the shipped sender on it, and the shipped signing with keys of the tests.

What each network is not stands at the top of its own `network.py`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from types import MappingProxyType

from tests.chains.bitcoin import conftest as bitcoin_rows
from tests.chains.bitcoin import ours as bitcoin_ours
from tests.chains.bitcoin.network import BitcoinNetwork
from tests.chains.evm import ours as evm_ours
from tests.chains.evm.network import EvmNetwork
from tests.chains.solana import treasury as solana_ours
from tests.chains.solana.network import SolanaNetwork
from tests.chains.solana.network import coin as sol
from tests.chains.ton import conftest as ton_ours
from tests.chains.ton import network as ton_rows
from tests.chains.ton.network import TonNetwork
from tests.chains.tron import desk as tron_ours
from tests.chains.tron import rows as tron_rows
from tests.chains.tron.network import TronNet

from bitlinkpay.chains.bitcoin.chain import BitcoinChain
from bitlinkpay.chains.bitcoin.plan import BitcoinPlan
from bitlinkpay.chains.bitcoin.sender import BitcoinSender
from bitlinkpay.chains.evm.chain import EvmChain
from bitlinkpay.chains.evm.plan import EvmPlan
from bitlinkpay.chains.evm.sender import EvmSender
from bitlinkpay.chains.outgoing import Intent, Sender, Signed, Unspent, Wallet
from bitlinkpay.chains.registry import Registry
from bitlinkpay.chains.simulated_format import address_from
from bitlinkpay.chains.solana.chain import SolanaChain
from bitlinkpay.chains.solana.plan import SolanaPlan
from bitlinkpay.chains.solana.sender import SolanaSender
from bitlinkpay.chains.ton.chain import TonChain
from bitlinkpay.chains.ton.plan import TonPlan
from bitlinkpay.chains.ton.sender import TonSender
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.chains.tron.chain import TronChain
from bitlinkpay.chains.tron.plan import TronPlan
from bitlinkpay.chains.tron.sender import TronSender
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.sending.parts import Limits
from bitlinkpay.signer.families import bitcoin, evm, solana, ton, tron

FAMILIES = ("evm", "tron", "bitcoin", "solana", "ton")
_PATIENCE = timedelta(seconds=60)


@dataclass
class Rig:
    """One family's network with our funded wallet on it.

    Attributes:
        coin_units: a payment in the network's coin that every rule of it allows.
        held: what the wallet was funded with, by asset.
        outputs: what it can spend, where the network counts outputs.
        first_number: where the lane begins, if making the wallet ready took numbers already.
    """

    name: str
    network: Network
    assets: Mapping[str, Asset]
    payer: Wallet
    sender: Sender[object]
    plan_type: type[object]
    signs: Callable[[Intent, object], Signed]
    finalize: Callable[[], Awaitable[object]]
    balance: Callable[[Asset, str], Awaitable[int]]
    drop: Callable[[], Awaitable[object]] | None
    coin_units: int
    held: Mapping[str, int]
    limits: Limits = field(default_factory=Limits)
    outputs: Sequence[Unspent] = ()
    first_number: int | None = None
    asked: int = 0

    @property
    def registry(self) -> Registry:
        return Registry(
            MappingProxyType({self.network.id: self.network}), MappingProxyType(self.assets), MappingProxyType({})
        )

    @property
    def coin(self) -> Asset:
        return next(asset for asset in self.assets.values() if asset.is_native)

    @property
    def token(self) -> Asset | None:
        return next((asset for asset in self.assets.values() if not asset.is_native), None)

    async def sign(self, intent: Intent, plan: object) -> Signed:
        self.asked += 1
        return self.signs(intent, plan)

    def stranger(self, number: int) -> str:
        """Return an address that nobody uses."""
        if self.name == "solana":  # on the curve: a wallet somebody may hold the key of
            return solana_ours.wallet(100 + number).address
        return address_from(self.network, sha256(f"stranger {number}".encode()).digest())


@asynccontextmanager
async def start(name: str) -> AsyncIterator[Rig]:
    """Run a family's network for the length of a `with` block, our wallet funded on it."""
    async with AsyncExitStack() as stack:
        yield await _STARTS[name](stack)


async def _evm(stack: AsyncExitStack) -> Rig:
    net = await stack.enter_async_context(EvmNetwork.start())
    chain = EvmChain(net.network, net.assets, [Endpoint(url, timeout=_PATIENCE) for url in net.urls], quorum=1)
    stack.push_async_callback(chain.aclose)
    keys = evm_ours.keys(*net.assets, on=net.network)
    held = {net.native.id: 100 * evm_ours.ETHER, net.usdt.id: 10**12}
    for asset in net.assets:
        await net.fund(evm_ours.HOT.address, asset, held[asset.id])
    await net.finalize()

    async def finalize() -> None:
        await net.mine()
        await net.finalize()

    return Rig(
        name="evm",
        network=net.network,
        assets={asset.id: asset for asset in net.assets},
        payer=evm_ours.HOT,
        sender=EvmSender(chain.access),
        plan_type=EvmPlan,
        signs=lambda intent, plan: evm.sign(intent, plan, keys),
        finalize=finalize,
        balance=net.balance,
        drop=net.drop_pending,
        coin_units=10**15,
        held=held,
        limits=Limits(unmined=1),
    )


async def _bitcoin(stack: AsyncExitStack) -> Rig:
    net = await stack.enter_async_context(BitcoinNetwork.start("kernel"))
    row, coin = bitcoin_rows.network(), bitcoin_rows.coin()
    endpoints = [Endpoint(url, timeout=_PATIENCE) for url in net.urls]
    chain = BitcoinChain(row, [coin], endpoints, quorum=1, options=bitcoin_rows.PATIENT)
    stack.push_async_callback(chain.aclose)
    outputs = await bitcoin_ours.fund(net, bitcoin_ours.HOT, *[10**8] * 8)
    return Rig(
        name="bitcoin",
        network=row,
        assets={coin.id: coin},
        payer=bitcoin_ours.HOT,
        sender=BitcoinSender(chain, coin),
        plan_type=BitcoinPlan,
        signs=lambda intent, plan: bitcoin.sign(intent, plan, bitcoin_ours.KEYS),
        finalize=net.finalize,
        balance=net.balance,
        drop=net.drop_pending,
        coin_units=100_000,
        held={coin.id: 8 * 10**8},
        outputs=outputs,
    )


async def _tron(stack: AsyncExitStack) -> Rig:
    net = await stack.enter_async_context(TronNet.start(nodes=1))
    coin, token = tron_rows.coin(), tron_rows.token((await net.token()).address)
    row = tron_rows.network(net.genesis)
    endpoints = [Endpoint(server.url, timeout=_PATIENCE) for server in net.servers]
    chain = TronChain(row, [coin, token], endpoints, quorum=1)
    stack.push_async_callback(chain.aclose)
    payer = tron_ours.hot(tron_ours.HOT)
    held = {coin.id: 10_000 * tron_ours.TRX, token.id: 10**9}
    await net.fund(payer.address, coin, held[coin.id])
    await net.fund(payer.address, token, held[token.id])
    await net.finalize()
    desk = tron_ours.desk(net, chain, token)
    return Rig(
        name="tron",
        network=row,
        assets={coin.id: coin, token.id: token},
        payer=payer,
        sender=TronSender(chain.access),
        plan_type=TronPlan,
        signs=lambda intent, plan: tron.sign(intent, plan, desk.keys),
        finalize=net.finalize,
        balance=net.balance,
        drop=None,
        coin_units=2 * tron_ours.TRX,
        held=held,
    )


async def _solana(stack: AsyncExitStack) -> Rig:
    net = await stack.enter_async_context(SolanaNetwork.start())
    token = await net.token()
    chain = SolanaChain(net.row(), [sol(), token], [Endpoint(url, timeout=_PATIENCE) for url in net.urls], quorum=1)
    stack.push_async_callback(chain.aclose)
    made = await solana_ours.Treasury.on(net, chain, token)
    return Rig(
        name="solana",
        network=chain.network,
        assets={sol().id: sol(), token.id: token},
        payer=solana_ours.HOT,
        sender=SolanaSender(chain, made.assets),
        plan_type=SolanaPlan,
        signs=lambda intent, plan: solana.sign(intent, plan, made.keys),
        finalize=net.finalize,
        balance=net.balance,
        drop=net.drop_pending,
        coin_units=10**7,
        held={sol().id: 10**10, token.id: 10**12},
    )


async def _ton(stack: AsyncExitStack) -> Rig:
    net = await stack.enter_async_context(TonNetwork.start())
    coin, token = ton_rows.coin(), await net.token(ton_ours.OURS)
    row = ton_ours.row(genesis=ton_rows.GENESIS)
    endpoints = [Endpoint(url, timeout=_PATIENCE) for url in net.urls]
    chain = TonChain(row, [coin, token], endpoints, wallet=ton_ours.OURS, quorum=1, options=ton_ours.PATIENT)
    stack.push_async_callback(chain.aclose)
    desk = ton_ours.Desk(net, chain, TonSender(chain, [coin, token]), {coin.id: coin, token.id: token})
    await desk.deploy()
    await net.fund(ton_ours.OURS, token, 10**12)
    return Rig(
        name="ton",
        network=row,
        assets={coin.id: coin, token.id: token},
        payer=ton_ours.WALLET,
        sender=desk.sender,
        plan_type=TonPlan,
        signs=lambda intent, plan: ton.sign(intent, plan, ton_ours.keys_of(coin, token)),
        finalize=net.mine,
        balance=net.balance,
        drop=net.drop_pending,
        coin_units=10**8,
        held={coin.id: 900 * ton_rows.TON, token.id: 10**12},
        first_number=desk.number + 1,
    )


_STARTS: Mapping[str, Callable[[AsyncExitStack], Awaitable[Rig]]] = {
    "evm": _evm,
    "tron": _tron,
    "bitcoin": _bitcoin,
    "solana": _solana,
    "ton": _ton,
}
