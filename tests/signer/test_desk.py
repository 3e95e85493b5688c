"""What the desk signs and what it refuses, whoever asks: a stolen database or a stolen worker must not be enough."""

from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256

import pytest
from tests.signer.asking import COLD, NOW, REGISTRY, USDT, Asking, but, deposit, hot, stranger

from bitlinkpay.chains.outgoing import Intent, Purpose
from bitlinkpay.chains.registry import UnknownNetwork
from bitlinkpay.chains.simulated_check import decode
from bitlinkpay.signer.audit.events import Issued, Refused
from bitlinkpay.signer.problems import (
    ApprovalNeeded,
    CapReached,
    ClockJumped,
    ForeignAsset,
    ForeignWallet,
    PlanMismatch,
    SignerRefused,
)

SECOND = timedelta(seconds=1)


def test_a_payout_is_signed_and_written_down(asking: Asking) -> None:
    intent = asking.intent(asking.payment(), asking.payment(7, to=stranger(1)))
    signed = asking.sign(intent)
    assert decode(REGISTRY.networks["tron"], signed.raw).intent == intent
    issued = asking.audit()[-1]
    assert isinstance(issued, Issued)
    assert (issued.intent, issued.txid, issued.kind) == (intent, signed.txid, "first")
    assert issued.raw == sha256(signed.raw).hexdigest()
    assert dict(issued.takes) == {"usdt-tron": 100 * USDT + 7, "fees of tron": intent.fee_max_units}


def test_the_same_question_has_the_same_answer_and_takes_nothing_more(asking: Asking) -> None:
    intent = asking.intent(asking.payment())
    first = asking.sign(intent)
    before = len(asking.audit())
    assert asking.sign(intent) == first
    asking.restart()
    assert asking.sign(intent) == first
    assert len([event for event in asking.audit() if isinstance(event, Issued)]) == 1
    assert len(asking.audit()) == before + 1  # the restart


# --- one intent, for ever ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda i: but(i, units=i.payments[0].units + 1),
        lambda i: but(i, target=stranger(5)),
        lambda i: but(i, asset="trx-tron"),
        lambda i: but(i, tag="another"),
        lambda i: replace(i, payments=(*i.payments, i.payments[0])),
        lambda i: replace(i, payer=hot(index=1), payments=(replace(i.payments[0], source=hot(index=1)),)),
        lambda i: replace(i, fee_max_units=i.fee_max_units + 1),
        lambda i: replace(i, expires_at=i.expires_at + SECOND),
        lambda i: replace(i, purpose=Purpose.COLD, payments=(replace(i.payments[0], target=COLD),)),
    ],
    ids=["amount", "address", "asset", "tag", "more payments", "payer", "fee", "expiry", "purpose"],
)
@pytest.mark.parametrize("has_restarted", [False, True])
def test_PAY_35_an_intent_altered_after_it_was_signed_is_refused(asking: Asking, change, has_restarted: bool) -> None:
    intent = asking.intent(asking.payment())
    asking.sign(intent)
    if has_restarted:
        asking.restart()
    with pytest.raises(SignerRefused, match="an intent never changes"):
        asking.sign(change(intent), fee=1)
    assert isinstance(asking.audit()[-1], Refused)


def test_PAY_08_a_bump_keeps_the_payment_and_takes_nothing_more(asking: Asking) -> None:
    intent = asking.intent(asking.payment(1000 * USDT))
    txids = {asking.sign(intent, fee=fee).txid for fee in (1, 2, 3)}
    assert len(txids) == 3
    assert asking.room.history.windows.spent("usdt-tron", timedelta(hours=1), NOW) == 1000 * USDT
    with pytest.raises(SignerRefused, match="signed 3 times already"):
        asking.sign(intent, fee=4)
    assert asking.sign(intent, fee=2).txid in txids


