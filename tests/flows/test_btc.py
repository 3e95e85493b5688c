"""Payments on a real Bitcoin node from the mempool to the books, each odd one beside an honest one (BTC-01 to BTC-13)."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.chains.bitcoin.btcd import btcd_path
from tests.chains.bitcoin.keys import Lock, TestKey
from tests.chains.bitcoin.network import NODES, BitcoinNetwork, RpcError
from tests.chains.bitcoin.serialize import Tx, TxOut, sized
from tests.flows.bitcoin import BTC, BitcoinWorld

from bitlinkpay.chains.bitcoin.script import address_of
from bitlinkpay.chains.codec.bitcoin import TEST
from bitlinkpay.payins.clearing import DOUBT

OTHER = TestKey.of("somebody else")


@pytest.fixture(params=NODES)
async def node(request, clock) -> AsyncIterator[BitcoinNetwork]:
    if request.param == "btcd" and btcd_path() is None:
        pytest.skip("btcd is not built: install Go and run python tools/setup_nodes.py")
    clock.set(datetime.now(UTC))
    async with BitcoinNetwork.start(request.param, clock=lambda: clock.now().timestamp()) as running:
        yield running


@pytest.fixture
async def world(node, database, clock, ring, tmp_path) -> AsyncIterator[BitcoinWorld]:
    async with BitcoinWorld.on(node, database, clock, ring, folder=tmp_path) as running:
        yield running


async def test_an_order_is_paid_at_the_third_confirmation(world):
    order = await world.open_order(BTC, "0.015")
    txid = await world.send(order)
    await world.settle()
    assert await world.unpaid(order), "what waits in the mempool is nowhere in the books"
    for confirmations in (1, 2):
        await world.mine_blocks()
        assert await world.states(order) == [("seen", "")], confirmations
        assert await world.state(order) == "confirming"
        assert (await world.balance(BTC)).available_units == 0
    await world.mine_blocks()
    assert await world.is_paid(order)
    (deposit,) = await world.deposits(order)
    assert (deposit.txid, deposit.position, deposit.units) == (txid, "vout:0", 1_500_000)
    assert (await world.balance(BTC)).available_units == 1_500_000 - 4_500
    assert world.inbox.statuses(order) == [8]


async def test_BTC_01_a_replacement_by_fee_that_pays_another_leaves_nothing(world):
    cheated, honest = await world.open_order(BTC, "0.01"), await world.open_order(BTC, "0.02")
    first = await world.node.build_payment(world.out(cheated))
    await world.node.send(first)
    await world.mine_blocks(txs=[])
    assert await world.unpaid(cheated)
    spent = TxOut(sum(o.units for o in first.outputs) + 10_000, world.node.faucet.script())
    bumped = Tx(first.inputs, (TxOut(spent.units - 40_000, OTHER.script()),))
    await world.node.send(world.node.faucet.sign(bumped, 0, [spent], Lock.P2WPKH))
    await world.send(honest)
    await world.mine_blocks(3)
    assert await world.unpaid(cheated)
    assert await world.is_paid(honest)


async def test_BTC_02_of_two_conflicting_payments_only_the_mined_one_counts(world):
    lost, won = await world.open_order(BTC, "0.01"), await world.open_order(BTC, "0.01")
    start, coin = await world.node.coin(2_000_000)
    start = replace(start, sequence=0xFFFFFFFF)  # says that it will not be replaced
    to_lost = _pay_all(world, start, coin, world.out(lost))
    to_won = _pay_all(world, start, coin, world.out(won))
    await world.node.send(to_lost)
    await world.mine_blocks(txs=[])
    assert await world.unpaid(lost), "what waits beside a new block is nowhere in the books"
    await world.mine_blocks(txs=[to_won])
    assert await world.unpaid(lost)
    await world.mine_blocks(2)
    assert await world.unpaid(lost), "the first one can never be mined any more"
    assert await world.is_paid(won)


async def test_BTC_03_the_child_of_a_replaced_parent_never_counts(world):
    orphaned, honest = await world.open_order(BTC, "0.01"), await world.open_order(BTC, "0.01")
    payer = TestKey.of("payer")
    parent = await world.node.build_payment(TxOut(3_000_000, payer.script()))
    await world.node.send(parent)
    child = _spend(payer, parent, world.out(orphaned))
    await world.node.send(child)
    await world.mine_blocks(txs=[])
    assert await world.unpaid(orphaned)
    spent = TxOut(sum(o.units for o in parent.outputs) + 10_000, world.node.faucet.script())
    rival = Tx(parent.inputs, (TxOut(spent.units - 3_100_000, OTHER.script()),))  # pays for both that it replaces
    await world.node.send(world.node.faucet.sign(rival, 0, [spent], Lock.P2WPKH))
    await world.send(honest)
    await world.mine_blocks(3)
    assert await world.unpaid(orphaned)
    assert await world.is_paid(honest)


async def test_BTC_03_parent_and_child_in_one_block_count(world):
    order = await world.open_order(BTC, "0.01")
    payer = TestKey.of("payer")
    parent = await world.node.build_payment(TxOut(3_000_000, payer.script()))
    child = _spend(payer, parent, world.out(order))
    await world.mine_blocks(txs=[parent, child])
    await world.mine_blocks(2)
    assert await world.is_paid(order)


async def test_BTC_04_each_output_of_a_transaction_counts_once_and_for_itself(world):
    first, second = await world.open_order(BTC, "0.01"), await world.open_order(BTC, "0.02")
    tx = await world.node.build_payment(world.out(first), world.out(second), world.out(first))
    await world.node.send(tx)
    await world.mine_blocks(3)
    assert await world.is_paid(first)
    assert await world.is_paid(second)
    assert await world.states(first) == [("credited", ""), ("unassigned", "double")]
    assert sorted(d.position for d in await world.deposits(first)) == ["vout:0", "vout:2"]
    assert [d.position for d in await world.deposits(second)] == ["vout:1"]


async def test_BTC_05_change_back_to_the_payer_is_no_payment(world):
    order = await world.open_order(BTC, "0.01")
    tx = await world.node.build_payment(world.out(order))
    assert tx.outputs[1].units > 40 * order.units, "most of it is change"
    await world.node.send(tx)
    await world.mine_blocks(3)
    assert await world.is_paid(order)
    assert [d.units for d in await world.deposits(order)] == [order.units]


async def test_BTC_06_our_key_in_a_multisig_is_not_ours_alone(world):
    order = await world.open_order(BTC, "0.01")
    key_hash = world.out(order).script[2:]
    shared = b"\x51" + sized(OTHER.public) + sized(b"\x02" + key_hash.rjust(32, b"\x11")) + b"\x52\xae"
    lookalike = b"\x00\x14" + key_hash + b"\x75"  # our script and one byte more
    tx = await world.node.build_payment(TxOut(order.units, shared), TxOut(order.units, lookalike))
    await world.mine_blocks(txs=[tx])
    await world.mine_blocks(2)
    assert await world.unpaid(order)
    await world.send(order)
    await world.mine_blocks(3)
    assert await world.is_paid(order)


async def test_BTC_07_text_about_a_payment_is_no_payment(world):
    order = await world.open_order(BTC, "0.01")
    omni = bytes.fromhex("6f6d6e69000000000000001f000000000bebc200")  # Omni "simple send" of 2 USDT
    notes = [order.address.encode(), world.out(order).script, omni]
    outputs = [TxOut(0, b"\x6a" + sized(note)) for note in notes] + [TxOut(order.units, b"\x6a" + sized(notes[1]))]
    await world.mine_blocks(txs=[await world.node.build_payment(*outputs)])
    await world.mine_blocks(2)
    assert await world.unpaid(order)
    beside = await world.node.build_payment(world.out(order), TxOut(0, b"\x6a" + sized(notes[0])))
    await world.mine_blocks(txs=[beside])
    await world.mine_blocks(2)
    assert await world.is_paid(order)


@pytest.mark.parametrize("head", [b"\x00\x20", b"\x51\x20", b"\xa9\x14"], ids=["P2WSH", "P2TR", "P2SH"])
async def test_BTC_08_our_key_hash_inside_another_kind_of_lock_is_not_ours(world, head):
    order = await world.open_order(BTC, "0.01")
    key_hash = world.out(order).script[2:]
    script = head + (key_hash + b"\x87" if head[:1] == b"\xa9" else key_hash.ljust(32, b"\0"))
    tx = await world.node.build_payment(TxOut(order.units, script), world.out(order))
    await world.node.send(tx)
    await world.mine_blocks(3)
    assert [(d.position, d.units) for d in await world.deposits(order)] == [("vout:1", order.units)]
    assert await world.is_paid(order)


async def test_BTC_09_new_coins_wait_for_maturity_and_pay_no_order(world):
    order, honest = await world.open_order(BTC, "50"), await world.open_order(BTC, "0.01")
    await world.mine_blocks(script=world.out(order).script)
    await world.send(honest)
    await world.mine_blocks(99)
    assert await world.is_paid(honest), "what stands behind it is not held up"
    assert await world.states(order) == [("final", "system")], "in the 100th block nobody can spend it yet"
    assert (await world.balance(BTC)).pending_units == order.units
    await world.mine_blocks()
    assert await world.states(order) == [("quarantined", "system")], "nobody who could be screened sent it"
    assert await world.state(order) != "paid"


async def test_BTC_10_a_time_lock_around_our_key_is_not_ours_and_a_late_lock_time_is_no_matter(world):
    locked, order = await world.open_order(BTC, "0.01"), await world.open_order(BTC, "0.01")
    script = b"\x04\x00\x00\x00\x7f\xb1\x75\x76\xa9\x14" + world.out(locked).script[2:] + b"\x88\xac"  # until 2037
    await world.mine_blocks(txs=[await world.node.build_payment(TxOut(locked.units, script))])
    height = await world.node.height()
    tx = await world.node.build_payment(world.out(order), locktime=height)  # could not be mined before this block
    await world.node.send(tx)
    await world.mine_blocks(3)
    assert await world.unpaid(locked)
    assert await world.is_paid(order)


async def test_BTC_11_a_malleated_payment_counts_once_under_the_id_that_was_mined(world):
    order = await world.open_order(BTC, "0.01")
    payer = TestKey.of("old wallet")
    start, coin = await world.node.give(payer, 2_000_000, Lock.P2PKH)
    tx = payer.sign(Tx((start,), (world.out(order), TxOut(900_000, payer.script()))), 0, [coin], Lock.P2PKH)
    await world.node.send(tx)
    changed = _with_high_s(tx)
    assert changed.txid != tx.txid
    await world.mine_blocks(txs=[changed])
    await world.mine_blocks(2)
    assert [d.txid for d in await world.deposits(order)] == [changed.txid]
    assert await world.is_paid(order)


@pytest.mark.parametrize("depth", range(1, 7))
async def test_BTC_13_a_reorganisation_takes_back_what_it_removes(world, depth):
    lost, kept = await world.open_order(BTC, "0.01"), await world.open_order(BTC, "0.02")
    goes, stays = await world.node.build_payment(world.out(lost)), await world.node.build_payment(world.out(kept))
    await world.mine_blocks(txs=[goes, stays])
    await world.mine_blocks(depth - 1)
    was_final = depth >= 3
    assert await world.is_paid(lost) is was_final
    await world.node.reorg(depth, keep=[stays], kept_at=0)
    await world.settle()
    await world.mine_blocks(4, txs=[])
    assert await world.is_paid(kept)
    assert sum(state == "credited" for state, _ in await world.states(kept)) == 1
    if was_final:
        assert await world.labels(lost) == {"reversed"}
        assert [state for state, _ in await world.states(lost)] == ["reversed"]
    else:
        assert await world.state(lost) == "created"
        assert [state for state, _ in await world.states(lost)] == ["dropped"]
    assert (await world.balance(BTC)).pending_units == 0
    assert world.inbox.statuses(kept) == [8]


async def test_DEP_05_a_payment_that_moves_to_another_block_is_credited_once(world):
    order = await world.open_order(BTC, "0.01")
    tx = await world.node.build_payment(world.out(order))
    await world.mine_blocks(txs=[tx])
    await world.mine_blocks()
    await world.node.reorg(2, keep=[tx], kept_at=1)
    await world.settle()
    assert await world.states(order) == [("dropped", ""), ("seen", "")]
    await world.mine_blocks(2, txs=[])
    assert await world.states(order) == [("credited", ""), ("dropped", "")]
    assert (await world.balance(BTC)).available_units == order.units - 3_000


async def test_a_restart_at_every_confirmation_neither_misses_nor_doubles(world):
    order = await world.open_order(BTC, "0.01")
    await world.send(order)
    for _ in range(4):
        await world.restart()
        await world.mine_blocks()
        await world.restart()
        await world.settle()
    assert await world.states(order) == [("credited", "")]
    assert world.inbox.statuses(order) == [8]


async def test_a_large_amount_waits_for_six_confirmations(world):
    large, small = await world.open_order(BTC, "1"), await world.open_order(BTC, "0.99999999")
    await world.send(large)
    await world.send(small)
    await world.mine_blocks(3)
    assert await world.is_paid(small)
    await world.mine_blocks(2)
    assert await world.states(large) == [("final", "")]
    assert await world.state(large) == "confirming"
    await world.mine_blocks()
    assert await world.is_paid(large)


async def test_AML_06_one_listed_input_among_clean_ones_holds_the_money(world):
    order, clean = await world.open_order(BTC, "0.01"), await world.open_order(BTC, "0.02")
    payer, listed = TestKey.of("payer"), TestKey.of("listed")
    world.lists.listed = {address_of(listed.script(Lock.P2TR), TEST)}
    (one, first), (two, second) = (
        await world.node.give(payer, 900_000),
        await world.node.give(listed, 900_000, Lock.P2TR),
    )
    tx = Tx((one, two), (world.out(order), TxOut(700_000, payer.script())))
    tx = listed.sign(payer.sign(tx, 0, [first, second], Lock.P2WPKH), 1, [first, second], Lock.P2TR)
    await world.node.send(tx)
    await world.send(clean)
    await world.mine_blocks(3)
    assert await world.states(order) == [("quarantined", "")]
    assert await world.state(order) == "created"
    assert await world.is_paid(clean)


async def test_NODE_01_an_output_that_the_node_s_own_state_lacks_is_held(world):
    order, honest = await world.open_order(BTC, "0.01"), await world.open_order(BTC, "0.02")
    txid, _ = await world.send(order), await world.send(honest)
    world.node.edit = lambda method, params, result: None if method == "gettxout" and params[0] == txid else result
    await world.mine_blocks(3)
    assert await world.states(order) == [("final", "")], "it is looked at again"
    assert await world.is_paid(honest)
    world.clock.advance(DOUBT)
    await world.settle()
    assert await world.states(order) == [("quarantined", "")]


async def test_a_payer_that_cannot_be_read_now_holds_up_his_own_deposit_only(world):
    order, honest = await world.open_order(BTC, "0.01"), await world.open_order(BTC, "0.02")
    txid, _ = await world.send(order), await world.send(honest)
    world.node.edit = lambda method, params, result: (
        result if method != "getrawtransaction" or params[0] != txid else _raise(RpcError(-5, "No such transaction"))
    )
    await world.mine_blocks(3)
    assert await world.states(order) == [("final", "")]
    assert await world.is_paid(honest)
    world.node.edit = None
    await world.mine_blocks()
    assert await world.is_paid(order)


async def test_NODE_05_a_node_that_falls_back_below_what_was_final_credits_nothing_new(world):
    order = await world.open_order(BTC, "0.01")
    await world.send(order)
    await world.mine_blocks(2)
    height = await world.node.height()
    lagging = {"getblockcount": height - 5, "getbestblockhash": await world.node.ask("getblockhash", height - 5)}
    world.node.edit = lambda method, params, result: lagging.get(method, result)
    await world.settle()
    assert await world.states(order) == [("seen", "")]
    world.node.edit = None
    await world.mine_blocks()
    assert await world.is_paid(order)


def _raise(error: Exception) -> object:
    raise error


def _pay_all(world: BitcoinWorld, start, coin: TxOut, *outputs: TxOut) -> Tx:
    change = TxOut(coin.units - sum(o.units for o in outputs) - 10_000, world.node.faucet.script())
    return world.node.faucet.sign(Tx((start,), (*outputs, change)), 0, [coin], Lock.P2WPKH)


def _spend(key: TestKey, parent: Tx, *outputs: TxOut) -> Tx:
    """Spend the first output of `parent`, a key's own, with what is left as its change."""
    spent = parent.outputs[0]
    change = TxOut(spent.units - sum(o.units for o in outputs) - 10_000, key.script())
    start = replace(parent.inputs[0], txid=parent.txid, vout=0, witness=())
    return key.sign(Tx((start,), (*outputs, change)), 0, [spent], Lock.P2WPKH)


def _with_high_s(tx: Tx) -> Tx:
    """Return the same payment with the other signature that fits (s to n - s), as anybody could have made it."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    script = tx.inputs[0].script
    der, rest = script[1 : script[0]], script[1 + script[0] :]  # the signature without its hash type
    r_size = der[3]
    r, s = der[4 : 4 + r_size], int.from_bytes(der[6 + r_size :], "big")
    high = (order - s).to_bytes(33, "big")
    body = b"\x02" + sized(r) + b"\x02" + sized(high)
    signature = b"\x30" + sized(body) + b"\x01"
    return replace(tx, inputs=(replace(tx.inputs[0], script=sized(signature) + rest),))
