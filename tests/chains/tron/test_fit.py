"""A TRON plan that would not do exactly what its intent says is named for it, way by way."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.chains.tron.rows import coin, network, token

from bitlinkpay.chains.outgoing import Intent, KeyRole, Payment, Purpose, Wallet
from bitlinkpay.chains.tron.fit import LIFE_MAX_MS, misfits
from bitlinkpay.chains.tron.plan import TronPlan
from bitlinkpay.core.assets import Asset

HOT = Wallet(KeyRole.HOT, 0, "TUEZSdKsoDHQMeZwihtdoBiN46zxhGWYdH")
DEPOSIT = Wallet(KeyRole.DEPOSIT, 3, "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL")
SOMEONE = "TVj7RNVHy6thbM7BWdSe9G6gXwKhjhdNZS"
TRX, USDT = coin(), token("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t")
FEE_MAX = 50_000_000
BORN = 1_764_072_000_000
COINS = TronPlan(7, (7).to_bytes(8, "big") + bytes(24), BORN, BORN + 60_000, 0, 345_000)
TOKENS = replace(COINS, fee_limit=30_000_000)
ROW = network()


def payment(asset: Asset, units: int = 5, *, source: Wallet = HOT, target: str = SOMEONE, tag: str = "") -> Payment:
    return Payment(source, asset.id, target, tag, units)


def intent(*payments: Payment, purpose: Purpose = Purpose.PAYOUT, payer: Wallet = HOT) -> Intent:
    expires_at = datetime(2026, 11, 25, tzinfo=UTC)
    return Intent(UUID(int=1), "tron", purpose, payer, payments, FEE_MAX, expires_at)


ONE, TOKEN_ONE = intent(payment(TRX)), intent(payment(USDT))


@pytest.mark.parametrize("purpose", [Purpose.PAYOUT, Purpose.SWEEP, Purpose.GAS, Purpose.COLD])
def test_every_paying_purpose_fits_with_coins_and_tokens(purpose: Purpose) -> None:
    assert misfits(replace(ONE, purpose=purpose), COINS, ROW, TRX) == ()
    assert misfits(replace(TOKEN_ONE, purpose=purpose), TOKENS, ROW, USDT) == ()


@pytest.mark.parametrize("purpose", [Purpose.LEND, Purpose.RECALL])
def test_a_loan_is_of_a_hot_wallet_s_stake_and_of_nothing_else(purpose: Purpose) -> None:
    lending = intent(payment(TRX, target=DEPOSIT.address), purpose=purpose)
    reason = ("a loan of anything but a hot wallet's stake",)
    assert misfits(lending, COINS, ROW, TRX) == ()
    assert misfits(replace(TOKEN_ONE, purpose=purpose), TOKENS, ROW, USDT) == reason
    cold_feet = intent(payment(TRX, source=DEPOSIT), purpose=purpose, payer=DEPOSIT)
    assert misfits(cold_feet, COINS, ROW, TRX) == reason


@pytest.mark.parametrize("purpose", [Purpose.CONSOLIDATION, Purpose.SETUP, Purpose.CANCEL])
def test_what_tron_does_not_do_is_said(purpose: Purpose) -> None:
    assert misfits(replace(ONE, purpose=purpose), COINS, ROW, TRX) == (f"TRON has no way to do a {purpose}",)


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (replace(ONE, network="ethereum"), "another network"),
        (intent(), "one transaction makes one payment"),
        (intent(payment(TRX), payment(TRX)), "one transaction makes one payment"),
        (intent(payment(USDT)), "another asset"),
        (intent(payment(TRX, source=DEPOSIT)), "a payment out of another wallet"),
        (intent(payment(TRX, source=replace(HOT, index=1))), "a payment out of another wallet"),
        (intent(payment(TRX, tag="10028849")), "a memo, which pays nobody on TRON"),
        (intent(payment(TRX, target=HOT.address)), "a payment to oneself, which no block takes"),
        (intent(payment(TRX, 2**63)), "more than there can be"),
    ],
)
def test_another_payment_than_the_plan_s_is_named(wanted: Intent, reason: str) -> None:
    assert misfits(wanted, COINS, ROW, TRX) == (reason,)


def test_the_caller_s_own_rows_decide_which_network_is_meant() -> None:
    assert misfits(ONE, COINS, replace(ROW, id="nile"), TRX) == ("another network",)
    assert misfits(ONE, COINS, ROW, replace(TRX, network="nile")) == ("another network",)


def test_amounts_at_the_edge_of_what_there_can_be_fit() -> None:
    assert misfits(intent(payment(TRX, 2**63 - 1)), COINS, ROW, TRX) == ()
    assert misfits(intent(payment(USDT, 2**256 - 1)), TOKENS, ROW, USDT) == ()
    assert misfits(intent(payment(USDT, 2**256)), TOKENS, ROW, USDT) == ("more than there can be",)


BLOCK = "a block id that is not that of the height"
LIFE = "a life of not more than 600 seconds"
FEE = "a fee that cannot be"
HIGHER = "a higher fee than the intent allows"


@pytest.mark.parametrize(
    ("plan", "reasons"),
    [
        (replace(COINS, ref_height=8), (BLOCK,)),
        (replace(COINS, ref_id=COINS.ref_id[:31]), (BLOCK,)),
        (replace(COINS, ref_id=COINS.ref_id + b"\0"), (BLOCK,)),
        (replace(COINS, ref_id=b""), (BLOCK,)),
        (replace(COINS, timestamp_ms=0), (LIFE,)),
        (replace(COINS, timestamp_ms=-1), (LIFE,)),
        (replace(COINS, expiration_ms=BORN), (LIFE,)),
        (replace(COINS, expiration_ms=BORN - 1), (LIFE,)),
        (replace(COINS, expiration_ms=BORN + LIFE_MAX_MS + 1), (LIFE,)),
        (replace(COINS, burnt_units=-1), (FEE,)),
        (replace(COINS, burnt_units=FEE_MAX + 1), (HIGHER,)),
        (replace(COINS, fee_limit=1), ("a limit for energy that nothing uses, or none for code",)),
    ],
)
def test_a_plan_that_no_block_would_take_or_that_costs_too_much_is_named(
    plan: TronPlan, reasons: tuple[str, ...]
) -> None:
    assert misfits(ONE, plan, ROW, TRX) == reasons


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"fee_limit": 0}, "a limit for energy that nothing uses, or none for code"),
        ({"fee_limit": FEE_MAX, "burnt_units": 1}, HIGHER),
        ({"fee_limit": -5}, FEE),
        ({"fee_limit": 2**63}, FEE),
    ],
)
def test_code_needs_a_limit_within_the_fee(changed: dict[str, int], reason: str) -> None:
    assert reason in misfits(TOKEN_ONE, replace(TOKENS, **changed), ROW, USDT)


def test_edges_of_life_and_fee_fit() -> None:
    assert misfits(ONE, replace(COINS, expiration_ms=BORN + LIFE_MAX_MS), ROW, TRX) == ()
    assert misfits(ONE, replace(COINS, burnt_units=FEE_MAX), ROW, TRX) == ()
    assert misfits(TOKEN_ONE, replace(TOKENS, fee_limit=FEE_MAX - 345_000), ROW, USDT) == ()


@given(st.integers(1, 2**62), st.integers(0, 2**62))
def test_no_fee_above_the_intent_s_ever_fits(limit: int, burnt: int) -> None:
    plan = replace(TOKENS, fee_limit=limit, burnt_units=burnt)
    assert (HIGHER in misfits(TOKEN_ONE, plan, ROW, USDT)) == (limit + burnt > FEE_MAX)


def test_a_plan_comes_back_from_json_as_it_was() -> None:
    assert msgspec.json.decode(msgspec.json.encode(TOKENS), type=TronPlan) == TOKENS


def test_all_that_is_wrong_is_said_at_once() -> None:
    found = misfits(
        intent(payment(USDT, target=HOT.address, tag="x")), replace(COINS, ref_height=8, burnt_units=-1), ROW, TRX
    )
    assert len(found) == 5
