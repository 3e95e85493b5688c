"""Payments of our own on TRON, from intent to outcome, through the shipped sender and signer."""

import msgspec
import pytest
from tests.chains.tron.desk import BOB, HOT, ORDER, TRX, Desk, deposit, desk, hot
from tests.chains.tron.rows import coin, token
from tests.chains.tron.wallets import Payer

from bitlinkpay.chains.base import FateState
from bitlinkpay.chains.outgoing import CannotPlan, FeeTooHigh, LacksGas, Purpose, Sent, Slot
from bitlinkpay.chains.tron.plan import TronPlan
from bitlinkpay.signer.families.tron import sign

TRANSFER = "transfer(address,uint256)"


@pytest.fixture
async def ours(net, chains, usdt, usdt_row) -> Desk:
    """A funded hot wallet, two of three endpoints agreeing."""
    net.pay(HOT.address, 10_000 * TRX)
    usdt.send(TRANSFER, HOT.address, 10**9)
    await net.finalize()
    return desk(net, chains(*net.servers, assets=[usdt_row], quorum=2), usdt_row)


async def test_a_payout_of_coin_and_of_tokens_arrives_and_costs_what_was_said(ours, usdt_row) -> None:
    ours.net.pay(BOB.address, 1)
    await ours.net.finalize()
    for asset, units in ((coin(), 5 * TRX), (usdt_row, 123_456), (usdt_row, 1), (coin(), 1)):
        intent = ours.intent(asset, units)
        quote = await ours.sender.quote(intent)
        before = await ours.net.balance(coin(), HOT.address)
        held = await ours.net.balance(asset, BOB.address)
        outcome = await ours.carry(intent)
        assert (outcome.state, outcome.delivered) == (FateState.FINAL, (True,))
        assert await ours.net.balance(asset, BOB.address) == held + units
        spent = before - await ours.net.balance(coin(), HOT.address) - (units if asset.is_native else 0)
        assert outcome.fee_units == spent
        assert spent <= quote.units <= spent + 10_000, "sizes are reckoned a few bytes long"
        assert quote.units <= quote.units_max


async def test_an_outcome_goes_from_pending_to_final_and_back_with_the_chain(ours, usdt_row) -> None:
    intent = ours.intent(usdt_row, 7)
    plan, signed = await ours.sign(intent)
    assert (await ours.sender.outcome(intent, plan, signed)).state is FateState.UNKNOWN
    assert (await ours.sender.broadcast(signed)).sent is Sent.ACCEPTED
    assert (await ours.sender.outcome(intent, plan, signed)).state is FateState.PENDING
    await ours.net.mine()
    mined = await ours.sender.outcome(intent, plan, signed)
    assert (mined.state, mined.delivered, mined.block.height) == (FateState.MINED, (), ours.net.height)
    await ours.net.reorg(1)
    assert (await ours.sender.outcome(intent, plan, signed)).state is FateState.UNKNOWN
    assert (await ours.sender.broadcast(signed)).sent is Sent.ACCEPTED, "PAY-12: the same bytes again"
    await ours.net.finalize()
    assert (await ours.sender.outcome(intent, plan, signed)).delivered == (True,)
    assert await ours.net.balance(usdt_row, BOB.address) == 7


async def test_TRX_02_an_outcome_after_a_restart_is_final_by_the_solidified_state_alone(
    net, chains, usdt_row, ours
) -> None:
    intent = ours.intent(usdt_row, 7)
    plan, signed = await ours.send(intent)
    await net.finalize()

    def undecided(path: str, _body: object, answer: object) -> object:
        newest = path == "/wallet/gettransactioninfobyblocknum"
        return [{**info, "log": []} for info in answer] if newest else answer

    for server in net.servers:
        server.edit = undecided
    restarted = desk(net, chains(*net.servers, assets=[usdt_row], quorum=2), usdt_row)
    outcome = await restarted.sender.outcome(intent, plan, signed)
    assert (outcome.state, outcome.delivered) == (FateState.FINAL, (True,))


async def test_PAY_06_bytes_that_are_known_already_are_accepted_and_pay_once(ours, usdt_row) -> None:
    _, signed = await ours.send(ours.intent(usdt_row, 7))
    for _ in range(3):
        assert (await ours.sender.broadcast(signed)).sent is Sent.ACCEPTED
    await ours.net.finalize()
    assert (await ours.sender.broadcast(signed)).sent is Sent.ACCEPTED
    assert await ours.net.balance(usdt_row, BOB.address) == 7


