"""The traps of EIP-7702 and of batches, each sprung on a real node beside the way around it."""

from dataclasses import replace

import pytest
from eth_account import Account
from tests.chains.evm.desk import Attempt, Desk
from tests.chains.evm.ours import HOT, VAULT, deposit, payout, sweep
from tests.nodes.anvil import NodeError

from bitlinkpay.chains.base import FateState
from bitlinkpay.chains.codec.evm import parse
from bitlinkpay.chains.evm import abi
from bitlinkpay.chains.evm.delegates import PAY_NATIVE, PAY_TOKENS, SWEEP_TOKENS, delegates_of, designator
from bitlinkpay.chains.evm.plan import Authorization
from bitlinkpay.chains.outgoing import CannotPlan, Purpose, Sent, Slot, Wallet
from bitlinkpay.signer.families.evm import sign

A, B, C = (deposit(i).address for i in range(101, 104))
SOURCE, OTHER = deposit(301), deposit(302)
SWEEP = "sweep(address,uint256)"


def key(desk: Desk, wallet: Wallet) -> bytes:
    return VAULT.private_key(desk.net.network, wallet)


async def swept_once(desk: Desk) -> None:
    """Bring the wallet and one deposit address to where the address has delegated."""
    await desk.set_up()
    await desk.net.fund(SOURCE.address, desk.net.usdt, 100)
    await desk.send(sweep(desk.net.usdt, (SOURCE, 100)))
    await desk.settle()


async def code_of(desk: Desk, address: str) -> str:
    return await desk.net.node.rpc("eth_getCode", address, "latest")


async def test_trap_1_an_address_that_has_delegated_refuses_coin_sent_with_21_000_gas(desk: Desk) -> None:
    await swept_once(desk)
    node = desk.net.node
    failed = await node.transfer(SOURCE.address, 5)
    await node.mine()
    assert (await node.rpc("eth_getTransactionReceipt", failed))["status"] == "0x0", "the payer keeps the money"
    passed = await node.send(to=SOURCE.address, value=5, gas=30_000)
    await node.mine()
    assert int((await node.receipt(passed))["gasUsed"], 16) > 21_000
    untouched = await node.transfer(OTHER.address, 5)
    await node.mine()
    await node.receipt(untouched)


async def test_trap_1_our_own_payments_to_such_addresses_have_gas_enough(desk: Desk) -> None:
    await swept_once(desk)
    assert desk.sender.payments_max(desk.net.native, Purpose.SWEEP) == 1, "native orders are never delegated for"
    attempt = await desk.send(payout(desk.net.native, (SOURCE.address, 5)))
    await desk.settle()
    assert (await desk.outcome(attempt)).delivered == (True,)


async def forced(desk: Desk, attempt: Attempt, **changed: object) -> Attempt:
    """Sign and send a plan that the sender did not make."""
    plan = replace(attempt.plan, gas_limit=1_000_000, **changed)
    made = Attempt(attempt.intent, plan, sign(attempt.intent, plan, desk.keys))
    assert (await desk.broadcast(made)).sent is Sent.ACCEPTED
    desk.number += 1
    await desk.settle()
    return made


async def test_trap_2_an_authorization_of_a_wrong_nonce_is_skipped_in_silence_and_the_item_reads_as_failed(
    desk: Desk,
) -> None:
    await desk.set_up()
    for source in (SOURCE, OTHER):
        await desk.net.fund(source.address, desk.net.usdt, 100)
    good = await desk.prepare(sweep(desk.net.usdt, (SOURCE, 100), (OTHER, 100)))
    made = await forced(desk, good, authorizations=(Authorization(SOURCE.address, 1), Authorization(OTHER.address, 0)))
    outcome = await desk.outcome(made)
    assert (outcome.state, outcome.delivered) == (FateState.FINAL, (False, True)), "status 1 says nothing"
    assert await desk.net.balance(desk.net.usdt, SOURCE.address) == 100
    assert await code_of(desk, SOURCE.address) == "0x"


async def test_trap_2_a_batch_of_a_wallet_that_does_not_run_its_executor_does_nothing_with_status_1(desk: Desk) -> None:
    await desk.set_up()
    good = await desk.prepare(payout(desk.net.usdt, (A, 5), (B, 6)))
    await desk.net.node.rpc("anvil_setCode", HOT.address, "0x")
    made = await forced(desk, good)
    assert (await desk.net.node.receipt(made.signed.txid))["status"] == "0x1"
    with pytest.raises(CannotPlan, match="set it up first"):
        await desk.prepare(payout(desk.net.usdt, (A, 5), (B, 6)))
    assert (await desk.outcome(made)).delivered == (False, False)
    assert await desk.net.balance(desk.net.usdt, A) == 0


