"""Reading through several endpoints, some of which lag, lie, fall silent or serve another chain (THREATS NODE, DEP)."""

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest
from tests.chains.tron.api import TronServer
from tests.chains.tron.network import TronNet, block_id_of, tree_root_of
from tests.chains.tron.rows import coin, network, token
from tests.chains.tron.wallets import Payer

from bitlinkpay.chains.base import (
    ChainError,
    EndpointFailed,
    FateState,
    ForkedBlock,
    GapError,
    NotEnoughAnswers,
    WrongChain,
)
from bitlinkpay.chains.token import TokenProbe, objections
from bitlinkpay.chains.transport import (
    Endpoint,
)
from bitlinkpay.chains.tron.chain import TronChain
from bitlinkpay.chains.tron.node import Api, TronNode
from bitlinkpay.chains.tron.proof import Unproven
from bitlinkpay.chains.tron.reader import Proof
from bitlinkpay.core.errors import Invalid

BOB = Payer.named("bob")
TRANSFER = "transfer(address,uint256)"


def inflated(path: str, _body: object, answer: object) -> object:
    """Say that ten times as much came."""
    for info in answer if path.endswith("infobyblocknum") else ():
        for log in info.get("log", ()):
            log["data"] = f"{int(log['data'], 16) * 10:064x}"
    return answer


def hidden(path: str, _body: object, answer: object) -> object:
    return [{**i, "log": []} for i in answer] if path.endswith("infobyblocknum") else answer


async def test_a_range_comes_contiguous_and_bounded_and_costs_two_calls_a_block_and_endpoint(net, chains) -> None:
    await net.mine(20)
    chain = chains(*net.servers, quorum=2, range_max=8)
    await chain.scan(3, 20)  # each connection is asked once which chain it leads to
    for server in net.servers:
        server.requests.clear()
    blocks = await chain.scan(3, 20)
    assert [block.height for block in blocks] == list(range(3, 11))
    assert all(later.parent == earlier.hash for earlier, later in pairwise(blocks))
    assert sum(len(server.requests) for server in net.servers) == 2 * 2 * 8


@pytest.mark.parametrize("lie", [inflated, hidden])
async def test_NODE_01_one_of_three_that_lies_about_a_log_is_outvoted_and_set_aside(
    net, chains, usdt, usdt_row, lie
) -> None:
    usdt.send(TRANSFER, BOB.address, 7)
    await net.mine()
    net.servers[0].edit = lie
    chain = chains(*net.servers, assets=[usdt_row], quorum=2)
    (block,) = await chain.scan(net.height, net.height)
    assert [t.units for t in block.transfers] == [7]
    statuses = await chain.endpoints()
    assert [status.is_healthy for status in statuses] == [False, True, True]
    assert "disagrees" in statuses[0].error


async def test_NODE_02_endpoints_of_one_operator_count_once(net, chains, usdt, usdt_row) -> None:
    usdt.send(TRANSFER, BOB.address, 7)
    await net.mine()
    for server in net.servers[:2]:
        server.edit = inflated
    endpoints = [
        Endpoint(s.url, operator=name) for s, name in zip(net.servers, ("liars", "liars", "other"), strict=True)
    ]
    chain = TronChain(network(net.genesis), [coin(), usdt_row], endpoints, quorum=2)
    with pytest.raises(NotEnoughAnswers):
        await chain.scan(net.height, net.height)
    for server in net.servers[:2]:
        server.edit = None
    (block,) = await chain.scan(net.height, net.height)
    assert [t.units for t in block.transfers] == [7]
    await chain.aclose()
    with pytest.raises(Invalid):
        TronChain(network(), [coin()], endpoints[:2], quorum=2)


async def test_NODE_03_when_only_the_liar_answers_nothing_is_read(net, chains, usdt, usdt_row) -> None:
    usdt.send(TRANSFER, BOB.address, 7)
    await net.mine()
    net.servers[0].edit = inflated
    for server in net.servers[1:]:
        server.status = 503
    with pytest.raises(ChainError):
        await chains(*net.servers, assets=[usdt_row], quorum=2).scan(net.height, net.height)


async def test_NODE_05_a_node_twenty_blocks_behind_neither_leads_nor_holds_back(net, chains) -> None:
    await net.mine(60)
    net.servers[1].lag = 20
    chain = chains(*net.servers, quorum=2)
    head = await chain.head()
    assert (head.latest.height, head.final.height) == (net.height, net.solid_height)
    assert (await chain.scan(net.height, net.height))[0].height == net.height
    alone = chains(net.servers[1])
    with pytest.raises(GapError):
        await alone.scan(net.height, net.height)


