"""Recomputing hashes: against published blocks, against the `rlp` and `eth-account` libraries, against alterations."""

import msgspec
import pytest
import rlp
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.chains.evm.published import block, header, names, transaction

from bitlinkpay.chains.base import ChainError, ForkedBlock, GapError
from bitlinkpay.chains.codec.evm import keccak256
from bitlinkpay.chains.evm.proof import (
    Unproven,
    check_shape,
    encode_header,
    encode_transaction,
    prove,
    signer_of,
)
from bitlinkpay.chains.evm.rlp import encode_bytes, encode_int, encode_list
from bitlinkpay.chains.evm.trie import list_root
from bitlinkpay.chains.evm.wire import Log, Malformed, RawBlock, Transaction, quantity, unhex

KEY = "0x" + "11" * 32
TARGET = "0x" + "ab" * 20
FULL = "ethereum/execution-apis (CC0-1.0), tests/eth_getBlockByNumber/get-latest.io and eth_getBlockReceipts/get-block-receipts-latest.io"


@pytest.mark.parametrize("source", names("blocks"))
def test_published_blocks_prove_themselves(source: str) -> None:
    whole, receipts = block(source)
    check_shape(whole, receipts)
    prove(whole, receipts)
    assert all("0x" + signer_of(tx).hex() == tx.sender for tx in whole.transactions)


@pytest.mark.parametrize("source", names("headers"))
def test_published_headers_of_several_forks_hash_to_their_hash(source: str) -> None:
    head = header(source)
    assert "0x" + keccak256(encode_header(head)).hex() == head.hash


@pytest.mark.parametrize("source", names("transactions"))
def test_published_transactions_of_every_type_hash_to_their_id_and_name_their_signer(source: str) -> None:
    tx = transaction(source)
    assert "0x" + keccak256(encode_transaction(tx)).hex() == tx.hash
    assert "0x" + signer_of(tx).hex() == tx.sender


RLP_ITEMS = st.recursive(st.binary(max_size=70), lambda inner: st.lists(inner, max_size=5), max_leaves=20)


def own_rlp(item: object) -> bytes:
    return encode_bytes(item) if isinstance(item, bytes) else encode_list([own_rlp(part) for part in item])


@settings(deadline=None)
@given(RLP_ITEMS)
def test_rlp_equals_the_library(item: object) -> None:
    assert own_rlp(item) == rlp.encode(item)


@pytest.mark.parametrize("size", [0, 1, 55, 56, 255, 256, 65_535, 65_536, 1 << 20])
def test_rlp_lengths_at_their_edges_equal_the_library(size: int) -> None:
    for raw in (b"\x00" * size, b"\x80" * size):
        assert encode_bytes(raw) == rlp.encode(raw)


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=2**256 - 1))
def test_rlp_integers_equal_the_library(value: int) -> None:
    assert encode_int(value) == rlp.encode(value)


def plain_root(values: list[bytes]) -> bytes:
    """The trie root after appendix D of the Yellow Paper, as literally as it stands there, on the `rlp` library."""

    def compact(path: tuple[int, ...], leaf: bool) -> bytes:
        flag = 2 * leaf + len(path) % 2
        nibbles = (flag, *path) if len(path) % 2 else (flag, 0, *path)
        return bytes(16 * nibbles[i] + nibbles[i + 1] for i in range(0, len(nibbles), 2))

    def structure(pairs: dict[tuple[int, ...], bytes], depth: int) -> object:
        if len(pairs) == 1:
            ((path, value),) = pairs.items()
            return [compact(path[depth:], True), value]
        first = next(iter(pairs))
        shared = depth
        while all(path[: shared + 1] == first[: shared + 1] for path in pairs):
            shared += 1
        if shared > depth:
            return [compact(first[depth:shared], False), node(pairs, shared)]
        return [node({p: v for p, v in pairs.items() if p[depth] == nibble}, depth + 1) for nibble in range(16)] + [b""]

    def node(pairs: dict[tuple[int, ...], bytes], depth: int) -> object:
        if not pairs:
            return b""
        built = structure(pairs, depth)
        return built if len(rlp.encode(built)) < 32 else keccak256(rlp.encode(built))

    keyed = {tuple(n for b in rlp.encode(i) for n in (b >> 4, b & 15)): v for i, v in enumerate(values)}
    return keccak256(rlp.encode(structure(keyed, 0) if keyed else b""))


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=50), max_size=40))
def test_the_trie_root_equals_a_literal_one(values: list[bytes]) -> None:
    assert list_root(values) == plain_root(values)


