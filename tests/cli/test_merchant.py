"""`bitlinkpay merchant`: what an operator types, what is stored, and which files get which modes."""

import errno
import json
import re
import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from bitlinkpay.cli.credential_files import new_files
from bitlinkpay.db.pool import OutcomeUnknown

ROW = {"merchant_id", "broker", "name", "state", "fee_ppm", "pricing_currency", "created_at"}


def test_create_prints_the_promised_shape_and_writes_private_files(sandbox):
    created = sandbox.merchant("Shop", "--callback-url", "http://127.0.0.1:9000/cb", "--pricing-currency", "USD")
    assert created.keys() == {"broker", "merchant_id", "webhook_secret", "files"}
    assert created["merchant_id"].startswith("mer_")
    assert created["webhook_secret"].startswith("whsec_")
    names = {"ca": "ca.crt", "cert": "client.crt", "key": "client.key", "public_key": "public_key.pem"}
    assert created["files"] == {kind: str(sandbox.folder / "Shop" / name) for kind, name in names.items()}
    for path in map(Path, created["files"].values()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shown = sandbox.json("merchant", "show", "Shop")
    assert (shown["callback_url"], shown["pricing_currency"]) == ("http://127.0.0.1:9000/cb", "USD")


def test_the_files_of_a_merchant_work_together(sandbox):
    files = sandbox.merchant()["files"]
    context = ssl.create_default_context(cafile=files["ca"])
    context.load_cert_chain(files["cert"], files["key"])
    client = x509.load_pem_x509_certificate(Path(files["cert"]).read_bytes())
    client.verify_directly_issued_by(x509.load_pem_x509_certificate(Path(files["ca"]).read_bytes()))
    assert Path(files["public_key"]).read_bytes().startswith(b"-----BEGIN PUBLIC KEY-----")


@pytest.mark.parametrize(
    "url", ["ftp://shop.example/cb", "http://10.0.0.1/cb", "shop.example", "https://u:p@shop.example/"]
)
def test_a_callback_url_that_may_not_be_called_makes_no_merchant(sandbox, url):
    sandbox.refusal("merchant", "create", "Shop", "--out", str(sandbox.folder / "x"), "--callback-url", url)
    assert sandbox.json("merchant", "list") == []
    assert not (sandbox.folder / "x").exists()


def test_a_live_deployment_takes_https_callbacks_only(live):
    words = ("merchant", "create", "Shop", "--out", str(live.folder / "x"), "--callback-url")
    live.refusal(*words, "http://shop.example/cb")
    live.refusal(*words, "https://127.0.0.1/cb")
    assert live.json(*words, "https://shop.example/cb")["broker"]


def test_list_has_every_merchant_as_the_same_row_as_show(sandbox):
    brokers = [sandbox.merchant(name)["broker"] for name in ("One", "Two")]
    rows = sandbox.json("merchant", "list")
    assert {row["broker"] for row in rows} == set(brokers)
    for row in rows:
        assert row.keys() == ROW
        shown = sandbox.json("merchant", "show", row["name"])
        assert {key: shown[key] for key in ROW} == row
    table = sandbox.say("merchant", "list").out.splitlines()
    assert len(table) == 3
    assert table[0].split()[:3] == ["merchant_id", "broker", "name"]


def test_show_finds_by_broker_by_id_and_by_name_and_lists_certificates(sandbox):
    created = sandbox.merchant()
    found = [sandbox.json("merchant", "show", created[key]) for key in ("broker", "merchant_id")]
    assert found[0] == found[1] == sandbox.json("merchant", "show", "Corner Shop")
    [certificate] = found[0]["certificates"]
    assert re.fullmatch("[0-9a-f]{64}", certificate["spki"])
    assert certificate["revoked_at"] is None
    assert (found[0]["fee_ppm"], found[0]["state"]) == (3000, "active")


def test_a_name_that_nobody_or_several_have_is_refused(sandbox):
    assert "merchant list" in sandbox.refusal("merchant", "show", "Nobody")
    sandbox.merchant("Twin")
    sandbox.json("merchant", "create", "Twin", "--out", str(sandbox.folder / "second"))
    assert "broker id" in sandbox.refusal("merchant", "show", "Twin")


@pytest.mark.parametrize(("percent", "ppm"), [("0", 0), ("0.3", 3000), ("0.0001", 1), ("1.25", 12500)])
def test_set_fee_takes_percent(sandbox, percent, ppm):
    sandbox.merchant()
    row = sandbox.json("merchant", "set-fee", "Corner Shop", percent)
    assert row.keys() == ROW
    assert row["fee_ppm"] == sandbox.json("merchant", "show", "Corner Shop")["fee_ppm"] == ppm


@pytest.mark.parametrize("percent", ["0.00001", "101", "1e1", "nan", "x", "1,5", ""])
def test_set_fee_refuses_what_is_no_fee_and_changes_nothing(sandbox, percent):
    sandbox.merchant()
    sandbox.refusal("merchant", "set-fee", "Corner Shop", percent)
    assert sandbox.json("merchant", "show", "Corner Shop")["fee_ppm"] == 3000


def test_set_policy_changes_what_is_named_and_nothing_else(sandbox):
    sandbox.merchant()
    before = sandbox.json("merchant", "show", "Corner Shop")
    after = sandbox.json("merchant", "set-policy", "Corner Shop", "--tolerance", "1.5", "--no-summing", "--late")
    policy = before["policy"] | {"tolerance_ppm": 15000, "is_summing": False, "accepts_late": True}
    assert after == before | {"policy": policy}
    assert sandbox.json("merchant", "set-policy", "Corner Shop") == after


def test_set_policy_takes_every_term(sandbox):
    sandbox.merchant()
    words = ("--over", "--order-life", "45", "--callback-url", "https://shop.example/n", "--callback-statuses", "8,16")
    more = (
        "--return-hosts",
        "shop.example, www.shop.example",
        "--rate-limit",
        "77",
        "--assets",
        "usdt-tron,btc-bitcoin",
    )
    looks = ("--accent", "#112233", "--support", "help@shop.example")
    shown = sandbox.json("merchant", "set-policy", "Corner Shop", *words, *more, *looks)
    assert shown["policy"]["accepts_over"] is True
    assert shown["callback_url"] == "https://shop.example/n"
    assert shown["callback_statuses"] == [8, 16]
    assert shown["return_hosts"] == ["shop.example", "www.shop.example"]
    assert shown["allowed_assets"] == ["usdt-tron", "btc-bitcoin"]
    assert (shown["rate_per_minute"], shown["accent"], shown["support"]) == (77, "#112233", "help@shop.example")
    assert json.dumps(shown["order_life"]) in {'"PT2700S"', '"PT45M"'}


REFUSED_TERMS = {
    ("--callback-statuses", "8,done"): "8,12,16,20",
    ("--callback-statuses", "9"): "some of 8, 12, 16, 20",
    ("--tolerance", "x"): "plain digits",
    ("--tolerance", "11"): "write a tolerance of 0 to 10 percent",
    ("--tolerance-units", "usdt-tron"): "write the number",
    ("--tolerance-units", "usdt-tron=-1"): "plain digits",
    ("--tolerance-units", "usdt-tron=0.0000001"): "at most 6 digits",
    ("--tolerance-units", "usdt-nowhere=1"): "no asset here",
    ("--callback-url", "http://192.168.0.1/cb"): "callbacks are not sent",
    ("--accent", "red; background: url(x)"): "accent",
    ("--order-life", "0"): "1 minute to 7 days",
    ("--order-life", "10081"): "1 minute to 7 days",
    ("--order-life", "9" * 20): "1 minute to 7 days",
    ("--order-life", "-" + "9" * 20): "1 minute to 7 days",
    ("--rate-limit", "-1"): "write 1 to 1000000000",
    ("--rate-limit", "9" * 20): "write 1 to 1000000000",
}


def test_set_policy_refuses_what_no_merchant_may_have(sandbox):
    sandbox.merchant()
    before = sandbox.json("merchant", "show", "Corner Shop")
    for words, told in REFUSED_TERMS.items():
        assert told in sandbox.refusal("merchant", "set-policy", "Corner Shop", *words), words
    assert "write a fee of 0 to 20 percent" in sandbox.refusal("merchant", "set-fee", "Corner Shop", "20.0001")
    assert sandbox.json("merchant", "show", "Corner Shop") == before


def test_set_policy_takes_a_tolerance_as_amounts(sandbox):
    sandbox.merchant()
    words = ("--tolerance-units", "usdt-tron=0.5, btc-bitcoin=0.00001")
    shown = sandbox.json("merchant", "set-policy", "Corner Shop", *words)
    assert shown["policy"]["tolerance_units"] == {"usdt-tron": 500_000, "btc-bitcoin": 1_000}
    shown = sandbox.json("merchant", "set-policy", "Corner Shop", "--tolerance-units", "")
    assert shown["policy"]["tolerance_units"] == {}


def test_one_certificate_is_revoked_and_the_others_stay(sandbox):
    sandbox.merchant()
    [old] = sandbox.json("merchant", "show", "Corner Shop")["certificates"]
    sandbox.json("merchant", "rotate-certificate", "Corner Shop", "--out", str(sandbox.folder / "new"))
    shown = sandbox.json("merchant", "revoke-certificate", "Corner Shop", old["spki"])
    ends = {certificate["spki"]: certificate["revoked_at"] for certificate in shown["certificates"]}
    now = datetime.now(UTC)
    assert datetime.fromisoformat(ends.pop(old["spki"])) <= now  # at once, though its rotation had left it a day
    assert list(ends.values()) == [None]


@pytest.mark.parametrize("spki", ["00" * 32, "0g", "xyz", ""])
def test_a_certificate_that_the_merchant_has_not_is_refused(sandbox, spki):
    sandbox.merchant()
    sandbox.refusal("merchant", "revoke-certificate", "Corner Shop", spki)
    [certificate] = sandbox.json("merchant", "show", "Corner Shop")["certificates"]
    assert certificate["revoked_at"] is None


def test_suspend_resume_and_revoke_are_states(sandbox):
    sandbox.merchant()
    states = [sandbox.json("merchant", step, "Corner Shop")["state"] for step in ("suspend", "resume", "suspend")]
    assert states == ["suspended", "active", "suspended"]
    assert sandbox.json("merchant", "revoke", "Corner Shop")["state"] == "revoked"
    sandbox.refusal("merchant", "resume", "Corner Shop")
    [certificate] = sandbox.json("merchant", "show", "Corner Shop")["certificates"]
    assert certificate["revoked_at"]


def test_rotate_secret_gives_another_secret_each_time(sandbox):
    first = sandbox.merchant()["webhook_secret"]
    rotated = sandbox.json("merchant", "rotate-secret", "Corner Shop")
    assert rotated.keys() == {"webhook_secret"}
    assert rotated["webhook_secret"] not in {first, ""}


def test_rotate_certificate_writes_new_files_beside_the_old_ones(sandbox):
    old = sandbox.merchant()["files"]
    rotated = sandbox.json("merchant", "rotate-certificate", "Corner Shop", "--out", str(sandbox.folder / "new"))
    assert rotated["files"].keys() == old.keys()
    assert Path(rotated["files"]["key"]).read_bytes() != Path(old["key"]).read_bytes()
    assert stat.S_IMODE(Path(rotated["files"]["key"]).stat().st_mode) == 0o600
    assert len(sandbox.json("merchant", "show", "Corner Shop")["certificates"]) == 2


@pytest.mark.parametrize("words", [("create",), ("create", "Shop"), ("set-fee", "Shop"), ("forget", "Shop"), ()])
def test_wrong_usage_is_exit_code_2(sandbox, words):
    with pytest.raises(SystemExit) as caught:
        sandbox.say("merchant", *words)
    assert caught.value.code == 2


NAMES = ("ca.crt", "client.crt", "client.key", "public_key.pem")


def test_files_are_never_written_over_and_where_none_can_be_made_no_merchant_is(sandbox):
    out = sandbox.folder / "Corner Shop"
    out.mkdir()
    for name in NAMES:
        (out / name).write_text("the only one of its kind")
        said = sandbox.refusal("merchant", "create", "Corner Shop", "--out", str(out))
        assert said == f"{out / name} exists already and is never overwritten; name another folder"
        assert [path.name for path in out.iterdir()] == [name]
        assert (out / name).read_text() == "the only one of its kind"
        (out / name).unlink()
    (sandbox.folder / "file").write_text("")
    for place in ("/proc/nowhere", "file", "file/below"):
        sandbox.refusal("merchant", "create", "Corner Shop", "--out", str(sandbox.folder / place))
    assert sandbox.json("merchant", "list") == []


def test_a_key_survives_another_merchant_a_refused_rotation_and_a_full_disk(sandbox, monkeypatch):
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    key = Path(sandbox.merchant()["files"]["key"])
    before = key.read_bytes()
    for words in (("create", "Twin"), ("rotate-certificate", "Corner Shop")):
        assert "never overwritten" in sandbox.refusal("merchant", *words, "--out", str(key.parent))
    out = sandbox.folder / "out"
    sandbox.refusal("merchant", "rotate-certificate", "Nobody", "--out", str(out))
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        for words in (("create", "Twin"), ("rotate-certificate", "Corner Shop")):
            assert "No space left" in sandbox.refusal("merchant", *words, "--out", str(out))
    assert list(out.iterdir()) == []
    assert key.read_bytes() == before
    [certificate] = sandbox.json("merchant", "show", "Corner Shop")["certificates"]
    assert certificate["revoked_at"] is None
    assert [row["name"] for row in sandbox.json("merchant", "list")] == ["Corner Shop"]


def test_a_commit_without_an_answer_leaves_its_files_to_whom_they_may_belong(tmp_path):
    with pytest.raises(OutcomeUnknown), new_files(tmp_path):
        raise OutcomeUnknown("the connection is gone")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
