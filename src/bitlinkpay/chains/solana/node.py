"""One Solana endpoint: proves which cluster it serves at each connect, then answers typed questions.

Every question about the chain names the commitment `finalized`. A slot without a block is skipped only where the block
after it says so by its parent: the error codes for "skipped" also mean "missing here" (agave, rpc-client-api
`custom_error.rs`), so on their own they prove nothing (THREATS SOL-12).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, TypeVar

import msgspec

from bitlinkpay.chains.base import BlockRef, GapError, WrongChain
from bitlinkpay.chains.rpc import Answer, Call, CallRefused, JsonRpc
from bitlinkpay.chains.solana.transfers import block_ref
from bitlinkpay.chains.solana.wire import (
    BLOCK,
    HEADER,
    SIGNED_BLOCK,
    SLOT,
    SLOTS,
    TEXT,
    Header,
    Malformed,
    RawBlock,
    SignedBlock,
)
from bitlinkpay.core.assets import Network

_WRONG_CHAIN_REST_NS = 60_000_000_000
_SKIPPED = frozenset({-32007, -32009})  # slot skipped, or missing; the same of long-term storage
_MISSING = frozenset({-32001, -32004, -32010, -32011, -32014, -32016, -32019})
"""Cleaned up, not available, not indexed, history not kept, not known yet, slot not reached, storage out of reach."""

_NO_HASH = "1" * 32

FINALIZED: Final = "finalized"
VERSION_MAX: Final = 1
"""Newest transaction version asked for. All of them have balances and accounts in one form; newer ones are refused."""

T = TypeVar("T")
H = TypeVar("H", bound=Header)


def block_options(details: str) -> dict[str, object]:
    """Return how blocks are asked for: `details` is `full`, `signatures` or `none`."""
    return {
        "commitment": FINALIZED,
        "encoding": "json",
        "transactionDetails": details,
        "rewards": False,
        "maxSupportedTransactionVersion": VERSION_MAX,
    }


def transaction_call(txid: str) -> Call:
    """Return how a final transaction is asked for."""
    options = {"commitment": FINALIZED, "encoding": "json", "maxSupportedTransactionVersion": VERSION_MAX}
    return Call("getTransaction", (txid, options))


class SolanaNode:
    """An endpoint of one Solana cluster."""

    def __init__(self, rpc: JsonRpc, network: Network) -> None:
        self.rpc = rpc
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

        Whenever a connection was opened meanwhile, the cluster is checked before the answers are believed.

        Raises:
            GapError: it lacks what was asked for.
            EndpointFailed, CallRefused: no answers.
            WrongChain: it serves another cluster.
        """
        answers = await self.rpc.batch(calls)
        if self.rpc.connections != self._identified:
            await self._identify()
        return [self._decode(answer, call, decoder) for call, answer in zip(calls, answers, strict=True)]

    def _decode(self, answer: Answer, call: Call, decoder: "msgspec.json.Decoder[T]") -> T:
        if answer.error is not None:
            refused = CallRefused(call.method, answer.error.code, answer.error.message)
            if answer.error.code in _MISSING:
                raise GapError(f"{self.label}: {refused}")
            raise refused
        try:
            return decoder.decode(answer.result)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise Malformed(f"the answer to {call.method} has another form ({type(error).__name__})") from None

    async def _identify(self) -> None:
        connections = self.rpc.connections
        call = Call("getGenesisHash")
        (answer,) = await self.rpc.batch([call])
        genesis = self._decode(answer, call, TEXT)
        if self._network.genesis and genesis != self._network.genesis:
            self.rpc.breaker.failed("serves another cluster", at_least_ns=_WRONG_CHAIN_REST_NS)
            raise WrongChain(f"{self.label} serves another cluster than {self._network.id}: genesis {genesis[:44]!r}")
        self._identified = connections

    async def final_slot(self) -> int:
        """Return its newest finalized slot."""
        (slot,) = await self.ask([Call("getSlot", ({"commitment": FINALIZED},))], SLOT)
        return slot

    async def slots(self, first: int, last: int) -> list[int]:
        """Return the slots of `first..last` that it says have a block, ascending.

        Raises:
            GapError: it has not reached `last` itself.
        """
        if (final := await self.final_slot()) < last:
            raise GapError(f"{self.label} has finalized slot {final}, not {last} yet")
        (slots,) = await self.ask([Call("getBlocks", (first, last, {"commitment": FINALIZED}))], SLOTS)
        return self._ascending(slots, first, last)

    async def next_slots(self, first: int, limit: int) -> list[int]:
        """Return the next slots from `first` on that it says have a block, at most `limit`."""
        call = Call("getBlocksWithLimit", (first, limit, {"commitment": FINALIZED}))
        (slots,) = await self.ask([call], SLOTS)
        return self._ascending(slots, first, 2**63 - 1)

    def _ascending(self, slots: list[int], first: int, last: int) -> list[int]:
        if any(not first <= slot <= last for slot in slots) or any(a >= b for a, b in pairwise(slots)):
            raise Malformed(f"{self.label} sent other slots than {first}..{last}")
        return slots

    async def blocks(self, slots: Sequence[int]) -> list[RawBlock]:
        """Return whole blocks: one call each.

        Raises:
            GapError: it lacks one of them.
        """
        return await self._read(slots, "full", BLOCK)

    async def signed_blocks(self, slots: Sequence[int]) -> list[SignedBlock]:
        """Return blocks with the ids of their transactions only: one call each.

        Raises:
            GapError: it lacks one of them.
        """
        return await self._read(slots, "signatures", SIGNED_BLOCK)

    async def header(self, slot: int) -> Header:
        """Return where a block stands.

        Raises:
            GapError: it has no block there, for whatever reason.
        """
        (block,) = await self._read([slot], "none", HEADER)
        return block

    async def _read(self, slots: Sequence[int], details: str, decoder: "msgspec.json.Decoder[H | None]") -> list[H]:
        calls = [Call("getBlock", (slot, block_options(details))) for slot in slots]
        try:
            found = await self.ask(calls, decoder)
        except CallRefused as error:
            if error.code in _SKIPPED:
                raise GapError(f"{self.label}: {error}") from error
            raise
        return [self._present(block, slot) for slot, block in zip(slots, found, strict=True)]

    def _present(self, block: H | None, slot: int) -> H:
        if block is None:
            raise GapError(f"{self.label} has no block {slot}")
        if block.previous_blockhash == _NO_HASH and slot > 0:  # what nodes write once they have cleaned the parent up
            raise GapError(f"{self.label} has lost the parent of block {slot}")
        if block.parent_slot >= slot > 0:
            raise Malformed(f"{self.label} sent a block {slot} whose parent is {block.parent_slot}")
        return block

    async def find_header(self, slot: int) -> Header | None:
        """Return where its finalized block of a slot stands; None where it has proof that there is none.

        Raises:
            GapError: it can show neither.
        """
        following = await self.next_slots(slot, 1)
        if not following:
            if await self.final_slot() < slot:
                return None
            raise GapError(f"{self.label} shows no block from slot {slot} on")
        header = await self.header(following[0])
        if following[0] == slot:
            return header
        self.check_skipped(slot, following[0], header)
        return None

    async def hash_at(self, slot: int) -> str | None:
        """Return the hash of its finalized block at a slot, None as in `find_header`."""
        header = await self.find_header(slot)
        return None if header is None else header.blockhash

    async def ref_at(self, slot: int) -> BlockRef | None:
        """Return its finalized block at a slot, None as in `find_header`."""
        header = await self.find_header(slot)
        return None if header is None else block_ref(slot, header)

    async def view(self) -> tuple[BlockRef, BlockRef]:
        """Return its newest finalized block, as the newest one too: nothing is read before it is final."""
        slot = await self.final_slot()
        final = block_ref(slot, await self.header(slot))
        return final, final

    def check_skipped(self, first: int, following: int, header: Header) -> None:
        """Check that no block stands in `first..following - 1`, by what the block after them names as its parent.

        Raises:
            GapError: there is one, and it is missing here.
        """
        if following > first and header.parent_slot >= first:
            raise GapError(f"{self.label} lacks block {header.parent_slot}, the parent of {following}")
