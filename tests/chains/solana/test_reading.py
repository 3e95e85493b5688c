"""Reading blocks from Solana nodes that skip, lag, lie, cut short and forget (SOL-12, NODE, DEP-08)."""

import copy
from datetime import timedelta

import pytest
from tests.chains.solana.network import SolanaNetwork, coin
from tests.chains.solana.wallets import person
from tests.nodes.proxy import Mode, Proxy, RpcError

from bitlinkpay.chains.base import ChainError, ForkedBlock, GapError, NotEnoughAnswers, WrongChain
from bitlinkpay.chains.solana.chain import SolanaChain, SolanaOptions
from bitlinkpay.chains.solana.wire import Malformed
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.core.errors import Invalid

PATIENT = SolanaOptions(patience=timedelta(seconds=60))
SHOP = str(person(0xA1).pubkey())
Three = tuple[Proxy, Proxy, Proxy]


async def paid(network: SolanaNetwork, units: int = 5_000_000) -> int:
    """Pay the shop and return the slot of the payment, final."""
    txid = await network.fund(SHOP, coin(), units)
    await network.finalize()
    return network.outcome(txid)[0].slot


async def test_SOL_12_skipped_slots_are_no_gap_and_no_block(network, chains) -> None:
    await network.mine(40)
    chain = chains(range_max=100)
    final = (await chain.head()).final.height
    blocks = await chain.scan(1, final)
    heights = [block.height for block in blocks]
    skipped = sorted(set(range(1, final + 1)) - set(heights))
    assert len(skipped) >= 5
    assert all(slot % network.ledger.skip_every == 0 for slot in skipped)
    assert [b.parent for b in blocks[1:]] == [b.hash for b in blocks[:-1]]
    assert blocks[0].parent == network.ledger.genesis_hash
    for slot in skipped:
        assert await chain.block_hash(slot) is None
        assert await chain.scan(slot, slot) == []
    assert await chain.block_hash(heights[3]) == blocks[3].hash
    assert await chain.block_hash(final + 100) is None


async def test_SOL_12_a_whole_range_of_skipped_slots_is_proved_by_the_next_block(
    network, chains, proxies: Three
) -> None:
    network.ledger.skip_every = 0
    network.ledger._slot = 1100
    await network.mine(10)
    chain = chains(proxies[0])
    assert await chain.scan(1050, 1090) == []
    assert (await chain.scan(1050, 1101))[0].height == 1101

    def forgetful(method: str, params: list[object], result: object) -> object:
        """Pretend that the block before the long gap stands within it."""
        return result | {"parentSlot": 1060} if method == "getBlock" and params[0] == 1101 else result

    proxies[0].edit = forgetful
    for first, last in ((1050, 1090), (1050, 1101)):
        with pytest.raises(GapError, match="1060"):
            await chain.scan(first, last)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32007, "Slot was skipped, or missing due to ledger jump to recent snapshot"),
        (-32009, "Slot was skipped, or missing in long-term storage"),
        (-32004, "Block not available for slot"),
        (-32001, "Block cleaned up, does not exist on node. First available block"),
        (-32014, "Block status not yet available for slot"),
        (-32019, "Failed to query long-term storage; please try again"),
    ],
)
async def test_SOL_12_a_block_that_a_node_lacks_is_a_gap(
    network, chains, proxies: Three, code: int, message: str
) -> None:
    slot = await paid(network)

    def lacking(method: str, params: list[object], result: object) -> object:
        if method == "getBlock" and params[0] == slot:
            raise RpcError(code, message)
        return result

    proxies[0].edit = lacking
    chain = chains(proxies[0])
    with pytest.raises(GapError):
        await chain.scan(slot, slot)
    with pytest.raises(GapError):
        await chain.block_hash(slot)
    proxies[0].edit = None
    assert [t.units for b in await chain.scan(slot, slot) for t in b.transfers if t.target == SHOP] == [5_000_000]


async def test_SOL_12_a_block_left_out_of_the_list_is_a_gap(network, chains, proxies: Three) -> None:
    slot = await paid(network)

    def hiding(method: str, _params: list[object], result: object) -> object:
        return [each for each in result if each != slot] if method in {"getBlocks", "getBlocksWithLimit"} else result

    proxies[0].edit = hiding
    chain = chains(proxies[0])
    for first, last in ((slot - 3, slot + 3), (slot, slot + 1), (slot, slot)):
        with pytest.raises(GapError):
            await chain.scan(first, last)
    with pytest.raises(GapError):
        await chain.block_hash(slot)
    ahead = await chain.scan(slot - 3, slot - 1)
    assert ahead[-1].height < slot, "what lies before it is whole"


async def test_DEP_08_a_pruned_node_shows_a_gap(network, chains) -> None:
    slot = await paid(network)
    network.nodes[0].first = slot + 1
    with pytest.raises(GapError):
        await chains().scan(slot, slot + 2)
    with pytest.raises(GapError):
        await chains().scan(slot, slot)
    with pytest.raises(GapError):
        await chains().block_hash(slot)
    network.nodes[0].first = 0
    assert (await chains().scan(slot, slot))[0].height == slot


