"""Caps of the signer: what leaves without a person, in one payment, an hour, a day; and what a person lets through."""

import contextlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.signer.asking import ALICE, BOB, EVE, NOW, RING, USDT, Asking, stranger

from bitlinkpay.chains.outgoing import Intent
from bitlinkpay.signer.audit.events import Approved, Issued
from bitlinkpay.signer.policy.caps import request_id
from bitlinkpay.signer.policy.windows import Windows
from bitlinkpay.signer.problems import ApprovalNeeded, CapReached, SignerRefused

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BIG = 2500 * USDT


def test_PAY_30_the_cap_of_a_payment_is_inclusive(asking: Asking) -> None:
    assert asking.pay(1000 * USDT).raw
    with pytest.raises(ApprovalNeeded, match=r"1000.000001 usdt-tron to .* above the cap of 1000 usdt-tron a payment"):
        asking.pay(1000 * USDT + 1)


def test_PAY_36_the_hour_s_cap_is_reached_and_free_again_after_an_hour(asking: Asking) -> None:
    for _ in range(3):
        asking.pay(1000 * USDT)
    with pytest.raises(CapReached, match="does not fit into what the caps leave"):
        asking.pay(1)
    asking.clock.advance(HOUR - MINUTE)
    with pytest.raises(CapReached):
        asking.pay(1)
    asking.clock.advance(2 * MINUTE)
    assert asking.pay(1000 * USDT).raw


def test_PAY_36_the_day_s_cap_holds_over_many_hours(asking: Asking) -> None:
    for _ in range(5):
        asking.pay(1000 * USDT)
        asking.clock.advance(2 * HOUR)
    with pytest.raises(CapReached):
        asking.pay(1)
    asking.clock.advance(DAY - 10 * HOUR + MINUTE)
    assert asking.pay(1000 * USDT).raw
    with pytest.raises(CapReached):
        asking.pay(1)


def test_PAY_36_many_small_payments_in_one_intent_count_together(asking: Asking) -> None:
    payments = [asking.payment(1000 * USDT, to=stranger(n)) for n in range(4)]
    with pytest.raises(CapReached) as reached:
        asking.sign(asking.intent(*payments))
    assert reached.value.payments == (3,)
    assert asking.sign(asking.intent(*payments[:3])).raw


def test_refusals_name_the_payments_that_are_in_the_way(asking: Asking) -> None:
    big = asking.payment(BIG, to=stranger(2))
    intent = asking.intent(asking.payment(), big, asking.payment(), big)
    with pytest.raises(ApprovalNeeded) as needed:
        asking.sign(intent)
    assert needed.value.payments == (1, 3)
    assert f"bitlinkpay approve {request_id('tron', big)}" in needed.value.message
    assert asking.sign(asking.intent(asking.payment(), asking.payment())).raw


def test_an_asset_that_the_file_does_not_name_has_a_sandbox_s_caps(asking: Asking) -> None:
    asset = asking.room.registry.assets["trx-tron"]
    with pytest.raises(ApprovalNeeded):
        asking.sign(asking.intent(asking.payment(asset.sanity_units + 1, asset="trx-tron")))
    assert asking.sign(asking.intent(asking.payment(asset.sanity_units, asset="trx-tron"))).raw


# --- an operator's hand ---------------------------------------------------------------------------------------------------


def test_an_approved_payment_is_signed_once_and_takes_nothing_from_the_caps(asking: Asking) -> None:
    payment = asking.payment(BIG)
    with pytest.raises(ApprovalNeeded):
        asking.sign(asking.intent(payment))
    (waiting,) = asking.waitings.listed()
    assert (waiting.request, waiting.amount, waiting.target) == (request_id("tron", payment), "2500", stranger())
    assert asking.waitings.approve(asking.approval(payment)) == "alice"
    assert asking.waitings.listed() == ()
    approved = asking.audit()[-1]
    assert isinstance(approved, Approved)
    assert (approved.operator, approved.units, approved.target) == ("alice", BIG, stranger())

    assert asking.sign(asking.intent(payment)).raw
    issued = asking.audit()[-1]
    assert isinstance(issued, Issued)
    assert issued.approvals == (approved.reference,)
    assert dict(issued.takes) == {"fees of tron": USDT}
    with pytest.raises(ApprovalNeeded):
        asking.sign(asking.intent(payment))


def test_an_approval_waits_for_its_payment_through_a_restart(asking: Asking) -> None:
    payment = asking.payment(BIG)
    asking.waitings.approve(asking.approval(payment))
    asking.restart()
    assert asking.sign(asking.intent(asking.payment(), payment)).raw
    asking.restart()
    with pytest.raises(ApprovalNeeded):
        asking.sign(asking.intent(payment))


