"""What the outside reads of a refusal, in either protocol."""

import pytest

from bitlinkpay.core.errors import Conflict, Invalid, Problem, Unavailable
from bitlinkpay.web.errors import problem_body, wm_message
from bitlinkpay.wm.fields import Fields
from bitlinkpay.wm.strictjson import parse_object

DIGITS = "write the number in plain digits with at most one point, such as 12.5"


class OwnRefusal(Invalid):
    """A refusal with a code of its own, whose sentence is about one thing."""

    code = "payout.amount_refused"


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (Invalid(DIGITS, param="exchange_rate"), f"request.invalid: exchange_rate: {DIGITS}"),
        (Invalid("source_id is required", param="source_id"), "request.invalid: source_id is required"),
        (Invalid("the body is odd"), "request.invalid: the body is odd"),
        (OwnRefusal("the smallest is 1", param="amount"), "payout.amount_refused: the smallest is 1"),
        (Conflict("taken", param="source_id"), f"{Conflict.code}: taken"),
    ],
)
def test_an_sdk_reads_which_field_is_meant(problem: Problem, told: str):
    assert wm_message(problem) == told


@pytest.mark.parametrize("name", ["fiat_amount", "exchange_rate", "amount"])
@pytest.mark.parametrize("text", ['"1e3"', '"-1"', '"1,5"', "-1", "1e40", "true", '"' + "9" * 23 + '"'])
def test_every_wrong_decimal_names_its_field(name: str, text: str):
    fields = Fields(parse_object(f'{{"{name}": {text}}}'.encode()))
    with pytest.raises(Invalid) as caught:
        fields.optional_decimal(name)
    assert name in wm_message(caught.value)


def test_what_a_database_said_stays_inside_and_the_field_of_a_body_is_its_own():
    hidden = Unavailable("cannot reach the database: 10.0.0.5")
    assert "10.0.0.5" not in wm_message(hidden)
    body = problem_body(Invalid(DIGITS, param="amount"), "req_1")
    assert (body["message"], body["param"]) == (DIGITS, "amount")
