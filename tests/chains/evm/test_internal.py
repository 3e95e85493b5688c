"""Native coin without a transaction of its own: found by balance, named by traces, never invented (EVM-08, EVM-10)."""

import msgspec
import pytest
from tests.chains.evm.conftest import ChainMaker
from tests.chains.evm.published import block, expected, names, trace
from tests.chains.evm.rows import coin, token
from tests.nodes.anvil import Anvil
from tests.nodes.proxy import Proxy, RpcError

from bitlinkpay.chains.base import Arrival, Block, ChainError, GapError, NotEnoughAnswers, Transfer
from bitlinkpay.chains.codec.evm import parse
from bitlinkpay.chains.evm.access import EvmOptions
from bitlinkpay.chains.evm.chain import EvmChain
from bitlinkpay.chains.evm.internal import read_flows, read_trace
from bitlinkpay.chains.evm.reader import Sealed
from bitlinkpay.chains.evm.wire import Frame, TraceItem, Withdrawal

OURS = parse("0x" + "a1" * 20)
SEND = "send(address,uint256)"
UNDONE = "sendUndone(address,uint256)"
HALF = "sendHalfUndone(address,uint256,uint256)"
NO_TRACES = EvmOptions(traces=False)


async def located(chain: EvmChain, node: Anvil, first: int = 0) -> list[tuple[Block, Transfer]]:
    return list(await chain.locate(coin(), OURS, first, await node.height()))


def no_trace(method: str, _params: list[object], result: object) -> object:
    if method.startswith("debug_"):
        raise RpcError(-32601, "the method does not exist")
    return result


async def test_EVM_08_an_inner_payment_that_is_undone_never_counts(node: Anvil, chains: ChainMaker) -> None:
    inner = await node.deploy("InnerSender")
    chain = chains()
    txid = await inner.send(UNDONE, OURS, 9, value=100)
    await node.mine()
    assert (await node.receipt(txid))["status"] == "0x1", "the outer transaction succeeds"
    assert await located(chain, node) == []
    txid = await inner.send(HALF, OURS, 7, 9, value=100)
    await node.mine(3)
    ((found_in, found),) = await located(chain, node)
    assert found == Transfer("eth-devnet", txid, "internal:0", parse(inner.address), OURS, "", 7, Arrival.INTERNAL)
    assert found_in.transfers == ()
    (scanned,) = await chain.scan(found_in.height, found_in.height)
    assert (found_in.hash, found_in.parent, found_in.time) == (scanned.hash, scanned.parent, scanned.time)
    assert [t for t in scanned.transfers if t.target == OURS] == []


async def test_EVM_08_without_traces_the_balance_alone_decides(node: Anvil, chains: ChainMaker) -> None:
    inner = await node.deploy("InnerSender")
    chain = chains(options=NO_TRACES)
    await inner.send(UNDONE, OURS, 9, value=100)
    await node.mine()
    assert await located(chain, node) == []
    txid = await inner.send(HALF, OURS, 7, 9, value=100)
    await node.transfer(parse("0x" + "77" * 20), 5)
    await node.mine()
    ((_, found),) = await located(chain, node)
    assert found == Transfer("eth-devnet", txid, f"internal:{'a1' * 20}", "", OURS, "", 7, Arrival.INTERNAL)


async def test_without_traces_two_candidates_leave_the_block_as_the_only_sure_name(
    node: Anvil, chains: ChainMaker
) -> None:
    inner = await node.deploy("InnerSender")
    chain = chains(options=NO_TRACES)
    await inner.send(SEND, OURS, 5, value=5)
    await inner.send(SEND, OURS, 6, value=6, sender=node.accounts[1])
    await node.mine()
    ((block_, found),) = await located(chain, node)
    assert (found.txid, found.units) == (block_.hash, 11)


async def test_endpoints_without_the_trace_method_are_noticed_once(
    node: Anvil, chains: ChainMaker, proxies: tuple[Proxy, Proxy, Proxy]
) -> None:
    proxy = proxies[0]
    proxy.edit = no_trace
    inner = await node.deploy("InnerSender")
    chain = chains(proxy)
    await inner.send(SEND, OURS, 5, value=5)
    await node.mine()
    for _ in range(3):
        ((_, found),) = await located(chain, node)
        assert (found.position, found.units) == (f"internal:{'a1' * 20}", 5)
    assert proxy.counts["debug_traceBlockByHash"] == 1


async def test_a_tracer_that_fails_otherwise_stops_the_search(
    node: Anvil, chains: ChainMaker, proxies: tuple[Proxy, Proxy, Proxy]
) -> None:
    proxy = proxies[0]
    inner = await node.deploy("InnerSender")
    chain = chains(proxy)
    await inner.send(SEND, OURS, 5, value=5)
    await node.mine()
    proxy.edit = lambda method, _, result: [] if method.startswith("debug_") else result
    with pytest.raises(ChainError, match="0 traces for 1 transactions"):
        await located(chain, node)
    proxy.edit = None
    assert len(await located(chain, node)) == 1


