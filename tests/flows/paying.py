"""Money out on simulated networks: a funded hot wallet, payouts, lanes, and the signer's own keys in this process."""

import itertools
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256

from tests.flows.harness import REGISTRY, World, cross_rate
from tests.support.clock import ManualClock

from bitlinkpay.chains.address import show_address
from bitlinkpay.chains.outgoing import FeeQuote, Intent, Signed, Wallet
from bitlinkpay.chains.simulated_format import address_from
from bitlinkpay.chains.simulated_plan import SimulatedPlan
from bitlinkpay.chains.simulated_sender import SimulatedSender
from bitlinkpay.core.assets import Network
from bitlinkpay.core.ids import DepositId
from bitlinkpay.db.pool import Database
from bitlinkpay.payouts import store as payouts_store
from bitlinkpay.payouts.drafting import Quotes
from bitlinkpay.payouts.model import NewPayout, Payout, PayoutKind
from bitlinkpay.payouts.owner import PayoutOwner
from bitlinkpay.payouts.service import Payouts
from bitlinkpay.sandbox.mempool.store import Mempool
from bitlinkpay.sandbox.model import Payment
from bitlinkpay.sending.lane import LaneWorker
from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.sending.parts import LaneParts, Limits
from bitlinkpay.signer.families import simulated
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.network_keys import NetworkKeys
from bitlinkpay.signer.problems import SignerRefused
from bitlinkpay.signer.vault import Vault
from bitlinkpay.treasury import funding
from bitlinkpay.treasury.loans.service import LoanOwner
from bitlinkpay.treasury.owner import TREASURY_KINDS, TreasuryOwner

SEED = bytes(range(64))


@dataclass
class Pen:
    """The signer: the shipped signing of simulated networks with the seed's own keys, and a switch to refuse."""

    network: Network
    vault: Vault
    refusal: str = ""
    asked: int = 0

    async def sign(self, intent: Intent, plan: SimulatedPlan) -> Signed:
        self.asked += 1
        if self.refusal:
            raise SignerRefused(self.refusal)
        return simulated.sign(intent, plan, NetworkKeys(self.vault, REGISTRY, self.network))


