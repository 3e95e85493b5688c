"""Payouts that only proof decides, on a real node: uncertain ones both ways, and money that left before its deposit vanished."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.chains.conformance.house import House
from tests.flows.evm import ETH, NETWORK, TRANSFER, USDT, EvmWorld
from tests.nodes.anvil import Anvil, Contract
from tests.support.clock import ManualClock

from bitlinkpay.chains.outgoing import Intent, Purpose, Slot
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.core.mode import Mode
from bitlinkpay.db.pool import Database
from bitlinkpay.payins.model import Payin
from bitlinkpay.payouts.model import Payout
from bitlinkpay.sending import thawing
from bitlinkpay.settings import Settings
from bitlinkpay.signer.keyring import KeyRing

STRANGER = "0x00000000000000000000000000000000000abc01"
UNIT = 10**6


class Bank:
    """A house on a node whose blocks and pool a test has in its hand."""

    def __init__(self, house: House, world: EvmWorld, token: Contract) -> None:
        self.house, self.world, self.node, self.token = house, world, world.node, token

    async def open(self) -> None:
        """Put the company's money into the hot wallet."""
        await self.node.transfer(self.house.hot.address, 2 * 10**18)
        await self.token.send(TRANSFER, self.house.hot.address, 1000 * UNIT)
        await self.world.finish()
        await self.house.claim()

    async def earn(self, amount: str) -> Payin:
        order = await self.world.open_order(USDT, amount)
        await self.token.send(TRANSFER, order.address, order.units)
        await self.world.finish()
        assert await self.world.is_paid(order)
        return order

    async def finish(self) -> None:
        """Send what waits, make it final, and let everything follow."""
        await self.house.work()
        await self.world.finish()
        await self.house.work()
        await self.world.settle()

    async def state(self, payout: Payout) -> str:
        return str((await self.house.show(payout)).state)

    async def received(self) -> int:
        return int(str(await self.token.view("balanceOf(address)", STRANGER)))

    async def drop(self) -> None:
        await self.node.rpc("anvil_dropAllTransactions")

    def told(self, payout: Payout) -> list[object]:
        return [body["status"] for body in self.world.inbox.bodies if body["order_id"] == payout.payout_id.hex]

    async def in_balance(self) -> None:
        """The hot wallet's tokens by the books are those on the chain, to the unit."""
        wallet = self.house.hot.address
        assert await self.house.booked(USDT, wallet) == await self.house.shown(USDT, wallet)

    async def uncertain(self) -> Payout:
        """Return a payout that no node knows any more."""
        await self.earn("100")
        payout = await self.house.ask(USDT, "1", STRANGER)
        await self.house.work()
        assert await self.state(payout) == "broadcast"
        await self.drop()
        self.house.wall.advance(timedelta(minutes=6))
        assert await self.house.payer.step()  # it is sent once more, and called uncertain
        await self.drop()
        assert await self.state(payout) == "uncertain"
        return payout


@pytest.fixture
async def bank(database: Database, clock: ManualClock, ring: KeyRing, tmp_path: Path) -> AsyncIterator[Bank]:
    clock.set(datetime.now(UTC))
    async with Anvil.start() as node:
        token = await node.deploy("DollarToken")
        async with EvmWorld.on(node, database, clock, ring, token, folder=tmp_path) as world:
            settings = Settings(tmp_path, Mode.LIVE, registry_files=("devnet.toml",))
            bank = Bank(await House.of(world, settings, ring), world, token)
            await bank.open()
            yield bank


async def test_NODE_11_an_uncertain_payout_is_completed_by_a_final_block(bank: Bank) -> None:
    payout = await bank.uncertain()
    first = (await bank.house.show(payout)).txid
    bank.house.wall.advance(timedelta(seconds=25))
    await bank.house.work()  # the same bytes again
    await bank.house.work()  # which a node knows now
    assert await bank.state(payout) == "broadcast"
    await bank.finish()
    done = await bank.house.show(payout)
    assert (done.state, done.txid) == ("completed", first)
    assert (await bank.received(), bank.told(payout)) == (UNIT, [4])
    await bank.in_balance()


