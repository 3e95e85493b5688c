"""A random schedule of everything that can happen to orders, drawn from one seed; all invariants after every step.

People open, pay right and wrong, cancel, decide; chains mine and fork; the clock moves; providers fall silent; processes end
between any two statements. At the end the world comes to rest and everything must be accounted for, to the unit.
"""

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from tests.flows.faults import Crash, Fault, FaultyChain, FaultyDatabase, Fuse
from tests.flows.harness import ALL_STATUSES, REGISTRY, World

from bitlinkpay.chains.base import Arrival
from bitlinkpay.chains.simulated_format import address_from
from bitlinkpay.core.assets import Asset, Family, Network
from bitlinkpay.core.errors import Problem, Unavailable
from bitlinkpay.core.ids import DepositId
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.model import DepositState
from bitlinkpay.merchants.model import Policy
from bitlinkpay.payins.events import EVENT_KINDS
from bitlinkpay.payins.model import Arrived as Money
from bitlinkpay.payins.model import Payin, PayinState, is_in_time
from bitlinkpay.sandbox.model import Fork, Payment
from bitlinkpay.webhooks.subscriber import delivery_of, fan_out
from bitlinkpay.workers.watcher import Watcher

STEPS = 14
CAST = {  # what a schedule plays with: the asked assets, and the networks that are read
    "tron": (("usdt-tron", "trx-tron"), ("tron",)),
    "ton": (("usdt-ton", "ton-ton"), ("ton",)),
    "evm": (("usdt-ethereum", "eth-ethereum"), ("ethereum", "polygon")),
    "solana": (("usdt-solana",), ("solana",)),
    "bitcoin": (("btc-bitcoin",), ("bitcoin",)),
}
POLICIES = (
    Policy(),
    Policy(is_summing=True),
    Policy(tolerance_ppm=20_000, accepts_over=True),
    Policy(is_summing=True, accepts_late=True, accepts_over=True),
)
THIEF = b"\x07" * 32


