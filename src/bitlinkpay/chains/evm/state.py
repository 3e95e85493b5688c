"""Reading state after a block: balances, code and storage, pinned by the block's hash (EIP-1898), agreed by a quorum.

State is no part of a block, so nothing here can be recomputed: what counts is that independent endpoints say the same.
"""

from collections.abc import Sequence

from bitlinkpay.chains.base import GapError
from bitlinkpay.chains.codec.evm import to_bytes
from bitlinkpay.chains.evm.node import EvmNode
from bitlinkpay.chains.evm.wire import HASH_BYTES, TEXT, quantity, unhex
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.rpc import Call, CallRefused
from bitlinkpay.core.assets import Asset

_BALANCE_OF = "0x70a08231"  # balanceOf(address), EIP-20
_REVERTED = 3  # code of a reverted eth_call in the execution API


def pinned(block_hash: str) -> dict[str, object]:
    """Return the EIP-1898 parameter for the state after one block; an error if that block left the chain."""
    return {"blockHash": block_hash, "requireCanonical": True}


async def read_state(node: EvmNode, calls: Sequence[Call]) -> list[str]:
    """Return the hex results of state reads of one kind.

    Raises:
        GapError: the endpoint does not hold the state asked for (pruned, lagging, or another fork).
        CallRefused: the contract reverted.
    """
    try:
        return await node.ask(calls, TEXT)
    except CallRefused as error:
        if error.code == _REVERTED:
            raise
        raise GapError(f"{node.label} can't read the state asked for: {error}") from error


class StateReader:
    """Balances of one network."""

    def __init__(self, quorum: Quorum[EvmNode]) -> None:
        self._quorum = quorum

    async def balances(self, asset: Asset, addresses: Sequence[str], block_hash: str) -> list[int]:
        """Return base units held by each address after the block with this hash: one call an address and endpoint.

        Raises:
            GapError, NotEnoughAnswers, ChainError: the quorum does not hold or not agree on that state.
        """
        if not addresses:
            return []
        pin = pinned(block_hash)
        if asset.is_native:
            calls = [Call("eth_getBalance", (address, pin)) for address in addresses]
            return list(await self._quorum.agree(lambda node: _quantities(node, calls)))
        calls = [Call("eth_call", (balance_query(asset.contract, address), pin)) for address in addresses]
        return list(await self._quorum.agree(lambda node: _words(node, calls)))

    async def native_history(self, address: str, heights: Sequence[int]) -> list[int]:
        """Return the native balance of one address after each block of these heights, by number: for searching only."""
        calls = [Call("eth_getBalance", (address, hex(height))) for height in heights]
        return list(await self._quorum.agree(lambda node: _quantities(node, calls)))


def balance_query(contract: str, address: str) -> dict[str, str]:
    """Return the `eth_call` object that asks a token for a balance."""
    return {"to": contract, "data": _BALANCE_OF + to_bytes(address).rjust(HASH_BYTES, b"\0").hex()}


async def _quantities(node: EvmNode, calls: Sequence[Call]) -> tuple[int, ...]:
    return tuple(quantity(text) for text in await read_state(node, calls))


async def _words(node: EvmNode, calls: Sequence[Call]) -> tuple[int, ...]:
    return tuple(int.from_bytes(unhex(text, HASH_BYTES), "big") for text in await read_state(node, calls))
