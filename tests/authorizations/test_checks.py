"""Four checks, one authorization: bound to one action, given once, used once, whatever comes at the same time."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.authorizations.people import PEER, Person, stored_merchant, stretched

from bitlinkpay.authorizations import setup, store
from bitlinkpay.authorizations.model import (
    FIRST_LOCK,
    AnswerSpent,
    Authorization,
    LockedOut,
    NotAuthorized,
    NotSetUp,
    UnknownDevice,
    UnlistedNetwork,
    WrongProof,
)
from bitlinkpay.core.errors import Problem
from bitlinkpay.core.mode import Mode
from bitlinkpay.db.pool import Database


async def failures(person: Person) -> int:
    async with person.database.reader() as tx:
        credential = await store.find_credential(tx, person.merchant.merchant_id)
    assert credential is not None
    return credential.failures


async def test_who_passes_all_four_may_do_exactly_this_once(person: Person) -> None:
    given = await person.authorize("12")
    assert (given.peer, given.action, given.digest) == (PEER, "test.pay", person.action("12").digest)
    await person.use(given, "12")
    with pytest.raises(NotAuthorized):
        await person.use(given, "12")


async def test_WEB_17_an_authorization_does_nothing_else(person: Person) -> None:
    given = await person.authorize("12")
    with pytest.raises(NotAuthorized):
        await person.use(given, "13")
    await person.use(given, "12")


async def test_an_authorization_is_of_no_use_to_another_merchant(person: Person) -> None:
    given = await person.authorize("12")
    other = await stored_merchant(person.database)
    foreign = replace(person.action("12"), merchant_id=other.merchant_id)
    with pytest.raises(NotAuthorized):
        await person.database.unit(lambda tx: person.checks.use(tx, given.authorization_id, foreign))


async def test_an_authorization_waits_five_minutes(person: Person) -> None:
    given = await person.authorize("12")
    person.wall.advance(timedelta(minutes=5))
    with pytest.raises(NotAuthorized):
        await person.use(given, "12")


async def test_an_authorization_is_used_with_what_it_allows_or_not_at_all(person: Person) -> None:
    given = await person.authorize("12")
    with pytest.raises(ZeroDivisionError):
        async with person.database.transaction() as tx:
            await person.checks.use(tx, given.authorization_id, person.action("12"))
            raise ZeroDivisionError
    await person.use(given, "12")


async def test_WEB_02_a_code_is_good_for_one_action_only(person: Person) -> None:
    await person.authorize("12")
    with pytest.raises(AnswerSpent):
        await person.authorize("13")
    with pytest.raises(AnswerSpent):
        await person.authorize("13", answer=person.code(-1))  # an earlier step after a later one
    person.wall.advance(timedelta(seconds=30))
    await person.authorize("13")
    assert await failures(person) == 0, "a right code that is spent is no wrong try"


async def test_the_answer_that_got_lost_is_given_again_until_it_was_used(person: Person) -> None:
    given = await person.authorize("12")
    assert await person.authorize("12") == given
    await person.use(given, "12")
    with pytest.raises(AnswerSpent):
        await person.authorize("12")


async def test_WEB_02_many_requests_with_one_code_are_one_success(person: Person) -> None:
    """Of eight actions five times each, one action gets the code, and one authorization."""
    asked = [person.authorize(str(number % 8)) for number in range(40)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    given = [answer for answer in answers if isinstance(answer, Authorization)]
    assert len({one.authorization_id for one in given}) == 1
    assert {type(answer) for answer in answers} == {Authorization, AnswerSpent}


async def test_WEB_02_one_authorization_is_used_once_by_many(person: Person) -> None:
    given = await person.authorize("12")
    done = await asyncio.gather(*(person.use(given, "12") for _ in range(40)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in done).count("NoneType") == 1
    assert {type(one) for one in done} == {type(None), NotAuthorized}


@pytest.mark.parametrize("changed", [{"password": "wrong horse battery"}, {"answer": "000000"}, {"answer": ""}])
async def test_a_wrong_password_and_a_wrong_code_are_told_alike_and_counted(person: Person, changed: dict) -> None:
    with pytest.raises(WrongProof, match="password or the one-time code is wrong; 4 more tries"):
        await person.authorize("12", **changed)
    assert await failures(person) == 1
    await person.authorize("12")
    assert await failures(person) == 0, "a right try begins to count anew"


async def test_the_fifth_wrong_try_locks_and_the_right_one_is_refused_too(person: Person) -> None:
    for left in ("4 more", "3 more", "2 more", "1 more", "paused now"):
        with pytest.raises(WrongProof, match=left):
            await person.authorize("12", answer="000000")
    with pytest.raises(LockedOut, match=r"wait until 2026-03-01T12:15"):
        await person.authorize("12")
    assert await failures(person) == 5, "what comes in the pause is not counted"
    person.wall.advance(FIRST_LOCK)
    with pytest.raises(WrongProof, match="paused now"):
        await person.authorize("12", answer="000000")
    person.wall.advance(FIRST_LOCK)
    with pytest.raises(LockedOut):  # twice as long
        await person.authorize("12")
    person.wall.advance(FIRST_LOCK)
    await person.authorize("12")
    async with person.database.reader() as tx:
        noted = await store.list_events(tx, person.merchant.merchant_id)
    assert [event for event, *_ in noted].count("locked_out") == 2


async def test_many_guesses_at_once_get_no_more_answers_than_one_after_the_other(person: Person) -> None:
    guesses = [f"{number:06}" for number in range(40) if f"{number:06}" not in {person.code(n) for n in (-1, 0, 1)}]
    answers = await asyncio.gather(*(person.authorize("1", answer=guess) for guess in guesses), return_exceptions=True)
    kinds = [type(answer) for answer in answers]
    assert kinds.count(WrongProof) == 5
    assert kinds.count(LockedOut) == len(guesses) - 5


async def test_a_request_from_an_unknown_device_says_nothing_of_the_password(person: Person) -> None:
    for device in ("", "another", person.device + "x"):
        with pytest.raises(UnknownDevice):
            await person.authorize("12", device=device, password="wrong wrong wrong")
    assert await failures(person) == 0


async def test_a_device_counts_from_its_confirmation_to_its_end(person: Person) -> None:
    merchant_id, now = person.merchant.merchant_id, person.wall.now()
    new = await person.database.unit(
        lambda tx: setup.introduce_device(tx, merchant_id, "phone", by="merchant", now=now)
    )
    with pytest.raises(UnknownDevice):
        await person.authorize("12", device=new.token)
    device_id = new.device.device_id
    await person.database.unit(lambda tx: setup.confirm_device(tx, merchant_id, device_id, by="merchant", now=now))
    assert (await person.authorize("12", device=new.token)).device_id == device_id
    await person.database.unit(lambda tx: setup.end_device(tx, merchant_id, device_id, by="merchant", now=now))
    with pytest.raises(UnknownDevice):
        await person.authorize("12", device=new.token)


async def test_a_live_deployment_lets_nobody_in_without_a_list(person: Person) -> None:
    live = person.checks_of(person.database, Mode.LIVE)
    with pytest.raises(UnlistedNetwork):
        await live.authorize(person.merchant, person.action("12"), person.shown())
    listed = replace(person.merchant, payout_networks=("203.0.113.0/24",))
    await live.authorize(listed, person.action("12"), person.shown())
    person.wall.advance(timedelta(minutes=1))
    with pytest.raises(UnlistedNetwork):
        await person.checks.authorize(listed, person.action("12"), person.shown(peer="192.0.2.1"))


async def test_what_is_not_set_up_is_said(database: Database, person: Person) -> None:
    bare = await stored_merchant(database)
    new = await database.unit(
        lambda tx: setup.introduce_device(tx, bare.merchant_id, "office", by="o", now=person.wall.now())
    )
    await database.unit(
        lambda tx: setup.confirm_device(tx, bare.merchant_id, new.device.device_id, by="o", now=person.wall.now())
    )
    action, shown = replace(person.action("1"), merchant_id=bare.merchant_id), person.shown(device=new.token)
    with pytest.raises(NotSetUp):
        await person.checks.authorize(bare, action, shown)
    await database.unit(lambda tx: setup.set_password(tx, bare.merchant_id, stretched(), by="o", now=person.wall.now()))
    with pytest.raises(NotSetUp):
        await person.checks.authorize(bare, action, shown)


async def test_a_device_of_one_merchant_is_unknown_at_another(database: Database, person: Person) -> None:
    bare = await stored_merchant(database)
    with pytest.raises(UnknownDevice):
        await person.checks.authorize(bare, replace(person.action("1"), merchant_id=bare.merchant_id), person.shown())


async def test_no_secret_reaches_the_log_or_a_refusal(person: Person, caplog: pytest.LogCaptureFixture) -> None:
    told = []
    for changed in ({"answer": "000000"}, {"password": "wrong horse battery"}, {"device": "unheard-of"}):
        with pytest.raises(Problem) as refused:
            await person.authorize("12", peer="192.0.2.1\r\ninjected", **changed)
        told.append(refused.value.message)
    text = caplog.text + " ".join(told)
    assert "authorization.wrong_proof" in text
    assert "\r" not in text
    assert not [word for word in ("000000", "horse", "unheard-of", person.device, person.code()) if word in text]