def terms_of(seed: int) -> dict[str, object]:
    """Return the merchant's terms in a schedule; half of them are the default policy."""
    policy = POLICIES[0] if seed % 2 else POLICIES[seed // 2 % len(POLICIES)]
    return {"policy": policy, "callback_statuses": ALL_STATUSES}


@dataclass
class Simulation:
    world: World
    seed: int
    dice: random.Random = field(init=False)
    assets: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    orders: list[Payin] = field(default_factory=list)
    accepted: set[DepositId] = field(default_factory=set)
    told: list[str] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.assets, self.networks = CAST[list(CAST)[self.seed % len(CAST)]]
        for network_id in self.networks:
            self.world.lists.listed.add(address_from(REGISTRY.networks[network_id], THIEF))

    async def run(self) -> None:
        """Play the schedule and bring it to its end."""
        await self.world.watch(*self.networks)
        await self.open()
        for _ in range(STEPS):
            act = self.draw()
            self.told.append(act.__name__)
            self.happened[act.__name__] += 1
            await act()
            await self.world.check()
        await self.come_to_rest()
        await self.account_for_everything()

    def draw(self) -> Callable[[], Awaitable[None]]:
        acts: dict[Callable[[], Awaitable[None]], int] = {
            self.open: 3,
            self.pay: 8,
            self.pay_twice: 1,
            self.mine: 6,
            self.fork: 3,
            self.wait: 2,
            self.cancel: 1,
            self.decide: 3,
            self.silence: 1,
            self.follow: 6,
            self.crash: 6,
        }
        return self.dice.choices(list(acts), weights=list(acts.values()))[0]

    # --- what happens -----------------------------------------------------------------------------------------------

    async def open(self) -> None:
        asset = REGISTRY.assets[self.dice.choice(self.assets)]
        amount = self.dice.choice(["0.5", "1", "7.25"])
        self.orders.append(await self.world.open_order(asset.id, amount))

    async def pay(self) -> None:
        await self.world.broadcast(self.draw_payment(self.dice.choice(self.orders)))

    async def pay_twice(self) -> None:
        order = self.dice.choice(self.orders)
        payment = self.world.payment(order)
        await self.world.broadcast(payment, payment)

    def draw_payment(self, order: Payin) -> Payment:
        asset = REGISTRY.assets[order.asset or ""]
        network = REGISTRY.networks[asset.network]
        more: dict[str, object] = {}
        units = self.dice.choices(
            [order.units, order.units // 2, order.units - order.units // 2, order.units * 101 // 100, 1, 2**200],
            weights=[12, 3, 3, 2, 1, 1],
        )[0]
        match self.dice.randrange(12):
            case 0:
                more["source"] = address_from(network, THIEF)
            case 1:
                more["has_failed"] = True
            case 2 if network.family is Family.TON:
                more["tag"] = self.dice.choice(["", "1", "hello"])
            case 3 if asset.is_native:
                more["arrival"] = self.dice.choice([Arrival.INTERNAL, Arrival.SYSTEM])
            case 4:
                asset = self.another_asset(network)
        return self.world.payment(order, asset_id=asset.id, units=units, **more)

    def another_asset(self, network: Network) -> Asset:
        family = [name for name in self.networks if REGISTRY.networks[name].family is network.family]
        return self.dice.choice([asset for name in family for asset in REGISTRY.assets_of(name)])

    async def mine(self) -> None:
        await self.world.mine(self.dice.choice(self.networks), self.dice.randint(1, 6))

    async def fork(self) -> None:
        depth = self.dice.choice([1, 1, 2, 3, 5, 12])
        await self.world.reorg(self.dice.choice(self.networks), depth, self.dice.choice(list(Fork)))

    async def wait(self) -> None:
        self.world.clock.advance(timedelta(seconds=self.dice.choice([1, 61, 600, 1801, 3600])))

    async def cancel(self) -> None:
        try:
            await self.world.cancel(self.dice.choice(self.orders))
        except Problem:
            return

    async def decide(self) -> None:
        put_aside = await self.world.rows(
            "select deposit_id from deposits where state in ('unassigned', 'quarantined') order by deposit_id"
        )
        if not put_aside:
            return
        deposit_id = DepositId(self.dice.choice(put_aside)[0])  # type: ignore[arg-type]
        try:
            await self.dice.choice([self.world.accept, self.world.credit, self.world.release])(deposit_id)
        except Problem:
            return

    async def silence(self) -> None:
        self.world.lists.is_down = not self.world.lists.is_down

    async def follow(self) -> None:
        await self.world.run()
        await self.world.send_callbacks()

    async def crash(self) -> None:
        """A process follows the chains, loses its connection or ends, and another takes its place."""
        fuse = Fuse(self.dice.randint(1, 120), self.dice.choice(list(Fault)))
        database: Database = FaultyDatabase(self.world.database, fuse)  # type: ignore[assignment]
        await self.replace_watchers(
            lambda name: self.world.build_watcher(FaultyChain(self.world.chain(name), fuse), database)
        )
        try:
            for network_id in self.networks:
                while await self.goes_on(self.world.watchers[network_id]):
                    continue
            await fan_out(database, dict.fromkeys(EVENT_KINDS, delivery_of))
        except (Crash, Unavailable):
            self.happened["crashed"] += 1
        await self.world.check()
        await self.replace_watchers(lambda name: self.world.build_watcher(self.world.chain(name)))

    async def replace_watchers(self, build: Callable[[str], Watcher]) -> None:
        async with self.world.database.transaction() as tx:
            await tx.execute("update cursors set lease_until = null")
        self.world.watchers = {name: build(name) for name in self.networks}

    async def goes_on(self, watcher: Watcher) -> bool:
        try:
            return await watcher.step()
        except Unavailable:
            return True

    # --- the end ----------------------------------------------------------------------------------------------------

    async def come_to_rest(self) -> None:
        self.world.lists.is_down = False
        last = max(order.expires_at for order in self.orders)
        for _ in range(2):
            self.world.clock.set(max(self.world.clock.now(), last) + timedelta(hours=1))
            for network_id in self.networks:
                await self.world.mine(network_id, 8)
            await self.world.settle()

    async def account_for_everything(self) -> None:
        rows = await self.world.rows("select state, count(*) from deposits where state in ('seen', 'final') group by 1")
        assert rows == [], "money still on its way"
        assert await self.world.rows(_UNEXPLAINED) == []
        for order in self.orders:
            await self.account_for(order)

    async def account_for(self, order: Payin) -> None:
        """Hold an order's end against the rules once more, from its money alone."""
        shown = await self.world.show(order)
        assert shown.state in {PayinState.PAID, PayinState.EXPIRED, PayinState.CANCELLED}
        statuses = self.world.inbox.statuses(order)
        assert len(statuses) == len(set(statuses)), "told twice"
        assert sum(status != 8 for status in statuses) <= 1
        end = {PayinState.PAID: {8}, PayinState.EXPIRED: {16, 20}, PayinState.CANCELLED: {12}}[shown.state]
        assert statuses[-1] in end, (shown.state, statuses)
        events = await self.world.events(order)
        if shown.policy == Policy() and "accepted" not in events:
            await self.account_for_by_the_exact_rule(shown, statuses)

    async def account_for_by_the_exact_rule(self, order: Payin, statuses: list[object]) -> None:
        deposits = await self.world.deposits(order)
        good = await self.good_money(order)
        if order.state is not PayinState.PAID:
            assert not good
            return
        paying = next(deposit for deposit in deposits if deposit.deposit_id == order.deposit_id)
        assert (paying.asset, paying.units) == (order.asset, order.units)
        assert paying.arrival is not Arrival.SYSTEM
        if order.has_lost_payment:
            waiting = {
                d.deposit_id for d in deposits if d.state is DepositState.UNASSIGNED and d.arrival is Arrival.DIRECT
            }
            assert not waiting & set(good), "money that would restore it lies idle"
        elif "restored" not in await self.world.events(order):
            assert paying.deposit_id in good
        assert len(statuses) == 1 or any(deposit.state is DepositState.DROPPED for deposit in deposits), (
            "it expired although its payer was punctual and no fork took the money away"
        )

    async def good_money(self, order: Payin) -> list[DepositId]:
        """Return money that should have paid an order by the exact amount rule, judged by its first block ever."""
        asset = REGISTRY.assets[order.asset or ""]
        grace = REGISTRY.networks[asset.network].grace
        deposits = await self.world.deposits(order)
        first = {d.txid: min(other.first_block_at for other in deposits if other.txid == d.txid) for d in deposits}
        return [
            deposit.deposit_id
            for deposit in deposits
            if deposit.state in {DepositState.UNASSIGNED, DepositState.CREDITED}
            and (deposit.asset, deposit.units) == (order.asset, order.units)
            and deposit.arrival is not Arrival.SYSTEM
            and deposit.label not in {"quarantined", "after_cancel"}
            and is_in_time(
                order,
                Money(deposit.asset, deposit.network, deposit.units, deposit.arrival, first[deposit.txid], grace),
            )
        ]


# Per asset: what stands on the chain at our addresses, less what merchants, owners unknown and fees make up of it.
_UNEXPLAINED = """
    with books as (
        select asset,
            sum(balance_units) filter (where kind = 'custody:deposits') as held,
            sum(balance_units) filter (where kind in ('merchant:available', 'merchant:unassigned', 'merchant:quarantined',
                'platform:unattributed', 'fees:payin', 'merchant:pending', 'platform:pending')) as owed,
            sum(balance_units) filter (where kind = 'merchant:debt') as debt
        from ledger_accounts group by asset
    )
    select * from books where coalesce(held, 0) <> coalesce(owed, 0) - coalesce(debt, 0)
        or exists (select from ledger_accounts a where a.asset = books.asset and a.balance_units > 0
            and a.kind in ('merchant:pending', 'platform:pending'))
"""
