"""What a person asks for by hand survives a death at any step: the same request again ends in one settlement, address, rule."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from tests.flows.faults import Crash, Fault, FaultyDatabase, Fuse
from tests.flows.harness import REGISTRY
from tests.flows.settling import HOME, USDT, Office, units

from bitlinkpay.authorizations.model import AnswerSpent, NotAuthorized, Shown
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.payouts.model import BalanceTooLow
from bitlinkpay.settlements.addresses.service import Homes, NewHome
from bitlinkpay.settlements.model import Ask, NothingToSettle, Settlement
from bitlinkpay.settlements.rules.model import Terms
from bitlinkpay.settlements.rules.service import Rules
from bitlinkpay.settlements.service import Settlements

MOST_STEPS = 120


async def die(office: Office, fuse: Fuse, step: Callable[[Office, FaultyDatabase], Awaitable[object]]) -> None:
    """Do something on a database that fails at the fuse's step."""
    try:
        await step(office, FaultyDatabase(office.world.database, fuse))
    except (Crash, Unavailable):
        return


def settlements_on(office: Office, database: FaultyDatabase) -> Settlements:
    checks = office.person.checks_of(database)  # type: ignore[arg-type]
    return Settlements(
        database=database,  # type: ignore[arg-type]
        registry=REGISTRY,
        payouts=office.payouts,
        checks=checks,
        clock=office.world.clock,
    )


async def count(office: Office, query: str) -> int:
    ((found,),) = await office.world.rows(f"select count(*) from {query}")
    assert isinstance(found, int)
    return found


@pytest.mark.parametrize("fault", list(Fault))
async def test_SET_07_a_request_that_died_anywhere_is_repeated_with_the_same_code_and_pays_once(
    office: Office, fault: Fault
) -> None:
    before, blown = await office.available(), 0
    for at in range(1, MOST_STEPS):
        ask, shown, fuse = office.ask("20"), office.shown(), Fuse(at, fault)
        await die(office, fuse, lambda where, on, a=ask, s=shown: settlements_on(where, on).request(a, s))
        done = await office.settlements.request(ask, shown)
        assert done.settlement_id == ask.settlement_id
        assert await count(office, "settlements") == await office.payouts_count() == at, f"at step {at}"
        assert await count(office, "authorizations where used_at is not null") == at
        assert await office.available() == before - (await office.payout(done)).reserved_units
        await cancel(office, done)
        assert await office.available() == before
        if not fuse.has_blown:
            break
        blown += 1
    assert blown >= 40, "the fuse reached every step"


async def cancel(office: Office, settlement: Settlement) -> None:
    merchant_id = office.world.merchant.merchant_id
    await office.world.database.unit(lambda tx: office.settlements.cancel(tx, merchant_id, settlement.settlement_id))


async def test_an_address_that_was_bound_while_its_server_died_is_bound_once_and_rests_from_then(
    office: Office,
) -> None:
    network, merchant_id = REGISTRY.networks["tron"], office.world.merchant.merchant_id

    async def bind(where: Office, on: FaultyDatabase, new: NewHome, shown: Shown) -> object:
        homes = Homes(on, REGISTRY, where.person.checks_of(on), where.world.clock)  # type: ignore[arg-type]
        return await homes.bind(new, shown)

    for at in range(1, MOST_STEPS):
        label, fuse = f"number {at}", Fuse(at)
        new, shown = NewHome(office.world.merchant, network, label, HOME, ""), office.shown()
        since = office.world.clock.now()
        await die(office, fuse, lambda where, on, n=new, s=shown: bind(where, on, n, s))
        office.world.clock.advance(timedelta(minutes=1))
        was_stored = await count(office, f"settlement_addresses where label = '{label}'") == 1
        found = await office.homes.bind(new, office.shown())
        assert found.bound_at == (since if was_stored else office.world.clock.now())
        assert await count(office, f"settlement_addresses where label = '{label}'") == 1
        told = [notice for notice in await office.notices("settlement.address_changed") if notice["label"] == label]
        assert [notice["change"] for notice in told] == ["added"]
        if not fuse.has_blown:
            break
    assert not fuse.has_blown, "every step was tried"
    assert at >= 20
    assert await count(office, f"settlement_addresses where merchant_id <> '{merchant_id}'") == 0


