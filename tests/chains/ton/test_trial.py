"""A jetton's transfer, emulated by a real virtual machine before its row is believed: honest ones, and each kind of liar."""

from base64 import b64encode
from dataclasses import replace

import pytest
from pytoniq_core import Address, Cell, begin_cell
from tests.chains.ton.conftest import OURS, ChainMaker
from tests.chains.ton.network import PAYER, TON, TonNetwork, coin, jetton
from tests.chains.ton.proxy import TonProxy
from ton_core.contrib.contracts.codes import CONTRACT_CODES
from ton_core.contrib.contracts.versions import ContractVersion

from bitlinkpay.chains.base import ChainError, NotEnoughAnswers
from bitlinkpay.chains.findings import Findings
from bitlinkpay.chains.ton.boc import parse_boc
from bitlinkpay.chains.ton.chain import TonChain
from bitlinkpay.chains.ton.emulation import WALLETS
from bitlinkpay.chains.ton.trial import TARGET, read_balance
from bitlinkpay.chains.trial import CannotTry, HolderFinder, TokenTrier, Trial, try_transfers
from bitlinkpay.core.assets import Asset

Three = tuple[TonProxy, TonProxy, TonProxy]
KINDS = [ContractVersion[name] for name in ("WalletV3R1", "WalletV3R2", "WalletV4R1", "WalletV4R2", "WalletV5R1")]
DONE = "1 of 1 transfers went through when tried"

# Two places of the reference wallet's code: what it has left after a transfer, and what it has more after an arrival.
PAYS, TAKES = "XCPU s3 s6\n        SUB", "XCPU s5 s1\n        ADD"
SAYS = "XCHG2 s0 s7\n            STGRAMS"  # what it writes into the message to the other wallet
NINE_TENTHS, MORE = "MULINT 9\nPUSHINT_4 10\nDIV\n", "MULINT 11\nPUSHINT_4 10\nDIV\n"
TAXED = (TAKES, f"XCPU s5 s1\n{NINE_TENTHS}ADD")


async def found(chain: TonChain, asset: Asset, holder: str = "") -> Findings:
    assert isinstance(chain, TokenTrier)
    return await try_transfers(chain, chain, asset, holder)


async def lying(network: TonNetwork, *edits: tuple[str, str]) -> tuple[Asset, str]:
    """Return a jetton of the reference code, rewritten in places, and somebody who holds about half a coin of it."""
    made = await network.rewritten(*edits)
    holder = await network.person()
    await network.mint(made.master, holder, 500_000, is_reference=True)
    await network.mine()
    return jetton(made.master, await made.wallet_of(OURS), symbol="LIE"), holder


async def held(network: TonNetwork, asset: Asset, *, version: ContractVersion = KINDS[3], number: int = 1) -> str:
    holder = await network.person(number, version=version)
    await network.fund(holder, asset, 5_000_000)
    return holder


async def test_an_honest_jetton_passes_for_those_who_moved_it_and_nothing_is_sent(
    network: TonNetwork, usdt: Asset, chains: ChainMaker
) -> None:
    people = [await held(network, usdt, number=number) for number in (1, 2)]
    for holder in people:
        await network.pay_jettons(usdt.contract, OURS, 1_000, source=holder)
    height = await network.mine()
    chain = chains(assets=[usdt])
    assert isinstance(chain, HolderFinder)
    assert await chain.holders(usdt) == people[::-1], "neither our own wallet nor the payer, who is none"
    assert await found(chain, usdt) == Findings((), ("2 of 2 transfers went through when tried",))
    assert await network.drop_pending() == 0
    assert await network.balance(usdt, TARGET) == 0
    assert (await chain.head()).final.height == height


@pytest.mark.parametrize("version", KINDS, ids=[version.name for version in KINDS])
async def test_people_s_usual_wallets_can_try(
    network: TonNetwork, usdt: Asset, chains: ChainMaker, version: ContractVersion
) -> None:
    holder = await held(network, usdt, version=version)
    await network.mint(usdt.contract, TARGET, 7)
    await network.mine()
    assert await chains(assets=[usdt]).try_transfer(usdt, holder, 1_000) == Trial(1_000, left=1_000, came=1_000)


