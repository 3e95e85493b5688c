"""Where a schedule is played: one world, two worker processes under fuses, one signer, and the flows.

A process that dies loses all its objects; its successor has nothing but the database, the chain and the signer's files.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from tests.authorizations.people import Person
from tests.crashes.faults import (
    Crash,
    Fault,
    FaultyChain,
    FaultyDatabase,
    FaultySender,
    FaultyTransport,
    Fuse,
)
from tests.crashes.flow import Act, Flow, Loop
from tests.crashes.keeper import FaultyPen, Keeper
from tests.flows.harness import DELIVERIES, Inbox, World
from tests.flows.paying import Cashier
from tests.support.sealing import SEALER

from bitlinkpay.chains.base import ChainError
from bitlinkpay.core.errors import Problem, Unavailable
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants import service as merchants
from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.sending.parts import Limits
from bitlinkpay.sending.service import Owner
from bitlinkpay.sending.signatory import Signatory
from bitlinkpay.webhooks.model import Answer
from bitlinkpay.webhooks.relay import Relay
from bitlinkpay.webhooks.subscriber import fan_out
from bitlinkpay.workers.payer import Payer

T = TypeVar("T")
F = TypeVar("F", bound=Flow)
SECRETS = partial(merchants.webhook_secrets, sealer=SEALER)
LEASES = timedelta(seconds=31)
"""Half of what is longer than any lease lives: business and wall are one clock here, and passing time moves both."""
MOST_STEPS = 200
PATIENCE = Limits(attempts=4)
CALM = Act("Workers", "calm", 0, Fault.KILL, 0)
FIRST_TICKS = 12
"""Ticks within which who replaces a sleeper may die: it has its lease by then, and little else."""
ROUNDS = 12
"""Rounds of the rest after which everything must have ended."""


@dataclass
class Post(Inbox):
    """The merchant's endpoint, which knows a message again by its id, as the protocol asks of it."""

    by_id: dict[str, Mapping[str, object]] = field(default_factory=dict)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        answer = await super().post(url, headers, body)
        first = self.by_id.setdefault(headers["webhook-id"], self.bodies[-1])
        assert first == self.bodies[-1], "one id, two stories"
        return answer

    def about_id(self, order_id: str) -> list[Mapping[str, object]]:
        """Return what was told of an order or payout, each message once."""
        return [body for body in self.by_id.values() if body["order_id"] == order_id]


class Process:
    """One worker: every loop of it stands on one fuse."""

    def __init__(self, stage: "Stage") -> None:
        self.stage = stage
        self.fuse = Fuse(others=stage.replace_while_asleep)
        world = stage.world
        self.database: Database = FaultyDatabase(world.database, self.fuse)  # type: ignore[assignment]
        self._watcher = world.build_watcher(FaultyChain(world.chain(stage.network), self.fuse), self.database)
        self._payer = Payer(
            replace(
                stage.cashier.parts(stage.network),
                database=self.database,
                sender=FaultySender(stage.cashier.sender(stage.network), self.fuse, world.database),
                signing=Signatory(
                    FaultyPen(stage.keeper, self.fuse), self.database, world.registry.networks[stage.network]
                ),
                owners=stage.owners(),
            )
        )
        self._relay = Relay(
            self.database,
            FaultyTransport(stage.inbox, self.fuse),
            SECRETS,
            clock=world.clock,
            jitter=lambda: 0,
        )
        self.loops: dict[str, Loop] = {"pay": self._payer.step, "watch": self._watcher.step, "tell": self._tell}
        for flow in stage.flows:
            self.loops |= flow.loops(self)

    async def _tell(self) -> bool:
        while await fan_out(self.database, DELIVERIES):
            pass
        await self._relay.run_once()
        if self.fuse.blown and self.fuse.fault is Fault.KILL:  # the relay's tasks died with it
            raise Crash(self.fuse.blown)
        return False


