"""A token's transfer, tried on a real virtual machine before its row is believed: ordinary mints, and what Token-2022 can do."""

from dataclasses import replace

import pytest
from solders.account import Account
from solders.pubkey import Pubkey
from tests.chains.solana import wallets
from tests.chains.solana.conftest import ChainMaker
from tests.chains.solana.ledger import FAUCET, LEADER, SYSTEM
from tests.chains.solana.network import SolanaNetwork
from tests.chains.solana.test_tokens import mint_with
from tests.chains.solana.wallets import TOKEN_2022, associated, person
from tests.nodes.proxy import Proxy

from bitlinkpay.chains.base import ChainError, NotEnoughAnswers
from bitlinkpay.chains.findings import Findings
from bitlinkpay.chains.solana.chain import SolanaChain
from bitlinkpay.chains.solana.trial import TARGET
from bitlinkpay.chains.trial import TokenTrier, Trial, try_transfers
from bitlinkpay.core.assets import Asset

ALICE, BOB = (person(number) for number in (3, 4))
ISSUER = str(FAUCET.pubkey())
DONE = "1 of 1 transfers went through when tried"


def of(keys: object) -> str:
    return str(keys.pubkey())


async def found(chain: SolanaChain, asset: Asset, holder: str = "") -> Findings:
    assert isinstance(chain, TokenTrier)
    return await try_transfers(chain, chain, asset, holder)


async def held(network: SolanaNetwork, *names: str) -> Asset:
    """Make a Token-2022 mint of which the issuer holds a million."""
    asset = await mint_with(network, *names)
    mint = Pubkey.from_string(asset.contract)
    purse = associated(FAUCET.pubkey(), mint, TOKEN_2022)
    made = [wallets.create_associated(FAUCET, FAUCET.pubkey(), mint, TOKEN_2022)]
    if "accounts start frozen" in names:
        made.append(wallets.thaw(purse, mint, FAUCET, TOKEN_2022))
    await network.send([*made, wallets.mint_to(mint, purse, FAUCET, 10**12, TOKEN_2022)], FAUCET)
    await network.finalize()
    return asset


async def test_an_honest_token_passes_for_those_who_moved_it_and_nothing_is_sent(
    network: SolanaNetwork, chains: ChainMaker
) -> None:
    usdt = await network.token()
    await network.fund(of(ALICE), usdt, 5_000_000)
    await network.finalize()
    assert (network.ledger.vm.get_balance(ALICE.pubkey()) or 0) == 0, "she has no coins to pay for anything"
    assert await found(chains(assets=[usdt]), usdt) == Findings((), ("2 of 2 transfers went through when tried",))
    assert await network.balance(usdt, TARGET) == 0
    assert not [method for method, _ in network.calls if method == "sendTransaction"]


async def test_a_trial_shows_what_left_and_what_came(network: SolanaNetwork, chains: ChainMaker) -> None:
    usdt = await network.token()
    await network.fund(of(ALICE), usdt, 5_000_000)
    await network.fund(TARGET, usdt, 3)
    await network.finalize()
    chain = chains(assets=[usdt])
    assert await chain.try_transfer(usdt, of(ALICE), 1_000) == Trial(1_000, left=1_000, came=1_000)
    assert await chain.try_transfer(usdt, of(ALICE), 10**9) == Trial(5_000_000, left=5_000_000, came=5_000_000)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("transfer fee", "a transfer of 1000000000 units brings 990000000: it takes a fee, or moves nothing"),
        ("accounts start frozen", "its transfers fail: the account of who pays or of who is paid is frozen"),
        ("cannot be transferred", "its transfers fail: its mint lets nobody transfer it"),
        (
            "transfer hook",
            "its transfers fail: its mint calls a program of the issuer's at each of them (transfer hook)",
        ),
    ],
)
async def test_SOL_07_a_mint_that_keeps_a_part_or_lets_nobody_pay_fits_no_row(
    network: SolanaNetwork, chains: ChainMaker, name: str, fault: str
) -> None:
    token = await held(network, name)
    assert (await found(chains(assets=[token]), token, ISSUER)).faults == (fault,)


@pytest.mark.parametrize("name", ["", "metadata pointer", "permanent delegate", "accounts may start frozen"])
async def test_a_mint_of_the_newer_program_whose_transfers_are_whole_passes(
    network: SolanaNetwork, chains: ChainMaker, name: str
) -> None:
    token = await held(network, *filter(None, [name]))
    assert await found(chains(assets=[token]), token, ISSUER) == Findings((), (DONE,))


async def test_a_mint_that_is_paused_now_fails_and_says_so(network: SolanaNetwork, chains: ChainMaker) -> None:
    token = await held(network, "pausable")
    assert (await found(chains(assets=[token]), token, ISSUER)).faults == ()
    await network.send([wallets.pause(Pubkey.from_string(token.contract), FAUCET)], FAUCET)
    await network.finalize()
    assert (await found(chains(assets=[token]), token, ISSUER)).faults == ("its transfers fail: its mint is paused",)


async def test_a_frozen_holder_is_no_fault_of_the_token(network: SolanaNetwork, chains: ChainMaker) -> None:
    usdt = await network.token()
    mint = Pubkey.from_string(usdt.contract)
    await network.fund(of(ALICE), usdt, 5_000_000)
    await network.mine()
    await network.send([wallets.freeze(associated(ALICE.pubkey(), mint), mint, FAUCET)], FAUCET)
    await network.finalize()
    chain = chains(assets=[usdt])
    assert await found(chain, usdt) == Findings((), (DONE,)), "the issuer's own"
    trial = await chain.try_transfer(usdt, of(ALICE), 5)
    assert trial.failure == f"{of(ALICE)} has no account of it that is not frozen"
    (note,) = (await found(chain, usdt, of(ALICE))).notes
    assert note.startswith(f"{of(ALICE)} holds nothing: no transfer was tried")


