from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.web.checkout.shop import (
    AFTER_CANCEL,
    HELD,
    LATE,
    LIFE,
    OPENED,
    OVER,
    SCENES,
    SHORT,
    UNTAGGED,
    WRONG_ASSET,
    WRONG_NETWORK,
    confirming,
    merchant,
    money,
    odd,
    order,
    paid,
    pre_order,
)

from bitlinkpay.deposits.model import DepositState
from bitlinkpay.merchants.model import Policy
from bitlinkpay.payins.model import Label, PayinState
from bitlinkpay.payins.view import DepositView
from bitlinkpay.web.checkout.language import Language, catalogue
from bitlinkpay.web.checkout.status import Situation, Tone, due_units, situation_of, status_of

NOW = OPENED + timedelta(minutes=2)
ENDED = OPENED + LIFE + timedelta(minutes=5)
EN = catalogue(Language.ENGLISH)
SUMMING = merchant(policy=Policy(is_summing=True))


@pytest.mark.parametrize("name", SCENES)
def test_every_state_says_its_text_in_english_and_chinese(name: str) -> None:
    scene = SCENES[name]
    for language, words in ((Language.ENGLISH, scene.english), (Language.SIMPLIFIED, scene.chinese)):
        status = status_of(scene.make(), OPENED + scene.at, catalogue(language))
        assert words in "\n".join((status.title, *status.steps))


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("name", SCENES)
def test_every_state_has_a_next_step(name: str, language: Language) -> None:
    status = status_of(SCENES[name].make(), OPENED + SCENES[name].at, catalogue(language))
    assert status.title
    assert status.steps
    assert all(step and "%(" not in step for step in status.steps)


@pytest.mark.parametrize(
    ("deposit", "situation"),
    [
        (SHORT, Situation.SHORT),
        (OVER, Situation.OVER),
        (LATE, Situation.LATE),
        (WRONG_ASSET, Situation.WRONG_ASSET),
        (WRONG_NETWORK, Situation.WRONG_NETWORK),
        (HELD, Situation.HELD),
        (UNTAGGED, Situation.HELD),
        (AFTER_CANCEL, Situation.AFTER_CANCEL),
        (money(1, label=Label.SYSTEM), Situation.ODD),
        (money(1, label=Label.REVERSED), Situation.ODD),
    ],
)
@pytest.mark.parametrize("state", [PayinState.CREATED, PayinState.EXPIRED])
def test_odd_money_tells_the_situation_of_an_unpaid_order(
    deposit: object, situation: Situation, state: PayinState
) -> None:
    assert situation_of(odd(order(), deposit, state=state), ENDED) is situation


def test_the_newest_odd_money_is_what_the_page_talks_about() -> None:
    assert situation_of(odd(order(), SHORT, WRONG_ASSET), NOW) is Situation.WRONG_ASSET


def test_paid_and_confirming_go_before_any_odd_money() -> None:
    assert situation_of(paid(order(), extra=(SHORT,)), ENDED) is Situation.PAID
    assert situation_of(confirming(odd(order(), SHORT)), NOW) is Situation.CONFIRMING


def test_between_expiry_and_the_networks_word_the_page_neither_asks_nor_gives_up() -> None:
    view = order()
    status = status_of(view, view.expires_at, EN)
    assert (status.situation, status.due_units, status.is_final) == (Situation.TIME_UP, 0, False)
    assert situation_of(view, view.expires_at - timedelta(milliseconds=1)) is Situation.WAITING


def test_a_pre_order_that_nobody_picked_has_simply_expired() -> None:
    assert situation_of(pre_order(), NOW) is Situation.PICK
    assert situation_of(pre_order(), ENDED) is Situation.EXPIRED


@pytest.mark.parametrize("state", PayinState)
@pytest.mark.parametrize("at", [NOW, ENDED])
def test_money_is_asked_for_only_while_the_order_is_open(state: PayinState, at: object) -> None:
    asked = due_units(replace(order(), state=state), at)
    assert asked == (10_000_000 if state is PayinState.CREATED and at is NOW else 0)


def test_by_default_the_exact_amount_is_asked_again_after_short_money() -> None:
    status = status_of(odd(order(), SHORT), NOW, EN)
    assert status.due_units == 10_000_000
    assert "send exactly 10.00 USDT on TRON (TRC20)" in status.steps[0]


