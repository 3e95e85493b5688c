"""A platform in one process on a real database: simulated networks, watchers, screening, callbacks, and a clock set by hand.

Every step ends with all invariants of the books; `World.settle` also compares the books with the chains to the unit.
"""

import itertools
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from functools import partial
from uuid import uuid4

from tests.support.clock import ManualClock
from tests.support.sealing import SEALER

from bitlinkpay.app.platform import check_books
from bitlinkpay.chains.base import Chain
from bitlinkpay.chains.registry import Registry, load_registry
from bitlinkpay.chains.simulated import SimulatedChain
from bitlinkpay.chains.waiting import WaitingChain
from bitlinkpay.core.assets import Asset, Family, Network
from bitlinkpay.core.clock import Clock, SystemClock
from bitlinkpay.core.errors import Problem
from bitlinkpay.core.ids import DepositId, MerchantId, RefillId, new_uuid7
from bitlinkpay.core.money import to_units
from bitlinkpay.core.sealing import Purpose
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits import store as deposits_store
from bitlinkpay.deposits.assets.service import AssetGuard, Holds
from bitlinkpay.deposits.model import Deposit
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import Balance
from bitlinkpay.merchants import service as merchants
from bitlinkpay.merchants import store as merchants_store
from bitlinkpay.merchants.model import Merchant, MerchantState, Policy, WebhookSecret
from bitlinkpay.payins import events as payin_events
from bitlinkpay.payins import settling
from bitlinkpay.payins import store as payins_store
from bitlinkpay.payins.clearing import Clearing
from bitlinkpay.payins.confirming import Stricter
from bitlinkpay.payins.model import NewOrder, Payin
from bitlinkpay.payins.reconciling import Reconciling
from bitlinkpay.payins.service import Payins
from bitlinkpay.payins.sightings import Sightings
from bitlinkpay.payouts import events as payout_events
from bitlinkpay.risk.model import Finding, ProviderDown, VerdictKind
from bitlinkpay.risk.service import Screening
from bitlinkpay.sandbox.model import Fork, Payment
from bitlinkpay.sandbox.service import Sandbox
from bitlinkpay.sandbox.store import SandboxState
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.treasury import funding
from bitlinkpay.wallets import service as wallets
from bitlinkpay.wallets.service import Allocator
from bitlinkpay.webhooks.model import Answer
from bitlinkpay.webhooks.relay import Relay
from bitlinkpay.webhooks.signature import new_secret
from bitlinkpay.webhooks.subscriber import delivery_of, fan_out
from bitlinkpay.workers.watcher import Parts, Watcher

REGISTRY = load_registry()
CALLBACK_URL = "https://shop.example/callback"
ALL_STATUSES = (8, 12, 16, 20)
DELIVERIES = dict.fromkeys((*payin_events.EVENT_KINDS, *payout_events.EVENT_KINDS), delivery_of)
MOST_STEPS = 2_000
"""No scenario needs more steps of a watcher to come to rest: more is an endless loop."""

# One asset per way of paying: account chain with token, shared wallet with tags, EVM token, Solana token, UTXO coin.
MANY = ("usdt-tron", "usdt-ton", "usdt-ethereum", "usdt-solana", "btc-bitcoin")


class Pace(StrEnum):
    """How the platform follows the blocks that make money final."""

    AT_SIGHT = "at_sight"  # it looks when all of them stand: the money is final when it is first seen
    BY_BLOCK = "by_block"  # it sees the money first, and it becomes final later


async def market(base: str, quote: str) -> Decimal:
    """Fixed prices: the seam that real tickers stand behind."""
    return Decimal(
        {
            "USDT": "7.2",
            "BTC": "650000",
            "ETH": "25000",
            "TRX": "2.2",
            "TON": "20",
            "BNB": "4300",
            "SOL": "1000",
            "POL": "1.5",
        }[base]
    )


async def cross_rate(base: str, quote: str) -> Decimal:
    """Return what one coin costs in another, by the market."""
    return await market(base, "CNY") / await market(quote, "CNY")