async def test_who_holds_it_in_another_account_than_the_usual_one_can_try(
    network: SolanaNetwork, chains: ChainMaker
) -> None:
    usdt = await network.token()
    mint = Pubkey.from_string(usdt.contract)
    await network.fund(of(ALICE), usdt, 5_000_000)
    await network.mine()
    purse = associated(ALICE.pubkey(), mint)
    await network.fund(of(ALICE), replace(usdt, contract="", standard=""), 10**9)
    await network.mine()
    await network.send([wallets.set_owner(purse, ALICE, BOB.pubkey())], ALICE)
    await network.finalize()
    assert await found(chains(assets=[usdt]), usdt, of(BOB)) == Findings((), (DONE,))


async def test_a_block_whose_payer_nobody_can_name_and_heights_without_a_block_stop_no_search(
    network: SolanaNetwork, chains: ChainMaker
) -> None:
    usdt = await network.token()
    mint = Pubkey.from_string(usdt.contract)
    for each in (ALICE, BOB):
        await network.fund(of(each), usdt, 5_000_000)
    await network.mine()
    parts = [
        wallets.transfer_token(associated(each.pubkey(), mint), associated(FAUCET.pubkey(), mint), each, 1_000)
        for each in (ALICE, BOB)
    ]
    await network.send(parts, FAUCET, ALICE, BOB)
    while network.ledger.newest.slot % 7 != 6:  # the slot behind it has no block
        await network.mine()
    await network.finalize()
    chain = chains(assets=[usdt])
    sources = {transfer.source for block in await chain.scan(1, 9) for transfer in block.transfers}
    assert await found(chain, usdt) == Findings((), ("3 of 3 transfers went through when tried",)), sources


async def test_a_token_that_nobody_moved_of_late_needs_a_name(network: SolanaNetwork, chains: ChainMaker) -> None:
    usdt = await network.token()
    await network.mine(60)
    chain = chains(assets=[usdt])
    (note,) = (await found(chain, usdt)).notes
    assert note == "nobody moved it within 48 blocks: no transfer was tried; name somebody who holds it with --holder"
    assert await found(chain, usdt, ISSUER) == Findings((), (DONE,))


# --- endpoints that cannot say, or lie ----------------------------------------------------------------------------------


async def test_where_nobody_could_pay_for_it_there_is_no_verdict(network: SolanaNetwork, chains: ChainMaker) -> None:
    usdt = await network.token()
    await network.fund(of(ALICE), usdt, 5_000_000)
    await network.finalize()
    network.ledger.plant(LEADER, Account(9_999_999, b"", SYSTEM))
    with pytest.raises(ChainError, match="nobody who could pay for a trial"):
        await chains(assets=[usdt]).try_transfer(usdt, of(ALICE), 5)
    await network.fund(of(ALICE), replace(usdt, contract="", standard=""), 10_000_000)
    await network.finalize()
    assert (await chains(assets=[usdt]).try_transfer(usdt, of(ALICE), 5)).came == 5, "she can herself"


@pytest.mark.parametrize(
    "change",
    [
        {"accounts": None},
        {"accounts": [None]},
        {"err": "BlockhashNotFound"},
        {"err": {"InsufficientFundsForRent": {"account_index": 0}}},
    ],
)
async def test_a_node_that_does_not_simulate_a_transfer_blames_no_token(
    network: SolanaNetwork, chains: ChainMaker, proxies: tuple[Proxy, Proxy, Proxy], change: dict[str, object]
) -> None:
    usdt = await network.token()
    await network.finalize()

    def edit(method: str, _: list[object], result: dict) -> object:
        return result | {"value": result["value"] | change} if method == "simulateTransaction" else result

    proxies[0].edit = edit
    with pytest.raises(ChainError):
        await chains(proxies[0], assets=[usdt]).try_transfer(usdt, ISSUER, 5)


async def test_states_of_two_slots_are_never_compared(
    network: SolanaNetwork, chains: ChainMaker, proxies: tuple[Proxy, Proxy, Proxy]
) -> None:
    usdt = await network.token()
    await network.finalize()
    later = iter([5, 0, 7])

    def edit(method: str, _: list[object], result: dict) -> object:
        if method != "simulateTransaction":
            return result
        return result | {"context": {"slot": result["context"]["slot"] + next(later, 1)}}

    proxies[0].edit = edit
    chain = chains(proxies[0], assets=[usdt])
    assert await chain.try_transfer(usdt, ISSUER, 5) == Trial(5, left=5, came=5), "asked again"
    with pytest.raises(ChainError, match="another slot each time"):
        await chain.try_transfer(usdt, ISSUER, 5)


async def test_one_endpoint_s_word_on_a_trial_is_not_enough_for_a_quorum(
    network: SolanaNetwork, chains: ChainMaker, proxies: tuple[Proxy, Proxy, Proxy]
) -> None:
    token = await held(network, "transfer fee")
    honest, liar, _ = proxies

    def beautify(method: str, _: list[object], result: dict) -> object:
        if method != "simulateTransaction" or result["value"]["accounts"][1] is None:
            return result
        shown = result["value"]["accounts"]
        return result | {"value": result["value"] | {"accounts": [shown[0], None]}}

    liar.edit = beautify
    with pytest.raises(NotEnoughAnswers):
        await chains(honest, liar, assets=[token], quorum=2).try_transfer(token, ISSUER, 1_000)
