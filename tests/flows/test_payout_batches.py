"""Files of payouts against the books: a result per line, one bad line among many, and the same file again."""

import csv
import io

import pytest
from tests.flows.conftest import Start
from tests.flows.paying import REGISTRY, STRANGERS, Cashier
from tests.flows.test_payout_decisions import ASSET, GAS, NETWORK, UNIT, terms
from tests.flows.test_payouts import earn
from tests.support.clock import ManualClock

from bitlinkpay.payouts.batch_file import parse_batch
from bitlinkpay.payouts.batches import Batches, LineResult, result_file
from bitlinkpay.payouts.model import SamePerson
from bitlinkpay.signer.keyring import KeyRing

STRANGER = STRANGERS["evm"]


@pytest.fixture
async def cashier(start: Start, ring: KeyRing) -> Cashier:
    cashier = Cashier(await start(), ring, ManualClock())
    await earn(cashier, ASSET, "1000")
    return cashier


async def run(cashier: Cashier, lines: list[str], maker: str = "") -> list[LineResult]:
    content = "\r\n".join(["\ufeffsource_id,asset,address,amount", *lines]).encode()
    batches = Batches(cashier.world.database, cashier.payouts(), REGISTRY)
    return await batches.run(cashier.world.merchant, parse_batch(content), maker=maker)


def verdicts(results: list[LineResult]) -> list[str]:
    return [result.verdict.value for result in results]


async def test_PAY_42_one_bad_line_of_five_hundred_is_reported_exactly_and_the_others_are_paid(
    cashier: Cashier,
) -> None:
    lines = [f"w-{n},{ASSET},{STRANGER},0.5" for n in range(500)]
    lines[321] = f"w-321,{ASSET},{STRANGER},1e3"
    results = await run(cashier, lines)
    (bad,) = [result for result in results if result.verdict == "refused"]
    assert (bad.number, bad.source_id, bad.payout) == (323, "w-321", None)
    assert verdicts(results).count("accepted") == 499
    reserved = sum(result.payout.reserved_units for result in results if result.payout)
    assert (await cashier.world.balance(ASSET)).reserved_units == reserved
    again = await run(cashier, lines)
    assert verdicts(again) == ["refused" if result is bad else "repeated" for result in results]
    assert [r.payout and r.payout.payout_id for r in again] == [r.payout and r.payout.payout_id for r in results]
    assert (await cashier.world.balance(ASSET)).reserved_units == reserved
    await cashier.fund(ASSET, "1000")
    await cashier.fund(GAS, "5")
    await cashier.finish(NETWORK)
    assert await cashier.received(STRANGER, ASSET) == 499 * UNIT // 2


async def test_each_line_is_checked_like_a_payout_of_its_own(cashier: Cashier) -> None:
    await terms(cashier, payment_max_units=600 * UNIT)
    results = await run(
        cashier,
        [
            f"a,{ASSET},{STRANGER},500",
            f"b,usdt-mars,{STRANGER},1",
            f"c,{ASSET},TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL,1",
            f"d,{ASSET},{STRANGER},0.00000001",
            f"e,{ASSET},{STRANGER},700",
            f"f,{ASSET},{STRANGER},600",
            f"a,{ASSET},{STRANGER},501",
            f"a,{ASSET},{STRANGER},500",
            f"g,{ASSET},{STRANGER},1",
        ],
    )
    refused = "refused"
    assert verdicts(results) == ["accepted", *[refused] * 6, "repeated", "accepted"]
    assert [result.problem.code for result in results if result.problem] == [
        "request.invalid",
        "payout.address_refused",
        "payout.amount_refused",
        "payout.amount_refused",
        "payout.balance_too_low",
        "payout.exists_different",
    ]


async def test_PAY_43_who_runs_a_file_does_not_approve_its_payouts(cashier: Cashier) -> None:
    await terms(cashier, review_above_units=UNIT)
    (result,) = await run(cashier, [f"a,{ASSET},{STRANGER},5"], maker="operator")
    assert result.payout
    payout_id = result.payout.payout_id
    with pytest.raises(SamePerson):
        await cashier.world.database.unit(lambda tx: cashier.payouts().approve(tx, payout_id, by="operator"))


async def test_the_result_file_has_a_row_a_line_and_runs_in_no_spreadsheet(cashier: Cashier) -> None:
    results = await run(cashier, [f"=1+1,{ASSET},{STRANGER},5", f"@b,{ASSET},{STRANGER},x", f"c,{ASSET},{STRANGER},1"])
    rows = list(csv.DictReader(io.StringIO(result_file(results).decode(), newline="")))
    assert [(row["line"], row["source_id"], row["result"]) for row in rows] == [
        ("2", "'=1+1", "accepted"),
        ("3", "'@b", "refused"),
        ("4", "c", "accepted"),
    ]
    assert rows[0]["id"].startswith("out_")
    assert "plain digits" in rows[1]["message"]