async def test_NODE_05_a_lagging_node_neither_leads_nor_holds_back() -> None:
    async with SolanaNetwork.start(nodes=3) as network:
        await network.mine(30)
        slot = await paid(network)
        network.nodes[0].behind = 20
        chain = make(network, quorum=2)
        head = await chain.head()
        assert head.final.height == network.ledger.final.slot
        assert len((await chain.scan(slot, slot))[0].transfers) == 1, "its lack of the block is no empty block"
        network.nodes[1].behind = 20
        with pytest.raises(ChainError):
            await chain.scan(slot, slot)
        assert (await chain.head()).final == head.final, "final never goes backwards"
        network.nodes[1].behind = 0
        assert len((await chain.scan(slot, slot))[0].transfers) == 1
        await chain.aclose()


def make(network: SolanaNetwork, *, quorum: int) -> SolanaChain:
    ends = [Endpoint(url) for url in network.urls]
    return SolanaChain(network.row(), [coin()], ends, quorum=quorum, options=PATIENT)


async def test_a_node_far_behind_is_shown_to_the_operator() -> None:
    async with SolanaNetwork.start(nodes=2) as network:
        await network.mine(180)
        network.nodes[1].behind = 170
        chain = make(network, quorum=1)
        good, late = await chain.endpoints()
        assert (good.is_healthy, late.is_healthy) == (True, False)
        assert "behind" in late.error
        await chain.aclose()


def lie_amount(block: dict[str, object]) -> dict[str, object]:
    for tx in block["transactions"]:
        tx["meta"]["postBalances"][1] += 10**9
    return block


def lie_target(block: dict[str, object]) -> dict[str, object]:
    for tx in block["transactions"]:
        tx["transaction"]["message"]["accountKeys"][1] = str(person(0xBAD).pubkey())
    return block


def lie_failure(block: dict[str, object]) -> dict[str, object]:
    for tx in block["transactions"]:
        tx["meta"]["err"] = {"InstructionError": [0, {"Custom": 1}]}
    return block


def drop_transactions(block: dict[str, object]) -> dict[str, object]:
    return block | {"transactions": []}


def lie_hash(block: dict[str, object]) -> dict[str, object]:
    return block | {"blockhash": block["previousBlockhash"]}


def edited(change: object) -> object:
    def edit(method: str, params: list[object], result: object) -> object:
        is_full = method == "getBlock" and params[1]["transactionDetails"] == "full" and result["transactions"]
        return change(copy.deepcopy(result)) if is_full else result

    return edit


@pytest.mark.parametrize("lie", [lie_amount, lie_target, lie_failure, drop_transactions, lie_hash])
async def test_NODE_01_one_liar_of_three_is_outvoted_and_set_aside(
    network, chains, proxies: Three, lie: object
) -> None:
    a, b, c = proxies
    slot = await paid(network)
    a.edit = edited(lie)
    chain = chains(a, b, c, quorum=2)
    (block,) = await chain.scan(slot, slot)
    assert [(t.target, t.units) for t in block.transfers] == [(SHOP, 5_000_000)]
    statuses = {status.url: status for status in await chain.endpoints()}
    assert (statuses[a.url].is_healthy, statuses[b.url].is_healthy) == (False, True)
    b.mode = c.mode = Mode.RESET
    with pytest.raises(ChainError):
        await chain.scan(slot, slot)


async def test_NODE_02_two_endpoints_of_one_operator_cannot_lie_together(network, chains, proxies: Three) -> None:
    a, b, c = proxies
    slot = await paid(network)
    a.edit = b.edit = edited(lie_amount)
    ends = [Endpoint(a.url, operator="one"), Endpoint(b.url, operator="one"), Endpoint(c.url, operator="two")]
    chain = SolanaChain(network.row(), [coin()], ends, quorum=2, options=PATIENT)
    with pytest.raises(NotEnoughAnswers):
        await chain.scan(slot, slot)
    await chain.aclose()
    with pytest.raises(Invalid, match="quorum"):
        SolanaChain(network.row(), [coin()], ends, quorum=3)


async def test_NODE_06_a_node_of_another_cluster_is_refused_at_each_connect(network, chains, proxies: Three) -> None:
    a, b, _ = proxies
    other = str(person(9).pubkey())
    a.edit = lambda method, _params, result: other if method == "getGenesisHash" else result
    slot = await paid(network)
    with pytest.raises(WrongChain):
        await chains(a).head()
    chain = chains(a, b)
    assert (await chain.scan(slot, slot))[0].height == slot
    first, second = await chain.endpoints()
    assert (first.is_healthy, second.is_healthy) == (False, True)
    with pytest.raises(ChainError):
        await chains(a, b, quorum=2).scan(slot, slot)