@dataclass
class Lists:
    """A screening provider under the test's control."""

    name: str = "lists"
    listed: set[str] = field(default_factory=set)
    unclear: set[str] = field(default_factory=set)
    is_down: bool = False
    asked: int = 0

    async def look_up(self, network: str, addresses: Sequence[str]) -> Sequence[Finding]:
        self.asked += 1
        if self.is_down:
            raise ProviderDown("silent")
        return [Finding(network, a, self.name, "1", self._kind(a), "test", {}) for a in addresses]

    def _kind(self, address: str) -> VerdictKind:
        if address in self.listed:
            return VerdictKind.LISTED
        return VerdictKind.UNKNOWN if address in self.unclear else VerdictKind.CLEAR


@dataclass
class Inbox:
    """The outgoing HTTP transport: keeps what was sent and acknowledges it."""

    bodies: list[Mapping[str, object]] = field(default_factory=list)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        del url
        assert headers["webhook-id"].startswith("evt_")
        self.bodies.append(json.loads(body))
        return Answer(200, {}, b'{"code": 0}')

    def about(self, order: Payin) -> list[Mapping[str, object]]:
        return [body for body in self.bodies if body["order_id"] == order.payin_id.hex]

    def statuses(self, order: Payin) -> list[object]:
        return [body["status"] for body in self.about(order)]


def make_merchant(clock: ManualClock, **terms: object) -> Merchant:
    """Return a merchant on the given terms, not stored yet."""
    return Merchant(
        merchant_id=MerchantId(new_uuid7()),
        broker=uuid4().hex[:16],
        name="Corner Shop",
        state=MerchantState.ACTIVE,
        created_at=clock.now(),
        **({"callback_url": CALLBACK_URL} | terms),  # type: ignore[arg-type]
    )


