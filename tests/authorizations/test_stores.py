"""What the tables of credentials, authenticators, devices and authorizations let in, count, spend and refuse."""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.authorizations.people import PEER, Person, stored_merchant, stretched
from tests.support.locks import until_someone_waits

from bitlinkpay.authorizations import setup, store
from bitlinkpay.authorizations.model import (
    FIRST_LOCK,
    FREE_TRIES,
    LIFE,
    LONGEST_LOCK,
    Action,
    Answered,
    AnswerSpent,
    Authorization,
    Credential,
    Device,
    DeviceNotFound,
    LockedOut,
    NotAuthorized,
    NotSetUp,
    UnknownDevice,
    UnlistedNetwork,
    WrongCode,
    WrongProof,
)
from bitlinkpay.core.errors import Conflict, Kind, Problem
from bitlinkpay.core.ids import MerchantId, new_uuid7
from bitlinkpay.core.mode import Mode
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants.model import Merchant

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def merchant(database: Database) -> Merchant:
    """Not set up at all."""
    return await stored_merchant(database)


# --- the payment password


async def test_failures_are_counted_one_by_one_and_forgotten_by_a_right_try_or_a_new_password(
    database: Database, merchant: Merchant
) -> None:
    who, other, until = merchant.merchant_id, (await stored_merchant(database)).merchant_id, NOW + FIRST_LOCK
    first, second = stretched(), stretched("another battery staple")
    async with database.transaction() as tx:
        assert await store.find_credential(tx, who) is await store.lock_credential(tx, who) is None
        for one in (who, other):
            await store.save_password(tx, one, first, NOW)
        assert await store.lock_credential(tx, who) == Credential(first, 0, None)
        await store.count_failure(tx, who, None)
        await store.count_failure(tx, who, until)
        assert await store.find_credential(tx, who) == Credential(first, 2, until)
        assert await store.find_credential(tx, other) == Credential(first, 0, None)
        await store.forget_failures(tx, who)
        assert await store.find_credential(tx, who) == Credential(first, 0, None)
        await store.count_failure(tx, who, until)
        await store.save_password(tx, who, second, NOW)
        assert await store.find_credential(tx, who) == Credential(second, 0, None)


