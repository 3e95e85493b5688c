"""A fresh network of three nodes for each test, and adapters on it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.chains.tron.api import TronServer
from tests.chains.tron.network import TronContract, TronNet
from tests.chains.tron.rows import coin, network, token

from bitlinkpay.chains.transport import endpoints_of
from bitlinkpay.chains.tron.access import TronOptions
from bitlinkpay.chains.tron.chain import TronChain
from bitlinkpay.core.assets import Asset

ChainMaker = Callable[..., TronChain]


@pytest.fixture
async def net() -> AsyncIterator[TronNet]:
    async with TronNet.start(nodes=3) as running:
        yield running


@pytest.fixture
async def chains(net: TronNet) -> AsyncIterator[ChainMaker]:
    """Make adapters: `chains(a, b, assets=[...], quorum=2)`; with no node given, on the first one."""
    async with AsyncExitStack() as stack:

        def make(
            *servers: TronServer,
            assets: Sequence[Asset] = (),
            quorum: int = 1,
            genesis: str | None = None,
            egress: str = "",
            **options: object,
        ) -> TronChain:
            options = {"patience": timedelta(seconds=60), **options}
            chain = TronChain(
                network(net.genesis if genesis is None else genesis),
                [coin(), *assets],
                [
                    replace(endpoint, timeout=timedelta(seconds=300))
                    for endpoint in endpoints_of([server.url for server in servers or net.servers[:1]], egress)
                ],
                quorum=quorum,
                options=TronOptions(**options),
            )
            stack.push_async_callback(chain.aclose)
            return chain

        yield make


@pytest.fixture
async def usdt(net: TronNet) -> TronContract:
    return await net.token()


@pytest.fixture
def usdt_row(usdt: TronContract) -> Asset:
    return token(usdt.address)
