"""Payment password, authenticator and devices: changed by who may, noted, told, sealed."""

import asyncio
from dataclasses import replace

import pytest
from tests.authorizations.people import PASSWORD, Person, key_of, stored_merchant, stretched
from tests.support.sealing import SEALER

from bitlinkpay.authorizations import onetime, setup, store
from bitlinkpay.authorizations.factors import OneTimeCodes
from bitlinkpay.authorizations.model import AnswerSpent, DeviceNotFound, WrongCode, WrongProof
from bitlinkpay.authorizations.service import fingerprint
from bitlinkpay.core.errors import Conflict, Invalid
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.core.sealing import Unsealable
from bitlinkpay.db.pool import Database


async def replace_authenticator(person: Person) -> bytes:
    """Show a new authenticator, not confirmed yet."""
    now = person.wall.now()
    uri = await person.database.unit(
        lambda tx: setup.show_authenticator(tx, SEALER, person.merchant, issuer="Pay", by="operator", now=now)
    )
    return key_of(uri)


async def confirm(person: Person, code: str) -> None:
    merchant_id, now = person.merchant.merchant_id, person.wall.now()
    await person.database.unit(
        lambda tx: setup.confirm_authenticator(tx, SEALER, merchant_id, code, by="operator", now=now)
    )


async def test_a_new_authenticator_counts_once_a_code_of_it_was_seen(person: Person) -> None:
    new = await replace_authenticator(person)
    await person.authorize("1")  # the old one goes on
    for wrong in ("000000", person.code()):
        with pytest.raises(WrongCode):
            await confirm(person, wrong)
    code = onetime.code_at(new, onetime.step_of(person.wall.now()))
    await confirm(person, code)
    with pytest.raises(WrongProof):
        await person.authorize("2", answer=person.code(1))  # of the old one
    person.key = new
    with pytest.raises(AnswerSpent):  # the code that confirmed it is spent
        await person.authorize("2", answer=code)
    await person.authorize("2", answer=person.code(1))
    with pytest.raises(WrongCode):
        await confirm(person, person.code(1))  # nothing waits any more


async def test_what_was_shown_last_is_what_can_be_confirmed(person: Person) -> None:
    first = await replace_authenticator(person)
    second = await replace_authenticator(person)
    step = onetime.step_of(person.wall.now())
    with pytest.raises(WrongCode):
        await confirm(person, onetime.code_at(first, step))
    await confirm(person, onetime.code_at(second, step))


async def test_a_new_password_ends_the_old_one_and_a_pause(person: Person) -> None:
    for _ in range(5):
        with pytest.raises(WrongProof):
            await person.authorize("1", answer="000000")
    fresh = stretched("another battery staple")
    merchant_id, now = person.merchant.merchant_id, person.wall.now()
    await person.database.unit(lambda tx: setup.set_password(tx, merchant_id, fresh, by="operator", now=now))
    with pytest.raises(WrongProof):
        await person.authorize("1", password=PASSWORD)
    await person.authorize("1", password="another battery staple")


async def test_every_change_is_noted_and_told_without_its_secret(person: Person) -> None:
    async with person.database.reader() as tx:
        noted = await store.list_events(tx, person.merchant.merchant_id)
        told = await tx.fetch("select payload, merchant_id from outbox where kind = 'merchant.security_changed'")
    changes = [
        "password_set", "authenticator_shown", "authenticator_confirmed", "device_introduced", "device_confirmed",
    ]  # fmt: skip
    assert [(event, cause) for event, cause, _ in noted] == [(change, "operator") for change in changes]
    assert [row["payload"] for row in told] == [{"change": change} for change in changes]
    assert {row["merchant_id"] for row in told} == {person.merchant.merchant_id}


async def test_the_database_holds_no_secret_in_clear(person: Person) -> None:
    tables = ("payment_credentials", "authenticators", "payment_devices", "authorizations", "security_events", "outbox")
    await person.authorize("1")
    async with person.database.reader() as tx:
        dump = [str([tuple(row) for row in await tx.fetch(f"select * from {table}")]) for table in tables]  # type: ignore[arg-type]
    text = " ".join(dump)
    for secret in (PASSWORD, person.device, person.key.hex(), repr(person.key)[2:-1]):
        assert secret not in text