async def test_a_rule_that_was_added_while_its_server_died_answers_to_the_same_request_and_is_one_rule(
    office: Office,
) -> None:
    async def add(where: Office, on: FaultyDatabase, terms: Terms, shown: Shown) -> object:
        rules = Rules(on, where.person.checks_of(on), where.world.clock)  # type: ignore[arg-type]
        return await rules.add(where.world.merchant, REGISTRY.assets[USDT], terms, shown)

    for at in range(1, MOST_STEPS):
        terms, shown, fuse = Terms(threshold_units=units("100") + at), office.shown(), Fuse(at)
        await die(office, fuse, lambda where, on, t=terms, s=shown: add(where, on, t, s))
        again = await office.rules.add(office.world.merchant, REGISTRY.assets[USDT], terms, shown)
        assert again.terms == terms
        assert await count(office, "settlement_rules") == at
        assert len(await office.notices("settlement.rule_changed")) == at
        if not fuse.has_blown:
            break
    assert not fuse.has_blown, "every step was tried"
    assert at >= 20


# --- the same request by two ways, each order of steps by itself


async def meanwhile(office: Office, name: str, ask: Ask, shown: Shown) -> Settlements:
    """Return a service whose next `name` of the checks or payouts comes late: the same request was done meanwhile."""
    late = Settlements(
        database=office.world.database,
        registry=REGISTRY,
        payouts=office.cashier.payouts(),
        checks=office.person.checks_of(office.world.database),
        clock=office.world.clock,
    )
    part = late._payouts if name == "prepare" else late._checks
    step = getattr(part, name)

    async def slowly(*words: object) -> object:
        given = await step(*words)
        await office.settlements.request(ask, shown)
        return given

    setattr(part, name, slowly)
    return late


@pytest.mark.parametrize("name", ["prepare", "authorize"])
async def test_who_comes_late_is_answered_with_the_settlement_that_stands(office: Office, name: str) -> None:
    """Before its code was judged the answer is spent; after that its authorization is used up. Both times it was this."""
    ask, shown = office.ask("20"), office.shown()
    late = await meanwhile(office, name, ask, shown)
    found = await late.request(ask, shown)
    assert [one.settlement for one in await office.listed()] == [found]
    assert await office.payouts_count() == 1


async def test_PAY_04_a_rule_that_another_request_added_meanwhile_is_that_rule(office: Office) -> None:
    """Both looked before either was authorized, each by a code of its own: the same rule would fire twice."""
    terms, asset, merchant = Terms(threshold_units=units("100")), REGISTRY.assets[USDT], office.world.merchant
    checks = office.person.checks_of(office.world.database)
    late, authorize = Rules(office.world.database, checks, office.world.clock), checks.authorize
    added = []

    async def slowly(*words):
        given = await authorize(*words)
        added.append(await office.rules.add(merchant, asset, terms, office.shown()))
        return given

    checks.authorize = slowly  # type: ignore[method-assign]
    assert [await late.add(merchant, asset, terms, office.shown())] == added
    assert await count(office, "settlement_rules") == len(await office.notices("settlement.rule_changed")) == 1
    assert await count(office, "authorizations where used_at is not null") == 2


async def test_who_comes_late_with_another_request_gets_nothing_for_the_same_code(office: Office) -> None:
    shown, first = office.shown(), office.ask("20")
    late = await meanwhile(office, "prepare", first, shown)
    with pytest.raises(AnswerSpent):
        await late.request(office.ask("7"), shown)
    assert [one.settlement.settlement_id for one in await office.listed()] == [first.settlement_id]
    assert await office.payouts_count() == 1


async def test_an_authorization_that_somebody_else_used_is_no_settlement(office: Office) -> None:
    """Its own row is looked for before it gives up; there is none, so it says that nobody authorized this."""
    ask, checks = office.ask("20"), office.person.checks
    use = checks.use

    async def twice(tx, *words):
        await use(tx, *words)
        await use(tx, *words)

    checks.use = twice  # type: ignore[method-assign]
    with pytest.raises(NotAuthorized):
        await office.settlements.request(ask, office.shown())
    del checks.use
    assert await office.listed() == []
    assert await count(office, "authorizations where used_at is not null") == 0


async def test_a_code_of_a_request_that_the_balance_did_not_cover_is_good_for_it_once_it_does(office: Office) -> None:
    ask, shown = office.ask("150"), office.shown()
    with pytest.raises(BalanceTooLow):
        await office.settlements.request(ask, shown)
    with pytest.raises(AnswerSpent):
        await office.settlements.request(office.ask("20"), shown)
    await office.earn("100")
    assert (await office.settlements.request(ask, shown)).settlement_id == ask.settlement_id
    assert await office.payouts_count() == 1


async def test_a_full_balance_is_asked_for_by_two_and_one_gets_it(office: Office) -> None:
    """Both saw the whole balance when they were quoted; what is left when the second reserves yields nothing."""
    first, second = office.ask(None), office.ask(None)
    code = office.shown()
    late = await meanwhile(office, "prepare", first, code)
    with pytest.raises(NothingToSettle, match="does not cover its fees"):
        await late.request(second, office.shown())
    assert [one.settlement.settlement_id for one in await office.listed()] == [first.settlement_id]
    assert await office.available() == 0
