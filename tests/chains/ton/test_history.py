"""That no transaction is left out is proved link by link, never by time (TON-11), and what is not committed waits (TON-12)."""

import copy
from base64 import b64encode
from hashlib import sha256

import msgspec
import pytest
from tests.chains.ton.conftest import OURS, ChainMaker, arrived, shown
from tests.chains.ton.network import PAYER, TON, TonNetwork
from tests.chains.ton.proxy import TonProxy

from bitlinkpay.chains.base import ChainError, GapError
from bitlinkpay.chains.ton.history import BEGINNING, Link, Stretch, height_of, link_of
from bitlinkpay.chains.ton.wire import Malformed, RawTransaction, decoder_of

Three = tuple[TonProxy, TonProxy, TonProxy]


def digest(number: int) -> str:
    return b64encode(sha256(str(number).encode()).digest()).decode()


def tx(number: int, height: int, **more: object) -> RawTransaction:
    """Return the `number`-th transaction of our account."""
    told = {
        "account": OURS.upper(), "hash": digest(number), "lt": str(10 * number), "now": 1, "mc_block_seqno": height,
        "prev_trans_hash": digest(number - 1), "prev_trans_lt": str(10 * (number - 1)), "description": {},
    } | more  # fmt: skip
    return decoder_of(RawTransaction).decode(msgspec.json.encode(told))


START = Stretch((), Link(10, digest(1)))


def test_TON_11_a_linked_page_is_followed_to_its_end() -> None:
    stretch = START.follow(OURS, [tx(2, 5), tx(3, 5)]).follow(OURS, [tx(4, 7)])
    assert stretch.end == link_of(tx(4, 7))
    assert [t.lt for t in stretch.until(6).transactions] == [20, 30]
    assert stretch.until(6).end == link_of(tx(3, 5))
    assert stretch.until(4) == Stretch((), START.end)
    assert stretch.until(7).end == stretch.end


def test_TON_11_the_first_transaction_of_an_account_follows_nothing() -> None:
    first = tx(1, 3, prev_trans_lt="0", prev_trans_hash=digest(0))
    assert Stretch((), BEGINNING).follow(OURS, [first]).end == link_of(first)


@pytest.mark.parametrize(
    "page",
    [
        [tx(3, 5)],  # the second is missing
        [tx(2, 5), tx(4, 6)],
        [tx(2, 5, prev_trans_hash=digest(9))],  # another one came before
        [tx(2, 5, prev_trans_lt="0")],
        [tx(2, 5), tx(2, 5)],  # told twice
        [tx(3, 5), tx(2, 5)],  # the wrong way round
        [tx(2, 5, account=PAYER)],
        [tx(2, 5, account="EQ" + "A" * 46)],
        [tx(2, 5, hash="short")],
        [tx(2, 5, prev_trans_hash="%%%")],
    ],
)
def test_TON_11_a_page_with_a_gap_is_refused_whole(page: list[RawTransaction]) -> None:
    with pytest.raises((GapError, Malformed)):
        START.follow(OURS, page)


def test_TON_11_an_order_of_blocks_that_cannot_be_is_refused() -> None:
    with pytest.raises(Malformed):
        START.follow(OURS, [tx(2, 8), tx(3, 6)]).until(7)


def test_TON_11_the_end_is_the_accounts_own_last_one_or_lies_beyond() -> None:
    stretch = START.follow(OURS, [tx(2, 5)])
    assert stretch.reaches(5, Link(20, digest(2)))
    assert not stretch.reaches(5, Link(30, digest(3)))
    assert stretch.reaches(4, Link(30, digest(3)))


@pytest.mark.parametrize(
    "more",
    [
        {"mc_block_seqno": None},
        {"mc_block_seqno": 0},
        {"emulated": True},
        {"finality": "pending"},
        {"finality": "confirmed"},
    ],
)
def test_TON_12_what_no_masterchain_block_has_committed_has_no_height(more: dict[str, object]) -> None:
    assert height_of(tx(2, 5)) == 5
    with pytest.raises(Malformed):
        height_of(tx(2, 5, **more))


async def test_TON_12_money_counts_in_the_block_that_commits_it_and_no_earlier(
    network: TonNetwork, chains: ChainMaker
) -> None:
    chain = chains()
    first = await network.mine()
    await network.pay(OURS, TON, "123456789")
    assert await arrived(chain, first) == []
    height = await network.mine()
    blocks = await chain.scan(first, height)
    assert [block.height for block in blocks if block.transfers] == [height]