def test_another_place_needs_the_claim_that_the_first_is_dead_and_takes_the_caps_again(asking: Asking) -> None:
    intent = asking.intent(asking.payment(1000 * USDT))
    first = asking.sign(intent, number=1)
    with pytest.raises(SignerRefused, match=f"{first.txid} was signed for this intent.*prove it dead"):
        asking.sign(intent, number=2)
    with pytest.raises(SignerRefused, match="prove it dead"):
        asking.sign(intent, number=2, dead=["another"])
    second = asking.sign(intent, number=2, dead=[first.txid])
    issued = asking.audit()[-1]
    assert isinstance(issued, Issued)
    assert (issued.kind, issued.dead, issued.txid) == ("again", (first.txid,), second.txid)
    assert asking.room.history.windows.spent("usdt-tron", timedelta(hours=1), NOW) == 2000 * USDT


def test_claims_of_death_are_worth_no_more_than_the_caps(asking: Asking) -> None:
    """Whoever lies about dead transactions empties the hour's cap and no more."""
    dead: list[str] = []
    intent = asking.intent(asking.payment(1000 * USDT))
    for number in range(3):
        dead.append(asking.sign(intent, number=number, dead=dead).txid)
    with pytest.raises(SignerRefused):
        asking.sign(intent, number=9, dead=dead)
    with pytest.raises(CapReached):
        asking.pay(1)


# --- time ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [timedelta(0), SECOND, timedelta(days=400)])
def test_LED_10_an_expired_intent_is_refused(asking: Asking, late: timedelta) -> None:
    intent = asking.intent(asking.payment(), expires_at=asking.clock.now() - late)
    with pytest.raises(SignerRefused, match="expired at 2"):
        asking.sign(intent)


def test_LED_10_it_may_be_signed_until_the_last_second(asking: Asking) -> None:
    intent = asking.intent(asking.payment(), expires_at=asking.clock.now() + SECOND)
    signed = asking.sign(intent)
    assert signed.raw
    asking.clock.advance(SECOND)
    with pytest.raises(SignerRefused, match="expired"):
        asking.sign(intent)


@pytest.mark.parametrize("expires_at", [NOW + timedelta(days=1, seconds=1), datetime.max.replace(tzinfo=NOW.tzinfo)])
def test_an_intent_that_lives_too_long_is_refused(asking: Asking, expires_at: datetime) -> None:
    with pytest.raises(SignerRefused, match="for a day at most"):
        asking.sign(asking.intent(asking.payment(), expires_at=expires_at))


def test_a_time_without_a_zone_is_refused(asking: Asking) -> None:
    with pytest.raises(SignerRefused, match="with its zone"):
        asking.sign(asking.intent(asking.payment(), expires_at=datetime(2026, 11, 25, 12, 30)))


@pytest.mark.parametrize("seconds", [-3600, -3, 3, 3600, 10**8])
def test_PAY_38_a_clock_that_was_set_stops_everything(asking: Asking, seconds: int) -> None:
    asking.clock.wall += seconds
    with pytest.raises(ClockJumped, match="nothing is signed"):
        asking.pay()
    asking.clock.wall -= seconds
    assert asking.pay().raw


def test_PAY_38_a_replayed_intent_gives_nothing_new_and_after_expiry_nothing_at_all(asking: Asking) -> None:
    intent = asking.intent(asking.payment())
    first = asking.sign(intent)
    for _ in range(5):
        assert asking.sign(intent) == first
    asking.clock.advance(timedelta(hours=1))
    for _ in range(2):
        with pytest.raises(SignerRefused, match="expired"):
            asking.sign(intent)
        asking.restart()


# --- targets ------------------------------------------------------------------------------------------------------------


def internal(asking: Asking, purpose: Purpose, target: str) -> Intent:
    source = deposit(3) if purpose is Purpose.SWEEP else hot()
    return asking.intent(asking.payment(source=source, to=target), purpose=purpose)


@pytest.mark.parametrize("purpose", [Purpose.SWEEP, Purpose.CONSOLIDATION])
def test_SWP_01_money_is_gathered_at_our_hot_wallets_only(asking: Asking, purpose: Purpose) -> None:
    assert asking.sign(internal(asking, purpose, hot(index=1).address)).raw
    for target in (stranger(), deposit(4).address, COLD):
        with pytest.raises(SignerRefused, match=f"not a hot wallet of ours on tron: a {purpose} goes nowhere else"):
            asking.sign(internal(asking, purpose, target))


