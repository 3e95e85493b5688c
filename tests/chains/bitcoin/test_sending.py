"""Transactions of ours on real nodes: built, signed, sent, outbid, joined, lost, and what became of them (PAY)."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest
from tests.chains.bitcoin.conftest import coin
from tests.chains.bitcoin.keys import Lock, TestKey
from tests.chains.bitcoin.network import BitcoinNetwork, RpcError, alter, refuse
from tests.chains.bitcoin.ours import HOT, KEYS, fund, intent, pays, prepare, wallet
from tests.chains.bitcoin.serialize import Tx

from bitlinkpay.chains.base import FateState
from bitlinkpay.chains.bitcoin.fees import FeeRates
from bitlinkpay.chains.bitcoin.plan import BitcoinPlan
from bitlinkpay.chains.bitcoin.script import address_of
from bitlinkpay.chains.bitcoin.sender import BitcoinSender
from bitlinkpay.chains.codec.bitcoin import TEST
from bitlinkpay.chains.outgoing import CannotPlan, FeeTooHigh, KeyRole, LacksGas, Payment, Purpose, Sent, Slot

ANN = TestKey.of("ann")
TARGETS = [address_of(ANN.script(lock), TEST) for lock in Lock if address_of(ANN.script(lock), TEST)]
TARGET = address_of(ANN.script(), TEST)
SenderMaker = Callable[..., BitcoinSender]


@pytest.fixture
def senders(chains) -> SenderMaker:
    def make(net: BitcoinNetwork, rate: int = 5_000) -> BitcoinSender:
        """Return a sender to whom the node has no estimate to tell, so that it plans at `rate`."""
        net.edit = net.edit or alter("estimatefee", lambda _: 0)  # btcd begins to estimate after a few blocks
        chain = chains(net)
        return BitcoinSender(chain, coin(), fees=FeeRates(chain.quorum, unknown=rate))

    return make


async def test_one_payment_of_each_standard_kind_arrives_in_one_transaction(net, senders):
    sender = senders(net)
    coins = await fund(net, HOT, 3_000_000)
    what = intent(pays(*((target, 100_000 + n) for n, target in enumerate(TARGETS))))
    plan, signed = await prepare(sender, what, coins)
    assert (await sender.broadcast(signed)).sent is Sent.ACCEPTED
    assert (await sender.outcome(what, plan, signed)).state is FateState.PENDING
    await net.mine()
    mined = await sender.outcome(what, plan, signed)
    assert (mined.state, mined.delivered, mined.fee_units) == (FateState.MINED, (), plan.fee_units)
    await net.mine(2)
    final = await sender.outcome(what, plan, signed)
    assert (final.state, final.delivered) == (FateState.FINAL, (True,) * 5)
    assert [await net.balance("btc", target) for target in TARGETS] == [100_000 + n for n in range(5)]
    (change,) = sender.produced(plan, signed)
    assert await net.balance("btc", HOT.address) == change.units == 3_000_000 - 500_010 - plan.fee_units
    assert not await sender.is_dead(what, plan, signed)


async def test_a_hundred_payments_go_in_one_transaction_at_the_rate_asked_for(net, senders):
    sender = senders(net)
    coins = await fund(net, HOT, 40_000_000, 30_000_000, 20_000_000)
    targets = [
        address_of(TestKey.of(f"payee {n}").script(), TEST) for n in range(sender.payments_max(None, Purpose.PAYOUT))
    ]
    what = intent(pays(*((target, 600_000) for target in targets)))
    plan, signed = await prepare(sender, what, coins)
    tx = Tx.parse(signed.raw)
    assert len(tx.outputs) == 100 + len(plan.change)
    assert 5 * tx.vsize <= plan.fee_units <= 5 * (tx.vsize + 3), "sized to a vbyte or three"
    assert (await sender.broadcast(signed)).sent is Sent.ACCEPTED
    await net.finalize()
    assert (await sender.outcome(what, plan, signed)).delivered == (True,) * 100
    produced = sender.produced(plan, signed)
    assert sum(c.units for c in produced) == await net.balance("btc", HOT.address) - sum(
        c.units for c in coins if c not in plan.inputs
    )
    assert [await net.ask("gettxout", c.txid, c.vout, False) is None for c in produced] == [False] * len(produced)


async def test_the_same_bytes_may_go_out_again_at_any_time(net, senders):
    sender = senders(net)
    what = intent(pays((TARGET, 100_000)))
    plan, signed = await prepare(sender, what, await fund(net, HOT, 1_000_000))
    for _ in range(3):
        assert (await sender.broadcast(signed)).sent is Sent.ACCEPTED
    await net.mine()
    assert (await sender.broadcast(signed)).sent is Sent.ACCEPTED, "it stands in a block"
    assert await net.balance("btc", TARGET) == 100_000
    assert (await sender.outcome(what, plan, signed)).state is FateState.MINED


async def test_PAY_14_a_bump_keeps_inputs_and_payments_and_only_one_of_both_is_ever_mined(net, senders):
    slow, fast = senders(net, rate=2_000), senders(net, rate=9_000)
    what = intent(pays((TARGET, 100_000)))
    plan, signed = await prepare(slow, what, await fund(net, HOT, 1_000_000))
    assert (await slow.broadcast(signed)).sent is Sent.ACCEPTED
    better, again = await prepare(fast, what, (), plan)
    assert (better.inputs, better.since_height) == (plan.inputs, plan.since_height)
    assert Tx.parse(again.raw).outputs[0] == Tx.parse(signed.raw).outputs[0]
    assert better.fee_units >= plan.fee_units + Tx.parse(again.raw).vsize
    assert (await fast.broadcast(again)).sent is Sent.ACCEPTED
    await net.mine()
    first, second = await slow.outcome(what, plan, signed), await fast.outcome(what, better, again)
    assert (first.state, second.state) == (FateState.UNKNOWN, FateState.MINED)
    assert not await slow.is_dead(what, plan, signed), "a block that may leave the chain proves nothing"
    await net.mine(2)
    assert await slow.is_dead(what, plan, signed)
    assert not await fast.is_dead(what, better, again)
    assert await net.balance("btc", TARGET) == 100_000


async def test_PAY_14_the_original_may_be_the_one_that_is_mined(net, senders):
    slow, fast = senders(net, rate=2_000), senders(net, rate=9_000)
    what = intent(pays((TARGET, 100_000)))
    plan, signed = await prepare(slow, what, await fund(net, HOT, 1_000_000))
    better, again = await prepare(fast, what, (), plan)
    await net.mine(txs=[Tx.parse(signed.raw)])
    await fast.broadcast(again)
    await net.mine(2)
    assert (await slow.outcome(what, plan, signed)).state is FateState.FINAL
    assert await fast.is_dead(what, better, again)
    assert await net.balance("btc", TARGET) == 100_000


async def test_a_fee_that_is_still_enough_is_outbid_only_after_some_blocks(net, senders):
    sender = senders(net)
    what = intent(pays((TARGET, 100_000)))
    plan, _ = await prepare(sender, what, await fund(net, HOT, 1_000_000))
    with pytest.raises(CannotPlan, match="waits for a block"):
        await prepare(sender, what, (), plan)
    await net.mine(3, txs=[])
    better, signed = await prepare(sender, what, (), plan)
    assert better.fee_units == plan.fee_units + Tx.parse(signed.raw).vsize or better.fee_units > plan.fee_units


async def test_nothing_is_outbid_out_of_the_payments(net, senders):
    sender = senders(net, rate=2_000)
    what = intent(pays((TARGET, 100_000)))
    (only,) = await fund(net, HOT, 100_000 + 2 * 110)
    plan = await sender.plan(what, Slot(0, (only,)))
    assert plan.change == ()
    with pytest.raises(FeeTooHigh):
        await senders(net, rate=9_000).plan(what, Slot(0, (only,)), plan)


async def test_PAY_13_what_is_spent_is_chosen_once_and_change_comes_back_when_final(net, senders):
    sender = senders(net)
    coins = await fund(net, HOT, 500_000, 400_000, 300_000)
    first = await sender.choose(intent(pays((TARGET, 250_000))), coins)
    rest = [coin for coin in coins if coin not in first]
    second = await sender.choose(intent(pays((TARGET, 250_000))), rest)
    assert not set(first) & set(second)
    last = [coin for coin in rest if coin not in second]
    with pytest.raises(LacksGas, match="on their way"):
        await sender.choose(intent(pays((TARGET, 600_000))), last)
    with pytest.raises(LacksGas):
        await sender.choose(intent(pays((TARGET, 1))), []) if False else await sender.choose(
            intent(pays((TARGET, 1_000))), []
        )


async def test_PAY_13_two_transactions_on_one_output_are_one_payment(net, senders):
    sender = senders(net)
    coins = await fund(net, HOT, 1_000_000)
    one, other = intent(pays((TARGET, 100_000))), intent(pays((TARGETS[0], 100_000)))
    (plan, signed), (rival, second) = await prepare(sender, one, coins), await prepare(sender, other, coins)
    assert (await sender.broadcast(signed)).sent is Sent.ACCEPTED
    assert (await sender.broadcast(second)).sent is Sent.REFUSED
    await net.finalize()
    assert (await sender.outcome(one, plan, signed)).state is FateState.FINAL
    assert await sender.is_dead(other, rival, second)
    assert await net.balance("btc", TARGETS[0]) == 0


async def test_PAY_15_a_fee_above_the_intent_s_limit_or_half_of_the_payment_is_refused(kernel, senders):
    coins = await fund(kernel, HOT, 10_000_000)
    sender = senders(kernel, rate=400_000)
    with pytest.raises(FeeTooHigh, match="more than 50000"):
        await sender.plan(intent(pays((TARGET, 5_000_000)), fee_max=50_000), Slot(0, tuple(coins)))
    with pytest.raises(FeeTooHigh, match="to move 100000"):
        await sender.plan(intent(pays((TARGET, 100_000))), Slot(0, tuple(coins)))
    plan = await sender.plan(intent(pays((TARGET, 5_000_000))), Slot(0, tuple(coins)))
    assert plan.fee_units < 60_000


@pytest.mark.parametrize(
    ("told", "paid"),
    [("0.00012345", 12_345), ("0.12345678", 1_000_000), ("21000000", 1_000_000), ("0.00000001", 1_000), (None, 10_000)],
)
async def test_NODE_10_an_absurd_estimate_is_held_to_a_cap(kernel, chains, told, paid):
    chain = chains(kernel)
    kernel.rpc.fee_rate = told and Decimal(told)
    assert await FeeRates(chain.quorum).rate() == paid


async def test_PAY_16_change_below_dust_goes_to_the_fee_and_is_noted(net, senders):
    sender = senders(net, rate=2_000)
    (only,) = await fund(net, HOT, 100_000 + 2 * 110 + 300)
    what = intent(pays((TARGET, 100_000)))
    plan, signed = await prepare(sender, what, [only])
    assert plan.change == ()
    assert 0 < plan.dust_units < 400
    assert plan.fee_units == 520
    assert (await sender.broadcast(signed)).sent is Sent.ACCEPTED
    assert sender.produced(plan, signed) == []


async def test_a_sweep_moves_whole_deposits_and_its_fee_comes_off_what_the_wallet_gets(net, senders):
    sender = senders(net)
    owners = [wallet(KeyRole.DEPOSIT, n) for n in range(3)]
    coins = [c for owner in owners for c in await fund(net, owner, 50_000, 70_000)]
    payments = [Payment(owner, "btc-bitcoin", HOT.address, "", 120_000) for owner in owners]
    what = intent(payments, Purpose.SWEEP)
    plan, signed = await prepare(sender, what, coins)
    assert len(plan.inputs) == 6
    assert (await sender.broadcast(signed)).sent is Sent.ACCEPTED
    await net.finalize()
    assert (await sender.outcome(what, plan, signed)).delivered == (True,) * 3
    assert await net.balance("btc", HOT.address) == 360_000 - plan.fee_units
    assert [await net.balance("btc", owner.address) for owner in owners] == [0, 0, 0]


async def test_a_sweep_leaves_alone_what_it_was_not_asked_to_move(kernel, senders):
    sender = senders(kernel)
    owner = wallet(KeyRole.DEPOSIT, 7)
    coins = await fund(kernel, owner, 50_000, 70_000)
    held_back = intent([Payment(owner, "btc-bitcoin", HOT.address, "", 70_000)], Purpose.SWEEP)
    plan, _ = await prepare(sender, held_back, coins)
    assert [c.units for c in plan.inputs] == [70_000]
    with pytest.raises(CannotPlan, match="add up to exactly"):
        await sender.choose(intent([Payment(owner, "btc-bitcoin", HOT.address, "", 60_000)], Purpose.SWEEP), coins)


async def test_a_consolidation_joins_what_is_worth_joining(net, senders):
    sender = senders(net)
    coins = await fund(net, HOT, 300_000, *[20_000] * 12, 400)
    what = intent(pays((HOT.address, 240_000)), Purpose.CONSOLIDATION)
    plan, signed = await prepare(sender, what, coins)
    assert len(plan.inputs) == 12
    assert plan.fee_units <= (await sender.tariff()).fee(12) <= plan.fee_units + 12
    assert (await sender.broadcast(signed)).sent is Sent.ACCEPTED
    await net.finalize()
    (joined,) = sender.produced(plan, signed)
    assert joined.units == 240_000 - plan.fee_units
    assert (await sender.outcome(what, plan, signed)).delivered == (True,)
    with pytest.raises(CannotPlan, match="not all free any more"):
        await sender.choose(what, [coins[0], joined, coins[-1]])


async def test_PAY_14_a_consolidation_is_outbid_with_the_same_outputs_and_never_above_what_it_may_cost(kernel, senders):
    coins = await fund(kernel, HOT, *[20_000] * 12)
    what = intent(pays((HOT.address, 240_000)), Purpose.CONSOLIDATION, fee_max=6_000)
    plan, signed = await prepare(senders(kernel, rate=2_000), what, coins)
    better, again = await prepare(senders(kernel, rate=6_500), what, (), plan)
    assert (better.inputs, len(better.change)) == (plan.inputs, 1)
    for bytes_ in (signed, again):
        assert (await senders(kernel).broadcast(bytes_)).sent is Sent.ACCEPTED
    with pytest.raises(FeeTooHigh, match="more than 6000"):
        await prepare(senders(kernel, rate=8_000), what, (), better)


async def test_large_change_is_split_so_that_payments_need_not_queue_for_one_output(kernel, senders):
    sender = senders(kernel)
    coins = await fund(kernel, HOT, 100_000_000)
    plan, signed = await prepare(sender, intent(pays((TARGET, 1_000_000))), coins)
    assert len(plan.change) == 4
    assert sum(plan.change) == 99_000_000 - plan.fee_units
    assert len({(c.txid, c.vout) for c in sender.produced(plan, signed)}) == 4


@pytest.mark.parametrize("has_index", [True, False], ids=["indexed", "unindexed"])
async def test_PAY_12_a_mined_payout_that_a_fork_removes_waits_again_and_is_not_dead(kernel, senders, has_index):
    kernel.rpc.has_index = has_index
    sender = senders(kernel)
    what = intent(pays((TARGET, 100_000)))
    plan, signed = await prepare(sender, what, await fund(kernel, HOT, 1_000_000))
    await sender.broadcast(signed)
    await kernel.mine()
    assert (await sender.outcome(what, plan, signed)).state is FateState.MINED
    await kernel.reorg(1)
    assert (await sender.outcome(what, plan, signed)).state is FateState.PENDING
    assert not await sender.is_dead(what, plan, signed)
    await kernel.finalize()
    assert (await sender.outcome(what, plan, signed)).state is FateState.FINAL


async def test_a_dropped_transaction_is_unknown_and_comes_back_by_the_same_bytes(kernel, senders):
    sender = senders(kernel)
    what = intent(pays((TARGET, 100_000)))
    plan, signed = await prepare(sender, what, await fund(kernel, HOT, 1_000_000))
    await sender.broadcast(signed)
    await kernel.drop_pending()
    assert (await sender.outcome(what, plan, signed)).state is FateState.UNKNOWN
    await kernel.mine(20)
    assert not await sender.is_dead(what, plan, signed), "its outputs can still be spent"
    await sender.broadcast(signed)
    await kernel.finalize()
    assert (await sender.outcome(what, plan, signed)).state is FateState.FINAL


async def test_without_an_index_a_transaction_with_nothing_left_unspent_is_found_in_its_block(kernel, senders):
    kernel.rpc.has_index = False
    sender = senders(kernel)
    payee = wallet(KeyRole.DEPOSIT, 3)
    (only,) = await fund(kernel, HOT, 100_000 + 5 * 110)
    what = intent(pays((payee.address, 100_000)))
    plan, signed = await prepare(sender, what, [only])
    await sender.broadcast(signed)
    await kernel.mine()
    key = TestKey(KEYS.private_key(payee))
    tx = Tx.parse(signed.raw)
    spend = Tx((replace(tx.inputs[0], txid=tx.txid, vout=0, witness=()),), (replace(tx.outputs[0], units=99_000),))
    await kernel.send(key.sign(spend, 0, [tx.outputs[0]], Lock.P2WPKH))
    await kernel.mine(150)
    assert (await sender.outcome(what, plan, signed)).state is FateState.FINAL
    assert not await sender.is_dead(what, plan, signed)


async def test_NODE_12_an_error_while_the_bytes_did_spread_is_no_failure(kernel, senders):
    sender = senders(kernel)
    what = intent(pays((TARGET, 100_000)))
    plan, signed = await prepare(sender, what, await fund(kernel, HOT, 1_000_000))

    def lost(method: str, params: list[object], result: object) -> object:
        if method == "sendrawtransaction":
            raise RpcError(-1, "internal error")
        return result

    kernel.edit = lost
    assert (await sender.broadcast(signed)).sent is Sent.REFUSED
    kernel.edit = None
    assert (await sender.outcome(what, plan, signed)).state is FateState.PENDING
    await kernel.finalize()
    assert (await sender.outcome(what, plan, signed)).state is FateState.FINAL


async def test_NODE_11_taken_is_no_proof(kernel, senders):
    sender = senders(kernel)
    what = intent(pays((TARGET, 100_000)))
    plan, signed = await prepare(sender, what, await fund(kernel, HOT, 1_000_000))
    kernel.rpc._sendrawtransaction = lambda _text: signed.txid
    assert (await sender.broadcast(signed)).sent is Sent.ACCEPTED
    await kernel.mine(4)
    assert (await sender.outcome(what, plan, signed)).state is FateState.UNKNOWN


async def test_a_node_that_gives_no_answer_is_unclear(kernel, senders):
    sender = senders(kernel)
    what = intent(pays((TARGET, 100_000)))
    _, signed = await prepare(sender, what, await fund(kernel, HOT, 1_000_000))
    kernel.edit = alter("sendrawtransaction", lambda _: {"odd": "answer"})
    assert (await sender.broadcast(signed)).sent is Sent.UNCLEAR
    kernel.edit = refuse("sendrawtransaction", -26, "min relay fee not met")
    answer = await sender.broadcast(signed)
    assert (answer.sent, "min relay fee" in answer.reason) == (Sent.REFUSED, True)


async def test_a_plan_travels_as_json(kernel, senders):
    sender = senders(kernel)
    plan, _ = await prepare(sender, intent(pays((TARGET, 100_000))), await fund(kernel, HOT, 1_000_000))
    assert msgspec.json.decode(msgspec.json.encode(plan), type=BitcoinPlan) == plan


@pytest.mark.parametrize(
    ("target", "units", "says"),
    [
        ("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", 100_000, "another Bitcoin network"),
        ("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", 100_000, "another Bitcoin network"),
        ("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", 100_000, "another network"),
        (TARGET[:-1] + "q", 100_000, "checksum"),
        (TARGET, 293, "too few"),
        (TARGETS[0], 545, "too few"),
    ],
)
async def test_what_cannot_be_paid_is_said_before_anything_is_signed(kernel, senders, target, units, says):
    what = intent(pays((target, units)))
    for ask in (senders(kernel).quote(what), senders(kernel).choose(what, [])):
        with pytest.raises(CannotPlan, match=says):
            await ask
    assert (await senders(kernel).quote(intent(pays((TARGET, 294))))).units > 0
