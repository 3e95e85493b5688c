"""A whole EVM test network: a real node (anvil) behind HTTP RPC, its coin, and a token like the USDT of Ethereum.

What it is not: one node is no peer-to-peer network, so nothing is gossiped and no pool differs from another; blocks
come when a test asks; `finalized` is a count of blocks. It refunds too much for EIP-7702 authorizations of accounts
that do not exist, so gas figures come from EDR (`bench/evm_cost.py`).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from tests.chains.evm.rows import coin, network, token
from tests.nodes.anvil import Anvil, Contract

from bitlinkpay.core.assets import Asset, Network

_SLOTS = 1


class EvmNetwork:
    """One running test network."""

    def __init__(self, node: Anvil, usdt: Contract) -> None:
        self.node = node
        self.usdt_contract = usdt
        self.network: Network = network(chain_id=node.chain_id, genesis=node.genesis)
        self.native: Asset = coin()
        self.usdt: Asset = token(usdt.address)
        self.assets = (self.native, self.usdt)
        self.urls = [node.url]

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator[Self]:
        """Run it for the length of a `with` block."""
        async with Anvil.start(slots=_SLOTS) as node:
            yield cls(node, await node.deploy("DollarToken"))

    async def token(self, decimals: int) -> Asset:
        """Deploy a plain token; who reads the network lists it."""
        contract = await self.node.deploy("PlainToken", ("string", "string", "uint8"), ["Other", "OTH", decimals])
        return token(contract.address, symbol="OTH", decimals=decimals)

    async def fund(self, address: str, asset: Asset, units: int) -> str:
        """Pay an address from outside, in a block of its own; return the transaction's id."""
        rich = self.node.accounts[0]
        if asset.is_native:
            txid = await self.node.send(to=address, value=units, sender=rich, gas=60_000)
        else:
            data = self.usdt_contract.data("transfer(address,uint256)", address, units)
            txid = await self.node.send(to=asset.contract, data=data, sender=rich)
        await self.node.mine()
        await self.node.receipt(txid)
        return txid

    async def mine(self, blocks: int = 1) -> int:
        """Mine blocks; what waits in the pool goes into the first."""
        return await self.node.mine(blocks)

    async def finalize(self) -> None:
        """Make everything final that stands in a block now."""
        await self.node.mine(2 * _SLOTS)

    async def reorg(self, depth: int) -> None:
        """Replace the newest blocks by empty ones."""
        await self.node.reorg(depth)

    async def drop_pending(self) -> None:
        """Let the pool forget what waits in it."""
        await self.node.rpc("anvil_dropAllTransactions")

    async def balance(self, asset: Asset, address: str) -> int:
        """Return what an address holds now, read past the adapter."""
        if asset.is_native:
            return int(await self.node.rpc("eth_getBalance", address, "latest"), 16)
        data = self.usdt_contract.data("balanceOf(address)", address)
        return int(await self.node.rpc("eth_call", {"to": asset.contract, "data": data}, "latest"), 16)
