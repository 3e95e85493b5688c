"""A block together with what executing it did, checked to belong together and to be whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bitlinkpay.chains.base import BlockRef, GapError
from bitlinkpay.chains.tron.contract import Contract, read_contract
from bitlinkpay.chains.tron.kinds import RUNS_CODE
from bitlinkpay.chains.tron.proof import check_ids, is_proven
from bitlinkpay.chains.tron.wire import HASH_BYTES, HeaderData, Info, Malformed, RawBlock, RawTransaction, moment, unhex

_SUCCESS, _NOT_FAILED, _UNDECIDED = "SUCCESS", "SUCESS", "DEFAULT"


@dataclass(frozen=True, slots=True)
class Executed:
    """One transaction, what it asked for, and how it ended by the block's own word."""

    txid: str
    contract: Contract
    info: Info
    ended: str
    is_success: bool


@dataclass(frozen=True, slots=True)
class Sealed:
    """A block of which every transaction has its outcome.

    Attributes:
        ref: where it stands.
        parent: id of the block before it.
        executed: its transactions in order.
        is_proven: whether the transactions hash to the root in the header.
    """

    ref: BlockRef
    parent: str
    executed: tuple[Executed, ...]
    is_proven: bool


def stand(block: RawBlock) -> BlockRef | None:
    """Return where a block or header stands, after recomputing its id; None for the empty answer to "not here".

    Raises:
        Malformed, Unproven: it is no header, or hashes to another id.
    """
    if block.header is None and not block.id:
        return None
    header = _header(block)
    check_ids(block, header)
    return BlockRef(header.number, block.id, moment(header.timestamp))


def seal(block: RawBlock, infos: Sequence[Info]) -> Sealed:
    """Put a block and its outcomes together.

    Raises:
        GapError: an outcome is missing, or not decided yet: the block was read before it was executed (THREATS TRX-02).
        Malformed, Unproven: the answers do not fit.
    """
    header = _header(block)
    signed = check_ids(block, header)
    outcomes = {info.id: info for info in infos}
    if not len(infos) == len(outcomes) == len(signed) or outcomes.keys() != {tx.id for tx in block.transactions}:
        raise GapError(f"block {header.number} has {len(signed)} transactions and not one outcome for each")
    return Sealed(
        ref=BlockRef(header.number, block.id, moment(header.timestamp)),
        parent=unhex(header.parent_hash, HASH_BYTES).hex(),
        executed=tuple(_executed(block, signed, outcomes, header.number)),
        is_proven=is_proven(block, header, signed),
    )


def _header(block: RawBlock) -> HeaderData:
    if block.header is None:
        raise Malformed("a node sent a block without a header")
    return block.header.raw_data


def _executed(block: RawBlock, signed: Sequence[bytes], outcomes: dict[str, Info], height: int) -> Iterator[Executed]:
    for tx, raw in zip(block.transactions, signed, strict=True):
        info = outcomes[tx.id]
        if info.height != height:
            raise Malformed(f"the outcome of {tx.id} is of block {info.height}, not {height}")
        contract = read_contract(raw)
        is_success = _is_success(tx, contract, info)
        yield Executed(tx.id, contract, info, tx.ret[0].contract_ret, is_success)


def _is_success(tx: RawTransaction, contract: Contract, info: Info) -> bool:
    """Say whether a transaction took effect: block and receipt must say so (THREATS TRX-01, TRX-06).

    Raises:
        GapError: undecided.
        Malformed: the block and the receipt of a contract call contradict each other.
    """
    if len(tx.ret) != 1 or tx.ret[0].contract_ret == _UNDECIDED:
        raise GapError(f"the block does not say yet what became of {tx.id}")
    if contract.kind in RUNS_CODE:
        if info.receipt.result == _UNDECIDED:
            raise GapError(f"the receipt of {tx.id} does not say yet what became of it")
        if info.receipt.result != tx.ret[0].contract_ret:
            raise Malformed(f"block and receipt disagree on what became of {tx.id}")
    return tx.ret[0].contract_ret == _SUCCESS and tx.ret[0].ret == info.result == _NOT_FAILED
