"""Our own bytes against those of `solders`, the Rust library behind Python: addresses, messages, transactions."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta
from solders.instruction import Instruction as TheirInstruction
from solders.keypair import Keypair
from solders.message import Message as TheirMessage
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from tests.chains.solana import wallets

from bitlinkpay.chains.codec.solana import base58, from_bytes
from bitlinkpay.chains.solana import instructions
from bitlinkpay.chains.solana.message import Instruction, Party, compact, compose, serialize
from bitlinkpay.chains.solana.programs import TOKEN, TOKEN_2022, associated, is_associated, is_on_curve

keys = st.binary(min_size=32, max_size=32).map(from_bytes)
few_keys = st.lists(keys, min_size=3, max_size=12, unique=True)
A, B, MINT = (Keypair.from_seed(bytes([n]) * 32) for n in (1, 2, 3))


@settings(deadline=None, max_examples=400)
@given(keys)
def test_the_curve_is_that_of_the_reference(address: str) -> None:
    assert is_on_curve(address) == Pubkey.from_string(address).is_on_curve()


@pytest.mark.parametrize(
    "raw",
    [
        bytes(32),
        b"\xff" * 32,
        (2**255 - 19).to_bytes(32, "little"),  # p itself, not reduced
        (2**255 - 18).to_bytes(32, "little"),
        (1).to_bytes(32, "little"),  # y = 1: x is 0
        (1 | 1 << 255).to_bytes(32, "little"),  # the same with the sign bit
        (2**255 - 20).to_bytes(32, "little"),  # y = -1
        (2).to_bytes(32, "little"),
    ],
)
def test_the_curve_at_its_edges(raw: bytes) -> None:
    assert is_on_curve(from_bytes(raw)) == Pubkey.from_bytes(raw).is_on_curve()


@settings(deadline=None, max_examples=150)
@given(keys, keys, st.sampled_from([TOKEN, TOKEN_2022]))
def test_associated_accounts_are_those_of_the_reference(owner: str, mint: str, program: str) -> None:
    expected = str(wallets.associated(Pubkey.from_string(owner), Pubkey.from_string(mint), Pubkey.from_string(program)))
    assert associated(owner, mint, program) == expected
    assert is_associated(expected, owner, mint, program)
    assert is_associated(expected, mint, owner, program) == (owner == mint)


def test_a_published_associated_account() -> None:
    """An owner and its USDC account as the block in `published.json` shows them."""
    owner, usdc = "5C1k9yV7y4CjMnKv8eGYDgWND8P89Pdfj79Trk2qmfGo", "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
    theirs = Pubkey.find_program_address(
        [bytes(Pubkey.from_string(owner)), bytes(wallets.TOKEN), bytes(Pubkey.from_string(usdc))], wallets.ASSOCIATED
    )[0]
    assert associated(owner, usdc, TOKEN) == str(theirs)


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, list[Instruction], str]:
    people = draw(few_keys)
    made = [
        Instruction(
            program=draw(st.sampled_from(people)),
            parties=tuple(
                Party(draw(st.sampled_from(people)), draw(st.booleans()), draw(st.booleans()))
                for _ in range(draw(st.integers(0, 6)))
            ),
            data=draw(st.binary(max_size=200)),
        )
        for _ in range(draw(st.integers(1, 5)))
    ]
    return draw(st.sampled_from(people)), made, draw(keys)


@settings(deadline=None, max_examples=400)
@given(calls())
def test_any_message_is_that_of_the_reference_to_the_byte(made: tuple[str, list[Instruction], str]) -> None:
    payer, ours, blockhash = made
    theirs = TheirMessage.new_with_blockhash(
        [
            TheirInstruction(
                Pubkey.from_string(call.program),
                call.data,
                [AccountMeta(Pubkey.from_string(p.address), p.is_signer, p.is_writable) for p in call.parties],
            )
            for call in ours
        ],
        Pubkey.from_string(payer),
        Hash.from_string(blockhash),
    )
    message = compose(payer, ours, blockhash)
    assert message.raw == bytes(theirs)
    assert list(message.signers) == [str(key) for key in theirs.account_keys[: theirs.header.num_required_signatures]]
    signers, last = theirs.header.num_required_signatures, len(theirs.account_keys)
    writable = [
        *theirs.account_keys[: signers - theirs.header.num_readonly_signed_accounts],
        *theirs.account_keys[signers : last - theirs.header.num_readonly_unsigned_accounts],
    ]
    assert list(message.writable) == [str(key) for key in writable]


def test_our_calls_are_those_that_the_tests_make_by_hand() -> None:
    a, b, mint = (str(key.pubkey()) for key in (A, B, MINT))
    source, target = (wallets.associated(key.pubkey(), MINT.pubkey()) for key in (A, B))
    pairs = [
        (instructions.transfer_coins(a, b, 7), wallets.transfer(A, B.pubkey(), 7)),
        (instructions.create_account(a, b, mint, TOKEN), wallets.create_associated(A, B.pubkey(), MINT.pubkey())),
        (
            instructions.transfer_tokens(a, b, 9, mint=mint, program=TOKEN),
            wallets.transfer_token(source, target, A, 9),
        ),
        (
            instructions.transfer_checked(a, b, 9, mint=mint, program=TOKEN, decimals=6),
            wallets.transfer_checked(source, MINT.pubkey(), target, A, 9, decimals=6),
        ),
        (instructions.close_account(a, b, mint=mint, program=TOKEN), wallets.close(source, B.pubkey(), A)),
    ]
    for ours, theirs in pairs:
        assert (ours.program, ours.data) == (str(theirs.program_id), bytes(theirs.data))
        assert [(p.address, p.is_signer, p.is_writable) for p in ours.parties] == [
            (str(meta.pubkey), meta.is_signer, meta.is_writable) for meta in theirs.accounts
        ]


def test_compute_budget_calls_are_those_of_the_reference() -> None:
    assert instructions.set_compute_limit(123_456).data == bytes(set_compute_unit_limit(123_456).data)
    assert instructions.set_compute_price(98_765).data == bytes(set_compute_unit_price(98_765).data)
    assert instructions.set_compute_limit(1).program == str(set_compute_unit_limit(1).program_id)


def test_a_signed_transaction_reads_back() -> None:
    payer, other = str(A.pubkey()), str(B.pubkey())
    message = compose(payer, [instructions.transfer_coins(other, payer, 5)], base58(os.urandom(32)))
    signatures = [bytes(key.sign_message(message.raw)) for key in (A, B)]
    raw = serialize(message, signatures)
    assert len(raw) == message.size
    theirs = VersionedTransaction.from_bytes(raw)
    assert all(theirs.verify_with_results())
    assert bytes(theirs) == raw
    with pytest.raises(AssertionError):
        serialize(message, signatures[:1])
    with pytest.raises(AssertionError):
        serialize(message, [b"", b""])


@pytest.mark.parametrize(
    ("number", "expected"),
    # solana-short-vec's own vectors
    [(0, "00"), (0x7F, "7f"), (0x80, "8001"), (0xFF, "ff01"), (0x100, "8002"), (0x7FFF, "ffff01"), (0xFFFF, "ffff03")],
)
def test_compact_numbers(number: int, expected: str) -> None:
    assert compact(number).hex() == expected


@pytest.mark.parametrize("number", [-1, 1 << 16])
def test_numbers_that_are_not_compact(number: int) -> None:
    with pytest.raises(AssertionError):
        compact(number)
