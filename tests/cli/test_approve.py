"""`bitlinkpay approve` and what `bitlinkpay signer` shows, against a running signer: an operator's whole way."""

import asyncio
import json
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from tests.cli.deployment import Deployment
from tests.signer.asking import REGISTRY, USDT, stranger
from tests.signer.test_server import launch

from bitlinkpay.chains.outgoing import Intent, Payment, Purpose, Signed
from bitlinkpay.chains.simulated_plan import SimulatedPlan
from bitlinkpay.cli.main import main
from bitlinkpay.signer.client import SignerClient
from bitlinkpay.signer.problems import ApprovalNeeded
from bitlinkpay.signer.sealing import PASSPHRASE_VARIABLE, create_key_file

PASSPHRASE = "correct horse battery staple"
POLICY = """
mode = "sandbox"
[caps]
usdt-tron = { payment = "1000", hour = "3000", day = "5000" }
"""


@dataclass
class Office:
    """A deployment with its signer running, an operator's key beside it, and somebody who wants to pay."""

    deployment: Deployment
    process: "subprocess.Popen[str]"
    key: Path
    start: Callable[[], "subprocess.Popen[str]"]

    @property
    def folder(self) -> Path:
        return self.deployment.folder / "signer"

    def restart(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=90)
        self.process = self.start()

    def sign(self, units: int, target: str = "", **more: object) -> Signed:
        async def ask() -> Signed:
            client = SignerClient(self.folder)
            payer = (await client.keyring()).hot_wallet(REGISTRY.networks["tron"])
            payment = Payment(payer, "usdt-tron", target or stranger(), str(more.get("tag", "")), units)
            until = datetime.now(UTC) + timedelta(hours=1)
            intent = Intent(uuid4(), "tron", Purpose.PAYOUT, payer, (payment,), 1, until)
            return await client.sign(intent, SimulatedPlan(1, 0))

        return asyncio.run(ask())

    def request(self, units: int, **more: object) -> str:
        """Ask for a payment above the cap; return the request that the refusal names."""
        with pytest.raises(ApprovalNeeded) as needed:
            self.sign(units, **more)  # type: ignore[arg-type]
        return needed.value.message.rsplit("bitlinkpay approve ", 1)[1].rstrip("`")

    def approve(self, *words: str) -> object:
        said = self.deployment.say("approve", *words, *self.opened, "--yes", "--json")
        assert said.code == 0, said
        return json.loads(said.out)

    @property
    def opened(self) -> tuple[str, ...]:
        return "--operator", str(self.key), "--key-file", str(self.key.with_name("secret"))


@pytest.fixture
def office(tmp_path: Path, capsys) -> Iterator[Office]:
    folder = tmp_path / "deployment"
    folder.mkdir()
    (folder / "bitlinkpay.toml").write_text('mode = "sandbox"\n')
    deployment = Deployment(folder, "", capsys)
    assert deployment.say("signer", "ensure").code == 0
    key = tmp_path / "alice.key"
    create_key_file(tmp_path / "secret")
    made = deployment.say("approve", "keygen", str(key), "--key-file", str(tmp_path / "secret"), "--json")
    assert "under [operators]" in made.err
    public = json.loads(made.out)["key"]
    (folder / "signer" / "policy.toml").write_text(f'{POLICY}\n[operators]\nalice = "{public}"\n')
    running: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        process = launch(folder / "signer", "--key-file", str(folder / "signer.key"))
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield Office(deployment, start(), key, start)
    for process in running:
        process.kill()
        process.communicate()


def test_an_operator_lets_one_payment_through(office: Office) -> None:
    request = office.request(2500 * USDT, tag="")
    (waiting,) = office.deployment.json("approve", "list")
    assert (waiting["request"], waiting["amount"], waiting["target"]) == (request, "2500", stranger())
    assert request in office.deployment.say("approve", "list").out
    assert office.approve(request) == {"operator": "alice", "request": request}
    assert office.deployment.json("approve", "list") == []
    assert office.sign(2500 * USDT).raw
    assert office.request(2500 * USDT) == request


def test_far_from_the_signer_a_file_goes_there_and_one_comes_back(office: Office, tmp_path: Path, capsys) -> None:
    request = office.request(2500 * USDT)
    carried = tmp_path / "request.json"
    carried.write_text(office.deployment.say("approve", "show", request).out)

    capsys.readouterr()
    assert main(["approve", str(carried), *office.opened, "--yes"]) == 0  # no deployment in sight
    out, err = capsys.readouterr()
    assert f"pay 2500 usdt-tron to {stranger()}" in err
    approval = tmp_path / "approval.json"
    approval.write_text(out)

    assert office.deployment.json("approve", "deliver", str(approval)) == {"operator": "alice"}
    assert office.sign(2500 * USDT).raw
    assert "came before" in office.deployment.refusal("approve", "deliver", str(approval))