async def test_NODE_06_a_node_on_another_fork_is_outvoted(net, chains) -> None:
    await net.mine(30)
    async with TronNet.start() as other:
        other.blocks = net.blocks[:-5]
        other._solid_done = len(other.blocks)
        other.mine_now(5, after_ms=3_001)
        net.servers[0].net = other
        chain = chains(*net.servers, quorum=2)
        (block,) = await chain.scan(net.height, net.height)
        assert block.hash == net.blocks[-1].id.hex()
        assert await chain.block_hash(net.height) == block.hash
        assert not (await chain.endpoints())[0].is_healthy


async def test_NODE_06_a_node_of_another_chain_is_refused_at_connect_and_after(net, chains) -> None:
    async with TronNet.start(genesis_ms=1_600_000_000_000) as other:
        await other.mine(5)
        await net.mine(5)
        chain = chains(other.servers[0])
        with pytest.raises(WrongChain, match="another block 0"):
            await chain.head()
        mixed = chains(other.servers[0], *net.servers[:2], quorum=2)
        assert (await mixed.head()).latest.height == net.height
        assert "another block 0" in (await mixed.endpoints())[0].error


async def test_NODE_13_a_block_that_a_node_has_no_more_is_a_gap(net, chains) -> None:
    await net.mine(5)
    net.servers[0].edit = lambda path, body, answer: {} if body.get("num") == 3 else answer
    with pytest.raises(GapError, match="no block 3"):
        await chains().scan(2, 4)
    assert len(await chains(*net.servers).scan(2, 4)) == 3


async def test_another_block_than_asked_for_is_malformed(net, chains) -> None:
    await net.mine(5)
    first = net.servers[0]._answer("wallet", "getblockbynum", {"num": 2, "visible": False})
    net.servers[0].edit = lambda path, _body, answer: first if path.endswith("getblockbynum") else answer
    with pytest.raises(EndpointFailed, match="another block than 4"):
        await chains().scan(4, 4)


async def test_DEP_03_a_fork_below_finality_replaces_blocks_and_what_they_held(net, chains, usdt, usdt_row) -> None:
    await net.mine(25)
    chain = chains(*net.servers, assets=[usdt_row], quorum=2)
    lost, kept = usdt.send(TRANSFER, BOB.address, 7), usdt.send(TRANSFER, BOB.address, 9)
    await net.mine(3)
    before = await chain.scan(net.height - 2, net.height)
    await net.reorg(3, again=[kept])
    after = await chain.scan(net.height - 2, net.height)
    assert before[0].hash != after[0].hash
    assert before[0].parent == after[0].parent
    assert [t.txid for t in after[0].transfers] == [kept]
    assert (await chain.fate(lost)).state is FateState.UNKNOWN
    assert (await chain.fate(kept)).block.hash == after[0].hash
    assert await chain.balances(usdt_row, [BOB.address], net.height) == [9]


async def test_finality_never_goes_back_and_a_final_block_that_changes_is_an_alarm(net, chains) -> None:
    await net.mine(60)
    chain = chains()
    final = (await chain.head()).final
    net.servers[0].lag = 10
    assert (await chain.head()).final == final
    async with TronNet.start() as other:
        other.mine_now(65, after_ms=3_001)
        other.solid_at = 20
        net.servers[0].net, net.servers[0].lag = other, 0
        with pytest.raises(ForkedBlock, match="was final"):
            await chain.head()


async def test_a_silent_endpoint_costs_a_moment_and_is_then_asked_last(net, chains) -> None:
    await net.mine(3)
    chain = chains(*net.servers, quorum=1, patience=timedelta(milliseconds=300))
    await chain.head()
    net.servers[0].is_silent = True
    async with asyncio.timeout(60):
        assert len(await chain.scan(1, 3)) == 3
    seen = len(net.servers[0].requests)
    assert len(await chain.scan(1, 3)) == 3
    assert len(net.servers[0].requests) == seen


def with_unknown_field(server: TronServer) -> None:
    """Let a block hold a transaction whose sender put a field beside those of the protocol: JSON does not show it."""
    root = server.net.blocks[-1]
    root.transactions[0].MergeFromString(bytes.fromhex("9a0603616263"))
    header = root.header
    header.txTrieRoot = tree_root_of(root.transactions)
    root.id = block_id_of(header)


