"""A fresh local node for each test, and adapters on it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from tests.chains.evm.desk import Desk
from tests.chains.evm.network import EvmNetwork
from tests.chains.evm.rows import coin, network
from tests.nodes.anvil import Anvil
from tests.nodes.proxy import Proxy

from bitlinkpay.chains.evm.access import EvmOptions
from bitlinkpay.chains.evm.chain import EvmChain
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.core.assets import Asset

PATIENT = EvmOptions(patience=timedelta(seconds=60))
QUICK = EvmOptions(patience=timedelta(milliseconds=300))  # where a node is silent on purpose

ChainMaker = Callable[..., EvmChain]


@pytest.fixture
async def node() -> AsyncIterator[Anvil]:
    async with Anvil.start() as running:
        yield running


@pytest.fixture
async def chains(node: Anvil) -> AsyncIterator[ChainMaker]:
    """Make adapters: `chains(proxy, proxy, assets=[...], quorum=2)`; with no endpoint given, straight on the node."""
    async with AsyncExitStack() as stack:

        def make(
            *sources: Proxy | Anvil,
            assets: Sequence[Asset] = (),
            quorum: int = 1,
            options: EvmOptions = PATIENT,
            **limits: object,
        ) -> EvmChain:
            limits.setdefault("timeout", timedelta(seconds=60))
            chain = EvmChain(
                network(chain_id=node.chain_id, genesis=node.genesis),
                [coin(), *assets],
                [Endpoint(source.url, **limits) for source in sources or (node,)],
                quorum=quorum,
                options=options,
            )
            stack.push_async_callback(chain.aclose)
            return chain

        yield make


@pytest.fixture
async def net() -> AsyncIterator[EvmNetwork]:
    async with EvmNetwork.start() as running:
        yield running


@pytest.fixture
async def desk(net: EvmNetwork) -> AsyncIterator[Desk]:
    """Return a desk on the network, its wallet still empty."""
    async with Desk.on(net) as opened:
        yield opened


@pytest.fixture
async def proxies(node: Anvil) -> AsyncIterator[tuple[Proxy, Proxy, Proxy]]:
    async with Proxy.start(node.url) as a, Proxy.start(node.url) as b, Proxy.start(node.url) as c:
        yield a, b, c
