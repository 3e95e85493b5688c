"""`bitlinkpay merchant api-key`: a key is shown once, works, and is taken back."""

import asyncio
import json
import re

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bitlinkpay.app.sealing import open_sealer
from bitlinkpay.connection import connect
from bitlinkpay.core.ids import ApiKeyId, parse_id
from bitlinkpay.merchants.api_keys import store
from bitlinkpay.merchants.api_keys.model import Algorithm, ApiKey
from bitlinkpay.merchants.api_keys.service import secret_of
from bitlinkpay.settings import load_settings

ROW = {"key_id", "name", "algorithm", "scopes", "networks", "created_at", "revoked_at"}


def create(sandbox, *words: str) -> dict[str, object]:
    return sandbox.json("merchant", "api-key", "create", "Shop", "--name", "till", *words)


def stored(sandbox, key_id: str) -> tuple[ApiKey, str | None]:
    """Return what the database holds of a key, and what this host makes of it."""

    async def read():
        settings = load_settings(sandbox.folder)
        database = await connect(settings)
        try:
            async with database.reader() as tx:
                key = (await store.find_keys(tx, [ApiKeyId(parse_id("key", key_id))]))[0]
            sealer = await open_sealer(settings, database)
            return key, secret_of(sealer, key) if key.algorithm is Algorithm.HMAC_SHA256 else None
        finally:
            await database.close()

    return asyncio.run(read())


def test_a_secret_is_shown_once_and_stored_sealed(sandbox):
    sandbox.merchant("Shop")
    made = create(sandbox, "--scopes", "payin,read", "--networks", "203.0.113.0/24,2001:db8::/48")
    assert made.keys() == ROW | {"secret"}
    assert (made["algorithm"], made["scopes"]) == ("hmac-sha256", ["payin", "read"])
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", made["secret"])
    key, secret = stored(sandbox, made["key_id"])
    assert secret == made["secret"]
    assert secret.encode() not in key.material
    (listed,) = sandbox.json("merchant", "api-key", "list", "Shop")
    assert listed == {name: value for name, value in made.items() if name != "secret"}
    assert made["secret"] not in json.dumps(sandbox.json("merchant", "show", "Shop"))


def test_an_ed25519_key_brings_no_secret(sandbox, tmp_path):
    sandbox.merchant("Shop")
    public = Ed25519PrivateKey.generate().public_key()
    (tmp_path / "till.pem").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    made = create(sandbox, "--scopes", "payout", "--public-key", str(tmp_path / "till.pem"))
    assert made.keys() == ROW
    key, _ = stored(sandbox, made["key_id"])
    assert key.material == public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def test_a_key_is_revoked_once(sandbox):
    sandbox.merchant("Shop")
    made = create(sandbox, "--scopes", "read")
    (row,) = sandbox.json("merchant", "api-key", "revoke", "Shop", made["key_id"])
    assert row["revoked_at"]
    assert "no working API key" in sandbox.refusal("merchant", "api-key", "revoke", "Shop", made["key_id"])
    sandbox.merchant("Other")
    other = sandbox.json("merchant", "api-key", "create", "Other", "--name", "x", "--scopes", "read")
    sandbox.refusal("merchant", "api-key", "revoke", "Shop", other["key_id"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--scopes", "everything"), "payin,payout,read"),
        (("--scopes", ","), "at least one"),
        (("--scopes", "read", "--networks", "10.0.0.1/8"), "networks"),
        (("--scopes", "read", "--public-key", "/nowhere.pem"), "/nowhere.pem"),
        (("--scopes", "read", "--public-key", __file__), "Ed25519"),
    ],
)
def test_what_makes_no_sense_makes_no_key(sandbox, words, says):
    sandbox.merchant("Shop")
    assert says in sandbox.refusal("merchant", "api-key", "create", "Shop", "--name", "till", *words)
    assert sandbox.json("merchant", "api-key", "list", "Shop") == []


def test_a_host_without_the_sealing_key_makes_no_other(sandbox):
    sandbox.merchant("Shop")
    (sandbox.folder / "keys" / "sealing.key").unlink()
    words = ("merchant", "api-key", "create", "Shop", "--name", "two", "--scopes", "read")
    assert "sealing.key is missing" in sandbox.refusal(*words)
    assert sandbox.json("merchant", "api-key", "list", "Shop") == []
