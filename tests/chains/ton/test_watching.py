"""A jetton judged by its newest transfers on a real virtual machine, by endpoints that emulate nothing."""

from collections.abc import AsyncIterator, Callable

import pytest
from pytoniq_core import Address, Cell, begin_cell
from tests.chains.ton.conftest import OURS, ChainMaker
from tests.chains.ton.network import PAYER, TonNetwork, b64, jetton
from tests.chains.ton.test_trial import NINE_TENTHS, SAYS, TAKES, TAXED, Three

from bitlinkpay.chains.base import ChainError, NotEnoughAnswers
from bitlinkpay.chains.findings import Findings
from bitlinkpay.chains.ton.body import BURN, TRANSFER
from bitlinkpay.chains.ton.watching import FELL, WATCHED, sum_up
from bitlinkpay.chains.trial import TransferWatcher, try_transfers
from bitlinkpay.core.assets import Asset

BOB = "0:" + "b0" * 32
NOTHING = Findings(notes=("none of its transfers on the chain could be looked at either",))


def brought(whole: int, of: int) -> Findings:
    return Findings(notes=(f"{whole} of its {of} newest transfers on the chain brought what they say",))


async def lying(network: TonNetwork, *edits: tuple[str, str], units: int = 100_000) -> Asset:
    """Return a jetton of the reference code, rewritten in places, that somebody has paid to somebody."""
    made = await network.rewritten(*edits)
    await network.mint(made.master, PAYER, 500_000, is_reference=True)
    await network.mine()
    await network.pay_jettons(made.master, BOB, units)
    await network.mine()
    return jetton(made.master, await made.wallet_of(OURS), symbol="LIE")


@pytest.fixture(autouse=True)
async def _nobody_emulates(network: TonNetwork) -> AsyncIterator[None]:
    await network.control("emulation", on=False)
    yield


async def test_an_honest_jetton_is_said_to_have_been_watched_and_not_tried(
    network: TonNetwork, usdt: Asset, chains: ChainMaker
) -> None:
    for units in (5, 6, 7, 8, 9):
        await network.pay_jettons(usdt.contract, OURS, units)
        await network.mine()
    chain = chains(assets=[usdt])
    assert isinstance(chain, TransferWatcher)
    assert await chain.watch_transfers(usdt) == brought(WATCHED, WATCHED)
    untried, watched = (await try_transfers(chain, chain, usdt)).notes
    assert "no transfer was tried" in untried
    assert watched == brought(WATCHED, WATCHED).notes[0]


@pytest.mark.parametrize(
    ("edits", "fault"),
    [
        ([(SAYS, f"XCHG2 s0 s7\n{NINE_TENTHS}STGRAMS")], "a transfer of 100000 units brought 90000: it takes a fee"),
        ([TAXED], " holds 90000 units of 100000 that came: it takes a fee, or changes balances by itself"),
        ([(TAKES, "XCPU s5 s1\nDUP\nPUSHINT_LONG 100000\nEQUAL\nTHROWIF 777\nADD")], "none of its 1 newest transfers"),
        (
            [("XCPU s3 s6\n        SUB", "THROW 701\nXCPU s3 s6\nSUB")],
            "none of its 1 newest transfers on the chain arrived",
        ),
    ],
    ids=["a fee on the way", "a fee when it arrives", "it comes back", "nobody may pay"],
)
async def test_EVM_06_a_jetton_whose_transfers_on_the_chain_brought_less_fits_no_row(
    network: TonNetwork, chains: ChainMaker, edits: list[tuple[str, str]], fault: str
) -> None:
    asset = await lying(network, *edits)
    (said,) = (await chains(assets=[asset]).watch_transfers(asset)).faults
    assert fault in said


async def test_the_same_jetton_with_nothing_rewritten_is_without_fault(network: TonNetwork, chains: ChainMaker) -> None:
    asset = await lying(network)
    assert await chains(assets=[asset]).watch_transfers(asset) == brought(1, 1)


async def test_somebody_s_failed_order_is_no_fault_of_the_jetton(
    network: TonNetwork, usdt: Asset, chains: ChainMaker
) -> None:
    await network.pay_jettons(usdt.contract, OURS, 5)
    await network.mine()
    await network.pay_jettons(usdt.contract, OURS, 10**15)
    await network.mine()
    assert await chains(assets=[usdt]).watch_transfers(usdt) == brought(1, 2)


async def test_what_a_jetton_was_credited_beside_its_transfers_is_no_fault(
    network: TonNetwork, chains: ChainMaker
) -> None:
    asset = await lying(network, (TAKES, "XCPU s5 s1\nMULINT 2\nADD"))
    assert await chains(assets=[asset]).watch_transfers(asset) == brought(1, 1)


