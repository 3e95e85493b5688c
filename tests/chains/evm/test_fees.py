"""Fees: what the network asks for, what a liar may make of it, and how a replacement outbids. Integers throughout."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.chains.evm.desk import Desk
from tests.chains.evm.network import EvmNetwork
from tests.chains.evm.ours import HOT, deposit, payout
from tests.nodes.proxy import Proxy, RpcError

from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.evm.fees import Market, outbid, price, read_market
from bitlinkpay.chains.evm.plan import EvmPlan, Shape
from bitlinkpay.chains.evm.wire import FeeHistory, Malformed
from bitlinkpay.chains.outgoing import CannotPlan, FeeTooHigh

GWEI = 10**9
UNPRICED = EvmPlan(Shape.TOKEN, 1, nonce=0, gas_limit=90_000, max_fee=0, priority_fee=0)
A = deposit(1).address


def history(bases: list[int], tips: list[list[int]] | None) -> FeeHistory:
    rewards = None if tips is None else [[hex(tip) for tip in block] for block in tips]
    return FeeHistory(base_fee_per_gas=[hex(base) for base in bases], reward=rewards)


@pytest.mark.parametrize(
    ("bases", "tips", "market"),
    [
        ([5, 6, 7], [[1], [3], [2]], Market(7, 2)),
        ([5, 6, 7], [[0], [3], [0]], Market(7, 3)),  # empty blocks say nothing of tips
        ([0, 0], [[50_000_000]], Market(0, 50_000_000)),  # BNB Smart Chain: no base fee, a least tip
        ([10_000_000], [[0], [0]], Market(10_000_000, 0)),  # Arbitrum: no tips
        ([7], None, Market(7, 0)),
        ([7], [[]], Market(7, 0)),
    ],
)
def test_the_market_is_the_next_base_fee_and_the_median_tip(
    bases: list[int], tips: list[list[int]] | None, market: Market
) -> None:
    assert read_market(history(bases, tips)) == market


def test_a_network_without_a_base_fee_is_told_so() -> None:
    with pytest.raises(Malformed, match="no EIP-1559"):
        read_market(history([], None))


def test_the_price_has_room_up_to_twice_the_base_fee_or_to_the_cap() -> None:
    market = Market(10 * GWEI, 2 * GWEI)
    roomy = price(UNPRICED, market, 90_000 * 100 * GWEI)
    assert (roomy.max_fee, roomy.priority_fee) == (22 * GWEI, 2 * GWEI)
    tight = price(UNPRICED, market, 90_000 * 15 * GWEI)
    assert (tight.max_fee, tight.priority_fee) == (15 * GWEI, 2 * GWEI)
    with pytest.raises(
        FeeTooHigh, match="asks for 1192500000000000 wei, the most that may be paid is 1192499999999999"
    ):
        price(UNPRICED, market, 90_000 * (12 * GWEI + 10 * GWEI // 8) - 1)


@given(
    st.integers(0, 10**15), st.integers(0, 10**15), st.integers(0, 10**15), st.integers(0, 10**15), st.integers(1, 10**21)
)  # fmt: skip
def test_a_replacement_raises_both_fees_by_an_eighth_within_the_cap_or_is_refused(
    max_fee: int, tip: int, base: int, market_tip: int, cap: int
) -> None:
    before = replace(UNPRICED, max_fee=max(max_fee, tip), priority_fee=tip)
    try:
        after = outbid(before, Market(base, market_tip), cap)
    except FeeTooHigh:
        return
    assert after.max_fee * 8 >= before.max_fee * 9
    assert after.max_fee > before.max_fee
    assert after.priority_fee * 8 >= before.priority_fee * 9
    assert after.priority_fee > before.priority_fee
    assert after.priority_fee <= after.max_fee
    assert after.fee_max_units <= cap
    assert replace(after, max_fee=before.max_fee, priority_fee=before.priority_fee) == before


def test_a_replacement_that_the_tip_alone_puts_beyond_the_cap_says_what_the_tip_asks_for() -> None:
    before = replace(UNPRICED, max_fee=2 * GWEI, priority_fee=GWEI)
    with pytest.raises(FeeTooHigh, match=f"asks for {90_000 * 50 * GWEI} wei"):
        outbid(before, Market(GWEI, 50 * GWEI), 90_000 * 10 * GWEI)


def multiplied(factor: int):
    def edit(method: str, _: list[object], result: object) -> object:
        if method == "eth_feeHistory":
            raised = [hex(int(base, 16) * factor) for base in result["baseFeePerGas"]]
            return result | {"baseFeePerGas": raised}
        return result

    return edit


async def test_NODE_10_one_node_that_asks_for_a_thousand_times_the_fee_is_outvoted(net: EvmNetwork) -> None:
    async with Proxy.start(net.node.url) as liar, Proxy.start(net.node.url) as honest:
        async with Desk.on(net, urls=[liar.url, honest.url], quorum=2) as desk:
            await desk.fund()
            honest_plan = (await desk.prepare(payout(net.usdt, (A, 5)))).plan
            liar.edit = multiplied(1_000)
            assert (await desk.prepare(payout(net.usdt, (A, 5)))).plan == honest_plan
            honest.edit = multiplied(1_000)
            with pytest.raises(FeeTooHigh):
                await desk.prepare(payout(net.usdt, (A, 5), fee_max=honest_plan.fee_max_units * 2))


async def test_NODE_10_a_lone_liar_is_held_to_the_intents_cap(net: EvmNetwork) -> None:
    async with Proxy.start(net.node.url) as liar, Desk.on(net, urls=[liar.url]) as desk:
        await desk.fund()
        wanted = payout(net.usdt, (A, 5), fee_max=10**15)
        assert (await desk.prepare(wanted)).plan.fee_max_units <= 10**15
        liar.edit = multiplied(1_000)
        with pytest.raises(FeeTooHigh, match="the most that may be paid is 1000000000000000"):
            await desk.prepare(wanted)


def answers_gas(gas: int):
    return lambda method, _, result: hex(gas) if method == "eth_estimateGas" else result


async def test_a_node_that_lies_about_gas_is_outvoted_upwards_and_held_to_the_cap(net: EvmNetwork) -> None:
    async with Proxy.start(net.node.url) as liar, Proxy.start(net.node.url) as honest:
        async with Desk.on(net, urls=[liar.url, honest.url], quorum=2) as desk:
            await desk.fund()
            honest_limit = (await desk.prepare(payout(net.usdt, (A, 5)))).plan.gas_limit
            liar.edit = answers_gas(21_000)  # with which it would run dry and fail for its fee
            assert (await desk.prepare(payout(net.usdt, (A, 5)))).plan.gas_limit == honest_limit
            liar.edit = answers_gas(10**7)
            with pytest.raises(FeeTooHigh):
                await desk.prepare(payout(net.usdt, (A, 5), fee_max=10**15))


@pytest.mark.parametrize(("gas", "reason"), [(16_777_216, ""), (16_777_217, "takes 16777217 gas, more than one")])
async def test_no_gas_limit_is_beyond_what_a_transaction_may_have(net: EvmNetwork, gas: int, reason: str) -> None:
    async with Proxy.start(net.node.url) as proxy, Desk.on(net, urls=[proxy.url]) as desk:
        await desk.fund()
        proxy.edit = answers_gas(gas)
        if reason:
            with pytest.raises(CannotPlan, match=reason):
                await desk.prepare(payout(net.usdt, (A, 5)))
        else:
            assert (await desk.prepare(payout(net.usdt, (A, 5)))).plan.gas_limit == gas


@pytest.mark.parametrize(
    ("answer", "payments", "reason"),
    [("0x" + "00" * 32, 1, "the token refuses the transfer"), ("0x", 2, "does not run its executor")],
)
async def test_a_call_that_goes_through_and_answers_no_is_refused(
    net: EvmNetwork, answer: str, payments: int, reason: str
) -> None:
    def edit(method: str, params: list[object], result: object) -> object:
        return answer if method == "eth_call" and params[0].get("from") == HOT.address else result

    async with Proxy.start(net.node.url) as proxy, Desk.on(net, urls=[proxy.url]) as desk:
        await desk.set_up()
        proxy.edit = edit
        with pytest.raises(CannotPlan, match=reason):
            await desk.prepare(payout(net.usdt, *[(A, 5)] * payments))


async def test_one_node_cannot_refuse_a_payment_that_goes_through(net: EvmNetwork) -> None:
    def refuse(method: str, params: list[object], result: object) -> object:
        if method == "eth_call" and params[0].get("from") == HOT.address:
            raise RpcError(3, "execution reverted: because I say so")
        return result

    async with Proxy.start(net.node.url) as liar, Proxy.start(net.node.url) as a, Proxy.start(net.node.url) as b:
        async with Desk.on(net, urls=[liar.url, a.url, b.url], quorum=2) as desk:
            await desk.fund()
            liar.edit = refuse
            assert (await desk.prepare(payout(net.usdt, (A, 5)))).plan.shape is Shape.TOKEN


async def test_a_node_that_cannot_say_is_no_reason_to_refuse(net: EvmNetwork) -> None:
    def broken(method: str, _: list[object], result: object) -> object:
        if method == "eth_call":
            raise RpcError(-32000, "header not found")
        return result

    async with Proxy.start(net.node.url) as proxy, Desk.on(net, urls=[proxy.url]) as desk:
        await desk.fund()
        proxy.edit = broken
        with pytest.raises(ChainError, match="header not found"):
            await desk.prepare(payout(net.usdt, (A, 5)))
