"""Settlements in a world: a merchant with money, a person who passes the checks, a funded wallet, rules at work."""

from dataclasses import dataclass, field
from datetime import timedelta

from tests.authorizations.people import Person
from tests.flows.harness import REGISTRY
from tests.flows.paying import STRANGERS, Cashier

from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.core.money import parse_decimal, to_units
from bitlinkpay.db.pool import Database
from bitlinkpay.payouts import store as payouts_store
from bitlinkpay.payouts.model import Payout, PayoutKind
from bitlinkpay.payouts.model import Terms as PayoutTerms
from bitlinkpay.settlements.addresses.model import BOUND, HomeAddress
from bitlinkpay.settlements.addresses.service import Homes, NewHome
from bitlinkpay.settlements.automatic import Automatic
from bitlinkpay.settlements.model import Ask, Listed, Settlement, SettlementId
from bitlinkpay.settlements.rules.model import Rule, Terms
from bitlinkpay.settlements.rules.service import Rules
from bitlinkpay.settlements.service import Settlements
from bitlinkpay.settlements.store import SettlementFilter

USDT = "usdt-tron"
HOME = STRANGERS[REGISTRY.networks["tron"].family]


def units(amount: str, asset_id: str = USDT) -> int:
    return to_units(parse_decimal(amount), REGISTRY.assets[asset_id].decimals)


@dataclass
class Office:
    """A merchant's office: whoever sits there passes all four checks."""

    cashier: Cashier
    person: Person
    settlements: Settlements = field(init=False)
    homes: Homes = field(init=False)
    rules: Rules = field(init=False)
    automatic: Automatic = field(init=False)

    def __post_init__(self) -> None:
        self.world, self.payouts = self.cashier.world, self.cashier.payouts()
        database, registry, clock, checks = self.world.database, REGISTRY, self.world.clock, self.person.checks
        self.settlements = Settlements(
            database=database, registry=registry, payouts=self.payouts, checks=checks, clock=clock
        )
        self.homes = Homes(database, registry, checks, clock)
        self.rules = Rules(database, checks, clock)
        self.automatic = self.build_automatic()

    @classmethod
    async def open(cls, cashier: Cashier) -> "Office":
        world = cashier.world
        return cls(cashier, await Person.of(world.database, world.merchant, cashier.wall))

    def build_automatic(self, database: Database | None = None) -> Automatic:
        return Automatic(database or self.world.database, REGISTRY, self.payouts, self.world.clock)

    # --- money

    async def earn(self, amount: str, asset_id: str = USDT) -> None:
        """Give the merchant a balance the only way there is: an order is paid."""
        await self.world.pay_and_finalize(await self.world.open_order(asset_id, amount))

    async def fund(self, amount: str = "10000", asset_id: str = USDT) -> None:
        await self.cashier.fund(asset_id, amount)
        await self.cashier.fund("trx-tron", "500")

    async def available(self, asset_id: str = USDT) -> int:
        return (await self.world.balance(asset_id)).available_units

    async def charge(self, asset_id: str = USDT, **terms: int) -> None:
        async with self.world.database.transaction() as tx:
            await payouts_store.save_terms(
                tx, self.world.merchant.merchant_id, PayoutKind.SETTLEMENT, asset_id, PayoutTerms(**terms)
            )

    # --- what the merchant's person does; each time with the next code

    def ask(self, amount: str | None, *, target: str = HOME, tag: str = "", settlement_id: object = None) -> Ask:
        return Ask(
            settlement_id=SettlementId(settlement_id or new_uuid7()),  # type: ignore[arg-type]
            merchant=self.world.merchant,
            asset=REGISTRY.assets[USDT],
            target=target,
            tag=tag,
            amount=None if amount is None else parse_decimal(amount),
        )

    def shown(self, **changed: str):
        self.person.wall.advance(timedelta(seconds=30))
        return self.person.shown(**changed)

    async def settle(self, amount: str | None, **more: object) -> Settlement:
        return await self.settlements.request(self.ask(amount, **more), self.shown())  # type: ignore[arg-type]

    async def bind(
        self, target: str = HOME, *, label: str = BOUND, tag: str = "", network: str = "tron"
    ) -> HomeAddress:
        new = NewHome(self.world.merchant, REGISTRY.networks[network], label, target, tag)
        return await self.homes.bind(new, self.shown())

    async def bind_and_rest(self, target: str = HOME) -> HomeAddress:
        bound = await self.bind(target)
        await self.cashier.pass_time(timedelta(hours=24))
        return bound

    async def rule(self, terms: Terms, asset_id: str = USDT) -> Rule:
        return await self.rules.add(self.world.merchant, REGISTRY.assets[asset_id], terms, self.shown())

    # --- what the worker does

    async def step(self) -> tuple[int, int]:
        """Let the rules work once: how many were triggered, how many decided."""
        triggered = await self.automatic.trigger()
        return triggered, await self.automatic.carry_out()

    async def finish(self) -> None:
        await self.cashier.finish("tron")

    # --- what there is

    async def listed(self, rule: Rule | None = None) -> list[Listed]:
        """Return the merchant's settlements, the oldest first."""
        async with self.world.database.reader() as tx:
            found = await self.settlements.list_page(
                tx, self.world.merchant.merchant_id, which=SettlementFilter(rule_id=rule.rule_id if rule else None)
            )
        return list(reversed(found))

    async def reasons(self) -> list[str]:
        return [one.settlement.reason for one in await self.listed()]

    async def payout(self, settlement: Settlement) -> Payout:
        async with self.world.database.reader() as tx:
            found = await payouts_store.find(tx, settlement.payout_id)  # type: ignore[arg-type]
        assert found is not None
        return found

    async def payouts_count(self) -> int:
        ((count,),) = await self.world.rows("select count(*) from payouts where kind = 'settlement'")
        assert isinstance(count, int)
        return count

    def callbacks(self, settlement: Settlement) -> list[object]:
        """Return the statuses that the merchant was called back with, in order."""
        return [body["status"] for body in self.world.inbox.bodies if body["source_id"] == settlement.settlement_id.hex]

    async def notices(self, kind: str) -> list[dict]:
        rows = await self.world.rows("select payload from outbox where kind = $1 order by seq", kind)
        return [payload for (payload,) in rows]  # type: ignore[misc]