def test_what_is_approved_is_shown_by_the_operator_s_own_registry(office: Office, tmp_path: Path, capsys) -> None:
    """A file that lies about the amount in words is signed for what it says in units, and shown so."""
    request = office.request(2500 * USDT)
    carried = json.loads(office.deployment.say("approve", "show", request).out)
    carried["payment"]["amount"] = "1"
    (tmp_path / "lie.json").write_text(json.dumps(carried))
    capsys.readouterr()
    assert main(["approve", str(tmp_path / "lie.json"), *office.opened, "--yes"]) == 0
    assert "pay 2500 usdt-tron" in capsys.readouterr().err


def test_a_person_must_say_yes(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    request = office.request(2500 * USDT)
    for word, code in (("", 1), ("y", 1), ("no", 1), ("yes", 0)):
        monkeypatch.setattr("builtins.input", lambda prompt, word=word: word)
        said = office.deployment.say("approve", request, *office.opened)
        assert said.code == code
        assert "once, within 1 h" in said.err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("0123456789abcdef",), "see `bitlinkpay approve list`"),
        (("show", "nothing"), "no payment 'nothing' waits"),
        (("deliver", "/nowhere/file"), "No such file"),
    ],
)
def test_what_is_not_there_is_one_line(office: Office, words: tuple[str, ...], reason: str) -> None:
    assert reason in office.deployment.refusal("approve", *words, *office.opened, "--yes")


def test_wrong_ways_to_approve(office: Office, tmp_path: Path) -> None:
    request = office.request(2500 * USDT)
    said = office.deployment.say("approve", request, *office.opened, "--yes", "--hours", "25")
    assert (said.code, said.out) == (1, "")
    assert "--hours takes 1 to 24" in said.err
    said = office.deployment.say("approve", request, "--yes")
    assert "name your key: --operator" in said.err
    said = office.deployment.say("approve", request, "--yes", "--operator", str(office.key))
    assert "BITLINKPAY_OPERATOR_PASSPHRASE or name a key file" in said.err
    (tmp_path / "junk.json").write_text("{}")
    said = office.deployment.say("approve", str(tmp_path / "junk.json"), *office.opened, "--yes")
    assert "is not what `bitlinkpay approve` writes" in said.err
    with pytest.raises(SystemExit):
        main(["approve", "show"])
    with pytest.raises(SystemExit):
        main(["approve", "list", "extra"])


def test_keygen_seals_the_key_and_never_overwrites(office: Office, tmp_path: Path, monkeypatch) -> None:
    assert stat.S_IMODE(office.key.stat().st_mode) == 0o600
    shown = json.loads(office.key.read_bytes())
    assert shown["purpose"] == "operator"
    monkeypatch.setenv("BITLINKPAY_OPERATOR_PASSPHRASE", PASSPHRASE)
    assert "never overwritten" in office.deployment.say("approve", "keygen", str(office.key)).err
    monkeypatch.setenv("BITLINKPAY_OPERATOR_PASSPHRASE", PASSPHRASE)
    said = office.deployment.say("approve", "keygen", str(tmp_path / "bob.key"), "--json")
    assert len(json.loads(said.out)["key"]) == 64
    monkeypatch.setenv("BITLINKPAY_OPERATOR_PASSPHRASE", "another long passphrase")
    said = office.deployment.say(
        "approve", office.request(2500 * USDT), "--operator", str(tmp_path / "bob.key"), "--yes"
    )
    assert "does not open" in said.err


def test_an_operator_whom_nobody_pinned_approves_nothing(office: Office, tmp_path: Path) -> None:
    request = office.request(2500 * USDT)
    eve = tmp_path / "eve.key"
    office.deployment.say("approve", "keygen", str(eve), "--key-file", str(tmp_path / "secret"))
    said = office.deployment.say(
        "approve", request, "--operator", str(eve), "--key-file", str(tmp_path / "secret"), "--yes"
    )
    assert said.code == 1
    assert "no operator whom the signer's policy.toml names" in said.err


# --- bitlinkpay signer ----------------------------------------------------------------------------------------------------


def test_status_shows_caps_used_and_the_audit_s_head(office: Office) -> None:
    office.sign(600 * USDT)
    office.request(2500 * USDT)
    status = office.deployment.json("signer", "status")
    assert (status["is_running"], status["mode"], status["operators"]) == (True, "sandbox", ["alice"])
    assert (status["waiting"], status["refusals"]) == (1, 1)
    used = {row["name"]: row for row in status["used"]}
    assert used["usdt-tron"] == {
        "name": "usdt-tron",
        "hour": "600",
        "hour_cap": "3000",
        "day": "600",
        "day_cap": "5000",
    }
    assert used["fees of tron"]["day"] == "0.000001"
    verified = office.deployment.json("signer", "audit", "--verify")
    assert verified == {
        "ok": True,
        "records": 4,
        "head": f"{status['audit_seq']}:{status['audit_hash']}",
        "problem": "",
    }