@dataclass
class Cashier:
    """What pays in a world."""

    world: World
    ring: KeyRing
    wall: ManualClock
    vault: Vault = field(default_factory=lambda: Vault.of(SEED))
    limits: Limits = field(default_factory=Limits)
    pens: dict[str, Pen] = field(default_factory=dict)
    lanes: dict[tuple[str, str], LaneWorker[SimulatedPlan]] = field(default_factory=dict)
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def hot(self, network_id: str) -> Wallet:
        return self.ring.hot_wallet(REGISTRY.networks[network_id])

    def sender(self, network_id: str, database: Database | None = None) -> SimulatedSender:
        chain = self.world.chain(network_id)
        return SimulatedSender(chain, Mempool(database or self.world.database, REGISTRY))  # type: ignore[arg-type]

    def pen(self, network_id: str) -> Pen:
        return self.pens.setdefault(network_id, Pen(REGISTRY.networks[network_id], self.vault))

    def parts(self, network_id: str, database: Database | None = None) -> LaneParts[SimulatedPlan]:
        owner = PayoutOwner(REGISTRY)
        return LaneParts(
            database=database or self.world.database,
            registry=REGISTRY,
            network=REGISTRY.networks[network_id],
            sender=self.sender(network_id),
            plan_type=SimulatedPlan,
            signing=self.pen(network_id),
            owners={
                **dict.fromkeys((OwnerKind.PAYOUT, OwnerKind.SETTLEMENT, OwnerKind.REFUND), owner),
                **dict.fromkeys(TREASURY_KINDS, TreasuryOwner(REGISTRY)),
                OwnerKind.RECALL: LoanOwner(),
            },
            clock=self.world.clock,
            wall=self.wall,
            limits=self.limits,
            providers=[self.world.lists],
        )

    def build_lane(self, network_id: str, database: Database | None = None) -> LaneWorker[SimulatedPlan]:
        return LaneWorker(self.parts(network_id, database), self.hot(network_id))

    def payouts(self, quotes: Quotes | None = None) -> Payouts:
        """Return what takes payouts; `quotes` stands in place of asking the networks themselves."""

        async def ask(intent: Intent) -> FeeQuote:
            return await self.sender(intent.network).quote(intent)

        return Payouts(
            registry=REGISTRY,
            quotes=quotes or ask,
            prices=cross_rate,
            providers=[self.world.lists],
            hot_wallet=self.ring.hot_wallet,
            clock=self.world.clock,
        )

    async def fund(self, asset_id: str, amount: str) -> None:
        """Let the company pay its own money into the hot wallet, and claim it."""
        asset = REGISTRY.assets[asset_id]
        await self.world.watch(asset.network)
        units = int(Decimal(amount).scaleb(asset.decimals))
        target = self.hot(asset.network).address
        await self.world.broadcast(Payment(asset, target, units))
        await self.world.finalize(asset.network)
        rows = await self.world.rows(
            "select deposit_id, source from deposits where target = $1 and asset = $2 and state = 'unassigned'",
            target,
            asset_id,
        )
        for deposit_id, sender in rows:
            await self.world.database.unit(
                lambda tx, d=deposit_id, s=sender: funding.claim(
                    tx, REGISTRY, DepositId(d), sender=s, by="operator", now=self.world.clock.now()
                )
            )
        await self.world.check()

    async def ask(self, asset_id: str, amount: str, *, target: str = "", source_id: str = "", **more: object) -> Payout:
        new = self.request(asset_id, amount, target=target, source_id=source_id, **more)
        payouts = self.payouts()
        draft = await payouts.prepare(new)
        return await self.world.database.unit(lambda tx: payouts.request(tx, draft))

    def request(
        self, asset_id: str, amount: str, *, target: str = "", source_id: str = "", **more: object
    ) -> NewPayout:
        fields: dict[str, object] = {"merchant": self.world.merchant, "kind": PayoutKind.PAYOUT, "tag": ""} | more
        return NewPayout(
            source_id=source_id or f"payout-{next(self.numbers)}",
            asset=REGISTRY.assets[asset_id],
            target=target or STRANGERS[REGISTRY.networks[REGISTRY.assets[asset_id].network].family],
            amount=Decimal(amount),
            **fields,  # type: ignore[arg-type]
        )

    async def run(self, *network_ids: str) -> None:
        """Let lanes work until none has anything more to do."""
        for network_id in network_ids:
            key = network_id, self.hot(network_id).address
            lane = self.lanes.setdefault(key, self.build_lane(network_id))
            steps = 0
            while await lane.step():
                steps += 1
                assert steps < 5_000, "a lane that never comes to rest"

    async def finish(self, network_id: str) -> None:
        """Send what waits, make it final, and let everything follow."""
        await self.run(network_id)
        await self.world.mine(network_id, self.world.registry.networks[network_id].sandbox_lag + 1)
        await self.run(network_id)
        await self.world.settle()

    async def pass_time(self, by: timedelta) -> None:
        self.wall.advance(by)
        self.world.clock.advance(by)

    async def show(self, payout: Payout) -> Payout:
        async with self.world.database.reader() as tx:
            found = await payouts_store.find(tx, payout.payout_id)
        assert found is not None
        return found

    async def state(self, payout: Payout) -> str:
        return (await self.show(payout)).state.value

    async def received(self, target: str, asset_id: str) -> int:
        """Return what the chain says that an address got in blocks."""
        rows = await self.world.rows(
            "select coalesce(sum(units), 0) from sim_transfers where target = $1 and asset = $2"
            " and height is not null and not has_failed",
            target,
            asset_id,
        )
        return int(Decimal(str(rows[0][0])))

    async def transactions(self, network_id: str) -> list[tuple[int, str]]:
        """Return number and state of every transaction of the hot wallet."""
        rows = await self.world.rows(
            "select number, state from transactions where network = $1 order by number, allotted_at", network_id
        )
        return [(int(str(number)), str(state)) for number, state in rows]


STRANGERS = {
    network.family: show_address(network, address_from(network, sha256(b"stranger").digest()))
    for network in REGISTRY.networks.values()
}
