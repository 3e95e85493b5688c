"""Large money waits until a stricter reader of its network bears it out (THREATS rules 12, 13)."""

import logging
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

import pytest
from tests.flows.scripted import ScriptedChain, transfer_to

from bitlinkpay.chains.base import Arrival, Block, ChainError, NotEnoughAnswers, Transfer
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.core.assets import Agreement, Demand, Depth
from bitlinkpay.core.ids import DepositId, MerchantId, new_uuid7
from bitlinkpay.deposits.model import Deposit, DepositState
from bitlinkpay.payins.confirming import Confirming

REGISTRY = load_registry()
USDT = REGISTRY.assets["usdt-ethereum"]
TWO, BOTH = Demand(2), Demand(2, "finalized")
LARGE, SMALL = 10_000 * 10**6, 999 * 10**6
OURS = "0x" + "a1" * 20
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def chain(units: int = LARGE, **more: object) -> tuple[ScriptedChain, Block]:
    """A stricter reader whose newest final block holds the transfer."""
    found = ScriptedChain(REGISTRY.networks["ethereum"], NOW)
    (block,) = found.grow(1, replace(transfer_to(OURS, units), **more))  # type: ignore[arg-type]
    found.grow(3)
    return found, block


def deposit(block: Block, transfer: Transfer | None = None, **more: object) -> Deposit:
    transfer = transfer or block.transfers[0]
    made = Deposit(
        deposit_id=DepositId(new_uuid7()), network="ethereum", height=block.height, block_hash=block.hash,
        txid=transfer.txid, position=transfer.position, asset=transfer.asset, source=transfer.source,
        target=transfer.target, tag=transfer.tag, units=transfer.units, arrival=transfer.arrival,
        merchant_id=MerchantId(new_uuid7()), payin_id=None, state=DepositState.FINAL, label="", fee_units=0,
        first_block_at=block.time, seen_at=NOW,
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def confirming(stricter: ScriptedChain | None, demand: Demand = BOTH) -> Confirming:
    return Confirming(MappingProxyType({demand: stricter}), REGISTRY)


def test_what_an_amount_asks_for_follows_from_its_row() -> None:
    assert USDT.demand(SMALL) == Demand()
    assert USDT.demand(1_000 * 10**6) == Demand(0, "finalized")
    assert USDT.demand(LARGE) == BOTH
    assert USDT.demands == {BOTH, Demand(0, "finalized")}
    steps = replace(USDT, depths=(Depth(7, confirmations=6),), quorums=(Agreement(9, 3), Agreement(5, 2)))
    assert [steps.demand(units).quorum for units in (4, 5, 8, 9)] == [0, 2, 2, 3]
    assert steps.demands == {Demand(2), Demand(3)}


async def test_large_money_that_the_stricter_reader_shows_passes_and_is_asked_for_once() -> None:
    stricter, block = chain()
    paid, reader = deposit(block), confirming(stricter)
    assert await reader.confirmed([paid]) == await reader.confirmed([paid]) == [paid]
    assert len(stricter.scans) == 1
    assert await reader.confirmed([]) == []
    assert await reader.confirmed([paid]) == [paid]
    assert len(stricter.scans) == 2, "what is not at hand any more is forgotten"


async def test_small_money_asks_nobody_and_one_quorum_that_is_met_anyway_is_not_asked_again() -> None:
    stricter, block = chain(SMALL)
    assert len(await confirming(stricter).confirmed([deposit(block)])) == 1
    large, at = chain()
    assert len(await confirming(large, TWO).confirmed([deposit(at)])) == 1, "no reader for it: the network meets it"
    assert stricter.scans == large.scans == []


DIFFERS = {
    "another block": {"block_hash": "0x" + "0" * 64},
    "another transaction": {"txid": "0x" + "1" * 64},
    "another place in it": {"position": "log:9"},
    "another target": {"target": "0x" + "b2" * 20},
    "another tag": {"tag": "12345678"},
    "another asset": {"asset": "usdt-ethereum", "units": LARGE + 1},
}


@pytest.mark.parametrize("what", DIFFERS)
async def test_NODE_03_money_that_the_stricter_reader_does_not_show_waits_and_is_told_once(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    stricter, block = chain()
    reader, paid = confirming(stricter), deposit(block, **DIFFERS[what])
    with caplog.at_level(logging.CRITICAL):
        assert await reader.confirmed([paid]) == await reader.confirmed([paid]) == []
    (record,) = caplog.records
    assert "independent endpoints agree that the block does not hold it" in record.getMessage()
    assert await reader.confirmed([paid, genuine := deposit(block)]) == [genuine], "what waits holds up nobody"


async def test_NODE_03_too_few_answers_are_no_answer_until_they_are_enough(caplog: pytest.LogCaptureFixture) -> None:
    stricter, block = chain()
    reader, paid = confirming(stricter), deposit(block)
    stricter.failures = [NotEnoughAnswers("1 of 2 endpoints agree"), ChainError("no answer")]
    assert await reader.confirmed([paid]) == await reader.confirmed([paid]) == []
    assert [r.levelname for r in caplog.records] == ["WARNING"], "once, however the endpoints put it"
    assert await reader.confirmed([paid]) == [paid]


async def test_what_is_not_final_for_the_stricter_reader_waits_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    stricter, block = chain()
    stricter.final = block.height - 1
    paid, reader = deposit(block), confirming(stricter)
    assert await reader.confirmed([paid]) == []
    assert (caplog.records, stricter.scans) == ([], [])
    stricter.final = block.height
    assert await reader.confirmed([paid]) == [paid]


async def test_where_too_few_endpoints_are_named_it_waits_and_the_operator_reads_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, block = chain()
    reader, paid = confirming(None), deposit(block)
    assert await reader.confirmed([paid]) == await reader.confirmed([paid]) == []
    (record,) = caplog.records
    assert "asks for 2 independent endpoints, fewer are named" in record.getMessage()


class Hidden(ScriptedChain):
    """Shows what an inner call moved only to who asks for it, and under a name of its own."""

    parts: tuple[Transfer, ...] = ()

    async def locate(self, asset: object, address: str, first: int, last: int) -> list[tuple[Block, Transfer]]:
        block = next(block for block in self.blocks if block.height == first)
        return [(block, part) for part in self.parts if part.target == address]


@pytest.mark.parametrize(("units", "passes"), [((6, 4), True), ((6, 3), False), ((), False)])
async def test_money_that_no_scan_shows_is_borne_out_by_its_sum(units: tuple[int, ...], passes: bool) -> None:
    stricter = Hidden(REGISTRY.networks["ethereum"], NOW)
    eth = REGISTRY.assets["eth-ethereum"]
    (block,) = stricter.grow(1)
    stricter.grow(3)
    coin = replace(transfer_to(OURS, 10 * 10**18, asset=eth.id), position="internal:3", arrival=Arrival.INTERNAL)
    stricter.parts = tuple(
        replace(coin, position=f"internal:{number}", units=part * 10**18) for number, part in enumerate(units)
    )
    paid = deposit(block, coin)
    assert (await confirming(stricter).confirmed([paid]) == [paid]) is passes
