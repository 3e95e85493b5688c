"""Transactions that get stuck, lost, outbid, mined late, undone by a fork, or displaced by someone with our key."""

from dataclasses import replace
from itertools import pairwise

import pytest
from eth_account import Account
from tests.chains.evm.desk import Attempt, Desk
from tests.chains.evm.network import EvmNetwork
from tests.chains.evm.ours import ETHER, HOT, VAULT, deposit, payout
from tests.nodes.proxy import Mode, Proxy, RpcError

from bitlinkpay.chains.base import FateState
from bitlinkpay.chains.evm.build import build
from bitlinkpay.chains.outgoing import FeeTooHigh, Intent, Lane, Sent, Slot
from bitlinkpay.signer.families.evm import sign

A, B = deposit(401).address, deposit(402).address
CHEAP = {"max_fee": 10**9, "priority_fee": 1}


async def cheap(desk: Desk, wanted: Intent) -> Attempt:
    """Send at a fee that the next block does not take."""
    plan = replace(await desk.sender.plan(wanted, Slot(desk.number)), **CHEAP)
    attempt = Attempt(wanted, plan, sign(wanted, plan, desk.keys))
    assert (await desk.broadcast(attempt)).sent is Sent.ACCEPTED
    desk.number += 1
    return attempt


@pytest.mark.parametrize("mode", [Mode.RESET, Mode.LOST])
async def test_PAY_05_whether_or_not_they_arrived_the_same_bytes_go_out_again(net: EvmNetwork, mode: Mode) -> None:
    async with Proxy.start(net.node.url) as proxy, Desk.on(net, urls=[proxy.url]) as desk:
        await desk.fund()
        attempt = await desk.prepare(payout(net.usdt, (A, 5)))
        proxy.mode = mode
        assert (await desk.broadcast(attempt)).sent is Sent.UNCLEAR
        proxy.mode = Mode.HONEST
        known = await net.node.rpc("eth_getTransactionByHash", attempt.signed.txid)
        assert (known is not None) == (mode is Mode.LOST)
        proxy.calls.clear()
        desk.chain.access.nodes[0].rpc.breaker.succeeded()
        for _ in range(3):
            assert (await desk.broadcast(attempt)).sent is Sent.ACCEPTED
        sent = {params[0] for method, params in proxy.calls if method == "eth_sendRawTransaction"}
        assert sent == {"0x" + attempt.signed.raw.hex()}
        await desk.settle()
        assert (await desk.outcome(attempt)).delivered == (True,)
        assert await net.balance(net.usdt, A) == 5


async def test_PAY_06_a_nonce_too_low_is_looked_up_before_it_is_believed(desk: Desk) -> None:
    await desk.fund()
    ours = await desk.send(payout(desk.net.usdt, (A, 5)))
    await desk.net.mine()
    assert (await desk.broadcast(ours)).sent is Sent.ACCEPTED, "it is in a block"
    late = await desk.prepare(payout(desk.net.usdt, (B, 5)), number=0)
    answer = await desk.broadcast(late)
    assert answer.sent is Sent.REFUSED
    assert "nonce too low" in answer.reason


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        ("already known", Sent.ACCEPTED),
        ("ALREADY_EXISTS: already known", Sent.ACCEPTED),
        ("AlreadyKnown", Sent.ACCEPTED),
        ("Known transaction", Sent.ACCEPTED),
        ("transaction already imported", Sent.ACCEPTED),
        ("Transaction with the same hash was already imported.", Sent.ACCEPTED),
        ("replacement transaction underpriced", Sent.REFUSED),
        ("in-flight transaction limit reached for delegated accounts", Sent.REFUSED),
        ("txpool is full", Sent.REFUSED),
        ("insufficient funds for gas * price + value", Sent.REFUSED),
    ],
)
async def test_PAY_06_what_nodes_say_to_bytes_that_they_know(net: EvmNetwork, message: str, sent: Sent) -> None:
    def edit(method: str, _: list[object], result: object) -> object:
        if method == "eth_sendRawTransaction":
            raise RpcError(-32000, message)
        return result

    async with Proxy.start(net.node.url) as proxy, Desk.on(net, urls=[proxy.url]) as desk:
        await desk.fund()
        attempt = await desk.prepare(payout(net.usdt, (A, 5)))
        proxy.edit = edit
        assert (await desk.broadcast(attempt)).sent is sent