def test_a_bump_of_an_approved_payment_needs_no_second_approval_but_another_place_does(asking: Asking) -> None:
    payment = asking.payment(BIG)
    asking.waitings.approve(asking.approval(payment))
    intent = asking.intent(payment)
    first = asking.sign(intent, fee=1)
    second = asking.sign(intent, fee=2)
    with pytest.raises(ApprovalNeeded):
        asking.sign(intent, number=2, dead=[first.txid, second.txid])
    asking.waitings.approve(asking.approval(payment))
    assert asking.sign(intent, number=2, dead=[first.txid, second.txid]).raw


@pytest.mark.parametrize(
    "change",
    [{"units": BIG + 1}, {"to": stranger(1)}, {"tag": "x"}],
    ids=["amount", "address", "tag"],
)
def test_PAY_35_an_approval_covers_every_field_of_the_payment(asking: Asking, change: dict[str, object]) -> None:
    asking.waitings.approve(asking.approval(asking.payment(BIG)))
    with pytest.raises(ApprovalNeeded):
        asking.sign(asking.intent(asking.payment(**({"units": BIG} | change))))  # type: ignore[arg-type]
    assert asking.sign(asking.intent(asking.payment(BIG))).raw


@pytest.mark.parametrize("field", ["network", "asset", "target", "tag", "units", "reference", "expires_at", "signer"])
def test_PAY_35_an_approval_altered_after_it_was_signed_is_refused(asking: Asking, field: str) -> None:
    genuine = asking.approval(asking.payment(BIG))
    other: dict[str, object] = {
        "units": BIG + 1,
        "expires_at": genuine.expires_at + MINUTE,
        "signer": "0" * 32,
        "network": "ethereum",
        "asset": "trx-tron",
        "target": stranger(3),
        "tag": "x",
        "reference": "0" * 32,
    }
    forged = msgspec.structs.replace(genuine, **{field: other[field]})
    with pytest.raises(SignerRefused, match="no operator"):
        asking.waitings.approve(forged)
    assert asking.waitings.approve(genuine) == "alice"


def test_PAY_36_only_pinned_operators_approve(asking: Asking) -> None:
    payment = asking.payment(BIG)
    assert asking.waitings.approve(asking.approval(payment, BOB)) == "bob"
    for signature in (asking.approval(payment, EVE).signature, b"", bytes(64), b"short"):
        forged = msgspec.structs.replace(asking.approval(payment), signature=signature)
        with pytest.raises(SignerRefused, match=r"no operator whom the signer's policy\.toml names"):
            asking.waitings.approve(forged)


def test_PAY_38_an_approval_counts_once_for_this_signer_and_for_a_day_at_most(asking: Asking) -> None:
    payment = asking.payment(BIG)
    once = asking.approval(payment)
    asking.waitings.approve(once)
    with pytest.raises(SignerRefused, match="came before"):
        asking.waitings.approve(once)
    asking.sign(asking.intent(payment))
    asking.restart()
    with pytest.raises(SignerRefused, match="came before"):
        asking.waitings.approve(once)
    with pytest.raises(SignerRefused, match="for the signer 00000000"):
        asking.waitings.approve(asking.approval(payment, signer="0" * 32))
    for expires_at in (NOW, NOW - HOUR, NOW + DAY + MINUTE, datetime(2026, 11, 25, 13, 0)):
        with pytest.raises(SignerRefused, match="for a day at most"):
            asking.waitings.approve(asking.approval(payment, expires_at=expires_at))


def test_an_approval_expires(asking: Asking) -> None:
    payment = asking.payment(BIG)
    asking.waitings.approve(asking.approval(payment, expires_at=NOW + HOUR))
    asking.clock.advance(HOUR)
    with pytest.raises(ApprovalNeeded):
        asking.sign(asking.intent(payment))


def test_two_equal_payments_need_two_approvals(asking: Asking) -> None:
    payment = asking.payment(BIG)
    asking.waitings.approve(asking.approval(payment))
    with pytest.raises(ApprovalNeeded) as needed:
        asking.sign(asking.intent(payment, payment))
    assert needed.value.payments == (1,)
    asking.waitings.approve(asking.approval(payment, BOB))
    assert asking.sign(asking.intent(payment, payment)).raw


def test_a_reached_cap_can_be_approved_too(asking: Asking) -> None:
    for _ in range(3):
        asking.pay(1000 * USDT)
    payment = asking.payment(5 * USDT)
    with pytest.raises(CapReached, match="wait, or approve it with `bitlinkpay approve"):
        asking.sign(asking.intent(payment))
    asking.waitings.approve(asking.approval(payment))
    assert asking.sign(asking.intent(payment)).raw