@pytest.mark.parametrize("lie", ["more", "less", "other target", "reverted as good"])
async def test_EVM_08_a_lying_tracer_can_t_make_the_sum_fit(
    node: Anvil, chains: ChainMaker, proxies: tuple[Proxy, Proxy, Proxy], lie: str
) -> None:
    proxy = proxies[0]
    inner = await node.deploy("InnerSender")
    chain = chains(proxy)
    await inner.send(HALF, OURS, 7, 9, value=100)
    await node.mine()

    def edit(method: str, _: list[object], result: object) -> object:
        if method.startswith("debug_"):
            undone, kept = result[0]["result"]["calls"]
            match lie:
                case "more":
                    kept["value"] = "0x70"
                case "less":
                    kept["value"] = "0x1"
                case "other target":
                    kept["to"] = "0x" + "99" * 20
                case "reverted as good":
                    del undone["error"]
        return result

    proxy.edit = edit
    with pytest.raises(ChainError, match="traces do not explain"):
        await located(chain, node)
    proxy.edit = None
    assert len(await located(chain, node)) == 1


async def test_EVM_10_a_bequest_is_system_money_beside_an_inner_payment(node: Anvil, chains: ChainMaker) -> None:
    bequest, inner = await node.deploy("Bequest", value=50), await node.deploy("InnerSender")
    chain = chains()
    left = await bequest.send("leaveTo(address)", OURS)
    paid = await inner.send(SEND, OURS, 8, value=8, sender=node.accounts[1])
    await node.mine()
    found = {t.txid: (t.arrival, t.units, t.source) for _, t in await located(chain, node)}
    assert found == {
        left: (Arrival.SYSTEM, 50, parse(bequest.address)),
        paid: (Arrival.INTERNAL, 8, parse(inner.address)),
    }


@pytest.mark.parametrize("traces", [True, False])
async def test_EVM_10_a_block_reward_is_system_money(node: Anvil, chains: ChainMaker, traces: bool) -> None:
    chain = chains(options=EvmOptions(traces=traces))
    await node.rpc("anvil_setCoinbase", OURS)
    await node.transfer(parse("0x" + "77" * 20), 5)
    await node.mine()
    ((block_, found),) = await located(chain, node)
    assert (found.txid, found.position, found.arrival, found.source) == (block_.hash, "reward", Arrival.SYSTEM, "")
    assert [found.units] == list(await chain.balances(coin(), [OURS], block_.height))


def test_EVM_10_a_withdrawal_is_system_money_of_its_own() -> None:
    whole, receipts = block(names("blocks")[0])
    heir = parse(whole.withdrawals[0].address)
    flows = read_flows(Sealed(whole, receipts), heir)
    assert flows.withdrawals == ((6, 100 * 10**9),)
    whole.withdrawals.append(Withdrawal(index="0x7", address=heir.lower(), amount="0x0"))
    assert read_flows(Sealed(whole, receipts), heir).withdrawals == flows.withdrawals
    assert read_flows(Sealed(whole, receipts), OURS).withdrawals == ()


async def test_what_a_scan_sees_is_not_located_again(node: Anvil, chains: ChainMaker) -> None:
    inner = await node.deploy("InnerSender")
    chain = chains()
    await node.transfer(OURS, 1_000)
    await inner.send(SEND, OURS, 5, value=5, sender=node.accounts[1])
    await node.mine()
    await node.transfer(OURS, 2_000)
    await node.mine()
    ((_, found),) = await located(chain, node)
    assert found.units == 5


async def test_spending_with_gas_is_accounted_for(node: Anvil, chains: ChainMaker) -> None:
    me = parse(node.accounts[4])
    inner = await node.deploy("InnerSender")
    chain = chains()
    await node.transfer(OURS, 10**18, sender=me)
    await inner.send(SEND, me, 5, value=5)
    failing = await inner.send(SEND, OURS, 10**20, value=0, sender=me)
    await node.mine()
    assert (await node.rpc("eth_getTransactionReceipt", failing))["status"] == "0x0"
    ((_, found),) = await chain.locate(coin(), me, 1, await node.height())
    assert (found.units, found.position) == (5, "internal:0")


async def test_an_inner_payment_and_an_outflow_of_a_delegated_address_in_one_block(
    node: Anvil, chains: ChainMaker
) -> None:
    """An address whose code forwards what comes in: its balance falls in total, and the payment is named all the same."""
    code = await node.deploy("Delegate")
    ours = await node.deploy("Delegate", value=0)
    inner = await node.deploy("InnerSender")
    await node.send(to=ours.address, value=40)
    await node.mine()
    run = "run(address[],uint256[],bytes[])"
    await inner.send(SEND, ours.address, 5, value=5, sender=node.accounts[1])
    await ours.send(run, [code.address], [30], [b""], sender=node.accounts[2])
    await node.mine()
    height = await node.height()
    ((_, found),) = await chains().locate(coin(), parse(ours.address), height, height)
    assert found.units == 5


