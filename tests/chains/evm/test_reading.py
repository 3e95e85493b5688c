"""Reading blocks from nodes that lag, lie, cut short and fall silent (EVM-15 to EVM-18, NODE-01 to NODE-03, NODE-09)."""

import asyncio
import copy
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from tests.chains.evm.conftest import PATIENT, QUICK, ChainMaker
from tests.chains.evm.rows import coin, network, token
from tests.nodes.anvil import Anvil, Contract
from tests.nodes.proxy import Edit, Mode, Proxy, RpcError
from tests.nodes.relay import Relay

from bitlinkpay.chains.base import Block, ChainError, EndpointFailed, ForkedBlock, GapError, NotEnoughAnswers
from bitlinkpay.chains.codec.evm import parse
from bitlinkpay.chains.evm.access import EvmOptions
from bitlinkpay.chains.evm.chain import EvmChain
from bitlinkpay.chains.evm.proof import Unproven
from bitlinkpay.chains.evm.reader import Proof
from bitlinkpay.chains.transport import (
    AnswerTooLarge,
    Endpoint,
    endpoints_of,
)

OURS = parse("0x" + "a1" * 20)
Three = tuple[Proxy, Proxy, Proxy]
COMPARED = EvmOptions(proof=Proof.COMPARED, patience=PATIENT.patience)


@pytest.fixture
async def usdt(node: Anvil) -> Contract:
    """A token with one payment of 500 to us in block 2, and one native payment of 7."""
    contract = await node.deploy("DollarToken")
    await contract.send("transfer(address,uint256)", OURS, 500)
    await node.transfer(OURS, 7, sender=node.accounts[1])
    await node.mine(6)
    return contract


def receipts(change: object) -> Edit:
    """Alter the receipts of every block that has any."""

    def edit(method: str, _: list[object], result: object) -> object:
        return change(copy.deepcopy(result)) if method == "eth_getBlockReceipts" and result else result

    return edit


def blocks(change: object) -> Edit:
    """Alter every full block with transactions."""

    def edit(method: str, params: list[object], result: object) -> object:
        is_full = method == "eth_getBlockByNumber" and params[1] and result and result["transactions"]
        return change(copy.deepcopy(result)) if is_full else result

    return edit


def credited(block: Block) -> list[tuple[str, int]]:
    return [(t.asset, t.units) for t in block.transfers if t.target == OURS]


PAID = [("usdt-devnet", 500), ("eth-devnet", 7)]


def drop_logs(found: list[dict[str, object]]) -> list[dict[str, object]]:
    return [receipt | {"logs": []} for receipt in found]


def raise_amount(found: list[dict[str, object]]) -> list[dict[str, object]]:
    for receipt in found:
        for log in receipt["logs"]:
            log["data"] = "0x" + "ff" * 32
    return found


def other_target(found: list[dict[str, object]]) -> list[dict[str, object]]:
    for receipt in found:
        for log in receipt["logs"]:
            if len(log["topics"]) > 2:
                log["topics"][2] = "0x" + "b2".rjust(64, "0")
    return found


def flip_status(found: list[dict[str, object]]) -> list[dict[str, object]]:
    return [receipt | {"status": "0x0"} for receipt in found]


def odd_spelling(found: list[dict[str, object]]) -> list[dict[str, object]]:
    for receipt in found:
        for log in receipt["logs"]:
            log["address"] = "0x " + log["address"][2:]
    return found


def change_value(block: dict[str, object]) -> dict[str, object]:
    for tx in block["transactions"]:
        tx["value"] = "0xffffff"
    return block


def change_sender(block: dict[str, object]) -> dict[str, object]:
    for tx in block["transactions"]:
        tx["from"] = "0x" + "cc" * 20
    return block


def drop_transaction(block: dict[str, object]) -> dict[str, object]:
    return block | {"transactions": block["transactions"][:-1]}


def other_txid(method: str, params: list[object], result: object) -> object:
    """Alter a transaction's id wherever it stands, and nothing else."""
    result = copy.deepcopy(result)
    if method == "eth_getBlockReceipts":
        for receipt in result or ():
            receipt["transactionHash"] = receipt["transactionHash"][:-2] + "00"
    elif method == "eth_getBlockByNumber" and params[1] and result:
        for tx in result["transactions"]:
            tx["hash"] = tx["hash"][:-2] + "00"
    return result


