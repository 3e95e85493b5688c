"""Indexers that lag, lie, cut short, fall silent or serve another network (NODE-01 to NODE-13), beside honest ones."""

import asyncio
import copy
from base64 import b64encode
from dataclasses import replace

import pytest
from tests.chains.ton.conftest import OURS, PATIENT, QUICK, ChainMaker, arrived, scan, shown
from tests.chains.ton.network import GENESIS, PAYER, TON, TonNetwork, coin, row
from tests.chains.ton.proxy import TonProxy

from bitlinkpay.chains.base import ChainError, FateState, ForkedBlock, GapError, NotEnoughAnswers, WrongChain
from bitlinkpay.chains.token import TokenProbe, objections
from bitlinkpay.chains.ton.chain import TonChain, TonOptions
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Invalid
from bitlinkpay.deposits.assets.examining import examine

Three = tuple[TonProxy, TonProxy, TonProxy]
TAG = "123456789"


async def paid(network: TonNetwork) -> tuple[int, int]:
    """Have one payment in the second of three blocks."""
    first = await network.mine()
    await network.pay(OURS, TON, TAG)
    await network.mine()
    return first, await network.mine()


def of(blocks: object) -> list[tuple[str, str, int]]:
    return shown([transfer for block in blocks for transfer in block.transfers])


GENUINE = [("ton-ton", TAG, TON)]


def more(path: str, query: object, answer: dict) -> dict:
    """Say that more came than did."""
    answer = copy.deepcopy(answer)
    for told in answer["transactions"] if path == "/transactions" else []:
        told["in_msg"]["value"] = str(5 * TON)
    return answer


async def test_the_head_is_the_newest_block_and_final(network: TonNetwork, chains: ChainMaker) -> None:
    height = await network.mine(3)
    chain = chains()
    head = await chain.head()
    assert (head.final.height, head.latest) == (height, head.final)
    assert await chain.block_hash(height) == head.final.hash
    assert await chain.block_hash(height + 1) is None
    await network.mine()
    assert (await chain.head()).final.height == height + 1


async def test_the_number_of_calls_does_not_grow_with_the_blocks(
    network: TonNetwork, proxies: Three, usdt: Asset, chains: ChainMaker
) -> None:
    first = await network.mine()
    for n in range(31):
        await network.pay(OURS, 1 + n)
        await network.mine()
    chain = chains(proxies[0].url, assets=[usdt])
    head = await chain.head()
    await chain.scan(first, first)
    proxies[0].calls.clear()
    blocks = await chain.scan(first + 1, head.final.height)
    assert len(blocks) == 31
    assert proxies[0].counts == {"/blocks": 1, "/accountStates": 1, "/transactions": 1}
    proxies[0].calls.clear()
    await network.mine(10)
    assert len(await chain.scan(head.final.height + 1, head.final.height + 10)) == 10
    assert proxies[0].counts == {"/blocks": 1, "/accountStates": 1}  # nobody moved


async def test_a_range_is_cut_and_goes_on_without_a_gap(network: TonNetwork, chains: ChainMaker) -> None:
    first, last = await paid(network)
    chain = chains(options=TonOptions(range_max=1))
    assert len(await chain.scan(first, last)) == 1
    blocks = await scan(chain, first)
    assert [block.height for block in blocks] == [first, first + 1, last]
    assert of(blocks) == GENUINE


async def test_NODE_01_one_of_three_lies_and_is_set_aside(
    network: TonNetwork, proxies: Three, chains: ChainMaker
) -> None:
    first, last = await paid(network)
    proxies[0].edit = more
    chain = chains(*(proxy.url for proxy in proxies), quorum=2)
    assert of(await chain.scan(first, last)) == GENUINE
    assert [status.is_healthy for status in await chain.endpoints()] == [False, True, True]


async def test_NODE_01_two_that_differ_credit_nothing(network: TonNetwork, proxies: Three, chains: ChainMaker) -> None:
    first, last = await paid(network)
    proxies[0].edit = more
    with pytest.raises(NotEnoughAnswers):
        await chains(proxies[0].url, proxies[1].url, quorum=2).scan(first, last)


