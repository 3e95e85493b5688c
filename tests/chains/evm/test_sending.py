"""Payments through the shipped sender and signer on a real node, judged by what the chain holds afterwards."""

from dataclasses import replace

import pytest
from eth_account import Account
from tests.chains.evm.desk import Desk
from tests.chains.evm.network import EvmNetwork
from tests.chains.evm.ours import HOT, deposit, intent, pay, payout, sweep

from bitlinkpay.chains.base import FateState
from bitlinkpay.chains.codec.evm import parse
from bitlinkpay.chains.evm.delegates import FACTORY, delegates_of, designator
from bitlinkpay.chains.evm.plan import Shape
from bitlinkpay.chains.evm.planning import SenderOptions
from bitlinkpay.chains.outgoing import CannotPlan, Intent, LacksGas, Lane, Purpose, numbers_taken
from bitlinkpay.core.assets import Asset

A, B, C = (deposit(i).address for i in range(101, 104))
STRANGER = Account.from_key(b"\x51" * 32).address


async def balances(desk: Desk, asset: Asset, *addresses: str) -> list[int]:
    return [await desk.net.balance(asset, address) for address in addresses]


async def test_one_payment_of_each_kind_arrives_to_the_unit(desk: Desk) -> None:
    await desk.fund()
    before = await desk.net.balance(desk.net.native, HOT.address)
    coin = await desk.send(payout(desk.net.native, (A, 12_345)))
    dollars = await desk.send(payout(desk.net.usdt, (B, 67_890)))
    assert (coin.plan.shape, dollars.plan.shape) == (Shape.NATIVE, Shape.TOKEN)
    assert (await desk.outcome(coin)).state is FateState.PENDING
    await desk.net.mine()
    mined = await desk.outcome(dollars)
    assert (mined.state, mined.delivered) == (FateState.MINED, ())
    await desk.net.finalize()
    ends = [await desk.outcome(attempt) for attempt in (coin, dollars)]
    assert [(end.state, end.delivered) for end in ends] == [(FateState.FINAL, (True,))] * 2
    assert await balances(desk, desk.net.native, A, HOT.address) == [
        12_345,
        before - 12_345 - sum(e.fee_units for e in ends),
    ]
    assert await balances(desk, desk.net.usdt, B, HOT.address) == [67_890, 10**12 - 67_890]


async def test_a_quote_is_what_it_costs_and_its_highest_is_not_reached(desk: Desk) -> None:
    await desk.fund()
    wanted = payout(desk.net.usdt, (A, 5))
    quote = await desk.sender.quote(wanted)
    attempt = await desk.send(wanted)
    await desk.settle()
    cost = (await desk.outcome(attempt)).fee_units
    assert quote.units * 80 <= cost * 100 <= quote.units * 110
    assert cost <= attempt.plan.fee_max_units <= quote.units_max * 110 // 100


async def test_a_wallet_is_set_up_once_and_the_lane_goes_two_numbers_on(desk: Desk) -> None:
    await desk.fund()
    assert await desk.sender.lane(HOT) == Lane(final_number=0, next_number=0, is_ready=False)
    attempt = await desk.send(intent(Purpose.SETUP))
    assert attempt.plan.deploys
    await desk.net.mine()
    assert not (await desk.sender.lane(HOT)).is_ready, "not before it is final"
    await desk.net.finalize()
    assert await desk.sender.lane(HOT) == Lane(final_number=2, next_number=2, is_ready=True)
    assert numbers_taken(desk.net.network.family, Purpose.SETUP) == 2
    assert (await desk.outcome(attempt)).delivered == ()
    code = await desk.net.node.rpc("eth_getCode", HOT.address, "latest")
    assert code == "0x" + designator(delegates_of(HOT.address).executor).hex()


async def test_a_set_up_after_somebody_deployed_our_code_only_delegates(desk: Desk) -> None:
    first = await desk.set_up()
    await desk.net.node.rpc("anvil_setCode", HOT.address, "0x")  # as if it had never delegated
    again = await desk.prepare(intent(Purpose.SETUP))
    assert (first.plan.deploys, again.plan.deploys) == (True, False)
    await desk.broadcast(again)
    await desk.settle()
    assert (await desk.sender.lane(HOT)).is_ready