async def test_a_sealed_key_moved_to_another_merchant_opens_nothing(database: Database, person: Person) -> None:
    other = await stored_merchant(database)
    async with database.transaction() as tx:
        await setup.set_password(tx, other.merchant_id, stretched(), by="o", now=person.wall.now())
        await tx.execute("update authenticators set merchant_id = $1", other.merchant_id)
    thief = replace(person, merchant=other, device="")
    async with database.transaction() as tx:
        with pytest.raises(Unsealable):
            await OneTimeCodes(SEALER).check(tx, thief.action("1"), person.code(), person.wall.now())


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "a\nb", "\u202ereversed"])
async def test_a_device_has_a_name_that_can_be_read(person: Person, name: str) -> None:
    with pytest.raises(Invalid):
        await person.database.unit(
            lambda tx: setup.introduce_device(
                tx, person.merchant.merchant_id, name, by="operator", now=person.wall.now()
            )
        )


async def test_devices_are_bounded_and_ended_ones_make_room(person: Person) -> None:
    merchant_id, now = person.merchant.merchant_id, person.wall.now()

    async def more(tx) -> setup.Introduced:
        return await setup.introduce_device(tx, merchant_id, "one more", by="operator", now=now)

    introduced = [await person.database.unit(more) for _ in range(setup.MOST_DEVICES - 1)]
    assert len({one.token for one in introduced}) == len(introduced)
    with pytest.raises(Conflict, match="end one first"):
        await person.database.unit(more)
    ended = introduced[0].device.device_id
    await person.database.unit(lambda tx: setup.end_device(tx, merchant_id, ended, by="operator", now=now))
    await person.database.unit(more)
    with pytest.raises(DeviceNotFound):  # ended is ended
        await person.database.unit(lambda tx: setup.confirm_device(tx, merchant_id, ended, by="operator", now=now))


async def test_another_merchants_device_cannot_be_confirmed_or_ended(database: Database, person: Person) -> None:
    other = await stored_merchant(database)
    async with database.reader() as tx:
        (device,) = await store.list_devices(tx, person.merchant.merchant_id)
    for change in (setup.confirm_device, setup.end_device):
        for device_id in (device.device_id, new_uuid7()):
            with pytest.raises(DeviceNotFound):
                await database.unit(
                    lambda tx, change=change, device_id=device_id: change(
                        tx, other.merchant_id, device_id, by="operator", now=person.wall.now()
                    )
                )
    await person.authorize("1")


async def test_two_who_confirm_at_once_leave_one_authenticator(person: Person) -> None:
    new = await replace_authenticator(person)
    step = onetime.step_of(person.wall.now())
    done = await asyncio.gather(
        *(confirm(person, onetime.code_at(new, step + off)) for off in (-1, 0, 1)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in done) == ["NoneType", "WrongCode", "WrongCode"]
    async with person.database.reader() as tx:
        live = await tx.fetchval(
            "select count(*) from authenticators where confirmed_at is not null and ended_at is null"
        )
    assert live == 1


async def test_two_who_ask_for_a_new_authenticator_at_once_leave_one_to_confirm(person: Person) -> None:
    shown = await asyncio.gather(*(replace_authenticator(person) for _ in range(4)), return_exceptions=True)
    keys = [key for key in shown if isinstance(key, bytes)]
    assert keys
    step, counted = onetime.step_of(person.wall.now()), 0
    for key in keys:
        try:
            await confirm(person, onetime.code_at(key, step))
        except WrongCode:
            continue
        counted += 1
    assert counted == 1


async def test_a_token_is_as_good_as_a_key(person: Person) -> None:
    now = person.wall.now()
    made = [
        await person.database.unit(
            lambda tx: setup.introduce_device(tx, person.merchant.merchant_id, "office", by="operator", now=now)
        )
        for _ in range(3)
    ]
    assert len({one.token for one in made}) == 3
    assert all(len(one.token) >= 43 for one in made), "256 bits"
    assert made[0].token not in repr(made[0])
    async with person.database.reader() as tx:
        assert await store.find_device(tx, person.merchant.merchant_id, fingerprint(made[0].token)) == made[0].device
        assert await store.find_device(tx, person.merchant.merchant_id, fingerprint(made[0].token + "x")) is None
