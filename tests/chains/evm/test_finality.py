"""What is final, and who says so: tags, stalls, deep forks, wrong chains (EVM-19 to EVM-21, EVM-25, NODE-05, NODE-06)."""

import pytest
from tests.chains.evm.conftest import ChainMaker
from tests.chains.evm.rows import coin, network
from tests.nodes.anvil import Anvil
from tests.nodes.proxy import Mode, Proxy, RpcError

from bitlinkpay.chains.base import ChainError, FateState, ForkedBlock, GapError, NotEnoughAnswers, WrongChain
from bitlinkpay.chains.codec.evm import parse
from bitlinkpay.chains.evm.access import EvmOptions
from bitlinkpay.chains.evm.chain import EvmChain
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.core.errors import Invalid

OURS = parse("0x" + "a1" * 20)
Three = tuple[Proxy, Proxy, Proxy]


def frozen_final(height: int) -> object:
    """An edit that leaves the finality tag where it is."""

    def edit(method: str, params: list[object], result: object) -> object:
        if method == "eth_getBlockByNumber" and params[0] == "finalized" and int(result["number"], 16) > height:
            raise RpcError(-32603, "frozen")
        return result

    return edit


async def test_head_is_the_newest_and_the_newest_final_block(node: Anvil, chains: ChainMaker) -> None:
    chain = chains()
    await node.mine(10)
    head = await chain.head()
    assert (head.latest.height, head.final.height) == (10, 8)
    final = await node.block(8)
    assert head.final.hash == final["hash"]
    assert head.final.time.timestamp() == int(final["timestamp"], 16)
    assert await chain.block_hash(8) == final["hash"]
    assert await chain.block_hash(11) is None


async def test_EVM_19_a_fork_of_160_blocks_leaves_the_final_block_alone(chains: ChainMaker) -> None:
    async with Anvil.start(slots=100) as node:
        chain = EvmChain(network(genesis=node.genesis), [coin()], [Endpoint(node.url)], quorum=1)
        await node.mine(250)
        txid = await node.transfer(OURS, 5)
        await node.mine()
        await node.mine(100)
        before = await chain.head()
        assert before.final.height == 151
        assert (await chain.fate(txid)).state is FateState.MINED
        old = await chain.scan(251, 251)
        await node.reorg(160)
        after = await chain.head()
        assert after.final == before.final
        assert await chain.block_hash(151) == before.final.hash
        new = await chain.scan(251, 251)
        assert new[0].hash != old[0].hash
        assert (len(old[0].transfers), len(new[0].transfers)) == (1, 0)
        assert (await chain.fate(txid)).state in {FateState.UNKNOWN, FateState.PENDING}
        await chain.aclose()


async def test_EVM_20_while_finality_stalls_the_final_block_stays(
    node: Anvil, chains: ChainMaker, proxies: Three
) -> None:
    proxy = proxies[0]
    chain = chains(proxy)
    await node.mine(10)
    stalled_at = await node.block("finalized")

    def stall(method: str, params: list[object], result: object) -> object:
        return stalled_at if method == "eth_getBlockByNumber" and params[0] == "finalized" else result

    proxy.edit = stall
    first = (await chain.head()).final
    await node.mine(500)
    head = await chain.head()
    assert head.final == first
    assert head.latest.height == 510
    proxy.edit = None
    assert (await chain.head()).final.height == 508


async def test_EVM_20_a_missing_tag_is_no_finality_at_all(node: Anvil, chains: ChainMaker, proxies: Three) -> None:
    proxy = proxies[0]
    chain = chains(proxy)
    await node.mine(10)

    def none(method: str, params: list[object], result: object) -> object:
        if method == "eth_getBlockByNumber" and params[0] == "finalized":
            return None
        return result

    proxy.edit = none
    with pytest.raises(GapError, match="finalized"):
        await chain.head()
    proxy.edit = frozen_final(0)
    with pytest.raises(ChainError):
        await chain.head()
    proxy.edit = None
    assert (await chain.head()).final.height == 8