async def test_NODE_12_an_error_of_one_node_is_no_failure_while_another_took_it(net: EvmNetwork) -> None:
    def edit(method: str, _: list[object], result: object) -> object:
        if method == "eth_sendRawTransaction":
            raise RpcError(-32000, "internal error")
        return result

    async with Proxy.start(net.node.url) as liar, Proxy.start(net.node.url) as honest:
        async with Desk.on(net, urls=[liar.url, honest.url], quorum=2) as desk:
            await desk.fund()
            attempt = await desk.prepare(payout(net.usdt, (A, 5)))
            liar.edit, honest.status = edit, 503
            assert (await desk.broadcast(attempt)).sent is Sent.UNCLEAR, "yet the first one passed it on"
            honest.status = 200
            desk.chain.access.nodes[1].rpc.breaker.succeeded()
            await desk.settle()
            assert (await desk.outcome(attempt)).delivered == (True,)


async def test_NODE_11_an_accepted_transaction_that_never_appears_is_unknown_and_not_dead(net: EvmNetwork) -> None:
    async with Proxy.start(net.node.url) as proxy, Desk.on(net, urls=[proxy.url]) as desk:
        await desk.fund()
        attempt = await desk.prepare(payout(net.usdt, (A, 5)))
        proxy.edit = lambda method, _, result: attempt.signed.txid if method == "eth_sendRawTransaction" else result
        assert (await desk.broadcast(attempt)).sent is Sent.ACCEPTED
        await net.drop_pending()
        await desk.settle()
        assert (await desk.outcome(attempt)).state is FateState.UNKNOWN
        assert not await desk.is_dead(attempt)
        proxy.edit = None
        await desk.broadcast(attempt)
        await desk.settle()
        assert (await desk.outcome(attempt)).delivered == (True,)


async def test_a_node_that_answers_with_another_id_is_not_believed(net: EvmNetwork) -> None:
    async with Proxy.start(net.node.url) as proxy, Desk.on(net, urls=[proxy.url]) as desk:
        await desk.fund()
        attempt = await desk.prepare(payout(net.usdt, (A, 5)))
        proxy.edit = lambda method, _, result: "0x" + "11" * 32 if method == "eth_sendRawTransaction" else result
        assert (await desk.broadcast(attempt)).sent is Sent.UNCLEAR


async def test_PAY_07_a_gap_is_seen_and_filled_by_the_stored_bytes(desk: Desk) -> None:
    await desk.fund()
    first = await desk.prepare(payout(desk.net.usdt, (A, 5)), number=0)
    second = await desk.prepare(payout(desk.net.usdt, (B, 6)), number=1)
    await desk.broadcast(second)
    await desk.settle()
    assert await desk.sender.lane(HOT) == Lane(final_number=0, next_number=0, is_ready=False), "nothing moves"
    assert (await desk.outcome(second)).state is FateState.PENDING
    await desk.broadcast(first)
    await desk.settle()
    assert (await desk.sender.lane(HOT)).final_number == 2
    assert [(await desk.outcome(each)).delivered for each in (first, second)] == [(True,), (True,)]


async def test_PAY_08_a_replacement_changes_the_fee_and_nothing_else(desk: Desk) -> None:
    await desk.fund()
    stuck = await cheap(desk, payout(desk.net.usdt, (A, 5)))
    assert (await desk.outcome(stuck)).state is FateState.PENDING
    bumped = await desk.prepare(stuck.intent, previous=stuck)
    assert replace(bumped.plan, **CHEAP) == stuck.plan
    assert bumped.plan.max_fee * 8 >= stuck.plan.max_fee * 9
    assert bumped.plan.priority_fee * 8 >= stuck.plan.priority_fee * 9
    assert build(stuck.intent, stuck.plan, desk.net.usdt) == build(stuck.intent, bumped.plan, desk.net.usdt)
    assert (await desk.broadcast(bumped)).sent is Sent.ACCEPTED
    await desk.settle()
    assert (await desk.outcome(bumped)).delivered == (True,)
    assert (await desk.outcome(stuck)).state is FateState.UNKNOWN
    assert await desk.is_dead(stuck)
    assert not await desk.is_dead(bumped)
    assert await desk.net.balance(desk.net.usdt, A) == 5, "once"