async def test_NODE_02_two_endpoints_of_one_operator_count_once(network: TonNetwork, proxies: Three) -> None:
    two = [Endpoint(proxy.url, operator="one") for proxy in proxies[:2]]
    with pytest.raises(Invalid):
        TonChain(row(), [coin()], two, wallet=OURS, quorum=2)
    chain = TonChain(row(), [coin()], [*two, Endpoint(proxies[2].url)], wallet=OURS, quorum=2, options=PATIENT)
    first, last = await paid(network)
    proxies[0].edit = proxies[1].edit = more
    with pytest.raises(NotEnoughAnswers):
        await chain.scan(first, last)
    await chain.aclose()


async def test_NODE_03_the_liar_alone_is_never_enough(network: TonNetwork, proxies: Three, chains: ChainMaker) -> None:
    first, last = await paid(network)
    proxies[0].edit, proxies[1].status, proxies[2].status = more, 503, 503
    with pytest.raises(ChainError):
        await chains(*(proxy.url for proxy in proxies), quorum=2).scan(first, last)


async def test_NODE_05_a_node_behind_is_not_asked_to_be_the_end(
    network: TonNetwork, proxies: Three, chains: ChainMaker
) -> None:
    await network.mine(30)
    first, last = await paid(network)
    proxies[0].target = network.lagging(20)
    chain = chains(proxies[0].url, proxies[1].url)
    assert (await chain.head()).final.height == last
    assert of(await chain.scan(first, last)) == GENUINE
    both = chains(proxies[0].url, proxies[1].url, quorum=2)
    assert (await both.head()).final.height == last - 20
    with pytest.raises(ChainError):
        await both.scan(first, last)
    with pytest.raises(GapError):
        await chains(proxies[0].url).scan(first, last)


async def test_NODE_05_a_node_behind_by_the_clock_is_refused_and_shown(network: TonNetwork, chains: ChainMaker) -> None:
    await network.advance(-600)
    await network.mine(3)
    chain = chains()
    with pytest.raises(ChainError, match="s behind"):
        await chain.head()
    (status,) = await chain.endpoints()
    assert (status.is_healthy, "s behind" in status.error) == (False, True)
    await network.advance(600)
    await network.mine()
    assert (await chain.head()).final.height == status.height + 1
    assert (await chain.endpoints())[0].is_healthy


async def test_NODE_06_a_fork_after_what_was_final_stops_everything(
    network: TonNetwork, proxies: Three, chains: ChainMaker
) -> None:
    height = await network.mine(5)
    chain = chains(proxies[0].url)
    known = await chain.head()
    proxies[0].target = network.lagging(2)
    assert await chain.head() == known  # a node behind takes nothing back
    before = (await network.api("/blocks", workchain="-1", seqno=str(height - 2)))["blocks"][0]
    await network.control("identity", global_id=-239, salt="fork")
    proxies[0].target = network.url
    proxies[0].edit = lambda path, query, answer: {"last": before} if path == "/masterchainInfo" else answer
    with pytest.raises(ForkedBlock):
        await chain.head()
    assert await chain.block_hash(height) != known.final.hash


async def test_a_range_that_does_not_join_the_last_one_is_a_fork(network: TonNetwork, chains: ChainMaker) -> None:
    first, last = await paid(network)
    chain = chains()
    await chain.scan(first, last)
    await network.mine()
    await network.control("identity", global_id=-239, salt="other")
    with pytest.raises(ForkedBlock):
        await chain.scan(last + 1, last + 1)


