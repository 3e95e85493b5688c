"""A token's transfer, tried on a real node before its row is believed: what every kind of odd token shows."""

import pytest
from tests.chains.evm.conftest import ChainMaker
from tests.chains.evm.rows import token
from tests.nodes.anvil import Anvil, Contract
from tests.nodes.proxy import Proxy, RpcError

from bitlinkpay.chains.base import ChainError, NotEnoughAnswers
from bitlinkpay.chains.codec.evm import parse
from bitlinkpay.chains.evm.trial import TARGET
from bitlinkpay.chains.findings import Findings
from bitlinkpay.chains.trial import Answered, TokenTrier, Trial, try_transfers
from bitlinkpay.core.assets import Asset

BOB = parse("0x" + "b0" * 20)
TRANSFER = "transfer(address,uint256)"
COINS = 10**6
DONE = "2 of 2 transfers went through when tried"


async def moved(node: Anvil, name: str, *, units: int = 5_000 * COINS, **made: object) -> tuple[Contract, Asset]:
    """Deploy a token and let it move once, finally."""
    contract = await node.deploy(name, **made)
    await contract.send(TRANSFER, BOB, units)
    await node.mine(4)
    return contract, token(contract.address)


async def found(chains: ChainMaker, asset: Asset, holder: str = "") -> Findings:
    chain = chains(assets=[asset])
    assert isinstance(chain, TokenTrier)
    return await try_transfers(chain, chain, asset, holder)


async def test_an_honest_token_is_found_to_be_one_without_anything_moving(node: Anvil, chains: ChainMaker) -> None:
    args = [["Other", "OTH", 6]]
    contract, asset = await moved(node, "PlainToken", types=("string", "string", "uint8"), args=args[0])
    before = await node.height()
    assert await found(chains, asset) == Findings((), (DONE,))
    assert await node.height() == before
    assert await contract.view("balanceOf(address)", TARGET) == 0


async def test_a_token_like_usdt_of_ethereum_is_fit_and_what_its_issuer_can_do_is_told(
    node: Anvil, chains: ChainMaker
) -> None:
    _, asset = await moved(node, "DollarToken")
    said = await found(chains, asset)
    assert said.faults == ()
    assert said.notes == (
        "its issuer can block addresses", DONE, "its transfers return no value, which is taken for yes",
    )  # fmt: skip


async def test_a_blocked_holder_is_no_fault_of_the_token_and_a_paused_token_is(node: Anvil, chains: ChainMaker) -> None:
    usdt, asset = await moved(node, "DollarToken")
    await usdt.send("setBlackListed(address,bool)", BOB, True)
    await node.mine(3)
    said = await found(chains, asset)
    assert (said.faults, "1 of 2 transfers went through when tried" in said.notes) == ((), True)
    await usdt.send("setPaused(bool)", True)
    await node.mine(3)
    (fault,) = (await found(chains, asset)).faults
    assert fault.startswith("its transfers fail: the contract refuses one of ")


async def test_a_fee_shows_however_it_is_taken(node: Anvil, chains: ChainMaker) -> None:
    _, silent = await moved(node, "SkimToken")
    assert (await found(chains, silent)).faults == (
        "a transfer of 1000000000 units brings 900000000: it takes a fee, or moves nothing",
    )
    usdt, declared = await moved(node, "DollarToken")
    await usdt.send("setFee(uint256)", 10)
    await node.mine(3)
    said = await found(chains, declared)
    assert said.faults[0] == "it takes a fee of every transfer (basisPointsRate)"
    assert said.faults[1].startswith("a transfer of 1000000000 units brings 999000000")


@pytest.mark.parametrize(
    ("answer", "faults"),
    [
        (0, ("its transfers answer false in place of true", "moves nothing")),
        (2, ("its transfers answer something else in place of true",)),
        (1, ()),
        (3, ()),
    ],
)
async def test_what_transfer_answers_decides(
    node: Anvil, chains: ChainMaker, answer: int, faults: tuple[str, ...]
) -> None:
    contract, asset = await moved(node, "AnsweringToken")
    await contract.send("setAnswer(uint256)", answer)
    await node.mine(3)
    said = (await found(chains, asset)).faults
    assert len(said) == len(faults)
    assert all(part in fault for part, fault in zip(faults, said, strict=True))


async def test_EVM_07_a_token_that_keeps_shares_is_refused(node: Anvil, chains: ChainMaker) -> None:
    _, asset = await moved(node, "RebasingToken")
    (fault,) = (await found(chains, asset)).faults
    assert "keeps shares in place of balances" in fault


async def test_of_a_token_that_nobody_moves_a_holder_is_named(node: Anvil, chains: ChainMaker) -> None:
    _, asset = await moved(node, "PlainToken", types=("string", "string", "uint8"), args=["Old", "OLD", 6])
    await node.mine(60)
    (note,) = (await found(chains, asset)).notes
    assert note == "nobody moved it within 48 blocks: no transfer was tried; name somebody who holds it with --holder"
    assert (await found(chains, asset, BOB)).notes == ("1 of 1 transfers went through when tried",)
    (note,) = (await found(chains, asset, TARGET)).notes
    assert note.startswith(f"{TARGET} holds nothing: no transfer was tried")


async def test_a_contract_that_tells_no_balances_fails_and_a_node_that_cannot_try_is_no_answer(
    node: Anvil, chains: ChainMaker, proxies: tuple[Proxy, Proxy, Proxy]
) -> None:
    _, asset = await moved(node, "PlainToken", types=("string", "string", "uint8"), args=["Old", "OLD", 6])
    odd = await node.deploy("OddEvents")
    await node.mine(3)
    other = token(odd.address, symbol="ODD")
    chain = chains(assets=[asset, other])
    assert await chain.try_transfer(other, BOB, 5) == Trial(5, failure="the contract does not tell balances")
    assert await chain.try_transfer(asset, BOB, 5) == Trial(5, "", Answered.TRUE, left=5, came=5)
    one, *_ = proxies
    one.edit = refuse_overrides
    with pytest.raises(ChainError):
        await chains(one, assets=[asset]).try_transfer(asset, BOB, 5)


async def test_one_endpoint_s_word_on_a_trial_is_not_enough_for_a_quorum(
    node: Anvil, chains: ChainMaker, proxies: tuple[Proxy, Proxy, Proxy]
) -> None:
    _, asset = await moved(node, "SkimToken")
    honest, liar, _ = proxies
    liar.edit = beautify
    chain = chains(honest, liar, assets=[asset], quorum=2)
    with pytest.raises(NotEnoughAnswers):
        await chain.try_transfer(asset, BOB, 1_000)


def refuse_overrides(method: str, params: list[object], result: object) -> object:
    if method == "eth_call" and len(params) > 2:
        raise RpcError(-32602, "too many arguments, want at most 2")
    return result


def beautify(method: str, params: list[object], result: object) -> object:
    """Answer that everything arrived."""
    if method == "eth_call" and len(params) > 2:
        words = [1_000, 0, 1, 32, 1, 0, 1_000]
        return "0x" + "".join(f"{word:064x}" for word in words)
    return result
