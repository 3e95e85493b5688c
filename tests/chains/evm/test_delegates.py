"""Where our contracts stand and which code they have: pure, and held against other implementations and real nodes."""

import pytest
from eth_utils import keccak, to_canonical_address, to_checksum_address
from rlp import encode as rlp_encode
from tests.chains.evm.ours import HOT, OTHER_HOT
from tests.nodes.anvil import Anvil

from bitlinkpay.chains.codec.evm import from_bytes, parse
from bitlinkpay.chains.evm.delegates import (
    EXECUTED_TOPIC,
    FACTORY,
    FACTORY_CODE,
    PAY_NATIVE,
    PAY_TOKENS,
    SWEEP_TOKENS,
    delegate_of,
    delegates_of,
    deployment,
    designator,
    executor_code,
    sweeper_code,
)


def test_selectors_and_topic_are_those_of_the_signatures() -> None:
    items = "(address,uint256)[]"
    assert keccak(text=f"payTokens(address,uint256,{items})")[:4] == PAY_TOKENS
    assert keccak(text=f"payNative(uint256,{items})")[:4] == PAY_NATIVE
    assert keccak(text=f"sweepTokens(address,uint256,{items})")[:4] == SWEEP_TOKENS
    assert keccak(text="Executed(uint256)").hex() == EXECUTED_TOPIC[2:]


def test_addresses_follow_from_the_wallet_as_eip_1014_and_the_yellow_paper_say() -> None:
    for wallet in (HOT, OTHER_HOT):
        found = delegates_of(wallet.address)
        salt, creation = deployment(wallet.address)[:32], deployment(wallet.address)[32:]
        assert salt == bytes(32)
        assert creation.endswith(to_canonical_address(wallet.address))
        executor = keccak(b"\xff" + to_canonical_address(FACTORY) + salt + keccak(creation))[12:]
        assert found.executor == to_checksum_address(executor)
        assert found.sweeper == to_checksum_address(keccak(rlp_encode([executor, 1]))[12:])
    assert delegates_of(HOT.address) != delegates_of(OTHER_HOT.address)


def test_each_sweeper_names_its_own_sink_and_differs_in_nothing_else() -> None:
    one, other = sweeper_code(HOT.address), sweeper_code(OTHER_HOT.address)
    sink, other_sink = to_canonical_address(HOT.address), to_canonical_address(OTHER_HOT.address)
    assert sink in one
    assert one.replace(sink, other_sink) == other


def test_a_designator_reads_back_and_other_code_is_none() -> None:
    code = designator(HOT.address)
    assert len(code) == 23
    assert delegate_of(code) == HOT.address
    for other in (b"", code[:-1], code + b"\0", b"\xef\x01\x01" + code[3:], executor_code()):
        assert delegate_of(other) == ""


async def test_EVM_27_the_node_puts_exactly_our_code_at_the_derived_addresses(node: Anvil) -> None:
    wallet = parse(node.accounts[0])
    found = delegates_of(wallet)
    assert await node.rpc("eth_getCode", FACTORY, "latest") == "0x" + FACTORY_CODE.hex()
    assert await node.rpc("eth_getCode", found.executor, "latest") == "0x"
    stranger = node.accounts[7]
    await node.send(to=FACTORY, data="0x" + deployment(wallet).hex(), sender=stranger)
    await node.mine()
    assert await node.rpc("eth_getCode", found.executor, "latest") == "0x" + executor_code().hex(), "whoever deploys"
    assert await node.rpc("eth_getCode", found.sweeper, "latest") == "0x" + sweeper_code(wallet).hex()


async def test_EVM_27_other_code_cannot_take_a_derived_address(node: Anvil) -> None:
    wallet = parse(node.accounts[0])
    forged = bytearray(deployment(wallet))
    forged[-1] ^= 1
    await node.send(to=FACTORY, data="0x" + bytes(forged).hex())
    await node.mine()
    assert await node.rpc("eth_getCode", delegates_of(wallet).executor, "latest") == "0x"


@pytest.mark.parametrize("size", [1, 19, 21])
def test_an_address_of_another_size_is_a_broken_belief(size: int) -> None:
    with pytest.raises(AssertionError):
        from_bytes(bytes(size))