async def test_final_never_goes_backwards(node: Anvil, chains: ChainMaker, proxies: Three) -> None:
    proxy = proxies[0]
    chain = chains(proxy)
    await node.mine(20)
    reached = (await chain.head()).final
    assert reached.height == 18
    proxy.lag = 10
    assert (await chain.head()).final == reached
    proxy.lag = 0
    await node.mine(5)
    assert (await chain.head()).final.height == 23


async def test_a_final_block_that_was_replaced_stops_the_head(node: Anvil, chains: ChainMaker, proxies: Three) -> None:
    proxy = proxies[0]
    chain = chains(proxy)
    await node.mine(20)
    await chain.head()
    await node.reorg(10)
    early = await node.block(5)

    def backwards(method: str, params: list[object], result: object) -> object:
        return early if method == "eth_getBlockByNumber" and params[0] == "finalized" else result

    proxy.edit = backwards
    with pytest.raises(ForkedBlock, match="was final"):
        await chain.head()


async def test_the_final_block_is_the_one_that_a_quorum_has_reached(
    node: Anvil, chains: ChainMaker, proxies: Three
) -> None:
    a, b, c = proxies
    await node.mine(100)
    a.lag, b.lag = 30, 10
    assert (await chains(a, b, c, quorum=2).head()).final.height == 88
    assert (await chains(a, b, c, quorum=3).head()).final.height == 68
    assert (await chains(a, b, c, quorum=1).head()).final.height == 98


async def test_NODE_05_a_node_twenty_blocks_behind_neither_leads_nor_holds_back(
    node: Anvil, chains: ChainMaker, proxies: Three
) -> None:
    a, b, c = proxies
    await node.mine(50)
    await node.transfer(OURS, 5)
    await node.mine(5)
    a.lag = 20
    chain = chains(a, b, c, quorum=2)
    head = await chain.head()
    assert (head.latest.height, head.final.height) == (55, 53)
    assert len((await chain.scan(51, 51))[0].transfers) == 1, "its lack of the block is no empty block"
    b.lag = 20
    with pytest.raises(ChainError):
        await chain.scan(51, 51)
    b.lag = 0
    assert len((await chain.scan(51, 51))[0].transfers) == 1


async def test_NODE_06_a_node_on_another_fork_is_outvoted_and_set_aside(
    node: Anvil, chains: ChainMaker, proxies: Three
) -> None:
    a, b, c = proxies
    await node.mine(20)
    chain = chains(a, b, c, quorum=2)
    forged = "0x" + "66" * 32

    def fork(method: str, params: list[object], result: object) -> object:
        if method == "eth_getBlockByNumber" and result and int(result["number"], 16) > 10:
            return result | {"hash": forged}
        return result

    a.edit = fork
    head = await chain.head()
    assert head.final.hash == (await node.block(18))["hash"]
    statuses = {status.url: status for status in await chain.endpoints()}
    assert not statuses[a.url].is_healthy
    assert "disagrees" in statuses[a.url].error
    assert statuses[b.url].is_healthy
    with pytest.raises(NotEnoughAnswers):
        await chains(a, c, quorum=2).block_hash(15)


@pytest.mark.parametrize("field", ["chain", "genesis"])
async def test_EVM_21_another_chain_is_refused(node: Anvil, chains: ChainMaker, proxies: Three, field: str) -> None:
    a, b, _ = proxies

    def other(method: str, params: list[object], result: object) -> object:
        if field == "chain" and method == "eth_chainId":
            return "0x1"
        if field == "genesis" and method == "eth_getBlockByNumber" and params[0] == "0x0":
            return result | {"hash": "0x" + "01" * 32}
        return result

    a.edit = other
    await node.mine(5)
    with pytest.raises(WrongChain):
        await chains(a).head()
    with pytest.raises(WrongChain):
        await chains(a).scan(1, 2)
    chain = chains(a, b)
    assert (await chain.scan(1, 2))[0].height == 1
    first, second = await chain.endpoints()
    assert not first.is_healthy
    assert second.is_healthy
    with pytest.raises(ChainError):
        await chains(a, b, quorum=2).scan(1, 2)


