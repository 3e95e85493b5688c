"""Reading answers as a client does: the outer object, the string in it, the content. Strict: types as documented."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.money import parse_decimal
from bitlinkpay.wm.answers import (
    DepositCallback,
    OrderCreated,
    OrderDetail,
    PreOrderCreated,
    WithdrawCallback,
    WithdrawCreated,
    WithdrawDetail,
)
from bitlinkpay.wm.strictjson import JsonValue, Number, parse_object

_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Answer:
    """One of the two answer objects: `code` 0 and data, or a refusal's code and message."""

    code: int
    msg: str
    data: JsonValue


class StrangeAnswer(Exception):
    """The other side's answer is not of the protocol."""


def read_outer(body: bytes) -> Answer:
    """Read the outer answer, whose `data` is a string or null.

    Raises:
        StrangeAnswer: it is not of the protocol.
    """
    answer = _answer(body)
    if answer.data is not None and not isinstance(answer.data, str):
        raise StrangeAnswer("outer data is neither a string nor null")
    return answer


def read_inner(text: str) -> Answer:
    """Read the inner answer out of the outer one's `data`; its own `data` is an object or null.

    Raises:
        StrangeAnswer: it is not of the protocol.
    """
    answer = _answer(text.encode())
    if answer.data is not None and not isinstance(answer.data, dict):
        raise StrangeAnswer("inner data is neither an object nor null")
    return answer


def read_order_created(data: JsonValue) -> OrderCreated:
    """Read the content of `order/create`. Raises `StrangeAnswer` where a field is missing or of another kind."""
    content = _Content(data)
    return OrderCreated(
        source_id=content.text("source_id"),
        chain_id=content.integer("chain_id"),
        coin_id=content.integer("coin_id"),
        fiat_amount=content.decimal("fiat_amount"),
        symbol=content.text("symbol"),
        order_id=content.text("order_id"),
        exchange_rate=content.decimal("exchange_rate"),
        amount=content.decimal("amount"),
        service_fee=content.decimal("service_fee"),
        url=content.text("url"),
    )


def read_pre_order_created(data: JsonValue) -> PreOrderCreated:
    """Read the content of `pre-order/create`. Raises as `read_order_created`."""
    content = _Content(data)
    return PreOrderCreated(
        source_id=content.text("source_id"), order_id=content.text("order_id"), pay_url=content.text("pay_url")
    )


def read_order_detail(data: JsonValue) -> OrderDetail:
    """Read the content of `order/detail`. Raises as `read_order_created`."""
    content = _Content(data)
    return OrderDetail(
        source_id=content.text("source_id"),
        chain_id=content.integer("chain_id"),
        coin_id=content.integer("coin_id"),
        address=content.text("address"),
        tag=content.text("tag"),
        hash=content.text("hash"),
        fiat_amount=content.decimal("fiat_amount"),
        symbol=content.text("symbol"),
        exchange_rate=content.decimal("exchange_rate"),
        amount=content.decimal("amount"),
        service_fee=content.decimal("service_fee"),
        order_id=content.text("order_id"),
        url=content.text("url"),
        status=content.integer("status"),
        status_desc=content.text("status_desc"),
    )


def read_withdraw_created(data: JsonValue) -> WithdrawCreated:
    """Read the content of `order/withdraw`. Raises as `read_order_created`."""
    content = _Content(data)
    return WithdrawCreated(source_id=content.text("source_id"), order_id=content.text("order_id"))


def read_withdraw_detail(data: JsonValue) -> WithdrawDetail:
    """Read the content of `order/withdraw-detail`. Raises as `read_order_created`."""
    content = _Content(data)
    return WithdrawDetail(
        source_id=content.text("source_id"),
        chain_id=content.integer("chain_id"),
        coin_id=content.integer("coin_id"),
        address=content.text("address"),
        tag=content.text("tag"),
        hash=content.text("hash"),
        fiat_amount=content.decimal("fiat_amount"),
        symbol=content.text("symbol"),
        exchange_rate=content.decimal("exchange_rate"),
        amount=content.decimal("amount"),
        gas_fee=content.decimal("gas_fee"),
        service_fee=content.decimal("service_fee"),
        order_id=content.text("order_id"),
        status=content.integer("status"),
        status_desc=content.text("status_desc"),
    )


def read_callback(body: bytes) -> DepositCallback | WithdrawCallback:
    """Read the body of a callback; only a withdrawal's has a `gas_fee`. Raises as `read_order_created`."""
    found = _object(body)
    return _read_withdraw_callback(_Content(found)) if "gas_fee" in found else _read_deposit_callback(_Content(found))


def _read_withdraw_callback(content: "_Content") -> WithdrawCallback:
    return WithdrawCallback(
        source_id=content.text("source_id"),
        order_id=content.text("order_id"),
        chain_id=content.integer("chain_id"),
        coin_id=content.integer("coin_id"),
        address=content.text("address"),
        tag=content.text("tag"),
        hash=content.text("hash"),
        amount=content.decimal("amount"),
        gas_fee=content.decimal("gas_fee"),
        service_fee=content.decimal("service_fee"),
        status=content.integer("status"),
        status_desc=content.text("status_desc"),
    )


def _read_deposit_callback(content: "_Content") -> DepositCallback:
    return DepositCallback(
        source_id=content.text("source_id"),
        chain_id=content.integer("chain_id"),
        coin_id=content.integer("coin_id"),
        address=content.text("address"),
        tag=content.text("tag"),
        hash=content.text("hash"),
        fiat_amount=content.decimal("fiat_amount"),
        symbol=content.text("symbol"),
        exchange_rate=content.decimal("exchange_rate"),
        amount=content.decimal("amount"),
        service_fee=content.decimal("service_fee"),
        order_id=content.text("order_id"),
        status=content.integer("status"),
        status_desc=content.text("status_desc"),
    )


class _Content:
    """Typed access to an answer's object: a field is there and of its kind, or the answer is strange."""

    def __init__(self, data: JsonValue) -> None:
        if not isinstance(data, dict):
            raise StrangeAnswer("the answer has no content")
        self._data: Mapping[str, JsonValue] = data

    def text(self, name: str) -> str:
        value = self._data.get(name)
        if not isinstance(value, str):
            raise StrangeAnswer(f"{name} is not a text")
        return value

    def integer(self, name: str) -> int:
        value = self._data.get(name)
        if not isinstance(value, Number) or not _INTEGER.fullmatch(value.text):
            raise StrangeAnswer(f"{name} is not an integer")
        return int(value.text)

    def decimal(self, name: str) -> Decimal:
        try:
            return parse_decimal(self.text(name), digits=60, places=40)
        except Invalid:
            raise StrangeAnswer(f"{name} is not a plain decimal") from None


def _answer(body: bytes) -> Answer:
    found = _object(body)
    content = _Content(found)
    return Answer(code=content.integer("code"), msg=content.text("msg"), data=found.get("data"))


def _object(body: bytes) -> dict[str, JsonValue]:
    try:
        return parse_object(body)
    except Invalid as error:
        raise StrangeAnswer(error.message) from None
