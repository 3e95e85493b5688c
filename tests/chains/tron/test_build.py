"""TRON transactions as bytes: every field where core/Tron.proto has it, and two payments never the same bytes."""

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.chains.tron.rows import coin, network, token

from bitlinkpay.chains.codec.tron import to_bytes
from bitlinkpay.chains.outgoing import Intent, KeyRole, Payment, Purpose, Wallet
from bitlinkpay.chains.tron.build import build, signed_bytes, transfer_arguments, txid_of
from bitlinkpay.chains.tron.fit import misfits
from bitlinkpay.chains.tron.kinds import Kind
from bitlinkpay.chains.tron.plan import TronPlan, asset_id_of
from bitlinkpay.chains.tron.protobuf import Message
from bitlinkpay.core.assets import Asset

HOT = Wallet(KeyRole.HOT, 0, "TUEZSdKsoDHQMeZwihtdoBiN46zxhGWYdH")  # m/44'/195'/0'/0/0 of "abandon … about"
DEPOSIT = Wallet(KeyRole.DEPOSIT, 3, "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL")
SOMEONE = "TVj7RNVHy6thbM7BWdSe9G6gXwKhjhdNZS"
CONTRACT = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
TRX, USDT = coin(), token(CONTRACT)
HEIGHT = 0x0102_0304_0506_0708
REF = HEIGHT.to_bytes(8, "big") + bytes(range(0xA0, 0xB8))
BORN = 1_764_072_000_000
COINS = TronPlan(HEIGHT, REF, BORN, BORN + 60_000, 0, 345_000)
TOKENS = replace(COINS, fee_limit=30_000_000)


def intent(
    asset: Asset = TRX,
    *,
    units: int = 5,
    purpose: Purpose = Purpose.PAYOUT,
    payer: Wallet = HOT,
    target: str = SOMEONE,
    tag: str = "",
) -> Intent:
    payment = Payment(payer, asset.id, target, tag, units)
    return Intent(UUID(int=1), "tron", purpose, payer, (payment,), 10**8, datetime(2026, 11, 25, tzinfo=UTC))


def contract_of(raw: bytes) -> tuple[int, bytes, Message]:
    """Return the type of the only contract, the name of its message, and that message."""
    (one,) = Message(raw).all(11)
    contract = Message(one)
    parameter = contract.message(2)
    return contract.number(1), parameter.data(1), parameter.message(2)


def test_the_frame_names_its_block_by_two_and_eight_bytes() -> None:
    """TAPOS: bytes 6 and 7 of the height, bytes 8 to 15 of the block's id (developers.tron.network, "Transactions")."""
    frame = Message(build(intent(), COINS, TRX))
    assert frame.data(1) == b"\x07\x08"
    assert frame.data(4) == bytes(range(0xA0, 0xA8))
    assert (frame.number(8), frame.number(14), frame.number(18)) == (BORN + 60_000, BORN, 0)
    assert (frame.data(10), frame.data(9)) == (b"", b""), "no memo, no authorities"


def test_coins_are_moved_by_a_transfer_contract() -> None:
    kind, name, body = contract_of(build(intent(units=2**63 - 1), COINS, TRX))
    assert (kind, name) == (Kind.TRANSFER, b"type.googleapis.com/protocol.TransferContract")
    assert (body.data(1), body.data(2)) == (to_bytes(HOT.address), to_bytes(SOMEONE))
    assert body.number(3) == 2**63 - 1


def test_tokens_are_moved_by_a_call_of_their_contract_without_coins() -> None:
    raw = build(intent(USDT, units=1_000_000), TOKENS, USDT)
    kind, name, body = contract_of(raw)
    assert (kind, name) == (Kind.TRIGGER_CONTRACT, b"type.googleapis.com/protocol.TriggerSmartContract")
    assert (body.data(1), body.data(2), body.number(3)) == (to_bytes(HOT.address), to_bytes(CONTRACT), 0)
    account = to_bytes(SOMEONE)[1:].hex()
    assert body.data(4).hex() == "a9059cbb" + "0" * 24 + account + f"{1_000_000:064x}"
    assert Message(raw).number(18) == TOKENS.fee_limit