@dataclass
class Stage:
    """One schedule's place: a network and its assets in a world that earlier schedules have left at rest."""

    world: World
    cashier: Cashier
    person: Person
    keeper: Keeper
    seed: int
    network: str
    asset: str
    inbox: Post
    casts: Sequence[Callable[["Stage"], Flow]]
    flows: list[Flow] = field(default_factory=list)
    workers: list[Process] = field(default_factory=list)
    struck: list[str] = field(default_factory=list)
    working: str = "pay"  # the loop that was run last, for this act
    act: Act = CALM
    struck_now: bool = False  # by the newest piece of work
    available: int = 0  # the merchant's balance when the schedule began
    first: int = 0  # the lane's next number when the schedule began
    began_at: datetime = datetime.min

    def __post_init__(self) -> None:
        self.cashier.limits = PATIENCE
        self.flows = [cast(self) for cast in self.casts]
        self.workers = [Process(self), Process(self)]

    async def begin(self) -> None:
        """Take note of where the schedule begins: at a full minute, so that what comes is the same at any hour."""
        now = self.world.clock.now()
        self.world.clock.set(now.replace(second=0, microsecond=0) + timedelta(minutes=1))
        self.began_at = self.world.clock.now()
        payer = self.cashier.hot(self.network).address
        self.available = (await self.world.balance(self.asset)).available_units
        ((self.first,),) = await self.world.rows(_NEXT, self.network, payer)  # type: ignore[misc]

    def owners(self) -> Mapping[OwnerKind, Owner]:
        found: dict[OwnerKind, Owner] = {}
        for flow in self.flows:
            found |= flow.owners()
        return found

    def flow(self, kind: type[F]) -> F:
        """Return the flow of this kind."""
        return next(flow for flow in self.flows if isinstance(flow, kind))

    async def play(self, act: Act) -> str:
        """Let one act happen and say what came of it."""
        flow = next(flow for flow in self.flows if type(flow).__name__ == act.flow)
        done: str = await getattr(flow, act.name)(act)
        return f"{act}: {done}"

    # --- processes ---------------------------------------------------------------------------------------------------

    async def work(self, number: int, loop: str, act: Act) -> str:
        """Let a worker run one of its loops until it has nothing to do, or until it is struck dead."""
        process = self.workers[number]
        self.working, self.act = loop, act
        process.fuse.at, process.fuse.ticks, process.fuse.fault, process.fuse.blown = act.place, 0, act.fault, ""
        try:
            steps = await self.run(process.loops[loop])
        except Crash:
            steps = -1
            self.workers[number] = Process(self)
            await self.run_out()
        self._note(process.fuse)
        self.struck_now = bool(process.fuse.blown)
        process.fuse.at = 0
        return f"{number} {process.fuse.blown or f'{steps} steps'}"

    async def run(self, loop: Loop) -> int:
        """Run a loop until it has nothing to do, as `workers.loop.forever` does: what fails is tried again."""
        steps = failures = 0
        while failures < 3:
            steps += 1
            assert steps < MOST_STEPS, "a loop that never comes to rest"
            try:
                if not await loop():
                    return steps
            except (ConnectionResetError, ChainError, Unavailable):
                failures += 1
        return steps

    async def serve(self, act: Act, answer: Callable[[Fuse], Awaitable[T]]) -> tuple[T | None, str]:
        """Let an API process answer one request; None where it died or could not, and nobody knows how far it came."""
        self.working, self.act = "pay", act
        fuse = Fuse(act.place, act.fault, self.replace_while_asleep)
        try:
            return await answer(fuse), "done"
        except (Crash, ConnectionResetError, ChainError, Unavailable) as error:
            return None, fuse.blown or str(error)
        finally:
            self._note(fuse)

    async def replace_while_asleep(self) -> None:
        """Let the leases of a sleeping process run out, and others do its work, and watch and pay; some of them die too."""
        await self.run_out()
        other, dice = Process(self), self.act.dice()
        other.fuse.at = dice.randint(1, FIRST_TICKS) if dice.randrange(2) else 0
        with suppress(Crash):
            for loop in dict.fromkeys((self.working, "watch", "pay")):
                await self.run(other.loops[loop])

    async def run_out(self) -> None:
        """Let every lease run out: of lanes, by a clock that we set, of cursors and deliveries by the database's own."""
        await self.cashier.pass_time(LEASES)
        await self.free_cursors()

    async def free_cursors(self) -> None:
        """Let the leases run out that live by the database's own clock."""
        async with self.world.database.transaction() as tx:
            await tx.execute(_RUN_OUT, self.network)

    def _note(self, fuse: Fuse) -> None:
        if fuse.blown:
            self.struck.append(fuse.blown.rpartition(" (")[0])

    # --- the end -----------------------------------------------------------------------------------------------------

    async def come_to_rest(self, strikes: Sequence[Act]) -> list[str]:
        """Let everybody go on until nothing is on its way any more; say what came of each strike on the way there."""
        self.keeper.is_away, self.keeper.refusal = False, ""
        self.world.lists.is_down = False
        lag, left, told = self.world.registry.networks[self.network].sandbox_lag, list(strikes), []
        await self.run_out()
        for _ in range(ROUNDS):
            for flow in self.flows:
                await flow.settle()
            told += await self._labour("settle", left)
            told += await self._labour("pay", left)
            await self.world.mine(self.network, lag + 1)
            told += await self._labour("pay", left)
            if not await self.world.rows(_ON_THE_WAY):
                break
            await self.cashier.pass_time(timedelta(minutes=2))
        for _ in range(ROUNDS):
            await self.run_out()  # one who slept finds its lease gone, and takes it anew the next time
            told += await self._labour("watch", left)
            if not await self.world.rows(_BEHIND, self.network):
                break
        for _ in range(ROUNDS):
            told += await self._labour("tell", left)
            if not await self.world.rows(_UNTOLD):
                break
            await self.cashier.pass_time(timedelta(minutes=10))
        return told

    async def _labour(self, loop: str, left: list[Act]) -> list[str]:
        """Let a worker do all that there is to do, with the next strikes meant for it."""
        told: list[str] = []
        while act := next((act for act in left if act.name == loop), None):
            left.remove(act)
            done = await self.work(0, loop, act)
            told.append(f"at last {act}: {done}")
            if not self.struck_now:
                return told
            await self.run_out()
        await self.work(0, loop, CALM)
        return told

    async def account(self) -> None:
        """Hold the end against every invariant of the chain and of each flow; those of the books hold for whole theatres."""
        gained = sum([await flow.account() for flow in self.flows])
        balance = await self.world.balance(self.asset)
        assert balance.available_units == self.available + gained, "money lost or made"
        assert (balance.reserved_units, balance.pending_units) == (0, 0)
        assert await self.world.rows(_UNTOLD) == []
        assert await self.world.rows(_UNENDED) == []
        assert await self.world.rows(_UNKNOWN_PAYMENTS, self.network) == []


