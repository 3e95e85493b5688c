"""Call data, held against another encoder; recipients that nobody can have meant."""

import pytest
from eth_abi import encode
from hypothesis import given
from hypothesis import strategies as st
from tests.chains.evm.desk import Desk
from tests.chains.evm.ours import HOT, deposit, payout
from tests.chains.evm.rows import coin, token

from bitlinkpay.chains.codec.evm import from_bytes, parse
from bitlinkpay.chains.evm import abi
from bitlinkpay.chains.evm.build import build
from bitlinkpay.chains.evm.delegates import FACTORY, PAY_NATIVE, PAY_TOKENS, delegates_of
from bitlinkpay.chains.evm.plan import EvmPlan, Shape
from bitlinkpay.chains.evm.recipients import objection
from bitlinkpay.chains.outgoing import CannotPlan

ETH, USDT = coin(), token("0x" + "da" * 20)
ADDRESSES = st.binary(min_size=20, max_size=20).map(from_bytes)
UNITS = st.integers(1, 2**256 - 1)
PLAN = EvmPlan(Shape.BATCH, 1, nonce=0, gas_limit=1, max_fee=1, priority_fee=0, item_gas=77_000)


@given(ADDRESSES, UNITS)
def test_a_transfer_is_what_the_abi_says(target: str, units: int) -> None:
    assert abi.transfer(target, units) == bytes.fromhex("a9059cbb") + encode(["address", "uint256"], [target, units])


@given(st.lists(st.tuples(ADDRESSES, UNITS), min_size=1, max_size=30))
def test_batches_are_what_the_abi_says(items: list[tuple[str, int]]) -> None:
    tokens = build(payout(USDT, *items), PLAN, USDT)
    types = ["address", "uint256", "(address,uint256)[]"]
    assert tokens.data == PAY_TOKENS + encode(types, [USDT.contract, 77_000, items])
    coins = build(payout(ETH, *items), PLAN, ETH)
    assert coins.data == PAY_NATIVE + encode(types[1:], [77_000, items])
    assert {(action.to, action.value, action.delegate) for action in (tokens, coins)} == {(HOT.address, 0, "")}


def test_a_payment_of_nothing_in_particular_is_a_broken_belief() -> None:
    for plan, asset in ((PLAN, None), (EvmPlan(Shape.TOKEN, 1, 0, 1, 1, 0), ETH)):
        with pytest.raises(AssertionError):
            build(payout(ETH, (deposit(1).address, 1)), plan, asset)


REFUSED = {
    "the zero address": "0x" + "00" * 20,
    "a burn address": "0x000000000000000000000000000000000000dEaD",
    "all ones": "0x" + "ff" * 20,
    "the stand-in for native coin": "0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE",
    "ecrecover": "0x" + "00" * 19 + "01",
    "the last of Prague's BLS precompiles": "0x" + "00" * 19 + "11",
    "P256VERIFY": "0x" + "00" * 18 + "0100",
    "Arbitrum's ArbSys": "0x" + "00" * 19 + "64",
    "a token's contract": USDT.contract,
    "the paying wallet": HOT.address,
    "its executor": delegates_of(HOT.address).executor,
    "its sweeper": delegates_of(HOT.address).sweeper,
    "the deployment proxy": FACTORY,
}


@pytest.mark.parametrize("address", REFUSED.values(), ids=REFUSED.keys())
def test_PAY_27_addresses_that_nobody_can_have_meant_are_named(address: str) -> None:
    assert objection(parse(address), [ETH, USDT], HOT.address)


@given(st.binary(min_size=20, max_size=20).filter(lambda raw: any(raw[:18])).map(from_bytes))
def test_PAY_27_others_are_taken(address: str) -> None:
    if address not in {parse(each) for each in REFUSED.values()}:
        assert objection(address, [ETH, USDT], HOT.address) == ""


@pytest.mark.parametrize("address", ["0x" + "00" * 20, "0x000000000000000000000000000000000000dEaD"])
async def test_PAY_27_a_payout_there_is_refused_alone_and_in_a_batch(desk: Desk, address: str) -> None:
    await desk.set_up()
    fine = deposit(9).address
    for targets in ([(address, 5)], [(fine, 5), (parse(address), 5)]):
        with pytest.raises(CannotPlan, match="nobody holds its key"):
            await desk.prepare(payout(desk.net.usdt, *((parse(each), units) for each, units in targets)))
    assert (await desk.prepare(payout(desk.net.usdt, (fine, 5)))).plan.shape is Shape.TOKEN
