"""Request bodies of the six endpoints: strict parsing on the server's side, writing on the client's."""

import json
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Final, TypeAlias

from bitlinkpay.core.money import format_decimal
from bitlinkpay.wm.fields import Fields
from bitlinkpay.wm.strictjson import parse_object

MAX_SOURCE_ID: Final = 128
MAX_URL: Final = 2048
MAX_SYMBOL: Final = 32
MAX_COIN: Final = 32
MAX_LANG: Final = 64
MAX_ADDRESS: Final = 128
MAX_TAG: Final = 128


@dataclass(frozen=True, slots=True)
class CreateOrder:
    """`order/create`. `exchange_rate` and `amount` are None, `callback_url` and `lang` "" when absent."""

    source_id: str
    chain_id: int
    coin_id: int
    fiat_amount: Decimal
    symbol: str
    exchange_rate: Decimal | None = None
    amount: Decimal | None = None
    callback_url: str = ""
    lang: str = ""


@dataclass(frozen=True, slots=True)
class CreatePreOrder:
    """`pre-order/create`: an order whose payer picks the network on the page."""

    source_id: str
    coin: str
    fiat_amount: Decimal
    lang: str = ""
    home_url: str = ""
    success_url: str = ""
    failure_url: str = ""
    callback_url: str = ""


@dataclass(frozen=True, slots=True)
class Lookup:
    """`order/detail`, `order/cancel` and `order/withdraw-detail`: the merchant's own id and nothing else."""

    source_id: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """`order/withdraw`. What was left out is None, or "" for a text."""

    source_id: str
    chain_id: int
    coin_id: int
    address: str
    amount: Decimal
    tag: str = ""
    fiat_amount: Decimal | None = None
    symbol: str = ""
    exchange_rate: Decimal | None = None
    callback_url: str = ""


Request: TypeAlias = CreateOrder | CreatePreOrder | Lookup | Withdraw


def parse_create_order(data: bytes) -> CreateOrder:
    """Parse the plaintext of `order/create`.

    Raises:
        Malformed: not one strict JSON object.
        Invalid: a field is missing, of another kind, or out of its range; `param` names it.
    """
    body = Fields(parse_object(data))
    return CreateOrder(
        source_id=body.text("source_id", limit=MAX_SOURCE_ID),
        chain_id=body.integer("chain_id"),
        coin_id=body.integer("coin_id"),
        fiat_amount=body.decimal("fiat_amount"),
        symbol=body.text("symbol", limit=MAX_SYMBOL),
        exchange_rate=body.optional_decimal("exchange_rate"),
        amount=body.optional_decimal("amount"),
        callback_url=body.optional_text("callback_url", limit=MAX_URL),
        lang=body.optional_text("lang", limit=MAX_LANG),
    )


def parse_create_pre_order(data: bytes) -> CreatePreOrder:
    """Parse the plaintext of `pre-order/create`. Raises as `parse_create_order`."""
    body = Fields(parse_object(data))
    return CreatePreOrder(
        source_id=body.text("source_id", limit=MAX_SOURCE_ID),
        coin=body.text("coin", limit=MAX_COIN),
        fiat_amount=body.decimal("fiat_amount"),
        lang=body.optional_text("lang", limit=MAX_LANG),
        home_url=body.optional_text("home_url", limit=MAX_URL),
        success_url=body.optional_text("success_url", limit=MAX_URL),
        failure_url=body.optional_text("failure_url", limit=MAX_URL),
        callback_url=body.optional_text("callback_url", limit=MAX_URL),
    )


def parse_lookup(data: bytes) -> Lookup:
    """Parse the plaintext of `order/detail`, `order/cancel` or `order/withdraw-detail`. Raises as above."""
    return Lookup(source_id=Fields(parse_object(data)).text("source_id", limit=MAX_SOURCE_ID))


def parse_withdraw(data: bytes) -> Withdraw:
    """Parse the plaintext of `order/withdraw`. Raises as `parse_create_order`."""
    body = Fields(parse_object(data))
    return Withdraw(
        source_id=body.text("source_id", limit=MAX_SOURCE_ID),
        chain_id=body.integer("chain_id"),
        coin_id=body.integer("coin_id"),
        address=body.text("address", limit=MAX_ADDRESS),
        amount=body.decimal("amount"),
        tag=body.optional_text("tag", limit=MAX_TAG),
        fiat_amount=body.optional_decimal("fiat_amount"),
        symbol=body.optional_text("symbol", limit=MAX_SYMBOL),
        exchange_rate=body.optional_decimal("exchange_rate"),
        callback_url=body.optional_text("callback_url", limit=MAX_URL),
    )


def write_request(request: Request) -> bytes:
    """Write a request as our client sends it: decimals as texts, absent values left out."""
    body: dict[str, str | int] = {}
    for field in fields(request):
        value: object = getattr(request, field.name)
        match value:
            case None | "":
                continue
            case Decimal():
                body[field.name] = format_decimal(value)
            case str() | int():
                body[field.name] = value
            case _:
                raise TypeError(f"{field.name} cannot travel: {value!r}")
    return json.dumps(body, separators=(",", ":")).encode()
