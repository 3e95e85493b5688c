"""A row held against the chain for a person: what is told, and what of it speaks against the row."""

from dataclasses import replace

import pytest
from tests.deposits.test_assets import ACCEPTED, BAD, GOOD, USDT, Contracts

from bitlinkpay.chains.base import ChainError
from bitlinkpay.deposits.assets.examining import examine
from bitlinkpay.deposits.assets.model import Review

UNTRIED = "transfers can't be tried on this network: try one of your own with a small amount"


async def faults(contracts: Contracts, known: Review | None = None, **changes: object) -> tuple[str, ...]:
    found = await examine(contracts, contracts, replace(USDT, **changes), known)  # type: ignore[arg-type]
    assert found.asset == USDT.id
    return found.faults


async def test_a_row_that_tells_the_truth_has_no_faults_and_says_what_was_not_tried() -> None:
    contracts = Contracts()
    found = await examine(contracts, contracts, USDT, None)  # type: ignore[arg-type]
    assert (found.facts, found.faults, found.notes) == (GOOD, (), (UNTRIED,))
    assert contracts.asked == [USDT.id]


@pytest.mark.parametrize("what", BAD)
async def test_whatever_the_review_would_hold_is_a_fault(what: str) -> None:
    contracts = Contracts({USDT.id: BAD[what]})
    assert await faults(contracts, ACCEPTED)


async def test_what_a_person_has_accepted_is_no_fault() -> None:
    paused = replace(GOOD, is_paused=True)
    contracts = Contracts({USDT.id: paused})
    assert await faults(contracts)
    assert not await faults(contracts, replace(ACCEPTED, seen=paused, accepted=paused))


async def test_another_symbol_is_a_fault_until_the_row_says_that_it_is_meant() -> None:
    contracts = Contracts({USDT.id: replace(GOOD, symbol="USD₮0")})
    (fault,) = await faults(contracts)
    assert fault == (
        "usdt-ethereum: the contract calls itself 'USD₮0', the row 'USDT': "
        "write `onchain_symbol = 'USD₮0'` into the row, if this is the contract"
    )
    assert not await faults(contracts, onchain_symbol="USD₮0")
    assert not await faults(Contracts({USDT.id: replace(GOOD, symbol="")})), "a token need not tell"


async def test_no_contract_is_the_one_fault_and_nothing_else_is_asked() -> None:
    (fault,) = await faults(Contracts({USDT.id: BAD["gone"]}))
    assert "no contract at" in fault


async def test_a_chain_that_cannot_be_read_is_no_verdict() -> None:
    with pytest.raises(ChainError):
        await faults(Contracts({USDT.id: ChainError("no answer")}))