def test_what_waits_is_bounded_and_the_oldest_goes_first(asking: Asking) -> None:
    for n in range(300):
        with pytest.raises(ApprovalNeeded):
            asking.pay(BIG + n)
    assert len(asking.waitings) == 256
    assert asking.waitings.listed()[-1].units == BIG + 299
    with pytest.raises(ApprovalNeeded):
        asking.pay(BIG + 299)
    assert len(asking.waitings) == 256


def test_a_flood_of_refusals_does_not_fill_the_disk(asking: Asking) -> None:
    before = len(asking.audit())
    for _ in range(200):
        with pytest.raises(ApprovalNeeded):
            asking.pay(BIG)
    assert len(asking.audit()) - before == 60
    asking.clock.advance(MINUTE)
    with pytest.raises(ApprovalNeeded):
        asking.pay(BIG)
    assert asking.audit()[-1].unwritten == 140  # type: ignore[union-attr]
    assert asking.room.history.refusals == 201


# --- windows --------------------------------------------------------------------------------------------------------------


def test_what_was_taken_counts_for_its_whole_window() -> None:
    windows = Windows(DAY)
    windows.take("a", 5, NOW + timedelta(seconds=59))
    for seconds in (59, 60, 3599, 3600, 3659):
        assert windows.spent("a", HOUR, NOW + timedelta(seconds=seconds)) == 5
    assert windows.spent("a", HOUR, NOW + timedelta(seconds=3660)) == 0
    assert windows.spent("b", HOUR, NOW) == 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 100)), max_size=60))
def test_windows_never_count_less_than_was_taken_and_forget_a_minute_late_at_most(takes) -> None:
    windows, taken, at = Windows(DAY), [], NOW
    for pause_s, units in takes:
        at += timedelta(seconds=pause_s)
        windows.take("a", units, at)
        taken.append((at, units))
        for window in (HOUR, DAY):
            exact = sum(u for when, u in taken if when > at - window)
            late = sum(u for when, u in taken if when > at - window - 2 * MINUTE)
            assert exact <= windows.spent("a", window, at) <= late


@dataclass
class Thief:
    """Owns the database: asks for anything in any order, and lies about what is dead."""

    asking: Asking
    paid: list[tuple[datetime, int]] = field(default_factory=list)
    asked: list[tuple[Intent, list[str]]] = field(default_factory=list)

    def pay(self, intent: Intent, txids: list[str]) -> None:
        """Ask at a place of its own; what is signed may be paid, whatever is claimed of the versions before."""
        try:
            signed = self.asking.sign(intent, number=100 + len(self.paid), dead=txids)
        except SignerRefused:
            return
        if not txids:
            self.asked.append((intent, txids))
        txids.append(signed.txid)
        self.paid.append((self.asking.clock.now(), sum(payment.units for payment in intent.payments)))

    def bump(self, intent: Intent, fee: int) -> None:
        with contextlib.suppress(SignerRefused):
            self.asking.sign(intent, fee=fee)

    def most_in(self, window: timedelta) -> int:
        sums = [sum(units for when, units in self.paid if at - window < when <= at) for at, _ in self.paid]
        return max(sums, default=0)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_PAY_36_no_sequence_of_questions_gets_more_than_the_caps(data: st.DataObject) -> None:
    """Payouts, bumps, claims of death, restarts and pauses in any order: unapproved money stays within every window."""
    with TemporaryDirectory() as folder:
        asking = Asking.start(Path(folder) / "signer")
        thief = Thief(asking)
        for _ in range(data.draw(st.integers(1, 25))):
            match data.draw(st.sampled_from(["pay", "pay", "pay", "again", "bump", "restart", "pause"])):
                case "pay":
                    units, count = data.draw(st.integers(1, 1100)), data.draw(st.integers(1, 4))
                    thief.pay(asking.intent(*[asking.payment(units * USDT)] * count), [])
                case "again" if thief.asked:
                    thief.pay(*data.draw(st.sampled_from(thief.asked)))
                case "bump" if thief.asked:
                    thief.bump(data.draw(st.sampled_from(thief.asked))[0], data.draw(st.integers(1, 9)))
                case "restart":
                    asking.restart()
                case _:
                    asking.clock.advance(data.draw(st.integers(1, 90)) * MINUTE)
        assert thief.most_in(HOUR) <= 3000 * USDT
        assert thief.most_in(DAY) <= 5000 * USDT


def test_the_ring_of_these_tests_is_the_one_that_approvals_name(asking: Asking) -> None:
    assert asking.approval(asking.payment()).signer == RING.fingerprint == asking.room.ring.fingerprint
    assert asking.approval(asking.payment()).message() != asking.approval(asking.payment(), ALICE, tag="x").message()
