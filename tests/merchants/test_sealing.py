"""Secrets in the database are sealed: who reads it learns none, who writes to it moves none."""

import asyncio
import re
import subprocess
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.merchants.conftest import NOW
from tests.support.sealing import SEALER

from bitlinkpay.core.ids import MerchantId, new_uuid7
from bitlinkpay.core.sealing import Purpose, Sealer, Unsealable
from bitlinkpay.db.binaries import find_binaries
from bitlinkpay.db.driver import connect
from bitlinkpay.db.migrate import list_migrations, migrate
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants import service, store
from bitlinkpay.merchants.authority import Authority, BadAuthority
from bitlinkpay.merchants.sealing import service as sealing
from bitlinkpay.merchants.sealing.key import make_sealer
from bitlinkpay.merchants.sealing.service import SealingKeyElsewhere
from bitlinkpay.merchants.service import Created
from bitlinkpay.signer.problems import LooseFile

WEBHOOK = Purpose.WEBHOOK_SECRET
OTHER = Sealer(bytes(32))


def owner() -> MerchantId:
    return MerchantId(new_uuid7())


@given(secret=st.binary(max_size=200))
def test_what_was_sealed_is_read_again_and_never_looks_the_same(secret: bytes):
    who = owner()
    sealed = SEALER.seal(secret, purpose=WEBHOOK, owner=who)
    assert SEALER.unseal(sealed, purpose=WEBHOOK, owner=who) == secret
    assert sealed != SEALER.seal(secret, purpose=WEBHOOK, owner=who)
    assert len(secret) < 4 or secret not in sealed


def test_a_sealed_secret_belongs_to_its_key_and_its_owner():
    who = owner()
    sealed = SEALER.seal(b"secret", purpose=WEBHOOK, owner=who)
    with pytest.raises(Unsealable, match="owner"):
        SEALER.unseal(sealed, purpose=WEBHOOK, owner=owner())
    with pytest.raises(Unsealable, match="another key"):
        OTHER.unseal(sealed, purpose=WEBHOOK, owner=who)


def test_no_changed_byte_and_no_cut_goes_unseen():
    who = owner()
    sealed = SEALER.seal(b"secret", purpose=WEBHOOK, owner=who)
    changed = [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))]
    for broken in (*changed, *(sealed[:end] for end in range(len(sealed))), sealed + b"\0", b"whsec_" + b"A" * 44):
        with pytest.raises(Unsealable):
            SEALER.unseal(broken, purpose=WEBHOOK, owner=who)