@dataclass
class World:
    database: Database
    clock: ManualClock
    registry: Registry
    sandbox: Sandbox
    payins: Payins
    merchant: Merchant
    lists: Lists
    inbox: Inbox
    relay: Relay
    watchers: dict[str, Watcher] = field(default_factory=dict)
    chains: dict[str, Chain] = field(default_factory=dict)
    pace: Pace = Pace.AT_SIGHT
    guard: AssetGuard | None = None
    stricter: Stricter = field(default_factory=dict)
    wall: Clock = field(default_factory=SystemClock)  # of the watchers' leases
    is_simulated: bool = True  # False: a scripted chain or a node has no tables to compare the books with
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @classmethod
    async def start(
        cls, database: Database, clock: ManualClock, ring: KeyRing, *, pace: Pace = Pace.AT_SIGHT, **terms: object
    ) -> "World":
        sandbox, inbox, secrets = Sandbox(REGISTRY), Inbox(), partial(merchants.webhook_secrets, sealer=SEALER)
        async with database.transaction() as tx:
            await wallets.import_keyring(tx, ring)
            await sandbox.prepare(tx, clock.now())
        clock.advance(timedelta(minutes=1))
        world = cls(
            database=database,
            clock=clock,
            registry=REGISTRY,
            sandbox=sandbox,
            payins=Payins(registry=REGISTRY, allocator=Allocator(database, ring), market=market, clock=clock),
            merchant=make_merchant(clock, **terms),
            lists=Lists(),
            inbox=inbox,
            relay=Relay(database, inbox, secrets, clock=clock, jitter=lambda: 0),
            pace=pace,
        )
        await world.add(world.merchant)
        return world

    @asynccontextmanager
    async def following(self, chain: Chain, ring: KeyRing) -> AsyncIterator[None]:
        """Follow a chain of real nodes, which is closed at the end; new orders heed the holds on its assets."""
        network_id = chain.network.id
        self.is_simulated, self.chains[network_id] = False, chain
        allocator = Allocator(self.database, ring)
        self.payins = Payins(
            registry=self.registry, allocator=allocator, market=market, clock=self.clock, holds=self.list_holds
        )
        try:
            await self.watch(network_id)
            yield
            await self.settle()
        finally:
            await self.chains[network_id].aclose()

    async def add(self, merchant: Merchant) -> Merchant:
        async with self.database.transaction() as tx:
            await merchants_store.insert(tx, merchant)
            secret = SEALER.seal(new_secret().encode(), purpose=Purpose.WEBHOOK_SECRET, owner=merchant.merchant_id)
            await merchants_store.insert_secret(tx, merchant.merchant_id, WebhookSecret(secret, self.clock.now(), None))
        return merchant

    async def another(self, **terms: object) -> Merchant:
        return await self.add(make_merchant(self.clock, **terms))

    # --- what the platform is made of ------------------------------------------------------------------------------

    def network(self, asset_id: str) -> Network:
        return self.registry.networks[self.registry.assets[asset_id].network]

    def chain(self, network_id: str) -> Chain:
        if network_id not in self.chains:
            network = self.registry.networks[network_id]
            state = SandboxState(self.database)
            self.chains[network_id] = SimulatedChain(network, self.registry.assets_of(network_id), state)
        return self.chains[network_id]

    def build_watcher(self, chain: Chain, database: Database | None = None) -> Watcher:
        """Put a watcher together as the composition root does, on a chain and a database that may be faulty."""
        database = database or self.database
        parts = {"database": database, "registry": self.registry, "chain": chain, "clock": self.clock}
        hides_transfers = chain.network.family in {Family.EVM, Family.TRON}
        screener = Screening([self.lists], self.clock)
        return Watcher(
            Parts(
                **parts,  # type: ignore[arg-type]
                wall=self.wall,
                payins=self.payins,
                clearing=Clearing(**parts, screener=screener, guard=self.guard, stricter=self.stricter),  # type: ignore[arg-type]
                reconciling=Reconciling(**parts) if hides_transfers else None,  # type: ignore[arg-type]
                sightings=Sightings(database=database, network=chain.network, chain=chain, clock=self.clock)
                if isinstance(chain, WaitingChain)
                else None,
            )
        )

    async def watch(self, *network_ids: str) -> None:
        """Begin to watch networks, at their present final block."""
        for network_id in network_ids:
            if network_id not in self.watchers:
                self.watchers[network_id] = self.build_watcher(self.chain(network_id))
                await self.watchers[network_id].step()  # places the cursor
                await self.run(network_id)

    async def run(self, *network_ids: str) -> int:
        """Let watchers work until none has anything more to do; return the number of steps."""
        steps = 0
        for network_id in network_ids or tuple(self.watchers):
            while await self.watchers[network_id].step():
                steps += 1
                assert steps < MOST_STEPS, "a watcher that never comes to rest"
        return steps

    # --- what people do ---------------------------------------------------------------------------------------------

    async def open_order(
        self, asset_id: str = "usdt-tron", amount: str = "100", *, merchant: Merchant | None = None, source_id: str = ""
    ) -> Payin:
        await self.watch(self.registry.assets[asset_id].network)
        opened = (await self.open_orders(asset_id, [amount], merchant=merchant, source_id=source_id))[0]
        assert isinstance(opened, Payin), opened
        return opened

    async def open_orders(
        self, asset_id: str, amounts: Sequence[str], *, merchant: Merchant | None = None, source_id: str = ""
    ) -> list[Payin | Problem]:
        asset = self.registry.assets[asset_id]
        drafts = [
            await self.payins.prepare(
                NewOrder(
                    merchant=merchant or self.merchant,
                    source_id=source_id or f"order-{next(self.numbers)}",
                    asset=asset,
                    fiat_amount=Decimal(720),
                    symbol=f"{asset.symbol}/CNY",
                    exchange_rate=None,
                    amount=Decimal(amount),
                    callback_url="",
                    lang="",
                )
            )
            for amount in amounts
        ]
        return await self.database.unit(lambda tx: self.payins.open_many(tx, drafts))

    def payment(self, order: Payin, amount: str = "", *, asset_id: str = "", units: int = 0, **more: object) -> Payment:
        """Return a transfer to an order's address: of what is asked, or of something else."""
        asset = self.registry.assets[asset_id or order.asset or ""]
        if not units:
            units = to_units(Decimal(amount), asset.decimals) if amount else order.units
        tag = order.tag if self.network(asset.id).family is Family.TON else ""
        return Payment(asset=asset, target=order.address, units=units, **({"tag": tag} | more))  # type: ignore[arg-type]

    async def broadcast(self, *payments: Payment) -> list[str]:
        async with self.database.transaction() as tx:
            return await self.sandbox.pay(tx, payments, self.clock.now())

    async def pay(self, order: Payin, amount: str = "", **more: object) -> str:
        """Broadcast a transfer; a block has to be mined for it to count."""
        return (await self.broadcast(self.payment(order, amount, **more)))[0]  # type: ignore[arg-type]

    async def mine(self, network_id: str, blocks: int = 1) -> None:
        async with self.database.transaction() as tx:
            await self.sandbox.mine(tx, network_id, blocks, self.clock.now())

    async def reorg(self, network_id: str, depth: int, fork: Fork = Fork.DROP) -> None:
        async with self.database.transaction() as tx:
            await self.sandbox.reorg(tx, network_id, depth, fork, self.clock.now())

    async def cancel(self, order: Payin) -> Payin:
        return await self.database.unit(lambda tx: self.payins.cancel(tx, order.merchant_id, order.source_id))

    # --- short words ------------------------------------------------------------------------------------------------

    async def finalize(self, network_id: str) -> None:
        """Mine what waits and as much more as makes it final, and let the platform follow: at the end, or block by block."""
        blocks = self.registry.networks[network_id].sandbox_lag + 1
        for step in [blocks] if self.pace is Pace.AT_SIGHT else [1] * blocks:
            await self.mine(network_id, step)
            await self.run(network_id)
        await self.settle()

    async def pay_and_finalize(self, order: Payin, amount: str = "", **more: object) -> str:
        txid = await self.pay(order, amount, **more)
        asset_id = str(more.get("asset_id") or order.asset)
        await self.finalize(self.registry.assets[asset_id].network)
        return txid

    async def pass_expiry(self, order: Payin) -> None:
        """Let the clock and the chain pass the order's end and its grace."""
        network = self.network(order.asset or "")
        self.clock.advance(
            max(timedelta(0), order.expires_at - self.clock.now()) + network.grace + timedelta(seconds=1)
        )
        await self.mine(network.id)
        await self.settle()

    async def settle(self) -> None:
        """Let everything come to rest: watchers, events, callbacks; then all books must hold."""
        await self.run()
        await self.send_callbacks()
        await self.check()
        await self.check_custody()

    async def send_callbacks(self) -> None:
        while await fan_out(self.database, DELIVERIES):
            pass
        await self.relay.run_once()

    # --- what there is ----------------------------------------------------------------------------------------------

    async def show(self, order: Payin) -> Payin:
        async with self.database.reader() as tx:
            found = await payins_store.find(tx, order.payin_id)
        assert found is not None
        return found

    async def state(self, order: Payin) -> str:
        return (await self.show(order)).state.value

    async def is_paid(self, order: Payin) -> bool:
        return await self.state(order) == "paid"

    async def unpaid(self, order: Payin) -> bool:
        """Say that nothing at all arrived for an order."""
        return await self.state(order) == "created" and await self.deposits(order) == []

    async def labels(self, order: Payin) -> set[str]:
        return {label.value for label in (await self.show(order)).labels}

    async def events(self, order: Payin) -> list[str]:
        async with self.database.reader() as tx:
            return [event for event, *_ in await payins_store.list_events(tx, order.payin_id)]

    async def deposits(self, order: Payin) -> list[Deposit]:
        async with self.database.reader() as tx:
            return await deposits_store.list_of_payins(tx, [order.payin_id])

    async def deposit(self, order: Payin, txid: str) -> Deposit:
        """Return the youngest row of a transfer."""
        found = [deposit for deposit in await self.deposits(order) if deposit.txid == txid]
        return max(found, key=lambda deposit: deposit.deposit_id)

    async def states(self, order: Payin) -> list[tuple[str, str]]:
        """Return state and label of every deposit of an order, sorted."""
        return sorted((deposit.state.value, deposit.label) for deposit in await self.deposits(order))

    async def balance(self, asset_id: str = "usdt-tron", merchant: Merchant | None = None) -> Balance:
        async with self.database.reader() as tx:
            found = await ledger.balances(tx, (merchant or self.merchant).merchant_id)
        return next((b for b in found if b.asset == asset_id), Balance(asset_id, 0, 0, 0, 0, 0, 0))

    async def account(self, name: str, asset_id: str) -> int:
        async with self.database.reader() as tx:
            return await ledger.balance(tx, name, asset_id)

    async def list_holds(self) -> Mapping[str, str]:
        return await Holds(self.database).list_held()

    async def held_units(self, asset_id: str) -> dict[str, int]:
        """Return what the books say that each of our deposit addresses holds."""
        query = "select * from ledger_accounts where kind = 'custody:deposits' and asset = $1"
        async with self.database.reader() as tx:
            rows = await tx.fetch(query, asset_id)
        return {row["name"].removeprefix("custody:deposits:"): row["balance_units"] for row in rows}

    async def rows(self, query: str, *args: object) -> list[tuple[object, ...]]:
        async with self.database.reader() as tx:
            return [tuple(row) for row in await tx.fetch(query, *args)]  # type: ignore[arg-type]

    # --- what a person decides --------------------------------------------------------------------------------------

    async def claim(self, wallet: str, refill: RefillId | None = None) -> None:
        """Take whatever came to a wallet of the company as its own money, or as a refill."""
        found = await self.rows("select deposit_id from deposits where target = $1 and state = 'unassigned'", wallet)
        now = self.clock.now()
        async with self.database.transaction() as tx:
            for (deposit_id,) in found:
                await funding.claim(tx, self.registry, DepositId(deposit_id), refill=refill, by="operator", now=now)  # type: ignore[arg-type]

    async def accept(self, deposit_id: DepositId) -> Payin:
        return await self.database.unit(lambda tx: settling.accept(tx, self.registry, deposit_id, self.clock.now()))

    async def credit(self, deposit_id: DepositId) -> Deposit:
        return await self.database.unit(
            lambda tx: settling.credit(tx, deposit_id, fee_ppm=self.merchant.fee_ppm, now=self.clock.now())
        )

    async def release(self, deposit_id: DepositId) -> Deposit:
        return await self.database.unit(lambda tx: settling.release(tx, deposit_id, self.clock.now()))

    # --- what must hold ---------------------------------------------------------------------------------------------

    async def check(self) -> None:
        broken = [check for check in await check_books(self.database) if not check.ok]
        assert not broken, broken

    async def check_custody(self) -> None:
        """Compare what the books hold per address with what the chains say at the cursors, to the unit."""
        assert not self.is_simulated or await self.rows(_CUSTODY) == []


