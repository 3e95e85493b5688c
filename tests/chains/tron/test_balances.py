"""Balances after a given block, from nodes that only tell what accounts hold now."""

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.chains.tron.answers import block_json, info_json
from tests.chains.tron.ledger import Account
from tests.chains.tron.network import TronNet
from tests.chains.tron.rows import coin, token
from tests.chains.tron.wallets import Payer

from bitlinkpay.chains.base import ChainError, GapError
from bitlinkpay.chains.tron.effects import changes
from bitlinkpay.chains.tron.sealed import seal
from bitlinkpay.chains.tron.wire import BLOCK, INFOS

BOB, EVE, AMY = Payer.named("bob"), Payer.named("eve"), Payer.named("amy")
TRANSFER = "transfer(address,uint256)"


async def test_a_balance_is_taken_back_to_the_block_that_was_asked_for(net, chains, usdt, usdt_row) -> None:
    chain, wanted = chains(*net.servers, assets=[usdt_row], quorum=2), {}
    for units in (5, 7, 11):
        net.pay(BOB.address, units)
        usdt.send(TRANSFER, BOB.address, units * 2)
        await net.mine()
        wanted[net.height] = (await net.balance(coin(), BOB.address), await net.balance(usdt_row, BOB.address))
    for height, (sun, units) in wanted.items():
        assert await chain.balances(coin(), [BOB.address, EVE.address], height) == [sun, 0]
        assert await chain.balances(usdt_row, [EVE.address, BOB.address], height) == [0, units]
    assert await chain.balances(coin(), [], net.height) == []


async def test_what_one_spent_since_is_given_back_fees_included(net, chains, usdt, usdt_row) -> None:
    net.pay(BOB.address, 10**9)
    usdt.send(TRANSFER, BOB.address, 50)
    await net.mine()
    height, sun = net.height, await net.balance(coin(), BOB.address)
    net.pay(EVE.address, 10**6, payer=BOB)
    usdt.send(TRANSFER, EVE.address, 20, payer=BOB)
    await net.mine()
    net.pay(EVE.address, 10**6, payer=BOB)
    net.act(BOB, "FreezeBalanceV2Contract", frozen_balance=10**7, resource=1)
    usdt.send(TRANSFER, EVE.address, 10**9, payer=BOB)  # reverted: only the fee is gone
    await net.mine()
    chain = chains(*net.servers, assets=[usdt_row], quorum=2)
    assert await net.balance(coin(), BOB.address) < sun - 12 * 10**6
    assert await chain.balances(coin(), [BOB.address], height) == [sun]
    assert await chain.balances(usdt_row, [BOB.address], height) == [50]


async def test_inner_payments_since_are_given_back_too(net, chains) -> None:
    sender = await net.deploy("InnerSender")
    net.pay(BOB.address, 100)
    await net.mine()
    height = net.height
    sender.send("sendHalfUndone(address,uint256,uint256)", BOB.address, 7, 3, value=10)
    await net.mine()
    assert await chains().balances(coin(), [BOB.address], height) == [100]
    assert await chains().balances(coin(), [BOB.address], net.height) == [107]


async def test_who_takes_part_in_a_block_during_the_reading_is_read_again(net, chains) -> None:
    net.pay(BOB.address, 100)
    net.pay(EVE.address, 50)
    await net.mine()
    height, server, rounds = net.height, net.servers[0], []

    def meanwhile(path: str, body: dict[str, object], answer: object) -> object:
        if path.endswith("getaccount") and body["address"] == BOB.owner.hex() and len(rounds) < 2:
            rounds.append(path)
            net.pay(BOB.address, 1)
            net.mine_now()
        return answer

    server.edit = meanwhile
    assert await chains().balances(coin(), [BOB.address, EVE.address], height) == [100, 50]
    asked = [body["address"] for path, body in server.requests if path.endswith("getaccount")]
    assert asked.count(BOB.owner.hex()) == 3
    assert asked.count(EVE.owner.hex()) == 1, "who took no part is not asked again"


async def test_an_account_that_never_rests_is_given_up_on(net, chains) -> None:
    net.pay(BOB.address, 100)
    await net.mine()
    height = net.height

    def always(path: str, _body: object, answer: object) -> object:
        if path.endswith("getaccount"):
            net.pay(BOB.address, 1)
            net.mine_now()
        return answer

    net.servers[0].edit = always
    with pytest.raises(ChainError, match="changed whenever"):
        await chains().balances(coin(), [BOB.address], height)


async def test_a_block_that_is_not_reached_or_too_long_gone_is_no_answer(net, chains) -> None:
    await net.mine(70)
    with pytest.raises(GapError, match="has not reached block 71"):
        await chains().balances(coin(), [BOB.address], 71)
    with pytest.raises(ChainError, match="too far ahead"):
        await chains().balances(coin(), [BOB.address], 3)


