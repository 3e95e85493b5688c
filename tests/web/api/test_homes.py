"""Bound and saved addresses over the REST API: under the four checks, resting at first, and out of use at once."""

import asyncio
from datetime import timedelta

import pytest
from tests.authorizations.people import PASSWORD, Person
from tests.flows.paying import STRANGERS
from tests.web.api.platform import Rest, Signer
from tests.web.api.test_orders import refusal
from tests.web.wm.test_withdrawals import TARGET

from bitlinkpay.client.rest import RestClient, walk
from bitlinkpay.merchants.api_keys.model import Scope
from bitlinkpay.settlements.addresses.service import HOLD
from bitlinkpay.web.api.home_shapes import AddRule, BindAddress, HomeAddressQuery, Proof

OTHER = STRANGERS["tron"]
USDT = "usdt-tron"


@pytest.fixture
async def person(rest: Rest, signer: Signer) -> Person:
    return await Person.of(rest.database, signer.merchant, rest.wall)


def proof(person: Person, **changed: str) -> Proof:
    return Proof(**({"device": person.device, "password": PASSWORD, "code": person.code()} | changed))


def bound(person: Person, **changed: object) -> BindAddress:
    fields: dict[str, object] = {"network": "tron", "address": TARGET, "proof": proof(person)}
    return BindAddress(**(fields | changed))


async def test_a_new_address_rests_and_takes_the_place_of_the_one_before(
    rest: Rest, client: RestClient, person: Person
) -> None:
    first = await client.bind_address(bound(person))
    assert (first.network, first.label, first.address, first.state) == ("tron", "", TARGET, "resting")
    assert first.usable_at - first.bound_at == HOLD
    async with rest.database.transaction() as tx:
        await tx.execute("update settlement_addresses set usable_at = bound_at")
    assert [one.state for one in (await client.list_addresses()).data] == ["usable"]
    rest.wall.advance(timedelta(minutes=1))
    second = await client.bind_address(bound(person, address=OTHER))
    assert (second.state, second.address) == ("resting", OTHER)
    assert (await client.list_addresses()).data == [second]


async def test_the_same_one_again_changes_nothing_and_asks_for_no_proof(
    rest: Rest, client: RestClient, person: Person
) -> None:
    ask = bound(person)
    first = await client.bind_address(ask)
    assert await client.bind_address(ask) == first
    rest.wall.advance(timedelta(minutes=4))
    assert await client.bind_address(bound(person, proof=proof(person, code="000000", password="x"))) == first
    assert await rest.count("settlement_addresses") == await rest.count("authorizations") == 1
    refused = await refusal(client.bind_address(bound(person, address=OTHER, proof=proof(person, password="x"))))
    assert (refused.status, refused.error.code) == (403, "authorization.wrong_proof")
    assert (await client.list_addresses()).data == [first]


async def test_one_code_moves_one_address(rest: Rest, client: RestClient, person: Person) -> None:
    shown = proof(person)
    await client.bind_address(bound(person, proof=shown))
    refused = await refusal(client.bind_address(bound(person, proof=shown, address=OTHER)))
    assert (refused.status, refused.error.code, refused.error.param) == (409, "authorization.answer_spent", "code")
    refused = await refusal(client.bind_address(bound(person, proof=shown, label="cold")))
    assert refused.error.code == "authorization.answer_spent"


async def test_addresses_are_listed_newest_first_by_network_and_end_at_once(
    rest: Rest, client: RestClient, person: Person
) -> None:
    made = []
    for label in ("", "cold", "Büro"):
        made.append(await client.bind_address(bound(person, label=label)))
        rest.wall.advance(timedelta(minutes=1))
    listed = walk(lambda at: client.list_addresses(HomeAddressQuery(limit=1, cursor=at)))
    assert [one async for one in listed] == made[::-1]
    assert (await client.list_addresses(HomeAddressQuery(network="ton"))).data == []
    gone = await client.remove_address(made[1].id, idempotency_key="1")
    assert (gone.id, gone.state, gone.ended_at is None) == (made[1].id, "ended", False)
    assert await client.remove_address(made[1].id, idempotency_key="1") == gone
    refused = await refusal(client.remove_address(made[1].id))
    assert (refused.status, refused.error.code) == (404, "settlement.address_not_found")
    assert (await client.list_addresses(HomeAddressQuery(network="tron"))).data == [made[2], made[0]]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"network": "mars"}, ("network.not_offered", "network")),
        ({"address": "nowhere"}, ("payout.address_refused", "address")),
        ({"address": "T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb"}, ("payout.address_refused", "address")),
        ({"tag": "7"}, ("request.invalid", "tag")),
        ({"label": " cold"}, ("request.invalid", "label")),
        ({"label": "a" * 41}, ("request.invalid", "label")),
    ],
)
async def test_an_address_that_cannot_be_kept_is_refused_before_a_code_is_spent(
    rest: Rest, client: RestClient, person: Person, changed: dict[str, str], told: tuple[str, str]
) -> None:
    refused = await refusal(client.bind_address(bound(person, **changed)))
    assert (refused.status, refused.error.code, refused.error.param) == (422, *told)
    assert await rest.count("authorizations") == 0
    assert (await client.bind_address(bound(person))).state == "resting", "the code is unspent"


