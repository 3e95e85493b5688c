"""Nodes that lie, lag, fork or lack what is asked: nothing of theirs is believed, and nothing is skipped (NODE)."""

import pytest
from tests.chains.bitcoin.keys import TestKey
from tests.chains.bitcoin.network import BitcoinNetwork, alter, refuse

from bitlinkpay.chains.base import ChainError, GapError
from bitlinkpay.chains.bitcoin.chain import BitcoinChain
from bitlinkpay.chains.bitcoin.script import address_of
from bitlinkpay.chains.codec.bitcoin import TEST

ANN = TestKey.of("ann")
ADDRESS = address_of(ANN.script(), TEST)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.replace(ANN.script().hex(), TestKey.of("thief").script().hex()),
        lambda raw: raw.replace("7011010000000000", "8011010000000000"),
        lambda raw: raw[:-2],
        lambda raw: raw + "00",
        lambda raw: raw[:160] + "01" + raw[162:],
        lambda raw: "01" + raw[2:],
        lambda raw: "zz" + raw[2:],
        lambda raw: " " + raw,
        lambda raw: "",
        lambda raw: 7,
        lambda raw: None,
    ],
    ids=["target", "amount", "short", "long", "fewer", "version", "no hex", "space", "empty", "number", "null"],
)
async def test_NODE_01_a_block_that_a_node_alters_is_refused(kernel, chains, change):
    await kernel.pay(ADDRESS, 70_000)
    await kernel.mine()
    height = await kernel.height()
    kernel.edit = alter("getblock", change)
    chain = chains(kernel)
    with pytest.raises(ChainError):
        await chain.scan(height, height)
    kernel.edit = None
    await forget_failures(chain)
    (block,) = await chain.scan(height, height)
    assert (ADDRESS, 70_000) in {(t.target, t.units) for t in block.transfers}


async def forget_failures(chain: BitcoinChain) -> None:
    for node in chain.nodes:
        node.rpc.breaker.succeeded()


async def test_NODE_01_a_liar_is_set_aside_and_the_next_one_asked(kernel, chains):
    async with BitcoinNetwork.start("kernel", blocks=0) as liar:
        await liar.copy(kernel)
        liar.edit = alter("getblock", lambda raw: raw[:-2])
        chain = chains(liar, kernel)
        assert [b.height for b in await chain.scan(100, 101)] == [100, 101]
        bad, good = await chain.endpoints()
        assert (bad.is_healthy, good.is_healthy) == (False, True)


async def test_NODE_03_when_only_the_liar_answers_a_quorum_believes_nothing(kernel, chains):
    async with BitcoinNetwork.start("kernel", blocks=0) as dead:
        dead.edit = refuse("getblockhash", -28, "Loading block index")
        chain = chains(kernel, dead, quorum=2)
        with pytest.raises(ChainError):
            await chain.scan(100, 101)


async def test_NODE_05_a_lagging_node_neither_leads_nor_holds_back(kernel, chains):
    async with BitcoinNetwork.start("kernel", blocks=0) as second, BitcoinNetwork.start("kernel", blocks=0) as slow:
        await second.copy(kernel)
        await slow.copy(kernel, last=90)
        head = await chains(slow, kernel, second, quorum=2).head()
        assert (head.latest.height, head.final.height) == (110, 108)
        behind = await chains(slow, kernel, quorum=2).head()
        assert (behind.latest.height, behind.final.height) == (90, 88)
        assert [b.height for b in await chains(slow, kernel).scan(100, 101)] == [100, 101]


async def test_NODE_06_a_node_on_another_fork_is_outvoted(kernel, chains):
    async with BitcoinNetwork.start("kernel", blocks=0) as second, BitcoinNetwork.start("kernel", blocks=0) as forked:
        await second.copy(kernel)
        await forked.copy(kernel)
        tip = await forked.reorg(10)
        assert await forked.ask("getblockhash", 111) == tip
        (first,) = await chains(forked, kernel, second, quorum=2).scan(108, 108)
        assert first.hash == await kernel.ask("getblockhash", 108), "also before the first look at the head"
        chain = chains(forked, kernel, second, quorum=2)
        head = await chain.head()
        assert head.final.hash == await kernel.ask("getblockhash", head.final.height)
        blocks = await chain.scan(105, 108)
        assert blocks[-1].hash == await kernel.ask("getblockhash", 108)


async def test_NODE_13_a_pruned_block_is_a_gap(kernel, chains):
    kernel.edit = refuse("getblock", -1, "Block not available (pruned data)")
    with pytest.raises(GapError, match="pruned"):
        await chains(kernel).scan(5, 6)