async def test_orders_to_contracts_that_are_none_of_the_jetton_s_wallets_are_not_looked_at(
    network: TonNetwork, usdt: Asset, proxies: Three, chains: ChainMaker
) -> None:
    """A contract that pretends: the indexer lists its transaction, but the master names another wallet."""
    liar = await lying(network, TAXED)
    (forged,) = (await network.api("/jetton/transfers", jetton_master=liar.contract))["jetton_transfers"]

    def smuggle(path: str, _: object, answer: dict) -> dict:
        return answer | {"jetton_transfers": [forged]} if path == "/jetton/transfers" else answer

    proxies[0].edit = smuggle
    said = await chains(proxies[0].url, assets=[usdt]).watch_transfers(usdt)
    assert said == NOTHING


def hide_taker(path: str, _: object, answer: dict) -> dict:
    return answer | {"transactions": []} if path == "/transactionsByMessage" else answer


def pending(where: str) -> Callable[..., dict]:
    def edit(path: str, _: object, answer: dict) -> dict:
        if path == where:
            answer["transactions"] = [one | {"finality": "pending"} for one in answer["transactions"]]
        return answer

    return edit


@pytest.mark.parametrize("edit", [hide_taker, pending("/transactions"), pending("/transactionsByMessage")])
async def test_a_transfer_that_is_not_over_tells_nothing(
    network: TonNetwork, usdt: Asset, proxies: Three, chains: ChainMaker, edit: Callable[..., dict]
) -> None:
    await network.pay_jettons(usdt.contract, OURS, 5)
    await network.mine()
    proxies[0].edit = edit
    said = await chains(proxies[0].url, assets=[usdt]).watch_transfers(usdt)
    assert said == NOTHING


async def test_one_endpoint_s_word_on_a_transfer_is_not_enough_for_a_quorum(
    network: TonNetwork, proxies: Three, chains: ChainMaker
) -> None:
    asset = await lying(network, TAXED)

    def beautify(path: str, _: object, answer: dict) -> dict:
        for wallet in answer["jetton_wallets"] if path == "/jetton/wallets" else []:
            wallet["balance"] = "100000"
        return answer

    proxies[1].edit = beautify
    with pytest.raises(NotEnoughAnswers):
        await chains(proxies[0].url, proxies[1].url, assets=[asset], quorum=2).watch_transfers(asset)
    proxies[0].status = proxies[1].status = 500
    with pytest.raises(ChainError):
        await chains(proxies[0].url, assets=[asset]).watch_transfers(asset)


async def test_a_wallet_with_more_than_a_page_of_history_is_not_added_up(
    network: TonNetwork, proxies: Three, chains: ChainMaker
) -> None:
    asset = await lying(network, TAXED)

    def long_ago(path: str, asked: object, answer: dict) -> dict:
        if path == "/transactions" and "account" in str(asked):
            for one in answer["transactions"]:
                one["prev_trans_lt"] = "1" if one["prev_trans_lt"] == "0" else one["prev_trans_lt"]
        return answer

    proxies[0].edit = long_ago
    assert await chains(proxies[0].url, assets=[asset]).watch_transfers(asset) == brought(1, 1)


def saying(body: Cell) -> Callable[..., dict]:
    def edit(path: str, _: object, answer: dict) -> dict:
        for one in answer["transactions"] if path == "/transactions" else []:
            one["in_msg"] = one["in_msg"] | {"message_content": {"hash": None, "body": b64(body)}}
        return answer

    return edit


SHORT = begin_cell().store_uint(TRANSFER, 32).end_cell()
BURNED = begin_cell().store_uint(BURN, 32).store_uint(7, 64).store_coins(5).store_address(Address(OURS)).end_cell()


def returned(path: str, _: object, answer: dict) -> dict:
    for one in answer["transactions"] if path == "/transactions" else []:
        one["in_msg"] = one["in_msg"] | {"bounced": True}
    return answer


@pytest.mark.parametrize("edit", [saying(SHORT), saying(BURNED), returned], ids=["short", "burned", "returned"])
async def test_what_is_no_whole_order_is_not_looked_at(
    network: TonNetwork, usdt: Asset, proxies: Three, chains: ChainMaker, edit: Callable[..., dict]
) -> None:
    await network.pay_jettons(usdt.contract, OURS, 5)
    await network.mine()
    proxies[0].edit = edit
    assert await chains(proxies[0].url, assets=[usdt]).watch_transfers(usdt) == NOTHING


def test_one_that_did_not_arrive_is_a_fault_only_if_none_did() -> None:
    assert sum_up([]) == NOTHING
    assert sum_up([FELL, ""]) == brought(1, 2)
    assert sum_up([FELL, FELL]).faults == ("none of its 2 newest transfers on the chain arrived",)
    assert sum_up(["a", "", "a"]) == Findings(("a",), brought(1, 3).notes)
