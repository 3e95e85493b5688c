"""Deposits of a chain of outputs: deep enough for their amount and origin, proven one by one, with all who paid them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from tests.deposits.test_store import deposit
from tests.flows.harness import REGISTRY

from bitlinkpay.chains.base import Arrival, ChainError
from bitlinkpay.chains.outputs import Place
from bitlinkpay.core.assets import Asset
from bitlinkpay.deposits.model import Deposit
from bitlinkpay.payins.outputs import OutputProof

NETWORK = REGISTRY.networks["bitcoin"]
LARGE, SEVERAL, MATURE = 10**9, 6, 100


@dataclass
class Outputs:
    """What the nodes say of single outputs: the seam behind which they stand."""

    spent: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    payers_of: dict[str, Sequence[str]] = field(default_factory=dict)
    failure: ChainError | None = None
    asked: list[Place] = field(default_factory=list)

    def confirmations(self, asset: Asset, units: int, arrival: Arrival) -> int:
        assert asset.id == "btc-bitcoin"
        if arrival is not Arrival.DIRECT:
            return MATURE
        return SEVERAL if units >= LARGE else NETWORK.confirmations

    async def are_unspent(self, places: Sequence[Place]) -> Sequence[bool]:
        self.asked += places
        if self.failure:
            raise self.failure
        return [place.txid not in self.spent for place in places]

    async def payers(self, place: Place) -> Sequence[str]:
        self.asked.append(place)
        if place.txid in self.unreadable:
            raise ChainError("no answer")
        return self.payers_of.get(place.txid, [])


def paid(number: int, units: int = 5000, **more: object) -> Deposit:
    return deposit(number, units=units, network=NETWORK.id, asset="btc-bitcoin", position="vout:1", **more)


@pytest.mark.parametrize(
    ("arrived", "more"),
    [
        (paid(1, LARGE - 1), 0),
        (paid(1, LARGE), SEVERAL - NETWORK.confirmations),
        (paid(1, arrival=Arrival.SYSTEM), MATURE - NETWORK.confirmations),
    ],
)
def test_BTC_09_money_waits_for_as_many_blocks_as_its_amount_and_origin_ask_for(arrived: Deposit, more: int) -> None:
    """The final block of the network lies its own confirmations deep; what is more than these is waited for here."""
    proof = OutputProof(Outputs(), REGISTRY)
    assert proof.ripe([arrived], arrived.height + more) == [arrived]
    assert proof.ripe([arrived], arrived.height + more - 1) == []


def test_what_is_not_ripe_holds_up_nothing_beside_it() -> None:
    small, large, other = paid(1), paid(2, LARGE), paid(3)
    assert OutputProof(Outputs(), REGISTRY).ripe([small, large, other], small.height) == [small, other]
    assert OutputProof(Outputs(), REGISTRY).ripe([], 5) == []


async def test_NODE_01_each_output_is_asked_for_as_it_was_seen_and_those_that_are_gone_are_named() -> None:
    first, gone, last = paid(1), paid(2, 7), paid(3)
    chain = Outputs(spent={gone.txid})
    assert await OutputProof(chain, REGISTRY).list_missing([first, gone, last]) == [gone.deposit_id]
    assert chain.asked[1] == Place(gone.block_hash, gone.txid, "vout:1", "TB", 7)


async def test_a_chain_that_does_not_answer_proves_nothing_against_a_deposit() -> None:
    chain = Outputs(failure=ChainError("no answer"))
    with pytest.raises(ChainError, match="no answer"):
        await OutputProof(chain, REGISTRY).list_missing([paid(1)])


async def test_AML_06_all_who_paid_are_named_and_who_cannot_be_read_now_holds_up_his_own_deposit_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    many, unread, coinbase = paid(1), paid(2), paid(3)
    chain = Outputs(unreadable={unread.txid}, payers_of={many.txid: ["a", "b", ""]})
    with caplog.at_level(logging.WARNING):
        found = await OutputProof(chain, REGISTRY).payers([many, unread, coinbase])
    assert found == {many.deposit_id: ("a", "b", ""), coinbase.deposit_id: ()}
    assert [r.getMessage() for r in caplog.records] == [f"bitcoin: who paid {unread.txid} cannot be read: no answer"]
