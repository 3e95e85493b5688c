"""The cold list: two operators and two days between a change and the first coin that follows it."""

from datetime import timedelta

import pytest
from nacl.signing import SigningKey
from tests.signer.asking import ALICE, BOB, COLD, EVE, POLICY, RING, USDT, Asking, stranger

from bitlinkpay.chains.outgoing import Purpose
from bitlinkpay.signer.audit.events import ColdInForce, ColdList, ColdPlanned
from bitlinkpay.signer.policy.approval import cold_message
from bitlinkpay.signer.problems import SignerRefused
from bitlinkpay.signer.standing import standing

NEW = stranger(6)
HOUR = timedelta(hours=1)


def policy(*signers: tuple[str, SigningKey], serial: int = 2, address: str = NEW, fingerprint: str = "") -> str:
    """Return the tests' policy with another cold list, signed by whom the test names."""
    message = cold_message(fingerprint or RING.fingerprint, ColdList(serial, {"usdt-tron": address}))
    rows = "".join(f'{name} = "{key.sign(message).signature.hex()}"\n' for name, key in signers)
    changed = POLICY.replace("serial = 1", f"serial = {serial}").replace(COLD, address)
    return f"{changed}\n[cold.signatures]\n{rows}"


def reconfigure(asking: Asking, text: str) -> None:
    asking.configure(text)
    asking.restart()


def pays_cold(asking: Asking, address: str) -> bool:
    try:
        asking.sign(asking.intent(asking.payment(USDT, to=address), purpose=Purpose.COLD))
    except SignerRefused:
        return False
    return True


def change_of(asking: Asking) -> str:
    return standing(asking.room, waiting=0).cold_change


def test_the_first_list_is_in_force_at_once(asking: Asking) -> None:
    assert pays_cold(asking, COLD)
    assert change_of(asking) == ""
    assert [event for event in asking.audit() if isinstance(event, ColdInForce)] == [
        ColdInForce(ColdList(1, {"usdt-tron": COLD}))
    ]
    asking.restart()
    assert len([event for event in asking.audit() if isinstance(event, ColdInForce)]) == 1


def test_an_empty_list_is_no_first_list(tmp_path) -> None:
    asking = Asking.start(tmp_path / "s", POLICY.split("[cold]")[0])
    assert not pays_cold(asking, COLD)
    reconfigure(asking, POLICY)
    assert pays_cold(asking, COLD)


def test_SWP_02_a_change_takes_two_operators_and_48_hours(asking: Asking) -> None:
    reconfigure(asking, policy(("alice", ALICE), ("bob", BOB)))
    planned = asking.audit()[-1]
    assert isinstance(planned, ColdPlanned)
    assert planned.change is not None
    assert planned.change.operators == ("alice", "bob")
    assert planned.change.at == asking.clock.now() + 48 * HOUR
    assert "signed by alice and bob" in change_of(asking)
    assert NEW in change_of(asking)
    for _ in range(47):
        asking.clock.advance(HOUR)
        assert pays_cold(asking, COLD)
        assert not pays_cold(asking, NEW)
    asking.clock.advance(HOUR)
    assert pays_cold(asking, NEW)
    assert not pays_cold(asking, COLD)
    assert change_of(asking) == ""


def test_SWP_02_the_48_hours_go_on_through_restarts_and_files(asking: Asking) -> None:
    reconfigure(asking, policy(("alice", ALICE), ("bob", BOB)))
    for _ in range(6):
        asking.clock.advance(7 * HOUR)
        asking.room.journal.longest_file = 500  # each record begins a file: only what files begin with is carried on
        assert pays_cold(asking, COLD)
        asking.restart()
        assert "in force from 2026-11-27 12:00 UTC" in change_of(asking)
    asking.clock.advance(7 * HOUR)
    asking.restart()
    assert pays_cold(asking, NEW)


@pytest.mark.parametrize(
    ("signers", "reason"),
    [
        ((), "2 operators must sign it with `bitlinkpay approve cold`, nobody did"),
        ((("alice", ALICE),), "alice did"),
        ((("alice", ALICE), ("bob", ALICE)), "alice did"),
        ((("alice", EVE), ("bob", EVE)), "nobody did"),
        ((("alice", ALICE), ("eve", EVE)), "alice did"),
    ],
    ids=["nobody", "one", "one for two", "strangers", "one and a stranger"],
)
def test_SWP_02_fewer_than_two_operators_change_nothing(asking: Asking, signers, reason: str) -> None:
    reconfigure(asking, policy(*signers))
    assert reason in change_of(asking)
    asking.clock.advance(72 * HOUR)
    asking.restart()
    assert pays_cold(asking, COLD)
    assert not pays_cold(asking, NEW)
    assert asking.pay().raw  # payouts go on


def test_SWP_02_signatures_are_for_one_list_of_one_signer(asking: Asking) -> None:
    both = (("alice", ALICE), ("bob", BOB))
    signed = policy(*both)
    for text in (
        signed.replace(NEW, stranger(5)),
        signed.replace("serial = 2", "serial = 3"),
        policy(*both, fingerprint="0" * 32),
    ):
        reconfigure(asking, text)
        assert "nobody did" in change_of(asking)
    assert pays_cold(asking, COLD)


def test_SWP_02_a_list_of_old_can_t_come_back(asking: Asking) -> None:
    reconfigure(asking, policy(("alice", ALICE), ("bob", BOB)))
    asking.clock.advance(48 * HOUR)
    assert pays_cold(asking, NEW)
    back = policy(("alice", ALICE), ("bob", BOB), serial=2, address=COLD)
    reconfigure(asking, back)
    assert "its serial must be above 2" in change_of(asking)
    reconfigure(asking, policy(("alice", ALICE), ("bob", BOB), serial=3, address=COLD))
    assert "in force from" in change_of(asking)


def test_SWP_02_a_planned_change_is_taken_back_by_the_old_file(asking: Asking) -> None:
    reconfigure(asking, policy(("alice", ALICE), ("bob", BOB)))
    reconfigure(asking, POLICY)
    assert asking.audit()[-1] == ColdPlanned(None)
    asking.clock.advance(72 * HOUR)
    assert pays_cold(asking, COLD)
    assert not pays_cold(asking, NEW)


def test_SWP_02_another_change_starts_the_48_hours_anew(asking: Asking) -> None:
    reconfigure(asking, policy(("alice", ALICE), ("bob", BOB)))
    asking.clock.advance(40 * HOUR)
    reconfigure(asking, policy(("alice", ALICE), ("bob", BOB), serial=3, address=stranger(4)))
    asking.clock.advance(40 * HOUR)
    assert pays_cold(asking, COLD)
    asking.clock.advance(8 * HOUR)
    assert pays_cold(asking, stranger(4))
