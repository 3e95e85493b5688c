"""Answers as the three SDKs decode them: `data` a string holding JSON, texts never null, ids and status integers."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from bitlinkpay.wm.answers import (
    DepositCallback,
    OrderCreated,
    OrderDetail,
    PreOrderCreated,
    WithdrawCallback,
    WithdrawCreated,
    WithdrawDetail,
    accept,
    callback_body,
    content_json,
    refuse,
    turn_away,
)
from bitlinkpay.wm.ids import DEPOSIT_STATUS_DESC, WITHDRAW_STATUS_DESC, DepositStatus, OuterCode, Route, WithdrawStatus
from bitlinkpay.wm.reading import (
    StrangeAnswer,
    read_callback,
    read_inner,
    read_order_created,
    read_order_detail,
    read_outer,
    read_pre_order_created,
)

CREATED = OrderCreated(
    source_id="a-1",
    chain_id=1,
    coin_id=1,
    fiat_amount=Decimal("7.2"),
    symbol="USDT/CNY",
    order_id="0" * 32,
    exchange_rate=Decimal("7.2"),
    amount=Decimal("1E+2"),
    service_fee=Decimal("0E-8"),
    url="https://pay.example/p/0",
)
UNPICKED = OrderDetail(
    source_id="a-1",
    chain_id=0,
    coin_id=0,
    address="",
    tag="",
    hash="",
    fiat_amount=Decimal(25),
    symbol="",
    exchange_rate=Decimal(0),
    amount=Decimal(0),
    service_fee=Decimal(0),
    order_id="0" * 32,
    url="https://pay.example/p/0",
    status=0,
    status_desc="Order Created",
)

# what the strictest client, PHP with typed properties, demands of each answer: names, and which are integers
PHP_CREATE = "source_id chain_id coin_id fiat_amount symbol order_id exchange_rate amount service_fee url".split()
PHP_DETAIL = [*PHP_CREATE, "address", "tag", "hash", "status", "status_desc"]
INTEGERS = {"chain_id", "coin_id", "status"}


def decode_twice(body: bytes) -> tuple[dict[str, object], dict[str, object]]:
    outer = json.loads(body)
    assert isinstance(outer["data"], str)
    return outer, json.loads(outer["data"])


@pytest.mark.parametrize(("content", "names"), [(CREATED, PHP_CREATE), (UNPICKED, PHP_DETAIL)])
def test_content_has_every_name_php_reads_with_its_type(content: OrderCreated | OrderDetail, names: list[str]) -> None:
    outer, inner = decode_twice(accept(content))
    assert (outer["code"], outer["msg"], inner["code"], inner["msg"]) == (0, "", 0, "")
    data = inner["data"]
    assert isinstance(data, dict)
    assert set(data) == set(names)
    for name in names:
        assert type(data[name]) is (int if name in INTEGERS else str), name


def test_decimals_go_out_plain_without_exponent_and_never_empty() -> None:
    data = content_json(CREATED)
    assert (data["amount"], data["service_fee"], data["fiat_amount"]) == ("100", "0", "7.2")
    assert content_json(replace(CREATED, amount=Decimal("1.500000")))["amount"] == "1.5"
    assert content_json(replace(CREATED, amount=Decimal("1E-18")))["amount"] == "0.000000000000000001"
    assert content_json(replace(CREATED, amount=Decimal(10**40)))["amount"] == "1" + "0" * 40


def test_an_unpicked_pre_order_has_zeros_and_empty_texts_but_no_null() -> None:
    data = content_json(UNPICKED)
    assert (data["chain_id"], data["coin_id"], data["address"], data["symbol"]) == (0, 0, "", "")
    assert (data["amount"], data["exchange_rate"], data["service_fee"]) == ("0", "0", "0")


def test_cancel_answers_with_null_inside_a_string() -> None:
    outer, inner = decode_twice(accept(None))
    assert outer["code"] == 0
    assert inner == {"code": 0, "msg": "", "data": None}


def test_a_refusal_is_inner_and_an_envelope_failure_outer() -> None:
    outer, inner = decode_twice(refuse(404, "order.not_found: no order with this source_id"))
    assert outer["code"] == 0
    assert inner["code"] == 404
    assert inner["data"] is None
    turned = json.loads(turn_away(OuterCode.REFUSED, "no"))
    assert turned == {"code": 1000, "msg": "no", "data": None}


def test_messages_are_bounded() -> None:
    assert len(json.loads(turn_away(OuterCode.REFUSED, "x" * 9999))["msg"]) == 500


def test_success_is_never_spelled_by_a_refusing_function() -> None:
    with pytest.raises(AssertionError):
        refuse(0, "fine")
    with pytest.raises(AssertionError):
        turn_away(OuterCode.OK, "fine")


def test_the_client_reads_what_the_server_writes() -> None:
    outer = read_outer(accept(CREATED))
    assert isinstance(outer.data, str)
    assert read_order_created(read_inner(outer.data).data) == CREATED
    detail = read_outer(accept(UNPICKED))
    assert isinstance(detail.data, str)
    assert read_order_detail(read_inner(detail.data).data) == UNPICKED
    pre = PreOrderCreated(source_id="a", order_id="b", pay_url="c")
    outer = read_outer(accept(pre))
    assert isinstance(outer.data, str)
    assert read_pre_order_created(read_inner(outer.data).data) == pre


CALLBACK = DepositCallback(
    source_id="a-1",
    chain_id=2,
    coin_id=1,
    address="UQ",
    tag="42",
    hash="h",
    fiat_amount=Decimal("7.2"),
    symbol="USDT/CNY",
    exchange_rate=Decimal("7.2"),
    amount=Decimal(1),
    service_fee=Decimal("0.003"),
    order_id="0" * 32,
    status=8,
    status_desc="Order Success",
)


def test_the_deposit_callback_has_the_documented_fields_and_reads_back() -> None:
    body = callback_body(CALLBACK)
    names = "source_id chain_id coin_id address tag hash fiat_amount symbol exchange_rate amount service_fee order_id status status_desc"
    assert set(json.loads(body)) == set(names.split())
    assert read_callback(body) == CALLBACK


def test_withdraw_answers_repeat_the_gas_fee_for_java() -> None:
    detail = WithdrawDetail(
        source_id="w",
        chain_id=2,
        coin_id=1,
        address="UQ",
        tag="",
        hash="",
        fiat_amount=Decimal(0),
        symbol="",
        exchange_rate=Decimal(0),
        amount=Decimal(4),
        gas_fee=Decimal("0.5"),
        service_fee=Decimal("0.5"),
        order_id="0" * 32,
        status=0,
        status_desc=WITHDRAW_STATUS_DESC[0],
    )
    data = content_json(detail)
    assert data["gas_fee"] == data["service_fee"] == "0.5"
    callback = WithdrawCallback(
        source_id="w",
        order_id="0" * 32,
        chain_id=2,
        coin_id=1,
        address="UQ",
        tag="",
        hash="h",
        amount=Decimal(4),
        gas_fee=Decimal("0.5"),
        service_fee=Decimal("0.5"),
        status=4,
        status_desc=WITHDRAW_STATUS_DESC[4],
    )
    names = "source_id order_id chain_id coin_id address tag hash amount gas_fee service_fee status status_desc"
    assert set(json.loads(callback_body(callback))) == set(names.split())
    assert read_callback(callback_body(callback)) == callback
    assert set(content_json(WithdrawCreated(source_id="w", order_id="0"))) == {"source_id", "order_id"}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"[]", b'{"code":"0","msg":"","data":null}', b'{"code":0,"data":null}', b'{"code":0,"msg":null,"data":null}',
        b'{"code":0.0,"msg":"","data":null}', b'{"code":0,"msg":"","data":{}}',
    ],
)  # fmt: skip
def test_a_strange_outer_answer_is_said_to_be_strange(body: bytes) -> None:
    with pytest.raises(StrangeAnswer):
        read_outer(body)


@pytest.mark.parametrize("gone", ["hash", "gas_fee", "order_id", "status"])
def test_a_withdrawals_callback_without_a_field_is_strange(gone: str) -> None:
    body = {
        "source_id": "w",
        "order_id": "0",
        "chain_id": 1,
        "coin_id": 1,
        "address": "T",
        "tag": "",
        "hash": "h",
        "amount": "4",
    }
    body |= {"gas_fee": "0.5", "service_fee": "0.5", "status": 4, "status_desc": "Withdraw Success"}
    assert isinstance(read_callback(json.dumps(body).encode()), WithdrawCallback)
    del body[gone]
    with pytest.raises(StrangeAnswer, match="fiat_amount" if gone == "gas_fee" else gone):
        read_callback(json.dumps(body).encode())


def test_a_strange_content_is_said_to_be_strange() -> None:
    good = {name: str(value) for name, value in content_json(CREATED).items()}
    with pytest.raises(StrangeAnswer):
        read_order_created(None)
    with pytest.raises(StrangeAnswer, match="chain_id"):
        read_order_created(dict(good))
    with pytest.raises(StrangeAnswer):
        read_inner('{"code":0,"msg":"","data":"x"}')


def test_status_codes_and_words_are_those_of_the_protocol() -> None:
    assert dict(DEPOSIT_STATUS_DESC) == {
        0: "Order Created",
        8: "Order Success",
        12: "User Cancel",
        16: "Expire Cancel",
        20: "Less Amount",
    }
    assert dict(WITHDRAW_STATUS_DESC) == {0: "Withdraw Doing", 4: "Withdraw Success", 8: "Withdraw Fail"}
    assert {int(status) for status in DepositStatus} == set(DEPOSIT_STATUS_DESC)
    assert {int(status) for status in WithdrawStatus} == set(WITHDRAW_STATUS_DESC)
    assert all(-128 <= status < 128 for status in DEPOSIT_STATUS_DESC)  # an int8 in Go, a byte in Java
    assert len({str(route) for route in Route}) == 6
