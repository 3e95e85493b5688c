"""What the signer does with a plan that does not fit its intent, and that its bytes are those of the published wallet code."""

from base64 import b64encode
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey, VerifyKey
from pytoniq_core import Address, MessageAny, begin_cell
from pytoniq_core import Cell as OracleCell
from pytoniq_core.tlb.account import StateInit
from tests.chains.ton.conftest import KEY, OURS, WALLET, keys_of, payment
from tests.chains.ton.network import PAYER, TON, coin, jetton, text
from ton_core.contrib.contracts.jetton.tlb import JettonTransferBody

from bitlinkpay.chains.outgoing import Intent, KeyRole, Payment, Purpose, Wallet
from bitlinkpay.chains.ton.highload import SELF_UNITS, SUBWALLET_ID, TIMEOUT_S, query_id, state_init
from bitlinkpay.chains.ton.plan import PAYMENTS_MAX, TonPlan, build, jetton_query
from bitlinkpay.core.clock import SystemClock
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.signer.families.ton import sign
from bitlinkpay.signer.problems import PlanMismatch

USDT = jetton("0:" + "cb" * 32, "0:" + "b7" * 32)
TARGET = "0:" + "77" * 32
KEYS = keys_of(coin(), USDT)
NOW = SystemClock().now()


def intent(*payments: Payment, fee_max: int = TON) -> Intent:
    return Intent(new_uuid7(), "ton", Purpose.PAYOUT, WALLET, payments, fee_max, NOW + timedelta(minutes=5))


def plan(count: int, **more: object) -> TonPlan:
    made = TonPlan(
        7, int(NOW.timestamp()), is_deploying=False, bounces=(False,) * count, jetton_units=TON // 20, fee_units=TON
    )
    return replace(made, **more)


MIXED = (payment("ton-ton", TARGET, 5, "memo"), payment("usdt-ton", TARGET, 7, "123"), payment("ton-ton", PAYER, 9))


