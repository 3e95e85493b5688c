"""Answers and callbacks: the content of every endpoint, and the two objects around it as they go out."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias

from bitlinkpay.core.money import format_decimal
from bitlinkpay.wm.ids import OuterCode

MAX_MESSAGE: Final = 500


@dataclass(frozen=True, slots=True)
class OrderCreated:
    """Answer of `order/create`. `order_id` is 32 hex characters, `url` the hosted page."""

    source_id: str
    chain_id: int
    coin_id: int
    fiat_amount: Decimal
    symbol: str
    order_id: str
    exchange_rate: Decimal
    amount: Decimal
    service_fee: Decimal
    url: str


@dataclass(frozen=True, slots=True)
class PreOrderCreated:
    """Answer of `pre-order/create`."""

    source_id: str
    order_id: str
    pay_url: str


@dataclass(frozen=True, slots=True)
class OrderDetail:
    """Answer of `order/detail`. Before a pre-order's payer has picked: ids 0, texts "", decimals 0."""

    source_id: str
    chain_id: int
    coin_id: int
    address: str
    tag: str
    hash: str
    fiat_amount: Decimal
    symbol: str
    exchange_rate: Decimal
    amount: Decimal
    service_fee: Decimal
    order_id: str
    url: str
    status: int
    status_desc: str


@dataclass(frozen=True, slots=True)
class DepositCallback:
    """Body of a deposit callback."""

    source_id: str
    chain_id: int
    coin_id: int
    address: str
    tag: str
    hash: str
    fiat_amount: Decimal
    symbol: str
    exchange_rate: Decimal
    amount: Decimal
    service_fee: Decimal
    order_id: str
    status: int
    status_desc: str


@dataclass(frozen=True, slots=True)
class WithdrawCreated:
    """Answer of `order/withdraw`."""

    source_id: str
    order_id: str


@dataclass(frozen=True, slots=True)
class WithdrawDetail:
    """Answer of `order/withdraw-detail`; `service_fee` repeats `gas_fee` for the Java SDK, which reads that name."""

    source_id: str
    chain_id: int
    coin_id: int
    address: str
    tag: str
    hash: str
    fiat_amount: Decimal
    symbol: str
    exchange_rate: Decimal
    amount: Decimal
    gas_fee: Decimal
    service_fee: Decimal
    order_id: str
    status: int
    status_desc: str


@dataclass(frozen=True, slots=True)
class WithdrawCallback:
    """Body of a withdraw callback; `service_fee` repeats `gas_fee`."""

    source_id: str
    order_id: str
    chain_id: int
    coin_id: int
    address: str
    tag: str
    hash: str
    amount: Decimal
    gas_fee: Decimal
    service_fee: Decimal
    status: int
    status_desc: str


Content: TypeAlias = (
    OrderCreated | PreOrderCreated | OrderDetail | DepositCallback | WithdrawCreated | WithdrawDetail | WithdrawCallback
)


def content_json(content: Content) -> dict[str, str | int]:
    """Return content with decimals as plain texts; texts are never null, ids and status are integers."""
    written: dict[str, str | int] = {}
    for name in content.__slots__:
        value: object = getattr(content, name)
        match value:
            case Decimal():
                written[name] = format_decimal(value)
            case str() | int():
                written[name] = value
            case _:
                raise TypeError(f"{name} cannot travel: {value!r}")
    return written


def callback_body(content: DepositCallback | WithdrawCallback) -> bytes:
    """Return the bytes of a callback, the same for every attempt."""
    return _dump(content_json(content)).encode()


def accept(content: Content | None) -> bytes:
    """Return the whole answer to a request that was understood and done; None for one without content (cancel)."""
    inner = _dump({"code": 0, "msg": "", "data": None if content is None else content_json(content)})
    return _dump({"code": int(OuterCode.OK), "msg": "", "data": inner}).encode()


def refuse(code: int, message: str) -> bytes:
    """Return the whole answer to a request that was understood and refused: outer code 0, inner code not."""
    assert code != 0
    inner = _dump({"code": code, "msg": message[:MAX_MESSAGE], "data": None})
    return _dump({"code": int(OuterCode.OK), "msg": "", "data": inner}).encode()


def turn_away(code: OuterCode, message: str) -> bytes:
    """Return the whole answer to a request whose envelope was not let in."""
    assert code is not OuterCode.OK
    return _dump({"code": int(code), "msg": message[:MAX_MESSAGE], "data": None}).encode()


_dump: Final[Callable[[Mapping[str, object]], str]] = json.JSONEncoder(separators=(",", ":")).encode
