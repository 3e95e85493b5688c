"""What an action's digest covers, which networks are listed, and how long wrong tries pause."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from tests.flows.harness import make_merchant
from tests.support.clock import ManualClock

from bitlinkpay.authorizations.model import (
    LIFE,
    Action,
    Answered,
    Authorization,
    Credential,
    Shown,
    UnlistedNetwork,
    check_network,
)
from bitlinkpay.core.ids import MerchantId

A, B = MerchantId(UUID(int=1)), MerchantId(UUID(int=2))
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAY = Action(A, "settlement.request", ("usdt-tron", "T1", "12"))


@pytest.mark.parametrize(
    "other",
    [
        Action(B, "settlement.request", ("usdt-tron", "T1", "12")),
        Action(A, "settlement.bind", ("usdt-tron", "T1", "12")),
        Action(A, "settlement.request", ("usdt-tron", "T1", "13")),
        Action(A, "settlement.request", ("usdt-tron", "T11", "2")),  # a digit moved between two fields
        Action(A, "settlement.request", ("usdt-tron", "T1", "12", "")),
        Action(A, "settlement.request", ("usdt-tron", 'T1","12')),
    ],
)
def test_WEB_17_every_field_of_an_action_changes_its_digest(other: Action) -> None:
    assert other.digest != PAY.digest
    assert len(other.digest) == 32


def test_the_same_action_has_the_same_digest() -> None:
    assert Action(A, "settlement.request", ("usdt-tron", "T1", "12")).digest == PAY.digest


def test_what_was_shown_is_not_printed() -> None:
    text = repr(Shown(peer="192.0.2.1", device="token-1", password="secret-1", answer="123456"))
    assert "192.0.2.1" in text
    assert not [word for word in ("token-1", "secret-1", "123456") if word in text]
    assert "argon2id" not in repr(Credential("$argon2id$x"))


@pytest.mark.parametrize("peer", ["203.0.113.9", "2001:db8::1", "::ffff:203.0.113.9"])
def test_a_listed_network_lets_in(peer: str) -> None:
    merchant = make_merchant(ManualClock(), payout_networks=("203.0.113.0/24", "2001:db8::/48"))
    check_network(merchant, peer, is_open=False)


@pytest.mark.parametrize("peer", ["203.0.114.9", "2001:db9::1", "::ffff:192.0.2.1", "", "localhost", "203.0.113.9/32"])
def test_everything_else_is_refused(peer: str) -> None:
    merchant = make_merchant(ManualClock(), payout_networks=("203.0.113.0/24", "2001:db8::/48"))
    for is_open in (True, False):
        with pytest.raises(UnlistedNetwork):
            check_network(merchant, peer, is_open=is_open)


def test_an_empty_list_lets_in_only_where_that_is_open() -> None:
    merchant = make_merchant(ManualClock())
    check_network(merchant, "192.0.2.1", is_open=True)
    with pytest.raises(UnlistedNetwork):
        check_network(merchant, "192.0.2.1", is_open=False)


@pytest.mark.parametrize(
    ("failures", "minutes"),
    [(0, None), (3, None), (4, 15), (5, 30), (6, 60), (9, 480), (10, 960), (11, 1440), (12, 1440), (10_000, 1440)],
)
def test_the_fifth_wrong_try_pauses_and_each_further_one_twice_as_long(failures: int, minutes: int | None) -> None:
    until = Credential("$argon2id$", failures).lock_after(NOW)
    assert until == (NOW + timedelta(minutes=minutes) if minutes else None)


def test_a_pause_ends_by_itself() -> None:
    locked = Credential("$argon2id$", 5, NOW)
    assert locked.is_locked(NOW - timedelta(seconds=1))
    assert not locked.is_locked(NOW)
    assert not Credential("$argon2id$", 4).is_locked(NOW)


def given(**fields: object) -> Authorization:
    answered = Answered(UUID(int=7), "1")
    return Authorization(UUID(int=9), A, PAY.name, PAY.digest, answered, UUID(int=8), "", NOW, NOW + LIFE, **fields)  # type: ignore[arg-type]


def test_an_authorization_allows_its_own_action_once_and_for_five_minutes() -> None:
    assert timedelta(minutes=5) == LIFE
    assert given().still_allows(PAY, NOW + LIFE - timedelta(seconds=1))
    assert not given().still_allows(PAY, NOW + LIFE)
    assert not given(used_at=NOW).still_allows(PAY, NOW)
    assert not given().still_allows(Action(A, PAY.name, ("usdt-tron", "T1", "13")), NOW)
