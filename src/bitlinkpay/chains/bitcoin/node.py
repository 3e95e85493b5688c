"""One Bitcoin endpoint, bitcoind or btcd: proves its chain at each connect, then answers typed questions."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from bitlinkpay.chains.base import BlockRef, GapError, WrongChain
from bitlinkpay.chains.bitcoin.proof import MAIN_GENESIS, Unproven, WorkRule, check_work, target_of
from bitlinkpay.chains.bitcoin.transfers import block_ref
from bitlinkpay.chains.bitcoin.wire import HASH_BYTES, Header, Malformed, read_header
from bitlinkpay.chains.rpc import Answer, Call, CallRefused, JsonRpc
from bitlinkpay.core.assets import Network

_WRONG_CHAIN_REST_NS: Final = 60_000_000_000
_NO_SUCH_HEIGHT: Final = frozenset({-8, -1})  # bitcoind: "Block height out of range"; btcd: "Block number out of range"
_NO_SUCH_BLOCK: Final = frozenset({-5, -1})  # both: not found; bitcoind: -1 where the block was pruned
_RAW: Final = 0  # verbosity: serialized, in hex

T = TypeVar("T")

TEXT: Final = msgspec.json.Decoder(str)
HEIGHT: Final = msgspec.json.Decoder(int)


class _Script(msgspec.Struct, frozen=True, gc=False):
    hex: str


class UnspentOutput(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """An answer of `gettxout`: an output that the node's own state says can be spent."""

    value: Decimal
    script_pub_key: _Script
    confirmations: int
    bestblock: str = msgspec.field(name="bestblock", default="")


UNSPENT: Final = msgspec.json.Decoder(UnspentOutput | None)


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
    except (msgspec.DecodeError, ValueError, ArithmeticError, RecursionError) as error:
        raise Malformed(f"the answer to {call.method} has another form ({type(error).__name__})") from None


def unhex(text: str) -> bytes:
    """Return the bytes of a hex text.

    Raises:
        Malformed: anything else (`bytes.fromhex` alone would skip white space).
    """
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raise Malformed("a node sent data that is not hex") from None
    if len(text) != 2 * len(raw):
        raise Malformed("a node sent data that is not hex")
    return raw