async def test_trap_2_a_delegation_outlives_the_revert_of_its_transaction(desk: Desk) -> None:
    await desk.set_up()
    await desk.net.fund(SOURCE.address, desk.net.usdt, 100)
    good = await desk.prepare(sweep(desk.net.usdt, (SOURCE, 100)))
    plan = replace(good.plan, gas_limit=60_000)  # too little: the executor reverts
    made = Attempt(good.intent, plan, sign(good.intent, plan, desk.keys))
    await desk.broadcast(made)
    desk.number += 1
    await desk.settle()
    assert (await desk.outcome(made)).state is FateState.FAILED
    again = await desk.send(good.intent)
    assert again.plan.authorizations == (), "it is looked at, not remembered"
    await desk.settle()
    assert (await desk.outcome(again)).delivered == (True,)


async def test_trap_3_our_authorizations_are_for_one_chain_and_a_chain_id_of_0_would_be_for_all(desk: Desk) -> None:
    await desk.set_up()
    node, sweeper = desk.net.node, delegates_of(HOT.address).sweeper
    relayer = Account.create()
    await desk.net.fund(relayer.address, desk.net.native, 10**18)
    for nonce, (chain_id, is_taken) in enumerate(((1, False), (0, True))):
        leave = Account.sign_authorization({"chainId": chain_id, "address": sweeper, "nonce": 0}, key(desk, SOURCE))
        tx = {
            "chainId": node.chain_id, "nonce": nonce, "gas": 100_000, "maxFeePerGas": 10**10,
            "maxPriorityFeePerGas": 10**9, "to": relayer.address, "value": 0, "authorizationList": [leave],
        }  # fmt: skip
        await node.rpc("eth_sendRawTransaction", "0x" + relayer.sign_transaction(tx).raw_transaction.hex())
        await node.mine()
        assert (await code_of(desk, SOURCE.address) != "0x") is is_taken
    await desk.net.fund(OTHER.address, desk.net.usdt, 1)
    plan = (await desk.prepare(sweep(desk.net.usdt, (OTHER, 1)))).plan
    assert plan.chain_id == node.chain_id, "which is signed into every authorization"


@pytest.mark.parametrize("to", ["address", "sweeper"])
async def test_trap_4_only_the_sink_may_call_the_sweeper(desk: Desk, to: str) -> None:
    await swept_once(desk)
    await desk.net.fund(SOURCE.address, desk.net.usdt, 100)
    node, usdt = desk.net.node, desk.net.usdt.contract
    target = SOURCE.address if to == "address" else delegates_of(HOT.address).sweeper
    data = "0x6ea056a9" + (abi.address_word(usdt) + abi.word(100)).hex()
    for thief in (node.accounts[3], SOURCE.address):
        with pytest.raises(NodeError, match="revert"):
            await node.rpc("eth_call", {"from": thief, "to": target, "data": data}, "latest")
    answer = await node.rpc("eth_call", {"from": HOT.address, "to": SOURCE.address, "data": data}, "latest")
    assert int(answer, 16) == 1


async def test_trap_4_only_the_wallet_itself_may_call_its_executor(desk: Desk) -> None:
    await desk.set_up()
    thief, usdt = desk.net.node.accounts[3], abi.address_word(desk.net.usdt.contract)
    limit, items = abi.word(100_000), [(parse(thief), 5)]
    for data in (
        abi.with_pairs(PAY_TOKENS, (usdt, limit), items),
        abi.with_pairs(PAY_NATIVE, (limit,), items),
        abi.with_pairs(SWEEP_TOKENS, (usdt, limit), [(HOT.address, 5)]),
    ):
        for to in (HOT.address, delegates_of(HOT.address).executor):
            call = {"from": thief, "to": to, "data": "0x" + data.hex()}
            with pytest.raises(NodeError, match="revert"):
                await desk.net.node.rpc("eth_call", call, "latest")
        assert await desk.net.node.rpc("eth_call", call | {"from": HOT.address, "to": HOT.address}, "latest")