LIES = {
    "another transaction id": other_txid,
    "no logs": receipts(drop_logs),
    "a larger amount": receipts(raise_amount),
    "another target": receipts(other_target),
    "failed": receipts(flip_status),
    "white space in an address": receipts(odd_spelling),
    "another value": blocks(change_value),
    "another sender": blocks(change_sender),
    "one transaction less": blocks(drop_transaction),
    "no receipts": receipts(lambda found: []),
    "one receipt less": receipts(lambda found: found[:-1]),
}


MALFORMED = {"no receipts", "one receipt less", "one transaction less", "white space in an address"}


@pytest.mark.parametrize("lie", LIES)
async def test_NODE_01_a_lie_about_a_block_is_caught_even_from_the_only_node(
    chains: ChainMaker, usdt: Contract, proxies: Three, lie: str
) -> None:
    liar = proxies[0]
    liar.edit = LIES[lie]
    chain = chains(liar, assets=[token(usdt.address)])
    with pytest.raises((Unproven, GapError, EndpointFailed)):
        await chain.scan(1, 4)
    liar.edit = None
    assert credited((await chain.scan(2, 2))[0]) == PAID


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("options", [PATIENT, COMPARED], ids=["recomputed", "compared"])
async def test_NODE_01_one_liar_of_three_changes_nothing_and_is_set_aside(
    chains: ChainMaker, usdt: Contract, proxies: Three, lie: str, options: EvmOptions
) -> None:
    proxies[0].edit = LIES[lie]
    chain = chains(*proxies, assets=[token(usdt.address)], quorum=2, options=options)
    found = await chain.scan(1, 4)
    assert [block.height for block in found] == [1, 2, 3, 4]
    assert credited(found[1]) == PAID
    statuses = await chain.endpoints()
    assert [status.is_healthy for status in statuses][1:] == [True, True]
    if lie not in MALFORMED:
        assert not statuses[0].is_healthy, "what contradicts itself or the others is set aside"


async def test_NODE_01_setting_a_node_aside_raises_an_alarm_without_its_credentials(
    node: Anvil, usdt: Contract, proxies: Three, caplog: pytest.LogCaptureFixture
) -> None:
    proxies[0].edit = LIES["no logs"]
    endpoints = [Endpoint(f"{proxy.url}/v3/hidden-key") for proxy in proxies]
    chain = EvmChain(network(genesis=node.genesis), [coin(), token(usdt.address)], endpoints, quorum=2)
    with caplog.at_level(logging.WARNING):
        assert len(await chain.scan(1, 4)) == 4
    assert "set aside" in caplog.text
    assert proxies[0].url in caplog.text
    assert "hidden-key" not in caplog.text
    assert all("hidden-key" not in status.url + status.error for status in await chain.endpoints())
    await chain.aclose()


async def test_NODE_02_two_nodes_of_one_operator_count_once(node: Anvil, usdt: Contract, proxies: Three) -> None:
    a, b, c = proxies
    endpoints = [Endpoint(a.url, operator="one"), Endpoint(b.url, operator="one"), Endpoint(c.url, operator="two")]
    lie = LIES["no logs"]
    a.edit = b.edit = lie
    assets = [coin(), token(usdt.address)]
    chain = EvmChain(network(genesis=node.genesis), assets, endpoints, quorum=2, options=COMPARED)
    with pytest.raises(NotEnoughAnswers):
        await chain.scan(2, 2)
    a.edit = None
    assert credited((await chain.scan(2, 2))[0]) == PAID
    await chain.aclose()


@asynccontextmanager
async def by_two_ways(node: Anvil, usdt: Contract, to_us: Proxy) -> AsyncIterator[tuple[EvmChain, Relay]]:
    """Read one node straight, and through a relay to which it shows the face that it shows to everybody."""
    row = network(chain_id=node.chain_id, genesis=node.genesis)
    async with Relay.start(node.url) as relay:
        endpoints = endpoints_of([to_us.url], relay.url)
        chain = EvmChain(row, [coin(), token(usdt.address)], endpoints, quorum=2, options=COMPARED)
        try:
            yield chain, relay
        finally:
            await chain.aclose()


@pytest.mark.parametrize("lie", ["a larger amount", "no logs", "another target"])
async def test_NODE_04_a_lie_to_us_alone_is_caught_by_the_second_way_out(
    node: Anvil, chains: ChainMaker, usdt: Contract, proxies: Three, lie: str
) -> None:
    to_us = proxies[0]
    to_us.edit = LIES[lie]
    straight = chains(to_us, assets=[token(usdt.address)], options=COMPARED)
    assert credited((await straight.scan(2, 2))[0]) != PAID, "alone it is believed"
    async with by_two_ways(node, usdt, to_us) as (both, relay):
        with pytest.raises(ChainError):
            await both.scan(2, 2)
        to_us.edit = None
        for one in both.access.nodes:
            one.rpc.breaker.succeeded()
        relay.asked.clear()
        assert credited((await both.scan(2, 2))[0]) == PAID
        assert await both.balances(coin(), [OURS], 2) == await straight.balances(coin(), [OURS], 2)
        assert {url.rstrip("/") for url in relay.asked} == {to_us.url}
        assert [status.url for status in await both.endpoints()] == [to_us.url, f"{to_us.url} by the second way"]


