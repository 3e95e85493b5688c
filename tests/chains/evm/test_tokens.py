"""Tokens on a real node: what is a transfer, what only looks like one, and the balance proof beside it."""

import pytest
from eth_account import Account
from tests.chains.evm.conftest import ChainMaker
from tests.chains.evm.rows import coin, token
from tests.nodes.anvil import Anvil, NodeError

from bitlinkpay.chains.base import Block, Transfer
from bitlinkpay.chains.codec.evm import parse
from bitlinkpay.chains.evm.chain import EvmChain
from bitlinkpay.chains.evm.transfers import TRANSFER_TOPIC
from bitlinkpay.chains.token import objections
from bitlinkpay.core.assets import Asset

OURS = parse("0x" + "a1" * 20)
OTHER = parse("0x" + "b2" * 20)
TRANSFER = "transfer(address,uint256)"
TRANSFER_FROM = "transferFrom(address,address,uint256)"
PLAIN = ("string", "string", "uint8")


async def newest(chain: EvmChain, node: Anvil) -> Block:
    height = await node.height()
    (block,) = await chain.scan(height, height)
    return block


def into(block: Block, asset: Asset, target: str = OURS) -> list[Transfer]:
    return [t for t in block.transfers if t.asset == asset.id and t.target == target]


async def proven(chain: EvmChain, block: Block, asset: Asset, target: str = OURS) -> bool:
    """The balance proof as the deposit flow makes it: the block's net transfers must be in the balance."""
    came = sum(t.units for t in into(block, asset, target))
    left = sum(t.units for t in block.transfers if t.asset == asset.id and t.source == target)
    return await delta(chain, block, asset, target) == came - left


async def delta(chain: EvmChain, block: Block, asset: Asset, target: str = OURS) -> int:
    """By how much this very block changed what an address holds."""
    (before,) = await chain.balances(asset, [target], block.height - 1)
    (after,) = await chain.balances(asset, [target], block.height)
    return after - before


async def test_EVM_05_a_token_without_return_value_pays_by_its_log(node: Anvil, chains: ChainMaker) -> None:
    usdt = await node.deploy("DollarToken")
    asset = token(usdt.address)
    chain = chains(assets=[asset])
    txid = await usdt.send(TRANSFER, OURS, 12_500_000)
    await node.mine()
    block = await newest(chain, node)
    assert into(block, asset) == [Transfer(asset.id, txid, "log:0", parse(node.accounts[0]), OURS, "", 12_500_000)]
    assert await proven(chain, block, asset)
    assert list(await chain.balances(asset, [OURS, OTHER], block.height)) == [12_500_000, 0]
    assert list(await chain.balances(asset, [OURS, OTHER], block.height - 1)) == [0, 0]


async def test_EVM_01_a_reverted_transfer_is_none(node: Anvil, chains: ChainMaker) -> None:
    usdt = await node.deploy("DollarToken")
    asset = token(usdt.address)
    chain = chains(assets=[asset, coin()])
    await usdt.send("setPaused(bool)", True)
    await node.mine()
    failed = await usdt.send(TRANSFER, OURS, 5, value=7)  # the coin that it carries came back, too
    await node.mine()
    assert (await node.rpc("eth_getTransactionReceipt", failed))["status"] == "0x0"
    assert (await newest(chain, node)).transfers == ()
    await usdt.send("setPaused(bool)", False)
    await node.mine()
    await usdt.send(TRANSFER, OURS, 5)
    await node.mine()
    assert [t.units for t in (await newest(chain, node)).transfers] == [5]


@pytest.mark.parametrize("clone_decimals", [6, 18])
async def test_EVM_02_a_clone_of_name_and_symbol_is_another_contract(
    node: Anvil, chains: ChainMaker, clone_decimals: int
) -> None:
    usdt = await node.deploy("DollarToken")
    clone = await node.deploy("PlainToken", PLAIN, ["Tether USD", "USDT", clone_decimals])
    asset = token(usdt.address)
    chain = chains(assets=[asset])
    await clone.send(TRANSFER, OURS, 999)
    genuine = await usdt.send(TRANSFER, OURS, 7)
    await node.mine()
    assert [t.txid for t in (await newest(chain, node)).transfers] == [genuine]