async def test_trap_4_a_recipient_that_calls_back_gets_nothing_more(desk: Desk) -> None:
    await desk.set_up()
    beggar = parse((await desk.net.node.deploy("Beggar")).address)
    with pytest.raises(CannotPlan, match=f"1 of 2 payments would fail, first that with {beggar}"):
        await desk.prepare(payout(desk.net.native, (beggar, 5), (A, 6)))


async def test_trap_5_an_item_that_fails_after_all_fails_alone(desk: Desk) -> None:
    await desk.set_up()
    sources = [deposit(i) for i in range(310, 315)]
    for source in sources:
        await desk.net.fund(source.address, desk.net.usdt, 9)
    attempt = await desk.prepare(sweep(desk.net.usdt, *((source, 9) for source in sources)))
    await desk.net.usdt_contract.send("setBlackListed(address,bool)", sources[2].address, True)
    await desk.net.mine()
    await desk.broadcast(attempt)
    await desk.settle()
    outcome = await desk.outcome(attempt)
    assert (outcome.state, outcome.delivered) == (FateState.FINAL, (True, True, False, True, True))
    assert await desk.net.balance(desk.net.usdt, sources[2].address) == 9


async def test_trap_5_an_item_that_burns_its_gas_starves_nobody(desk: Desk) -> None:
    await desk.set_up()
    burner = parse((await desk.net.node.deploy("Burner")).address)
    shouter = parse((await desk.net.node.deploy("Shouter")).address)
    good = await desk.prepare(payout(desk.net.native, (A, 5), (B, 6), (shouter, 7), (C, 8)))
    (burned,) = payout(desk.net.native, (burner, 7)).payments
    payments = good.intent.payments
    bad = replace(good, intent=replace(good.intent, payments=(*payments[:2], burned, payments[3])))
    made = await forced(desk, bad)
    assert (await desk.outcome(made)).delivered == (True, True, False, True)
    assert await desk.gas_used(made) > 100_000, "what one item may use"
    assert [await desk.net.balance(desk.net.native, each) for each in (A, B, burner, C)] == [5, 6, 0, 8]


async def test_trap_5_a_limit_too_low_for_an_item_undoes_all_instead_of_passing_it_over(desk: Desk) -> None:
    await desk.set_up()
    good = await desk.prepare(payout(desk.net.usdt, (A, 5), (B, 6)))
    outcomes = []
    for gas_limit in range(40_000, 120_000, 8_000):
        plan = await desk.sender.plan(good.intent, Slot(desk.number))
        plan = replace(plan, gas_limit=gas_limit)
        made = Attempt(good.intent, plan, sign(good.intent, plan, desk.keys))
        await desk.broadcast(made)
        desk.number += 1
        await desk.settle()
        outcomes.append((await desk.outcome(made)).delivered)
    assert set(outcomes) == {(False, False), (True, True)}, "never one without the other for want of gas"


async def test_a_token_that_asserts_burns_one_items_gas_only(desk: Desk) -> None:
    contract = await desk.net.node.deploy("AssertingToken")
    asset = replace(desk.net.usdt, id="asr-devnet", contract=parse(contract.address))
    async with Desk.on(desk.net, assets=[asset]) as own:
        await own.set_up()
        await desk.net.fund(HOT.address, asset, 1_000)
        good = await own.prepare(payout(asset, (A, 5), (B, 6), (C, 7)))
        await contract.send("refuse(address)", B)
        await desk.net.mine()
        made = await forced(own, good)
        assert (await own.outcome(made)).delivered == (True, False, True)


async def test_more_items_than_bits_are_refused_by_the_code_itself(desk: Desk) -> None:
    await desk.set_up()
    for count, is_taken in ((256, True), (257, False)):
        items = [(A, 1)] * count
        data = abi.with_pairs(PAY_TOKENS, (abi.address_word(desk.net.usdt.contract), abi.word(100_000)), items)
        call = {"from": HOT.address, "to": HOT.address, "data": "0x" + data.hex()}
        if is_taken:
            assert int(await desk.net.node.rpc("eth_call", call, "latest"), 16) == 0
        else:
            with pytest.raises(NodeError, match="revert"):
                await desk.net.node.rpc("eth_call", call, "latest")


async def test_an_authorization_of_a_deposit_address_names_our_sweeper(desk: Desk) -> None:
    await swept_once(desk)
    assert await code_of(desk, SOURCE.address) == "0x" + designator(delegates_of(HOT.address).sweeper).hex()
