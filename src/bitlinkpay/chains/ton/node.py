"""One TON endpoint (an indexer's HTTP API): proves which network it serves at each connect, then answers questions."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from bitlinkpay.chains.base import ForkedBlock, GapError, WrongChain
from bitlinkpay.chains.http_json import HttpJson
from bitlinkpay.chains.ton.history import BEGINNING, Link
from bitlinkpay.chains.ton.wire import (
    MASTERCHAIN,
    Malformed,
    RawBlock,
    RawBlocks,
    RawInfo,
    RawState,
    RawStates,
    RawTransaction,
    RawTransactions,
    canonical_address,
    canonical_hash,
    decoder_of,
)
from bitlinkpay.chains.transport import Endpoint, StatusRefused
from bitlinkpay.chains.trial import CannotTry
from bitlinkpay.core.assets import Network

T = TypeVar("T")
Query = Sequence[tuple[str, str]]

_KEY_HEADER = "X-API-Key"
PAGE: Final = 256  # transactions in one answer: the API's own limit is 1,000
HEADERS_SPARE: Final = 8  # blocks of one second may come in any order: ask for more than are needed
_MASTER = (("workchain", str(MASTERCHAIN)), ("shard", "8000000000000000"))  # the masterchain is never split
_GLOBAL_IDS = {False: -239, True: -3}  # docs.ton.org, "global_id": of the main network and of the test network
_ADDRESSES = 50
_WRONG_CHAIN_REST_NS = 60_000_000_000
_NOT_SERVED = frozenset({404, 405, 501})


class _ZeroState(msgspec.Struct, frozen=True):
    root_hash: str


class _MasterInfo(msgspec.Struct, frozen=True):
    init: _ZeroState


class _OldAnswer(msgspec.Struct, frozen=True):
    result: _MasterInfo


_INFO, _BLOCKS, _STATES, _TRANSACTIONS, _OLD_INFO = (
    decoder_of(RawInfo),
    decoder_of(RawBlocks),
    decoder_of(RawStates),
    decoder_of(RawTransactions),
    decoder_of(_OldAnswer),
)


class TonNode:
    """An endpoint of one TON network: the base of API v3, such as `https://toncenter.com/api/v3`."""

    def __init__(self, endpoint: Endpoint, network: Network) -> None:
        self.http = HttpJson(endpoint, key_header=_KEY_HEADER)
        self.door = HttpJson(endpoint, key_header=_KEY_HEADER)  # what is said to our messages is no reason not to read
        self._network = network
        self._identified = 0

    @property
    def label(self) -> str:
        """Return its name without credentials."""
        return self.http.endpoint.label

    @property
    def party(self) -> str:
        """Return who runs it."""
        return self.http.endpoint.party

    @property
    def is_resting(self) -> bool:
        """Say whether it refuses to be asked for now."""
        return self.http.breaker.is_resting

    async def aclose(self) -> None:
        """Close all connections."""
        await self.http.aclose()
        await self.door.aclose()

    async def get(self, path: str, query: Query, decoder: "msgspec.json.Decoder[T]") -> T:
        """Ask for a path; whenever a connection was opened meanwhile, the network is checked before it is believed.

        Raises:
            EndpointFailed: no answer.
            WrongChain: it serves another network.
        """
        answer = await self.http.get(path, query, decoder)
        await self._identify()
        return answer

    async def post(self, path: str, body: object, decoder: "msgspec.json.Decoder[T]") -> T:
        """Ask with a body; otherwise as `get`."""
        answer = await self.http.post(path, body, decoder)
        await self._identify()
        return answer

    async def _identify(self) -> None:
        connections = self.http.connections
        if connections == self._identified:
            return
        found = (await self.http.get("/masterchainInfo", (), _INFO)).last.global_id
        if found != _GLOBAL_IDS[self._network.testnet]:
            raise self._wrong(f"serves the network with global id {found}")
        zero = await self._zero_state() if self._network.genesis else ""
        if zero and zero != self._network.genesis:
            raise self._wrong("has another zero state than the registry names")
        self._identified = connections

    async def _zero_state(self) -> str:
        """Return the root hash of the zero state, "" where the endpoint has no API v2, which alone tells it."""
        old = _beside(self.http.endpoint, "v2")
        if old is None:
            return ""
        try:
            async with HttpJson(old, key_header=_KEY_HEADER) as http:
                answer = await http.get("/getMasterchainInfo", (), _OLD_INFO)
        except StatusRefused as error:
            if error.status in _NOT_SERVED:
                return ""
            raise
        return canonical_hash(answer.result.init.root_hash)

    async def emulate(self, path: str, body: object, decoder: "msgspec.json.Decoder[T]") -> T:
        """Ask the API that tells what would follow from a message (docs.ton.org/api/emulate).

        Raises:
            CannotTry: the endpoint has none.
            EndpointFailed: no answer.
        """
        emulator = _beside(self.http.endpoint, "emulate/v1")
        try:
            if emulator is not None:
                async with HttpJson(emulator, key_header=_KEY_HEADER) as http:
                    return await http.post(path, body, decoder)
        except StatusRefused as error:
            if error.status not in _NOT_SERVED:
                raise
        raise CannotTry(f"{self.label} has no emulation API beside its API v3")

    def _wrong(self, what: str) -> WrongChain:
        self.http.breaker.failed(what, at_least_ns=_WRONG_CHAIN_REST_NS)
        return WrongChain(f"{self.label} {what}")

    async def newest(self) -> RawBlock:
        """Return its newest masterchain block."""
        return _master((await self.get("/masterchainInfo", (), _INFO)).last)

    async def find_header(self, height: int) -> RawBlock | None:
        """Return the masterchain block at a height, None where it has none."""
        answer = await self.get("/blocks", (*_MASTER, ("seqno", str(height)), ("limit", "2")), _BLOCKS)
        if not answer.blocks:
            return None
        block = _master(answer.blocks[0])
        if len(answer.blocks) > 1 or block.seqno != height:
            raise Malformed(f"{self.label} answered with other blocks than {height}")
        return block

    async def header(self, height: int) -> RawBlock:
        """Return the masterchain block at a height.

        Raises:
            GapError: it has none.
        """
        block = await self.find_header(height)
        if block is None:
            raise GapError(f"{self.label} has no block {height}")
        return block

    async def headers(self, before: RawBlock, last: int) -> list[RawBlock]:
        """Return the masterchain blocks above `before` up to height `last`, ascending.

        Raises:
            GapError: it lacks one of them.
        """
        count = last - before.seqno
        query = (*_MASTER, ("start_lt", str(before.start_lt)), ("sort", "asc"), ("limit", str(count + HEADERS_SPARE)))
        blocks = {int(_master(block).seqno): block for block in (await self.get("/blocks", query, _BLOCKS)).blocks}
        if blocks.get(before.seqno, before) != before:
            raise ForkedBlock(f"{self.label} has another block {before.seqno} than before")
        missing = [height for height in range(before.seqno + 1, last + 1) if height not in blocks]
        if missing:
            raise GapError(f"{self.label} has no block {missing[0]}")
        return [blocks[height] for height in range(before.seqno + 1, last + 1)]

    async def header_after(self, time: datetime) -> RawBlock:
        """Return an early masterchain block of after a time.

        Raises:
            GapError: there is none yet.
        """
        query = (*_MASTER, ("start_utime", str(int(time.timestamp()) + 1)), ("sort", "asc"), ("limit", "1"))
        answer = await self.get("/blocks", query, _BLOCKS)
        if not answer.blocks:
            raise GapError(f"{self.label} has no block after {time:%H:%M:%S}")
        return _master(answer.blocks[0])

    async def states(self, accounts: Sequence[str]) -> dict[str, RawState]:
        """Return accounts as they are now; one that never was is left out."""
        found: dict[str, RawState] = {}
        for at in range(0, len(accounts), _ADDRESSES):  # they travel in the URL
            query = (*(("address", account) for account in accounts[at : at + _ADDRESSES]), ("include_boc", "false"))
            answer = await self.get("/accountStates", query, _STATES)
            found |= {canonical_address(state.address): state for state in answer.accounts}
        return found

    async def transactions(self, query: Query, *, limit: int = PAGE) -> list[RawTransaction]:
        """Return the transactions that a filter finds."""
        return (await self.get("/transactions", (*query, ("limit", str(limit))), _TRANSACTIONS)).transactions

    async def find_transaction(self, txid: str) -> RawTransaction | None:
        """Return the transaction of a hash, or the one that took the message of that hash, None for neither.

        Raises:
            Malformed: it answered with another one.
        """
        found = await self.transactions((("hash", txid),), limit=2)
        if found:
            return self._named(found[0], txid, found[0].hash)
        return await self.find_taker(txid)

    async def find_taker(self, message: str) -> RawTransaction | None:
        """Return the transaction that took the message of a hash (its own or its normalised one), None if none did."""
        query = (("msg_hash", message), ("direction", "in"), ("limit", "2"))
        found = (await self.get("/transactionsByMessage", query, _TRANSACTIONS)).transactions
        if not found or found[0].in_msg is None:
            return None
        taken = found[0].in_msg
        return self._named(found[0], message, taken.hash, taken.hash_norm)

    def _named(self, found: RawTransaction, wanted: str, *names: str | None) -> RawTransaction:
        if wanted not in {canonical_hash(name) for name in names if name}:
            raise Malformed(f"{self.label} answered with another transaction than {wanted}")
        return found


def tip_of(state: RawState | None) -> Link:
    """Return the link of an account's last transaction."""
    if state is None or not state.last_transaction_lt:
        return BEGINNING
    return Link(int(state.last_transaction_lt), canonical_hash(state.last_transaction_hash))


def _beside(endpoint: Endpoint, api: str) -> Endpoint | None:
    """Return another API of the service whose API v3 this is, None where its address does not say that it is that."""
    address, question, query = endpoint.url.partition("?")
    base = address.rstrip("/")
    return replace(endpoint, url=base.removesuffix("v3") + api + question + query) if base.endswith("/v3") else None


def _master(block: RawBlock) -> RawBlock:
    if block.workchain != MASTERCHAIN:
        raise Malformed("a block of another chain than the masterchain")
    return block