async def test_NODE_11_an_uncertain_payout_is_paid_anew_once_a_final_block_proves_it_dead(bank: Bank) -> None:
    """Another transaction of the same key takes its number: only when that is final is ours proved dead, and paid anew."""
    payout = await bank.uncertain()
    first = (await bank.house.show(payout)).txid
    await use_number(bank, 0)
    await bank.node.mine()
    await bank.house.work()
    assert await bank.state(payout) == "uncertain"  # in a block that is not final: no proof
    await bank.finish()
    assert await bank.state(payout) == "approved"  # proved dead: in the queue again, of a frozen lane
    ((reason,),) = await bank.world.rows("select frozen_reason from lanes")
    assert "is the key used elsewhere?" in str(reason)
    payer, now = bank.house.hot, bank.world.clock.now()
    number = (await bank.house.lane.sender.lane(payer)).next_number
    await bank.world.database.unit(
        lambda tx: thawing.thaw(tx, NETWORK, payer, chain_number=number, by="operator", now=now)
    )
    await bank.finish()
    done = await bank.house.show(payout)
    assert (done.state, done.txid != first) == ("completed", True)
    assert (await bank.received(), bank.told(payout)) == (UNIT, [4]), "once"
    rows = await bank.world.rows("select number::int, state from transactions order by number")
    assert rows == [(0, "dead"), (1, "final")]
    await bank.in_balance()


async def use_number(bank: Bank, number: int) -> None:
    """Use a number of the hot wallet as a thief of its key would, past the platform."""
    sender = bank.house.lane.sender
    foreign = Intent(
        intent_id=new_uuid7(),
        network=NETWORK,
        purpose=Purpose.CANCEL,
        payer=bank.house.hot,
        payments=(),
        fee_max_units=10**18,
        expires_at=bank.house.wall.now() + timedelta(hours=1),
    )
    signed = await bank.house.hand.sign(foreign, await sender.plan(foreign, Slot(number)))
    assert (await sender.broadcast(signed)).sent == "accepted"


async def test_DEP_04_a_reorganisation_after_the_money_was_paid_out_is_a_debt_that_the_next_credits_repay(
    bank: Bank,
) -> None:
    world, height = bank.world, await bank.node.height()
    order = await bank.earn("100")
    payout = await bank.house.ask(USDT, "90", STRANGER)
    await bank.finish()
    assert await bank.state(payout) == "completed"
    ((raw,),) = await world.rows("select raw from transaction_attempts")
    depth = await bank.node.height() - height
    await bank.node.reorg(depth, [("0x" + bytes(raw).hex(), 0)])  # the payout stands again, the deposit does not
    await world.finish()
    await bank.finish()
    assert await world.states(order) == [("reversed", "")]
    balance, owed = await world.balance(USDT), payout.reserved_units
    assert (balance.available_units, balance.debt_units) == (0, owed)
    assert (await bank.state(payout), await bank.received()) == ("completed", 90 * UNIT)
    await bank.in_balance()
    await bank.earn("50")
    net = 50 * UNIT - 150_000
    balance = await world.balance(USDT)
    assert (balance.available_units, balance.debt_units) == (0, owed - net)
    await bank.earn("100")
    balance = await world.balance(USDT)
    assert (balance.available_units, balance.debt_units) == (100 * UNIT - 300_000 - (owed - net), 0)
    assert await bank.house.booked(USDT, order.address) == await bank.house.shown(USDT, order.address) == 0
    await bank.in_balance()


async def test_PAY_11_mined_and_reverted_gives_everything_back_and_the_gas_is_ours(bank: Bank) -> None:
    await bank.earn("100")
    before, coins = (
        (await bank.world.balance(USDT)).available_units,
        await bank.house.booked(ETH, bank.house.hot.address),
    )
    payout = await bank.house.ask(USDT, "1", STRANGER)
    await bank.house.work()
    await bank.drop()
    await bank.token.send("setBlackListed(address,bool)", bank.house.hot.address, True)
    await bank.node.mine()
    bank.house.wall.advance(timedelta(seconds=25))
    await bank.finish()
    done = await bank.house.show(payout)
    assert (done.state, done.reason) == ("failed", "the transaction was mined and reverted")
    balance = await bank.world.balance(USDT)
    assert (balance.available_units, balance.reserved_units) == (before, 0)
    assert (await bank.received(), bank.told(payout)) == (0, [8])
    gas = await bank.world.account("expense:gas", ETH)
    assert 0 < gas == coins - await bank.house.booked(ETH, bank.house.hot.address)
    assert await bank.house.booked(ETH, bank.house.hot.address) == await bank.house.shown(ETH, bank.house.hot.address)
    await bank.in_balance()