async def test_a_long_range_is_searched_in_few_requests(
    node: Anvil, chains: ChainMaker, proxies: tuple[Proxy, Proxy, Proxy]
) -> None:
    proxy = proxies[0]
    inner = await node.deploy("InnerSender")
    chain = chains(proxy)
    await node.mine(700)
    txids = []
    for units in (5, 6, 7):
        txids.append(await inner.send(SEND, OURS, units, value=units))
        await node.mine(300)
    before = proxy.requests
    found = await located(chain, node)
    assert [t.txid for _, t in found] == txids
    assert [t.units for _, t in found] == [5, 6, 7]
    assert proxy.requests - before < 40


async def test_tokens_are_never_located(node: Anvil, chains: ChainMaker) -> None:
    usdt = await node.deploy("DollarToken")
    asset = token(usdt.address)
    await usdt.send("transfer(address,uint256)", OURS, 5)
    await node.mine()
    assert await chains(assets=[asset]).locate(asset, OURS, 0, await node.height()) == []


async def test_NODE_13_a_node_without_old_state_leaves_a_gap(
    node: Anvil, chains: ChainMaker, proxies: tuple[Proxy, Proxy, Proxy]
) -> None:
    pruned, full, _ = proxies

    def edit(method: str, _: list[object], result: object) -> object:
        if method == "eth_getBalance":
            raise RpcError(-32000, "missing trie node")
        return result

    pruned.edit = edit
    await node.transfer(OURS, 5)
    await node.mine()
    with pytest.raises(GapError, match="missing trie node"):
        await chains(pruned).balances(coin(), [OURS], 1)
    with pytest.raises(NotEnoughAnswers):
        await chains(pruned, full, quorum=2).balances(coin(), [OURS], 1)
    assert list(await chains(pruned, full).balances(coin(), [OURS], 1)) == [5]


async def test_balances_are_read_500_a_request(
    node: Anvil, chains: ChainMaker, proxies: tuple[Proxy, Proxy, Proxy]
) -> None:
    proxy = proxies[0]
    chain = chains(proxy)
    addresses = [parse("0x" + f"{i:040x}") for i in range(1, 1201)]
    await node.transfer(addresses[700], 9)
    await node.mine()
    await chain.head()
    before = proxy.requests
    balances = await chain.balances(coin(), addresses, 1)
    assert [i for i, units in enumerate(balances) if units] == [700]
    assert proxy.requests - before == 1 + 3
    assert list(await chain.balances(coin(), [], 1)) == []


@pytest.mark.parametrize("source", names("traces"))
def test_published_traces_give_exactly_the_moves_that_lasted(source: str) -> None:
    items = trace(source)
    txids = [item.tx_hash or "0x" + "ee" * 32 for item in items]
    moves = read_trace(items, txids)
    assert [[m.ordinal, m.kind, m.source, m.target, m.units] for m in moves] == [
        [ordinal, kind, parse(frm), parse(to), units]
        for _, ordinal, kind, frm, to, units in expected("traces", source, "moves")
    ]
    assert all(m.txid in txids for m in moves)


def test_traces_of_other_transactions_are_refused() -> None:
    items = trace(names("traces")[1])
    with pytest.raises(ChainError, match="not those"):
        read_trace(items, ["0x" + "00" * 32])
    with pytest.raises(ChainError, match="1 traces for 2"):
        read_trace(items, [items[0].tx_hash, "0x" + "00" * 32])


def test_a_trace_as_deep_as_the_evm_allows_is_walked() -> None:
    frame = Frame(type="CALL", sender="0x" + "01" * 20, to=OURS, value="0x5")
    for _ in range(1024):
        frame = Frame(type="CALL", sender="0x" + "01" * 20, to="0x" + "02" * 20, value="0x0", calls=[frame])
    (move,) = read_trace([TraceItem(result=frame)], ["0x" + "00" * 32])
    assert move.units == 5


def test_a_move_to_oneself_is_none_and_keeps_the_count() -> None:
    self_call = Frame(type="CALL", sender=OURS.lower(), to=OURS.lower(), value="0x5")
    real = Frame(type="CALL", sender="0x" + "01" * 20, to=OURS.lower(), value="0x6")
    dead = Frame(type="DELEGATECALL", sender="0x" + "01" * 20, to=OURS.lower(), value="0x7")
    root = Frame(type="CALL", sender="0x" + "01" * 20, to="0x" + "02" * 20, calls=[self_call, dead, real])
    (move,) = read_trace([TraceItem(result=root)], ["0x" + "00" * 32])
    assert (move.ordinal, move.units) == (1, 6)


def test_a_failed_root_undoes_everything_below_it() -> None:
    paid = Frame(type="CALL", sender="0x" + "01" * 20, to=OURS, value="0x6")
    root = msgspec.structs.replace(paid, calls=[paid], error="out of gas")
    assert read_trace([TraceItem(result=root)], ["0x" + "00" * 32]) == []
