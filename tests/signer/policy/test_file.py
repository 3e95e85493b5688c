"""The policy file: a live one allows only what it names, and every refusal says which line to add."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from tests.signer.asking import ALICE, COLD, RING, hot, stranger

from bitlinkpay.chains.outgoing import Intent, Payment, Purpose
from bitlinkpay.chains.registry_rows import BadRegistry
from bitlinkpay.core.mode import Mode
from bitlinkpay.signer.policy.file import BadPolicy, load_policy
from bitlinkpay.signer.policy.history import History
from bitlinkpay.signer.policy.model import Caps, FeeCaps
from bitlinkpay.signer.policy.rules import Grant, Question, decide
from bitlinkpay.signer.policy.template import write_template
from bitlinkpay.signer.problems import LooseFile, SignerRefused

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
KEY = bytes(ALICE.verify_key).hex()


def load(tmp_path: Path, text: str):
    path = tmp_path / "policy.toml"
    path.write_text(text)
    path.chmod(0o600)
    return load_policy(path)


def test_no_file_is_a_live_signer_that_allows_nothing(tmp_path: Path) -> None:
    policy, registry = load_policy(tmp_path / "policy.toml")
    assert (policy.mode, policy.purposes, dict(policy.caps), dict(policy.fees)) == (Mode.LIVE, frozenset(), {}, {})
    assert "ethereum" in registry.networks


def test_a_whole_file(tmp_path: Path) -> None:
    policy, _ = load(
        tmp_path,
        f"""
        mode = "live"
        purposes = ["payout", "cold"]
        attempts = 4
        operators = {{ alice = "{KEY}" }}
        caps.usdt-tron = {{ payment = "0.5", hour = "1", day = "1.000001" }}
        fees.tron = {{ most = "20", day = "100" }}
        cold = {{ serial = 7, addresses = {{ usdt-tron = "{COLD}" }}, signatures = {{ alice = "{"ab" * 64}" }} }}
        """,
    )
    assert policy.purposes == {Purpose.PAYOUT, Purpose.COLD}
    assert (policy.attempts_max, dict(policy.operators)) == (4, {"alice": KEY})
    assert dict(policy.caps) == {"usdt-tron": Caps(500_000, 1_000_000, 1_000_001)}
    assert dict(policy.fees) == {"tron": FeeCaps(20_000_000, 100_000_000)}
    assert (policy.cold.serial, policy.cold.addresses) == (7, {"usdt-tron": COLD})
    assert policy.cold_signatures["alice"] == b"\xab" * 64
    assert len(policy.digest) == 64


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mode = ", "Invalid value"),
        ('mode = "test"', "Invalid enum value 'test'"),
        ("colour = 1", "unknown field `colour`"),
        ('purposes = ["payout", "theft"]', "Invalid enum value 'theft'"),
        ("caps.usdt-tron = 5", "Expected `object`, got `int`"),
        ('caps.usdt-tron = { payment = "1" }', "missing required field `hour`"),
        ('caps.usdt-tron = { payment = 1, hour = "1", day = "1" }', "Expected `str`, got `int`"),
        ('caps.usdt-tron = { payment = "1e3", hour = "1", day = "1" }', "caps.usdt-tron: write the number"),
        ('caps.usdt-tron = { payment = "-1", hour = "1", day = "1" }', "write the number in plain digits"),
        ('caps.usdt-tron = { payment = "0.0000001", hour = "1", day = "1" }', "6 after it"),
        ('caps.usdt-tron = { payment = "2", hour = "1", day = "3" }', "payment <= hour <= day"),
        ('caps.usdt-tron = { payment = "1", hour = "3", day = "2" }', "payment <= hour <= day"),
        ('caps.usdt-moon = { payment = "1", hour = "1", day = "1" }', "no asset 'usdt-moon'"),
        ('fees.moon = { most = "1", day = "1" }', "no network 'moon'"),
        ('fees.tron = { most = "2", day = "1" }', "write most <= day"),
        ('operators.alice = "abc"', "64 hex digits"),
        (f'operators.alice = "{KEY.upper()}"', "64 hex digits"),
        (f'operators = {{ alice = "{KEY}", bob = "{KEY}" }}', "two names have one key"),
        ('cold.addresses.usdt-tron = "elsewhere"', "cold.addresses.usdt-tron: "),
        (f'cold.addresses.usdt-ethereum = "{COLD}"', "cold.addresses.usdt-ethereum: "),
        ('cold.signatures.alice = "abc"', "128 hex digits"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(BadPolicy) as bad:
        load(tmp_path, text)
    assert reason in bad.value.message
    assert str(tmp_path / "policy.toml") in bad.value.message


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("")
    (tmp_path / "policy.toml").chmod(0o644)
    with pytest.raises(LooseFile):
        load_policy(tmp_path / "policy.toml")


def test_the_operator_s_own_networks_and_tokens_are_named_by_file(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        """
        [assets.eurt-tron]
        symbol = "EURT"
        network = "tron"
        standard = "TRC20"
        contract = "TPYmHEhy5n8TCEfYGqW2rPxsghSfzghPDn"
        decimals = 6
        payable_decimals = 6
        wm_coin_id = 77
        minimum = "0.01"
        sanity = "1000"
        payable = true
        """
    )
    text = 'registry_files = ["own.toml"]\ncaps.eurt-tron = { payment = "1", hour = "2", day = "3" }'
    policy, registry = load(tmp_path, text)
    assert policy.caps["eurt-tron"].day == 3_000_000
    assert registry.assets["eurt-tron"].symbol == "EURT"
    with pytest.raises(BadRegistry):
        load(tmp_path, 'registry_files = ["absent.toml"]')


# --- the files that a new signer gets ---------------------------------------------------------------------------------------


def test_a_sandbox_s_file_allows_simulated_payments_of_everything(tmp_path: Path) -> None:
    assert write_template(tmp_path, Mode.SANDBOX)
    policy, registry = load_policy(tmp_path / "policy.toml")
    assert policy.mode is Mode.SANDBOX
    assert policy.purposes == frozenset(Purpose)
    assert policy.caps.keys() == registry.assets.keys()
    assert policy.fees.keys() == registry.networks.keys()
    assert (policy.cold.addresses, dict(policy.operators)) == ({}, {})


def test_a_live_file_allows_nothing_and_its_examples_are_right(tmp_path: Path) -> None:
    assert write_template(tmp_path, Mode.LIVE)
    path = tmp_path / "policy.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    policy, _ = load_policy(path)
    assert (policy.mode, policy.purposes) == (Mode.LIVE, frozenset())
    assert not policy.caps
    lines = path.read_text().splitlines()
    used = [line.removeprefix("# ") if line.startswith("# ") and " = " in line else line for line in lines]
    text = "\n".join(used).replace("64 hex digits", KEY).replace("0x…", stranger(network="ethereum"))
    policy, _ = load(tmp_path, text.replace("128 hex digits, as `bitlinkpay approve cold` prints them", "ab" * 64))
    assert policy.caps.keys() == {"usdt-ethereum"}
    assert policy.fees.keys() == {"ethereum"}
    assert policy.operators.keys() == policy.cold_signatures.keys() == {"alice"}


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("mode = 'live'")
    assert not write_template(tmp_path, Mode.SANDBOX)
    assert (tmp_path / "policy.toml").read_text() == "mode = 'live'"


def test_registry_files_are_written_down_with_their_whole_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("devnet.toml").write_text("")
    write_template(tmp_path, Mode.LIVE, [Path("devnet.toml")])
    assert f'registry_files = ["{tmp_path}/devnet.toml"]' in (tmp_path / "policy.toml").read_text()
    load_policy(tmp_path / "policy.toml")


# --- what a live policy does not name -----------------------------------------------------------------------------------------


def question(registry, purpose: Purpose = Purpose.PAYOUT) -> Question:
    network, payer = registry.networks["tron"], hot()
    intent = Intent(
        intent_id=UUID(int=1),
        network="tron",
        purpose=purpose,
        payer=payer,
        payments=(Payment(payer, "usdt-tron", stranger(), "", 10**6),),
        fee_max_units=10**6,
        expires_at=NOW + timedelta(hours=1),
    )
    assets = {asset.id: asset for asset in registry.assets_of("tron")}
    hot_addresses = frozenset(wallet.address for wallet in RING.hot_wallets(network))
    return Question(intent, network, assets, "", "", "", hot_addresses, frozenset(), frozenset())


@pytest.mark.parametrize(
    ("missing", "line"),
    [
        ("purposes", 'add "payout" to `purposes`'),
        ("fees", 'add `tron = { most = "…", day = "…" }` under [fees]'),
        ("caps", 'add `usdt-tron = { payment = "…", hour = "…", day = "…" }` under [caps]'),
        ("", ""),
    ],
)
def test_each_refusal_of_a_live_signer_says_which_line_to_add(tmp_path: Path, missing: str, line: str) -> None:
    rows = {
        "purposes": 'purposes = ["payout"]',
        "fees": 'fees.tron = { most = "1", day = "1" }',
        "caps": 'caps.usdt-tron = { payment = "1", hour = "1", day = "1" }',
    }
    policy, registry = load(tmp_path, "\n".join(text for name, text in rows.items() if name != missing))
    if not missing:
        assert isinstance(decide(policy, History(), question(registry), NOW), Grant)
        return
    with pytest.raises(SignerRefused) as refusal:
        decide(policy, History(), question(registry), NOW)
    assert line in refusal.value.message
    assert "policy.toml" in refusal.value.message


@pytest.mark.parametrize("purpose", list(Purpose))
def test_every_purpose_has_to_be_named(tmp_path: Path, purpose: Purpose) -> None:
    others = [f'"{other}"' for other in Purpose if other is not purpose]
    policy, registry = load(tmp_path, f"purposes = [{', '.join(others)}]")
    with pytest.raises(SignerRefused, match=f"nothing is signed for {purpose}"):
        decide(policy, History(), question(registry, purpose), NOW)


def test_PAY_15_a_fee_above_the_cap_is_refused_and_the_day_s_fees_are_counted(tmp_path: Path) -> None:
    policy, registry = load(
        tmp_path,
        'purposes = ["payout"]\nfees.tron = { most = "0.999999", day = "1" }\n'
        'caps.usdt-tron = { payment = "1", hour = "1", day = "1" }',
    )
    with pytest.raises(SignerRefused, match=r"at most 0.999999 trx-tron"):
        decide(policy, History(), question(registry), NOW)
    policy, registry = load(
        tmp_path,
        'purposes = ["payout"]\nfees.tron = { most = "1", day = "1.5" }\n'
        'caps.usdt-tron = { payment = "1", hour = "1", day = "1" }',
    )
    history = History()
    history.windows.take("fees of tron", 500_001, NOW - timedelta(hours=5))
    with pytest.raises(SignerRefused, match=r"fees on tron have reached 0.500001 trx-tron of 1.5 trx-tron a day"):
        decide(policy, history, question(registry), NOW)
    history = History()
    history.windows.take("fees of tron", 500_001, NOW - timedelta(hours=24, minutes=1))
    assert decide(policy, history, question(registry), NOW).takes[0] == ("fees of tron", 10**6)
