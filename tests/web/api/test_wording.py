"""What a client reads of a wrong field: what to write, in nobody's programming language."""

import re
from pathlib import Path
from typing import Annotated

import msgspec
import pytest
from msgspec import Meta

from bitlinkpay.core.errors import Invalid
from bitlinkpay.web.api.home_shapes import RequestSettlement
from bitlinkpay.web.api.reading import query_as, read_body
from bitlinkpay.web.api.shapes import CreateOrder, CreatePayoutBatch, OrderQuery
from bitlinkpay.web.api.wording import _FORMS, plain

ORDER = {"source_id": "A-1", "asset": "usdt-tron", "fiat_amount": "72"}
DIGITS = (
    'write plain digits with at most one point, such as "12.5": at most 22 before the point and 18 after it, no sign'
)


def refusal(body: object, kind: type) -> Invalid:
    with pytest.raises(Invalid) as caught:
        read_body(msgspec.json.encode(body), kind)
    return caught.value


@pytest.mark.parametrize(
    ("change", "param", "told"),
    [
        ({"fiat_amount": 72}, "fiat_amount", "write text in quotes, not a number"),
        ({"fiat_amount": 7.2}, "fiat_amount", "write text in quotes, not a number"),
        ({"fiat_amount": ["72"]}, "fiat_amount", "write text in quotes, not a list"),
        ({"amount": 1}, "amount", "write text in quotes or null, not a number"),
        ({"fiat_amount": "-72"}, "fiat_amount", DIGITS),
        ({"fiat_amount": "1e3"}, "fiat_amount", DIGITS),
        ({"asset": "USDT"}, "asset", "write an asset such as usdt-tron"),
        ({"currency": "usd"}, "currency", "write a currency in capital letters, such as CNY"),
        ({"source_id": ""}, "source_id", "this may not be empty"),
        ({"source_id": "x" * 129}, "source_id", "write at most 128 characters"),
        ({"colour": "red"}, "colour", "there is no such field here; /v1/openapi.json lists those that there are"),
    ],
)
def test_a_wrong_field_of_an_order_is_told_as_what_to_write(change, param, told):
    found = refusal(ORDER | change, CreateOrder)
    assert (found.param, found.message) == (param, told)


def test_a_missing_field_is_named_and_so_is_the_place_in_a_batch():
    found = refusal({"asset": "usdt-tron", "fiat_amount": "72"}, CreateOrder)
    assert (found.param, found.message) == ("source_id", "this field is missing, and has to be there")
    found = refusal({"payouts": []}, CreatePayoutBatch)
    assert (found.param, found.message) == ("payouts", "this may not be empty")
    batch = {"payouts": [{"source_id": "W-1", "asset": "usdt-tron", "address": "T", "amount": -1}]}
    found = refusal(batch, CreatePayoutBatch)
    assert (found.param, found.message) == ("payouts[0].amount", "write text in quotes, not a number")


def test_a_query_is_told_likewise():
    for limit, told in (
        ("x", "write a whole number, not text"),
        ("0", "write at least 1"),
        ("101", "write at most 100"),
    ):
        with pytest.raises(Invalid) as caught:
            query_as({"limit": limit}, OrderQuery)
        assert (caught.value.param, caught.value.message) == ("limit", told)


def test_an_id_that_the_client_makes_is_described():
    found = refusal({"id": "1"}, RequestSettlement)
    assert (found.param, found.message) == ("id", "write set_ and 32 hex digits in lower case")


def test_what_is_not_known_is_told_as_it_came():
    class Odd(msgspec.Struct):
        code: Annotated[str, Meta(pattern="^[a-f]$")]

    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"code": "z"}, Odd)
    assert plain(str(caught.value)).startswith("write it in the form '^[a-f]$'")
    assert plain("Something new") == "Something new"


def test_every_form_is_one_that_the_document_has():
    document = msgspec.json.decode(Path("docs/openapi.json").read_bytes())
    used = set(re.findall(r'"pattern":"((?:[^"\\]|\\.)*)"', msgspec.json.encode(document).decode()))
    assert {msgspec.json.decode(f'"{text}"') for text in used} >= set(_FORMS)