@pytest.mark.parametrize("count", [0, 1, 2, 16, 17, 127, 128, 129, 255, 256, 257, 400])
def test_the_trie_root_equals_a_literal_one_where_index_lengths_change(count: int) -> None:
    values = [bytes((i % 256,)) * (1 + i % 60) for i in range(count)]
    assert list_root(values) == plain_root(values)


def as_wire(fields: dict[str, object], signed: object) -> Transaction:
    """Return a transaction that eth-account signed, as a node would write it."""
    answer = {
        "hash": "0x" + bytes(signed.hash).hex(),
        "from": Account.from_key(KEY).address.lower(),
        "input": fields.get("data", "0x"),
        "to": fields.get("to"),
        "v": hex(signed.v),
        "r": hex(signed.r),
        "s": hex(signed.s),
        "type": hex(int(fields.get("type", 0))),
    }
    for name in ("nonce", "gas", "value", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "chainId"):
        if name in fields:
            answer[name] = hex(fields[name])
    if "accessList" in fields:
        answer["accessList"] = fields["accessList"]
    if "authorizationList" in fields:
        answer["authorizationList"] = [
            {
                "chainId": hex(item.chain_id),
                "address": "0x" + bytes(item.address).hex(),
                "nonce": hex(item.nonce),
                "yParity": hex(item.y_parity),
                "r": hex(item.r),
                "s": hex(item.s),
            }
            for item in fields["authorizationList"]
        ]
    return msgspec.convert(answer, Transaction)


def kinds() -> list[dict[str, object]]:
    access = [{"address": TARGET, "storageKeys": ["0x" + "00" * 32, "0x" + "07" * 32]}]
    fees = {"maxFeePerGas": 30, "maxPriorityFeePerGas": 2, "chainId": 137}
    authority = Account.from_key(KEY).sign_authorization({"chainId": 137, "address": TARGET, "nonce": 9})
    return [
        {"gasPrice": 7},
        {"gasPrice": 7, "chainId": 1},
        {"gasPrice": 7, "chainId": 42161},
        {"gasPrice": 7, "chainId": 56, "type": 1, "accessList": access},
        {**fees, "type": 2, "accessList": access},
        {**fees, "type": 2, "accessList": []},
        {**fees, "type": 4, "accessList": [], "authorizationList": [authority]},
    ]


@pytest.mark.parametrize("number", range(7))
@settings(deadline=None)
@given(nonce=st.integers(0, 2**32), amount=st.integers(0, 2**200), data=st.binary(max_size=80))
def test_transactions_signed_by_eth_account_are_hashed_and_traced_to_their_signer(
    number: int, nonce: int, amount: int, data: bytes
) -> None:
    kind = kinds()[number]
    fields = {"nonce": nonce, "gas": 50_000, "value": amount, "to": Account.from_key("0x" + "22" * 32).address}
    fields |= {"data": "0x" + data.hex()} | kind
    signed = Account.sign_transaction(fields, KEY)
    tx = as_wire(fields, signed)
    assert encode_transaction(tx) == bytes(signed.raw_transaction)
    assert "0x" + signer_of(tx).hex() == Account.from_key(KEY).address.lower()


def test_an_unknown_transaction_type_is_not_provable() -> None:
    whole, receipts = block(FULL)
    whole.transactions[0].type = "0x6a"
    with pytest.raises(Unproven, match="unknown type 106"):
        prove(whole, receipts)


def test_a_signature_that_fits_no_key_is_not_provable() -> None:
    whole, _ = block(FULL)
    tx = whole.transactions[0]
    for r, s in (("0x0", "0x0"), ("0x" + "f" * 64, tx.s), (tx.r, "0x" + "f" * 64)):
        tx.r, tx.s = r, s
        with pytest.raises(Unproven, match="fits no key"):
            signer_of(tx)


