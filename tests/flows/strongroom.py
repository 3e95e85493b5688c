"""The company's own wallets on a real Bitcoin node: lanes, treasury and a cold wallet whose key the tests hold."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import cached_property, partial
from pathlib import Path

from tests.chains.bitcoin.keys import Lock, TestKey
from tests.chains.bitcoin.serialize import RBF, TxIn, TxOut
from tests.chains.bitcoin.serialize import Tx as RawTx
from tests.flows.bitcoin import BTC, NETWORK, BitcoinWorld
from tests.flows.faults import FaultyDatabase, Fuse
from tests.flows.harness import cross_rate
from tests.flows.test_sending import FaultySender
from tests.flows.test_sweeping_crash import again
from tests.signer.asking import Asking
from tests.support.clock import ManualClock

from bitlinkpay.chains.bitcoin.plan import BitcoinPlan
from bitlinkpay.chains.bitcoin.script import address_of, script_of
from bitlinkpay.chains.bitcoin.sender import BitcoinSender
from bitlinkpay.chains.codec.bitcoin import TEST
from bitlinkpay.chains.outgoing import Intent, Purpose, Sender, Signed, Wallet
from bitlinkpay.core.ids import RefillId
from bitlinkpay.db.pool import Database
from bitlinkpay.payouts import store as payouts_store
from bitlinkpay.payouts.model import NewPayout, Payout, PayoutKind
from bitlinkpay.payouts.owner import PayoutOwner
from bitlinkpay.payouts.service import Payouts
from bitlinkpay.reconciliation.service import Parts as ReconcilerParts
from bitlinkpay.reconciliation.service import Reconciler
from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.sending.outputs import store as outputs
from bitlinkpay.sending.parts import LaneParts
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.treasury import funding
from bitlinkpay.treasury.levels import store as levels
from bitlinkpay.treasury.model import JoinTerms, Levels, Permit
from bitlinkpay.treasury.owner import TREASURY_KINDS, TreasuryOwner
from bitlinkpay.treasury.parts import TreasuryParts
from bitlinkpay.treasury.service import ANYTHING, Treasury
from bitlinkpay.treasury.terms import store as terms_store
from bitlinkpay.workers.payer import Payer

CHEAP, DEAR = Decimal("0.00002"), Decimal("0.0003")  # coins per 1,000 vB, as a node tells them
COLD_KEY, PAYEE = TestKey.of("cold storage"), TestKey.of("payee")
COLD, TARGET = address_of(COLD_KEY.script(), TEST), address_of(PAYEE.script(), TEST)
TERMS = JoinTerms(low_rate=5_000, least=5, keep=2)


POLICY = f"""
mode = "live"
registry_files = ["../devnet.toml"]
purposes = ["payout", "sweep", "cold", "consolidation"]

[caps]
btc-bitcoin = {{ payment = "1", hour = "10", day = "50" }}

[fees]
bitcoin = {{ most = "0.01", day = "1" }}

[cold]
serial = 1
[cold.addresses]
btc-bitcoin = "{COLD}"
"""


@dataclass
class Pen:
    """The signer with its policy, in this process, and what it signed; its clock follows the lanes'."""

    asking: Asking
    wall: ManualClock
    signed: list[tuple[Intent, BitcoinPlan, Signed]] = field(default_factory=list)

    async def sign(self, intent: Intent, plan: BitcoinPlan) -> Signed:
        self.asking.clock.advance(self.wall.now() - self.asking.clock.now())
        signed = self.asking.sign_by(plan, intent)
        self.signed.append((intent, plan, signed))
        return signed