async def test_EVM_03_a_transfer_event_of_an_unlisted_contract_is_ignored(node: Anvil, chains: ChainMaker) -> None:
    odd = await node.deploy("OddEvents")
    usdt = await node.deploy("DollarToken")
    asset = token(usdt.address)
    chain = chains(assets=[asset])
    topics = [TRANSFER_TOPIC, topic(node.accounts[0]), topic(OURS)]
    await odd.send("emitLog(bytes32[],bytes)", [bytes.fromhex(t[2:]) for t in topics], (10**9).to_bytes(32, "big"))
    await node.mine()
    assert (await newest(chain, node)).transfers == ()
    listed = chains(assets=[token(odd.address, symbol="ODD")])
    assert [t.units for t in (await newest(listed, node)).transfers] == [10**9], "the event itself is well formed"


@pytest.mark.parametrize("lies", [False, True])
async def test_EVM_04_a_transfer_that_returns_false_fails_the_balance_proof(
    node: Anvil, chains: ChainMaker, lies: bool
) -> None:
    false = await node.deploy("FalseToken")
    asset = token(false.address, symbol="FALSE")
    chain = chains(assets=[asset])
    await false.send("setLies(bool)", lies)
    await false.send("refuse(address,uint256)", OURS, 500)
    await node.mine()
    block = await newest(chain, node)
    assert [t.units for t in into(block, asset)] == ([500] if lies else [])
    assert await delta(chain, block, asset) == 0
    assert await proven(chain, block, asset) is not lies
    await false.send(TRANSFER, OURS, 500)
    await node.mine()
    assert await proven(chain, await newest(chain, node), asset)


async def test_EVM_06_a_silent_fee_shows_in_the_balance_proof(node: Anvil, chains: ChainMaker) -> None:
    skim = await node.deploy("SkimToken")
    asset = token(skim.address, symbol="SKIM")
    chain = chains(assets=[asset])
    await skim.send(TRANSFER, OURS, 1_000)
    await node.mine()
    block = await newest(chain, node)
    assert [t.units for t in into(block, asset)] == [1_000]
    assert await delta(chain, block, asset) == 900
    assert not await proven(chain, block, asset)


async def test_EVM_06_a_declared_fee_is_credited_net_and_proven(node: Anvil, chains: ChainMaker) -> None:
    usdt = await node.deploy("DollarToken")
    asset = token(usdt.address)
    chain = chains(assets=[asset])
    await usdt.send("setFee(uint256)", 100)
    await usdt.send(TRANSFER, OURS, 1_000)
    await node.mine()
    block = await newest(chain, node)
    assert [(t.position, t.units) for t in into(block, asset)] == [("log:0", 990)]
    assert await proven(chain, block, asset)


async def test_EVM_07_a_rebase_moves_balances_without_a_transfer_and_fails_the_proof(
    node: Anvil, chains: ChainMaker
) -> None:
    rebasing = await node.deploy("RebasingToken")
    asset = token(rebasing.address, symbol="REB")
    chain = chains(assets=[asset])
    await rebasing.send(TRANSFER, OURS, 1_000)
    await node.mine()
    assert await proven(chain, await newest(chain, node), asset)
    await rebasing.send("rebase(uint256)", 150)
    await node.mine()
    block = await newest(chain, node)
    assert block.transfers == ()
    assert await delta(chain, block, asset) == 500
    assert not await proven(chain, block, asset)


