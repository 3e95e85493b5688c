"""Which payments a receipt proves: by events of the right contracts, item by item. Pure."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.chains.evm.ours import HOT, OTHER_HOT, deposit, intent, pay, payout, sweep
from tests.chains.evm.rows import coin, token

from bitlinkpay.chains.evm.abi import word
from bitlinkpay.chains.evm.delegates import EXECUTED_TOPIC
from bitlinkpay.chains.evm.delivery import Contradiction, delivered
from bitlinkpay.chains.evm.plan import EvmPlan, Shape
from bitlinkpay.chains.evm.transfers import TRANSFER_TOPIC
from bitlinkpay.chains.evm.wire import Log, Malformed, Receipt
from bitlinkpay.chains.outgoing import Purpose

ETH, USDT = coin(), token("0x" + "da" * 20)
A, B, C = (deposit(i).address for i in (1, 2, 3))
TOKEN = EvmPlan(Shape.TOKEN, 31337, nonce=7, gas_limit=90_000, max_fee=10, priority_fee=1)
BATCH = replace(TOKEN, shape=Shape.BATCH, item_gas=100_000)
SWEEP = replace(BATCH, shape=Shape.SWEEP)
THREE = payout(USDT, (A, 5), (B, 6), (C, 7))


def topic(address: str) -> str:
    return "0x" + address[2:].lower().rjust(64, "0")


def moved(source: str, target: str, units: int, *, contract: str = USDT.contract) -> Log:
    return Log(contract.lower(), [TRANSFER_TOPIC, topic(source), topic(target)], "0x" + word(units).hex())


def executed(failures: int, *, by: str = HOT.address) -> Log:
    return Log(by.lower(), [EXECUTED_TOPIC], "0x" + word(failures).hex())


def receipt(*logs: Log, status: str = "0x1") -> Receipt:
    return Receipt("0x" + "11" * 32, "0x" + "22" * 32, status, "0x0", "0x", list(logs))


def to_a(units: int) -> Log:
    return moved(HOT.address, A, units)


ALL = (to_a(5), moved(HOT.address, B, 6), moved(HOT.address, C, 7))


@pytest.mark.parametrize(
    ("logs", "made"),
    [
        ([to_a(5)], True),
        ([], False),  # returned false without reverting
        ([moved(HOT.address, B, 5)], False),
        ([moved(B, A, 5)], False),
        ([to_a(6)], False),
        ([moved(HOT.address, A, 5, contract="0x" + "db" * 20)], False),
        ([to_a(4)], True),  # the token took a fee out of what left us
    ],
)
def test_PAY_11_a_single_token_payment_is_made_if_its_event_is_there(logs: list[Log], made: bool) -> None:
    assert delivered(payout(USDT, (A, 5)), TOKEN, receipt(*logs), USDT) == (made,)


@pytest.mark.parametrize("plan", [TOKEN, BATCH, SWEEP, replace(TOKEN, shape=Shape.NATIVE)])
def test_PAY_11_a_reverted_transaction_pays_nobody_whatever_its_logs(plan: EvmPlan) -> None:
    assert delivered(THREE, plan, receipt(*ALL, executed(0), status="0x0"), USDT) == (False, False, False)


def test_native_payments_are_made_by_status_alone_or_by_the_executors_word() -> None:
    assert delivered(payout(ETH, (A, 5)), replace(TOKEN, shape=Shape.NATIVE), receipt(), ETH) == (True,)
    three = payout(ETH, (A, 5), (B, 6), (C, 7))
    assert delivered(three, BATCH, receipt(executed(0b010)), ETH) == (True, False, True)
    assert delivered(three, BATCH, receipt(), ETH) == (False, False, False), "the executor did not run"


def test_a_batch_needs_both_the_executors_word_and_the_tokens_event() -> None:
    assert delivered(THREE, BATCH, receipt(*ALL, executed(0)), USDT) == (True, True, True)
    assert delivered(THREE, BATCH, receipt(ALL[0], ALL[2], executed(0b010)), USDT) == (True, False, True)
    assert delivered(THREE, BATCH, receipt(), USDT) == (False, False, False)


@pytest.mark.parametrize(
    "logs",
    [
        [*ALL[:2], executed(0)],  # said to be made, and no event
        [*ALL, executed(0b001)],  # said to have failed, and the money is gone
        [*ALL],  # the executor never ran, and the money is gone
        [*ALL, executed(0), executed(0)],
    ],
)
def test_what_contradicts_itself_is_decided_by_nobody(logs: list[Log]) -> None:
    with pytest.raises(Contradiction):
        delivered(THREE, BATCH, receipt(*logs), USDT)


def test_an_executors_word_counts_from_our_wallet_only_and_in_its_one_form() -> None:
    for other in (
        executed(0b111, by=OTHER_HOT.address),
        executed(0b111, by=USDT.contract),
        Log(HOT.address.lower(), [EXECUTED_TOPIC, topic(A)], "0x" + word(7).hex()),
        Log(HOT.address.lower(), [TRANSFER_TOPIC], "0x" + word(7).hex()),
    ):
        assert delivered(THREE, BATCH, receipt(*ALL, executed(0), other), USDT) == (True, True, True)
    with pytest.raises(Malformed):
        delivered(THREE, BATCH, receipt(*ALL, Log(HOT.address.lower(), [EXECUTED_TOPIC], "0x00")), USDT)


def test_a_sweep_is_read_by_its_sources() -> None:
    sources = [(deposit(i), 10 + i) for i in (1, 2, 3)]
    logs = [moved(wallet.address, HOT.address, units) for wallet, units in sources]
    assert delivered(sweep(USDT, *sources), SWEEP, receipt(*logs, executed(0)), USDT) == (True, True, True)
    assert delivered(sweep(USDT, *sources), SWEEP, receipt(*logs[1:], executed(1)), USDT) == (False, True, True)


def test_an_event_pays_for_one_payment_only() -> None:
    twice = payout(USDT, (A, 5), (A, 5))
    assert delivered(twice, BATCH, receipt(to_a(5), executed(0b10)), USDT) == (True, False)
    mixed = payout(USDT, (A, 6), (A, 5))
    assert delivered(mixed, BATCH, receipt(to_a(5), executed(0b01)), USDT) == (False, True), "the exact one first"


def test_what_pays_nobody_delivers_nothing() -> None:
    for purpose, shape in ((Purpose.SETUP, Shape.DELEGATION), (Purpose.CANCEL, Shape.CANCEL)):
        assert delivered(intent(purpose), replace(TOKEN, shape=shape), receipt(), None) == ()


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.integers(1, 9)), min_size=1, max_size=40), st.data())
def test_whatever_items_fail_exactly_the_others_are_made(items: list[tuple[str, int]], data: st.DataObject) -> None:
    failed = data.draw(st.lists(st.booleans(), min_size=len(items), max_size=len(items)))
    wanted = intent(payments=[pay(USDT, target, units) for target, units in items])
    logs = [moved(HOT.address, target, units) for (target, units), bad in zip(items, failed, strict=True) if not bad]
    bits = sum(1 << i for i, bad in enumerate(failed) if bad)
    noise = [moved(HOT.address, A, 100, contract="0x" + "db" * 20), moved(B, A, 3)]
    found = delivered(wanted, BATCH, receipt(*noise, *logs, executed(bits)), USDT)
    assert found == tuple(not bad for bad in failed)
