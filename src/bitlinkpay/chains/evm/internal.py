"""Native coin that arrives without a transaction of its own: inner calls, self-destructs, withdrawals, block rewards.

Balances are searched for the blocks in which one changed; of those, what the block's own transactions do not explain
has arrived hidden. Call traces name its parts where an endpoint offers them, and must sum up to exactly the hidden
amount, so that a lying tracer can't invent money. Reverted frames never count, nor anything below them.

Positions: `internal:<n>`, n counting the value-moving inner frames of the transaction; `withdrawal:<index>` and
`reward` with the block's hash in place of a transaction's. Without traces a hidden arrival is one transfer a block:
`internal:<address without 0x>`, with the id of the only transaction that can have sent it, else the block's hash.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bitlinkpay.chains.base import Arrival, Block, ChainError, Transfer
from bitlinkpay.chains.evm.node import EvmNode
from bitlinkpay.chains.evm.reader import BlockReader, Sealed
from bitlinkpay.chains.evm.state import StateReader
from bitlinkpay.chains.evm.transfers import block_ref, canonical_address, canonical_hash, is_success
from bitlinkpay.chains.evm.wire import TRACE, Frame, RawBlock, Receipt, TraceItem, Transaction, quantity
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.rpc import Call, CallRefused
from bitlinkpay.core.assets import Asset

_SAMPLES = 500
_CHANGES_MAX = 1000
_GWEI = 10**9
_PLAIN_GAS = 21_000  # a transaction that uses no more ran no code
_TRACE_METHOD = "debug_traceBlockByHash"
_MOVING = frozenset({"CALL", "CREATE", "CREATE2", "SELFDESTRUCT"})


@dataclass(frozen=True, slots=True)
class Flows:
    """What one block's own content says about the native balance of one address."""

    block: Block
    txids: tuple[str, ...]
    arrived: int  # by transactions to the address: what a scan sees
    spent: int  # by transactions of the address, gas included
    withdrawals: tuple[tuple[int, int], ...]  # index and units
    is_producer: bool
    movers: tuple[str, ...]  # transactions that ran code and so may have moved coin by inner calls


@dataclass(frozen=True, slots=True)
class Moved:
    """One inner frame that moved native coin and was not undone."""

    txid: str
    ordinal: int
    kind: str
    source: str
    target: str
    units: int