def test_the_bytes_are_the_request_that_the_wallets_code_takes() -> None:
    """Field by field, read by the reference library and checked against the contract's own scheme."""
    wanted = intent(*MIXED)
    made = plan(3, bounces=(True, False, False))
    signed = sign(wanted, made, KEYS)
    message = MessageAny.deserialize(OracleCell.one_from_boc(signed.raw).begin_parse())
    assert (message.info.dest.to_str(is_user_friendly=False), message.init) == (OURS, None)
    body = message.body.begin_parse()
    signature, request = body.load_bytes(64), body.load_ref()
    VerifyKey(bytes(SigningKey(KEY).verify_key)).verify(request.hash, signature)
    assert (body.remaining_bits, body.remaining_refs) == (0, 0)
    fields = request.begin_parse()
    assert (fields.load_uint(32), fields.load_uint(8)) == (SUBWALLET_ID, 1)
    assert (fields.load_uint(23), fields.load_uint(64), fields.load_uint(22)) == (
        query_id(7),
        made.created_at,
        TIMEOUT_S,
    )
    inner = MessageAny.deserialize(fields.load_ref().begin_parse())
    assert (inner.info.dest.to_str(is_user_friendly=False), inner.info.value_coins, inner.info.bounce) == (
        OURS,
        SELF_UNITS,
        False,
    )
    batch = inner.body.begin_parse()
    assert (batch.load_uint(32), batch.load_uint(64)) == (0xAE42E5A4, query_id(7))
    sent = actions(batch.load_ref())
    assert [(m.info.dest.to_str(is_user_friendly=False), m.info.value_coins, m.info.bounce) for m in sent] == [
        (TARGET, 5, True), (USDT.wallet, TON // 20, True), (PAYER, 9, False),
    ]  # fmt: skip
    transfer = JettonTransferBody(
        Address(TARGET), 7, Address(OURS), None, text("123"), forward_amount=1, query_id=jetton_query(wanted, 1)
    ).serialize()
    assert [m.body.hash for m in sent] == [text("memo").hash, transfer.hash, begin_cell().end_cell().hash]


def actions(cell: OracleCell) -> list[MessageAny]:
    found: list[MessageAny] = []
    while cell.refs:
        fields = cell.begin_parse()
        assert (fields.load_uint(32), fields.load_uint(8)) == (0x0EC3C86D, 3)
        cell = fields.load_ref()
        found.append(MessageAny.deserialize(fields.load_ref().begin_parse()))
    return found[::-1]


def test_the_first_request_carries_the_state_whose_hash_is_the_address() -> None:
    plain, first = sign(intent(*MIXED), plan(3), KEYS), sign(intent(*MIXED), plan(3, is_deploying=True), KEYS)
    message = MessageAny.deserialize(OracleCell.one_from_boc(first.raw).begin_parse())
    assert StateInit.serialize(message.init).hash == state_init(bytes(SigningKey(KEY).verify_key)).hash
    assert OURS == "0:" + StateInit.serialize(message.init).hash.hex()
    assert len(first.raw) > len(plain.raw)


def test_the_id_is_the_normalised_hash_with_and_without_the_state() -> None:
    """TEP-467: the hash of the message without source, fee and state, its body in a reference."""
    wanted = intent(*MIXED)
    ids = {sign(wanted, plan(3, is_deploying=flag), KEYS).txid for flag in (False, True)}
    plain = OracleCell.one_from_boc(sign(wanted, plan(3), KEYS).raw)
    assert ids == {b64encode(plain.hash).decode()}


def test_the_same_intent_and_plan_are_the_same_bytes() -> None:
    wanted = intent(*MIXED)
    assert sign(wanted, plan(3), KEYS) == sign(wanted, plan(3), KEYS)
    assert sign(wanted, plan(3, number=8), KEYS).txid != sign(wanted, plan(3), KEYS).txid
    assert sign(intent(*MIXED), plan(3), KEYS).txid != sign(wanted, plan(3), KEYS).txid  # another query of the jettons


@given(
    st.integers(0, 2**63),
    st.integers(0, 2**40),
    st.booleans(),
    st.lists(st.booleans(), max_size=100),
    st.integers(0, 2**90),
)
def test_a_plan_travels_as_json(number: int, created: int, deploying: bool, bounces: list[bool], fee: int) -> None:
    made = TonPlan(number, created, deploying, tuple(bounces), 5, fee)
    assert msgspec.json.decode(msgspec.json.encode(made), type=TonPlan) == made


STRANGER = Wallet(KeyRole.HOT, 0, PAYER)
MISFITS = [
    ("another number of payments", intent(*MIXED), plan(2)),
    ("another number of payments", intent(*[MIXED[0]] * 101), plan(101)),
    ("only the paying wallet", intent(Payment(STRANGER, "ton-ton", TARGET, "", 5)), plan(1)),
    ("does not fit", intent(*MIXED, fee_max=TON - 1), plan(3)),
    ("does not fit", intent(*MIXED), plan(3, fee_units=TON // 20 - 1)),  # more gas than it says
    ("does not fit", intent(MIXED[1], MIXED[1]), plan(2, jetton_units=TON)),
    ("does not fit", intent(MIXED[0]), plan(1, fee_units=-1)),
    ("out of range", intent(*MIXED), plan(3, number=-1)),
    ("out of range", intent(*MIXED), plan(3, created_at=-1)),
    ("out of range", intent(*MIXED), plan(3, created_at=int(NOW.timestamp()) + 301)),  # PAY-26
]


@pytest.mark.parametrize(("reason", "wanted", "made"), MISFITS)
def test_a_plan_that_does_not_fit_is_not_signed(reason: str, wanted: Intent, made: TonPlan) -> None:
    assert sign(intent(*MIXED), plan(3), KEYS).raw
    with pytest.raises(PlanMismatch, match=reason):
        sign(wanted, made, KEYS)


def test_a_jetton_whose_wallet_is_not_pinned_is_not_paid() -> None:
    loose = keys_of(coin(), replace(USDT, wallet=""))
    with pytest.raises(PlanMismatch, match="pinned"):
        sign(intent(MIXED[1]), plan(1), loose)
    assert sign(intent(MIXED[0]), plan(1), loose).raw


def test_what_is_signed_comes_from_the_signers_own_registry() -> None:
    """A plan names no contract: the jetton wallet is that of the signer's row, whatever the database says."""
    other = keys_of(coin(), replace(USDT, wallet="0:" + "99" * 32))
    wanted = intent(MIXED[1])
    assert sign(wanted, plan(1), other).txid != sign(wanted, plan(1), KEYS).txid
    assert build(wanted, plan(1), other.asset).hash != build(wanted, plan(1), KEYS.asset).hash


def test_the_largest_request_stays_far_below_what_the_network_takes() -> None:
    memo = "m" * 120
    wanted = intent(
        *[payment("usdt-ton", TARGET, 2**100 + n, memo + str(n)) for n in range(PAYMENTS_MAX)], fee_max=10 * TON
    )
    signed = sign(wanted, plan(PAYMENTS_MAX, is_deploying=True, fee_units=10 * TON), KEYS)
    assert len(signed.raw) < 65_535 // 2
    assert OracleCell.one_from_boc(signed.raw).get_depth() < 512


def test_every_transfer_of_jettons_is_told_from_every_other() -> None:
    one, two = intent(*MIXED), intent(*MIXED)
    queries = {jetton_query(each, place) for each in (one, two) for place in range(100)}
    assert len(queries) == 200
    assert max(queries) < 2**64
