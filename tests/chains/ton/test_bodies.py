"""What jetton wallets say, in every form that a contract takes, against the reference library; and what changes a balance."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytoniq_core import Address, begin_cell
from pytoniq_core import Cell as OracleCell
from tests.chains.ton.network import PAYER, b64, text
from ton_core.contrib.contracts.jetton.tlb import JettonInternalTransferBody, JettonTransferBody

from bitlinkpay.chains.ton.boc import parse_boc
from bitlinkpay.chains.ton.body import JettonTransfer, op_of, read_internal_transfer
from bitlinkpay.chains.ton.cell import BadCell, Builder
from bitlinkpay.chains.ton.transfers import jetton_change
from bitlinkpay.chains.ton.wire import RawTransaction, decoder_of

HASH = "A" * 43 + "="
TARGET = "0:" + "77" * 32
units = st.integers(1, 2**120 - 1)


def ours(cell: OracleCell) -> object:
    return parse_boc(cell.to_boc())


@given(units, st.integers(0, 10**9), st.sampled_from(["", "123456789", "Ordnung muß sein"]))
def test_an_internal_transfer_is_read_as_the_reference_writes_it(amount: int, forward: int, memo: str) -> None:
    body = JettonInternalTransferBody(
        jetton_amount=amount,
        forward_amount=forward,
        from_address=Address(PAYER),
        response_address=Address(TARGET),
        forward_payload=text(memo) if memo else None,
    ).serialize()
    read = read_internal_transfer(ours(body))
    assert (read.units, read.source, read.notifies) == (amount, PAYER, forward > 0)
    assert read.memo == (memo if forward else "")


@given(units, st.integers(0, 2**64 - 1), st.sampled_from(["", "123456789", "x" * 300]))
def test_an_order_to_our_jetton_wallet_is_what_the_reference_writes(amount: int, query: int, memo: str) -> None:
    made = JettonTransfer(query, amount, TARGET, PAYER, 1, memo).body()
    oracle = JettonTransferBody(
        Address(TARGET), amount, Address(PAYER), None, text(memo) if memo else None, forward_amount=1, query_id=query
    ).serialize()
    assert made.hash == oracle.hash


@given(st.binary(max_size=120), st.binary(max_size=120))
def test_any_body_is_read_or_refused(data: bytes, more: bytes) -> None:
    inner = Builder().bytes(more).end()
    for body in (
        Builder().bytes(data).ref(inner).end(),
        Builder().uint(0x178D4519, 32).bytes(data[:90]).ref(inner).end(),
    ):
        with contextlib.suppress(BadCell):
            read = read_internal_transfer(body)
            assert 0 <= read.units < 2**120


@pytest.mark.parametrize(
    ("tail", "memo"),
    [
        (begin_cell(), ""),  # the payload left out altogether
        (begin_cell().store_bit(0), ""),
        (begin_cell().store_bit(1), ""),  # a reference that is not there
        (begin_cell().store_bit(1).store_ref(text("12345")), "12345"),
        (begin_cell().store_bit(0).store_uint(0, 32).store_bytes(b"12345"), "12345"),
        (
            begin_cell()
            .store_bit(0)
            .store_uint(0, 32)
            .store_bytes(b"12")
            .store_ref(begin_cell().store_bytes(b"345").end_cell()),
            "12345",
        ),
        (begin_cell().store_bit(0).store_uint(0, 30), ""),
    ],
)
def test_TON_05_every_form_of_forward_payload(tail: object, memo: str) -> None:
    head = begin_cell().store_uint(0x178D4519, 32).store_uint(0, 64).store_coins(9).store_address(Address(PAYER))
    head = head.store_address(None).store_coins(1)
    body = head.store_cell(tail.end_cell()).end_cell()
    assert read_internal_transfer(ours(body)).memo == memo


def test_the_operation_of_short_bodies_is_none() -> None:
    assert op_of(None) is None
    assert op_of(Builder().uint(0, 31).end()) is None
    assert op_of(Builder().uint(5, 32).end()) == 5
    assert op_of(parse_boc(bytes.fromhex("b5ee9c7201010101002300084202" + "ba" * 32))) is None


def transaction(
    body: OracleCell | None, *, bounced: bool = False, aborted: bool = False, **more: object
) -> RawTransaction:
    told = {
        "account": TARGET, "hash": HASH, "lt": "5", "now": 1, "prev_trans_hash": HASH, "prev_trans_lt": "0", "mc_block_seqno": 9,
        "description": {"type": "ord", "aborted": aborted, "compute_ph": {"skipped": False, "success": not aborted}},
        "in_msg": {"hash": HASH, "source": PAYER, "destination": TARGET, "value": "1", "bounced": bounced,
                   "message_content": {"hash": None, "body": b64(body) if body else None}},
    } | more  # fmt: skip
    return decoder_of(RawTransaction).decode(msgspec.json.encode(told))


def said(*ops: int, amount: int = 70) -> OracleCell:
    fields = begin_cell()
    for op in ops:
        fields.store_uint(op, 32)
    return fields.store_uint(0, 64).store_coins(amount).end_cell()


@pytest.mark.parametrize(
    ("told", "change"),
    [
        (transaction(said(0x178D4519)), 70),  # came
        (transaction(said(0x0F8A7EA5)), -70),  # went
        (transaction(said(0x595F07BC)), -70),  # burnt
        (transaction(said(0xFFFFFFFF, 0x178D4519), bounced=True), 70),  # went, and came back
        (transaction(said(0xFFFFFFFF, 0x7BDD97DE), bounced=True), 70),  # was not burnt after all
        (transaction(said(0x178D4519), aborted=True), 0),
        (transaction(said(0xFFFFFFFF, 0x178D4519)), 0),  # says that it is returned and is not
        (transaction(said(0x178D4519), bounced=True), 0),
        (transaction(said(0x7362D09C)), 0),
        (transaction(said()), 0),
        (transaction(None), 0),
        (transaction(begin_cell().store_uint(0x178D4519, 32).end_cell()), 0),
        (transaction(None, in_msg=None), 0),
    ],
)
def test_what_changes_the_balance_of_a_jetton_wallet(told: RawTransaction, change: int) -> None:
    assert jetton_change(told) == change


def test_a_transaction_that_does_not_say_how_it_went_is_not_whole() -> None:
    assert transaction(None).description.is_whole
    for how in (
        {},
        {"aborted": False},
        {"aborted": None, "compute_ph": {"success": True}},
        {"aborted": False, "compute_ph": {"skipped": True}},
    ):
        assert not transaction(None, description=how).description.is_whole