class InternalFinder:
    """Finds hidden arrivals on one network."""

    def __init__(
        self, quorum: Quorum[EvmNode], reader: BlockReader, state: StateReader, native: Asset, *, traces: bool
    ) -> None:
        self._quorum = quorum
        self._reader = reader
        self._state = state
        self._native = native
        self._traces = traces

    async def locate(self, address: str, first: int, last: int) -> list[tuple[Block, Transfer]]:
        """Return the hidden arrivals at `address` (canonical) in blocks `first..last`, in order.

        Raises:
            ChainError: balances, blocks or traces can't be read, or do not fit together.
        """
        found: list[tuple[Block, Transfer]] = []
        for height in await self._changed(address, max(first, 1), last):
            (flows,) = await self._reader.read(height, height, lambda sealed: read_flows(sealed, address))
            found += [(flows.block, transfer) for transfer in await self._explain(flows, address)]
        return found

    async def _changed(self, address: str, first: int, last: int) -> list[int]:
        """Return the heights in `first..last` whose block changed the balance, 500 balances a request."""
        changed: list[int] = []
        spans = [(first - 1, last)] if first <= last else []
        while spans:
            low, high = spans.pop()
            step = -(-(high - low) // _SAMPLES)
            marks = [*range(low, high, step), high]
            values = await self._state.native_history(address, marks)
            for (a, before), (b, after) in pairwise(zip(marks, values, strict=True)):
                if before != after:
                    (changed.append(b) if b == a + 1 else spans.append((a, b)))
            if len(changed) + len(spans) > _CHANGES_MAX:
                raise ChainError(f"the balance of {address} changes too often in {first}..{last}: ask for less")
        return sorted(changed)

    async def _explain(self, flows: Flows, address: str) -> list[Transfer]:
        block = flows.block
        (before,) = await self._state.balances(self._native, [address], block.parent)
        (after,) = await self._state.balances(self._native, [address], block.hash)
        hidden = after - before - flows.arrived + flows.spent
        if hidden == 0:
            return []
        system = [self._system(flows, address, f"withdrawal:{index}", units) for index, units in flows.withdrawals]
        hidden -= sum(transfer.units for transfer in system)
        moved = await self._trace(flows) if self._traces else None
        if moved is None:
            return system + self._untraced(flows, address, hidden)
        inner = [
            self._transfer(
                move.txid,
                f"internal:{move.ordinal}",
                target=address,
                units=move.units,
                source=move.source,
                arrival=Arrival.SYSTEM if move.kind == "SELFDESTRUCT" else Arrival.INTERNAL,
            )
            for move in moved
            if move.target == address
        ]
        rest = hidden - sum(transfer.units for transfer in inner) + sum(m.units for m in moved if m.source == address)
        if rest < 0 or (rest > 0 and not flows.is_producer):
            raise ChainError(f"block {block.height}: traces do not explain the balance of {address}")
        reward = [self._system(flows, address, "reward", rest)] if rest else []
        return system + inner + reward

    def _untraced(self, flows: Flows, address: str, hidden: int) -> list[Transfer]:
        if hidden <= 0:
            return []
        if flows.is_producer:
            return [self._system(flows, address, "reward", hidden)]
        txid = flows.movers[0] if len(flows.movers) == 1 else flows.block.hash
        return [self._transfer(txid, f"internal:{address[2:].lower()}", target=address, units=hidden)]

    def _system(self, flows: Flows, address: str, position: str, units: int) -> Transfer:
        return self._transfer(flows.block.hash, position, target=address, units=units, arrival=Arrival.SYSTEM)

    def _transfer(
        self,
        txid: str,
        position: str,
        *,
        target: str,
        units: int,
        source: str = "",
        arrival: Arrival = Arrival.INTERNAL,
    ) -> Transfer:
        return Transfer(
            asset=self._native.id,
            txid=txid,
            position=position,
            source=source,
            target=target,
            tag="",
            units=units,
            arrival=arrival,
        )

    async def _trace(self, flows: Flows) -> list[Moved] | None:
        """Return all inner moves of a block, or None where no endpoint traces.

        Raises:
            ChainError: those that trace can't be reached.
        """
        call = Call(_TRACE_METHOD, (flows.block.hash, {"tracer": "callTracer"}))
        failure: ChainError | None = None
        for node in self._quorum.ordered():
            if _TRACE_METHOD in node.lacks:
                continue
            try:
                (items,) = await node.ask([call], TRACE)
                return read_trace(items, flows.txids)
            except CallRefused as error:
                if error.is_unsupported:
                    node.lacks.add(_TRACE_METHOD)
            except ChainError as error:
                failure = error
        if failure is not None:
            raise failure
        return None


def read_flows(sealed: Sealed, address: str) -> Flows:
    """Return what a block says about the native balance of one canonical address."""
    raw, key = sealed.block, address.lower()
    ref = block_ref(raw)
    pairs = list(zip(raw.transactions, sealed.receipts, strict=True))
    return Flows(
        block=Block(ref.height, ref.hash, canonical_hash(raw.parent_hash), ref.time),
        txids=tuple(canonical_hash(tx.hash) for tx in raw.transactions),
        arrived=sum(quantity(tx.value) for tx, r in pairs if tx.to and tx.to.lower() == key and is_success(r)),
        spent=sum(_cost(tx, receipt) for tx, receipt in pairs if tx.sender.lower() == key),
        withdrawals=_withdrawals(raw, key),
        is_producer=raw.miner.lower() == key,
        movers=tuple(canonical_hash(tx.hash) for tx, r in pairs if is_success(r) and quantity(r.gas_used) > _PLAIN_GAS),
    )


def _cost(tx: Transaction, receipt: Receipt) -> int:
    gas = quantity(receipt.gas_used) * quantity(receipt.effective_gas_price)
    blobs = quantity(receipt.blob_gas_used) * quantity(receipt.blob_gas_price)
    return gas + blobs + (quantity(tx.value) if is_success(receipt) else 0)


def _withdrawals(block: RawBlock, key: str) -> tuple[tuple[int, int], ...]:
    return tuple(
        (quantity(item.index), quantity(item.amount) * _GWEI)
        for item in block.withdrawals or ()
        if item.address.lower() == key and quantity(item.amount)
    )


def read_trace(items: Sequence[TraceItem], txids: Sequence[str]) -> list[Moved]:
    """Return the inner moves of a traced block.

    Raises:
        ChainError: the traces are not those of the block's transactions.
    """
    if len(items) != len(txids):
        raise ChainError(f"{len(items)} traces for {len(txids)} transactions")
    moves: list[Moved] = []
    for item, txid in zip(items, txids, strict=True):
        if item.tx_hash is not None and item.tx_hash.lower() != txid:
            raise ChainError("the traces are not those of the block's transactions")
        moves += [
            Moved(txid, n, frame.type, canonical_address(frame.sender), canonical_address(frame.to or ""), units)
            for n, (frame, units) in enumerate(_moving_frames(item.result))
            if frame.sender.lower() != (frame.to or "").lower()
        ]
    return moves


def _moving_frames(root: Frame) -> Iterator[tuple[Frame, int]]:
    """Yield the inner frames that moved coin and were not undone, in the order of execution; no recursion."""
    pending = [] if root.error else list(reversed(root.calls))
    while pending:
        frame = pending.pop()
        if frame.error:
            continue
        units = quantity(frame.value) if frame.value is not None else 0
        if units and frame.type in _MOVING:
            yield frame, units
        pending.extend(reversed(frame.calls))