async def test_a_block_that_does_not_prove_itself_needs_two_operators_or_the_operators_word(
    net, chains, caplog
) -> None:
    net.pay(BOB.address, 5)
    await net.mine()
    with_unknown_field(net.servers[0])
    with pytest.raises(Unproven, match='raise the quorum to 2, or set proof = "compared"'):
        await chains().scan(net.height, net.height)
    with pytest.raises(Unproven, match='raise the quorum to 2, or set proof = "compared"'):
        await chains(egress=net.servers[1].url, quorum=2).scan(net.height, net.height)
    for chain in (chains(proof=Proof.COMPARED), chains(*net.servers, quorum=2)):
        (block,) = await chain.scan(net.height, net.height)
        assert [t.units for t in block.transfers] == [5]
    assert "does not hash to its root of transactions" in caplog.text


async def test_a_transaction_id_is_64_hex_digits_in_any_case(net, chains) -> None:
    txid = net.pay(BOB.address, 5)
    chain = chains()
    assert (await chain.fate(txid.upper())).state is FateState.PENDING
    await net.mine()
    assert (await chain.fate(txid.upper())).state is FateState.MINED
    net.drop_pending()
    assert (await chain.fate("00" * 32)).state is FateState.UNKNOWN
    for wrong in ("", "0x" + txid, txid[:-1], "zz" * 32):
        with pytest.raises(Invalid):
            await chain.fate(wrong)


async def test_locate_reads_inner_payments_again_and_says_so_when_nothing_explains(net, chains) -> None:
    sender = await net.deploy("InnerSender")
    txid = sender.send("send(address,uint256)", BOB.address, 5, value=5)
    await net.mine(3)
    chain = chains()
    ((block, transfer),) = await chain.locate(coin(), BOB.address, 1, net.height)
    assert (transfer.txid, transfer.units, block.height) == (txid, 5, 2)
    with pytest.raises(ChainError, match=r"vm\.saveInternalTx"):
        await chain.locate(coin(), Payer.named("eve").address, 1, net.height)
    assert await chain.locate(token(sender.address), BOB.address, 1, net.height) == []


async def test_a_key_in_the_url_goes_into_trongrids_header_and_nowhere_else(net, chains) -> None:
    chain = TronChain(network(net.genesis), [coin()], [Endpoint(net.urls[0].replace("//", "//s3cr3t@"))], quorum=1)
    await chain.head()
    assert set(net.servers[0].keys) == {"s3cr3t"}
    assert all("s3cr3t" not in f"{status}" for status in await chain.endpoints())
    await chain.aclose()


async def test_a_port_in_the_fragment_is_where_the_solidified_state_is_served(net) -> None:
    await net.mine(30)
    full, solid = net.servers[:2]
    endpoint = Endpoint(f"{full.url}#{solid.url.rpartition(':')[2]}")
    chain = TronChain(network(net.genesis), [coin()], [endpoint], quorum=1)
    assert (await chain.head()).final.height == net.solid_height
    assert {path.split("/")[1] for path, _ in full.requests} == {"wallet"}
    assert {path.split("/")[1] for path, _ in solid.requests} == {"walletsolidity"}
    await chain.aclose()
    for wrong in ("#x", "#0", "#99999", "#80 90"):
        with pytest.raises(Invalid, match="solidity API"):
            TronNode(Endpoint(full.url + wrong), network())


async def test_a_suspended_key_rests_for_as_long_as_trongrid_says(net) -> None:
    server = net.servers[0]
    node = TronNode(Endpoint(server.url, timeout=timedelta(seconds=60)), network())
    breaker = node._https[Api.FULL].breaker
    server.status = 403
    server.body = '{"Error":"The key exceeds the frequency limit(15), and the query server is suspended for 9 s"}'
    asked_ns = breaker._now_ns()
    with pytest.raises(EndpointFailed):
        await node.newest(Api.FULL)
    assert breaker._resting_until_ns - asked_ns > 8 * 10**9
    await node.aclose()


async def test_DEP_21_and_DEP_22_a_token_is_held_against_its_registry_row(net, chains, usdt, usdt_row) -> None:
    await net.finalize()
    chain = chains(*net.servers, assets=[usdt_row], quorum=2)
    assert isinstance(chain, TokenProbe)
    facts = await chain.probe(usdt_row)
    assert (facts.decimals, facts.symbol, facts.is_paused) == (6, "USDT", False)
    assert objections(usdt_row, facts) == ()
    assert "the contract says 6 decimals, the registry 18" in objections(token(usdt.address, decimals=18), facts)[0]
    nobody = token(BOB.address)
    assert objections(nobody, await chain.probe(nobody))[0].startswith("usdt-tron: no contract at")
    usdt.send("setPaused(bool)", True)
    await net.finalize()
    paused = await chain.probe(usdt_row)
    assert "the contract is paused" in objections(usdt_row, paused, facts)[0]
    other = await net.token(18)
    await net.finalize()
    changed = await chain.probe(token(other.address, decimals=18))
    assert changed.code_hash != facts.code_hash
