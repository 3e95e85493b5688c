"""A merchant's weeks at random: orders, rules, new addresses, pauses, settlements by hand; nothing is lost or paid twice.

After every step all invariants of the books hold; in the end every unit that was ever credited is accounted for.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import time, timedelta
from random import Random

import pytest
from tests.flows.conftest import Start
from tests.flows.paying import Cashier
from tests.flows.settling import HOME, USDT, Office, units
from tests.support.clock import ManualClock

from bitlinkpay.core.errors import Problem
from bitlinkpay.payouts.model import PayoutTooLate
from bitlinkpay.settlements.rules.model import Rule, Terms
from bitlinkpay.settlements.rules.schedule import Cadence, Schedule
from bitlinkpay.signer.keyring import KeyRing

STEPS = 40
TARGETS = (HOME, "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL", "TLa2f6VPqDgRE67v1736s7bJ8Ray5wYjU7")
ZONES = ("UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York")


@dataclass
class Walk:
    """One merchant, one source of chance."""

    office: Office
    chance: Random
    rules: list[Rule] = field(default_factory=list)

    async def earn(self) -> None:
        await self.office.earn(f"{self.chance.randint(5, 400)}.{self.chance.randint(0, 999_999):06}")

    async def add_schedule(self) -> None:
        cadence = self.chance.choice(list(Cadence))
        day = {Cadence.DAILY: 0, Cadence.WEEKLY: self.chance.randint(1, 7), Cadence.MONTHLY: self.chance.randint(1, 31)}
        at = time(self.chance.randint(0, 23), self.chance.randint(0, 59))
        await self.add(
            Terms(Schedule(cadence, at, self.chance.choice(ZONES), day[cadence]), reserve_units=self.some(50))
        )

    async def add_threshold(self) -> None:
        reserve = self.some(100)
        await self.add(Terms(threshold_units=reserve + units("20") + self.some(200), reserve_units=reserve))

    async def add(self, terms: Terms) -> None:
        self.rules.append(await self.office.rule(terms))

    def some(self, most: int) -> int:
        return self.chance.randint(0, units(str(most)))

    async def remove(self) -> None:
        if self.rules:
            rule = self.rules.pop(self.chance.randrange(len(self.rules)))
            await self.office.world.database.unit(
                lambda tx: self.office.rules.remove(tx, rule.merchant_id, rule.rule_id)
            )

    async def bind(self) -> None:
        await self.office.bind(self.chance.choice(TARGETS))

    async def settle(self) -> None:
        await self.office.settle(self.chance.choice([None, "3.5", "40", "250"]), target=self.chance.choice(TARGETS))

    async def cancel(self) -> None:
        listed = [one.settlement for one in await self.office.listed() if one.outcome and not one.outcome.ended_at]
        if listed:
            chosen = self.chance.choice(listed)
            await self.office.world.database.unit(
                lambda tx: self.office.settlements.cancel(tx, chosen.merchant_id, chosen.settlement_id)
            )

    async def charge(self) -> None:
        await self.office.charge(fee_ppm=self.chance.randint(0, 20_000), fee_flat_units=self.some(2))

    async def wait(self) -> None:
        await self.office.cashier.pass_time(timedelta(hours=self.chance.randint(1, 60)))

    async def work(self) -> None:
        await self.office.step()

    async def pay(self) -> None:
        await self.office.finish()

    def moves(self) -> list[Callable[[], Awaitable[None]]]:
        often = [self.earn, self.work, self.wait, self.work, self.wait, self.pay]
        return [
            *often, *often, self.add_schedule, self.add_threshold, self.remove, self.bind, self.settle, self.cancel,
            self.charge,
        ]  # fmt: skip


async def credited(office: Office) -> int:
    rows = await office.world.rows(
        "select coalesce(sum(e.units), 0) from ledger_entries e join ledger_accounts a using (account_id)"
        " join ledger_postings p using (posting_id)"
        " where a.kind = 'merchant:available' and e.side = 'credit' and p.event = 'deposit_credited' and a.asset = $1",
        USDT,
    )
    return int(str(rows[0][0]))


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_lost_or_paid_twice(start: Start, ring: KeyRing, seed: int) -> None:
    office = await Office.open(Cashier(await start(), ring, ManualClock()))
    await office.fund("100000")
    walk = Walk(office, Random(seed))
    await office.bind_and_rest()
    await walk.add_threshold()
    await walk.add_schedule()
    refused = 0
    for _ in range(STEPS):
        try:
            await walk.chance.choice(walk.moves())()
        except (Problem, PayoutTooLate):
            refused += 1
        await office.world.check()
    await office.step()
    for _ in range(3):
        await office.finish()
    listed = await office.listed()
    paid = [one.outcome for one in listed if one.outcome and one.outcome.state == "completed"]
    assert paid, "a walk in which something goes home"
    assert not [one for one in listed if one.outcome and not one.outcome.ended_at]
    spent = sum(one.units + one.fee_units + one.network_fee_units for one in paid)
    assert await credited(office) == spent + await office.available()
    for target in TARGETS:
        assert await office.cashier.received(target, USDT) == sum(one.units for one in paid if one.target == target)
    triggers = [(one.settlement.rule_id, one.settlement.trigger) for one in listed if one.settlement.rule_id]
    assert len(set(triggers)) == len(triggers)
    assert all(len(office.callbacks(one.settlement)) == bool(one.outcome) for one in listed)
    assert refused < STEPS / 2, "a walk that moves"