async def test_a_batch_of_fifty_pays_each_exactly_and_costs_less(desk: Desk) -> None:
    await desk.set_up()
    targets = [(deposit(i).address, 1_000 + i) for i in range(200, 250)]
    for asset in (desk.net.usdt, desk.net.native):
        attempt = await desk.send(payout(asset, *targets))
        assert attempt.plan.shape is Shape.BATCH
        await desk.settle()
        assert (await desk.outcome(attempt)).delivered == (True,) * 50
        assert await balances(desk, asset, *(a for a, _ in targets)) == [units for _, units in targets]
    again = await desk.send(payout(desk.net.usdt, *targets))
    await desk.settle()
    assert await desk.gas_used(again) < 50 * 13_000


async def test_one_recipient_twice_in_a_batch_is_paid_twice(desk: Desk) -> None:
    await desk.set_up()
    attempt = await desk.send(payout(desk.net.usdt, (A, 7), (A, 7), (B, 8)))
    await desk.settle()
    assert (await desk.outcome(attempt)).delivered == (True, True, True)
    assert await balances(desk, desk.net.usdt, A, B) == [14, 8]


async def test_a_sweep_needs_no_coin_at_the_deposit_addresses_and_repeats_get_cheap(desk: Desk) -> None:
    await desk.set_up()
    sources = [(deposit(i), 500 + i) for i in range(300, 310)]
    costs = []
    for round_ in range(2):
        await desk.send(payout(desk.net.usdt, *((wallet.address, units) for wallet, units in sources)))
        await desk.settle()
        before = await desk.net.balance(desk.net.usdt, HOT.address)
        attempt = await desk.send(sweep(desk.net.usdt, *sources))
        assert len(attempt.plan.authorizations) == (0 if round_ else 10)
        await desk.settle()
        assert (await desk.outcome(attempt)).delivered == (True,) * 10
        assert await balances(desk, desk.net.usdt, HOT.address) == [before + sum(units for _, units in sources)]
        costs.append(await desk.gas_used(attempt))
    assert await balances(desk, desk.net.native, *(wallet.address for wallet, _ in sources)) == [0] * 10
    assert costs[1] * 2 < costs[0]


async def test_a_sweep_takes_exactly_what_it_says_and_leaves_the_rest(desk: Desk) -> None:
    await desk.set_up()
    await desk.net.fund(deposit(320).address, desk.net.usdt, 1_000)
    attempt = await desk.send(sweep(desk.net.usdt, (deposit(320), 400)))
    await desk.net.fund(deposit(320).address, desk.net.usdt, 77)
    await desk.settle()
    assert (await desk.outcome(attempt)).delivered == (True,)
    assert await balances(desk, desk.net.usdt, deposit(320).address) == [677]


async def test_a_deposit_address_with_coin_of_its_own_sends_itself(desk: Desk) -> None:
    source = deposit(330)
    await desk.net.fund(source.address, desk.net.native, 10**18)
    await desk.net.fund(source.address, desk.net.usdt, 900)
    tokens = intent(Purpose.SWEEP, [pay(desk.net.usdt, HOT.address, 900, source=source)], payer=source)
    first = await desk.prepare(tokens, number=0)
    await desk.broadcast(first)
    await desk.settle()
    quote = await desk.sender.quote(
        intent(Purpose.SWEEP, [pay(desk.net.native, HOT.address, 1, source=source)], payer=source)
    )
    rest = await desk.net.balance(desk.net.native, source.address) - 2 * quote.units_max
    coins = intent(Purpose.SWEEP, [pay(desk.net.native, HOT.address, rest, source=source)], payer=source)
    second = await desk.prepare(coins, number=1)
    await desk.broadcast(second)
    await desk.settle()
    assert [(await desk.outcome(each)).delivered for each in (first, second)] == [(True,)] * 2
    assert await balances(desk, desk.net.usdt, HOT.address) == [900]
    assert await balances(desk, desk.net.native, HOT.address) == [rest]


async def test_a_cancel_uses_up_its_number_and_pays_nobody(desk: Desk) -> None:
    await desk.fund()
    attempt = await desk.send(intent(Purpose.CANCEL))
    await desk.settle()
    assert (await desk.outcome(attempt)).state is FateState.FINAL
    assert (await desk.sender.lane(HOT)).final_number == 1


@pytest.mark.parametrize("decimals", [0, 18])
async def test_another_token_is_one_row(net: EvmNetwork, decimals: int) -> None:
    asset = await net.token(decimals)
    async with Desk.on(net, assets=[asset]) as desk:
        await desk.fund()
        await net.fund(HOT.address, asset, 10**20)
        attempt = await desk.send(payout(asset, (A, 10**19 + 1)))
        await desk.settle()
        assert (await desk.outcome(attempt)).delivered == (True,)
        assert await net.balance(asset, A) == 10**19 + 1


