"""Energy that the hot wallet lends: what it takes, what it saves, what java-tron refuses, and that it comes back whole."""

import pytest
from tests.chains.tron.desk import BOB, HOT, ORDER, TRX, Desk, deposit, desk, hot
from tests.chains.tron.ledger import DAY_MS
from tests.chains.tron.rows import coin, token
from tests.chains.tron.wallets import Payer

from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.outgoing import CannotPlan, FeeQuote, Intent, LacksGas, Loan, Purpose
from bitlinkpay.chains.tron.fees import Cost, Prices
from bitlinkpay.chains.tron.lending import STAKE_MIN, TronLending
from bitlinkpay.chains.tron.wire import Resources

STAKE = 9_000 * TRX
LENDING, RECALLING, SWEEPING = 282_000, 284_000, 348_000  # what their bytes cost without an allowance, in sun


@pytest.fixture
async def ours(net, chains, usdt, usdt_row) -> Desk:
    """A hot wallet with 9,000 TRX of stake beside its coin, and an order's address with 10 USDT and no account."""
    net.pay(HOT.address, 20_000 * TRX)
    usdt.send("transfer(address,uint256)", HOT.address, 10**9)
    usdt.send("transfer(address,uint256)", ORDER.address, 10**7)
    await net.mine()
    net.act(HOT, "FreezeBalanceV2Contract", frozen_balance=STAKE, resource=1)
    await net.finalize()
    return desk(net, chains(*net.servers, assets=[usdt_row], quorum=2), usdt_row)


@pytest.fixture
def lending(ours) -> TronLending:
    return TronLending(ours.chain.access)


def sweep(ours: Desk, asset: object, units: int = 10**7) -> Intent:
    return ours.intent(asset, units, HOT.address, purpose=Purpose.SWEEP, payer=deposit(ORDER))


def loan(ours: Desk, units: int, purpose: Purpose, target: str = ORDER.address) -> Intent:
    return ours.intent(coin(), units, target, purpose=purpose)


async def activate(ours: Desk) -> None:
    ours.net.pay(ORDER.address, 1)
    await ours.net.finalize()


async def pass_day(ours: Desk) -> None:
    ours.net.mine_now(after_ms=DAY_MS)
    await ours.net.finalize()


async def lent(ours: Desk, lending: TronLending, asset: object) -> Loan:
    """Lend what a sweep takes."""
    offer = await lending.loan(sweep(ours, asset), hot(HOT))
    assert (await ours.carry(loan(ours, offer.stake_units, Purpose.LEND))).delivered == (True,)
    return offer


async def test_TRX_10_lent_energy_sweeps_for_nothing_and_goes_back(ours, lending, usdt_row) -> None:
    await activate(ours)
    with pytest.raises(LacksGas):
        await ours.plan(sweep(ours, usdt_row))
    offer = await lent(ours, lending, usdt_row)
    assert await lending.lent(hot(HOT), ORDER.address) == offer.stake_units
    assert await lending.lendable(hot(HOT)) == STAKE - offer.stake_units
    before = await ours.net.balance(usdt_row, HOT.address)
    swept = await ours.carry(sweep(ours, usdt_row))
    assert (swept.delivered, swept.fee_units) == ((True,), 0)
    assert await ours.net.balance(usdt_row, HOT.address) == before + 10**7
    assert await ours.net.balance(coin(), ORDER.address) == 1, "the coin that opened the account, and nothing was burnt"
    assert (await ours.carry(loan(ours, offer.stake_units, Purpose.RECALL))).delivered == (True,)
    assert await lending.lent(hot(HOT), ORDER.address) == 0


async def test_what_the_borrower_used_is_used_at_the_lender_and_is_back_a_day_later(ours, lending, usdt_row) -> None:
    await activate(ours)
    offer = await lent(ours, lending, usdt_row)
    await ours.carry(sweep(ours, usdt_row))
    await ours.carry(loan(ours, offer.stake_units, Purpose.RECALL))
    spent = STAKE - await lending.lendable(hot(HOT))
    assert 0.8 * offer.stake_units < spent * 1.001 <= offer.stake_units, "all but the fifth that was lent to be sure"
    with pytest.raises(CannotPlan, match="can lend"):
        await ours.plan(loan(ours, STAKE, Purpose.LEND))
    await pass_day(ours)
    assert await lending.lendable(hot(HOT)) == STAKE
    assert await ours.plan(loan(ours, STAKE, Purpose.LEND))