async def test_NODE_11_taken_by_a_node_is_not_in_a_block(ours, usdt_row) -> None:
    intent = ours.intent(usdt_row, 7)
    plan, signed = await ours.send(intent)
    ours.net.drop_pending(signed.txid)
    await ours.net.finalize()
    assert (await ours.sender.outcome(intent, plan, signed)).state is FateState.UNKNOWN


async def test_NODE_12_an_error_for_an_answer_does_not_mean_that_it_did_not_spread(ours, usdt_row) -> None:
    def taken_all_the_same(path: str, _body: object, answer: object) -> object:
        return {"code": "SERVER_BUSY"} if path.endswith("broadcasthex") else answer

    for server in ours.net.servers:
        server.edit = taken_all_the_same
    intent = ours.intent(usdt_row, 7)
    plan, signed = await ours.sign(intent)
    assert (await ours.sender.broadcast(signed)).sent is Sent.UNCLEAR
    await ours.net.finalize()
    assert (await ours.sender.outcome(intent, plan, signed)).delivered == (True,)


async def test_one_node_that_takes_it_is_enough(ours, usdt_row) -> None:
    _, signed = await ours.sign(ours.intent(usdt_row, 8))
    for server in ours.net.servers[1:]:
        server.status = 503
    assert (await ours.sender.broadcast(signed)).sent is Sent.ACCEPTED
    await ours.net.finalize()
    assert await ours.net.balance(usdt_row, BOB.address) == 8


async def test_bytes_that_came_too_late_are_refused_with_the_reason(ours, usdt_row) -> None:
    _, signed = await ours.sign(ours.intent(usdt_row, 8))
    await ours.net.mine(200)
    said = await ours.sender.broadcast(signed)
    assert said.sent is Sent.REFUSED
    assert said.reason.startswith("TRANSACTION_EXPIRATION_ERROR expiration time is")


async def test_two_equal_payments_are_two_transactions(ours, usdt_row) -> None:
    intents = [ours.intent(usdt_row, 7) for _ in range(5)]
    signed = [(await ours.send(intent))[1] for intent in intents]
    assert len({each.txid for each in signed}) == 5
    await ours.net.finalize()
    assert await ours.net.balance(usdt_row, BOB.address) == 35


async def test_a_plan_survives_the_database_and_gives_the_same_bytes(ours, usdt_row) -> None:
    intent = ours.intent(usdt_row, 7)
    plan, signed = await ours.sign(intent)
    stored = msgspec.json.decode(msgspec.json.encode(plan), type=TronPlan)
    assert stored == plan
    assert sign(intent, stored, ours.keys) == signed


async def test_there_is_no_fee_bump(ours, usdt_row) -> None:
    intent = ours.intent(usdt_row, 7)
    plan = await ours.plan(intent)
    with pytest.raises(CannotPlan, match="no fee bump"):
        await ours.sender.plan(intent, Slot(9), plan)


async def test_the_lane_says_whether_there_is_an_account(ours) -> None:
    assert (await ours.sender.lane(hot(HOT))).is_ready
    assert not (await ours.sender.lane(deposit(ORDER))).is_ready
    assert ours.sender.payments_max(coin(), Purpose.PAYOUT) == 1
    assert await ours.sender.choose(ours.intent(coin(), 1), []) == ()


async def test_PAY_22_a_recipient_without_an_account_costs_its_activation(ours) -> None:
    stranger = Payer.named("somebody new").address
    quote = await ours.sender.quote(ours.intent(coin(), TRX, stranger))
    assert quote.units == 1_100_000, "1 TRX for the account, 0.1 TRX for its bytes"
    outcome = await ours.carry(ours.intent(coin(), TRX, stranger))
    assert (outcome.fee_units, outcome.delivered) == (1_100_000, (True,))
    assert await ours.net.balance(coin(), stranger) == TRX
    again = await ours.sender.quote(ours.intent(coin(), TRX, stranger))
    assert again.units == 0, "268 bytes fit the free allowance of a day"


