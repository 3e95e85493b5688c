"""What EVM nodes answer, as typed structs, and the strict hex grammar of the execution API (`QUANTITY` and `DATA`).

Only the fields that are used are decoded. A field that a chain may lack has a default; every other missing or
mistyped field refuses the whole answer.
"""

import re

import msgspec

from bitlinkpay.chains.base import EndpointFailed

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}", re.ASCII)
HASH_BYTES = 32
ADDRESS_BYTES = 20


class Malformed(EndpointFailed):
    """A node's answer does not have the form that the execution API promises."""


class _Wire(msgspec.Struct, rename="camel", gc=False):
    """Fields travel in camelCase."""


class Log(_Wire):
    """An event of a successful transaction."""

    address: str
    topics: list[str]
    data: str
    removed: bool | None = False


class Receipt(_Wire):
    """What executing a transaction did."""

    transaction_hash: str
    block_hash: str
    status: str
    cumulative_gas_used: str
    logs_bloom: str
    logs: list[Log]
    type: str = "0x0"
    gas_used: str = "0x0"
    effective_gas_price: str = "0x0"
    blob_gas_used: str = "0x0"
    blob_gas_price: str = "0x0"


class Access(_Wire):
    """One entry of an access list (EIP-2930)."""

    address: str
    storage_keys: list[str]


class Authorization(_Wire):
    """One entry of an authorization list (EIP-7702)."""

    chain_id: str
    address: str
    nonce: str
    r: str
    s: str
    y_parity: str | None = None
    v: str | None = None


class Transaction(_Wire):
    """A transaction of any of the types 0 to 4; a type's own fields are None elsewhere."""

    hash: str
    nonce: str
    gas: str
    value: str
    input: str
    sender: str = msgspec.field(name="from")
    v: str = "0x0"
    r: str = "0x0"
    s: str = "0x0"
    to: str | None = None
    type: str = "0x0"
    chain_id: str | None = None
    gas_price: str | None = None
    max_priority_fee_per_gas: str | None = None
    max_fee_per_gas: str | None = None
    max_fee_per_blob_gas: str | None = None
    access_list: list[Access] | None = None
    blob_versioned_hashes: list[str] | None = None
    authorization_list: list[Authorization] | None = None
    y_parity: str | None = None


class Withdrawal(_Wire):
    """Money of a validator that a block pays out (EIP-4895); `amount` is in gwei."""

    index: str
    address: str
    amount: str


class Stamp(_Wire):
    """The part of a header that says where and when a block stands."""

    number: str
    hash: str
    timestamp: str


class Header(Stamp):
    """A whole header; fields of later forks are None before them."""

    parent_hash: str
    sha3_uncles: str
    miner: str
    state_root: str
    transactions_root: str
    receipts_root: str
    logs_bloom: str
    difficulty: str
    gas_limit: str
    gas_used: str
    extra_data: str
    mix_hash: str | None = None
    nonce: str | None = None
    base_fee_per_gas: str | None = None
    withdrawals_root: str | None = None
    blob_gas_used: str | None = None
    excess_blob_gas: str | None = None
    parent_beacon_block_root: str | None = None
    requests_hash: str | None = None
    block_access_list_hash: str | None = None  # EIP-7928
    slot_number: str | None = None  # EIP-7843


class RawBlock(Header):
    """A block with its transactions in full."""

    transactions: list[Transaction] = msgspec.field(default_factory=list)
    withdrawals: list[Withdrawal] | None = None


class Frame(_Wire):
    """One call of a transaction's call tree, as the `callTracer` of geth writes it."""

    type: str
    sender: str = msgspec.field(name="from")
    to: str | None = None
    value: str | None = None
    error: str | None = None
    calls: list["Frame"] = msgspec.field(default_factory=list)


class TraceItem(_Wire):
    """The call tree of one transaction of a traced block."""

    result: Frame
    tx_hash: str | None = None


class TxPlace(_Wire):
    """Where a transaction stands; both None while it waits in a mempool."""

    hash: str
    block_hash: str | None = None
    block_number: str | None = None


class FeeHistory(_Wire):
    """Fees of recent blocks; `base_fee_per_gas` ends with that of the block to come."""

    base_fee_per_gas: list[str]
    reward: list[list[str]] | None = None


BLOCK = msgspec.json.Decoder(RawBlock | None)
STAMP = msgspec.json.Decoder(Stamp | None)
RECEIPTS = msgspec.json.Decoder(list[Receipt | None] | None)
TRACE = msgspec.json.Decoder(list[TraceItem])
FEE_HISTORY = msgspec.json.Decoder(FeeHistory)
TX_PLACE = msgspec.json.Decoder(TxPlace | None)
TEXT = msgspec.json.Decoder(str)


def unhex(text: str, size: int | None = None) -> bytes:
    """Return the bytes of a `DATA` value, of exactly `size` bytes if given.

    Raises:
        Malformed: anything else (`bytes.fromhex` alone would skip white space).
    """
    try:
        raw = bytes.fromhex(text[2:])
    except ValueError:
        raise Malformed("a node sent data that is not hex") from None
    if text[:2] != "0x" or len(text) != 2 + 2 * len(raw) or (size is not None and len(raw) != size):
        raise Malformed("a node sent data of another size")
    return raw


def quantity(text: str | None) -> int:
    """Return the integer of a `QUANTITY` value of at most 256 bits.

    Raises:
        Malformed: anything else, also a missing value.
    """
    if text is None or not _QUANTITY.fullmatch(text):
        raise Malformed("a node sent a number that is not a hex quantity")
    return int(text, 16)