@pytest.mark.parametrize(
    "change", ["password_hash = 'correct horse battery'", "password_hash = '$argon2i$v=19$x'", "failures = -1"]
)
async def test_the_table_keeps_no_password_in_clear_and_no_negative_count(person: Person, change: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        async with person.database.transaction() as tx:
            await tx.execute(f"update payment_credentials set {change}")


@given(st.integers(0, 10**9))
def test_a_pause_never_gets_shorter_with_more_failures_nor_longer_than_a_day(failures: int) -> None:
    pauses = [Credential("$argon2id$", failures + more).lock_after(NOW) or NOW for more in (0, 1)]
    assert NOW <= pauses[0] <= pauses[1] <= NOW + LONGEST_LOCK
    assert (pauses[0] > NOW) == (failures + 1 >= FREE_TRIES)


# --- makers of codes


async def test_one_authenticator_waits_and_one_counts(database: Database, merchant: Merchant) -> None:
    who, ids = merchant.merchant_id, [UUID(int=number) for number in range(1, 4)]
    async with database.transaction() as tx:
        assert await store.find_authenticator(tx, who) is await store.lock_pending_authenticator(tx, who) is None
        await store.insert_authenticator(tx, who, ids[0], b"first", NOW)
        await store.insert_authenticator(tx, who, ids[1], b"second", NOW)
        assert await store.lock_pending_authenticator(tx, who) == (ids[1], b"second")
        assert await store.find_authenticator(tx, who) is None, "it counts once it is confirmed"
        await store.confirm_authenticator(tx, who, ids[1], 100, NOW)
        assert await store.find_authenticator(tx, who) == (ids[1], b"second")
        assert await store.lock_pending_authenticator(tx, who) is None
        await store.insert_authenticator(tx, who, ids[2], b"third", NOW)
        assert await store.find_authenticator(tx, who) == (ids[1], b"second"), "the old one goes on"
        await store.confirm_authenticator(tx, who, ids[2], 7, NOW)
        assert await store.find_authenticator(tx, who) == (ids[2], b"third")
        ended = await tx.fetch("select authenticator_id, ended_at from authenticators order by authenticator_id")
    assert [tuple(row) for row in ended] == [(ids[0], NOW), (ids[1], NOW), (ids[2], None)]


async def test_the_table_holds_one_of_each_whatever_the_code_does(database: Database, merchant: Merchant) -> None:
    insert = "insert into authenticators (authenticator_id, merchant_id, sealed, created_at, confirmed_at) values ($1, $2, '', $3, $4)"
    for confirmed_at in (None, NOW):
        with pytest.raises(asyncpg.UniqueViolationError):
            async with database.transaction() as tx:
                for _ in range(2):
                    await tx.execute(insert, new_uuid7(), merchant.merchant_id, NOW, confirmed_at)


@pytest.mark.parametrize(("step", "is_new"), [(99, False), (100, False), (101, True), (2**40, True)])
async def test_WEB_02_a_step_counts_if_no_later_one_was_seen(
    database: Database, merchant: Merchant, step: int, *, is_new: bool
) -> None:
    one, other = UUID(int=1), UUID(int=2)
    async with database.transaction() as tx:
        await store.insert_authenticator(tx, merchant.merchant_id, one, b"", NOW)
        await store.confirm_authenticator(tx, merchant.merchant_id, one, 100, NOW)
        assert await store.spend_step(tx, one, step) == is_new
        assert not await store.spend_step(tx, one, step), "once"
        assert not await store.spend_step(tx, other, step), "of an authenticator that exists"


async def test_WEB_02_one_step_is_spent_by_one_of_many(person: Person) -> None:
    async with person.database.reader() as tx:
        found = await store.find_authenticator(tx, person.merchant.merchant_id)
    assert found is not None
    step = 2**40
    spent = await asyncio.gather(
        *(person.database.unit(lambda tx: store.spend_step(tx, found[0], step)) for _ in range(12))
    )
    assert spent.count(True) == 1


# --- devices


async def test_a_device_is_confirmed_and_ended_at_the_first_time_and_stays_ended(
    database: Database, merchant: Merchant
) -> None:
    who, later = merchant.merchant_id, NOW + timedelta(hours=1)
    device = Device(UUID(int=1), who, "office", NOW)
    async with database.transaction() as tx:
        await store.insert_device(tx, device, bytes(32))
        assert await store.find_device(tx, who, bytes(32)) == device
        assert not device.is_known
        for now in (NOW, later):
            assert await store.confirm_device(tx, who, device.device_id, now)
        confirmed = replace(device, confirmed_at=NOW)
        assert await store.find_device(tx, who, bytes(32)) == confirmed
        assert confirmed.is_known
        for now in (later, later + timedelta(hours=1)):
            assert await store.end_device(tx, who, device.device_id, now)
        ended = replace(confirmed, ended_at=later)
        assert await store.list_devices(tx, who) == [ended]
        assert not ended.is_known
        assert not await store.confirm_device(tx, who, device.device_id, later)
        stranger = MerchantId(new_uuid7())
        assert await store.find_device(tx, stranger, bytes(32)) is None
        assert await store.list_devices(tx, stranger) == []
        assert not await store.end_device(tx, stranger, device.device_id, NOW)


async def test_one_token_is_one_device_of_a_merchant(database: Database, merchant: Merchant) -> None:
    other = await stored_merchant(database)
    async with database.transaction() as tx:
        for number, who in enumerate((merchant.merchant_id, other.merchant_id)):
            await store.insert_device(tx, Device(UUID(int=number), who, "office", NOW), bytes(32))
    for fingerprint, refusal in ((bytes(32), asyncpg.UniqueViolationError), (bytes(31), asyncpg.CheckViolationError)):
        with pytest.raises(refusal):
            async with database.transaction() as tx:
                await store.insert_device(tx, Device(UUID(int=9), merchant.merchant_id, "office", NOW), fingerprint)


# --- authorizations

PAY = Action(MerchantId(UUID(int=1)), "settlement.request", ("usdt-tron", "T1", "12"))


def authorization(merchant: Merchant, number: int = 1, *, mark: str = "1") -> Authorization:
    action = replace(PAY, merchant_id=merchant.merchant_id)
    answered = Answered(UUID(int=7), mark)
    return Authorization(
        authorization_id=UUID(int=number),
        merchant_id=merchant.merchant_id,
        action=action.name,
        digest=action.digest,
        answered=answered,
        device_id=UUID(int=8),
        peer=PEER,
        given_at=NOW,
        expires_at=NOW + LIFE,
    )


async def test_an_authorization_comes_back_by_its_answer_as_it_was_given(
    database: Database, merchant: Merchant
) -> None:
    given = authorization(merchant)
    async with database.transaction() as tx:
        await store.insert(tx, given)
        assert await store.find_by_answer(tx, given.answered) == given
        for other in (replace(given.answered, mark="2"), replace(given.answered, factor_id=UUID(int=9))):
            assert await store.find_by_answer(tx, other) is None
        assert await store.use(tx, given.authorization_id, replace(PAY, merchant_id=merchant.merchant_id), NOW)
        assert await store.find_by_answer(tx, given.answered) == replace(given, used_at=NOW)


async def test_WEB_02_one_answer_gives_one_authorization_whatever_the_code_does(
    database: Database, merchant: Merchant
) -> None:
    async with database.transaction() as tx:
        await store.insert(tx, authorization(merchant))
        await store.insert(tx, authorization(merchant, 2, mark="2"))
    with pytest.raises(asyncpg.UniqueViolationError, match="authorizations_one_per_answer"):
        async with database.transaction() as tx:
            await store.insert(tx, authorization(merchant, 3))


async def test_WEB_17_each_word_of_an_authorization_decides_whether_it_can_be_used(
    database: Database, merchant: Merchant
) -> None:
    given = authorization(merchant)
    action = replace(PAY, merchant_id=merchant.merchant_id)
    async with database.transaction() as tx:
        await store.insert(tx, given)
        for wrong, now in (
            (replace(action, merchant_id=MerchantId(UUID(int=3))), NOW),
            (replace(action, name="settlement.bind_address"), NOW),
            (replace(action, fields=("usdt-tron", "T1", "13")), NOW),
            (replace(action, fields=("usdt-tron", "T2", "12")), NOW),
            (action, NOW + LIFE),
            (action, NOW + timedelta(days=9)),
        ):
            assert not await store.use(tx, given.authorization_id, wrong, now)
            assert given.still_allows(wrong, now) is False
        assert not await store.use(tx, UUID(int=99), action, NOW)
        assert await store.use(tx, given.authorization_id, action, NOW + LIFE - timedelta(microseconds=1))
        assert not await store.use(tx, given.authorization_id, action, NOW)


# --- refusals

UNTIL = datetime(2026, 3, 1, 12, 15, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("problem", "code", "kind", "words"),
    [
        (UnlistedNetwork(), "authorization.unlisted_network", Kind.FORBIDDEN, "have the platform list your network"),
        (UnknownDevice(), "authorization.unknown_device", Kind.FORBIDDEN, "confirm it first, then ask again"),
        (WrongProof(4), "authorization.wrong_proof", Kind.FORBIDDEN, "is wrong; 4 more tries before a pause"),
        (WrongProof(0), "authorization.wrong_proof", Kind.FORBIDDEN, "is wrong; tries are paused now"),
        (WrongProof(-7), "authorization.wrong_proof", Kind.FORBIDDEN, "is wrong; tries are paused now"),
        (LockedOut(UNTIL), "authorization.locked_out", Kind.LIMITED, "wait until 2026-03-01T12:15+00:00, or have"),
        (AnswerSpent(), "authorization.answer_spent", Kind.CONFLICT, "was used already; wait for the next one"),
        (NotAuthorized(), "authorization.missing", Kind.FORBIDDEN, "ask again with password and code"),
        (NotSetUp(), "authorization.not_set_up", Kind.CONFLICT, "set a payment password and confirm an authenticator"),
        (DeviceNotFound(), "authorization.device_not_found", Kind.NOT_FOUND, "see `bitlinkpay merchant devices`"),
        (WrongCode(), "authorization.wrong_code", Kind.INVALID, "check its clock"),
    ],
)
def test_a_refusal_has_its_code_and_says_what_to_do(problem: Problem, code: str, kind: Kind, words: str) -> None:
    assert (problem.code, problem.kind) == (code, kind)
    assert words in problem.message


async def test_the_checks_are_made_in_one_order_and_the_first_that_fails_is_told(person: Person) -> None:
    """Network before device before proof: who is outside learns nothing of what lies behind."""
    listed = replace(person.merchant, payout_networks=("203.0.113.0/24",))
    wrong = {"peer": "192.0.2.1", "device": "stolen", "password": "wrong horse battery", "answer": "000000"}
    for mended, refusal in (
        ((), UnlistedNetwork),
        (("peer",), UnknownDevice),
        (("peer", "device"), WrongProof),
        (("peer", "device", "password"), WrongProof),
        (("peer", "device", "answer"), WrongProof),
    ):
        shown = person.shown(**{name: value for name, value in wrong.items() if name not in mended})
        with pytest.raises(refusal):
            await person.checks.authorize(listed, person.action("1"), shown)
    async with person.database.reader() as tx:
        found = await store.find_credential(tx, person.merchant.merchant_id)
        assert found is not None
        assert found.failures == 3, "what network and device refused was not counted"
        assert await tx.fetchval("select count(*) from authorizations") == 0


async def test_what_is_refused_is_in_the_security_log_with_merchant_and_peer(
    person: Person, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "bitlinkpay.security")
    live = person.checks_of(person.database, Mode.LIVE)
    for checks, changed in ((live, {}), (person.checks, {"device": "x"}), (person.checks, {"answer": "000000"})):
        with pytest.raises(Problem):
            await checks.authorize(person.merchant, person.action("1"), person.shown(**changed))
    who = f"merchant={person.merchant.broker} peer='{PEER}'"
    assert [record.getMessage() for record in caplog.records if record.name == "bitlinkpay.security"] == [
        f"authorization.unlisted_network: {who}",
        f"authorization.unknown_device: {who}",
        f"authorization.wrong_proof: {who}",
    ]


# --- history


async def test_the_history_is_numbered_without_gaps_by_many_who_write_at_once(person: Person) -> None:
    who, now = person.merchant.merchant_id, person.wall.now()

    async def rename(number: int) -> None:
        await person.database.unit(
            lambda tx: setup.introduce_device(tx, who, f"device {number}", by=f"hand {number}", now=now)
        )

    async with person.database.reader() as tx:
        before = len(await store.list_events(tx, who))
    await asyncio.gather(*(rename(number) for number in range(10)))
    async with person.database.reader() as tx:
        events = await store.list_events(tx, who)
        numbers = await tx.fetch("select seq from security_events where merchant_id = $1 order by seq", who)
    assert [row["seq"] for row in numbers] == list(range(1, before + 11))
    assert {cause for _, cause, _ in events[before:]} == {f"hand {number}" for number in range(10)}
    assert {(event, at) for event, _, at in events[before:]} == {("device_introduced", now)}


async def test_two_who_introduce_the_last_device_at_once_stay_within_the_bound(person: Person) -> None:
    """The second one counts when the first is done, not while it is under way."""
    who, now = person.merchant.merchant_id, person.wall.now()

    async def introduce(tx: Tx) -> setup.Introduced:
        return await setup.introduce_device(tx, who, "one more", by="operator", now=now)

    for _ in range(setup.MOST_DEVICES - 2):
        await person.database.unit(introduce)
    async with person.database.transaction() as first:
        await introduce(first)
        second = asyncio.create_task(person.database.unit(introduce))
        await until_someone_waits(person.database)
    with pytest.raises(Conflict, match="the merchant has 50 devices; end one first"):
        await second
    async with person.database.reader() as tx:
        held = [device for device in await store.list_devices(tx, who) if device.ended_at is None]
    assert len(held) == setup.MOST_DEVICES