async def test_PAY_08_replacements_end_at_the_intents_cap(desk: Desk) -> None:
    await desk.fund()
    attempt = await cheap(desk, payout(desk.net.usdt, (A, 5), fee_max=90_000 * 6 * 10**9))
    fees = [attempt.plan.max_fee]
    with pytest.raises(FeeTooHigh):
        for _ in range(40):
            attempt = await desk.prepare(attempt.intent, previous=attempt)
            assert (await desk.broadcast(attempt)).sent is Sent.ACCEPTED
            fees.append(attempt.plan.max_fee)
    assert attempt.plan.fee_max_units <= attempt.intent.fee_max_units
    assert all(new * 8 >= old * 9 for old, new in pairwise(fees))
    assert 3 < len(fees) < 40


async def test_PAY_09_the_original_mined_after_its_replacement_was_sent_counts_once(desk: Desk) -> None:
    await desk.fund()
    original = await desk.prepare(payout(desk.net.usdt, (A, 5)), number=0)
    replacement = await desk.prepare(original.intent, previous=original)
    await desk.broadcast(original)
    await desk.settle()
    assert (await desk.broadcast(replacement)).sent is Sent.REFUSED
    assert (await desk.outcome(original)).delivered == (True,)
    assert (await desk.outcome(original)).txid == original.signed.txid
    assert (await desk.outcome(replacement)).state is FateState.UNKNOWN
    assert (await desk.is_dead(original), await desk.is_dead(replacement)) == (False, True)
    assert await desk.net.balance(desk.net.usdt, A) == 5


async def foreign(desk: Desk, nonce: int) -> str:
    """Let a thief with our key use one of our nonces."""
    thief = Account.from_key(VAULT.private_key(desk.net.network, HOT))
    tx = {
        "chainId": desk.net.node.chain_id, "nonce": nonce, "gas": 21_000, "to": thief.address, "value": 0,
        "maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**10,
    }  # fmt: skip
    return await desk.net.node.rpc("eth_sendRawTransaction", "0x" + thief.sign_transaction(tx).raw_transaction.hex())


async def test_PAY_10_a_nonce_used_by_somebody_else_shows_in_the_lane_and_kills_ours(desk: Desk) -> None:
    await desk.fund()
    await foreign(desk, 0)
    assert (await desk.sender.lane(HOT)).next_number == 1, "beyond what was ever given out: seen before it is mined"
    await desk.net.drop_pending()
    ours = await desk.prepare(payout(desk.net.usdt, (A, 5)), number=0)
    assert (await desk.broadcast(ours)).sent is Sent.ACCEPTED
    await foreign(desk, 0)
    await desk.net.mine()
    assert not await desk.is_dead(ours), "a fork may still undo it"
    await desk.net.finalize()
    assert (await desk.outcome(ours)).state is FateState.UNKNOWN
    assert await desk.is_dead(ours)
    assert (await desk.sender.lane(HOT)).final_number == 1
    assert await desk.net.balance(desk.net.usdt, A) == 0


async def test_PAY_11_a_transaction_that_reverts_in_its_block_costs_its_fee_and_pays_nobody(desk: Desk) -> None:
    await desk.fund()
    attempt = await desk.prepare(payout(desk.net.usdt, (A, 5)))
    await desk.net.usdt_contract.send("setPaused(bool)", True)
    await desk.net.mine()
    await desk.broadcast(attempt)
    await desk.net.mine()
    mined = await desk.outcome(attempt)
    assert (mined.state, mined.delivered) == (FateState.MINED, ())
    await desk.net.finalize()
    end = await desk.outcome(attempt)
    assert (end.state, end.delivered) == (FateState.FAILED, (False,))
    assert end.fee_units > 0
    held = await desk.net.balance(desk.net.native, HOT.address)
    assert held == 100 * ETHER - end.fee_units
    assert not await desk.is_dead(attempt), "it took effect: it took its fee"


