"""What trials of a token's transfers tell, decided without a chain."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.chains.evm.chain import EvmChain
from bitlinkpay.chains.findings import Findings
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.chains.solana.chain import SolanaChain
from bitlinkpay.chains.token import TokenProbe
from bitlinkpay.chains.ton.chain import TonChain
from bitlinkpay.chains.trial import Answered, TokenTrier, Trial, judge, read_answer
from bitlinkpay.chains.tron.chain import TronChain
from bitlinkpay.core.assets import Family

FINE = Trial(1_000, left=1_000, came=1_000)


def test_that_fewer_saw_it_than_have_to_agree_is_told_once() -> None:
    lonely = Trial(1_000, left=1_000, came=1_000, doubt="tried by one")
    assert judge([lonely, FINE, lonely]) == Findings((), ("3 of 3 transfers went through when tried", "tried by one"))


@pytest.mark.parametrize(
    ("size", "first", "means"),
    [
        (0, 0, Answered.NOTHING),
        (32, 1, Answered.TRUE),
        (32, 0, Answered.FALSE),
        (32, 2, Answered.ODD),
        (31, 1, Answered.ODD),
        (64, 1, Answered.TRUE),
        (1, 0, Answered.ODD),
    ],
)
def test_what_a_returned_value_means(size: int, first: int, means: Answered) -> None:
    assert read_answer(size, first) is means


@given(st.integers(1, 2**256 - 1), st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1))
def test_only_a_transfer_that_moves_exactly_what_it_says_is_without_fault(units: int, left: int, came: int) -> None:
    assert (judge([FINE, Trial(units, left=left, came=came)]).faults == ()) is (left == came == units)


def test_a_payer_who_is_charged_more_is_a_fault() -> None:
    assert judge([Trial(1_000, left=1_010, came=1_000)]).faults == ("a transfer of 1000 units costs its payer 1010",)


def test_one_fault_is_told_once_and_one_refusal_among_successes_is_none() -> None:
    refused = Trial(5, failure="blocked")
    assert judge([FINE, refused]).faults == ()
    assert judge([refused, refused]).faults == ("its transfers fail: blocked",)
    lies = Trial(5, answered=Answered.FALSE)
    assert judge([lies, lies]).faults == ("its transfers answer false in place of true",)


def test_every_network_that_has_tokens_tries_their_transfers() -> None:
    chains = {Family.EVM: EvmChain, Family.TRON: TronChain, Family.SOLANA: SolanaChain, Family.TON: TonChain}
    registry = load_registry()
    listed = {registry.networks[asset.network].family for asset in registry.assets.values() if not asset.is_native}
    assert listed == chains.keys()
    assert all(issubclass(chain, TokenProbe) and issubclass(chain, TokenTrier) for chain in chains.values())