async def test_TON_12_a_node_that_tells_what_may_yet_happen_is_not_believed(
    network: TonNetwork, chains: ChainMaker, proxies: Three
) -> None:
    first = await network.mine()
    await network.pay(OURS, TON, "123456789")
    height = await network.mine()

    def forecast(path: str, _: object, answer: dict) -> dict:
        for told in answer["transactions"] if path == "/transactions" else []:
            told |= {"emulated": True, "finality": "pending"}
        return answer

    proxies[0].edit = forecast
    with pytest.raises(ChainError, match="no masterchain block has committed"):
        await chains(proxies[0].url).scan(first, height)
    both = chains(proxies[0].url, network.url.replace("127.0.0.1", "localhost"))
    assert shown([t for block in await both.scan(first, height) for t in block.transfers]) == [
        ("ton-ton", "123456789", TON)
    ]


async def pay_many(network: TonNetwork, count: int) -> tuple[int, int]:
    first = await network.mine()
    for n in range(count):
        await network.pay(OURS, 1000 + n, f"{n}")
        if n % 7 == 6:
            await network.mine()
    return first, await network.mine()


def drop(index: int, *, sort: str = "asc") -> object:
    def edit(path: str, query: dict, answer: dict) -> dict:
        if path == "/transactions" and query.get("sort") == sort and len(answer["transactions"]) > abs(index):
            answer = copy.deepcopy(answer)
            del answer["transactions"][index]
        return answer

    return edit


@pytest.mark.parametrize("index", [0, 3, -2])
async def test_TON_11_a_node_that_leaves_one_out_is_not_believed(
    network: TonNetwork, chains: ChainMaker, proxies: Three, index: int
) -> None:
    first, last = await pay_many(network, 30)
    proxies[0].edit = drop(index)
    chain = chains(proxies[0].url, options=None)
    with pytest.raises(GapError):
        await chain.scan(first, last)
    proxies[0].edit = None
    assert [t.units for block in await chain.scan(first, last) for t in block.transfers] == [*range(1000, 1030)]


async def test_TON_11_a_node_that_hides_the_last_ones_is_not_believed(
    network: TonNetwork, chains: ChainMaker, proxies: Three
) -> None:
    first, last = await pay_many(network, 10)
    proxies[0].edit = lambda path, query, answer: (
        {"transactions": answer["transactions"][:4]} if path == "/transactions" and query.get("start_lt") == "1" else
        {"transactions": []} if path == "/transactions" else answer
    )  # fmt: skip
    with pytest.raises(GapError, match="does not show the last"):
        await chains(proxies[0].url).scan(first, last)


async def test_TON_11_a_reader_that_starts_anew_finds_its_place_by_links(
    network: TonNetwork, chains: ChainMaker
) -> None:
    """A restart in the middle: nothing twice, nothing left out, whatever was read before."""
    first, last = await pay_many(network, 60)
    found: list[int] = []
    for height in range(first, last + 1):
        blocks = await chains().scan(height, height)  # each time a new reader
        found += [transfer.units for transfer in blocks[0].transfers]
    assert found == [*range(1000, 1060)]


async def test_TON_11_pages_go_on_where_the_last_one_ended(
    network: TonNetwork, chains: ChainMaker, proxies: Three
) -> None:
    first = await network.mine()
    for n in range(600):
        await network.pay(OURS, 1000 + n)
    last = await network.mine()
    found = [t.units for block in await chains(proxies[0].url).scan(first, last) for t in block.transfers]
    assert found == [*range(1000, 1600)]
    assert proxies[0].counts["/transactions"] <= 5


async def test_TON_11_what_a_server_behind_the_others_hid_comes_to_light_with_the_next_range(
    network: TonNetwork, chains: ChainMaker, proxies: Three
) -> None:
    """One name, two servers: the block is told by one, the account by another that does not have it yet."""
    first = await network.mine()
    await network.pay(OURS, 5, "1")
    height = await network.mine()
    chain = chains(proxies[0].url)
    hidden = {"accounts": []}
    proxies[0].edit = lambda path, query, answer: (
        hidden if path == "/accountStates" else {"transactions": []} if path == "/transactions" else answer
    )
    assert [block.transfers for block in await chain.scan(first, height)] == [(), ()]
    proxies[0].edit = None
    await network.pay(OURS, 6, "2")
    (block,) = await chain.scan(height + 1, await network.mine())
    assert shown(block.transfers) == [("ton-ton", "1", 5), ("ton-ton", "2", 6)]


async def test_a_history_that_was_cut_off_is_a_gap(network: TonNetwork, chains: ChainMaker, proxies: Three) -> None:
    """NODE-13: a pruned indexer knows the newest only."""
    first, last = await pay_many(network, 12)
    proxies[0].edit = lambda path, query, answer: (
        {"transactions": [t for t in answer["transactions"] if t["mc_block_seqno"] > first + 1]}
        if path == "/transactions" else answer
    )  # fmt: skip
    with pytest.raises(GapError):
        await chains(proxies[0].url).scan(first, last)
    with pytest.raises(GapError):
        await chains(proxies[0].url).scan(first + 1, last)