async def test_PAY_22_tokens_activate_nobody_and_cost_more_energy_for_a_new_holder(ours, usdt_row) -> None:
    new = await ours.sender.quote(ours.intent(usdt_row, 5, Payer.named("new holder").address))
    ours.net.pay(BOB.address, 1)
    await ours.carry(ours.intent(usdt_row, 5))
    known = await ours.sender.quote(ours.intent(usdt_row, 5))
    assert new.units > known.units > 0


async def test_PAY_21_out_of_energy_books_the_fee_and_delivers_nothing(ours, usdt_row) -> None:
    intent = ours.intent(usdt_row, 7)
    plan = await ours.plan(intent)
    starved = msgspec.json.decode(
        msgspec.json.encode({**msgspec.to_builtins(plan), "fee_limit": 100_000}), type=TronPlan
    )
    signed = sign(intent, starved, ours.keys)
    await ours.sender.broadcast(signed)
    await ours.net.finalize()
    outcome = await ours.sender.outcome(intent, starved, signed)
    assert (outcome.state, outcome.delivered) == (FateState.FAILED, (False,))
    assert outcome.fee_units == 100_000
    assert await ours.net.balance(usdt_row, BOB.address) == 0
    assert (await ours.carry(ours.intent(usdt_row, 7))).delivered == (True,), "a new one with enough energy"


async def test_PAY_21_the_limit_leaves_room_for_a_busy_contract(ours, usdt_row) -> None:
    plain = await ours.plan(ours.intent(usdt_row, 7))
    for server in ours.net.servers:
        server.penalty = 50_000
    busy = await ours.plan(ours.intent(usdt_row, 7))
    assert busy.fee_limit >= plain.fee_limit + 2 * 50_000 * 100


@pytest.mark.parametrize("is_native", [True, False])
async def test_a_payout_still_goes_when_those_before_it_used_up_the_free_bandwidth(ours, usdt_row, is_native) -> None:
    """Its price was the most that it could cost at that moment: nothing went until the next day's allowance."""
    ours.net.pay(BOB.address, 1)
    await ours.net.finalize()
    asset = coin() if is_native else usdt_row
    quoted = await ours.sender.quote(ours.intent(asset, 7))
    for _ in range(2):
        await ours.carry(ours.intent(asset, 5))
    outcome = await ours.carry(ours.intent(asset, 7, fee_max_units=quoted.units_max))
    assert outcome.delivered == (True,)
    assert outcome.fee_units <= quoted.units_max
    assert quoted.units == 0 < outcome.fee_units or not is_native


async def test_a_payout_whose_code_takes_a_little_more_than_quoted_gives_up_its_margin_first(ours, usdt_row) -> None:
    factor = 100

    def busier(path: str, _body: object, answer: object) -> object:
        if path.endswith("triggerconstantcontract"):
            answer["energy_used"] = answer["energy_used"] * factor // 100
        return answer

    quoted = await ours.sender.quote(ours.intent(usdt_row, 7))
    intent = ours.intent(usdt_row, 7, fee_max_units=quoted.units_max)
    usual = await ours.plan(intent)
    for server in ours.net.servers:
        server.edit = busier
    factor = 120
    plan = await ours.plan(intent)
    assert usual.fee_limit < plan.fee_limit == quoted.units_max - plan.burnt_units
    factor = 200
    with pytest.raises(FeeTooHigh, match="sun"):
        await ours.plan(intent)


async def test_NODE_10_a_price_a_thousand_times_too_high_is_not_paid(ours, usdt_row) -> None:
    def dear(path: str, _body: object, answer: object) -> object:
        if path.endswith("getchainparameters"):
            for parameter in answer["chainParameter"]:
                if parameter["key"] == "getEnergyFee":
                    parameter["value"] *= 1000
        return answer

    ours.net.servers[0].edit = dear
    usual = await ours.sender.quote(ours.intent(usdt_row, 7))
    for server in ours.net.servers:
        server.edit = dear
    with pytest.raises(FeeTooHigh):
        await ours.plan(ours.intent(usdt_row, 7, fee_max_units=2 * usual.units_max))
    for server in ours.net.servers:
        server.edit = None
    assert await ours.plan(ours.intent(usdt_row, 7, fee_max_units=2 * usual.units_max))


