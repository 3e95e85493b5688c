"""What our code costs, on two EVM implementations that share no line."""

import pytest
from tests.chains.evm.gas import BATCH, measure
from tests.nodes.anvil import Anvil
from tests.nodes.edr import Edr, is_installed

REFUNDED = 12_500  # EIP-7702, per authorization of an account that exists; anvil gives it for those that do not


@pytest.mark.skipif(not is_installed(), reason="EDR comes for Linux on x86-64 only")
async def test_two_implementations_charge_alike_but_for_one_known_refund() -> None:
    async with Edr.start() as node:
        edr = await measure(node)
    async with Anvil.start() as node:
        anvil = await measure(node)
    refund = edr.pop("first sweep") - anvil.pop("first sweep")
    assert edr == anvil
    assert 0 < refund < REFUNDED, "which the refunds for emptied balances leave room for"


@pytest.mark.skipif(not is_installed(), reason="EDR comes for Linux on x86-64 only")
async def test_batches_of_fifty_reach_what_they_are_there_for() -> None:
    async with Edr.start() as node:
        gas = await measure(node)
    assert BATCH == 50
    assert gas["batch, existing"] <= 0.30 * gas["single, existing"]
    assert gas["first sweep"] <= 0.60 * gas["classic sweep"]
    assert gas["repeated sweep"] <= 0.25 * gas["classic sweep"]