async def test_a_loan_covers_all_that_the_sweep_may_use_and_a_fifth_more(ours, lending, usdt_row) -> None:
    await activate(ours)
    offer = await lending.loan(sweep(ours, usdt_row), hot(HOT))
    ours.net.pay(ORDER.address, 100 * TRX)
    await ours.net.mine()
    burnt = await ours.sender.quote(sweep(ours, usdt_row))
    assert offer.own == FeeQuote(0, burnt.units_max), "the limit is the worth of its energy, and none of it is burnt"
    assert offer.covered_units == burnt.units_max > burnt.units > 0
    energy = burnt.units_max // 100
    assert offer.stake_units == -(-energy // 10) * TRX, "ten energy a TRX on this network"


async def test_an_address_without_an_account_needs_one_first_and_then_has_the_usual_allowance(
    ours, lending, usdt_row
) -> None:
    offer = await lending.loan(sweep(ours, usdt_row), hot(HOT))
    assert offer.opens
    assert offer.own.units == 0, "the account that it gets may send 600 bytes a day"
    with pytest.raises(CannotPlan, match="has no account yet"):
        await ours.plan(loan(ours, offer.stake_units, Purpose.LEND))
    await activate(ours)
    known = await lending.loan(sweep(ours, usdt_row), hot(HOT))
    assert known == Loan(offer.stake_units, offer.lend, offer.recall, offer.own, opens=False)


async def test_an_address_that_used_up_its_free_bytes_needs_coin_for_them(ours, lending, usdt_row) -> None:
    await activate(ours)
    await lent(ours, lending, usdt_row)
    await ours.carry(sweep(ours, usdt_row, 10**6))
    again = await lending.loan(sweep(ours, usdt_row, 10**6), hot(HOT))
    assert again.own.units == again.own.units_max - again.covered_units == SWEEPING


async def test_energy_that_the_address_has_already_is_not_lent_again(ours, lending, usdt_row) -> None:
    await activate(ours)
    whole = await lending.loan(sweep(ours, usdt_row), hot(HOT))
    ours.net.act(ours.net.faucet, "DelegateResourceContract", balance=10**8, resource=1, receiver_address=ORDER.owner)
    await ours.net.mine()
    assert (await lending.loan(sweep(ours, usdt_row), hot(HOT))).stake_units == whole.stake_units - 10**8
    ours.net.act(ours.net.faucet, "DelegateResourceContract", balance=STAKE, resource=1, receiver_address=ORDER.owner)
    await ours.net.mine()
    enough = await lending.loan(sweep(ours, usdt_row), hot(HOT))
    assert (enough.stake_units, enough.covered_units) == (0, whole.covered_units)


async def test_lending_and_recalling_cost_their_bytes_once_the_free_ones_are_used(ours, lending, usdt_row) -> None:
    await pass_day(ours)
    fresh = await lending.loan(sweep(ours, usdt_row), hot(HOT))
    assert (fresh.lend.units, fresh.lend.units_max) == (0, LENDING)
    assert fresh.recall.units == 0, "600 free bytes hold both"
    await activate(ours)
    assert (await ours.carry(loan(ours, 2 * TRX, Purpose.LEND))).fee_units == 0
    partly = await lending.loan(sweep(ours, usdt_row), hot(HOT))
    assert (partly.lend.units, partly.recall.units) == (0, RECALLING), "once more, and then they are used up"
    assert (await ours.carry(loan(ours, TRX, Purpose.RECALL))).fee_units == 0
    spent = await lending.loan(sweep(ours, usdt_row), hot(HOT))
    assert (spent.lend.units, spent.recall.units) == (LENDING, RECALLING)
    assert 0 <= RECALLING - (await ours.carry(loan(ours, TRX, Purpose.RECALL))).fee_units < 10_000


@pytest.mark.parametrize(
    ("units", "reason"),
    [(STAKE_MIN - 1, "at least 1000000 sun"), (STAKE + 1, f"can lend {STAKE} sun of stake, not {STAKE + 1}")],
)
async def test_what_the_network_would_refuse_to_lend_is_no_plan(ours, units: int, reason: str) -> None:
    await activate(ours)
    with pytest.raises(CannotPlan, match=reason):
        await ours.plan(loan(ours, units, Purpose.LEND))
    assert await ours.plan(loan(ours, STAKE_MIN, Purpose.LEND))


async def test_what_was_not_lent_cannot_be_taken_back(ours, lending) -> None:
    await activate(ours)
    await ours.carry(loan(ours, 5 * TRX, Purpose.LEND))
    with pytest.raises(CannotPlan, match="has lent 5000000 sun of stake"):
        await ours.plan(loan(ours, 5 * TRX + 1, Purpose.RECALL))
    await ours.carry(loan(ours, 2 * TRX, Purpose.RECALL))
    assert await lending.lent(hot(HOT), ORDER.address) == 3 * TRX


async def test_a_loan_counts_as_lent_by_final_blocks_and_by_what_endpoints_agree_on(ours, lending) -> None:
    await activate(ours)
    await ours.send(loan(ours, 5 * TRX, Purpose.LEND))
    await ours.net.mine()
    assert await lending.lent(hot(HOT), ORDER.address) == 0
    await ours.net.finalize()

    def forget(path: str, _body: object, answer: object) -> object:
        return {} if path.endswith("getdelegatedresourcev2") else answer

    ours.net.servers[0].edit = forget
    assert await lending.lent(hot(HOT), ORDER.address) == 5 * TRX
    ours.net.servers[1].edit = lambda path, *given: (
        {"delegatedResource": [{"frozen_balance_for_energy": 1}]}
        if path.endswith("getdelegatedresourcev2")
        else given[1]
    )
    with pytest.raises(ChainError):
        await lending.lent(hot(HOT), ORDER.address)


async def test_a_node_that_does_not_tell_what_stake_is_worth_lends_nothing(ours, lending, usdt_row) -> None:
    def mute(path: str, _body: object, answer: object) -> object:
        return {**answer, "TotalEnergyWeight": 0} if path.endswith("getaccountresource") else answer

    assert (await lending.loan(sweep(ours, usdt_row), hot(HOT))).stake_units
    for server in ours.net.servers:
        server.edit = mute
    with pytest.raises(CannotPlan, match="no node tells"):
        await lending.loan(sweep(ours, usdt_row), hot(HOT))


async def test_a_sweep_that_would_fail_gets_no_loan(ours, lending, usdt, usdt_row) -> None:
    with pytest.raises(CannotPlan, match="cannot be paid"):
        await lending.loan(sweep(ours, usdt_row, 10**9), hot(HOT))
    with pytest.raises(CannotPlan, match="is no asset of"):
        await lending.loan(sweep(ours, token(usdt.address, symbol="OTHER")), hot(HOT))


async def test_a_payout_is_quoted_and_paid_with_the_hot_wallets_own_energy(ours, usdt_row) -> None:
    await pass_day(ours)
    payout = ours.intent(usdt_row, 7)
    quote = await ours.sender.quote(payout)
    assert quote.units == 0 < quote.units_max, "stake pays for the call, and free bytes for its size"
    assert (await ours.carry(payout)).fee_units == 0
    ours.net.act(HOT, "DelegateResourceContract", balance=4_000 * TRX, resource=1, receiver_address=BOB.owner)
    ours.net.pay(BOB.address, 1)
    await ours.net.mine()
    other = ours.intent(usdt_row, 7, Payer.named("a new holder").address)
    ours.net.act(HOT, "DelegateResourceContract", balance=4_000 * TRX, resource=1, receiver_address=BOB.owner)
    await ours.net.mine()
    partly = await ours.sender.quote(other)
    assert 0 < partly.units < partly.units_max, "what it lent out it does not have for itself"


PRICES = Prices(energy=100, byte=1_000, account=1_000_000, account_bandwidth=100_000)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Resources(net_limit=300), Resources(net_limit=300, net_used=300)),
        (Resources(net_limit=299, free_net_limit=600), Resources(net_limit=299, free_net_limit=600, free_net_used=300)),
        (Resources(free_net_limit=600, free_net_used=301), Resources(free_net_limit=600, free_net_used=301)),
    ],
)
def test_bytes_come_out_of_staked_bandwidth_first_then_of_the_free_then_of_coin(
    before: Resources, after: Resources
) -> None:
    cost = Cost(0, 0, 300 - 64)
    assert cost.after(before) == after
    assert cost.burnt(PRICES, before) == (0 if before != after else 300_000)


def test_the_limit_is_the_worth_of_the_energy_that_is_allowed() -> None:
    cost = Cost(1_000, 200, 281)
    assert cost.energy_limit == 1_440
    assert cost.fee_limit(PRICES) == 144_000