async def test_what_would_fail_is_not_planned(ours, usdt, usdt_row) -> None:
    for intent, why in (
        (ours.intent(usdt_row, 10**12), "cannot be paid"),
        (ours.intent(coin(), 10**12), "is to pay"),
        (ours.intent(token(BOB.address, symbol="GONE"), 5), "no asset of tron"),
    ):
        with pytest.raises(CannotPlan, match=why):
            await ours.plan(intent)
    usdt.send("setBlackListed(address,bool)", HOT.address, True)
    await ours.net.mine()
    with pytest.raises(CannotPlan, match="cannot be paid"):
        await ours.plan(ours.intent(usdt_row, 7))
    usdt.send("setBlackListed(address,bool)", HOT.address, False)
    await ours.net.mine()
    assert (await ours.carry(ours.intent(usdt_row, 7))).delivered == (True,)


async def test_PAY_28_payouts_to_contracts_are_refused(ours, usdt, usdt_row) -> None:
    for asset in (coin(), usdt_row):
        with pytest.raises(CannotPlan, match="is a contract"):
            await ours.plan(ours.intent(asset, 5, usdt.address))
    assert await ours.plan(ours.intent(usdt_row, 5))


async def test_PAY_27_a_payment_to_oneself_is_no_plan(ours) -> None:
    with pytest.raises(AssertionError, match="to oneself"):
        await ours.plan(ours.intent(coin(), 5, HOT.address))


async def test_a_token_that_answers_false_is_refused_before_and_not_delivered_after(net, chains) -> None:
    liar = await net.deploy("FalseToken")
    row = token(liar.address, symbol="FALSE")
    net.pay(HOT.address, 1_000 * TRX)
    liar.send(TRANSFER, HOT.address, 10**9)
    await net.finalize()
    ours = desk(net, chains(*net.servers, assets=[row], quorum=2), row)
    intent = ours.intent(row, 7)
    plan, signed = await ours.sign(intent)
    outcome_before = await ours.sender.outcome(intent, plan, signed)
    assert outcome_before.state is FateState.UNKNOWN

    def false(path: str, _body: object, answer: object) -> object:
        return {**answer, "constant_result": ["00" * 32]} if path.endswith("constantcontract") else answer

    for server in net.servers:
        server.edit = false
    with pytest.raises(CannotPlan, match="refuses the payment"):
        await ours.plan(ours.intent(row, 7))

    def silent(path: str, _body: object, answer: object) -> object:
        return [{**info, "log": []} for info in answer] if path.endswith("infobyblocknum") else answer

    for server in net.servers:
        server.edit = silent
    await ours.sender.broadcast(signed)
    await net.finalize()
    outcome = await ours.sender.outcome(intent, plan, signed)
    assert (outcome.state, outcome.delivered) == (FateState.FINAL, (False,)), "no log, no delivery"


async def test_TRX_11_a_wallet_under_foreign_keys_is_not_used_any_more(ours, usdt_row, caplog) -> None:
    eve = Payer.named("eve")
    owner = {"permission_name": "owner", "threshold": 1, "keys": [{"address": eve.owner, "weight": 1}]}
    assert await ours.plan(ours.intent(usdt_row, 7))
    ours.net.act(HOT, "AccountPermissionUpdateContract", owner=owner)
    await ours.net.mine()
    for asset in (coin(), usdt_row):
        with pytest.raises(CannotPlan, match="foreign keys"):
            await ours.plan(ours.intent(asset, 7))
    assert "takes signatures of foreign keys" in caplog.text


async def test_TRX_10_a_deposit_address_that_was_never_activated_is_swept_with_gas(ours, usdt, usdt_row) -> None:
    usdt.send(TRANSFER, ORDER.address, 10**7)
    await ours.net.finalize()
    final = (await ours.chain.head()).final.height
    assert await ours.chain.balances(usdt_row, [ORDER.address], final) == [10**7]
    sweep = ours.intent(usdt_row, 10**7, HOT.address, purpose=Purpose.SWEEP, payer=deposit(ORDER))
    with pytest.raises(LacksGas) as lacking:
        await ours.sender.quote(sweep)
    gas = ours.intent(coin(), lacking.value.units, ORDER.address, purpose=Purpose.GAS)
    assert (await ours.carry(gas)).delivered == (True,)
    before = await ours.net.balance(usdt_row, HOT.address)
    outcome = await ours.carry(sweep)
    assert (outcome.state, outcome.delivered) == (FateState.FINAL, (True,))
    assert 0 < outcome.fee_units <= lacking.value.units
    assert await ours.net.balance(usdt_row, HOT.address) == before + 10**7
