"""`bitlinkpay authority`, and what hosts without the right `keys/` are told."""

import asyncio

import asyncpg

from bitlinkpay.app.platform import Platform
from bitlinkpay.app.sealing import open_sealer
from bitlinkpay.cli.naming import find_merchant
from bitlinkpay.merchants.service import webhook_secrets

NOTHING = {"ca": None, "envelope": None, "sealing": None}


def test_a_host_without_a_copy_makes_nothing_and_is_told_what_to_copy(sandbox):
    sandbox.merchant()
    keys, away = sandbox.folder / "keys", sandbox.folder / "away"
    keys.rename(away)
    said = sandbox.refusal("merchant", "create", "Other Shop", "--out", str(sandbox.folder / "other"))
    assert "copy keys/" in said
    assert not keys.exists()
    shown = sandbox.json("authority", "show")
    assert (shown["here"], shown["agree"]) == (NOTHING, False)
    away.rename(keys)
    shown = sandbox.json("authority", "show")
    assert shown["here"] == shown["deployment"]
    assert shown["agree"] is True


def test_lost_keys_are_replaced_only_by_a_persons_word(sandbox):
    sandbox.merchant()
    before = sandbox.json("authority", "show")["deployment"]
    (sandbox.folder / "keys").rename(sandbox.folder / "lost")
    adopted = sandbox.json("authority", "adopt")
    assert adopted["agree"] is True
    assert adopted["deployment"] != before
    sandbox.json("merchant", "rotate-certificate", "Corner Shop", "--out", str(sandbox.folder / "new"))
    (sandbox.folder / "keys").rename(sandbox.folder / "newer")
    (sandbox.folder / "lost").rename(sandbox.folder / "keys")
    said = sandbox.refusal("merchant", "rotate-certificate", "Corner Shop", "--out", str(sandbox.folder / "old"))
    assert "authority adopt" in said


def test_before_the_first_start_there_is_nothing_to_show(sandbox):
    assert sandbox.json("authority", "show") == {"deployment": NOTHING, "here": NOTHING, "agree": True}


def test_without_the_sealing_key_no_secret_is_made_or_read(sandbox):
    sandbox.merchant()
    path, away = sandbox.folder / "keys" / "sealing.key", sandbox.folder / "sealing.key"
    path.rename(away)
    for words in (
        ("merchant", "rotate-secret", "Corner Shop"),
        ("merchant", "create", "B", "--out", str(sandbox.folder)),
    ):
        assert "sealing.key" in sandbox.refusal(*words)
    assert sandbox.json("settlement", "list") == sandbox.json("settlement", "runs", "Corner Shop") == []
    assert "no settlement" in sandbox.refusal("settlement", "show", "set_" + "0" * 32)
    assert not path.exists()
    assert sandbox.json("authority", "adopt")["agree"] is True
    assert sandbox.json("merchant", "rotate-secret", "Corner Shop")["webhook_secret"].startswith("whsec_")
    away.rename(path)
    assert "authority adopt" in sandbox.refusal("merchant", "rotate-secret", "Corner Shop")


def test_migrate_seals_what_a_release_before_left_plain(sandbox):
    secret = sandbox.merchant()["webhook_secret"]

    async def stored(*statements: str) -> bytes:
        connection = await asyncpg.connect(sandbox.owner_dsn)
        for statement in statements:
            await connection.execute(statement)
        found = await connection.fetchval("select secret from merchant_webhook_secrets")
        await connection.close()
        return found

    check = "alter table merchant_webhook_secrets drop constraint merchant_webhook_secrets_sealed"
    plain = f"update merchant_webhook_secrets set secret = convert_to('{secret}', 'UTF8')"
    assert asyncio.run(stored(check, plain)) == secret.encode()
    assert sandbox.say("migrate").code == 0
    assert secret.encode() not in asyncio.run(stored())

    async def read(platform: Platform) -> list[str]:
        sealer = await open_sealer(platform.settings, platform.database)
        async with platform.database.reader() as tx:
            merchant = await find_merchant(tx, "Corner Shop")
            return (await webhook_secrets(tx, [merchant.merchant_id], sealer=sealer))[merchant.merchant_id]

    assert sandbox.act(read) == [secret]
