"""The document of the API: made from the code, checked in, served as it is, and held against what the server does."""

import asyncio
from contextlib import suppress
from pathlib import Path

import msgspec
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis.specs.openapi.checks import positive_data_acceptance
from tests.web.api.platform import Rest, Signer

from bitlinkpay.client.rest import RestClient
from bitlinkpay.web.api.build import operations_of
from bitlinkpay.web.api.openapi import document_of, encode_document

ROOT = Path(__file__).resolve().parents[3]
NOT_NOW = {"rate.no_quote", "payout.no_liquidity"}
"""What nobody quotes and what no wallet covers are refused for the moment: no fault of the server's."""
EXAMPLES = 12
"""Requests an operation: enough to reach each kind of field, and a few seconds in all."""


async def test_the_document_of_the_repository_is_that_of_the_code(rest: Rest, client: RestClient) -> None:
    """After a change of the API run `PYTHONPATH=src:. python -m tests.web.api.document`."""
    made = encode_document(document_of(operations_of(rest.services)))
    assert (ROOT / "docs" / "openapi.json").read_bytes() == made
    assert (await client.send("GET", "/v1/openapi.json", headers={"blp-key": "nobody"})).body == made


def test_every_operation_has_its_errors_and_its_name_once() -> None:
    document = msgspec.json.decode((ROOT / "docs" / "openapi.json").read_bytes())
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names)) >= 18
    for operation in operations:
        assert {"401", "403", "422", "429", "503"} <= set(operation["responses"])
        refused = {status: response for status, response in operation["responses"].items() if int(status) >= 400}
        assert refused == {status: {"$ref": f"#/components/responses/{status}"} for status in refused}
    for response in document["components"]["responses"].values():
        assert response["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ErrorBody"}


class Signed(requests.auth.AuthBase):
    """Signs what schemathesis sends, whatever it is."""

    def __init__(self, client: RestClient) -> None:
        self._client = client

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        request.headers.update(self._client.sign(request.method, request.path_url, body))
        return request


def attack(url: str, client: RestClient) -> dict[str, set[int]]:
    """Send requests that fit the document and requests that do not, to every operation; return the statuses."""
    document = requests.get(f"{url}/v1/openapi.json", timeout=10).json()
    del document["security"], document["components"]["securitySchemes"]  # we sign ourselves; test_gate.py tries without
    for methods in document["paths"].values():  # HTTP trims headers, so that a bad key may arrive as a good one
        for operation in methods.values():
            operation["parameters"] = [one for one in operation["parameters"] if one["in"] != "header"]
    schema = schemathesis.openapi.from_dict(document)
    seen: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        statuses = seen[operation.label] = set()
        for mode in schemathesis.GenerationMode:
            with suppress(Unsatisfiable):  # an operation that takes nothing cannot be asked wrongly
                send_all(operation.as_strategy(generation_mode=mode), url, client, statuses)
    return seen


def send_all(cases: SearchStrategy[schemathesis.Case], url: str, client: RestClient, statuses: set[int]) -> None:
    @given(case=cases)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def send(case: schemathesis.Case) -> None:
        answer = case.call(base_url=url, auth=Signed(client))
        statuses.add(answer.status_code)
        if answer.status_code == 503:
            assert answer.json()["code"] in NOT_NOW, answer.text
            return
        # An asset that fits the pattern and does not exist is refused with 422, which that check does not expect.
        case.validate_response(answer, excluded_checks=[positive_data_acceptance])

    send()


async def test_the_server_keeps_to_its_document_whatever_is_sent(rest: Rest) -> None:
    signer: Signer = await rest.signer(rate_per_minute=1_000_000)
    await rest.give(signer.merchant, "usdt-tron", 10**9)
    async with rest.client(signer) as client:
        seen = await asyncio.to_thread(attack, rest.url, client)
    assert len(seen) >= 18
    every = set().union(*seen.values())
    assert {200, 201, 422} <= every
    assert not {status for status in every if status >= 500} - {503}, seen
