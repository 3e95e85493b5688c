"""A world on a real node that pays and collects: payouts, treasury and lanes as a deployment builds them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from tests.flows.harness import World
from tests.support.clock import ManualClock

from bitlinkpay.app.paying import lanes_of, payouts_of, treasuries_of
from bitlinkpay.app.platform import Platform, url_policy
from bitlinkpay.chains.outgoing import Intent, Signed, Wallet
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.clock import SystemClock
from bitlinkpay.merchants.directory import Directory
from bitlinkpay.payouts import store as payouts_store
from bitlinkpay.payouts.model import NewPayout, Payout, PayoutKind
from bitlinkpay.payouts.service import Payouts
from bitlinkpay.rates.service import RateBook, refresh
from bitlinkpay.rates.sources import FixedPrices
from bitlinkpay.sending.parts import LaneParts
from bitlinkpay.settings import Settings
from bitlinkpay.signer.families import dispatch
from bitlinkpay.signer.families.dispatch import Plan
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.network_keys import NetworkKeys
from bitlinkpay.signer.vault import Vault
from bitlinkpay.treasury.sweeping import Sweeping
from bitlinkpay.workers.payer import Payer

VAULT = Vault.of(bytes(range(64)))  # of the flows' fixture `ring`


@dataclass
class Hand:
    """The signer's own signing with keys of the test, without its policy."""

    registry: Registry

    async def sign(self, intent: Intent, plan: Plan, *, ours: Sequence[Wallet] = ()) -> Signed:
        keys = NetworkKeys(VAULT, self.registry, self.registry.networks[intent.network])
        assert all(keys.private_key(one) for one in ours), "an address that is said to be ours is"
        return dispatch.sign(intent, plan, keys)


@dataclass
class House:
    """What pays and collects on the one network of a world. Two clocks: `world.clock` is business time, `wall` is not."""

    world: World
    hand: Hand
    hot: Wallet
    wall: ManualClock
    lane: LaneParts[Plan]
    payer: Payer[Plan]
    payouts: Payouts
    sweeping: Sweeping

    @classmethod
    async def of(cls, world: World, settings: Settings, ring: KeyRing) -> "House":
        await refresh(world.database, FixedPrices(world.clock))
        platform = Platform(
            settings=settings,
            database=world.database,
            registry=world.registry,
            clock=world.clock,
            directory=Directory(world.database),
            rates=RateBook(world.database, world.clock),
            payins=world.payins,
            urls=url_policy(settings),
            ring=ring,
        )
        hand, wall = Hand(world.registry), ManualClock(SystemClock().now())
        (lane,) = lanes_of(platform, world.chains, hand)  # type: ignore[arg-type]
        (treasury,) = treasuries_of(platform, world.chains)
        lane, treasury = replace(lane, wall=wall), replace(treasury, wall=wall)
        payouts, hot = payouts_of(platform, world.chains), treasury.hot
        return cls(world, hand, hot, wall, lane, Payer(lane), payouts, Sweeping(treasury))

    async def claim(self) -> None:
        """Claim what the company put into the hot wallet."""
        await self.world.claim(self.hot.address)

    async def work(self) -> None:
        """Let the lanes work until none has anything more to do."""
        while await self.payer.step():
            continue

    async def ask(self, asset_id: str, amount: str, target: str) -> Payout:
        """Let the merchant ask for a payout."""
        new = NewPayout(
            merchant=self.world.merchant,
            kind=PayoutKind.PAYOUT,
            source_id=f"payout-{next(self.world.numbers)}",
            asset=self.world.registry.assets[asset_id],
            target=target,
            tag="",
            amount=Decimal(amount),
        )
        draft = await self.payouts.prepare(new)
        return await self.world.database.unit(lambda tx: self.payouts.request(tx, draft))

    async def show(self, payout: Payout) -> Payout:
        async with self.world.database.reader() as tx:
            found = await payouts_store.find(tx, payout.payout_id)
        assert found is not None
        return found

    async def shown(self, asset_id: str, address: str) -> int:
        """Return what the chain says that an address holds after the newest final block."""
        asset = self.world.registry.assets[asset_id]
        chain = self.world.chains[asset.network]
        (units,) = await chain.balances(asset, [address], (await chain.head()).final.height)
        return units

    async def booked(self, asset_id: str, address: str) -> int:
        """Return what the books say that it holds."""
        kind = "hot" if address == self.hot.address else "deposits"
        return await self.world.account(f"custody:{kind}:{address}", asset_id)
