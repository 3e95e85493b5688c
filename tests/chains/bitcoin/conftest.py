"""A fresh network for each test, on each node that may judge it, and adapters on it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.chains.bitcoin.btcd import btcd_path
from tests.chains.bitcoin.network import GENESIS, NODES, BitcoinNetwork

from bitlinkpay.chains.bitcoin.chain import BitcoinChain, BitcoinOptions
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.core.assets import Asset, Network

PATIENT = BitcoinOptions(patience=timedelta(seconds=60), tip_age_max=None)
ChainMaker = Callable[..., BitcoinChain]


def network(**changes: object) -> Network:
    """Return the built-in row as a regression-test chain."""
    row = load_registry().networks["bitcoin"]
    return replace(row, **({"genesis": GENESIS, "testnet": True} | changes))


def coin() -> Asset:
    return load_registry().assets["btc-bitcoin"]


@pytest.fixture(params=NODES)
async def net(request) -> AsyncIterator[BitcoinNetwork]:
    if request.param == "btcd" and btcd_path() is None:
        pytest.skip("btcd is not built: install Go and run python tools/setup_nodes.py")
    async with BitcoinNetwork.start(request.param) as running:
        yield running


@pytest.fixture
async def kernel() -> AsyncIterator[BitcoinNetwork]:
    async with BitcoinNetwork.start("kernel") as running:
        yield running


@pytest.fixture
async def chains() -> AsyncIterator[ChainMaker]:
    """Make adapters: `chains(net)`, `chains(net, liar, other, quorum=2)`."""
    async with AsyncExitStack() as stack:

        def make(
            *sources: BitcoinNetwork, quorum: int = 1, options: BitcoinOptions = PATIENT, **more: object
        ) -> BitcoinChain:
            endpoints = [Endpoint(source.url, timeout=timedelta(seconds=60)) for source in sources]
            row = more.pop("network", None) or network()
            chain = BitcoinChain(row, [coin()], endpoints, quorum=quorum, options=options, **more)
            stack.push_async_callback(chain.aclose)
            return chain

        yield make
