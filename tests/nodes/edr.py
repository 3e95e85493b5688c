"""A second EVM implementation (EDR) on loopback, to measure gas on: it charges EIP-7702 as the specification says.

    async with Edr.start() as node:
        token = await node.deploy("DollarToken")

The same small API as `Anvil`, of which it is no fork. See `edr/edr.js` for what it is not.
"""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from tests.nodes.anvil import NODES, Anvil

FOLDER = NODES / "edr"


def is_installed() -> bool:
    """Say whether it is here: it comes for Linux on x86-64 only."""
    return (FOLDER / "node_modules" / "@nomicfoundation" / "edr-linux-x64-gnu").exists()


class Edr(Anvil):
    """One running node. Its one account is rich and unlocked."""

    @classmethod
    @asynccontextmanager
    async def start(cls, *, chain_id: int = 31337, hardfork: str = "osaka") -> AsyncIterator[Self]:
        """Run a node for the length of a `with` block."""
        command = [shutil.which("node") or "node", "edr.js", str(chain_id), hardfork]
        async with cls._run(command, FOLDER, chain_id) as node:
            yield node

    async def mine(self, blocks: int = 1) -> int:
        """Mine blocks and return the newest height."""
        for _ in range(blocks):
            await self.rpc("evm_mine")
        return await self.height()