async def test_EVM_21_the_chain_is_checked_again_at_each_connect(
    node: Anvil, chains: ChainMaker, proxies: Three
) -> None:
    proxy = proxies[0]
    chain = chains(proxy)
    await node.mine(5)
    for _ in range(3):
        await chain.scan(1, 2)
    assert proxy.counts["eth_chainId"] == 1
    proxy.mode = Mode.RESET
    with pytest.raises(ChainError):
        await chain.scan(1, 2)
    proxy.mode = Mode.HONEST
    proxy.edit = lambda method, _, result: "0x1" if method == "eth_chainId" else result
    await settle(chain)
    with pytest.raises(WrongChain):
        await chain.scan(1, 2)
    proxy.edit = None
    await settle(chain)
    assert len(await chain.scan(1, 2)) == 2


async def test_EVM_25_credit_reads_blocks_by_height_and_hash_only(
    node: Anvil, chains: ChainMaker, proxies: Three
) -> None:
    a, b, _ = proxies
    chain = chains(a, b, quorum=2)
    txid = await node.transfer(OURS, 5)
    await node.mine(10)
    await chain.head()
    seen = {str(params[0]) for method, params in a.calls + b.calls if method == "eth_getBlockByNumber"}
    assert seen == {"0x0", "latest", "finalized"}
    a.calls, b.calls = [], []
    await chain.scan(1, 8)
    await chain.balances(coin(), [OURS], 8)
    await chain.locate(coin(), OURS, 1, 8)
    calls = a.calls + b.calls
    assert not [params for _, params in calls if {"latest", "pending", "safe"} & {str(p) for p in params}]
    assert (await chain.fate(txid)).state is FateState.FINAL


async def test_fate_follows_a_transaction_from_nothing_to_final(node: Anvil, chains: ChainMaker) -> None:
    chain = chains()
    refuser = await node.deploy("Refuser")
    unknown = "0x" + "ab" * 32
    assert (await chain.fate(unknown)).state is FateState.UNKNOWN
    txid = await node.transfer(OURS, 5)
    failed = await node.send(to=refuser.address, value=7, sender=node.accounts[1])
    assert (await chain.fate(txid)).state is FateState.PENDING
    await node.mine()
    mined = await chain.fate(txid)
    assert (mined.state, mined.block.height) == (FateState.MINED, 2)
    assert (await chain.fate(failed)).state is FateState.MINED
    await node.mine(2)
    final = await chain.fate(txid.upper().replace("0X", "0x"))
    assert final.state is FateState.FINAL
    assert [t.units for t in final.transfers] == [5]
    lost = await chain.fate(failed)
    assert (lost.state, lost.transfers) == (FateState.FAILED, ())
    for wrong in ("", "0x", "ab" * 32, "0x" + "zz" * 32, "0x" + "ab" * 33):
        with pytest.raises(Invalid):
            await chain.fate(wrong)


def test_options_and_endpoints_are_checked() -> None:
    here = [Endpoint("http://127.0.0.1:1"), Endpoint("http://127.0.0.1:2"), Endpoint("http://127.0.0.1:1/other-key")]
    EvmChain(network(), [coin()], here, quorum=2)
    with pytest.raises(Invalid, match="quorum"):
        EvmChain(network(), [coin()], here, quorum=3)
    with pytest.raises(Invalid, match="quorum"):
        EvmChain(network(), [coin()], [], quorum=1)
    for wrong in ({"finality": "latest"}, {"finality": "pending"}, {"range_max": 0}):
        with pytest.raises(Invalid):
            EvmOptions(**wrong)


async def settle(chain: EvmChain) -> None:
    """End the rest of all endpoints, as time would."""
    for each in chain.access.nodes:
        each.rpc.breaker.succeeded()