@pytest.mark.parametrize("global_id", [-3, 0, 42])
async def test_a_node_of_another_network_is_refused_for_a_minute(
    network: TonNetwork, proxies: Three, chains: ChainMaker, global_id: int
) -> None:
    first, last = await paid(network)

    def elsewhere(path: str, _: object, answer: dict) -> dict:
        if path == "/masterchainInfo":
            answer["last"]["global_id"] = global_id
        return answer

    proxies[0].edit = elsewhere
    with pytest.raises(WrongChain):
        await chains(proxies[0].url).scan(first, last)
    chain = chains(proxies[0].url, proxies[1].url)
    assert of(await chain.scan(first, last)) == GENUINE
    assert not (await chain.endpoints())[0].is_healthy


async def test_a_testnet_is_told_by_its_global_id(network: TonNetwork, chains: ChainMaker) -> None:
    first, last = await paid(network)
    with pytest.raises(WrongChain):
        await chains(testnet=True).head()
    await network.control("identity", global_id=-3, salt="t")
    assert of(await chains(testnet=True).scan(first, last)) == GENUINE


async def test_another_zero_state_is_another_network(network: TonNetwork) -> None:
    other = b64encode(bytes(32)).decode()
    chain = TonChain(row(genesis=other), [coin()], [Endpoint(network.url + "/")], wallet=OURS, quorum=1)
    with pytest.raises(WrongChain, match="zero state"):
        await chain.head()
    await chain.aclose()


async def test_an_endpoint_without_the_older_api_is_told_by_its_global_id_alone(
    network: TonNetwork, proxies: Three
) -> None:
    other = b64encode(bytes(32)).decode()
    proxied = TonChain(row(genesis=other), [coin()], [Endpoint(proxies[0].url)], wallet=OURS, quorum=1)
    assert (await proxied.head()).final.height == await network.mine(0)
    await proxied.aclose()
    bare = TonChain(row(genesis=GENESIS), [coin()], [Endpoint(network.base)], wallet=OURS, quorum=1)
    with pytest.raises(ChainError):
        await bare.head()
    await bare.aclose()


async def test_NODE_08_a_node_that_asks_for_fewer_calls_rests_and_nothing_is_skipped(
    network: TonNetwork, proxies: Three, chains: ChainMaker
) -> None:
    first, last = await paid(network)
    proxies[0].status = 429
    chain = chains(proxies[0].url)
    for _ in range(3):
        with pytest.raises(ChainError):
            await chain.scan(first, last)
    proxies[0].status = 0
    await asyncio.sleep(2.1)  # the rest after a third failure is a second at most, and one for a try within it
    assert of(await chain.scan(first, last)) == GENUINE


@pytest.mark.parametrize(
    "raw", [b"", b"null", b"[]", b"{}", b'{"last":[]}', b"<html>", b"[" * 100_000, b'{"last":{"seqno":-1}}']
)
async def test_NODE_09_answers_of_another_form_are_refused(proxies: Three, chains: ChainMaker, raw: bytes) -> None:
    proxies[0].raw = raw
    with pytest.raises(ChainError):
        await chains(proxies[0].url).head()


async def test_NODE_09_a_silent_node_gets_a_rival(network: TonNetwork, proxies: Three, chains: ChainMaker) -> None:
    first, last = await paid(network)
    proxies[0].is_silent = True
    chain = chains(proxies[0].url, proxies[1].url, options=QUICK)
    assert of(await chain.scan(first, last)) == GENUINE


async def test_NODE_13_an_old_block_that_is_not_there_is_a_gap_and_never_empty(
    network: TonNetwork, proxies: Three, chains: ChainMaker
) -> None:
    await network.mine(20)
    first, last = await paid(network)
    proxies[0].edit = lambda path, query, answer: (
        {"blocks": [b for b in answer["blocks"] if b["seqno"] != first + 1]} if path == "/blocks" else answer
    )
    with pytest.raises(GapError):
        await chains(proxies[0].url).scan(first, last)
    with pytest.raises(GapError):
        await chains(proxies[0].url).scan(5, 6)
    assert of(await chains(proxies[0].url, proxies[1].url).scan(first, last)) == GENUINE