async def test_final_never_goes_backwards_and_a_replaced_final_block_is_told(network, chains) -> None:
    await network.mine(20)
    chain = chains()
    reached = (await chain.head()).final
    network.nodes[0].behind = 10
    assert (await chain.head()).final == reached
    network.nodes[0].behind = 0
    await network.reorg(15)
    replaced = (await chain.head()).final
    assert replaced.height == reached.height
    assert replaced.hash != reached.hash, "the watcher sees it by the hash, stops and calls a person"


async def test_blocks_that_change_while_they_are_read_are_thrown_away(network, chains, proxies: Three) -> None:
    slot = await paid(network)
    await network.finalize()

    def other_branch(method: str, params: list[object], result: object) -> object:
        if method == "getBlock" and params[0] == slot:
            return result | {"blockhash": str(person(3).pubkey())}
        return result

    proxies[0].edit = other_branch
    with pytest.raises(ForkedBlock):
        await chains(proxies[0]).scan(slot, slot + 2)


async def test_calls_of_a_range_are_two_and_one_a_block_with_each_endpoint(network, chains, proxies: Three) -> None:
    a, b, c = proxies
    await network.mine(30)
    chain = chains(a, b, c, quorum=2)
    await chain.head()
    for each in proxies:
        each.calls.clear()
    blocks = await chain.scan(2, 10)
    assert (a.counts, b.counts, c.calls) == ({"getSlot": 1, "getBlocks": 1, "getBlock": len(blocks)}, a.counts, [])


@pytest.mark.parametrize(
    "mode", [mode for mode in Mode if mode not in {Mode.HONEST, Mode.SILENT, Mode.DRIP, Mode.HUGE}]
)
async def test_NODE_09_broken_answers_are_refused(network, chains, proxies: Three, mode: Mode) -> None:
    slot = await paid(network)
    chain = chains(proxies[0])
    assert len(await chain.scan(slot, slot)) == 1
    proxies[0].mode = mode
    if mode is not Mode.OBJECT:  # an object in place of a list of one is the form of a single answer
        with pytest.raises(ChainError):
            await chain.scan(slot, slot + 1)
    proxies[0].mode = Mode.HONEST


def without(*names: str) -> object:
    def change(block: dict[str, object]) -> dict[str, object]:
        for tx in block["transactions"]:
            at = tx
            for name in names[:-1]:
                at = at[name]
            del at[names[-1]]
        return block

    return change


def having(value: object, *names: str | int) -> object:
    def change(block: dict[str, object]) -> dict[str, object]:
        for tx in block["transactions"]:
            at = tx
            for name in names[:-1]:
                at = at[name]
            at[names[-1]] = value
        return block

    return change


WRONG = {
    "no balances": without("meta", "postBalances"),
    "no token balances": without("meta", "preTokenBalances"),
    "no error field": without("meta", "err"),
    "other number of balances": having([1, 2], "meta", "preBalances"),
    "negative balance": having(-1, "meta", "preBalances", 0),
    "no signature": having([], "transaction", "signatures"),
    "short signature": having(["abc"], "transaction", "signatures"),
    "newer version": having(2, "version"),
    "instructions of another form": having({"a": 1}, "transaction", "message", "instructions"),
    "program out of range": having(99, "transaction", "message", "instructions", 0, "programIdIndex"),
    "accounts out of range": having([99, 1], "transaction", "message", "instructions", 0, "accounts"),
    "data not in Base58": having("0OIl", "transaction", "message", "instructions", 0, "data"),
    "address too long": having("1" * 44, "transaction", "message", "accountKeys", 1),
}
MISSING = {
    "no outcome": having(None, "meta"),
    "inner calls not kept": having(None, "meta", "innerInstructions"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_block_of_another_form_is_refused(network, chains, proxies: Three, name: str) -> None:
    slot = await paid(network)
    proxies[0].edit = edited(WRONG[name])
    with pytest.raises(Malformed):
        await chains(proxies[0]).scan(slot, slot)


@pytest.mark.parametrize("name", MISSING)
async def test_NODE_13_what_a_node_did_not_keep_is_a_gap(network, chains, proxies: Three, name: str) -> None:
    slot = await paid(network)
    proxies[0].edit = edited(MISSING[name])
    with pytest.raises(GapError):
        await chains(proxies[0]).scan(slot, slot)


async def test_a_block_without_a_time_or_with_a_wrong_parent_is_refused(network, chains, proxies: Three) -> None:
    slot = await paid(network)
    for change, error in (
        ({"blockTime": None}, GapError),
        ({"blockTime": 10**20}, Malformed),
        ({"parentSlot": slot}, Malformed),
    ):
        proxies[0].edit = edited(lambda block, change=change: block | change)
        with pytest.raises(error):
            await chains(proxies[0]).scan(slot, slot)


async def test_fate_of_what_nobody_knows_and_of_what_is_no_id(chains) -> None:
    chain = chains()
    for wrong in ("", "abc", "0x" + "ab" * 32, "1" * 89, SHOP):
        with pytest.raises(Invalid):
            await chain.fate(wrong)
    assert (await chain.fate("1" * 64)).state.value == "unknown"