async def test_without_eip_7702_every_payment_is_a_transaction_of_its_own(net: EvmNetwork) -> None:
    async with Desk.on(net, options=SenderOptions(batches=False)) as desk:
        await desk.fund()
        assert (await desk.sender.lane(HOT)).is_ready, "there is nothing to set up"
        for asset in net.assets:
            assert {desk.sender.payments_max(asset, purpose) for purpose in Purpose} == {1}
        for wanted in (
            payout(net.usdt, (A, 1), (B, 1)),
            sweep(net.usdt, (deposit(1), 1)),
            intent(Purpose.SETUP),
        ):
            with pytest.raises(CannotPlan, match="one by one"):
                await desk.prepare(wanted)
        attempt = await desk.send(payout(net.usdt, (A, 1)))
        await desk.settle()
        assert (await desk.outcome(attempt)).delivered == (True,)


async def test_a_network_without_the_deployment_proxy_cannot_be_set_up(desk: Desk) -> None:
    await desk.fund()
    await desk.net.node.rpc("anvil_setCode", FACTORY, "0x")
    with pytest.raises(CannotPlan, match="batches = false"):
        await desk.prepare(intent(Purpose.SETUP))


def test_what_one_transaction_carries(desk: Desk) -> None:
    carried = {
        (asset.symbol, purpose): desk.sender.payments_max(asset, purpose)
        for asset in desk.net.assets
        for purpose in Purpose
    }
    assert {key for key, most in carried.items() if most == 50} == {
        ("USDT", Purpose.PAYOUT),
        ("ETH", Purpose.PAYOUT),
        ("USDT", Purpose.SWEEP),
    }
    assert set(carried.values()) == {1, 50}


class Refused:
    """An intent that cannot be carried out, with the words that say why; made on a network that is set up."""

    @staticmethod
    async def blacklisted_source(desk: Desk) -> tuple[Intent, str]:
        await desk.net.usdt_contract.send("setBlackListed(address,bool)", HOT.address, True)
        return payout(desk.net.usdt, (A, 5)), "it would fail"

    @staticmethod
    async def paused_token(desk: Desk) -> tuple[Intent, str]:
        await desk.net.usdt_contract.send("setPaused(bool)", True)
        return payout(desk.net.usdt, (A, 5)), "it would fail"

    @staticmethod
    async def paused_token_in_a_batch(desk: Desk) -> tuple[Intent, str]:
        await desk.net.usdt_contract.send("setPaused(bool)", True)
        return payout(desk.net.usdt, (A, 5), (B, 5)), f"2 of 2 payments would fail, first that with {A}"

    @staticmethod
    async def blacklisted_deposit_in_a_sweep(desk: Desk) -> tuple[Intent, str]:
        for i in (1, 2):
            await desk.net.fund(deposit(i).address, desk.net.usdt, 5)
        await desk.net.usdt_contract.send("setBlackListed(address,bool)", deposit(2).address, True)
        reason = f"1 of 2 payments would fail, first that with {deposit(2).address}"
        return sweep(desk.net.usdt, (deposit(1), 5), (deposit(2), 5)), reason

    @staticmethod
    async def too_little_of_the_token(desk: Desk) -> tuple[Intent, str]:
        return payout(desk.net.usdt, (A, 10**12), (B, 1)), r"holds 1000000000000 of the 1000000000001 base units"

    @staticmethod
    async def too_little_coin(desk: Desk) -> tuple[Intent, str]:
        return payout(desk.net.native, (A, 10**20)), "holds .* base units of eth-devnet"

    @staticmethod
    async def nothing_left_for_the_fee(desk: Desk) -> tuple[Intent, str]:
        held = await desk.net.balance(desk.net.native, HOT.address)
        return payout(desk.net.native, (A, held - 10**9)), "too little ETH for the fee"

    @staticmethod
    async def a_recipient_without_end(desk: Desk) -> tuple[Intent, str]:
        burner = await desk.net.node.deploy("Burner")
        return payout(desk.net.native, (parse(burner.address), 5)), "it would fail|recipient's code takes"

    @staticmethod
    async def a_memo(desk: Desk) -> tuple[Intent, str]:
        return intent(payments=[replace(pay(desk.net.usdt, A, 5), tag="77")]), "a memo"

    @staticmethod
    async def two_assets(desk: Desk) -> tuple[Intent, str]:
        return intent(payments=[pay(desk.net.usdt, A, 5), pay(desk.net.native, A, 5)]), "."

    @staticmethod
    async def an_unlisted_asset(desk: Desk) -> tuple[Intent, str]:
        return payout(replace(desk.net.usdt, id="usdc-devnet"), (A, 5)), "no asset usdc-devnet"

    @staticmethod
    async def a_sweep_elsewhere(desk: Desk) -> tuple[Intent, str]:
        await desk.net.fund(deposit(1).address, desk.net.usdt, 5)
        return intent(Purpose.SWEEP, [pay(desk.net.usdt, A, 5, source=deposit(1))]), "another address"