async def test_NODE_04_while_the_second_way_is_closed_one_operator_is_not_believed(
    node: Anvil, usdt: Contract, proxies: Three
) -> None:
    async with by_two_ways(node, usdt, proxies[0]) as (both, relay):
        relay.is_down = True
        with pytest.raises(ChainError):
            await both.scan(2, 2)


@pytest.mark.parametrize("options", [PATIENT, COMPARED], ids=["recomputed", "compared"])
async def test_NODE_03_when_only_the_liar_answers_nothing_is_believed(
    chains: ChainMaker, usdt: Contract, proxies: Three, options: EvmOptions
) -> None:
    liar, *honest = proxies
    for proxy in honest:
        proxy.status = 503
    chain = chains(*proxies, assets=[token(usdt.address)], quorum=2, options=options)
    for lie in (None, LIES["no logs"], LIES["a larger amount"]):
        liar.edit = lie
        with pytest.raises(ChainError):
            await chain.scan(1, 4)
        with pytest.raises(ChainError):
            await chain.head()
        with pytest.raises(ChainError):
            await chain.balances(coin(), [OURS], 2)
    assert liar.calls


async def test_a_fabricated_block_that_proves_itself_is_outvoted_by_its_hash(
    node: Anvil, chains: ChainMaker, usdt: Contract
) -> None:
    """A liar with a whole chain of its own: every hash is right, but it is not the chain of the others."""
    async with Anvil.start(timestamp=1_700_000_000) as forger, Proxy.start(forger.url) as liar:
        fake = await forger.deploy("DollarToken")
        await fake.send("transfer(address,uint256)", OURS, 10**9)
        await forger.mine(6)
        genesis = await node.block(0)

        def pose(method: str, params: list[object], result: object) -> object:
            return genesis if method == "eth_getBlockByNumber" and params[0] == "0x0" else result

        liar.edit = pose
        async with Proxy.start(node.url) as a, Proxy.start(node.url) as b:
            assets = [token(usdt.address)]
            assert fake.address == usdt.address
            alone = chains(liar, assets=assets)
            assert credited((await alone.scan(2, 2))[0]) == [("usdt-devnet", 10**9)], "it is a flawless forgery"
            chain = chains(liar, a, b, assets=assets, quorum=2)
            assert credited((await chain.scan(2, 2))[0]) == PAID
            with pytest.raises(NotEnoughAnswers):
                await chains(liar, a, assets=assets, quorum=2).block_hash(2)


async def test_EVM_15_other_log_indexes_change_no_position(chains: ChainMaker, usdt: Contract, proxies: Three) -> None:
    def shift(found: list[dict[str, object]]) -> list[dict[str, object]]:
        for receipt in found:
            for log in receipt["logs"]:
                log["logIndex"] = hex(int(log["logIndex"], 16) + 77)
        return found

    proxies[0].edit = receipts(shift)
    for options in (PATIENT, COMPARED):
        chain = chains(*proxies, assets=[token(usdt.address)], quorum=3, options=options)
        (block,) = await chain.scan(2, 2)
        assert [t.position for t in block.transfers if t.asset == "usdt-devnet"] == ["log:0"]


async def test_EVM_16_a_partial_answer_is_never_an_empty_block(
    chains: ChainMaker, usdt: Contract, proxies: Three
) -> None:
    for partial in (drop_logs, lambda found: found[:1], lambda found: []):
        proxies[0].edit = receipts(partial)
        chain = chains(proxies[0], assets=[token(usdt.address)])
        with pytest.raises(ChainError):
            await chain.scan(2, 2)
        backed = chains(proxies[0], proxies[1], assets=[token(usdt.address)])
        assert credited((await backed.scan(2, 2))[0]) == PAID
        assert (await chain.scan(3, 3))[0].transfers == (), "a block that is empty in truth is still empty"