@pytest.mark.parametrize("change", [{"workchain": 0}, {"root_hash": "x"}, {"gen_utime": str(10**17)}, {"seqno": 7}])
async def test_a_header_that_is_not_the_one_asked_for_is_refused(
    network: TonNetwork, proxies: Three, chains: ChainMaker, change: dict
) -> None:
    first, last = await paid(network)

    def other(path: str, _: object, answer: dict) -> dict:
        for block in answer["blocks"] if path == "/blocks" else []:
            block.update(change)
        return answer

    proxies[0].edit = other
    with pytest.raises(ChainError):
        await chains(proxies[0].url).scan(first, last)


async def test_blocks_of_one_second_may_come_in_any_order(
    network: TonNetwork, proxies: Three, chains: ChainMaker
) -> None:
    first, last = await paid(network)
    proxies[0].edit = lambda path, query, answer: {"blocks": answer["blocks"][::-1]} if path == "/blocks" else answer
    assert of(await chains(proxies[0].url).scan(first, last)) == GENUINE


async def test_balances_are_those_after_the_block_that_is_asked_for(
    network: TonNetwork, usdt: Asset, chains: ChainMaker
) -> None:
    chain = chains(assets=[usdt])
    heights, held = [await network.mine()], [0]
    for n in (1, 2, 3):
        await network.pay(OURS, n * TON)
        await network.pay_jettons(usdt.contract, OURS, n * 1000, forward=0)
        heights.append(await network.mine())
        held.append(await network.balance(coin(), OURS))
    # Nanotons of rent go with each second of the real clock, so what is left of 1, 3 and 6 TON is asked for.
    assert [round(units / TON, 6) for units in held] == [0, 1, 3, 6]
    assert [await chain.balances(coin(), [OURS], height) for height in heights] == [[units] for units in held]
    assert [await chain.balances(usdt, [OURS], height) for height in heights] == [[0], [1000], [3000], [6000]]
    stranger = "0:" + "ee" * 32
    assert await chain.balances(usdt, [OURS, stranger], heights[-1]) == [6000, 0]
    assert await chain.balances(coin(), [stranger, OURS], heights[-1]) == [0, held[-1]]


async def test_a_balance_that_is_not_told_is_a_gap(network: TonNetwork, proxies: Three, chains: ChainMaker) -> None:
    _, last = await paid(network)

    def untold(path: str, _: object, answer: dict) -> dict:
        for told in answer["transactions"] if path == "/transactions" else []:
            told["account_state_after"] = None
        return answer

    proxies[0].edit = untold
    with pytest.raises(GapError):
        await chains(proxies[0].url).balances(coin(), [OURS], last)


@pytest.mark.parametrize("field", ["owner", "jetton"])
async def test_another_jetton_wallet_than_asked_for_is_refused(
    network: TonNetwork, usdt: Asset, proxies: Three, chains: ChainMaker, field: str
) -> None:
    await network.pay_jettons(usdt.contract, OURS, 5)
    height = await network.mine()

    def other(path: str, _: object, answer: dict) -> dict:
        for wallet in answer["jetton_wallets"] if path == "/jetton/wallets" else []:
            wallet[field] = "0:" + "AB" * 32
        return answer

    assert await chains(proxies[0].url, assets=[usdt]).balances(usdt, [OURS], height) == [5]
    proxies[0].edit = other
    with pytest.raises(ChainError, match="other jetton wallets"):
        await chains(proxies[0].url, assets=[usdt]).balances(usdt, [OURS], height)


async def test_a_balance_that_the_history_does_not_explain_is_refused(
    network: TonNetwork, usdt: Asset, proxies: Three, chains: ChainMaker
) -> None:
    before = await network.mine()
    await network.pay_jettons(usdt.contract, OURS, 5)
    await network.mine()

    def less(path: str, _: object, answer: dict) -> dict:
        for wallet in answer["jetton_wallets"] if path == "/jetton/wallets" else []:
            wallet["balance"] = "1"
        return answer

    proxies[0].edit = less
    with pytest.raises(ChainError, match="does not explain"):
        await chains(proxies[0].url, assets=[usdt]).balances(usdt, [OURS], before)


