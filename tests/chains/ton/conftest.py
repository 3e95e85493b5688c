"""A fresh TON network for each test, our wallet on it, and adapters."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from nacl.signing import SigningKey
from tests.chains.ton.network import GENESIS, PAYER, TON, TonNetwork, coin, row
from tests.chains.ton.proxy import TonProxy

from bitlinkpay.chains.base import Block, Transfer
from bitlinkpay.chains.outgoing import Intent, KeyRole, Outcome, Payment, Purpose, Signed, Slot, Wallet
from bitlinkpay.chains.ton.chain import TonChain, TonOptions
from bitlinkpay.chains.ton.highload import wallet_address
from bitlinkpay.chains.ton.plan import TonPlan
from bitlinkpay.chains.ton.sender import TonSender
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.signer.families.ton import sign

KEY = bytes(range(32))
OURS = wallet_address(bytes(SigningKey(KEY).verify_key))
WALLET = Wallet(KeyRole.HOT, 0, OURS)
PATIENT = TonOptions(patience=timedelta(seconds=60))
QUICK = TonOptions(patience=timedelta(milliseconds=500))  # where an indexer is silent on purpose

ChainMaker = Callable[..., TonChain]


@dataclass(frozen=True)
class HeldKeys:
    """The signer's door, for one key."""

    network: Network
    assets: dict[str, Asset]

    def asset(self, asset_id: str) -> Asset:
        return self.assets[asset_id]

    def private_key(self, wallet: Wallet) -> bytes:
        assert wallet == WALLET
        return KEY


def keys_of(*assets: Asset) -> HeldKeys:
    return HeldKeys(row(), {asset.id: asset for asset in assets})


@pytest.fixture
async def network() -> AsyncIterator[TonNetwork]:
    async with TonNetwork.start() as running:
        yield running


@pytest.fixture
async def usdt(network: TonNetwork) -> Asset:
    """A USDT-like jetton, of which the payer has a million."""
    asset = await network.token(OURS)
    await network.fund(PAYER, asset, 10**12)
    return asset


@pytest.fixture
async def chains(network: TonNetwork) -> AsyncIterator[ChainMaker]:
    """Make adapters: `chains(proxy, proxy, assets=[...], quorum=2)`; with no endpoint given, straight on the network."""
    async with AsyncExitStack() as stack:

        def make(
            *urls: str,
            assets: Sequence[Asset] = (),
            quorum: int = 1,
            options: TonOptions = PATIENT,
            testnet: bool = False,
        ) -> TonChain:
            chain = TonChain(
                row(testnet=testnet, genesis=GENESIS),
                [coin(), *assets],
                [Endpoint(url, timeout=timedelta(seconds=60)) for url in urls or network.urls],
                wallet=OURS,
                quorum=quorum,
                options=options,
            )
            stack.push_async_callback(chain.aclose)
            return chain

        yield make


@pytest.fixture
async def proxies(network: TonNetwork) -> AsyncIterator[tuple[TonProxy, TonProxy, TonProxy]]:
    async with (
        TonProxy.start(network.url) as a,
        TonProxy.start(network.url) as b,
        TonProxy.start(network.url) as c,
    ):
        yield a, b, c


@dataclass
class Desk:
    """Our wallet as the platform uses it: intents in, signed bytes out, one slot after the other."""

    network: TonNetwork
    chain: TonChain
    sender: TonSender
    assets: dict[str, Asset]
    number: int = 0

    def intent(self, *payments: Payment, purpose: Purpose = Purpose.PAYOUT, fee_max: int = 10 * TON) -> Intent:
        expires = datetime.now(UTC) + timedelta(hours=2)
        return Intent(UUID(str(new_uuid7())), "ton", purpose, WALLET, payments, fee_max, expires)

    async def prepare(self, intent: Intent) -> tuple[TonPlan, Signed]:
        self.number += 1
        plan = await self.sender.plan(intent, Slot(self.number))
        return plan, sign(intent, plan, HeldKeys(row(), self.assets))

    async def send(self, *payments: Payment, purpose: Purpose = Purpose.PAYOUT) -> Outcome:
        """Send and mine until the outcome is decided."""
        intent = self.intent(*payments, purpose=purpose)
        plan, signed = await self.prepare(intent)
        assert (await self.sender.broadcast(signed)).reason == ""
        await self.network.mine()
        return await self.sender.outcome(intent, plan, signed)

    async def deploy(self) -> None:
        await self.network.pay(OURS, 1000 * TON)
        await self.network.mine()
        await self.send(purpose=Purpose.SETUP)


@pytest.fixture
async def desk(network: TonNetwork, chains: ChainMaker, usdt: Asset) -> Desk:
    """Our wallet, deployed, with 1,000 TON and 1,000,000 USDT."""
    chain = chains(assets=[usdt])
    sender = TonSender(chain, [coin(), usdt])
    made = Desk(network, chain, sender, {"ton-ton": coin(), usdt.id: usdt})
    await made.deploy()
    await network.fund(OURS, usdt, 10**12)
    return made


def payment(asset: str, target: str, units: int, tag: str = "") -> Payment:
    return Payment(WALLET, asset, target, tag, units)


async def scan(chain: TonChain, first: int) -> list[Block]:
    """Read everything from a height on."""
    last = (await chain.head()).final.height
    blocks: list[Block] = []
    while first <= last:
        blocks += await chain.scan(first, last)
        first = blocks[-1].height + 1
    return blocks


async def arrived(chain: TonChain, first: int) -> list[Transfer]:
    return [transfer for block in await scan(chain, first) for transfer in block.transfers]


def shown(transfers: Sequence[Transfer]) -> list[tuple[str, str, int]]:
    return [(transfer.asset, transfer.tag, transfer.units) for transfer in transfers]