def test_the_audit_is_listed_and_verified_against_a_head_kept_elsewhere(office: Office) -> None:
    office.sign(600 * USDT)
    anchor = office.deployment.json("signer", "audit", "--verify")["head"]
    office.request(2500 * USDT)
    rows = office.deployment.json("signer", "audit", "--last", "2")
    assert [row["what"] for row in rows] == ["issued", "refused"]
    assert rows[0]["about"].startswith("first payout on tron, 1 payments: ")
    assert rows[1]["about"].startswith("signer.approval_needed: 2500 usdt-tron to ")
    assert office.deployment.json("signer", "audit", "--verify", "--anchor", anchor)["ok"]

    office.process.terminate()
    office.process.communicate(timeout=90)
    (path,) = (office.folder / "audit").glob("*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:1]))
    said = office.deployment.say("signer", "audit", "--verify", "--anchor", anchor, "--json")
    assert (said.code, json.loads(said.out)["ok"]) == (1, False)
    assert "cut off or rewritten" in said.out
    path.write_bytes(b"".join([lines[0], *lines[2:]]))
    said = office.deployment.say("signer", "audit", "--verify", "--json")
    assert (said.code, json.loads(said.out)["problem"]) == (1, "record 3 does not follow record 1")
    assert "does not hold" in office.deployment.refusal("signer", "audit")


def test_policy_show_and_check(office: Office, tmp_path: Path) -> None:
    shown = office.deployment.json("signer", "policy", "show")
    assert shown["operators"] == ["alice"]
    assert {"asset": "usdt-tron", "payment": "1000", "hour": "3000", "day": "5000"} in shown["caps"]
    assert {row["network"] for row in shown["fees"]} == set(REGISTRY.networks)
    checked = office.deployment.json("signer", "policy", "check")
    assert checked["allows_nothing_for_want_of"] == []
    other = tmp_path / "live.toml"
    other.write_text('mode = "live"')
    other.chmod(0o600)
    checked = office.deployment.json("signer", "policy", "check", str(other))
    assert checked["allows_nothing_for_want_of"] == ["purposes", "caps", "fees", "operators"]
    other.write_text("mode = 1")
    assert str(other) in office.deployment.refusal("signer", "policy", "check", str(other))
    assert "writes one" in office.deployment.refusal("signer", "policy", "check", str(tmp_path / "absent.toml"))


def test_SWP_02_two_operators_sign_a_cold_list_on_their_own_machines(office: Office, tmp_path: Path) -> None:
    keys = {}
    for name in ("alice", "bob"):
        path = tmp_path / f"{name}-2.key"
        made = office.deployment.say("approve", "keygen", str(path), "--key-file", str(tmp_path / "secret"), "--json")
        keys[name] = (path, json.loads(made.out)["key"])
    pinned = "\n".join(f'{name} = "{public}"' for name, (_, public) in keys.items())
    policy = office.folder / "policy.toml"

    def cold(serial: int, address: str, signatures: str = "") -> str:
        rows = f'[cold]\nserial = {serial}\n[cold.addresses]\nusdt-tron = "{address}"\n[cold.signatures]\n{signatures}'
        return f"{POLICY}\n[operators]\n{pinned}\n{rows}\n"

    policy.write_text(cold(1, stranger(1)))
    office.restart()
    assert office.deployment.json("signer", "status")["cold"] == {"usdt-tron": stranger(1)}
    policy.write_text(cold(2, stranger(2)))
    office.restart()
    status = office.deployment.json("signer", "status")
    assert "2 operators must sign it" in status["cold_change"]

    signatures = []
    for name, (path, _) in keys.items():
        words = ("approve", "cold", str(policy), "--signer", status["fingerprint"], "--operator", str(path))
        said = office.deployment.say(*words, "--key-file", str(tmp_path / "secret"), "--yes", "--json")
        assert f"usdt-tron: {stranger(2)}" in said.err
        signatures.append(f'{name} = "{json.loads(said.out)["signature"]}"')
    policy.write_text(cold(2, stranger(2), "\n".join(signatures)))
    office.restart()
    change = office.deployment.json("signer", "status")["cold_change"]
    assert "signed by alice and bob" in change
    assert stranger(2) in change


def test_the_signer_s_own_passphrase_is_no_operator_s(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, PASSPHRASE)
    said = office.deployment.say("approve", office.request(2500 * USDT), "--operator", str(office.key), "--yes")
    assert "set BITLINKPAY_OPERATOR_PASSPHRASE" in said.err


def test_status_over_a_forwarded_socket_asks_the_signer_alone(office: Office, tmp_path: Path, capsys) -> None:
    """A host that has the socket and neither seed nor key, as after `ssh -L`."""
    other = tmp_path / "worker"
    (other / "signer").mkdir(parents=True, mode=0o700)
    (other / "bitlinkpay.toml").write_text('mode = "sandbox"\n')
    (other / "signer" / "signer.sock").symlink_to(office.folder / "signer.sock")
    status = Deployment(other, "", capsys).json("signer", "status")
    assert status["fingerprint"] == office.deployment.json("signer", "status")["fingerprint"]
    assert (status["is_running"], status["made_at"], status["operators"]) == (True, "", ["alice"])
    office.process.kill()
    office.process.wait()
    assert "does not answer" in Deployment(other, "", capsys).refusal("signer", "status")
