"""Decoding transfers: strict, of listed contracts only, and never more than the receipt says (THREATS rule 17)."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.chains.evm.published import block, expected, names, receipt
from tests.chains.evm.rows import coin, token

from bitlinkpay.chains.base import Arrival, ChainError
from bitlinkpay.chains.codec.evm import parse
from bitlinkpay.chains.evm.transfers import (
    TRANSFER_TOPIC,
    Listing,
    block_ref,
    canonical_address,
    read_block,
    read_logs,
    read_transaction,
)
from bitlinkpay.chains.evm.wire import BLOCK, RECEIPTS, STAMP, TRACE, Log, Malformed, Receipt, Stamp

TOKEN = "0x" + "dA" * 20
PAYER, PAYEE = "11" * 20, "22" * 20
ONE = "0x" + "1".rjust(64, "0")
LISTED = Listing([coin(), token("0x" + "da" * 20)])
WHOLE = names("blocks")[0]


def topic(address: str) -> str:
    return "0x" + address.rjust(64, "0")


def log(**changes: object) -> Log:
    fields = {"address": TOKEN, "topics": [TRANSFER_TOPIC, topic(PAYER), topic(PAYEE)], "data": ONE}
    return Log(**(fields | changes))


def receipt_of(*logs: Log) -> Receipt:
    return Receipt(
        transaction_hash="0x" + "ab" * 32,
        block_hash="0x" + "cd" * 32,
        status="0x1",
        cumulative_gas_used="0x1",
        logs_bloom="0x",
        logs=list(logs),
    )


@pytest.mark.parametrize("source", names("receipts"))
def test_published_receipts_give_exactly_their_transfers(source: str) -> None:
    row = str(expected("receipts", source, "contract"))
    found = list(read_logs(receipt(source), Listing([token(row)])))
    assert [[t.position, t.source, t.target, t.units] for t in found] == [
        [position, parse(source_), parse(target), units]
        for position, source_, target, units in expected("receipts", source, "transfers")
    ]
    assert list(read_logs(receipt(source), Listing([token("0x" + "99" * 20)]))) == []


def test_the_published_full_block_gives_its_native_payments() -> None:
    whole, receipts = block(WHOLE)
    found = read_block(whole, receipts, LISTED)
    assert (found.height, found.hash, found.parent) == (20, whole.hash, whole.parent_hash)
    assert found.time.timestamp() == 200
    assert [(t.position, t.units, t.target.lower(), t.txid) for t in found.transfers] == [
        ("value", 1, tx.to, tx.hash) for tx in whole.transactions
    ]
    assert {t.arrival for t in found.transfers} == {Arrival.DIRECT}
    receipts[1].status = "0x0"
    assert len(read_block(whole, receipts, LISTED).transfers) == 2
    assert read_block(whole, receipts, Listing([])).transfers == ()


def test_EVM_01_a_failed_transaction_moves_nothing_whatever_it_says() -> None:
    whole, receipts = block(WHOLE)
    for each in receipts:
        each.status = "0x0"
        each.logs = [log()]
    assert read_block(whole, receipts, LISTED).transfers == ()
    receipts[0].status = "0x1"
    assert [t.position for t in read_block(whole, receipts, LISTED).transfers] == ["value", "log:0"]


def test_a_transfer_is_read_in_any_letter_case() -> None:
    upper = [TRANSFER_TOPIC.upper().replace("0X", "0x"), topic(PAYER), topic("ab" * 20).replace("ab", "AB")]
    (found,) = read_logs(receipt_of(log(topics=upper)), LISTED)
    assert found.asset == "usdt-devnet"
    assert found.source == parse("0x" + PAYER)
    assert found.target == parse("0x" + "ab" * 20)
    assert found.units == 1
    assert found.tag == ""


@pytest.mark.parametrize(
    "odd",
    [
        {"topics": [TRANSFER_TOPIC, topic(PAYER), topic(PAYEE), ONE]},
        {"topics": [TRANSFER_TOPIC, topic(PAYER)]},
        {"topics": [TRANSFER_TOPIC]},
        {"topics": []},
        {"topics": ["0x" + "00" * 32, topic(PAYER), topic(PAYEE)]},
        {"topics": [TRANSFER_TOPIC[:-1] + "0", topic(PAYER), topic(PAYEE)]},
        {"topics": [TRANSFER_TOPIC, topic(PAYER), "0x" + "01" + "00" * 11 + PAYEE]},
        {"topics": [TRANSFER_TOPIC, "0x" + "00" * 11 + "01" + PAYER, topic(PAYEE)]},
        {"topics": [TRANSFER_TOPIC, topic(PAYER), "0x" + PAYEE]},
        {"data": "0x"},
        {"data": "0x01"},
        {"data": ONE + "00" * 32},
        {"data": ONE[:-2]},
        {"data": " " + ONE[1:]},
        {"data": ONE[:-1] + "g"},
        {"data": ONE[:-3] + "_01"},
        {"address": "0x" + "db" * 20},
        {"address": "0xfffffffffffffffffffffffffffffffffffffffe"},
        {"address": ""},
    ],
)
def test_EVM_13_any_other_shape_or_contract_is_no_transfer(odd: dict[str, object]) -> None:
    assert list(read_logs(receipt_of(log(**odd)), LISTED)) == []
    positions = [t.position for t in read_logs(receipt_of(log(**odd), log()), LISTED)]
    assert positions == ["log:1"], "the genuine one beside it keeps its place"


def test_EVM_11_a_transfer_of_nothing_is_none() -> None:
    nothing = log(data="0x" + "00" * 32)
    assert [t.position for t in read_logs(receipt_of(nothing, log()), LISTED)] == ["log:1"]


def test_DEP_23_the_largest_amount_is_read_exactly() -> None:
    (found,) = read_logs(receipt_of(log(data="0x" + "ff" * 32)), LISTED)
    assert found.units == 2**256 - 1


def test_EVM_15_places_count_within_the_receipt() -> None:
    foreign = log(address="0x" + "33" * 20)
    found = list(read_logs(receipt_of(foreign, log(), foreign, log()), LISTED))
    assert [t.position for t in found] == ["log:1", "log:3"]


def test_a_contract_creation_with_value_pays_nobody() -> None:
    whole, receipts = block(WHOLE)
    whole.transactions[0].to = None
    assert list(read_transaction(whole.transactions[0], receipts[0], LISTED)) == []


@pytest.mark.parametrize(
    "text", ["", "0x", "0x" + "1" * 39, "0x" + "1" * 41, "1" * 40, "0x" + "g" * 40, " 0x" + "1" * 40]
)
def test_a_malformed_address_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        canonical_address(text)


@pytest.mark.parametrize(
    ("number", "block_hash", "time"),
    [
        ("0x1", "0x" + "1" * 63, "0x1"),
        ("0x1", "0x" + "1" * 64, "0xffffffffffffffff"),
        ("0x1", "0x" + "1" * 64, "0x" + "f" * 64),
        ("1", "0x" + "1" * 64, "0x1"),
        ("0x1", "latest", "0x1"),
    ],
)
def test_a_block_that_stands_nowhere_is_refused(number: str, block_hash: str, time: str) -> None:
    with pytest.raises(Malformed):
        block_ref(Stamp(number=number, hash=block_hash, timestamp=time))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just("0x1") | st.just("0x" + "ab" * 32),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        ["hash", "number", "timestamp", "logs", "topics", "data", "address", "status", "from", "to", "value", "result",
         "calls", "type", "transactions", "parentHash", "logsBloom", "transactionHash", "blockHash"]
    ), inner, max_size=6),
    max_leaves=25,
)  # fmt: skip


@settings(deadline=None)
@given(JSON)
def test_fuzz_no_json_breaks_a_decoder_with_anything_but_a_refusal(value: object) -> None:
    text = json.dumps(value).encode()
    for decoder in (BLOCK, RECEIPTS, STAMP, TRACE):
        try:
            decoder.decode(text)
        except msgspec.ValidationError:
            continue


HEXISH = st.text(alphabet="0123456789abcdefxX gF_", max_size=70) | st.sampled_from(
    [TRANSFER_TOPIC, topic(PAYER), topic(PAYEE), ONE, "0x", ""]
)


@settings(deadline=None)
@given(
    st.lists(
        st.builds(Log, address=HEXISH | st.just(TOKEN), topics=st.lists(HEXISH, max_size=4), data=HEXISH), max_size=4
    )
)
def test_fuzz_no_log_gives_a_false_transfer(logs: list[Log]) -> None:
    found = list(read_logs(receipt_of(*logs), LISTED))
    genuine = [
        i
        for i, each in enumerate(logs)
        if each.address.lower() == TOKEN.lower()
        and len(each.topics) == 3
        and each.topics[0].lower() == TRANSFER_TOPIC
        and all(t.lower() in (topic(PAYER), topic(PAYEE)) or is_address_word(t) for t in each.topics[1:])
        and is_word(each.data)
        and int(each.data, 16) > 0
    ]
    assert [t.position for t in found] == [f"log:{i}" for i in genuine]


def is_word(text: str) -> bool:
    return len(text) == 66 and text[:2].lower() == "0x" and all(c in "0123456789abcdefABCDEF" for c in text[2:])


def is_address_word(text: str) -> bool:
    return is_word(text) and text[2:26] == "0" * 24


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_fuzz_no_bytes_break_a_decoder(raw: bytes) -> None:
    for decoder in (BLOCK, RECEIPTS, STAMP, TRACE):
        try:
            decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue


@settings(deadline=None)
@given(st.data())
def test_fuzz_an_altered_published_block_is_read_or_refused(data: st.DataObject) -> None:
    whole, receipts = block(WHOLE)
    target = data.draw(st.sampled_from([whole, *whole.transactions, *receipts]))
    field = data.draw(st.sampled_from([f for f in target.__struct_fields__ if isinstance(getattr(target, f), str)]))
    setattr(target, field, data.draw(HEXISH))
    try:
        found = read_block(whole, receipts, LISTED)
    except ChainError:
        return
    assert len(found.transfers) <= len(whole.transactions)