@pytest.mark.parametrize(
    ("purpose", "kind", "name"),
    [(Purpose.LEND, 57, b"DelegateResourceContract"), (Purpose.RECALL, 58, b"UnDelegateResourceContract")],
)
def test_energy_is_lent_and_recalled_for_the_same_address_and_stake(purpose: Purpose, kind: int, name: bytes) -> None:
    found, url, body = contract_of(build(intent(purpose=purpose, units=77, target=DEPOSIT.address), COINS, TRX))
    assert (found, url) == (kind, b"type.googleapis.com/protocol." + name)
    assert body.data(1) == to_bytes(HOT.address)
    assert (body.number(2), body.number(3)) == (1, 77), "ENERGY, in sun of stake"
    assert body.data(4) == to_bytes(DEPOSIT.address)
    assert body.number(5) == 0, "no lock: it can be recalled at once"


@given(st.integers(1, 2**256 - 1))
def test_no_digit_of_a_token_amount_is_lost(units: int) -> None:
    arguments = transfer_arguments(intent(USDT, units=units).payments[0])
    assert len(arguments) == 64
    assert arguments[:12] == bytes(12)
    assert int.from_bytes(arguments[32:], "big") == units


def test_an_address_in_arguments_has_no_network_prefix() -> None:
    """TRC-20 knows accounts by 20 bytes: the 41 in front would be another account's first digit."""
    assert transfer_arguments(intent(USDT).payments[0])[11:13] == b"\0" + to_bytes(SOMEONE)[1:2]


@pytest.mark.parametrize(
    "changed",
    [
        {"timestamp_ms": BORN + 1},
        {"expiration_ms": BORN + 60_001},
        {"ref_height": HEIGHT + 1, "ref_id": (HEIGHT + 1).to_bytes(8, "big") + REF[8:]},
        {"ref_id": REF[:8] + b"\0" + REF[9:]},
        {"fee_limit": 1},
    ],
)
def test_each_part_of_a_plan_changes_the_id(changed: dict[str, int | bytes]) -> None:
    other = TronPlan(
        **{name: changed.get(name, getattr(COINS, name)) for name in TronPlan.__slots__}  # type: ignore[arg-type]
    )
    assert txid_of(build(intent(), other, TRX)) != txid_of(build(intent(), COINS, TRX))


def test_what_is_burnt_beside_is_the_network_s_business_and_not_in_the_bytes() -> None:
    assert build(intent(), replace(COINS, burnt_units=1), TRX) == build(intent(), COINS, TRX)


def test_the_signature_has_no_part_in_the_id() -> None:
    raw = build(intent(), COINS, TRX)
    sent = Message(signed_bytes(raw, bytes(range(65))))
    assert sent.data(1) == raw
    assert sent.all(2) == [bytes(range(65))]
    assert txid_of(sent.data(1)) == sha256(raw).hexdigest()


@pytest.mark.parametrize("size", [0, 64, 66])
def test_a_signature_of_another_size_is_never_sent(size: int) -> None:
    with pytest.raises(AssertionError, match="one byte to recover"):
        signed_bytes(b"raw", bytes(size))


def test_only_one_payment_can_be_built() -> None:
    one = intent()
    for payments in ((), one.payments * 2):
        with pytest.raises(ValueError, match="values to unpack"):
            build(replace(one, payments=payments), COINS, TRX)


def test_an_intent_without_payments_has_no_asset() -> None:
    assert asset_id_of(intent(USDT)) == USDT.id
    assert asset_id_of(replace(intent(), payments=())) == ""


def test_what_is_built_here_fits() -> None:
    assert misfits(intent(), COINS, network(), TRX) == ()
    assert misfits(intent(USDT), TOKENS, network(), USDT) == ()
    assert misfits(intent(purpose=Purpose.LEND), COINS, network(), TRX) == ()
