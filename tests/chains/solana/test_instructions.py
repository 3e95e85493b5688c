"""Our own calls, byte for byte as their programs document them: what is signed, what is written to, what is moved.

The sources are those that `chains.solana.instructions` names; the associated account is the one of a published owner.
"""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.chains.solana import instructions
from bitlinkpay.chains.solana.message import Instruction, Party, compose
from bitlinkpay.chains.solana.programs import (
    ASSOCIATED,
    COMPUTE_BUDGET,
    SYSTEM,
    TOKEN,
    TOKEN_2022,
    associated,
    is_associated,
    is_on_curve,
)

OWNER = "HAgk14JpMQLgt6rVgv7cBQFJWFto5Dqxi472uT3DKpqk"  # m/44'/501'/0'/0' of BIP-39's "abandon … about"
OTHER = "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM"
USDT = "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB"
UNITS = st.integers(0, 2**64 - 1)
PROGRAMS = st.sampled_from([TOKEN, TOKEN_2022])


def test_a_transfer_of_coins_is_call_two_of_the_system_program() -> None:
    made = instructions.transfer_coins(OWNER, OTHER, 1_000_000_000)
    assert made.program == SYSTEM
    assert made.data.hex() == "0200000000ca9a3b00000000"
    assert made.parties == (Party(OWNER, is_signer=True, is_writable=True), Party(OTHER, is_writable=True))


@pytest.mark.parametrize(
    ("made", "data"),
    [
        (instructions.set_compute_limit(200_000), "02400d0300"),
        (instructions.set_compute_limit(0), "0200000000"),
        (instructions.set_compute_limit(2**32 - 1), "02ffffffff"),
        (instructions.set_compute_price(1), "030100000000000000"),
        (instructions.set_compute_price(2**64 - 1), "03ffffffffffffffff"),
    ],
)
def test_what_a_place_in_a_block_costs_is_said_without_any_account(made: Instruction, data: str) -> None:
    assert (made.program, made.parties, made.data.hex()) == (COMPUTE_BUDGET, (), data)


def test_a_transfer_of_tokens_names_no_mint_and_a_checked_one_does() -> None:
    source, target = associated(OWNER, USDT, TOKEN), associated(OTHER, USDT, TOKEN)
    plain = instructions.transfer_tokens(OWNER, OTHER, 5, mint=USDT, program=TOKEN)
    assert plain.data.hex() == "030500000000000000"
    assert plain.parties == (
        Party(source, is_writable=True),
        Party(target, is_writable=True),
        Party(OWNER, is_signer=True),
    )
    checked = instructions.transfer_checked(OWNER, OTHER, 5, mint=USDT, program=TOKEN, decimals=6)
    assert checked.data.hex() == "0c050000000000000006"
    assert checked.parties == (plain.parties[0], Party(USDT), plain.parties[1], plain.parties[2])


def test_the_plain_transfer_is_shorter_by_what_its_promise_says() -> None:
    """32 bytes of the mint, its index among the accounts, and the decimals."""
    plain, checked = (
        compose(OWNER, [made], OTHER)
        for made in (
            instructions.transfer_tokens(OWNER, OTHER, 5, mint=USDT, program=TOKEN),
            instructions.transfer_checked(OWNER, OTHER, 5, mint=USDT, program=TOKEN, decimals=6),
        )
    )
    assert checked.size - plain.size == 34


def test_an_account_is_created_at_the_payer_s_cost_for_an_owner_who_signs_nothing() -> None:
    made = instructions.create_account(OWNER, OTHER, USDT, TOKEN)
    assert (made.program, made.data) == (ASSOCIATED, b"\x01")
    assert made.parties == (
        Party(OWNER, is_signer=True, is_writable=True),
        Party(associated(OTHER, USDT, TOKEN), is_writable=True),
        Party(OTHER),
        Party(USDT),
        Party(SYSTEM),
        Party(TOKEN),
    )


def test_a_closed_account_gives_its_rent_to_the_target() -> None:
    made = instructions.close_account(OWNER, OTHER, mint=USDT, program=TOKEN_2022)
    assert (made.program, made.data) == (TOKEN_2022, b"\x09")
    purse = associated(OWNER, USDT, TOKEN_2022)
    assert made.parties == (
        Party(purse, is_writable=True),
        Party(OTHER, is_writable=True),
        Party(OWNER, is_signer=True),
    )


@given(UNITS, PROGRAMS)
def test_no_amount_is_changed_by_its_bytes(units: int, program: str) -> None:
    coins = instructions.transfer_coins(OWNER, OTHER, units)
    plain = instructions.transfer_tokens(OWNER, OTHER, units, mint=USDT, program=program)
    checked = instructions.transfer_checked(OWNER, OTHER, units, mint=USDT, program=program, decimals=9)
    assert int.from_bytes(coins.data[4:], "little") == units
    assert int.from_bytes(plain.data[1:], "little") == int.from_bytes(checked.data[1:9], "little") == units


@pytest.mark.parametrize("units", [-1, 2**64])
@pytest.mark.parametrize(
    "make",
    [
        lambda units: instructions.transfer_coins(OWNER, OTHER, units),
        lambda units: instructions.transfer_tokens(OWNER, OTHER, units, mint=USDT, program=TOKEN),
        lambda units: instructions.transfer_checked(OWNER, OTHER, units, mint=USDT, program=TOKEN, decimals=6),
        instructions.set_compute_price,
    ],
)
def test_an_amount_that_does_not_fit_is_never_cut(make: Callable[[int], Instruction], units: int) -> None:
    with pytest.raises(OverflowError):
        make(units)


@given(PROGRAMS)
def test_only_the_source_ever_signs(program: str) -> None:
    made = [
        instructions.transfer_coins(OWNER, OTHER, 1),
        instructions.create_account(OWNER, OTHER, USDT, program),
        instructions.transfer_tokens(OWNER, OTHER, 1, mint=USDT, program=program),
        instructions.transfer_checked(OWNER, OTHER, 1, mint=USDT, program=program, decimals=6),
        instructions.close_account(OWNER, OTHER, mint=USDT, program=program),
    ]
    assert {party.address for call in made for party in call.parties if party.is_signer} == {OWNER}
    assert compose(OWNER, made, OTHER).signers == (OWNER,)


def test_the_two_token_programs_keep_one_owner_s_money_apart() -> None:
    one, other = associated(OWNER, USDT, TOKEN), associated(OWNER, USDT, TOKEN_2022)
    assert one != other
    assert is_associated(one, OWNER, USDT, TOKEN)
    assert not is_associated(one, OWNER, USDT, TOKEN_2022)
    assert not is_on_curve(one)
    assert is_on_curve(OWNER)