async def test_API_31_another_merchants_address_reads_as_missing(
    rest: Rest, client: RestClient, person: Person
) -> None:
    made = await client.bind_address(bound(person))
    async with rest.client(await rest.signer()) as stranger:
        for address_id in (made.id, "adr_" + "0" * 32, "x"):
            refused = await refusal(stranger.remove_address(address_id))
            assert (refused.status, refused.error.code) == (404, "settlement.address_not_found")
        assert (await stranger.list_addresses()).data == []
        refused = await refusal(stranger.bind_address(bound(person, label="x")))
        assert (refused.status, refused.error.code) == (403, "authorization.unknown_device")
    reader = await rest.signer(person.merchant, scopes=frozenset({Scope.READ, Scope.PAYIN}))
    async with rest.client(reader) as keyless:
        for call in (keyless.bind_address(bound(person)), keyless.remove_address(made.id)):
            assert (await refusal(call)).error.code == "api_key.missing_scope"
        assert (await keyless.list_addresses()).data == [made]


async def test_a_rule_asked_for_twice_is_one_rule_and_costs_one_code(
    rest: Rest, client: RestClient, person: Person
) -> None:
    ask = AddRule(asset=USDT, threshold="50", proof=proof(person))
    first = await client.add_settlement_rule(ask)
    assert await client.add_settlement_rule(ask) == first
    rest.wall.advance(timedelta(minutes=4))
    stale = AddRule(asset=USDT, threshold="50.0", proof=proof(person, code="000000"))
    assert await client.add_settlement_rule(stale) == first
    assert await rest.count("settlement_rules") == await rest.count("authorizations") == 1
    other = AddRule(asset=USDT, threshold="50", reserve="1", proof=proof(person))
    second = await client.add_settlement_rule(other)
    assert await client.settlement_rules() == [first, second]
    await client.remove_settlement_rule(first.id)
    refused = await refusal(client.add_settlement_rule(ask))
    assert refused.error.code == "authorization.wrong_proof", "what was removed has to be proven again"


async def test_a_locked_out_person_is_told_when_to_come_back(rest: Rest, client: RestClient, person: Person) -> None:
    wrong = AddRule(asset=USDT, threshold="5", proof=proof(person, password="x"))
    for _ in range(5):
        assert (await refusal(client.add_settlement_rule(wrong))).error.code == "authorization.wrong_proof"
    refused = await refusal(client.add_settlement_rule(wrong))
    assert (refused.status, refused.error.code) == (429, "authorization.locked_out")
    assert 15 * 60 - 60 < refused.retry_after_s <= 15 * 60


@pytest.mark.parametrize("what", ["address", "rule"])
async def test_PAY_04_one_request_that_is_sent_ten_times_at_once_is_one_address_and_one_rule(
    rest: Rest, client: RestClient, person: Person, what: str
) -> None:
    shown = proof(person)
    if what == "address":
        table, calls = "settlement_addresses", [client.bind_address(bound(person, proof=shown)) for _ in range(10)]
    else:
        ask = AddRule(asset=USDT, threshold="50", proof=shown)
        table, calls = "settlement_rules", [client.add_settlement_rule(ask) for _ in range(10)]
    told = await asyncio.gather(*calls, return_exceptions=True)
    made = [one for one in told if not isinstance(one, Exception)]
    assert len({one.id for one in made}) == 1
    refused = {one.error.code for one in told if isinstance(one, Exception)}
    assert refused <= {"authorization.answer_spent", "authorization.missing"}, "nobody saw it under way"
    assert await rest.count(table) == await rest.count("authorizations") == 1


async def test_two_addresses_at_once_under_one_label_leave_one_that_stands(
    rest: Rest, client: RestClient, person: Person
) -> None:
    first = bound(person)
    rest.wall.advance(timedelta(seconds=30))  # the code of the step before is right too
    second = bound(person, address=OTHER)
    told = await asyncio.gather(client.bind_address(first), client.bind_address(second), return_exceptions=True)
    made = [one for one in told if not isinstance(one, Exception)]
    assert made, told
    (standing,) = (await client.list_addresses()).data
    assert standing.address in {one.address for one in made}
    refused = await refusal(client.remove_address("adr_" + "f" * 32))
    assert refused.error.param == "address_id"
    await client.remove_address(standing.id)
    assert (await client.list_addresses()).data == []
