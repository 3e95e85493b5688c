"""Call data as another implementation encodes it, and the one array of pairs at its place."""

import pytest
from eth_abi import decode, encode
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.chains.codec.evm import from_bytes
from bitlinkpay.chains.evm.abi import address_word, transfer, with_pairs, word

UINT = st.integers(0, 2**256 - 1)
ACCOUNT = st.binary(min_size=20, max_size=20).map(from_bytes)


@given(UINT)
def test_a_number_is_one_word(value: int) -> None:
    assert word(value) == encode(["uint256"], [value])


@pytest.mark.parametrize("value", [-1, 2**256])
def test_a_number_that_does_not_fit_is_never_cut(value: int) -> None:
    with pytest.raises(OverflowError):
        word(value)


@given(ACCOUNT, UINT)
def test_a_transfer_is_that_of_erc_20(target: str, units: int) -> None:
    """The selector is published with EIP-20's function: transfer(address,uint256) is a9059cbb."""
    data = transfer(target, units)
    assert data[:4].hex() == "a9059cbb"
    assert data[4:] == encode(["address", "uint256"], [target, units])
    assert address_word(target) == data[4:36]


@given(ACCOUNT, UINT, st.lists(st.tuples(ACCOUNT, UINT), max_size=5))
def test_pairs_are_read_by_others_as_they_were_meant(token: str, gas: int, pairs: list[tuple[str, int]]) -> None:
    types = ["address", "uint256", "(address,uint256)[]"]
    data = with_pairs(b"\x01\x02\x03\x04", [address_word(token), word(gas)], pairs)
    assert data[:4] == b"\x01\x02\x03\x04"
    assert data[4:] == encode(types, [token, gas, pairs])
    found = decode(types, data[4:])
    assert found == (token.lower(), gas, tuple((account.lower(), units) for account, units in pairs))


def test_pairs_alone_begin_right_behind_their_offset() -> None:
    assert with_pairs(b"", [], []) == encode(["(address,uint256)[]"], [[]])