async def test_PAY_12_a_fork_takes_a_payment_away_and_the_same_bytes_bring_it_back(desk: Desk) -> None:
    await desk.fund()
    attempt = await desk.send(payout(desk.net.usdt, (A, 5)))
    await desk.net.mine(2)
    assert (await desk.outcome(attempt)).state is FateState.MINED
    await desk.net.reorg(2)
    await desk.net.drop_pending()
    assert (await desk.outcome(attempt)).state is FateState.UNKNOWN
    assert not await desk.is_dead(attempt)
    assert (await desk.broadcast(attempt)).sent is Sent.ACCEPTED
    await desk.settle()
    assert (await desk.outcome(attempt)).delivered == (True,)
    assert await desk.net.balance(desk.net.usdt, A) == 5


async def test_a_dropped_transaction_is_neither_dead_nor_forgotten(desk: Desk) -> None:
    await desk.fund()
    stuck = await cheap(desk, payout(desk.net.usdt, (A, 5)))
    await desk.net.drop_pending()
    await desk.settle()
    assert ((await desk.outcome(stuck)).state, await desk.is_dead(stuck)) == (FateState.UNKNOWN, False)
    await desk.net.node.rpc("anvil_setNextBlockBaseFeePerGas", hex(10**8))
    await desk.broadcast(stuck)
    await desk.settle()
    assert (await desk.outcome(stuck)).delivered == (True,)


async def test_a_pool_that_knows_less_than_the_final_block_does_not_set_the_lane_back(net: EvmNetwork) -> None:
    def edit(method: str, params: list[object], result: object) -> object:
        return "0x0" if method == "eth_getTransactionCount" and params[1] == "pending" else result

    async with Proxy.start(net.node.url) as proxy, Desk.on(net, urls=[proxy.url]) as desk:
        await desk.set_up()
        proxy.edit = edit
        assert await desk.sender.lane(HOT) == Lane(final_number=2, next_number=2, is_ready=True)


async def test_death_needs_the_quorum_at_one_final_block(net: EvmNetwork) -> None:
    async with Proxy.start(net.node.url) as liar, Proxy.start(net.node.url) as a, Proxy.start(net.node.url) as b:
        async with Desk.on(net, urls=[liar.url, a.url, b.url], quorum=2) as desk:
            await desk.fund()
            attempt = await desk.prepare(payout(net.usdt, (A, 5)))
            liar.edit = lambda method, _, result: "0xff" if method == "eth_getTransactionCount" else result
            await desk.settle()
            assert not await desk.is_dead(attempt)
            lane = await desk.sender.lane(HOT)
            assert (lane.final_number, lane.next_number) == (0, 0)


@pytest.mark.parametrize("age", [0, 5, 40])
async def test_PAY_06_an_index_of_transactions_that_is_lost_does_not_make_a_payment_dead(
    net: EvmNetwork, age: int
) -> None:
    """A node that makes its index anew knows the nonce and not the transaction: paid again, it would be paid twice."""
    async with Proxy.start(net.node.url) as proxy, Desk.on(net, urls=[proxy.url]) as desk:
        await desk.fund()
        paid = await desk.send(payout(net.usdt, (A, 5)))
        await net.mine()
        await desk.send(payout(net.usdt, (B, 5)))
        await desk.settle()
        await net.mine(age)
        proxy.edit = lambda method, _, result: None if method == "eth_getTransactionByHash" else result
        assert (await desk.outcome(paid)).state is FateState.UNKNOWN
        assert not await desk.is_dead(paid), "the block that used up its nonce holds it"


async def test_PAY_10_a_nonce_used_up_before_the_oldest_state_proves_nothing(net: EvmNetwork) -> None:
    def pruned(method: str, params: list[object], result: object) -> object:
        if (
            method == "eth_getTransactionCount"
            and isinstance(params[1], str)
            and params[1] not in ("latest", "pending")
        ):
            raise RpcError(-32000, "missing trie node")
        return result

    async with Proxy.start(net.node.url) as proxy, Desk.on(net, urls=[proxy.url]) as desk:
        await desk.fund()
        ours = await desk.prepare(payout(net.usdt, (A, 5)), number=0)
        await foreign(desk, 0)
        await net.mine(40)
        proxy.edit = pruned
        assert not await desk.is_dead(ours)
        proxy.edit = None
        assert await desk.is_dead(ours)
