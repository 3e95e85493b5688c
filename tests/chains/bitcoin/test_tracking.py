"""Who spent the outputs of a transaction of ours, read out of blocks: what is searched once stays searched only below final."""

from tests.chains.bitcoin.conftest import coin
from tests.chains.bitcoin.keys import TestKey
from tests.chains.bitcoin.network import alter
from tests.chains.bitcoin.ours import HOT, fund, intent, pays, prepare
from tests.chains.bitcoin.serialize import Tx

from bitlinkpay.chains.bitcoin.fees import FeeRates
from bitlinkpay.chains.bitcoin.script import address_of
from bitlinkpay.chains.bitcoin.sender import BitcoinSender
from bitlinkpay.chains.bitcoin.tracking import Tracker, is_same
from bitlinkpay.chains.codec.bitcoin import TEST

TARGET, OTHER = (address_of(TestKey.of(name).script(), TEST) for name in ("ann", "bob"))


async def test_PAY_12_a_search_does_not_pass_over_blocks_that_a_fork_may_still_replace(kernel, chains):
    kernel.edit = alter("estimatefee", lambda _: 0)
    chain = chains(kernel)
    sender = BitcoinSender(chain, coin(), fees=FeeRates(chain.quorum, unknown=5_000))
    coins = await fund(kernel, HOT, 1_000_000)
    what, rival = intent(pays((TARGET, 100_000))), intent(pays((OTHER, 200_000)))
    plan, signed = await prepare(sender, what, coins)
    _, other = await prepare(sender, rival, coins)
    tracker = Tracker(chain.quorum, chain.reader, chain.lookup)
    await kernel.mine()
    head = await chain.head()
    await kernel.mine(txs=[Tx.parse(other.raw)])  # in a block that came after the head was read
    assert await tracker.spender(plan, signed, head) is None
    await kernel.reorg(2, keep=[Tx.parse(other.raw)])
    found = await tracker.spender(plan, signed, await chain.head())
    assert found is not None
    assert found.block.height == head.latest.height, "the block that was searched in vain has been replaced"
    assert not is_same(found, signed)


async def test_a_search_asks_the_quorum_for_blocks_and_for_no_heights_beside_them(kernel, chains):
    kernel.edit = alter("estimatefee", lambda _: 0)
    chain = chains(kernel)
    sender = BitcoinSender(chain, coin(), fees=FeeRates(chain.quorum, unknown=5_000))
    coins = await fund(kernel, HOT, 1_000_000)
    plan, signed = await prepare(sender, intent(pays((TARGET, 100_000))), coins)
    _, other = await prepare(sender, intent(pays((OTHER, 200_000))), coins)
    await kernel.mine(5)
    await kernel.mine(txs=[Tx.parse(other.raw)])
    tracker = Tracker(chain.quorum, chain.reader, chain.lookup)
    head = await chain.head()
    asked: list[str] = []
    kernel.edit = lambda method, params, result: asked.append(method) or result
    assert await tracker.spender(plan, signed, head) is not None
    read = asked.count("getblock")
    assert read >= 6
    assert asked.count("getblockhash") <= read