# What was sent to addresses of ours in blocks up to the cursor, less what went from them in final ones, against what the
# books hold there, unclaimed money at a hot wallet included. What we send ourselves counts on both sides once it is final. Native coins moved inside an EVM contract
# call are looked for at open orders in that coin only, so that others may be missing in the books.
_CUSTODY = """
    with ours as (select distinct address from addresses),
    moved as (
        select t.*, case when s.txid is null then c.height else c.final_height end as until
        from sim_transfers t join cursors c using (network) left join sim_slots s using (network, txid)
    ), came as (
        select t.asset, t.target as address, sum(t.units) as units from moved t
        where t.height <= t.until and not t.has_failed and t.units > 0
            and (t.arrival = 'direct' or t.network not in ('ethereum', 'bsc', 'polygon', 'arbitrum')
                or exists (select from deposits d where d.target = t.target and d.asset = t.asset
                    and d.arrival = t.arrival and d.units = t.units and d.state not in ('dropped', 'reversed')))
            and t.target in (select address from ours)
        group by t.asset, t.target
    ), went as (
        select asset, source as address, sum(units) as units from moved
        where height <= until and not has_failed and source in (select address from ours) group by asset, source
    ), burnt as (
        select asset, source as address, sum(fee_units) as units from moved
        where height <= until and source in (select address from ours) group by asset, source
    ), held as (
        select asset, substr(name, length(kind) + 2) as address, sum(balance_units) as units from ledger_accounts
        where kind in ('custody:deposits', 'custody:hot') and balance_units > 0 group by 1, 2
    ), chain as (
        select asset, address, sum(units) as units from (
            select * from came union all select asset, address, -units from went
            union all select asset, address, -units from burnt
        ) all_moves where asset = any(select asset from ledger_accounts) group by asset, address having sum(units) <> 0
    )
    select asset, address, chain.units, held.units from chain full join held using (asset, address)
    where chain.units is distinct from held.units
"""


def fee_of(units: int) -> int:
    """Return the standard fee of 0.3 %, rounded down."""
    return units * 3 // 1000


def asset_of(asset_id: str) -> Asset:
    return REGISTRY.assets[asset_id]


GENTLE = Policy(tolerance_ppm=10_000, is_summing=True, accepts_late=True, accepts_over=True)