@pytest.mark.parametrize("purpose", [Purpose.SWEEP, Purpose.CONSOLIDATION, Purpose.COLD])
def test_SWP_01_to_say_that_a_foreign_address_is_ours_does_not_help(asking: Asking, purpose: Purpose) -> None:
    claimed = replace(deposit(4), address=stranger())
    with pytest.raises(ForeignWallet, match="is not deposit wallet 4"):
        asking.sign(internal(asking, purpose, stranger()), ours=[claimed])
    with pytest.raises(SignerRefused):
        asking.sign(internal(asking, purpose, deposit(4).address), ours=[deposit(4)])


def test_SWP_01_cold_money_goes_to_the_pinned_address_of_its_asset_only(asking: Asking) -> None:
    assert asking.sign(internal(asking, Purpose.COLD, COLD)).raw
    for target in (stranger(), hot(index=1).address):
        with pytest.raises(SignerRefused, match=f"is not the cold address of usdt-tron \\({COLD}\\)"):
            asking.sign(internal(asking, Purpose.COLD, target))
    other = but(internal(asking, Purpose.COLD, COLD), asset="trx-tron")
    with pytest.raises(SignerRefused, match=r"cold address of trx-tron \(none is pinned: add it under \[cold"):
        asking.sign(other)


def test_cold_money_takes_nothing_from_the_caps_of_payouts(asking: Asking) -> None:
    asking.sign(asking.intent(asking.payment(10**6 * USDT, to=COLD), purpose=Purpose.COLD))
    assert asking.pay(1000 * USDT).raw


def test_gas_goes_in_the_native_coin_to_addresses_that_the_signer_derives(asking: Asking) -> None:
    asking.configure(
        (asking.folder / "policy.toml")
        .read_text()
        .replace("[caps]", '[caps]\ntrx-tron = { payment = "30", hour = "50", day = "90" }')
    )
    asking.restart()
    gas = asking.intent(asking.payment(30 * USDT, to=deposit(8).address, asset="trx-tron"), purpose=Purpose.GAS)
    with pytest.raises(SignerRefused, match="addresses of ours"):
        asking.sign(gas)
    assert asking.sign(gas, ours=[deposit(8)]).raw
    with pytest.raises(SignerRefused, match="in the native coin"):
        asking.sign(replace(but(gas, asset="usdt-tron"), intent_id=asking.intent().intent_id), ours=[deposit(8)])
    with pytest.raises(CapReached):
        asking.sign(replace(gas, intent_id=asking.intent().intent_id), ours=[deposit(8)])


@pytest.mark.parametrize("purpose", [Purpose.LEND, Purpose.RECALL])
def test_stake_is_lent_to_addresses_that_the_signer_derives_and_takes_nothing_but_its_fee(
    asking: Asking, purpose: Purpose
) -> None:
    stake = asking.payment(10**12, to=deposit(8).address, asset="trx-tron")
    loan = asking.intent(stake, purpose=purpose)
    with pytest.raises(SignerRefused, match=f'add "{purpose}" to `purposes`'):
        asking.sign(loan, ours=[deposit(8)])
    asking.configure((asking.folder / "policy.toml").read_text().replace('"gas",', '"gas", "lend", "recall",'))
    asking.restart()
    with pytest.raises(SignerRefused, match="addresses of ours"):
        asking.sign(loan)
    for foreign in (stranger(), hot(index=1).address):
        with pytest.raises(SignerRefused, match="addresses of ours"):
            asking.sign(but(loan, target=foreign), ours=[deposit(8)])
    with pytest.raises(SignerRefused, match="in the native coin"):
        asking.sign(but(loan, asset="usdt-tron"), ours=[deposit(8)])
    with pytest.raises(SignerRefused, match="takes the paying wallet's own money"):
        asking.sign(but(loan, source=deposit(8)), ours=[deposit(8)])
    assert asking.sign(loan, ours=[deposit(8)]).raw, "trx-tron has no caps, and needs none"
    assert asking.pay(1000 * USDT).raw


def test_a_payout_to_a_wallet_of_ours_is_refused(asking: Asking) -> None:
    for target, ours in ((hot(index=5).address, []), (deposit(2).address, [deposit(2)])):
        with pytest.raises(SignerRefused, match="our own wallet") as refusal:
            asking.sign(asking.intent(asking.payment(), asking.payment(to=target)), ours=ours)
        assert refusal.value.payments == (1,)


