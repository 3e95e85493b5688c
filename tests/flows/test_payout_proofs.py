"""Payouts that only proof decides: uncertain ones both ways, money that left before its deposit vanished, money that stays in."""

from datetime import timedelta

import pytest
from tests.flows.conftest import Start
from tests.flows.paying import STRANGERS, Cashier
from tests.flows.test_lanes import thaw
from tests.flows.test_payout_decisions import ASSET, GAS, NETWORK, UNIT, callbacks
from tests.flows.test_sending import drop
from tests.support.clock import ManualClock

from bitlinkpay.chains.outgoing import Intent, Purpose, Slot
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.deposits.model import Deposit
from bitlinkpay.payouts.model import Payout
from bitlinkpay.sandbox.model import Fork
from bitlinkpay.signer.keyring import KeyRing

STRANGER = STRANGERS["evm"]


@pytest.fixture
async def cashier(start: Start, ring: KeyRing) -> Cashier:
    cashier = Cashier(await start(), ring, ManualClock())
    await cashier.fund(ASSET, "1000")
    await cashier.fund(GAS, "5")
    return cashier


async def earn(cashier: Cashier, amount: str = "1000") -> Deposit:
    order = await cashier.world.open_order(ASSET, amount)
    await cashier.world.pay_and_finalize(order)
    (deposit,) = await cashier.world.deposits(order)
    return deposit


async def lose(cashier: Cashier, deposit: Deposit) -> None:
    """Replace final blocks by others in which a deposit's transfer fails and all that came after it stands again."""
    world = cashier.world
    async with world.database.transaction() as tx:
        height = (await world.chain(NETWORK).head()).latest.height
        await tx.execute("update sim_transfers set has_failed = true where target = $1", deposit.target)
    await world.reorg(NETWORK, height - deposit.height + 1, Fork.KEEP)
    await world.settle()


async def test_DEP_04_a_reorganisation_after_the_money_was_paid_out_is_a_debt_that_the_next_credit_repays(
    cashier: Cashier,
) -> None:
    world, deposit = cashier.world, await earn(cashier, "100")
    payout = await cashier.ask(ASSET, "90")
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "completed"
    await lose(cashier, deposit)
    balance = await world.balance(ASSET)
    owed = payout.reserved_units
    assert (balance.available_units, balance.debt_units) == (0, owed)
    assert await cashier.received(STRANGER, ASSET) == 90 * UNIT  # the payout stands in the new blocks
    order = await world.open_order(ASSET, "50")
    await world.pay_and_finalize(order)
    net = 50 * UNIT - 150_000
    balance = await world.balance(ASSET)
    assert (balance.available_units, balance.debt_units) == (0, owed - net)
    order = await world.open_order(ASSET, "100")
    await world.pay_and_finalize(order)
    balance = await world.balance(ASSET)
    assert (balance.available_units, balance.debt_units) == (100 * UNIT - 300_000 - (owed - net), 0)


async def uncertain(cashier: Cashier) -> Payout:
    """Return a payout that no node knows any more."""
    await earn(cashier)
    payout = await cashier.ask(ASSET, "1")
    await cashier.run(NETWORK)
    await drop(cashier, payout)
    cashier.pen(NETWORK).refusal = "no more signatures today"
    await cashier.pass_time(timedelta(minutes=6))
    assert await cashier.lanes[NETWORK, cashier.hot(NETWORK).address].step()
    assert await cashier.state(payout) == "uncertain"
    cashier.pen(NETWORK).refusal = ""
    return payout


async def test_NODE_11_an_uncertain_payout_is_completed_by_a_final_block(cashier: Cashier) -> None:
    payout = await uncertain(cashier)
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "completed"
    assert await cashier.received(STRANGER, ASSET) == UNIT
    assert callbacks(cashier, payout) == [4]


async def test_NODE_11_an_uncertain_payout_is_paid_anew_once_a_final_block_proves_it_dead(cashier: Cashier) -> None:
    """Another transaction of the same key takes its number: only when that is final is ours proved dead, and paid anew."""
    payout = await uncertain(cashier)
    first = (await cashier.show(payout)).txid
    await drop(cashier, payout)
    await use_number(cashier, 0)
    await cashier.world.mine(NETWORK, 1)
    await cashier.run(NETWORK)
    assert await cashier.state(payout) == "uncertain"  # in a block that is not final: no proof
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "approved"  # proved dead: in the queue again, of a frozen lane
    rows = await cashier.world.rows("select frozen_reason from lanes")
    assert "not ours: is the key used elsewhere?" in str(rows[0][0])
    await thaw(cashier)
    await cashier.finish(NETWORK)
    done = await cashier.show(payout)
    assert (done.state.value, done.txid != first) == ("completed", True)
    assert await cashier.received(STRANGER, ASSET) == UNIT  # once
    assert callbacks(cashier, payout) == [4]
    assert await cashier.transactions(NETWORK) == [(0, "dead"), (1, "final")]


async def use_number(cashier: Cashier, number: int) -> None:
    """Use a number of the hot wallet as a thief of its key would: past the platform, whose books know nothing of it."""
    cashier.world.is_simulated = False  # the gas of it is in no books
    sender = cashier.sender(NETWORK)
    foreign = Intent(
        intent_id=new_uuid7(),
        network=NETWORK,
        purpose=Purpose.CANCEL,
        payer=cashier.hot(NETWORK),
        payments=(),
        fee_max_units=10**18,
        expires_at=cashier.world.clock.now() + timedelta(hours=1),
    )
    signed = await cashier.pen(NETWORK).sign(foreign, await sender.plan(foreign, Slot(number)))
    assert (await sender.broadcast(signed)).sent == "accepted"