@pytest.mark.parametrize("case", [name for name in vars(Refused) if not name.startswith("_")])
async def test_PAY_30_what_would_fail_is_refused_with_its_reason_before_anything_is_signed(
    desk: Desk, case: str
) -> None:
    await desk.set_up()
    wanted, reason = await getattr(Refused, case)(desk)
    await desk.net.mine()
    with pytest.raises(CannotPlan, match=reason):
        await desk.prepare(wanted)
    await desk.net.usdt_contract.send("setPaused(bool)", False)
    await desk.net.usdt_contract.send("setBlackListed(address,bool)", HOT.address, False)
    await desk.net.mine()
    assert (await desk.prepare(payout(desk.net.usdt, (A, 5)))).plan.nonce == 2, "the genuine one goes"


async def test_PAY_32_a_token_payout_without_coin_for_its_gas_waits(desk: Desk) -> None:
    await desk.net.fund(HOT.address, desk.net.usdt, 1_000)
    with pytest.raises(LacksGas, match="too little ETH for the fee: 0 wei") as lacking:
        await desk.prepare(payout(desk.net.usdt, (A, 5)))
    await desk.net.fund(HOT.address, desk.net.native, lacking.value.units * 2)
    attempt = await desk.send(payout(desk.net.usdt, (A, 5)))
    await desk.settle()
    assert (await desk.outcome(attempt)).delivered == (True,)


async def test_PAY_28_a_recipient_with_code_is_paid_within_a_fixed_limit_of_gas(net: EvmNetwork) -> None:
    ledger, burner = await net.node.deploy("Ledger"), await net.node.deploy("Burner")
    async with Desk.on(net) as desk:
        await desk.fund()
        attempt = await desk.send(payout(net.native, (parse(ledger.address), 5)))
        await desk.settle()
        assert (await desk.outcome(attempt)).delivered == (True,)
        with pytest.raises(CannotPlan):
            await desk.prepare(payout(net.native, (parse(burner.address), 5)))
    async with Desk.on(net, options=SenderOptions(item_gas=20_000)) as strict:
        with pytest.raises(CannotPlan, match="recipient's code takes"):
            await strict.prepare(payout(net.native, (parse(ledger.address), 5)), number=1)


async def test_an_account_of_ours_that_runs_other_code_stops_everything(desk: Desk) -> None:
    await desk.set_up()
    await desk.net.fund(deposit(1).address, desk.net.usdt, 5)
    foreign = "0xef0100" + STRANGER[2:].lower()
    await desk.net.node.rpc("anvil_setCode", deposit(1).address, foreign)
    with pytest.raises(CannotPlan, match=f"runs the code of {STRANGER}, which is not ours"):
        await desk.prepare(sweep(desk.net.usdt, (deposit(1), 5)))
    await desk.net.node.rpc("anvil_setCode", HOT.address, foreign)
    await desk.settle()
    assert not (await desk.sender.lane(HOT)).is_ready
    with pytest.raises(CannotPlan, match=f"runs the code of {STRANGER}"):
        await desk.prepare(intent(Purpose.SETUP))
    with pytest.raises(CannotPlan, match="set it up first"):
        await desk.prepare(payout(desk.net.usdt, (A, 5), (B, 5)))


async def test_EVM_27_other_code_at_our_contracts_places_is_never_delegated_to(desk: Desk) -> None:
    await desk.fund()
    await desk.net.node.rpc("anvil_setCode", delegates_of(HOT.address).executor, "0x00")
    with pytest.raises(CannotPlan, match="is not ours"):
        await desk.prepare(intent(Purpose.SETUP))
    await desk.net.node.rpc("anvil_setCode", delegates_of(HOT.address).executor, "0x")
    await desk.set_up()
    await desk.net.node.rpc("anvil_setCode", delegates_of(HOT.address).sweeper, "0x00")
    await desk.settle()
    assert not (await desk.sender.lane(HOT)).is_ready