async def test_EVM_09_a_multisend_whose_one_leg_fails_pays_nobody(node: Anvil, chains: ChainMaker) -> None:
    disperse, refuser = await node.deploy("Disperse"), await node.deploy("Refuser")
    chain = chains()
    pay = "payNative(address[],uint256[])"
    await disperse.send(pay, [OURS, refuser.address], [5, 5], value=10)
    await node.mine()
    block = await newest(chain, node)
    assert block.transfers == ()
    assert list(await chain.locate(coin(), OURS, block.height, block.height)) == []
    await disperse.send(pay, [OURS, OTHER], [5, 6], value=11)
    await node.mine()
    block = await newest(chain, node)
    (found,) = await chain.locate(coin(), OURS, block.height, block.height)
    assert (found[0].hash, found[1].units) == (block.hash, 5)


async def test_EVM_11_a_transfer_of_zero_by_a_stranger_is_no_transfer(node: Anvil, chains: ChainMaker) -> None:
    usdt = await node.deploy("DollarToken")
    asset = token(usdt.address)
    chain = chains(assets=[asset])
    stranger = node.accounts[3]
    txid = await usdt.send(TRANSFER_FROM, OTHER, OURS, 0, sender=stranger)
    await node.mine()
    assert len((await node.receipt(txid))["logs"]) == 1, "the event is there"
    assert (await newest(chain, node)).transfers == ()


async def test_EVM_12_a_pull_by_a_third_party_names_the_owner_as_source(node: Anvil, chains: ChainMaker) -> None:
    usdt, relayer = await node.deploy("DollarToken"), await node.deploy("Relayer")
    asset = token(usdt.address)
    chain = chains(assets=[asset])
    owner, payer_of_gas = node.accounts[0], node.accounts[5]
    await usdt.send("approve(address,uint256)", relayer.address, 100, sender=owner)
    pull = "pull(address,address,address,uint256)"
    await node.mine()
    await relayer.send(pull, usdt.address, owner, OURS, 60, sender=payer_of_gas)
    await node.mine()
    (found,) = into(await newest(chain, node), asset)
    assert (found.source, found.units) == (parse(owner), 60)


async def test_EVM_13_events_of_other_shapes_from_a_listed_contract_are_no_transfers(
    node: Anvil, chains: ChainMaker
) -> None:
    odd = await node.deploy("OddEvents")
    chain = chains(assets=[token(odd.address, symbol="ODD")])
    word = (7).to_bytes(32, "big")
    good = [bytes.fromhex(t[2:]) for t in (TRANSFER_TOPIC, topic(node.accounts[0]), topic(OURS))]
    emit = "emitLog(bytes32[],bytes)"
    for topics, data in (
        ([*good, word], b""),
        (good[:2], word),
        (good[:1], word * 3),
        ([], word),
        (good, word[:31]),
        (good, word + word),
        (good, b""),
        ([good[0], good[1], b"\x01" + good[2][1:]], word),
    ):
        await odd.send(emit, topics, data)
    await node.mine()
    assert (await newest(chain, node)).transfers == ()
    await odd.send(emit, good, word)
    await node.mine()
    assert [t.units for t in (await newest(chain, node)).transfers] == [7]


async def test_EVM_14_many_transfers_in_one_transaction_each_stand_alone(node: Anvil, chains: ChainMaker) -> None:
    usdt, disperse = await node.deploy("DollarToken"), await node.deploy("Disperse")
    asset = token(usdt.address)
    chain = chains(assets=[asset])
    targets = [parse("0x" + f"{i:02x}" * 20) for i in range(1, 21)]
    legs = [*targets, OURS, OURS, OURS]
    values = list(range(100, 100 + len(legs)))
    await usdt.send("approve(address,uint256)", disperse.address, 10**9)
    txid = await disperse.send("payToken(address,address[],uint256[])", usdt.address, legs, values)
    await node.mine()
    block = await newest(chain, node)
    mine = [t for t in block.transfers if t.txid == txid]
    assert [(t.position, t.target, t.units) for t in mine] == [
        (f"log:{i}", target, units) for i, (target, units) in enumerate(zip(legs, values, strict=True))
    ]
    assert sum(t.units for t in into(block, asset)) == await delta(chain, block, asset)
    assert all([await proven(chain, block, asset, target) for target in {*legs}])