@pytest.mark.parametrize("shown", [0, 1], ids=["nothing", "an older one"])
async def test_a_jetton_wallet_whose_last_transaction_is_not_shown_is_a_gap(
    network: TonNetwork, usdt: Asset, proxies: Three, chains: ChainMaker, shown: int
) -> None:
    await network.pay_jettons(usdt.contract, OURS, 5)
    await network.mine()
    await network.pay_jettons(usdt.contract, OURS, 7)
    height = await network.mine()
    assert await chains(proxies[0].url, assets=[usdt]).balances(usdt, [OURS], height) == [12]

    def behind(path: str, _: object, answer: dict) -> dict:
        return {**answer, "transactions": answer["transactions"][1:][:shown]} if path == "/transactions" else answer

    proxies[0].edit = behind
    with pytest.raises(ChainError, match="does not show the last transaction"):
        await chains(proxies[0].url, assets=[usdt]).balances(usdt, [OURS], height)


async def test_what_became_of_a_transaction(network: TonNetwork, usdt: Asset, chains: ChainMaker) -> None:
    first = await network.mine()
    await network.pay(OURS, TON, TAG)
    await network.pay_jettons(usdt.contract, OURS, 5, TAG)
    await network.pay(PAYER, 1, source=OURS)
    await network.mine()
    chain = chains(assets=[usdt])
    for transfer in await arrived(chain, first):
        fate = await chain.fate(transfer.txid)
        assert (fate.state, fate.transfers, fate.block.height) == (FateState.FINAL, (transfer,), first + 1)
    other = (await network.api("/transactions", account=PAYER, limit="1", sort="desc"))["transactions"][0]
    assert (await chain.fate(other["hash"])).state is FateState.FAILED  # aborted, at nobody's of ours
    assert (await chain.fate(other["in_msg"]["hash"])).block.height == first + 1
    assert (await chain.fate("A" * 43 + "=")).state is FateState.UNKNOWN
    with pytest.raises(Invalid):
        await chain.fate("0x" + "ab" * 32)


async def test_another_transaction_than_asked_for_is_refused(
    network: TonNetwork, proxies: Three, chains: ChainMaker
) -> None:
    first, _ = await paid(network)
    (found,) = await arrived(chains(), first)
    proxies[0].edit = lambda path, query, answer: (
        {"transactions": [t | {"hash": "B" * 43 + "="} for t in answer.get("transactions", [])]}
        if path == "/transactions"
        else answer
    )
    with pytest.raises(ChainError, match="another transaction"):
        await chains(proxies[0].url).fate(found.txid)


@pytest.mark.parametrize("change", [{"finality": "pending"}, {"emulated": True}, {"mc_block_seqno": None}])
async def test_a_transaction_that_is_not_committed_is_pending(
    network: TonNetwork, proxies: Three, chains: ChainMaker, change: dict
) -> None:
    first, _ = await paid(network)
    (found,) = await arrived(chains(), first)
    proxies[0].edit = lambda path, query, answer: (
        {"transactions": [t | change for t in answer["transactions"]]} if path == "/transactions" else answer
    )
    assert (await chains(proxies[0].url).fate(found.txid)).state is FateState.PENDING


async def test_no_money_hides_on_ton(chains: ChainMaker) -> None:
    assert await chains().locate(coin(), OURS, 1, 2) == []


async def test_DEP_22_a_jettons_own_words_are_held_against_the_row(
    network: TonNetwork, usdt: Asset, chains: ChainMaker
) -> None:
    chain = chains(assets=[usdt])
    assert isinstance(chain, TokenProbe)
    facts = await chain.probe(usdt)
    assert (facts.decimals, facts.symbol, facts.contract, facts.is_paused) == (6, "USDT", usdt.contract, False)
    assert objections(usdt, facts) == ()
    await network.control("content", master=usdt.contract, content={"decimals": "9", "symbol": "USDT"})
    assert "9 decimals, the registry 6" in objections(usdt, await chain.probe(usdt))[0]
    for content in ({"decimals": 6}, {}, {"decimals": "six"}, {"decimals": "999"}):
        await network.control("content", master=usdt.contract, content=content)
        assert objections(usdt, await chain.probe(usdt)) == ()  # EIP-20 and TEP-64 alike: a token need not tell


