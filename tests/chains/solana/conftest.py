"""A fresh cluster for each test, and adapters on it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from tests.chains.solana.network import SolanaNetwork, coin
from tests.nodes.proxy import Proxy

from bitlinkpay.chains.solana.chain import SolanaChain, SolanaOptions
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.core.assets import Asset

ChainMaker = Callable[..., SolanaChain]


@pytest.fixture
async def network() -> AsyncIterator[SolanaNetwork]:
    async with SolanaNetwork.start() as running:
        yield running


@pytest.fixture
async def chains(network: SolanaNetwork) -> AsyncIterator[ChainMaker]:
    """Make adapters: `chains(proxy, proxy, assets=[...], quorum=2)`; with no endpoint given, straight on the cluster."""
    async with AsyncExitStack() as stack:

        def make(
            *sources: Proxy, assets: Sequence[Asset] = (), quorum: int = 1, range_max: int = 8, **limits: object
        ) -> SolanaChain:
            limits.setdefault("timeout", timedelta(seconds=60))
            chain = SolanaChain(
                network.row(),
                [coin(), *assets],
                [Endpoint(url, **limits) for url in ([source.url for source in sources] or network.urls)],
                quorum=quorum,
                options=SolanaOptions(range_max=range_max, patience=timedelta(seconds=60)),
            )
            stack.push_async_callback(chain.aclose)
            return chain

        yield make


@pytest.fixture
async def proxies(network: SolanaNetwork) -> AsyncIterator[tuple[Proxy, Proxy, Proxy]]:
    url = network.urls[0]
    async with Proxy.start(url) as a, Proxy.start(url) as b, Proxy.start(url) as c:
        yield a, b, c