async def test_EVM_22_a_paused_or_blocking_token_is_reported_and_money_in_it_still_counts(
    node: Anvil, chains: ChainMaker
) -> None:
    usdt = await node.deploy("DollarToken")
    asset = token(usdt.address)
    chain = chains(assets=[asset])
    await usdt.send("setBlackListed(address,bool)", OURS, True)
    await usdt.send(TRANSFER, OURS, 5)
    await node.mine(3)
    (block, *_) = await chain.scan(2, 4)
    assert [t.units for t in into(block, asset)] == [5]
    assert objections(asset, await chain.probe(asset)) == ()
    await usdt.send("setPaused(bool)", True)
    await node.mine(3)
    assert objections(asset, await chain.probe(asset)) == ("usdt-devnet: the contract is paused",)


async def test_EVM_23_of_two_addresses_of_one_token_only_the_listed_one_counts(node: Anvil, chains: ChainMaker) -> None:
    code = await node.deploy("OddEvents")
    listed = await node.deploy("Proxy", ["address"], [code.address])
    twin = await node.deploy("Proxy", ["address"], [code.address])
    asset = token(listed.address, symbol="ODD")
    chain = chains(assets=[asset])
    topics = [bytes.fromhex(t[2:]) for t in (TRANSFER_TOPIC, topic(node.accounts[0]), topic(OURS))]
    data = code.data("emitLog(bytes32[],bytes)", topics, (3).to_bytes(32, "big"))
    await node.send(to=twin.address, data=data)
    await node.send(to=code.address, data=data)
    txid = await node.send(to=listed.address, data=data)
    await node.mine()
    assert [t.txid for t in (await newest(chain, node)).transfers] == [txid]


async def test_EVM_24_an_eip_7702_bundle_is_read_by_its_logs(node: Anvil, chains: ChainMaker) -> None:
    usdt, code = await node.deploy("DollarToken"), await node.deploy("Delegate")
    asset = token(usdt.address)
    chain = chains(assets=[asset])
    payer, bundler = Account.create(), Account.create()
    await usdt.send(TRANSFER, payer.address, 80)
    await node.transfer(bundler.address, 10**18)
    await node.mine()
    permit = payer.sign_authorization({"chainId": node.chain_id, "address": parse(code.address), "nonce": 0})
    call = usdt.data(TRANSFER, OURS, 30)
    tx = {
        "type": 4,
        "chainId": node.chain_id,
        "nonce": 0,
        "to": payer.address,
        "value": 0,
        "gas": 400_000,
        "maxFeePerGas": 10**10,
        "maxPriorityFeePerGas": 10**9,
        "data": code.data("run(address[],uint256[],bytes[])", [usdt.address], [0], [bytes.fromhex(call[2:])]),
        "authorizationList": [permit],
    }
    raw = Account.sign_transaction(tx, bundler.key).raw_transaction
    txid = await node.rpc("eth_sendRawTransaction", "0x" + bytes(raw).hex())
    await node.mine()
    (found,) = into(await newest(chain, node), asset)
    assert (found.txid, found.source, found.units) == (txid, payer.address, 30)


async def test_EVM_26_a_hostile_name_reaches_nobody_but_the_operator_and_as_one_plain_line(
    node: Anvil, chains: ChainMaker
) -> None:
    evil = "<script>alert(1)</script>\r\nINFO forged\x1b[2J" + "A" * 5_000
    contract = await node.deploy("PlainToken", PLAIN, [evil, evil, 6])
    asset = token(contract.address, symbol="FINE")
    chain = chains(assets=[asset])
    await contract.send(TRANSFER, OURS, 5)
    await node.mine(3)
    (block, *_) = await chain.scan(2, 4)
    assert [t.asset for t in block.transfers] == ["fine-devnet"]
    facts = await chain.probe(asset)
    assert facts.symbol.isprintable()
    assert len(facts.symbol) == 160
    assert objections(asset, facts) == ()


