"""What may be done to a merchant, on a real database."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
from cryptography import x509
from standardwebhooks import Webhook
from tests.merchants.conftest import NOW
from tests.support.sealing import SEALER

from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.ids import MerchantId, new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants import service, store
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.merchants.model import (
    CertificateNotFound,
    Merchant,
    MerchantConflict,
    MerchantEvent,
    MerchantNotFound,
    MerchantState,
    Policy,
    TooMany,
    WebhookSecret,
)
from bitlinkpay.merchants.service import Created

LATER = NOW + timedelta(hours=1)
E = MerchantEvent


async def events_of(database: Database, merchant_id: MerchantId) -> list[MerchantEvent]:
    async with database.reader() as tx:
        notes = await service.list_events(tx, merchant_id)
    assert [note.seq for note in notes] == list(range(1, len(notes) + 1))
    return [note.event for note in notes]


async def test_create_gives_everything_an_sdk_needs(database: Database, authority: Authority, created: Created) -> None:
    merchant = created.merchant
    assert merchant.state is MerchantState.ACTIVE
    assert len(merchant.broker) == 16
    assert (merchant.fee_ppm, merchant.pricing_currency, merchant.order_life) == (3000, "CNY", timedelta(minutes=30))
    assert created.credentials.ca_pem == authority.ca_pem
    assert created.credentials.public_key_pem == authority.public_key_pem
    subject = x509.load_pem_x509_certificate(created.credentials.certificate_pem).subject.rfc4514_string()
    assert merchant.broker in subject
    Webhook(created.webhook_secret)
    async with database.reader() as tx:
        assert await service.get(tx, merchant.merchant_id) == merchant
        assert await service.find_by_broker(tx, merchant.broker) == merchant
        assert await service.webhook_secrets(tx, [merchant.merchant_id], sealer=SEALER) == {
            merchant.merchant_id: [created.webhook_secret]
        }
    assert await events_of(database, merchant.merchant_id) == [E.CREATED, E.CERTIFICATE_ISSUED]


async def test_nothing_secret_is_kept_or_shown(database: Database, created: Created) -> None:
    assert created.webhook_secret not in repr(created)
    assert "PRIVATE KEY" not in repr(created)
    async with database.reader() as tx:
        tables = ("merchants", "merchant_certificates", "merchant_webhook_secrets", "merchant_events")
        text = "".join([str(await tx.fetch(f"select t::text from {table} t")) for table in tables])
        notes = str(await service.list_events(tx, created.merchant.merchant_id))
    assert "PRIVATE KEY" not in text
    assert created.webhook_secret not in notes


async def test_bad_terms_make_no_merchant(database: Database, authority: Authority) -> None:
    with pytest.raises(Invalid) as caught:
        async with database.transaction() as tx:
            await service.create(tx, authority, SEALER, "Tea", now=NOW, pricing_currency="cny")
    assert caught.value.param == "pricing_currency"
    async with database.reader() as tx:
        assert await service.list_merchants(tx) == []


async def test_unknown_merchants(database: Database) -> None:
    async with database.transaction() as tx:
        assert await service.find_by_broker(tx, "nobody") is None
        with pytest.raises(MerchantNotFound):
            await service.get(tx, MerchantId(new_uuid7()))
        with pytest.raises(MerchantNotFound):
            await service.suspend(tx, MerchantId(new_uuid7()), now=NOW)


async def test_pages_follow_creation(database: Database, authority: Authority) -> None:
    async with database.transaction() as tx:
        made = [(await service.create(tx, authority, SEALER, f"M{n}", now=NOW)).merchant for n in range(3)]
        assert await service.list_merchants(tx) == made
        assert await service.list_merchants(tx, limit=2) == made[:2]
        assert await service.list_merchants(tx, after=made[0].merchant_id) == made[1:]


async def test_every_term_survives_the_database(database: Database, created: Created) -> None:
    wanted = replace(
        created.merchant,
        name="茶館",
        pricing_currency="USD",
        callback_url="https://other.example/x?y=1",
        callback_statuses=(8, 12, 16, 20),
        fee_ppm=2500,
        policy=Policy(
            1000, {"usdt-tron": 10_000, "eth-ethereum": 10**15}, is_summing=True, accepts_late=True, accepts_over=True
        ),
        order_life=timedelta(minutes=45),
        return_hosts=("shop.example",),
        lang="zh_Hant",
        support="@tea",
        accent="#0b57d0",
        allowed_assets=("usdt-tron",),
        rate_per_minute=60_000,
    )
    async with database.transaction() as tx:
        assert await service.change(tx, wanted.merchant_id, lambda _: wanted, now=LATER, cause="test") == wanted
    async with database.reader() as tx:
        assert await service.get(tx, wanted.merchant_id) == wanted
        note = (await service.list_events(tx, wanted.merchant_id))[-1]
    assert (note.event, note.cause, note.at, note.from_state, note.to_state) == (
        E.CHANGED,
        "test",
        LATER,
        "active",
        "active",
    )
    assert note.detail["fee_ppm"] == {"from": 3000, "to": 2500}
    assert set(note.detail) == {
        "name", "pricing_currency", "callback_url", "callback_statuses", "fee_ppm", "policy", "order_life",
        "return_hosts", "lang", "support", "accent", "allowed_assets", "rate_per_minute",
    }  # fmt: skip


def with_policy(policy: Policy) -> Callable[[Merchant], Merchant]:
    return lambda merchant: replace(merchant, policy=policy)


async def test_fee_and_policy(database: Database, created: Created) -> None:
    key = created.merchant.merchant_id
    async with database.transaction() as tx:
        assert (await service.set_fee(tx, key, 0, now=LATER)).fee_ppm == 0
        assert (await service.change(tx, key, with_policy(Policy(accepts_late=True)), now=LATER)).policy.accepts_late
        with pytest.raises(Invalid):
            await service.set_fee(tx, key, -1, now=LATER)
        with pytest.raises(Invalid):
            await service.change(tx, key, with_policy(Policy(tolerance_ppm=10**6)), now=LATER)
    assert (await events_of(database, key))[2:] == [E.CHANGED, E.CHANGED]


async def test_no_change_writes_no_history(database: Database, created: Created) -> None:
    async with database.transaction() as tx:
        await service.set_fee(tx, created.merchant.merchant_id, 3000, now=LATER)
    assert E.CHANGED not in await events_of(database, created.merchant.merchant_id)


@pytest.mark.parametrize(
    "edit",
    [
        lambda m: replace(m, state=MerchantState.REVOKED),
        lambda m: replace(m, broker="other"),
        lambda m: replace(m, merchant_id=MerchantId(new_uuid7())),
        lambda m: replace(m, created_at=LATER),
    ],
)
async def test_what_is_not_a_term_is_not_changed_so(
    database: Database, created: Created, edit: Callable[[Merchant], Merchant]
) -> None:
    with pytest.raises(Invalid, match="not terms"):
        async with database.transaction() as tx:
            await service.change(tx, created.merchant.merchant_id, edit, now=LATER)


async def test_suspend_resume_revoke(database: Database, created: Created) -> None:
    key = created.merchant.merchant_id
    async with database.transaction() as tx:
        assert (await service.suspend(tx, key, now=LATER, cause="review")).state is MerchantState.SUSPENDED
        with pytest.raises(MerchantConflict, match="suspended"):
            await service.suspend(tx, key, now=LATER)
        assert (await service.resume(tx, key, now=LATER)).state is MerchantState.ACTIVE
        with pytest.raises(MerchantConflict):
            await service.resume(tx, key, now=LATER)
        assert (await service.revoke(tx, key, now=LATER)).state is MerchantState.REVOKED
        assert all(held.revoked_at == LATER for held in await service.list_certificates(tx, key))
    async with database.transaction() as tx:
        with pytest.raises(MerchantConflict, match="revoked"):
            await service.set_fee(tx, key, 1, now=LATER)
        with pytest.raises(MerchantConflict):
            await service.rotate_webhook_secret(tx, SEALER, key, now=LATER)
    assert (await events_of(database, key))[2:] == [E.SUSPENDED, E.RESUMED, E.REVOKED]


async def test_history_is_never_changed(database: Database, created: Created) -> None:
    for statement in ("delete from merchant_events", "update merchant_events set cause = 'x'"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.transaction() as tx:
                await tx.execute(statement)


async def test_parallel_changes_keep_all_of_them(database: Database, created: Created) -> None:
    key = created.merchant.merchant_id

    async def add(host: str) -> None:
        async with database.transaction() as tx:
            await service.change(tx, key, lambda m: replace(m, return_hosts=(*m.return_hosts, host)), now=LATER)

    await asyncio.gather(*(add(f"h{n}.example") for n in range(8)))
    async with database.reader() as tx:
        assert set((await service.get(tx, key)).return_hosts) == {f"h{n}.example" for n in range(8)}
    assert len(await events_of(database, key)) == 10


async def test_several_certificates_are_valid_together(
    database: Database, authority: Authority, created: Created
) -> None:
    key = created.merchant.merchant_id
    async with database.transaction() as tx:
        second = await service.issue_certificate(tx, authority, key, now=NOW)
        for spki in (created.credentials.spki, second.spki):
            found = await store.find_by_spki(tx, spki)
            assert found is not None
            assert found[0].merchant_id == key
            assert found[1].is_valid(LATER)


async def test_certificates_are_limited(database: Database, authority: Authority, created: Created) -> None:
    key = created.merchant.merchant_id
    async with database.transaction() as tx:
        first = (await service.list_certificates(tx, key))[0]
        for n in range(service.MOST_CERTIFICATES - 1):
            await store.insert_certificate(tx, replace(first, spki=bytes([n]) * 32))
        with pytest.raises(TooMany, match="revoke one"):
            await service.issue_certificate(tx, authority, key, now=LATER)
        await service.revoke_certificate(tx, key, first.spki, now=NOW)
        await service.issue_certificate(tx, authority, key, now=LATER)


async def test_rotation_lets_the_old_certificate_end_later(
    database: Database, authority: Authority, created: Created
) -> None:
    key = created.merchant.merchant_id
    async with database.transaction() as tx:
        fresh = await service.rotate_certificates(tx, authority, key, now=NOW, overlap=timedelta(hours=2))
        held = {certificate.spki: certificate for certificate in await service.list_certificates(tx, key)}
    old, new = held[created.credentials.spki], held[fresh.spki]
    assert old.is_valid(LATER)
    assert not old.is_valid(NOW + timedelta(hours=2))
    assert new.is_valid(NOW + timedelta(days=1000))
    assert (await events_of(database, key))[2:] == [E.CERTIFICATE_REVOKED, E.CERTIFICATE_ISSUED]


async def test_a_planned_end_may_come_sooner_but_never_later(
    database: Database, authority: Authority, created: Created
) -> None:
    key, spki = created.merchant.merchant_id, created.credentials.spki
    async with database.transaction() as tx:
        await service.rotate_certificates(tx, authority, key, now=NOW, overlap=timedelta(hours=2))
        await service.revoke_certificate(tx, key, spki, now=LATER)
        with pytest.raises(CertificateNotFound):
            await service.revoke_certificate(tx, key, spki, now=NOW + timedelta(hours=9))
        held = {certificate.spki: certificate for certificate in await service.list_certificates(tx, key)}
    assert held[spki].revoked_at == LATER


async def test_API_31_another_merchants_certificate_reads_as_missing(
    database: Database, authority: Authority, created: Created
) -> None:
    async with database.transaction() as tx:
        other = await service.create(tx, authority, SEALER, "Coffee", now=NOW)
        words = []
        for spki in (created.credentials.spki, b"\x00" * 32):
            with pytest.raises(CertificateNotFound) as caught:
                await service.revoke_certificate(tx, other.merchant.merchant_id, spki, now=NOW)
            words.append(caught.value.message)
        assert words[0] == words[1]
        found = await store.find_by_spki(tx, created.credentials.spki)
        assert found is not None
        assert found[1].revoked_at is None


async def test_one_key_identifies_one_merchant(database: Database, authority: Authority, created: Created) -> None:
    async with database.transaction() as tx:
        other = await service.create(tx, authority, SEALER, "Coffee", now=NOW)
        held = (await service.list_certificates(tx, created.merchant.merchant_id))[0]
    with pytest.raises(asyncpg.UniqueViolationError):
        async with database.transaction() as tx:
            await store.insert_certificate(tx, replace(held, merchant_id=other.merchant.merchant_id))


async def test_WHK_12_during_a_rotation_both_secrets_sign(database: Database, created: Created) -> None:
    key = created.merchant.merchant_id
    async with database.transaction() as tx:
        fresh = await service.rotate_webhook_secret(tx, SEALER, key, now=NOW, overlap=timedelta(hours=24))
    async with database.reader() as tx:
        assert await service.webhook_secrets(tx, [key], sealer=SEALER) == {key: [fresh, created.webhook_secret]}
    assert (await events_of(database, key))[-1] is E.SECRET_ROTATED


async def test_WHK_12_after_the_overlap_only_the_new_secret_signs(database: Database, created: Created) -> None:
    key = created.merchant.merchant_id
    async with database.transaction() as tx:
        fresh = await service.rotate_webhook_secret(tx, SEALER, key, now=NOW, overlap=timedelta(hours=-1))
    async with database.reader() as tx:
        assert await service.webhook_secrets(tx, [key], sealer=SEALER) == {key: [fresh]}


async def test_secrets_are_limited_and_per_merchant(database: Database, authority: Authority, created: Created) -> None:
    key = created.merchant.merchant_id
    async with database.transaction() as tx:
        other = await service.create(tx, authority, SEALER, "Coffee", now=NOW)
        made = [await service.rotate_webhook_secret(tx, SEALER, key, now=NOW + timedelta(seconds=n)) for n in range(4)]
    async with database.transaction() as tx:
        both = await service.webhook_secrets(
            tx, [key, other.merchant.merchant_id, MerchantId(new_uuid7())], sealer=SEALER
        )
        assert both == {
            key: [*reversed(made), created.webhook_secret],
            other.merchant.merchant_id: [other.webhook_secret],
        }
        with pytest.raises(TooMany, match="5 webhook secrets"):
            await service.rotate_webhook_secret(tx, SEALER, key, now=NOW)


async def test_the_database_refuses_rows_that_make_no_sense(database: Database, created: Created) -> None:
    key = created.merchant.merchant_id
    for change in (
        "fee_ppm = -1", "fee_ppm = 200001", "state = 'gone'", "callback_statuses = '{0}'", "order_life = '1 second'",
        "pricing_currency = 'x'", "accent = 'red'", "name = ''", "broker = 'A B'", "rate_per_minute = 0",
    ):  # fmt: skip
        with pytest.raises(asyncpg.CheckViolationError):
            async with database.transaction() as tx:
                await tx.execute(f"update merchants set {change} where merchant_id = $1", key)
    with pytest.raises(asyncpg.UniqueViolationError):
        async with database.transaction() as tx:
            await store.insert_secret(tx, key, WebhookSecret(bytes([1]), NOW, None))


async def test_a_stale_state_is_not_written(database: Database, created: Created) -> None:
    async with database.transaction() as tx:
        assert not await store.update(tx, created.merchant, was=MerchantState.SUSPENDED)
        assert await store.update(tx, created.merchant, was=MerchantState.ACTIVE)