@pytest.mark.parametrize("missing", ["all", "one", "block"])
async def test_EVM_17_a_null_is_a_gap_and_heals(
    chains: ChainMaker, usdt: Contract, proxies: Three, missing: str
) -> None:
    def nulls(method: str, params: list[object], result: object) -> object:
        if method == "eth_getBlockReceipts" and missing != "block":
            return None if missing == "all" else [*result[:-1], None] if result else result
        if method == "eth_getBlockByNumber" and params[0] == "0x2" and missing == "block":
            return None
        return result

    proxies[0].edit = nulls
    chain = chains(proxies[0], assets=[token(usdt.address)])
    with pytest.raises(GapError):
        await chain.scan(1, 4)
    proxies[0].edit = None
    assert credited((await chain.scan(1, 4))[1]) == PAID


async def test_EVM_17_null_receipts_of_an_empty_block_are_a_gap_too(
    node: Anvil, chains: ChainMaker, proxies: Three
) -> None:
    await node.mine(2)
    chain = chains(proxies[0])
    proxies[0].edit = lambda method, _, result: None if method == "eth_getBlockReceipts" else result
    with pytest.raises(GapError, match="lacks receipts"):
        await chain.scan(1, 2)
    proxies[0].edit = None
    assert [block.transfers for block in await chain.scan(1, 2)] == [(), ()]


async def test_DEP_08_heights_beyond_the_chain_or_pruned_away_are_a_gap(
    chains: ChainMaker, usdt: Contract, proxies: Three
) -> None:
    chain = chains(proxies[0])
    with pytest.raises(GapError):
        await chain.scan(5, 900)
    with pytest.raises(GapError):
        await chain.scan(900, 901)
    proxies[0].edit = lambda method, params, result: (
        None if method == "eth_getBlockByNumber" and params[0] == "0x1" else result
    )
    with pytest.raises(GapError):
        await chain.scan(1, 4)
    assert len(await chain.scan(2, 4)) == 3


async def test_EVM_18_a_reorg_between_two_calls_discards_the_work(
    node: Anvil, chains: ChainMaker, usdt: Contract, proxies: Three
) -> None:
    proxy = proxies[0]
    chain = chains(proxy, assets=[token(usdt.address)])
    await node.mine(2)
    forward = proxy.forward
    reorged = asyncio.Event()

    async def reorg_first(method: str, params: list[object]) -> object:
        if method == "eth_getBlockReceipts" and not reorged.is_set():
            reorged.set()
            await node.reorg(5)
        return await forward(method, params)

    proxy.forward = reorg_first
    with pytest.raises(ChainError):
        await chain.scan(2, 8)
    assert reorged.is_set()
    fresh = await chain.scan(2, 8)
    assert [block.height for block in fresh] == list(range(2, 9))
    assert fresh[-1].hash == (await node.block(8))["hash"]


@pytest.mark.parametrize("case", ["removed", "other block", "unlinked"])
async def test_EVM_18_signs_of_a_reorg_inside_an_answer_discard_it(
    chains: ChainMaker, usdt: Contract, proxies: Three, case: str
) -> None:
    def edit(method: str, params: list[object], result: object) -> object:
        if method == "eth_getBlockReceipts" and result:
            for receipt in result:
                if case == "removed":
                    for log in receipt["logs"]:
                        log["removed"] = True
                elif case == "other block":
                    receipt["blockHash"] = "0x" + "12" * 32
        if case == "unlinked" and method == "eth_getBlockByNumber" and params[0] == "0x3":
            result["parentHash"] = "0x" + "12" * 32
        return result

    proxies[0].edit = edit
    chain = chains(proxies[0], assets=[token(usdt.address)])
    with pytest.raises(ForkedBlock):
        await chain.scan(1, 4)
    proxies[0].edit = None
    assert len(await chain.scan(1, 4)) == 4


async def test_a_node_that_answers_with_another_height_is_refused(
    node: Anvil, chains: ChainMaker, usdt: Contract, proxies: Three
) -> None:
    other = await node.block(3, full=True)
    proxies[0].edit = lambda method, params, result: (
        other if method == "eth_getBlockByNumber" and params[0] == "0x2" else result
    )
    with pytest.raises(EndpointFailed, match="another block than 2"):
        await chains(proxies[0]).scan(2, 2)
    assert (await chains(proxies[0], proxies[1]).scan(2, 2))[0].height == 2