async def test_what_is_not_known_how_it_changes_a_balance_waits(net, chains) -> None:
    net.pay(BOB.address, 10**9)
    await net.mine()
    height = net.height
    net.act(BOB, "ParticipateAssetIssueContract", to_address=EVE.owner, asset_name=b"X", amount=10**6)
    await net.mine()
    with pytest.raises(ChainError, match="by other means than a transfer"):
        await chains().balances(coin(), [BOB.address], height)
    assert await chains().balances(coin(), [BOB.address], net.height) == [await net.balance(coin(), BOB.address)]
    assert await chains().balances(coin(), [EVE.address], height) == [0], "others are not held up"


async def test_TRX_11_what_lies_under_foreign_keys_is_not_ours(net, chains, usdt, usdt_row, caplog) -> None:
    net.pay(BOB.address, 10**9)
    usdt.send(TRANSFER, BOB.address, 50)
    await net.finalize()
    chain = chains(*net.servers, assets=[usdt_row], quorum=2)
    final = (await chain.head()).final.height
    assert await chain.balances(usdt_row, [BOB.address], final) == [50]
    owner = {"permission_name": "owner", "threshold": 1, "keys": [{"address": EVE.owner, "weight": 1}]}
    net.act(BOB, "AccountPermissionUpdateContract", owner=owner)
    await net.finalize()
    final = (await chain.head()).final.height
    assert await net.balance(usdt_row, BOB.address) == 50
    for asset in (coin(), usdt_row):
        assert await chain.balances(asset, [BOB.address, EVE.address], final) == [0, 0]
    assert "takes signatures of foreign keys" in caplog.text


async def test_a_node_that_answers_for_another_account_is_refused(net, chains) -> None:
    net.pay(EVE.address, 10**9)
    await net.mine()
    foreign = net.servers[0]._answer("wallet", "getaccount", {"address": EVE.owner.hex(), "visible": False})
    net.servers[0].edit = lambda path, _body, answer: foreign if path.endswith("getaccount") else answer
    with pytest.raises(ChainError, match="another account"):
        await chains().balances(coin(), [BOB.address], net.height)


ACTS = st.sampled_from(
    [
        "pay",
        "pay new",
        "token",
        "token failing",
        "inner",
        "inner undone",
        "freeze",
        "vote",
        "reward",
        "delegate",
        "memo",
    ]
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(ACTS, st.integers(min_value=1, max_value=10**6)), min_size=1, max_size=12))
def test_whatever_a_block_holds_its_changes_are_those_of_the_state(steps: list[tuple[str, int]]) -> None:
    net, row = _prepared()
    before = _balances(net, row)
    for act, units in steps:
        _act(net, act, units)
    net.mine_now()
    block = net.blocks[-1]
    sealed = seal(
        BLOCK.decode(json.dumps(block_json(block, is_whole=True))),
        INFOS.decode(json.dumps([info_json(block, txid) for txid in block.outcomes])),
    )
    for asset in (coin(), row):
        after, changed = _balances(net, row)[asset.id], changes(sealed, asset)
        assert not changed.unknown
        for address, held in before[asset.id].items():
            assert changed.units.get(address, 0) == after[address] - held, (address, asset.id)


def _prepared() -> tuple[TronNet, object]:
    net = TronNet()
    net.usdt, net.inner = _deploy(net, "DollarToken"), _deploy(net, "InnerSender")
    net.pay(BOB.address, 10**12)
    net.usdt.send(TRANSFER, BOB.address, 10**12)
    net.mine_now()
    net.grant(lambda state: setattr(state.accounts.setdefault(BOB.account, Account()), "reward", 5))
    return net, token(net.usdt.address)


def _deploy(net: TronNet, name: str):
    return asyncio.run(net.deploy(name))


def _balances(net: TronNet, row) -> dict[str, dict[str, int]]:
    people = [BOB.address, EVE.address, AMY.address, net.faucet.address, net.inner.address]
    held = {coin().id: {}, row.id: {}}
    for address in people:
        account = {p.address: p.account for p in (BOB, EVE, AMY, net.faucet)}.get(address, net.inner.account)
        held[coin().id][address] = net.head.machine.balance(account)
        held[row.id][address] = net.usdt.view("balanceOf(address)", address)
    return held


def _act(net: TronNet, act: str, units: int) -> None:
    match act:
        case "pay":
            net.pay(EVE.address, units, payer=BOB)
        case "pay new":
            net.pay(AMY.address, units, payer=BOB)
        case "memo":
            net.pay(EVE.address, units, payer=BOB, memo=b"memo")
        case "token":
            net.usdt.send(TRANSFER, EVE.address, units, payer=BOB)
        case "token failing":
            net.usdt.send(TRANSFER, EVE.address, 10**20 + units, payer=BOB)
        case "inner":
            net.inner.send("send(address,uint256)", EVE.address, units, payer=BOB, value=units)
        case "inner undone":
            net.inner.send("sendUndone(address,uint256)", EVE.address, units, payer=BOB, value=units)
        case "freeze":
            net.act(BOB, "FreezeBalanceV2Contract", frozen_balance=units, resource=1)
        case "vote":
            net.act(BOB, "VoteWitnessContract")
        case "reward":
            net.act(BOB, "WithdrawBalanceContract")
        case "delegate":
            net.act(net.faucet, "DelegateResourceContract", resource=1, balance=units, receiver_address=BOB.owner)
