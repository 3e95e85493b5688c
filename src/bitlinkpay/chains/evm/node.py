"""One EVM endpoint: proves which chain it serves at each connect, then answers typed questions."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from bitlinkpay.chains.base import BlockRef, GapError, WrongChain
from bitlinkpay.chains.evm.transfers import block_ref, canonical_hash
from bitlinkpay.chains.evm.wire import (
    BLOCK,
    RECEIPTS,
    STAMP,
    TEXT,
    Malformed,
    RawBlock,
    Receipt,
    Stamp,
    quantity,
)
from bitlinkpay.chains.rpc import Answer, Call, CallRefused, JsonRpc
from bitlinkpay.core.assets import Network

_WRONG_CHAIN_REST_NS = 60_000_000_000

T = TypeVar("T")


def decode(answer: Answer, call: Call, decoder: "msgspec.json.Decoder[T]") -> T:
    """Return the typed result of a call.

    Raises:
        CallRefused: the node answered with an error.
        Malformed: the result has another form.
    """
    if answer.error is not None:
        raise CallRefused(call.method, answer.error.code, answer.error.message)
    try:
        return decoder.decode(answer.result)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Malformed(f"the answer to {call.method} has another form ({type(error).__name__})") from None


class EvmNode:
    """An endpoint of one EVM network."""

    def __init__(self, rpc: JsonRpc, network: Network) -> None:
        self.rpc = rpc
        self.lacks: set[str] = set()  # methods that it said it does not have
        self._network = network
        self._identified = 0

    @property
    def label(self) -> str:
        """Return its name without credentials."""
        return self.rpc.endpoint.label

    @property
    def party(self) -> str:
        """Return who runs it."""
        return self.rpc.endpoint.party

    @property
    def is_resting(self) -> bool:
        """Say whether it refuses to be asked for now."""
        return self.rpc.breaker.is_resting

    async def ask(self, calls: Sequence[Call], decoder: "msgspec.json.Decoder[T]") -> list[T]:
        """Make calls of one kind and return their typed results.

        Whenever a connection was opened meanwhile, the chain is checked before the answers are believed.

        Raises:
            EndpointFailed, CallRefused: no answers.
            WrongChain: it serves another chain.
        """
        answers = await self.rpc.batch(calls)
        if self.rpc.connections != self._identified:
            await self._identify()
        return [decode(answer, call, decoder) for call, answer in zip(calls, answers, strict=True)]

    async def _identify(self) -> None:
        connections = self.rpc.connections
        chain, genesis = Call("eth_chainId"), Call("eth_getBlockByNumber", ("0x0", False))
        answers = await self.rpc.batch([chain, genesis])
        chain_id = quantity(decode(answers[0], chain, TEXT))
        if chain_id != self._network.chain_id:
            raise self._wrong(f"serves chain {chain_id} instead of {self._network.chain_id}")
        if self._network.genesis:
            first = decode(answers[1], genesis, STAMP)
            if first is None or canonical_hash(first.hash) != self._network.genesis.lower():
                raise self._wrong("has another block 0 than the registry names")
        self._identified = connections

    def _wrong(self, what: str) -> WrongChain:
        self.rpc.breaker.failed(what, at_least_ns=_WRONG_CHAIN_REST_NS)
        return WrongChain(f"{self.label} {what}")

    async def stamps(self, heights_or_tags: Sequence[int | str]) -> list[Stamp | None]:
        """Return number, hash and time of blocks without their content, None where the node has none."""
        calls = [
            Call("eth_getBlockByNumber", (at if isinstance(at, str) else hex(at), False)) for at in heights_or_tags
        ]
        return await self.ask(calls, STAMP)

    async def hash_at(self, height: int) -> str | None:
        """Return the hash of its canonical block at a height."""
        (stamp,) = await self.stamps([height])
        return None if stamp is None else _at(stamp, height)

    async def heads(self, tag: str) -> tuple[BlockRef, BlockRef]:
        """Return its newest block and the one that it calls final by a tag.

        Raises:
            GapError: it has none by that tag.
        """
        latest, final = await self.stamps(["latest", tag])
        if latest is None or final is None:
            raise GapError(f"{self.label} knows no {'latest' if latest is None else tag} block")
        return block_ref(latest), block_ref(final)

    async def ref_at(self, height: int) -> BlockRef | None:
        """Return its canonical block at a height."""
        (stamp,) = await self.stamps([height])
        return None if stamp is None else block_ref(stamp)

    async def blocks(self, first: int, last: int) -> list[RawBlock]:
        """Return whole blocks of a range of heights: one call each.

        Raises:
            GapError: it lacks one of them.
        """
        calls = [Call("eth_getBlockByNumber", (hex(height), True)) for height in range(first, last + 1)]
        blocks: list[RawBlock] = []
        for height, block in zip(range(first, last + 1), await self.ask(calls, BLOCK), strict=True):
            if block is None:
                raise GapError(f"{self.label} has no block {height}")
            _at(block, height)
            blocks.append(block)
        return blocks

    async def receipts(self, hashes: Sequence[str]) -> list[list[Receipt]]:
        """Return the receipts of blocks by their hash: one call each.

        Raises:
            GapError: it lacks the receipts of a block, or one of them.
        """
        answers = await self.ask([Call("eth_getBlockReceipts", (block_hash,)) for block_hash in hashes], RECEIPTS)
        return [self._complete(receipts, block_hash) for block_hash, receipts in zip(hashes, answers, strict=True)]

    def _complete(self, receipts: list[Receipt | None] | None, block_hash: str) -> list[Receipt]:
        complete = [receipt for receipt in receipts or () if receipt is not None]
        if receipts is None or len(complete) != len(receipts):
            raise GapError(f"{self.label} lacks receipts of block {block_hash}")
        return complete


def _at(stamp: Stamp, height: int) -> str:
    """Return the block's hash after checking that it stands where it was asked for."""
    if quantity(stamp.number) != height:
        raise Malformed(f"a node answered with another block than {height}")
    return canonical_hash(stamp.hash)