def test_a_merchant_that_sums_asks_for_the_rest() -> None:
    status = status_of(odd(order(merchant=SUMMING), SHORT), NOW, EN)
    assert status.due_units == 2_000_000
    assert "exactly 2.00 USDT" in status.steps[0]


def test_a_merchant_that_sums_never_asks_for_less_than_nothing() -> None:
    assert due_units(odd(order(merchant=SUMMING), SHORT, SHORT), NOW) == 0


@pytest.mark.parametrize("deposit", [HELD, UNTAGGED])
def test_nobody_is_asked_to_pay_again_while_a_payment_is_under_review(deposit: DepositView) -> None:
    status = status_of(odd(order(), deposit), NOW, EN)
    assert (status.due_units, status.is_final) == (0, False)


def test_other_odd_money_is_not_summed() -> None:
    assert due_units(odd(order(merchant=SUMMING), WRONG_NETWORK, OVER), NOW) == 10_000_000


@given(st.lists(st.integers(min_value=1, max_value=20_000_000), max_size=6), st.booleans())
def test_what_is_asked_is_the_asked_amount_or_its_exact_rest(sent: list[int], is_summing: bool) -> None:
    shop = merchant(policy=Policy(is_summing=is_summing))
    received = [money(units, label=Label.SHORT) for units in sent]
    expected = max(0, 10_000_000 - sum(sent)) if is_summing else 10_000_000
    assert due_units(odd(order(merchant=shop), *received), NOW) == expected


def test_the_reference_is_shown_wherever_the_payer_may_need_the_merchant() -> None:
    shows = {name: status_of(s.make(), OPENED + s.at, EN).has_reference for name, s in SCENES.items()}
    without = {name for name, has in shows.items() if not has}
    quiet = {name for name in SCENES if name.startswith(("created", "sighted", "confirming"))} | {
        "pick",
        "paid",
        "time-up",
    }
    assert without == quiet | {"paid-over"}


def test_a_paid_order_tells_of_extra_money_and_not_of_what_was_accepted() -> None:
    extra = "More than one payment arrived. The extra money is recorded."
    short_first = status_of(paid(order(), extra=(SHORT,)), NOW, EN)
    assert extra in short_first.steps
    assert short_first.has_reference
    accepted = status_of(paid(order(), extra=(replace(SHORT, state=DepositState.CREDITED),)), NOW, EN)
    assert extra not in accepted.steps
    assert not accepted.has_reference


def test_ended_orders_forbid_to_send_more() -> None:
    for name in ("expired", "cancelled", "time-up", "pick-expired"):
        steps = status_of(SCENES[name].make(), OPENED + SCENES[name].at, EN).steps
        assert "Do not send anything to this address any more." in steps
    for name in ("late", "short-expired", "over-expired", "wrong-network-expired"):
        steps = status_of(SCENES[name].make(), OPENED + SCENES[name].at, EN).steps
        assert "The order is closed: do not send any more." in steps


def test_time_to_go_follows_the_network() -> None:
    for minutes, title in (
        (2, "Payment seen, about 2 minutes to go"),
        (1, "Payment seen, about 1 minute to go"),
        (0, "Payment seen, any moment now"),
    ):
        assert status_of(confirming(order(), minutes=minutes), NOW, EN).title == title


def test_confirmations_are_counted_where_the_network_counts_them() -> None:
    for confirmations, text in ((0, "0 of 3"), (1, "1 of 3"), (9, "3 of 3")):
        view = confirming(order("btc-bitcoin", units=1), confirmations=confirmations)
        assert status_of(view, NOW, EN).steps[0] == f"Confirmation {text}"


def test_tones() -> None:
    tones = {name: status_of(s.make(), OPENED + s.at, EN).tone for name, s in SCENES.items()}
    assert tones["paid"] is Tone.GOOD
    assert tones["confirming"] is tones["held"] is tones["time-up"] is Tone.BUSY
    assert tones["expired"] is tones["cancelled"] is Tone.BAD
    assert tones["short"] is tones["late"] is tones["after-cancel"] is Tone.WARN


def test_money_in_a_block_that_is_not_final_is_told_too() -> None:
    seen = replace(SHORT, state=DepositState.SEEN)
    assert situation_of(odd(order(), seen), NOW) is Situation.SHORT