async def test_DEP_21_an_upgraded_contract_is_objected_to(node: Anvil, chains: ChainMaker) -> None:
    first = await node.deploy("PlainToken", PLAIN, ["One", "ONE", 6])
    second = await node.deploy("DollarToken")
    proxy = await node.deploy("Proxy", ["address"], [first.address])
    asset = token(proxy.address, symbol="ONE", decimals=0)
    chain = chains(assets=[asset])
    await node.mine(3)
    accepted = await chain.probe(asset)
    assert accepted.implementation == parse(first.address)
    assert objections(asset, accepted, accepted) == ()
    await proxy.send("upgrade(address)", second.address)
    await node.mine(3)
    now = await chain.probe(asset)
    assert now.code_hash == accepted.code_hash, "the token's own address runs the same code as before"
    assert "one-devnet: the contract's code has changed since it was reviewed" in objections(asset, now, accepted)


async def test_DEP_21_a_deprecated_contract_and_a_missing_one_are_objected_to(node: Anvil, chains: ChainMaker) -> None:
    usdt = await node.deploy("DollarToken")
    asset, nothing = token(usdt.address), token(OTHER, symbol="NONE")
    chain = chains(assets=[asset, nothing])
    await usdt.send("setDeprecated(bool)", True)
    await node.mine(3)
    assert objections(asset, await chain.probe(asset)) == (
        "usdt-devnet: the contract says that another one has replaced it: write that one as `contract` into the row",
    )
    (absent,) = objections(nothing, await chain.probe(nothing))
    assert absent == f"none-devnet: no contract at {OTHER}: write the token's own address as `contract` into the row"


async def test_DEP_22_decimals_other_than_the_registry_s_are_objected_to(node: Anvil, chains: ChainMaker) -> None:
    contract = await node.deploy("PlainToken", PLAIN, ["Tether USD", "USDT", 18])
    wrong, right = token(contract.address), token(contract.address, decimals=18)
    chain = chains(assets=[wrong])
    await node.mine(3)
    facts = await chain.probe(wrong)
    (lie,) = objections(wrong, facts)
    assert lie.startswith("usdt-devnet: the contract says 18 decimals, the registry 6: write `decimals = 18`")
    assert objections(right, facts) == ()


async def test_DEP_23_a_self_made_fortune_is_read_exactly(node: Anvil, chains: ChainMaker) -> None:
    odd = await node.deploy("OddEvents")
    asset = token(odd.address, symbol="ODD")
    chain = chains(assets=[asset])
    topics = [bytes.fromhex(t[2:]) for t in (TRANSFER_TOPIC, topic(node.accounts[0]), topic(OURS))]
    await odd.send("emitLog(bytes32[],bytes)", topics, b"\xff" * 32)
    await node.mine()
    (found,) = into(await newest(chain, node), asset)
    assert found.units == 2**256 - 1
    assert found.units > asset.sanity_units


async def test_a_native_payment_is_read_with_its_signer(node: Anvil, chains: ChainMaker) -> None:
    chain = chains()
    txid = await node.transfer(OURS, 10**17, sender=node.accounts[2])
    await node.mine()
    block = await newest(chain, node)
    assert block.transfers == (Transfer("eth-devnet", txid, "value", parse(node.accounts[2]), OURS, "", 10**17),)
    assert await proven(chain, block, coin())


async def test_the_launcher_refuses_what_failed(node: Anvil) -> None:
    refuser = await node.deploy("Refuser")
    txid = await node.send(to=refuser.address, value=1)
    await node.mine()
    with pytest.raises(NodeError):
        await node.receipt(txid)


def topic(address: str) -> str:
    return "0x" + address[2:].lower().rjust(64, "0")
