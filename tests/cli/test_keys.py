"""`bitlinkpay signer`, `migrate` and `registry`: seeds with their file modes, the schema, an operator's rows."""

import json
import stat
from pathlib import Path

import pytest
from tests.cli.deployment import Deployment, Said, say

from bitlinkpay.cli.registry import NATIVE, NO_DEPLOYMENT, NO_ENDPOINTS, SIMULATED
from bitlinkpay.core.mode import Mode
from bitlinkpay.signer import service
from bitlinkpay.signer.sealing import from_key_file

PASSPHRASE = "correct horse battery staple"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_init_makes_private_files_and_says_to_back_up(sandbox):
    said = sandbox.say("signer", "init")
    assert (said.code, said.out) == (0, "")
    assert "back it up" in said.err
    folder = sandbox.folder
    assert mode_of(folder / "signer") == 0o700
    assert mode_of(folder / "signer" / service.SEED_FILE) == mode_of(folder / "signer.key") == 0o600


def test_init_never_replaces_a_seed_and_ensure_leaves_it(sandbox):
    sandbox.say("signer", "init")
    before = (sandbox.folder / "signer" / service.SEED_FILE).read_bytes()
    sandbox.refusal("signer", "init")
    said = sandbox.say("signer", "ensure")
    assert (said.code, said.out, said.err) == (0, "", "")
    assert (sandbox.folder / "signer" / service.SEED_FILE).read_bytes() == before


def test_status_shows_a_fingerprint_and_no_secret(sandbox):
    sandbox.refusal("signer", "status")
    said = sandbox.say("signer", "ensure")
    status = sandbox.json("signer", "status")
    assert status.keys() == {"fingerprint", "made_at", "is_running"}
    assert status["fingerprint"] in said.err
    assert status["is_running"] is False


def test_a_backup_restores_the_same_keys_above_every_index_handed_out(sandbox, tmp_path):
    sandbox.say("signer", "init")
    sandbox.merchant()
    sandbox.order()
    old_key = sandbox.folder / "signer.key"
    target = tmp_path / "backup.sealed"
    backup = sandbox.json("signer", "backup", str(target))
    assert backup.keys() == {"fingerprint", "file", "highest"}
    assert backup["file"] == str(target)
    assert backup["highest"]["tron"] >= 0
    assert mode_of(target) == 0o600
    sandbox.refusal("signer", "backup", str(target))
    again = Deployment(tmp_path / "again", "", sandbox.capsys)
    again.folder.mkdir()
    restored = again.json("signer", "restore", str(target), "--file-key", str(old_key))
    assert restored == {"fingerprint": backup["fingerprint"], "folder": str(again.folder / "signer")}
    rings = [
        service.check_keys(service.open_seed(one.folder / "signer", from_key_file(one.folder / "signer.key")))
        for one in (sandbox, again)
    ]
    assert rings[0].fingerprint == rings[1].fingerprint
    assert mode_of(again.folder / "signer") == 0o700
    assert mode_of(again.folder / "signer" / service.SEED_FILE) == 0o600
    again.refusal("signer", "restore", str(target), "--file-key", str(old_key))


def test_a_backup_does_not_open_with_another_key(sandbox, tmp_path):
    sandbox.say("signer", "init")
    target = tmp_path / "backup.sealed"
    sandbox.json("signer", "backup", str(target))
    again = Deployment(tmp_path / "again", "", sandbox.capsys)
    again.folder.mkdir()
    again.refusal("signer", "restore", str(target))
    assert not (again.folder / "signer" / service.SEED_FILE).exists()


def test_a_passphrase_leaves_no_key_file_and_no_trace_in_the_environment(sandbox, monkeypatch):
    monkeypatch.setenv("BITLINKPAY_SIGNER_PASSPHRASE", PASSPHRASE)
    assert sandbox.say("signer", "init").code == 0
    assert not (sandbox.folder / "signer.key").exists()
    for path in (sandbox.folder / "signer").iterdir():
        assert PASSPHRASE.encode() not in path.read_bytes()


def test_a_key_file_and_a_passphrase_together_are_refused(sandbox, monkeypatch):
    monkeypatch.setenv("BITLINKPAY_SIGNER_PASSPHRASE", PASSPHRASE)
    assert "not both" in sandbox.refusal("signer", "init", "--key-file", str(sandbox.folder / "x.key"))