NOT_YET = {"block_access_list_hash", "slot_number"}  # of forks after this block's
HEADER_FIELDS = [
    name for name in RawBlock.__struct_fields__ if name not in {"hash", "transactions", "withdrawals"} | NOT_YET
]


@pytest.mark.parametrize("field", HEADER_FIELDS)
def test_any_altered_header_field_is_noticed(field: str) -> None:
    whole, receipts = block(FULL)
    old = getattr(whole, field)
    if old is None:
        altered = "0x" + "00" * 32
    else:
        altered = old[:-1] + ("1" if old[-1] != "1" else "2") if len(old) > 2 else "0x01"
    setattr(whole, field, altered)
    with pytest.raises(Unproven):
        prove(whole, receipts)


TX_FIELDS = ["nonce", "gas", "value", "input", "v", "r", "s", "to", "type", "chain_id", "max_fee_per_gas", "hash"]


@pytest.mark.parametrize("field", TX_FIELDS)
def test_any_altered_transaction_field_is_noticed(field: str) -> None:
    whole, receipts = block(FULL)
    tx = whole.transactions[0]
    tx.y_parity = None
    altered = {"input": "0xff", "to": TARGET, "type": "0x1", "hash": "0x" + "77" * 32}.get(field, "0x77")
    setattr(tx, field, altered)
    with pytest.raises(Unproven):
        prove(whole, receipts)


@pytest.mark.parametrize("change", ["status", "gas", "drop", "swap", "add log", "bloom", "type"])
def test_any_altered_receipt_is_noticed(change: str) -> None:
    whole, receipts = block(FULL)
    match change:
        case "status":
            receipts[1].status = "0x0"
        case "gas":
            receipts[1].cumulative_gas_used = "0x1"
        case "drop":
            receipts.pop()
        case "swap":
            receipts.reverse()
        case "add log":
            receipts[1].logs = [Log(address=TARGET, topics=[], data="0x")]
        case "bloom":
            receipts[1].logs_bloom = "0x" + "01" * 256
        case "type":
            receipts[1].type = "0x0"
    with pytest.raises(Unproven):
        prove(whole, receipts)


def test_EVM_17_a_missing_receipt_is_a_gap() -> None:
    whole, receipts = block(FULL)
    with pytest.raises(GapError):
        check_shape(whole, receipts[:-1])
    with pytest.raises(GapError):
        check_shape(whole, [receipts[1], receipts[0], receipts[2]])
    check_shape(whole, receipts)


def test_EVM_18_receipts_of_another_block_and_removed_logs_are_a_fork() -> None:
    whole, receipts = block(FULL)
    receipts[2].block_hash = "0x" + "01" * 32
    with pytest.raises(ForkedBlock, match="another block"):
        check_shape(whole, receipts)
    whole, receipts = block(FULL)
    receipts[0].logs = [Log(address=TARGET, topics=[], data="0x", removed=True)]
    with pytest.raises(ForkedBlock, match="removed log"):
        check_shape(whole, receipts)


@pytest.mark.parametrize("text", ["0x 1", "0x0 ", "0X00", "00", "0x0", "0xzz", "", "0x\t00", "0x٠٠", "0x_00"])
def test_data_that_python_would_forgive_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        unhex(text)
    with pytest.raises(Malformed):
        unhex("0x" + "00" * 31, 32)


@pytest.mark.parametrize("text", [None, "", "0x", "1", "0x1_0", " 0x1", "0x1 ", "-0x1", "0X1", "0x٣", "0x" + "f" * 65])
def test_quantities_that_python_would_forgive_are_refused(text: str | None) -> None:
    with pytest.raises(Malformed):
        quantity(text)


def test_quantities_up_to_256_bits_are_exact() -> None:
    assert quantity("0x" + "f" * 64) == 2**256 - 1
    assert quantity("0x0") == 0
    assert issubclass(Malformed, ChainError)