_NEXT = "select next_number from lanes where network = $1 and payer = $2"
_RUN_OUT = """
    with called as (update deliveries set lease_until = null where state = 'pending' and lease_until is not null)
    update cursors set lease_until = null where network = $1
"""
_BEHIND = """
    select c.height from cursors c where c.network = $1
        and c.height < (select max(last_height) from sim_runs r where r.network = c.network)
"""
_UNTOLD = "select state from deliveries where state <> 'delivered' limit 1"
_ON_THE_WAY = """
    select state from sendings where state not in ('delivered', 'failed', 'cancelled')
    union all select state from treasury_loans where state in ('asked', 'lent', 'returning')
    union all select state from payouts where ended_at is null union all select state from settlements where state = 'due'
    limit 1
"""
_UNENDED = """
    select 'transaction ' || state from transactions where state not in ('final', 'reverted', 'released', 'dead')
    union all select 'sending ' || state from sendings where state not in ('delivered', 'failed', 'cancelled')
    union all select 'settlement ' || state from settlements where state = 'due'
    union all select 'frozen: ' || frozen_reason from lanes where frozen_reason <> ''
"""
# Payments of ours on the chain against those that were delivered, whose bytes were stored before: by wallet, recipient,
# amount and place, as often as each.
_UNKNOWN_PAYMENTS = """
    with paid as (
        select c.source, c.target, c.asset, c.units, c.ordinal + 1 as place, count(*) from sim_transfers c
        join sim_slots l using (network, txid)
        where l.network = $1 and c.units > 0 and not c.has_failed group by 1, 2, 3, 4, 5
    ), delivered as (
        select s.source, s.target, s.asset, s.units, s.place, count(*) from sendings s join transactions t using (transaction_id)
        join transaction_attempts a on a.transaction_id = t.transaction_id and a.txid = t.txid and a.raw <> ''
        where s.network = $1 and s.units > 0 and s.state = 'delivered' group by 1, 2, 3, 4, 5
    )
    select * from paid full join delivered using (source, target, asset, units, place)
    where paid.count is distinct from delivered.count
"""


def text_of(error: Problem) -> str:
    """Return what a refusal says, without ids, which differ at every run."""
    return error.code
