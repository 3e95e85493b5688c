"""One wrong answer of a key library is told by its name, and no key is made or used after it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bitlinkpay.signer import selftest, service
from bitlinkpay.signer.problems import SelfTestFailed
from bitlinkpay.signer.sealing import Unlock

NOW = datetime(2026, 11, 25, tzinfo=UTC)
BROKEN = {
    "BIP-32": ("BIP32_PATH", "m/0'/1/2'/2/1000000001"),
    "SLIP-0010": ("SLIP10_PATH", "m/0'/1'/2'/2'/1000000001'"),
    "TON wallet": ("TON_KEY", bytes(32)),
}


def test_all_answers_are_right_on_this_machine() -> None:
    selftest.run()


@pytest.mark.parametrize("name", BROKEN)
def test_a_wrong_answer_is_told_by_the_name_of_its_standard(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(selftest, *BROKEN[name])
    with pytest.raises(SelfTestFailed, match=f"'{name}' failed"):
        selftest.run()


@pytest.mark.parametrize("name", selftest.PHRASE_ADDRESSES)
def test_each_family_s_first_address_counts(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    wrong = selftest.PHRASE_ADDRESSES | {name: selftest.PHRASE_ADDRESSES[name][:-1] + "0"}
    monkeypatch.setattr(selftest, "PHRASE_ADDRESSES", wrong)
    with pytest.raises(SelfTestFailed, match=f"first {name} address"):
        selftest.run()


def test_another_seed_is_noticed_by_every_family(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one of the addresses is a constant that would be right for any seed."""
    found = selftest._first_addresses(selftest.derive_keyring(bytes(64)))
    assert found.keys() == selftest.PHRASE_ADDRESSES.keys()
    assert all(found[name] != address for name, address in selftest.PHRASE_ADDRESSES.items())
    monkeypatch.setattr(selftest, "PHRASE_SEED", bytes(64))
    with pytest.raises(SelfTestFailed):
        selftest.run()


def test_a_failure_says_that_the_machine_is_at_fault() -> None:
    failure = SelfTestFailed("BIP-32")
    assert failure.code == "signer.self_test"
    assert "libraries on this machine are broken" in failure.message


def test_no_seed_is_made_on_a_broken_machine(monkeypatch: pytest.MonkeyPatch, folder: Path, unlock: Unlock) -> None:
    monkeypatch.setattr(selftest, "TON_KEY", bytes(32))
    with pytest.raises(SelfTestFailed):
        service.init(folder, unlock, now=NOW)
    assert not folder.exists() or not any(folder.iterdir())
