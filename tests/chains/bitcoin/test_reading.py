"""Blocks of real nodes: what is read, by how many calls, and what becomes of one transaction."""

from dataclasses import replace
from itertools import pairwise

import pytest
from tests.chains.bitcoin.conftest import PATIENT, coin, network
from tests.chains.bitcoin.keys import Lock, TestKey
from tests.chains.bitcoin.network import BitcoinNetwork
from tests.chains.bitcoin.serialize import TxOut

from bitlinkpay.chains.base import Arrival, FateState, GapError
from bitlinkpay.chains.bitcoin.chain import BitcoinChain
from bitlinkpay.chains.bitcoin.script import address_of
from bitlinkpay.chains.codec.bitcoin import TEST
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.chains.waiting import Waiting, WaitingChain
from bitlinkpay.core.errors import Invalid

ANN = TestKey.of("ann")
ADDRESS = address_of(ANN.script(), TEST)


async def test_every_standard_output_is_a_transfer_and_no_other_is(net, chains):
    outputs = [TxOut(100_000 + n, ANN.script(lock)) for n, lock in enumerate(Lock)]
    tx = await net.build_payment(*outputs, TxOut(0, b"\x6a\x02hi"))
    await net.mine(txs=[tx])
    height = await net.height()
    (block,) = await chains(net).scan(height, height)
    coinbase = [t for t in block.transfers if t.arrival is Arrival.SYSTEM]
    assert [(t.position, t.units) for t in coinbase] == [("vout:0", 50 * 10**8)]
    found = {t.target: (t.units, t.position) for t in block.transfers if t.txid == tx.txid}
    assert found == {
        address_of(o.script, TEST): (o.units, f"vout:{n}")
        for n, o in enumerate(tx.outputs)
        if o.units and address_of(o.script, TEST)
    }
    assert len(found) == len(Lock) - 2 + 1, "neither bare keys nor bare multisig; the faucet's change too"


async def test_two_calls_a_block_and_one_a_look_while_nothing_happens(net, chains):
    chain = chains(net)
    head = await chain.head()
    net.calls.clear()
    await chain.head()
    assert net.calls == {"getbestblockhash": 1}
    net.calls.clear()
    blocks = await chain.scan(head.final.height - 7, head.latest.height)
    assert len(blocks) == PATIENT.range_max
    assert net.calls == {"getblockhash": 4, "getblock": 4}


async def test_a_quorum_costs_one_call_a_range_more(kernel, chains):
    async with BitcoinNetwork.start("kernel", blocks=0) as second:
        await second.copy(kernel)
        chain = chains(kernel, second, quorum=2)
        head = await chain.head()
        kernel.calls.clear()
        second.calls.clear()
        await chain.scan(head.latest.height - 3, head.latest.height)
        assert kernel.calls + second.calls == {"getblockhash": 5, "getblock": 4}


async def test_blocks_follow_each_other_and_end_with_the_chain(net, chains):
    chain = chains(net)
    blocks = [await chain.scan(first, first + 3) for first in range(1, 109, 4)]
    flat = [block for stretch in blocks for block in stretch]
    assert [block.height for block in flat] == list(range(1, 109))
    assert all(after.parent == before.hash for before, after in pairwise(flat))
    assert [b.height for b in await chain.scan(109, 110)] == [109, 110]
    with pytest.raises(GapError):
        await chain.scan(110, 111)
    assert await chain.block_hash(111) is None
    assert await chain.block_hash(108) == flat[-1].hash


async def test_fate_from_the_mempool_to_finality_and_back(net, chains):
    chain = chains(net)
    assert (await chain.fate("ab" * 32)).state is FateState.UNKNOWN
    tx = await net.build_payment(TxOut(70_000, ANN.script()))
    await net.send(tx)
    assert (await chain.fate(tx.txid)).state is FateState.PENDING
    await net.mine()
    fate = await chain.fate(tx.txid.upper())
    assert (fate.state, fate.block.height) == (FateState.MINED, await net.height())
    assert next((t.target, t.units) for t in fate.transfers) == (ADDRESS, 70_000)
    await net.mine(2)
    assert (await chain.fate(tx.txid)).state is FateState.FINAL
    await net.reorg(3)
    assert (await chain.fate(tx.txid)).state in {FateState.PENDING, FateState.UNKNOWN}
    with pytest.raises(Invalid):
        await chain.fate("0x" + "ab" * 32)


@pytest.mark.parametrize("has_index", [True, False], ids=["indexed", "unindexed"])
async def test_fate_needs_no_index_while_an_output_is_unspent(kernel, chains, has_index):
    kernel.rpc.has_index = has_index
    chain = chains(kernel)
    txid = await kernel.pay(ADDRESS, 70_000)
    await kernel.mine(5)
    fate = await chain.fate(txid)
    assert (fate.state, fate.block.height) == (FateState.FINAL, await kernel.height() - 4)


async def test_what_waits_in_the_mempool_is_told_once(net, chains):
    chain = chains(net)
    assert isinstance(chain, WaitingChain)
    assert await chain.waiting() == Waiting((), frozenset())
    txid = await net.pay(ADDRESS, 70_000)
    seen = await chain.waiting()
    assert next((t.txid, t.target) for t in seen.fresh) == (txid, ADDRESS)
    assert seen.txids == {txid}
    assert await chain.waiting() == Waiting((), frozenset({txid}))
    await net.mine()
    assert await chain.waiting() == Waiting((), frozenset())


def test_another_asset_than_the_coin_is_refused():
    token = replace(coin(), id="usdt-bitcoin", contract="31")
    for assets in ([], [token], [coin(), token], [replace(coin(), network="other")]):
        with pytest.raises(Invalid):
            BitcoinChain(network(), assets, [Endpoint("http://127.0.0.1:1")], quorum=1)


async def test_too_few_operators_are_refused(kernel, chains):
    with pytest.raises(Invalid):
        chains(kernel, kernel, quorum=2)