@dataclass
class Strongroom:
    """What moves the company's money in a world on a Bitcoin node."""

    world: BitcoinWorld
    ring: KeyRing
    pen: Pen
    wall: ManualClock
    cold: dict[str, str] = field(default_factory=lambda: {BTC: COLD})

    @classmethod
    async def on(cls, world: BitcoinWorld, ring: KeyRing, folder: Path, terms: JoinTerms = TERMS) -> "Strongroom":
        asking, wall = Asking.start(folder / "signer", POLICY), ManualClock()
        wall.set(asking.clock.now())
        room = cls(world, ring, Pen(asking, wall), wall)
        world.node.rpc.fee_rate = CHEAP
        async with world.database.transaction() as tx:
            await terms_store.set_terms(tx, NETWORK, terms, by="operator", now=world.clock.now())
        return room

    @property
    def hot(self) -> Wallet:
        return self.ring.hot_wallet(self.world.registry.networks[NETWORK])

    @cached_property
    def sender(self) -> BitcoinSender:
        return BitcoinSender(self.world.chains[NETWORK], self.world.registry.assets[BTC])

    @cached_property
    def payer(self) -> Payer[BitcoinPlan]:
        return Payer(self.lanes())

    @cached_property
    def treasury(self) -> Treasury:
        return Treasury(self.parts())

    def lanes(
        self, database: Database | None = None, sender: Sender[BitcoinPlan] | None = None
    ) -> LaneParts[BitcoinPlan]:
        world, payouts = self.world, PayoutOwner(self.world.registry)
        return LaneParts(
            database=database or world.database,
            registry=world.registry,
            network=world.registry.networks[NETWORK],
            sender=sender or self.sender,
            plan_type=BitcoinPlan,
            signing=self.pen,
            owners={OwnerKind.PAYOUT: payouts, **dict.fromkeys(TREASURY_KINDS, TreasuryOwner(world.registry))},
            clock=world.clock,
            wall=self.wall,
            providers=[world.lists],
        )

    def parts(self, database: Database | None = None) -> TreasuryParts:
        world = self.world
        return TreasuryParts(
            database=database or world.database,
            registry=world.registry,
            network=world.registry.networks[NETWORK],
            sender=self.sender,
            prices=cross_rate,
            holds=world.list_holds,
            hot=self.hot,
            clock=world.clock,
            wall=self.wall,
        )

    async def plan(self) -> None:
        """Let the treasury look once, a minute later."""
        await self.look(*ANYTHING)

    async def look(self, *purposes: Purpose) -> None:
        """Let the treasury look once, a minute later, with a signer that signs for these only."""
        self.wall.advance(timedelta(minutes=1))
        self.world.clock.advance(timedelta(minutes=1))
        await self.treasury.step(Permit(frozenset(purposes), self.cold))

    async def live(self, fuse: Fuse) -> None:
        """Plan, send and follow in a process that ends at the fuse, or loses its connection there and goes on."""
        database: Database = FaultyDatabase(self.world.database, fuse)  # type: ignore[assignment]
        sender: Sender[BitcoinPlan] = FaultySender(self.sender, fuse, [])  # type: ignore[arg-type,assignment]
        treasury, payer = Treasury(self.parts(database)), Payer(self.lanes(database, sender))
        self.wall.advance(timedelta(minutes=1))
        await again(partial(treasury.step, Permit(ANYTHING, {})))
        for blocks in (1, 2, 1):
            await again(payer.step)
            await self.world.mine_blocks(blocks)
        await again(payer.step)

    def restart(self) -> None:
        """Forget what a process keeps in its memory."""
        for name in ("payer", "treasury"):
            self.__dict__.pop(name, None)

    async def pay(self) -> None:
        """Let every lane work until none has anything more to do."""
        while await self.payer.step():
            pass

    async def finish(self) -> None:
        """Send what waits, make it final, let everything follow."""
        await self.pay()
        await self.world.mine_blocks(3)
        await self.pay()
        await self.world.settle()

    async def fund(self, *amounts: int) -> None:
        """Let the company pay its own money into the hot wallet, and claim it."""
        for units in amounts:
            await self.world.node.pay(self.hot.address, units)
        await self.world.mine_blocks(3)
        await self.claim()

    async def claim(self, refill: RefillId | None = None) -> None:
        await self.world.claim(self.hot.address, refill)

    async def refill(self, units: int, fee: int) -> RefillId:
        """Send money from cold storage to the hot wallet, as an operator does, and note it; the rest goes back cold."""
        world, node = self.world, self.world.node
        ((txid, vout, held),) = await self.outputs_at(COLD)
        paid = (TxOut(units, script_of(self.hot.address, TEST)), TxOut(held - units - fee, COLD_KEY.script()))
        spent = TxOut(held, COLD_KEY.script())
        await node.send(COLD_KEY.sign(RawTx((TxIn(txid, vout, sequence=RBF),), paid), 0, [spent], Lock.P2WPKH))
        asset, now = world.registry.assets[BTC], world.clock.now()
        return await world.database.unit(lambda tx: funding.refill(tx, asset, units, fee=(asset, fee), now=now))

    async def outputs_at(self, address: str) -> list[tuple[str, int, int]]:
        """Return txid, place and units of what our own transactions paid to an address."""
        found: list[tuple[str, int, int]] = []
        for _, _, signed in self.pen.signed:
            for place, out in enumerate(RawTx.parse(signed.raw).outputs):
                if out.script == script_of(address, TEST):
                    found.append((signed.txid, place, out.units))
        return found

    async def set_levels(self, floor: int, target: int, ceiling: int) -> None:
        async with self.world.database.transaction() as tx:
            wanted = Levels(floor, target, ceiling)
            await levels.set_levels(tx, BTC, wanted, by="operator", now=self.world.clock.now())

    async def ask(self, amount: str, target: str = TARGET) -> Payout:
        """Ask for a payout of the world's merchant."""
        world = self.world
        payouts = Payouts(
            registry=world.registry,
            quotes=self.sender.quote,
            prices=cross_rate,
            providers=[world.lists],
            hot_wallet=self.ring.hot_wallet,
            clock=world.clock,
        )
        new = NewPayout(
            merchant=world.merchant,
            kind=PayoutKind.PAYOUT,
            source_id=f"payout-{next(world.numbers)}",
            asset=world.registry.assets[BTC],
            target=target,
            tag="",
            amount=Decimal(amount),
        )
        draft = await payouts.prepare(new)
        return await world.database.unit(lambda tx: payouts.request(tx, draft))

    async def state(self, payout: Payout) -> str:
        async with self.world.database.reader() as tx:
            found = await payouts_store.find(tx, payout.payout_id)
        assert found is not None
        return found.state.value

    async def moves(self) -> list[tuple[str, str]]:
        """Return kind and state of every move, the oldest first."""
        rows = await self.world.rows("select kind, state from treasury_moves order by planned_at, move_id")
        return [(str(kind), str(state)) for kind, state in rows]

    async def free(self) -> Sequence[int]:
        """Return the units of the outputs that the hot wallet could spend now, the largest first."""
        async with self.world.database.reader() as tx:
            return [one.units for one in await outputs.list_free(tx, NETWORK, [self.hot.address])]

    async def in_books(self, account: str) -> int:
        return await self.world.account(account, BTC)

    async def agree(self) -> int:
        """Compare books and blocks at hot wallet, cold storage and orders, to the satoshi; return what is hot."""
        world = self.world
        hot = await self.in_books(f"custody:hot:{self.hot.address}")
        assert hot == await world.node.balance(BTC, self.hot.address)
        assert await self.in_books("custody:cold") == await world.node.balance(BTC, COLD)
        await world.holds_what_the_chain_shows()
        await world.check()
        return hot

    async def reconcile(self) -> None:
        """Compare books and chain as the platform itself does, at its final block; nothing may be suspected."""
        world = self.world
        parts = ReconcilerParts(
            database=world.database,
            chain=world.chains[NETWORK],
            assets=world.registry.assets_of(NETWORK),
            hot=[self.hot.address],
            clock=world.clock,
        )
        await Reconciler(parts).run_all()
        assert await world.rows("select * from differences") == []

    def spends_nothing_twice(self) -> bool:
        """Say whether transactions of ours that do not replace each other share no output."""
        last = {intent.intent_id: plan for intent, plan, _ in self.pen.signed}
        spent = [(one.txid, one.vout) for plan in last.values() for one in plan.inputs]
        return len(spent) == len(set(spent))
