"""What happens between two looks: a password changed while one is stretched, a pause that begins, an answer lost at COMMIT."""

import asyncio
from datetime import timedelta

import pytest
from tests.authorizations.people import PASSWORD, Person, stretched
from tests.flows.faults import Crash, FaultyDatabase, Fuse

from bitlinkpay.authorizations import passwords, setup, store
from bitlinkpay.authorizations.model import Authorization, LockedOut, NotSetUp, WrongProof

OTHER = "another battery staple"


async def change_password(person: Person, password: str) -> None:
    merchant_id, now = person.merchant.merchant_id, person.wall.now()
    await person.database.unit(
        lambda tx: setup.set_password(tx, merchant_id, stretched(password), by="operator", now=now)
    )


async def credential(person: Person):
    async with person.database.reader() as tx:
        return await store.find_credential(tx, person.merchant.merchant_id)


async def test_a_password_that_was_changed_meanwhile_lets_nobody_in(person: Person) -> None:
    """The old one was right when it was stretched, and is not any more when the try is judged."""
    tried = await person.checks._try_password(person.merchant, person.shown())
    assert tried.is_right
    await change_password(person, OTHER)
    person.checks._try_password = lambda *_: _ready(tried)  # type: ignore[method-assign]
    with pytest.raises(NotSetUp):
        await person.authorize("1")
    del person.checks._try_password
    await person.authorize("1", password=OTHER)


async def _ready(value):
    return value


async def test_a_pause_that_begins_while_a_right_password_is_stretched_refuses_it_too(person: Person) -> None:
    tried = await person.checks._try_password(person.merchant, person.shown())
    for _ in range(5):
        with pytest.raises(WrongProof):
            await person.authorize("1", answer="000000")
    person.checks._try_password = lambda *_: _ready(tried)  # type: ignore[method-assign]
    with pytest.raises(LockedOut):
        await person.authorize("1")


async def test_nobody_waits_for_stretching_in_a_pause(person: Person) -> None:
    for _ in range(5):
        with pytest.raises(WrongProof):
            await person.authorize("1", answer="000000")
    assert not (await person.checks._try_password(person.merchant, person.shown())).is_right


async def test_wrong_tries_of_two_servers_are_counted_together(person: Person) -> None:
    checks = [person.checks_of(person.database) for _ in range(4)]
    tries = [one.authorize(person.merchant, person.action("1"), person.shown(answer="000000")) for one in checks]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert {type(one) for one in done} == {WrongProof}
    assert (await credential(person)).failures == 4


async def test_a_death_at_any_step_leaves_an_authorization_or_a_code_that_is_still_good(person: Person) -> None:
    for at in range(1, 40):
        fuse = Fuse(at)
        dying = person.checks_of(FaultyDatabase(person.database, fuse))  # type: ignore[arg-type]
        try:
            given = await dying.authorize(person.merchant, person.action("1"), person.shown())
        except Crash:
            given = await person.authorize("1")  # the same code again, at another server
        assert isinstance(given, Authorization)
        await person.use(given, "1")
        assert (await credential(person)).failures == 0
        person.wall.advance(timedelta(seconds=30))
    assert not fuse.has_blown, "every step was tried"


async def test_a_wrong_try_counts_even_if_the_answer_is_lost(person: Person) -> None:
    for at in range(1, 40):
        fuse = Fuse(at)
        dying = person.checks_of(FaultyDatabase(person.database, fuse))  # type: ignore[arg-type]
        before = (await credential(person)).failures
        try:
            await dying.authorize(person.merchant, person.action("1"), person.shown(answer="000000"))
        except Crash:
            assert (await credential(person)).failures in {before, before + 1}
        except WrongProof:
            assert not fuse.has_blown
            assert (await credential(person)).failures == before + 1
        person.wall.advance(timedelta(hours=24))
    assert passwords.is_right(PASSWORD, (await credential(person)).password_hash)