def test_the_wallets_that_can_try_are_those_of_their_published_code() -> None:
    hashes = {b64encode(Cell.one_from_boc(CONTRACT_CODES[version]).hash).decode() for version in KINDS}
    assert hashes == WALLETS


@pytest.mark.parametrize(
    ("edits", "fault"),
    [
        (
            [("XCHG2 s0 s8\n        STSLICER", "XCHG2 s0 s8\nDROP\nMYADDR\nSTSLICER")],
            "its transfers fail: the payer's jetton wallet sends nothing to the recipient's",
        ),
        ([TAXED], "a transfer of 450000 units brings 405000: it takes a fee, or moves nothing"),
        (
            [(SAYS, f"XCHG2 s0 s7\n{NINE_TENTHS}STGRAMS")],
            "a transfer of 500000 units brings 450000: it takes a fee, or moves nothing",
        ),
        (
            [("XCHG_1I s1 s12\n        OR", "XCHG_1I s1 s12\nDROP")],  # from the master or another wallet: the master
            "its transfers fail: the recipient's jetton wallet sends it back (exit code 707)",
        ),
        (
            [(PAYS, "THROW 701\nXCPU s3 s6\nSUB")],
            "its transfers fail: the payer's jetton wallet refuses the order (exit code 701)",
        ),
        (
            [("PUSHINT_8 64\n            SENDRAWMSG", "PUSHINT_8 64\nBLKDROP 2")],
            "its transfers fail: the payer's jetton wallet sends nothing to the recipient's",
        ),
    ],
    ids=[
        "it goes elsewhere",
        "a fee when it arrives",
        "a fee on the way",
        "it comes back",
        "nobody may pay",
        "it is kept",
    ],
)
async def test_EVM_06_a_jetton_that_brings_less_or_comes_back_fits_no_row(
    network: TonNetwork, chains: ChainMaker, edits: list[tuple[str, str]], fault: str
) -> None:
    asset, holder = await lying(network, *edits)
    assert (await found(chains(assets=[asset]), asset, holder)).faults == (fault,)


async def test_the_same_jetton_with_nothing_rewritten_passes(network: TonNetwork, chains: ChainMaker) -> None:
    asset, holder = await lying(network)
    assert await found(chains(assets=[asset]), asset, holder) == Findings((), (DONE,))


async def test_a_payer_who_is_charged_more_is_seen(network: TonNetwork, chains: ChainMaker) -> None:
    asset, holder = await lying(network, (PAYS, f"XCPU s3 s6\n{MORE}SUB"))
    trial = await chains(assets=[asset]).try_transfer(asset, holder, 1_000)
    assert trial == Trial(1_000, left=1_100, came=1_000)


# --- whose cannot be tried ----------------------------------------------------------------------------------------------


async def test_a_holder_whose_wallet_cannot_try_is_told_what_would_help(
    network: TonNetwork, usdt: Asset, chains: ChainMaker
) -> None:
    poor = await held(network, usdt)
    await network.pay_jettons(usdt.contract, OURS, 1_000, source=poor)
    await network.pay_jettons(usdt.contract, poor, 1_000)
    await network.mine()
    chain = chains(assets=[usdt])
    assert await chain.holders(usdt) == [poor]
    said, seen = (await found(chain, usdt, PAYER)).notes
    assert seen == "2 of its 2 newest transfers on the chain brought what they say"
    assert said == (
        f"no transfer was tried: {PAYER}: it is no wallet of version 3, 4 or 5, name another one with --holder"
    )
    said, _ = (await found(chain, usdt, "0:" + "99" * 32)).notes
    assert said.startswith("0:" + "99" * 32 + " holds nothing: no transfer was tried")
    broke = await network.deploy(
        CONTRACT_CODES[KINDS[3]],
        begin_cell().store_uint(1, 64).store_bytes(bytes(32)).store_bit(0).end_cell(),
        value=TON // 10,
    )
    await network.fund(broke, usdt, 5)
    said, _ = (await found(chain, usdt, broke)).notes
    assert "it has less than 200000000 nanotons for the gas" in said


