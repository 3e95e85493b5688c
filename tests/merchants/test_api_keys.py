"""Keys of the REST API: who may have which, what is written of them, and how long an answer about them may be old."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.merchants.conftest import NOW
from tests.support.sealing import SEALER

from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.ids import ApiKeyId, MerchantId, new_uuid7, show_id
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.merchants import service as merchants
from bitlinkpay.merchants import store as merchants_store
from bitlinkpay.merchants.api_keys import service, store
from bitlinkpay.merchants.api_keys.directory import ApiKeys
from bitlinkpay.merchants.api_keys.model import (
    Algorithm,
    ApiKeyNotFound,
    Scope,
    TooManyApiKeys,
    check_terms,
    is_within,
)
from bitlinkpay.merchants.api_keys.service import Created, Terms
from bitlinkpay.merchants.model import Merchant, MerchantConflict, MerchantEvent, MerchantNotFound
from bitlinkpay.merchants.shelf import LIFE_S

TERMS = Terms("till", frozenset({Scope.PAYIN, Scope.READ}), ("10.0.0.0/8",))


@pytest.fixture
async def owner(database: Database, some_merchant) -> Merchant:
    merchant = some_merchant(broker="teahouse")
    async with database.transaction() as tx:
        await merchants_store.insert(tx, merchant)
    return merchant


@pytest.fixture
async def tx(database: Database) -> AsyncIterator[Tx]:
    async with database.transaction() as found:
        yield found


async def make(tx: Tx, owner: Merchant, terms: Terms = TERMS) -> Created:
    return await service.create_hmac(tx, SEALER, owner.merchant_id, terms, now=NOW)


async def test_a_key_is_stored_as_it_was_made(tx: Tx, owner: Merchant) -> None:
    made = await make(tx, owner)
    assert (await store.find_keys(tx, [made.key.key_id]))[0] == made.key
    assert service.secret_of(SEALER, made.key) == made.secret
    assert len(made.secret) == 43
    assert made.secret not in repr(made)
    public = bytes(range(32))
    other = await service.create_ed25519(tx, public, owner.merchant_id, TERMS, now=NOW)
    assert (other.secret, other.key.material, other.key.algorithm) == ("", public, Algorithm.ED25519)
    assert list(await service.list_keys(tx, owner.merchant_id)) == [made.key, other.key]


async def test_every_change_is_in_the_merchants_history(tx: Tx, owner: Merchant) -> None:
    made = await make(tx, owner)
    await service.revoke(tx, owner.merchant_id, made.key.key_id, now=NOW, cause="lost")
    created, revoked = await merchants.list_events(tx, owner.merchant_id)
    key_id = show_id("key", made.key.key_id)
    assert (created.event, created.cause) == (MerchantEvent.API_KEY_CREATED, "operator")
    assert created.detail == {
        "key_id": key_id,
        "algorithm": "hmac-sha256",
        "scopes": ["payin", "read"],
        "networks": ["10.0.0.0/8"],
    }
    assert (revoked.event, revoked.cause, revoked.detail) == (
        MerchantEvent.API_KEY_REVOKED,
        "lost",
        {"key_id": key_id},
    )
    assert made.secret not in repr((created, revoked))


async def test_a_key_is_revoked_once_and_by_its_own_merchant(tx: Tx, owner: Merchant, some_merchant) -> None:
    stranger = some_merchant(merchant_id=MerchantId(new_uuid7()), broker="other")
    await merchants_store.insert(tx, stranger)
    made = await make(tx, owner)
    with pytest.raises(ApiKeyNotFound):
        await service.revoke(tx, stranger.merchant_id, made.key.key_id, now=NOW)
    await service.revoke(tx, owner.merchant_id, made.key.key_id, now=NOW)
    found = (await store.find_keys(tx, [made.key.key_id]))[0]
    assert found == replace(made.key, revoked_at=NOW)
    with pytest.raises(ApiKeyNotFound):
        await service.revoke(tx, owner.merchant_id, made.key.key_id, now=NOW + timedelta(hours=1))


async def test_a_merchant_has_twenty_working_keys_at_most(tx: Tx, owner: Merchant) -> None:
    made = [await make(tx, owner) for _ in range(service.MOST_KEYS)]
    with pytest.raises(TooManyApiKeys, match="revoke one"):
        await make(tx, owner)
    await service.revoke(tx, owner.merchant_id, made[7].key.key_id, now=NOW)
    await make(tx, owner)


async def test_a_merchant_that_is_none_or_no_more_gets_no_key(tx: Tx, owner: Merchant) -> None:
    with pytest.raises(MerchantNotFound):
        await service.create_hmac(tx, SEALER, MerchantId(new_uuid7()), TERMS, now=NOW)
    await merchants.suspend(tx, owner.merchant_id, now=NOW)
    await make(tx, owner)
    await merchants.revoke(tx, owner.merchant_id, now=NOW)
    with pytest.raises(MerchantConflict):
        await make(tx, owner)


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": " till"}, "name"),
        ({"name": "a" * 81}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"scopes": frozenset()}, "scopes"),
        ({"networks": ("10.0.0.1/8",)}, "networks"),
        ({"networks": ("shop.example",)}, "networks"),
        ({"networks": ("10.0.0.0/8", "10.0.0.0/8")}, "networks"),
        ({"networks": tuple(f"10.{n}.0.0/16" for n in range(21))}, "networks"),
    ],
)
def test_terms_that_make_no_sense_are_refused(changed: dict[str, object], param: str) -> None:
    terms = replace(TERMS, **changed)
    with pytest.raises(Invalid) as refused:
        check_terms(terms.name, terms.scopes, terms.networks)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("peer", "networks", "is_in"),
    [
        ("10.1.2.3", ("10.0.0.0/8",), True),
        ("11.1.2.3", ("10.0.0.0/8",), False),
        ("11.1.2.3", ("10.0.0.0/8", "11.0.0.0/8"), True),
        ("::ffff:10.1.2.3", ("10.0.0.0/8",), True),
        ("::ffff:11.1.2.3", ("10.0.0.0/8",), False),
        ("2001:db8::7", ("2001:db8::/48",), True),
        ("2001:db9::7", ("2001:db8::/48",), False),
        ("10.1.2.3", ("2001:db8::/48",), False),
        ("", ("0.0.0.0/0",), False),
        ("unix", ("0.0.0.0/0", "::/0"), False),
        ("10.1.2.3", (), False),
    ],
)
def test_where_an_address_lies(peer: str, networks: tuple[str, ...], is_in: bool) -> None:
    assert is_within(peer, networks) is is_in


def test_only_an_ed25519_public_key_is_taken() -> None:
    private = Ed25519PrivateKey.generate()
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert service.read_public_key(pem) == private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    for wrong in (
        b"",
        b"nonsense",
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        curve.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    ):
        with pytest.raises(Invalid, match="openssl pkey"):
            service.read_public_key(wrong)


async def test_API_05_a_revocation_without_notification_holds_after_five_seconds(
    database: Database, owner: Merchant
) -> None:
    seconds = 1000.0
    keys = ApiKeys(database, monotonic_s=lambda: seconds)
    async with database.transaction() as tx:
        made = await make(tx, owner)
    holder = await keys.find(made.key.key_id)
    assert holder is not None
    assert (holder.key, holder.merchant) == (made.key, owner)
    async with database.transaction() as tx:
        await service.revoke(tx, owner.merchant_id, made.key.key_id, now=NOW)
    seconds += LIFE_S
    holder = await keys.find(made.key.key_id)
    assert holder is not None
    assert holder.key.revoked_at == NOW
    assert await keys.find(ApiKeyId(new_uuid7())) is None


class Counted(Database):
    """A database that counts what it is asked."""

    units = 0
    statements = 0

    async def unit(self, work, **more):
        self.units += 1
        return await super().unit(lambda tx: self._counting(tx, work), **more)

    async def _counting(self, tx: Tx, work):
        def count(_) -> None:
            self.statements += 1

        with tx.query_logger(count):
            return await work(tx)


async def test_a_flood_of_keys_that_nobody_has_costs_a_few_questions(
    app_dsn: str, database: Database, owner: Merchant
) -> None:
    async with database.transaction() as tx:
        made = await make(tx, owner)
    counted = await Counted.connect(app_dsn, size=2)
    try:
        keys = ApiKeys(counted)
        strangers = [keys.find(ApiKeyId(new_uuid7())) for _ in range(1500)]
        *nobody, holder = await asyncio.gather(*strangers, keys.find(made.key.key_id))
        assert nobody == [None] * 1500
        assert holder is not None
        assert (holder.key, holder.merchant) == (made.key, owner)
        assert counted.units <= 8
    finally:
        await counted.close()


async def test_keys_of_many_merchants_are_looked_up_together(app_dsn: str, database: Database, some_merchant) -> None:
    owners = [some_merchant(merchant_id=MerchantId(new_uuid7()), broker=f"shop{n}") for n in range(30)]
    async with database.transaction() as tx:
        for owner in owners:
            await merchants_store.insert(tx, owner)
        made = [await make(tx, owner) for owner in owners]
    counted = await Counted.connect(app_dsn, size=2)
    try:
        keys = ApiKeys(counted)
        holders = await asyncio.gather(*(keys.find(one.key.key_id) for one in made))
        assert [(holder.key, holder.merchant) for holder in holders if holder] == [
            (one.key, owner) for one, owner in zip(made, owners, strict=True)
        ]
        assert 0 < counted.statements < 15, "one statement for all merchants, not one for each"
    finally:
        await counted.close()
