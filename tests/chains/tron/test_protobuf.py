"""The small protobuf reader and writer, against Google's own runtime."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from tests.chains.tron import messages

from bitlinkpay.chains.tron.protobuf import Message, NotProtobuf, data, message, number, varint

amounts = st.integers(min_value=-(2**63), max_value=2**63 - 1)
raw_bytes = st.binary(max_size=40)


@given(raw_bytes, raw_bytes, amounts)
def test_what_google_writes_is_read(owner: bytes, target: bytes, amount: int) -> None:
    raw = messages.new("TransferContract", owner_address=owner, to_address=target, amount=amount).SerializeToString()
    read = Message(raw)
    assert (read.data(1), read.data(2), read.number(3)) == (owner, target, amount)


@given(raw_bytes, raw_bytes, st.integers(min_value=0, max_value=2**63 - 1))
def test_what_is_written_is_what_google_writes(owner: bytes, target: bytes, amount: int) -> None:
    ours = data(1, owner) + data(2, target) + number(3, amount)
    theirs = messages.new("TransferContract", owner_address=owner, to_address=target, amount=amount)
    assert ours == theirs.SerializeToString()


@given(st.binary(max_size=60))
def test_any_bytes_are_read_as_google_reads_them_or_refused(raw: bytes) -> None:
    try:
        theirs = messages.parse("TransferContract", raw)
    except DecodeError:
        theirs = None
    try:
        ours = Message(raw)
    except NotProtobuf:
        ours = None
    if theirs is not None and ours is not None:
        assert (ours.data(1), ours.data(2), ours.number(3)) == (
            theirs.owner_address, theirs.to_address, theirs.amount,
        )  # fmt: skip
    assert ours is not None or theirs is None, "what java-tron could read must not stop us"


def test_the_last_of_several_values_counts_and_another_wire_type_is_an_unknown_field() -> None:
    raw = number(3, 1000) + number(3, 1) + data(3, b"\x05") + number(1, 7)
    theirs = messages.parse("TransferContract", raw)
    assert Message(raw).number(3) == theirs.amount == 1
    assert Message(raw).data(1) == theirs.owner_address == b""
    twice = data(2, b"first") + data(2, b"second")
    assert Message(twice).data(2) == messages.parse("TransferContract", twice).to_address == b"second"


def test_an_embedded_message_in_pieces_is_one() -> None:
    name, value = data(1, b"type/protocol.X"), data(2, b"abc")
    raw = number(1, 1) + message(2, name) + message(2, value)
    theirs = messages.parse("Contract", raw)
    ours = Message(raw).message(2)
    assert (ours.data(1), ours.data(2)) == (theirs.parameter.type_url.encode(), theirs.parameter.value)


def test_unknown_groups_are_passed_over_however_deep_up_to_the_limit_of_protobuf() -> None:
    start, end = varint(99 << 3 | 3), varint(99 << 3 | 4)
    inside = start * 50 + number(5, 1) + varint(7 << 3 | 1) + bytes(8) + varint(8 << 3 | 5) + bytes(4) + end * 50
    assert (
        Message(inside + number(3, 9)).number(3)
        == messages.parse("TransferContract", inside + number(3, 9)).amount
        == 9
    )
    with pytest.raises(NotProtobuf):
        Message(start * 101 + end * 101)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x08",  # a number that is not there
        b"\x08\x80",  # cut short
        b"\x08" + b"\x80" * 10 + b"\x01",  # eleven bytes
        b"\x0a\x05abc",  # fewer bytes than promised
        b"\x00\x01",  # field 0
        b"\x0c",  # the end of a group that never began
        b"\x0b\x14",  # a group that ends as another one
        b"\x0b",  # a group without an end
        b"\x0f",  # wire type 7
        b"\x09abc",  # a fixed64 of three bytes
    ],
)
def test_what_is_no_message_is_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        messages.parse("TransferContract", raw)
    with pytest.raises(NotProtobuf):
        Message(raw)


def test_an_overlong_zero_and_numbers_beyond_64_bits_mean_what_they_mean_to_google() -> None:
    for raw in (b"\x18\x80\x00", b"\x18" + b"\xff" * 9 + b"\x01", b"\x18" + b"\xff" * 9 + b"\x7f"):
        assert Message(raw).number(3) == messages.parse("TransferContract", raw).amount


def test_only_numbers_of_64_bits_are_written() -> None:
    for wrong in (-1, 2**64):
        with pytest.raises(AssertionError):
            varint(wrong)