async def test_a_jetton_that_only_others_moved_needs_a_name(
    network: TonNetwork, usdt: Asset, chains: ChainMaker
) -> None:
    await network.pay_jettons(usdt.contract, OURS, 1_000)
    await network.mine()
    said, seen = (await found(chains(assets=[usdt]), usdt)).notes
    assert seen == "1 of its 1 newest transfers on the chain brought what they say"
    assert said == (
        "nobody of those who moved it last can try it: no transfer was tried; name somebody who holds it with --holder"
    )


async def test_where_no_endpoint_emulates_the_row_is_read_and_its_transfer_said_to_be_untried(
    network: TonNetwork, usdt: Asset, proxies: Three, chains: ChainMaker
) -> None:
    holder = await held(network, usdt)
    proxies[0].emulates = proxies[1].emulates = False
    chain = chains(proxies[0].url, proxies[1].url, assets=[usdt], quorum=2)
    with pytest.raises(CannotTry):
        await chain.try_transfer(usdt, holder, 5)
    said, seen = (await found(chain, usdt, holder)).notes
    assert seen == "none of its transfers on the chain could be looked at either"
    assert said.startswith("no transfer was tried: http://127.0.0.1:")
    assert said.endswith("has no emulation API beside its API v3")


async def test_where_fewer_endpoints_emulate_than_have_to_agree_this_is_told(
    network: TonNetwork, usdt: Asset, proxies: Three, chains: ChainMaker
) -> None:
    holder = await held(network, usdt)
    proxies[0].emulates = False
    urls = [proxy.url for proxy in proxies]
    assert await found(chains(*urls, assets=[usdt], quorum=2), usdt, holder) == Findings((), (DONE,)), "two others do"
    done, said = (await found(chains(*urls[:2], assets=[usdt], quorum=2), usdt, holder)).notes
    assert done == DONE
    assert said.startswith("tried by 1 of the 2 endpoints that have to agree: http://127.0.0.1:")
    taxed, victim = await lying(network, TAXED)
    brings = "a transfer of 450000 units brings 405000: it takes a fee, or moves nothing"
    chain = chains(*urls[:2], assets=[taxed], quorum=2)
    assert (await found(chain, taxed, victim)).faults == (brings,), "the word of one is enough to refuse"
    proxies[1].edit = lambda path, asked, answer: answer | {"data_cells": {}} if "Connect" in path else answer
    with pytest.raises(NotEnoughAnswers):
        await chains(*urls, assets=[taxed], quorum=3).try_transfer(taxed, victim, 1_000)


# --- endpoints that cannot say, or lie ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"is_incomplete": True},
        {"transactions": {}},
        {"data_cells": {"x": "y"}, "transactions": None},
        {"transactions": [1]},
    ],
)
async def test_an_emulation_that_does_not_show_all_is_no_verdict(
    network: TonNetwork, usdt: Asset, proxies: Three, chains: ChainMaker, change: dict[str, object]
) -> None:
    holder = await held(network, usdt)
    proxies[0].edit = lambda path, asked, answer: answer | change if path == "/emulateTonConnect" else answer
    with pytest.raises(ChainError):
        await chains(proxies[0].url, assets=[usdt]).try_transfer(usdt, holder, 5)


