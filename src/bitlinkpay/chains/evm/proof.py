"""Recompute what a node says: block hash, transactions root, receipts root and senders, from the answer's own content.

A block that passes is exactly the block with this hash, whole and unaltered, whoever sent it; so endpoints need to
agree on the hash alone. Chains whose headers, transactions or receipts have forms that are not public Ethereum ones
(types above 4) can't be recomputed here: their adapter compares whole answers instead.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import wallycore

from bitlinkpay.chains.base import ForkedBlock, GapError
from bitlinkpay.chains.codec.evm import keccak256
from bitlinkpay.chains.evm.rlp import encode_bytes, encode_int, encode_list
from bitlinkpay.chains.evm.trie import list_root
from bitlinkpay.chains.evm.wire import (
    ADDRESS_BYTES,
    HASH_BYTES,
    Access,
    Authorization,
    Header,
    Malformed,
    RawBlock,
    Receipt,
    Transaction,
    quantity,
    unhex,
)

_BLOOM_BYTES = 256
_EIP155_V = 35  # EIP-155: v = chain id * 2 + 35 or 36; before it 27 or 28
_RECOVERABLE = 27 + 4  # Bitcoin's convention for a recoverable signature of a compressed key


class Unproven(Malformed):
    """The content of an answer does not hash to what its header says: altered, cut short, or of an unknown form."""


def check_shape(block: RawBlock, receipts: Sequence[Receipt]) -> None:
    """Check what must hold on every chain: one receipt for each transaction, of this very block.

    Raises:
        ForkedBlock: a receipt belongs to another block, or a log was removed by a reorganisation.
        GapError: a receipt is missing.
    """
    for receipt in receipts:
        if receipt.block_hash.lower() != block.hash.lower():
            raise ForkedBlock(f"receipts of block {block.number} belong to another block")
        if any(log.removed for log in receipt.logs):
            raise ForkedBlock(f"block {block.number} has a removed log")
    if len(receipts) != len(block.transactions):
        raise GapError(f"block {block.number}: {len(receipts)} receipts for {len(block.transactions)} transactions")
    for tx, receipt in zip(block.transactions, receipts, strict=True):
        if tx.hash.lower() != receipt.transaction_hash.lower():
            raise GapError(f"block {block.number}: its receipts are not those of its transactions")


def prove(block: RawBlock, receipts: Sequence[Receipt]) -> None:
    """Check that block and receipts are whole and unaltered (EIP-2718 encodings), and who signed native payments.

    Raises:
        Unproven: a hash or a sender differs.
        Malformed: a value is no hex of the right size.
    """
    if keccak256(encode_header(block)) != unhex(block.hash, HASH_BYTES):
        raise Unproven(f"block {block.number}: its header does not hash to its hash")
    encoded = [encode_transaction(tx) for tx in block.transactions]
    for tx, raw in zip(block.transactions, encoded, strict=True):
        if keccak256(raw) != unhex(tx.hash, HASH_BYTES):
            raise Unproven(f"block {block.number}: transaction {tx.hash} does not hash to its hash")
    if list_root(encoded) != unhex(block.transactions_root, HASH_BYTES):
        raise Unproven(f"block {block.number}: its transactions are not those of its header")
    if list_root([encode_receipt(receipt) for receipt in receipts]) != unhex(block.receipts_root, HASH_BYTES):
        raise Unproven(f"block {block.number}: its receipts are not those of its header")


def encode_header(header: Header) -> bytes:
    """Return the RLP of a header with the fields of every fork up to the first that it lacks."""
    return encode_list(_header_items(header))


def _header_items(header: Header) -> Iterator[bytes]:
    for text in (header.parent_hash, header.sha3_uncles):
        yield encode_bytes(unhex(text, HASH_BYTES))
    yield encode_bytes(unhex(header.miner, ADDRESS_BYTES))
    for text in (header.state_root, header.transactions_root, header.receipts_root):
        yield encode_bytes(unhex(text, HASH_BYTES))
    yield encode_bytes(unhex(header.logs_bloom, _BLOOM_BYTES))
    for text in (header.difficulty, header.number, header.gas_limit, header.gas_used, header.timestamp):
        yield encode_int(quantity(text))
    for data in (header.extra_data, header.mix_hash, header.nonce):
        yield encode_bytes(unhex(data or "0x"))
    later: tuple[tuple[str | None, Callable[[str], bytes]], ...] = (
        (header.base_fee_per_gas, _number),
        (header.withdrawals_root, _data),
        (header.blob_gas_used, _number),
        (header.excess_blob_gas, _number),
        (header.parent_beacon_block_root, _data),
        (header.requests_hash, _data),
        (header.block_access_list_hash, _data),
        (header.slot_number, _number),
    )
    for value, encode in later:
        if value is None:
            return
        yield encode(value)


def _number(text: str | None) -> bytes:
    return encode_int(quantity(text))


def _data(text: str) -> bytes:
    return encode_bytes(unhex(text))


def encode_receipt(receipt: Receipt) -> bytes:
    """Return the consensus encoding of a receipt: EIP-658 status, gas, bloom and logs, behind its type (EIP-2718)."""
    logs = [
        encode_list(
            (
                encode_bytes(unhex(log.address, ADDRESS_BYTES)),
                encode_list([encode_bytes(unhex(topic, HASH_BYTES)) for topic in log.topics]),
                encode_bytes(unhex(log.data)),
            )
        )
        for log in receipt.logs
    ]
    body = encode_list(
        (
            _number(receipt.status),
            _number(receipt.cumulative_gas_used),
            encode_bytes(unhex(receipt.logs_bloom, _BLOOM_BYTES)),
            encode_list(logs),
        )
    )
    return _typed(quantity(receipt.type), body)


def _typed(kind: int, body: bytes) -> bytes:
    return body if kind == 0 else bytes((kind & 0xFF,)) + body


def encode_transaction(tx: Transaction) -> bytes:
    """Return the signed encoding of a transaction, whose Keccak hash is its id.

    Raises:
        Unproven: a type that Ethereum does not define.
    """
    kind = quantity(tx.type)
    v = tx.v if kind == 0 or tx.y_parity is None else tx.y_parity
    return _typed(kind, encode_list([*_payload(kind, tx), _number(v), _number(tx.r), _number(tx.s)]))


def _payload(kind: int, tx: Transaction) -> list[bytes]:
    """Return the encoded fields of a transaction before its signature."""
    if kind not in _FORMS:
        raise Unproven(f"transaction {tx.hash} has the unknown type {kind}")
    core = [
        _number(tx.gas),
        _data(tx.to) if tx.to else encode_bytes(b""),
        _number(tx.value),
        _data(tx.input),
    ]
    return _FORMS[kind](tx, core)


def _legacy(tx: Transaction, core: list[bytes]) -> list[bytes]:
    return [_number(tx.nonce), _number(tx.gas_price), *core]


def _eip2930(tx: Transaction, core: list[bytes]) -> list[bytes]:
    return [_number(tx.chain_id), *_legacy(tx, core), _accesses(tx.access_list)]


def _eip1559(tx: Transaction, core: list[bytes]) -> list[bytes]:
    fees = (_number(tx.max_priority_fee_per_gas), _number(tx.max_fee_per_gas))
    return [_number(tx.chain_id), _number(tx.nonce), *fees, *core, _accesses(tx.access_list)]


def _eip4844(tx: Transaction, core: list[bytes]) -> list[bytes]:
    blobs = encode_list([_data(blob) for blob in tx.blob_versioned_hashes or ()])
    return [*_eip1559(tx, core), _number(tx.max_fee_per_blob_gas), blobs]


def _eip7702(tx: Transaction, core: list[bytes]) -> list[bytes]:
    return [*_eip1559(tx, core), encode_list([_authorization(item) for item in tx.authorization_list or ()])]


_FORMS: Mapping[int, Callable[[Transaction, list[bytes]], list[bytes]]] = {
    0: _legacy,
    1: _eip2930,
    2: _eip1559,
    3: _eip4844,
    4: _eip7702,
}


def _accesses(items: Sequence[Access] | None) -> bytes:
    return encode_list(
        [
            encode_list((_data(item.address), encode_list([_data(key) for key in item.storage_keys])))
            for item in items or ()
        ]
    )


def _authorization(item: Authorization) -> bytes:
    parity = item.y_parity if item.y_parity is not None else item.v
    return encode_list(
        (
            _number(item.chain_id),
            _data(item.address),
            _number(item.nonce),
            _number(parity),
            _number(item.r),
            _number(item.s),
        )
    )


def signer_of(tx: Transaction) -> bytes:
    """Return the address (20 bytes) whose key signed a transaction; `from` in an answer is only a claim.

    Raises:
        Unproven: the signature fits no key.
    """
    kind = quantity(tx.type)
    fields = _payload(kind, tx)
    v = quantity(tx.v)
    if kind == 0 and v >= _EIP155_V:
        fields += [encode_int((v - _EIP155_V) // 2), encode_bytes(b""), encode_bytes(b"")]
        parity = (v - _EIP155_V) % 2
    elif kind == 0:
        parity = v - 27
    else:
        parity = quantity(tx.y_parity if tx.y_parity is not None else tx.v)
    digest = keccak256(_typed(kind, encode_list(fields)))
    try:
        signature = bytes((_RECOVERABLE + parity,)) + b"".join(
            quantity(part).to_bytes(HASH_BYTES, "big") for part in (tx.r, tx.s)
        )
        key = wallycore.ec_public_key_decompress(wallycore.ec_sig_to_public_key(digest, signature))
    except ValueError:
        raise Unproven(f"the signature of transaction {tx.hash} fits no key") from None
    return keccak256(bytes(key)[1:])[12:]
