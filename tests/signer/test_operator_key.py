"""An operator's key: what it signs counts for one payment and one signer, and its file opens for its owner alone."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from bitlinkpay.core.errors import Problem
from bitlinkpay.signer import operator_key
from bitlinkpay.signer.audit.events import ColdList
from bitlinkpay.signer.operator_key import OperatorKey
from bitlinkpay.signer.policy.approval import Approval, cold_message
from bitlinkpay.signer.policy.operators import find_signer, has_signed
from bitlinkpay.signer.problems import SignerExists, SignerMissing, WrongUnlock
from bitlinkpay.signer.protocol import Waiting
from bitlinkpay.signer.sealing import Content, Purpose, Unlock, create_key_file, from_key_file, seal

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
LIFE = timedelta(hours=2)
SIGNER = "f0" * 16
PAYMENT = Waiting("r", "tron", "usdt-tron", "2000", "TVj7RNVHy6thbM7BWdSe9G6gXwKhjhdNZS", "", 2 * 10**9, "now")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alice.sealed"


@pytest.fixture
def key(path: Path, unlock: Unlock) -> OperatorKey:
    return operator_key.make(path, unlock, now=NOW)


def is_genuine(key: OperatorKey, approval: Approval) -> bool:
    return has_signed(key.public, approval.message(), approval.signature)


def test_an_approval_repeats_the_payment_and_carries_a_good_signature(key: OperatorKey) -> None:
    approval = key.approve(SIGNER, PAYMENT, now=NOW, life=LIFE)
    assert is_genuine(key, approval)
    assert (approval.signer, approval.network, approval.asset) == (SIGNER, "tron", "usdt-tron")
    assert (approval.target, approval.tag, approval.units) == (PAYMENT.target, "", 2 * 10**9)
    assert approval.expires_at == NOW + LIFE


@pytest.mark.parametrize(
    "changed",
    [
        {"signer": "0f" * 16},
        {"network": "ethereum"},
        {"asset": "trx-tron"},
        {"target": "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL"},
        {"tag": "1"},
        {"units": 2 * 10**9 + 1},
        {"reference": "0" * 32},
        {"expires_at": NOW + LIFE + timedelta(seconds=1)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_whatever_is_changed_afterwards_undoes_the_signature(key: OperatorKey, changed: dict[str, object]) -> None:
    approval = key.approve(SIGNER, PAYMENT, now=NOW, life=LIFE)
    assert not is_genuine(key, msgspec.structs.replace(approval, **changed))


def test_two_approvals_of_one_payment_are_two(key: OperatorKey) -> None:
    """The signer takes each reference once: the same payment twice needs two decisions."""
    references = {key.approve(SIGNER, PAYMENT, now=NOW, life=LIFE).reference for _ in range(20)}
    assert len(references) == 20
    assert all(len(bytes.fromhex(reference)) == 16 for reference in references)


def test_an_approval_survives_the_wire(key: OperatorKey) -> None:
    approval = key.approve(SIGNER, PAYMENT, now=NOW, life=LIFE)
    again = msgspec.json.decode(msgspec.json.encode(approval), type=Approval)
    assert again == approval
    assert is_genuine(key, again)


def test_a_cold_list_is_signed_for_one_signer_and_serial_whatever_its_order(key: OperatorKey) -> None:
    one = ColdList(3, {"usdt-tron": "T1", "btc-bitcoin": "b1"})
    turned = ColdList(3, dict(reversed(one.addresses.items())))
    signature = bytes.fromhex(key.sign_cold(SIGNER, one))
    assert len(signature) == 64
    assert has_signed(key.public, cold_message(SIGNER, turned), signature)
    for signer, cold in (
        ("0f" * 16, one),
        (SIGNER, msgspec.structs.replace(one, serial=4)),
        (SIGNER, ColdList(3, {"usdt-tron": "T2", "btc-bitcoin": "b1"})),
        (SIGNER, ColdList(3, {"usdt-tron": "T1"})),
        (SIGNER, ColdList(3, {"usdt-tron": "b1", "btc-bitcoin": "T1"})),
    ):
        assert not has_signed(key.public, cold_message(signer, cold), signature)


def test_an_approval_never_passes_for_a_cold_list(key: OperatorKey) -> None:
    approval = key.approve(SIGNER, PAYMENT, now=NOW, life=LIFE)
    assert not has_signed(key.public, cold_message(SIGNER, ColdList()), approval.signature)
    assert approval.message().split(b"\n")[0] != cold_message(SIGNER, ColdList()).split(b"\n")[0]


def test_the_signer_finds_who_signed_among_its_operators(key: OperatorKey, tmp_path: Path, unlock: Unlock) -> None:
    bob = operator_key.make(tmp_path / "bob.sealed", unlock, now=NOW)
    approval = bob.approve(SIGNER, PAYMENT, now=NOW, life=LIFE)
    operators = {"alice": key.public, "bob": bob.public}
    assert find_signer(operators, approval.message(), approval.signature) == "bob"
    assert find_signer({"alice": key.public}, approval.message(), approval.signature) is None


def test_a_key_is_read_back_as_it_was_made(key: OperatorKey, path: Path, unlock: Unlock) -> None:
    again = operator_key.read(path, unlock)
    assert again.public == key.public
    assert len(bytes.fromhex(key.public)) == 32
    approval = again.approve(SIGNER, PAYMENT, now=NOW, life=LIFE)
    assert is_genuine(key, approval)


def test_its_file_is_its_owner_s_alone_and_tells_nothing(key: OperatorKey, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert bytes(key._key) not in path.read_bytes()
    assert bytes(key._key).hex() not in path.read_text()
    assert bytes(key._key).hex() not in repr(key)
    assert "SigningKey" not in repr(key)


def test_a_key_is_never_written_over_another(key: OperatorKey, path: Path, unlock: Unlock) -> None:
    before = path.read_bytes()
    with pytest.raises(SignerExists):
        operator_key.make(path, unlock, now=NOW)
    assert path.read_bytes() == before


def test_two_keys_are_never_the_same(key: OperatorKey, tmp_path: Path, unlock: Unlock) -> None:
    assert operator_key.make(tmp_path / "second", unlock, now=NOW).public != key.public


def test_neither_another_key_file_nor_a_missing_file_opens(key: OperatorKey, path: Path, tmp_path: Path) -> None:
    create_key_file(tmp_path / "other.key")
    other = from_key_file(tmp_path / "other.key")
    with pytest.raises(WrongUnlock):
        operator_key.read(path, other)
    with pytest.raises(SignerMissing):
        operator_key.read(tmp_path / "nothing", other)


def test_a_sealed_seed_does_not_pass_for_an_operator_s_key(path: Path, unlock: Unlock) -> None:
    """Whoever has the signer's folder has no operator by it."""
    seal(path, Content(Purpose.SEED, "f" * 32, NOW.isoformat(), bytes(32), {}), unlock)
    with pytest.raises(Problem):
        operator_key.read(path, unlock)