async def test_DEP_21_a_jetton_whose_code_changes_is_objected_to(
    network: TonNetwork, usdt: Asset, chains: ChainMaker
) -> None:
    accepted = await chains(assets=[usdt]).probe(usdt)
    assert accepted.code_hash != accepted.implementation_hash != ""
    for change in ({"code_hash": "x"}, {"implementation_hash": "x"}):
        assert "code has changed" in objections(usdt, replace(accepted, **change), accepted)[0]
    assert objections(usdt, accepted, accepted) == ()


@pytest.mark.parametrize(("status", "is_paused"), [(0, False), (1, True), (2, True), (3, True)])
async def test_a_wallet_that_the_issuer_has_locked_is_told(
    usdt: Asset, proxies: Three, chains: ChainMaker, status: int, is_paused: bool
) -> None:
    told = {"exit_code": 0, "stack": [{"type": "num", "value": hex(status)}]}
    proxies[0].edit = lambda path, asked, answer: told if asked.get("method") == "get_status" else answer
    facts = await chains(proxies[0].url, assets=[usdt]).probe(usdt)
    assert facts.is_paused is is_paused
    assert ("the contract is paused" in " ".join(objections(usdt, facts))) is is_paused


LEFT = [
    [],
    [{"type": "cell", "value": "%%%"}],
    [{"type": "cell", "value": "AAAA"}],
    [{"type": "num", "value": "0x5"}],
    [{"type": "cell", "value": 7}],
    [
        {"type": "slice", "value": b64encode(bytes.fromhex("b5ee9c72010101010003000001a0")).decode()}
    ],  # too short for one
]


@pytest.mark.parametrize("stack", LEFT, ids=range(len(LEFT)))
async def test_a_get_method_that_leaves_something_else_is_refused(
    usdt: Asset, proxies: Three, chains: ChainMaker, stack: list
) -> None:
    told = {"exit_code": 0, "stack": stack}
    proxies[0].edit = lambda path, asked, answer: told if asked.get("method") == "get_wallet_address" else answer
    with pytest.raises(ChainError):
        await chains(proxies[0].url, assets=[usdt]).probe(usdt)


async def test_a_master_that_does_not_say_whose_wallet_is_whose_is_none(
    usdt: Asset, proxies: Three, chains: ChainMaker
) -> None:
    proxies[0].edit = lambda path, asked, answer: (
        {"exit_code": 11} if asked.get("method") == "get_wallet_address" else answer
    )
    with pytest.raises(ChainError, match="no jetton master"):
        await chains(proxies[0].url, assets=[usdt]).probe(usdt)


async def test_an_address_that_is_no_jetton_has_no_contract(
    network: TonNetwork, usdt: Asset, chains: ChainMaker
) -> None:
    nothing = replace(usdt, contract=PAYER)
    facts = await chains(assets=[nothing]).probe(nothing)
    assert "no contract at" in objections(nothing, facts)[0]


async def test_a_jetton_s_row_without_our_wallet_is_refused_when_it_is_checked(usdt: Asset, chains: ChainMaker) -> None:
    chain = chains(assets=[usdt])
    assert (await examine(chain, chain, usdt, None)).faults == ()
    (fault,) = (await examine(chain, chain, replace(usdt, wallet=""), None)).faults
    assert f"the master names {usdt.wallet} as our jetton wallet: write it as `wallet` into the row" in fault


async def test_an_asset_of_another_network_is_not_taken() -> None:
    other = replace(coin(), network="solana")
    with pytest.raises(Invalid):
        TonChain(row(), [other], [Endpoint("http://127.0.0.1:1")], wallet=OURS, quorum=1)