@pytest.mark.parametrize(("quorum", "proof"), [(q, p) for q in (1, 2, 3) for p in Proof])
async def test_the_calls_per_block_are_constant_whatever_the_blocks_hold(  # noqa: PLR0917
    node: Anvil, chains: ChainMaker, usdt: Contract, proxies: Three, quorum: int, proof: Proof
) -> None:
    chain = chains(*proxies, quorum=quorum, options=EvmOptions(proof=proof), assets=[token(usdt.address)])
    await chain.head()

    async def calls(first: int, last: int) -> int:
        before = sum(len(proxy.calls) for proxy in proxies)
        assert len(await chain.scan(first, last)) == last - first + 1
        return sum(len(proxy.calls) for proxy in proxies) - before

    per_range = quorum - 1 if proof is Proof.RECOMPUTED else 0
    per_block = 2 if proof is Proof.RECOMPUTED else 2 * quorum
    assert await calls(3, 6) == 4 * per_block + per_range
    for i in range(60):
        await usdt.send("transfer(address,uint256)", parse("0x" + f"{i + 1:040x}"), 5)
    height = await node.mine()
    assert await calls(height, height) == per_block + per_range
    assert len((await chain.scan(height, height))[0].transfers) == 60


async def test_a_range_that_is_too_much_is_read_in_smaller_requests(
    node: Anvil, chains: ChainMaker, proxies: Three
) -> None:
    await node.mine(80)
    proxy = proxies[0]
    chain = chains(proxy, answer_bytes_max=12_000)
    height, requests = 1, []
    while height <= 80:
        before = proxy.requests
        height = (await chain.scan(height, 80))[-1].height + 1
        requests.append(proxy.requests - before)
    assert len(requests) == 5
    assert requests[-1] < requests[0], "the size that fits is remembered"
    with pytest.raises(AnswerTooLarge):
        await chains(proxy, answer_bytes_max=500).scan(1, 80)


async def test_limits_of_providers_are_learned(node: Anvil, chains: ChainMaker, proxies: Three) -> None:
    await node.mine(40)
    proxies[0].batch_max = 3
    chain = chains(proxies[0])
    assert len(await chain.scan(1, 40)) == 16
    busy = [0]

    def stingy(method: str, _: list[object], result: object) -> object:
        busy[0] += 1
        if method == "eth_getBlockReceipts" and busy[0] % 7 == 0:
            raise RpcError(-32005, "limit exceeded")
        return result

    proxies[0].edit = stingy
    assert len(await chain.scan(17, 40)) == 16


async def test_NODE_09_a_silent_node_costs_a_moment_and_is_then_asked_last(
    chains: ChainMaker, usdt: Contract, proxies: Three
) -> None:
    silent = proxies[0]
    chain = chains(*proxies, assets=[token(usdt.address)], quorum=2, options=QUICK, timeout=timedelta(seconds=300))
    await chain.head()
    silent.mode = Mode.SILENT
    async with asyncio.timeout(60):
        for _ in range(6):
            assert credited((await chain.scan(2, 2))[0]) == PAID
            await chain.head()
    assert not chain.access.nodes[1].rpc.breaker.is_resting


async def test_head_does_not_wait_for_a_silent_node(chains: ChainMaker, usdt: Contract, proxies: Three) -> None:
    proxies[1].mode = Mode.SILENT
    chain = chains(*proxies, quorum=2, options=QUICK, timeout=timedelta(seconds=300))
    async with asyncio.timeout(60):
        for _ in range(5):
            assert (await chain.head()).latest.height == 7


async def test_a_dead_node_is_replaced_and_returns(node: Anvil, chains: ChainMaker, usdt: Contract) -> None:
    async with Proxy.start(node.url) as a, Proxy.start(node.url) as b:
        chain = chains(a, b, assets=[token(usdt.address)])
        a.status = 500
        assert credited((await chain.scan(2, 2))[0]) == PAID
        first, second = await chain.endpoints()
        assert not first.is_healthy
        assert "500" in first.error
        assert second.height == 7
        a.status = 200
        await asyncio.sleep(1)
        assert all(status.is_healthy for status in await chain.endpoints())


async def test_a_cancelled_read_leaves_nothing_running(chains: ChainMaker, usdt: Contract, proxies: Three) -> None:
    for proxy in proxies:
        proxy.mode = Mode.SILENT
    chain = chains(*proxies, quorum=3, timeout=timedelta(seconds=30))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(chain.scan(1, 4), 1)
    mine = [task for task in asyncio.all_tasks() if "chains" in repr(task.get_coro())]
    assert mine == []


async def test_a_killed_node_is_an_error_and_never_an_empty_answer(node: Anvil, chains: ChainMaker) -> None:
    chain = chains()
    await node.mine(3)
    await chain.head()
    node.stop()
    for ask in (chain.head, lambda: chain.scan(1, 2), lambda: chain.block_hash(1)):
        with pytest.raises(ChainError):
            await ask()
    (status,) = await chain.endpoints()
    assert not status.is_healthy
    assert status.height is None
