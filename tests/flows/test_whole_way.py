"""One merchant's money from the first order to the last unit, on a simulated network: the parts at work beside each other.

On a real node through the shipped processes: tests/live/test_the_whole_way_on_a_real_node.py.
"""

from datetime import time, timedelta

from tests.flows.collecting import Collector
from tests.flows.conftest import Start
from tests.flows.paying import Cashier
from tests.flows.settling import HOME, USDT, Office, units
from tests.flows.test_refunds import confirm, refund
from tests.support.clock import ManualClock

from bitlinkpay.ledger import service as ledger
from bitlinkpay.sandbox.model import Payment
from bitlinkpay.settlements.rules.model import Terms
from bitlinkpay.settlements.rules.schedule import Cadence, Schedule
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.statements import service as statements
from bitlinkpay.treasury import funding
from bitlinkpay.treasury.levels import store as levels
from bitlinkpay.treasury.model import Levels

CUSTOMER, PAYER, COLD = (
    "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL",
    "TLa2f6VPqDgRE67v1736s7bJ8Ray5wYjU7",
    "TXYZopYRdj2D9XRtbG411XZZ3kM5VkAeBf",
)
NETWORK = "tron"
MIDNIGHT = Terms(Schedule(Cadence.DAILY, time(0, 0), "UTC"), reserve_units=units("300"))
ABOVE = Terms(threshold_units=units("250"), reserve_units=units("100"))


class Way:
    """Where the money is, and who moves it."""

    def __init__(self, office: Office) -> None:
        self.office, self.cashier, self.world = office, office.cashier, office.world
        self.collector = Collector(office.cashier)

    async def keep(self, floor: str, target: str, ceiling: str) -> None:
        wanted = Levels(units(floor), units(target), units(ceiling))
        async with self.world.database.transaction() as tx:
            await levels.set_levels(tx, USDT, wanted, by="operator", now=self.world.clock.now())

    async def settled(self, terms: Terms) -> int:
        """Let a rule work until its money is home; return what arrived there."""
        before = await self.cashier.received(HOME, USDT)
        rule = await self.office.rule(terms)
        if terms.schedule:
            await self.cashier.pass_time(timedelta(days=1))
        assert await self.office.step() == (1, 1)
        await self.collector.finish(NETWORK)
        (run,) = await self.office.listed(rule)
        assert run.outcome is not None
        assert (run.outcome.state, self.office.callbacks(run.settlement)) == ("completed", [4])
        await self.world.database.unit(lambda tx: self.office.rules.remove(tx, rule.merchant_id, rule.rule_id))
        assert await self.cashier.received(HOME, USDT) - before == run.outcome.units
        return run.outcome.units

    async def refilled(self, amount: str) -> None:
        """Send so much from cold storage to the hot wallet, as an operator does, and claim it."""
        world, asset = self.world, self.world.registry.assets[USDT]
        noted = await world.database.unit(
            lambda tx: funding.refill(tx, asset, units(amount), fee=None, now=world.clock.now())
        )
        hot = self.cashier.hot(NETWORK).address
        await world.broadcast(Payment(asset, hot, units(amount), source=COLD))
        await world.finalize(NETWORK)
        await world.claim(hot, noted)

    async def adds_up(self) -> None:
        """The statements of all days end with the balance, and follow from the entries behind them."""
        world = self.world
        days = [day for (day,) in await world.rows("select distinct day from ledger_postings order by day")]
        async with world.database.reader() as tx:
            for day in days:
                (one,) = await statements.list_of_day(tx, world.merchant.merchant_id, [USDT], day)  # type: ignore[arg-type]
                lines = await statements.list_lines(tx, world.merchant.merchant_id, USDT, day)  # type: ignore[arg-type]
                assert sum((line.change for line in lines), one.opening) == one.closing
            (balance,) = await ledger.balances(tx, world.merchant.merchant_id)
        assert one.closing.available_units == balance.available_units == await self.office.available()


async def test_from_the_first_order_to_the_last_unit(start: Start, ring: KeyRing) -> None:
    way = Way(await Office.open(Cashier(await start(), ring, ManualClock())))
    office, cashier, world, collector = way.office, way.cashier, way.world, way.collector
    await office.fund("500")
    order = await collector.paid_order(USDT, "1000")
    await collector.sweep(NETWORK)
    assert (await collector.at(order.address, USDT), await collector.in_hot(USDT)) == (0, units("1500"))

    payout = await cashier.ask(USDT, "20", target=CUSTOMER)
    await collector.finish(NETWORK)
    assert (await cashier.state(payout), await cashier.received(CUSTOMER, USDT)) == ("completed", units("20"))
    left = units("997") - payout.reserved_units
    assert await office.available() == left

    await office.bind_and_rest()
    home = await way.settled(MIDNIGHT)
    assert await office.available() == units("300")
    home += await way.settled(ABOVE)
    assert await office.available() == units("100")

    await world.pay_and_finalize(order, "30")  # one payment too many
    odd = next(one for one in await world.deposits(order) if one.state == "unassigned")
    back = await confirm(cashier, await refund(cashier, odd, PAYER, maker="operator"), PAYER)
    await collector.finish(NETWORK)
    assert (await cashier.state(back), await cashier.received(PAYER, USDT)) == ("completed", back.units)
    await collector.sweep(NETWORK)

    await way.keep("5", "10", "20")
    surplus = await collector.in_hot(USDT) - units("10")
    assert await collector.cool(NETWORK, {USDT: COLD}) == 1
    await collector.finish(NETWORK)
    assert await world.account("custody:cold", USDT) == await cashier.received(COLD, USDT) == surplus

    late = await cashier.ask(USDT, "50", target=CUSTOMER)
    await collector.finish(NETWORK)
    assert await cashier.state(late) == "approved", "the hot wallet is empty"
    await way.keep("5", "500", "500")
    await way.refilled("200")
    await cashier.pass_time(timedelta(minutes=1))
    await collector.finish(NETWORK)
    assert (await cashier.state(late), await cashier.received(CUSTOMER, USDT)) == ("completed", units("70"))

    statuses = [
        [body["status"] for body in world.inbox.bodies if body["order_id"] == one.payout_id.hex]
        for one in (payout, back, late)
    ]
    assert (world.inbox.statuses(order), statuses) == ([8], [[4]] * 3)
    assert len(world.inbox.bodies) == 6, "an order, two payouts, a refund, two settlements, each told once"
    await way.adds_up()
    assert home == await cashier.received(HOME, USDT)
    assert (
        await world.rows(
            "select a.name, a.balance_units from ledger_accounts a join ledger_kinds k using (kind)"
            " where (k.is_itemised or k.keeper is not null or a.kind = 'merchant:debt') and a.balance_units <> 0"
        )
        == []
    ), "every clearing account"
    await world.settle()