@pytest.mark.parametrize("purpose", [Purpose.PAYOUT, Purpose.GAS])
def test_deposit_addresses_never_pay_strangers(asking: Asking, purpose: Purpose) -> None:
    with pytest.raises(SignerRefused, match="takes the paying wallet's own money"):
        asking.sign(asking.intent(asking.payment(source=deposit(1)), purpose=purpose))
    with pytest.raises(SignerRefused, match="a deposit address never pays for"):
        asking.sign(asking.intent(asking.payment(source=deposit(1)), purpose=purpose, payer=deposit(1)))


@pytest.mark.parametrize("purpose", [Purpose.SETUP, Purpose.CANCEL])
def test_what_pays_nobody_has_no_payments_and_what_pays_has_some(asking: Asking, purpose: Purpose) -> None:
    assert asking.sign(asking.intent(purpose=purpose)).raw
    with pytest.raises(SignerRefused, match="has no payments"):
        asking.sign(asking.intent(asking.payment(), purpose=purpose))
    with pytest.raises(SignerRefused, match="at least one payment"):
        asking.sign(asking.intent())


# --- what does not fit ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    ["", "elsewhere", stranger(network="ethereum"), stranger().lower(), stranger()[:-1], " " + stranger(), "T" * 5000],
)
def test_PAY_27_only_canonical_addresses_of_the_network_are_paid(asking: Asking, target: str) -> None:
    with pytest.raises(SignerRefused) as refusal:
        asking.sign(but(asking.intent(asking.payment(), asking.payment()), target=target))
    assert refusal.value.payments == (0,)
    assert len(refusal.value.message) < 400


def test_PAY_27_another_spelling_of_an_address_is_refused(asking: Asking) -> None:
    intent = asking.intent(network="ethereum", payer=hot("ethereum"))
    payment = asking.payment(to=stranger(network="ethereum").lower(), source=hot("ethereum"), asset="usdt-ethereum")
    with pytest.raises(SignerRefused):
        asking.sign(replace(intent, payments=(payment,)))


def test_foreign_wallets_assets_and_networks_are_refused(asking: Asking) -> None:
    with pytest.raises(ForeignWallet):
        asking.sign(asking.intent(asking.payment(), payer=replace(hot(), address=stranger())))
    with pytest.raises(ForeignWallet):
        asking.sign(asking.intent(asking.payment(), payer=hot(index=1, network="ethereum")))
    with pytest.raises(ForeignAsset):
        asking.sign(asking.intent(asking.payment(asset="usdt-ethereum")))
    with pytest.raises(UnknownNetwork):
        asking.sign(asking.intent(asking.payment(), network="dogechain"))


def test_a_plan_that_does_not_fit_takes_nothing_from_the_caps(asking: Asking) -> None:
    intent = asking.intent(asking.payment(1000 * USDT))
    with pytest.raises(PlanMismatch):
        asking.sign(intent, fee=intent.fee_max_units + 1)
    assert asking.room.history.windows.spent("usdt-tron", timedelta(days=1), NOW) == 0
    assert asking.sign(intent, fee=intent.fee_max_units).raw


def test_amounts_beyond_every_token_are_refused(asking: Asking) -> None:
    with pytest.raises(SignerRefused, match="out of range"):
        asking.sign(asking.intent(asking.payment(10**78)))


def test_PAY_36_what_the_database_says_of_itself_counts_for_nothing(asking: Asking) -> None:
    """No field of intent or plan lifts a cap: not the purpose, not the source, not an id that was used before."""
    for _ in range(3):
        asking.pay(1000 * USDT)
    for purpose in (Purpose.SWEEP, Purpose.CONSOLIDATION, Purpose.COLD, Purpose.GAS, Purpose.SETUP, Purpose.CANCEL):
        with pytest.raises(SignerRefused):
            asking.sign(asking.intent(asking.payment(1), purpose=purpose))
    for intent in (
        asking.intent(asking.payment(1)),
        asking.intent(asking.payment(1, source=hot(index=1)), payer=hot(index=1)),
    ):
        with pytest.raises(CapReached):
            asking.sign(intent)
    with pytest.raises(ApprovalNeeded):
        asking.pay(1001 * USDT)