async def test_an_emulation_that_stops_half_way_or_shows_other_data_is_no_verdict(
    network: TonNetwork, usdt: Asset, proxies: Three, chains: ChainMaker
) -> None:
    holder = await held(network, usdt)
    chain = chains(proxies[0].url, assets=[usdt])

    def halfway(path: str, _: object, answer: dict) -> dict:
        if path != "/emulateTonConnect":
            return answer
        kept = {name: tx for name, tx in answer["transactions"].items() if tx["in_msg"]["opcode"] != "0x178d4519"}
        return answer | {"transactions": kept}

    def swapped(path: str, _: object, answer: dict) -> dict:
        if path != "/emulateTonConnect":
            return answer
        names = list(answer["data_cells"])
        return answer | {"data_cells": dict(zip(names, reversed(answer["data_cells"].values()), strict=True))}

    for edit, why in ((halfway, "leaves a message on its way"), (swapped, "does not have its hash")):
        proxies[0].edit = edit
        with pytest.raises(ChainError, match=why):
            await chain.try_transfer(usdt, holder, 5)


async def test_states_of_two_times_are_never_compared(
    network: TonNetwork, usdt: Asset, proxies: Three, chains: ChainMaker
) -> None:
    holder = await held(network, usdt)
    times = iter([1, 0, 1, 1, 1])

    def earlier(path: str, _: object, answer: dict) -> dict:
        for wallet in answer["jetton_wallets"] if path == "/jetton/wallets" else []:
            if wallet["owner"].lower() == holder:
                wallet["last_transaction_lt"] = str(int(wallet["last_transaction_lt"]) - next(times))
        return answer

    proxies[0].edit = earlier
    chain = chains(proxies[0].url, assets=[usdt])
    assert await chain.try_transfer(usdt, holder, 5) == Trial(5, left=5, came=5), "asked again"
    with pytest.raises(ChainError, match="moves it too often"):
        await chain.try_transfer(usdt, holder, 5)


async def test_one_endpoint_s_word_on_a_trial_is_not_enough_for_a_quorum(
    network: TonNetwork, proxies: Three, chains: ChainMaker
) -> None:
    asset, holder = await lying(network, TAXED)
    honest = await network.rewritten()
    person = await network.person(2)
    await network.mint(honest.master, person, 450_000, is_reference=True)
    await network.mine()

    def beautify(path: str, _: object, answer: dict) -> dict:
        if path == "/emulateTonConnect":
            answer["data_cells"] = {}
        return answer

    proxies[1].edit = beautify
    with pytest.raises(NotEnoughAnswers):
        await chains(proxies[0].url, proxies[1].url, assets=[asset], quorum=2).try_transfer(asset, holder, 1_000)


async def test_what_a_wallet_holds_is_told_by_its_messages_alone_where_its_data_is_in_a_form_of_its_own(
    network: TonNetwork, proxies: Three, chains: ChainMaker
) -> None:
    for edits, came in (([], None), ([(SAYS, f"XCHG2 s0 s7\n{NINE_TENTHS}STGRAMS")], 900)):
        asset, holder = await lying(network, *edits)
        proxies[0].edit = lambda path, asked, answer: answer | {"data_cells": {}} if "Connect" in path else answer
        trial = await chains(proxies[0].url, assets=[asset]).try_transfer(asset, holder, 1_000)
        assert trial == Trial(1_000, left=None, came=came)


@pytest.mark.parametrize("bits", [0, 4])
def test_a_balance_is_read_before_owner_and_master_alone(bits: int) -> None:
    owner, master = "0:" + "11" * 32, "0:" + "22" * 32

    def data(*addresses: str) -> bytes:
        fields = (begin_cell().store_uint(0, bits) if bits else begin_cell()).store_coins(12_345)
        for address in addresses:
            fields.store_address(Address(address))
        return fields.end_cell().to_boc()

    assert read_balance(parse_boc(data(owner, master)), owner, master) == 12_345
    for others in ((master, owner), (owner, owner), (owner,), ()):
        assert read_balance(parse_boc(data(*others)), owner, master) is None


async def test_the_native_coin_of_the_network_is_no_jetton_and_stays_untried(chains: ChainMaker) -> None:
    with pytest.raises(ChainError):
        await chains().try_transfer(replace(coin(), contract=PAYER), PAYER, 5)