class BitcoinNode:
    """An endpoint of one Bitcoin network."""

    def __init__(self, rpc: JsonRpc, network: Network) -> None:
        self.rpc = rpc
        self._network = network
        self._identified = 0
        self._work: WorkRule | None = None
        self._view: tuple[BlockRef, BlockRef] | None = None

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

    async def answers(self, calls: Sequence[Call]) -> list[Answer]:
        """Make calls of one kind; whenever a connection was opened meanwhile, check the chain before believing them.

        Raises:
            EndpointFailed: no answers.
            WrongChain: it serves another chain.
        """
        answers = await self.rpc.batch(calls)
        if self.rpc.connections != self._identified:
            await self._identify()
        return answers

    async def ask(self, calls: Sequence[Call], decoder: "msgspec.json.Decoder[T]") -> list[T]:
        """Make calls of one kind and return their typed results.

        Raises:
            EndpointFailed, CallRefused: no answers.
            WrongChain: it serves another chain.
        """
        answers = await self.answers(calls)
        return [decode(answer, call, decoder) for call, answer in zip(calls, answers, strict=True)]

    async def _identify(self) -> None:
        """Check block 0, whose own difficulty is also the least that the chain ever allows."""
        connections = self.rpc.connections
        call = Call("getblockhash", (0,))
        (answer,) = await self.rpc.batch([call])
        genesis = decode(answer, call, TEXT)
        if self._network.genesis and genesis != self._network.genesis:
            self._view = None
            what = "has another block 0 than the registry names"
            self.rpc.breaker.failed(what, at_least_ns=_WRONG_CHAIN_REST_NS)
            raise WrongChain(f"{self.label} {what}")
        call = Call("getblockheader", (genesis, False))
        (answer,) = await self.rpc.batch([call])
        header = read_header(unhex(decode(answer, call, TEXT)))
        if header.hash != genesis:
            raise Unproven(f"{self.label} sent another header than that of its block 0")
        self._work = WorkRule(target_of(header.bits), is_main=genesis == MAIN_GENESIS)
        self._identified = connections

    def target_max(self, height: int) -> int:
        """Return the easiest target that its chain allows at a height; it has answered before."""
        assert self._work is not None, "asked before it was identified"
        return self._work.target_max(height)

    async def height(self) -> int:
        """Return the height of its newest block."""
        (height,) = await self.ask([Call("getblockcount")], HEIGHT)
        return height

    async def hashes(self, heights: Sequence[int]) -> list[str | None]:
        """Return the hashes of its chain at heights, None beyond its end."""
        calls = [Call("getblockhash", (height,)) for height in heights]
        found: list[str | None] = []
        for call, answer in zip(calls, await self.answers(calls), strict=True):
            is_beyond = answer.error is not None and answer.error.code in _NO_SUCH_HEIGHT
            found.append(None if is_beyond else _hash(decode(answer, call, TEXT)))
        return found

    async def hash_at(self, height: int) -> str | None:
        """Return the hash of its chain at a height, None beyond its end."""
        (found,) = await self.hashes([height])
        return found

    async def block_hashes(self, first: int, last: int) -> list[str]:
        """Return the hashes of a whole range.

        Raises:
            GapError: its chain ends before.
        """
        found = await self.hashes(range(first, last + 1))
        hashes = [block_hash for block_hash in found if block_hash is not None]
        if len(hashes) != len(found):
            raise GapError(f"{self.label} has no block {last}")
        return hashes

    async def headers(self, hashes: Sequence[str]) -> list[Header]:
        """Return headers by hash, each recomputed."""
        calls = [Call("getblockheader", (block_hash, False)) for block_hash in hashes]
        headers = [read_header(unhex(text)) for text in await self.ask(calls, TEXT)]
        for header, block_hash in zip(headers, hashes, strict=True):
            if header.hash != block_hash:
                raise Unproven(f"{self.label} sent another header than that of block {block_hash}")
        return headers

    async def find_ref(self, height: int) -> BlockRef | None:
        """Return where its block at a height stands, None beyond its end.

        Raises:
            Unproven: the header is not that of its hash, or too easy.
        """
        block_hash = await self.hash_at(height)
        if block_hash is None:
            return None
        (header,) = await self.headers([block_hash])
        check_work(header, self.target_max(height))
        return block_ref(header, height)

    async def ref_at(self, height: int) -> BlockRef:
        """Return where its block at a height stands.

        Raises:
            GapError: its chain ends before.
        """
        ref = await self.find_ref(height)
        if ref is None:
            raise GapError(f"{self.label} has no block {height}")
        return ref

    async def view(self, depth: int) -> tuple[BlockRef, BlockRef]:
        """Return its newest block and the one `depth` blocks below; one call while the newest one stays the same."""
        (best,) = await self.ask([Call("getbestblockhash")], TEXT)
        view = self._view
        if view is None or view[0].hash != best:
            height = await self.height()
            view = self._view = await self.ref_at(height), await self.ref_at(max(0, height - depth))
        return view

    async def blocks(self, hashes: Sequence[str]) -> list[bytes]:
        """Return serialized blocks by hash: one call each.

        Raises:
            GapError: it lacks one of them (pruned, or never seen).
        """
        calls = [Call("getblock", (block_hash, _RAW)) for block_hash in hashes]
        found: list[bytes] = []
        for call, answer in zip(calls, await self.answers(calls), strict=True):
            if answer.error is not None and answer.error.code in _NO_SUCH_BLOCK:
                raise GapError(f"{self.label} lacks block {call.params[0]}: {answer.error.message[:80]}")
            found.append(unhex(decode(answer, call, TEXT)))
        return found


def _hash(text: str) -> str:
    if len(unhex(text)) != HASH_BYTES or text != text.lower():
        raise Malformed("a node sent a block hash that is not 64 hex digits")
    return text