def test_the_key_is_a_private_file_made_once(tmp_path: Path):
    folder = tmp_path / "keys"
    made = [make_sealer(folder).fingerprint for _ in range(2)]
    assert made[0] == made[1] != make_sealer(tmp_path / "more").fingerprint
    path = folder / "sealing.key"
    assert (folder.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
    assert made[0].hex() not in path.read_text()
    path.chmod(0o640)
    with pytest.raises(LooseFile):
        make_sealer(folder)
    path.chmod(0o600)
    path.write_text("0" * 63)
    with pytest.raises(BadAuthority, match="64 hex digits"):
        make_sealer(folder)


async def test_the_first_key_counts_and_a_host_with_another_or_none_is_told_what_to_copy(
    database: Database, tmp_path: Path
):
    async with database.transaction() as tx:
        await sealing.check_folder(tx, tmp_path)
        for _ in range(2):
            await sealing.recognise(tx, SEALER, tmp_path)
        with pytest.raises(SealingKeyElsewhere, match="copy that file"):
            await sealing.recognise(tx, OTHER, tmp_path)
        with pytest.raises(SealingKeyElsewhere, match="authority adopt"):
            await sealing.check_folder(tx, tmp_path)
        for _ in range(2):
            await sealing.adopt(tx, OTHER)
        await sealing.recognise(tx, OTHER, tmp_path)
        assert await tx.fetchval("select count(*) from sealing_keys") == 2


async def test_of_two_hosts_that_start_at_once_one_key_counts(database: Database, tmp_path: Path):
    ends = await asyncio.gather(
        *(database.unit(lambda tx, s=s: sealing.recognise(tx, s, tmp_path)) for s in (SEALER, OTHER)),
        return_exceptions=True,
    )
    assert sorted(type(end).__name__ for end in ends) == ["NoneType", "SealingKeyElsewhere"]


def dump(dsn: str) -> str:
    program = find_binaries().program("pg_dump")
    return subprocess.run([program, "--inserts", "--no-sync", dsn], check=True, capture_output=True, text=True).stdout


async def test_a_dump_alone_signs_nothing(
    database: Database, created: Created, authority: Authority, schema_owner_dsn: str
):
    """Every byte string of the dump is tried as the secret, as what it stands for, and under another merchant."""
    key = created.merchant.merchant_id
    async with database.transaction() as tx:
        fresh = await service.rotate_webhook_secret(tx, SEALER, key, now=NOW)
        other = await service.create(tx, authority, SEALER, "Thief", now=NOW)
    text = await asyncio.to_thread(dump, schema_owner_dsn)
    assert "merchant_webhook_secrets" in text
    assert "whsec_" not in text
    held = [bytes.fromhex(digits) for digits in re.findall(r"\\x([0-9a-f]+)'", text)]
    boxes = [each for each in held if each.startswith(b"\x01" + SEALER.fingerprint[:8])]
    assert len(boxes) == 3
    for secret in (created.webhook_secret, fresh, other.webhook_secret):
        assert not any(secret.encode() in each for each in held)
    for box in boxes:
        with pytest.raises(Unsealable):
            OTHER.unseal(box, purpose=WEBHOOK, owner=key)
    opened = [box for box in boxes if _opens(box, other.merchant.merchant_id)]
    assert len(opened) == 1  # its own; a merchant cannot be given another one's secret


def _opens(box: bytes, who: MerchantId) -> bool:
    try:
        return bool(SEALER.unseal(box, purpose=WEBHOOK, owner=who))
    except Unsealable:
        return False


async def test_a_plain_secret_cannot_be_stored(database: Database, created: Created):
    with pytest.raises(asyncpg.CheckViolationError):
        async with database.transaction() as tx:
            await tx.execute("update merchant_webhook_secrets set secret = convert_to('whsec_AAAA', 'UTF8')")


async def test_secrets_of_a_lost_key_are_left_out_and_a_new_one_signs(
    database: Database, created: Created, caplog: pytest.LogCaptureFixture
):
    key = created.merchant.merchant_id
    async with database.transaction() as tx:
        assert await service.webhook_secrets(tx, [key], sealer=OTHER) == {key: []}
        assert "rotate-secret" in caplog.text
        fresh = await service.rotate_webhook_secret(tx, OTHER, key, now=NOW)
        assert await service.webhook_secrets(tx, [key], sealer=OTHER) == {key: [fresh]}
        assert await service.webhook_secrets(tx, [key], sealer=SEALER) == {key: [created.webhook_secret]}


async def test_plain_secrets_of_a_release_before_are_sealed_where_they_stand(owner_dsn: str):
    """The rows are written under the schema of before; then the release's migration and its sealing run, twice."""
    files = list_migrations()
    await migrate(owner_dsn, [file for file in files if file.name < "0035"])
    key, plain = owner(), "whsec_" + "QUJD" * 8
    connection = await connect(owner_dsn)
    await connection.execute(
        """
        insert into merchants (merchant_id, broker, name, state, pricing_currency, callback_url, callback_statuses, fee_ppm,
            policy, order_life, return_hosts, lang, support, accent, allowed_assets, rate_per_minute, created_at)
        values ($1, 'tea-house', 'Tea', 'active', 'CNY', '', '{}', 0, '{}', '30 minutes', '{}', '', '', '', '{}', 1, now())
        """,
        key,
    )
    await connection.execute("insert into merchant_webhook_secrets values ($1, $2, now(), null)", key, plain)
    await connection.close()
    await migrate(owner_dsn, files)
    database = await Database.connect(owner_dsn)
    async with database.transaction() as tx:
        assert await sealing.has_plain(tx)
        assert await sealing.seal_plain(tx, SEALER) == 1
        assert not await sealing.has_plain(tx)
        assert await sealing.seal_plain(tx, SEALER) == 0
        assert await service.webhook_secrets(tx, [key], sealer=SEALER) == {key: [plain]}
        assert plain.encode() not in (await store.list_secrets(tx, [key]))[key][0].sealed
    await database.close()