def test_a_loose_key_file_is_refused(sandbox):
    sandbox.say("signer", "init")
    (sandbox.folder / "signer.key").chmod(0o644)
    sandbox.refusal("signer", "backup", str(sandbox.folder / "backup"))


def test_migrate_applies_everything_once_and_then_nothing(tmp_path, owner_dsn, capsys):
    folder = tmp_path / "empty"
    folder.mkdir()
    dsn = json.dumps(owner_dsn)
    (folder / "bitlinkpay.toml").write_text(f"[database]\ndsn = {dsn}\nowner_dsn = {dsn}")
    deployment = Deployment(folder, owner_dsn, capsys)
    first, second = deployment.say("migrate"), deployment.say("migrate")
    assert first.out.startswith("applied 0001_")
    assert all(line.startswith("applied ") for line in first.out.splitlines())
    assert (second.code, second.out, second.err) == (0, "", "")


def test_migrate_refuses_a_database_of_the_other_mode(sandbox):
    assert sandbox.say("migrate").out == ""
    config = sandbox.folder / "bitlinkpay.toml"
    config.write_text(config.read_text().replace(Mode.SANDBOX, Mode.LIVE))
    assert "sandbox" in sandbox.refusal("migrate")


@pytest.mark.parametrize(
    "words",
    [
        ("merchant", "list"),
        ("ledger", "check"),
        ("chains", "status"),
        ("migrate",),
    ],
)
def test_a_deployment_that_does_not_run_is_one_line_that_says_how_to_start_it(tmp_path, capsys, words):
    said = Deployment(tmp_path, "", capsys).refusal(*words)
    assert f"bitlinkpay serve --data-dir {tmp_path}" in said


ROW = {"asset", "network", "standard", "contract", "decimals", "payable", "chain_id", "coin_id", "chain"}


def registry(capsys, path: Path, text: str) -> Said:
    path.write_text(text)
    return say(capsys, "registry", "check", str(path), "--json")


def test_a_registry_file_shows_the_rows_that_result(tmp_path, capsys):
    said = registry(capsys, tmp_path / "empty.toml", "")
    rows = json.loads(said.out)
    assert said.code == 0
    assert all(row.keys() == ROW for row in rows)
    [tron] = [row for row in rows if row["asset"] == "usdt-tron"]
    assert (tron["network"], tron["decimals"], tron["payable"]) == ("tron", 6, True)
    assert {row["chain"] for row in rows} == {NATIVE, NO_DEPLOYMENT}


def test_a_sandbox_has_no_chain_to_ask(sandbox):
    rows = sandbox.json("registry", "check")
    assert {row["chain"] for row in rows} == {NATIVE, SIMULATED}


def test_a_live_deployment_asks_no_network_that_is_off_and_names_what_cannot_be_asked(live):
    rows = live.json("registry", "check")
    assert {row["chain"] for row in rows} == {NATIVE, NO_ENDPOINTS}
    assert "no asset" in live.refusal("registry", "check", "--asset", "usdt-ethereum")
    assert "goes with the one --asset" in live.refusal("registry", "check", "--holder", "T")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[assets.usdt-tron]\ndecimals = 'six'", "usdt-tron"),
        ("[assets.usdt-tron]\ncontract = '0xdAC17F958D2ee523a2206206994597C13D831ec7'", "usdt-tron"),
        ("[assets.usdt-tron]\ncolour = 'green'", "colour"),
        ("[assets.usdt-ethereum]\ncontract = '0xdac17F958D2ee523a2206206994597C13D831ec7'", "usdt-ethereum"),
        ("[assets.usdt-nowhere]\nsymbol = 'USDT'", "usdt-nowhere"),
        ("[networks.tron", "bad.toml"),
        ("[assets.btc-bitcoin]\ndecimals = 18", "has 8 digits: write `decimals = 8`"),
        ("[assets.eth-ethereum]\ndecimals = 6\npayable_decimals = 6", "has 18 digits: write `decimals = 18`"),
    ],
)
def test_a_lying_row_is_named_in_one_line(tmp_path, capsys, text, named):
    said = registry(capsys, tmp_path / "bad.toml", text)
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert named in said.err


def test_a_registry_file_that_is_not_there_is_one_line(tmp_path, capsys):
    said = say(capsys, "registry", "check", str(tmp_path / "none.toml"))
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "none.toml" in said.err
