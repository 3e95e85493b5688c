"""One suite over every network row that collects: an order paid in each asset is swept by the shipped plan, lanes and signing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest
from tests.chains.conformance.places import NETWORKS
from tests.chains.conformance.test_receiving import Till, till  # noqa: F401 - its fixture serves here too
from tests.flows.conftest import ring  # noqa: F401 - a fixture of the flows serves here too
from tests.flows.harness import market

from bitlinkpay.app.paying import lanes_of, treasuries_of
from bitlinkpay.app.platform import Platform, url_policy
from bitlinkpay.chains.outgoing import Intent, Signed, Wallet
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.ids import DepositId
from bitlinkpay.core.money import to_units
from bitlinkpay.merchants.directory import Directory
from bitlinkpay.payins.model import Payin
from bitlinkpay.rates.service import RateBook
from bitlinkpay.signer.families import dispatch
from bitlinkpay.signer.families.dispatch import Plan
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.network_keys import NetworkKeys
from bitlinkpay.signer.vault import Vault
from bitlinkpay.treasury import funding
from bitlinkpay.treasury.service import ANYTHING
from bitlinkpay.treasury.sweeping import Sweeping
from bitlinkpay.workers.payer import Payer

pytestmark = pytest.mark.timeout(300)
VAULT = Vault.of(bytes(range(64)))  # of the fixture `ring`
COLLECTING = [name for name in NETWORKS if name != "ton"]  # its one wallet takes deposits and pays
FIAT = Decimal(36_000)
"""What each order is worth, so that collecting it pays on every network."""


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
    """A till whose money is collected: the treasury and the lanes of its network, as a deployment builds them."""

    till: Till
    hot: Wallet
    sweeping: Sweeping
    payer: Payer[Plan]

    @classmethod
    def of(cls, till: Till, ring: KeyRing) -> "House":  # noqa: F811
        world, chains = till.world, till.world.chains
        platform = Platform(
            settings=till.place.settings(till.folder),
            database=world.database,
            registry=world.registry,
            clock=world.clock,
            directory=Directory(world.database),
            rates=RateBook(world.database, world.clock),
            payins=world.payins,
            urls=url_policy(till.place.settings(till.folder)),
            ring=ring,
        )
        (lane,) = lanes_of(platform, chains, Hand(world.registry))  # type: ignore[arg-type]
        (treasury,) = treasuries_of(platform, chains)

        async def prices(base: str, quote: str) -> Decimal:
            return await market(base, "CNY") / await market(quote, "CNY")

        return cls(till, treasury.hot, Sweeping(replace(treasury, prices=prices)), Payer(lane))

    @property
    def assets(self) -> list[Asset]:
        return self.till.place.payable(self.till.world.registry)

    @property
    def native(self) -> Asset:
        return self.till.world.registry.native(self.till.place.network_id)

    async def fund(self, asset: Asset, amount: str) -> None:
        """Put the company's own coins into the hot wallet, and claim them."""
        world = self.till.world
        await self.till.place.pays[asset.id](self.hot.address, "", to_units(Decimal(amount), asset.decimals))
        await self.till.finalize()
        ((found,),) = await world.rows("select deposit_id from deposits where target = $1", self.hot.address)
        deposit_id, now = DepositId(found), world.clock.now()  # type: ignore[arg-type]
        await world.database.unit(lambda tx: funding.claim(tx, world.registry, deposit_id, by="operator", now=now))

    async def paid_order(self, asset: Asset) -> Payin:
        """Let an order be paid in full and credited."""
        units = to_units((FIAT / await market(asset.symbol, "CNY")).quantize(Decimal("0.01")), asset.decimals)
        order = await self.till.world.open_order(asset.id, str(Decimal(units).scaleb(-asset.decimals)))
        await self.till.pay(order)
        await self.till.finalize()
        assert await self.till.world.is_paid(order)
        return order

    async def collect(self, rounds: int = 12) -> None:
        """Plan, let the lanes work and blocks come, until a plan has nothing more to move."""
        for _ in range(rounds):
            await self.sweeping.step(ANYTHING)
            while await self.payer.step():
                continue
            await self.till.finalize()
            while await self.payer.step():
                continue
            await self.till.world.settle()
            if not await self.till.world.rows("select from sendings where state not in ('delivered', 'failed')"):
                if not any(one.move for some in (await self.sweeping.plan(ANYTHING)).values() for one in some):
                    return
        raise AssertionError(await self.till.world.rows("select owner, asset, state, reason from sendings"))

    async def shown(self, asset: Asset, address: str) -> int:
        """Return what a fresh adapter reads at an address, after the newest final block."""
        chain = self.till.world.chains[asset.network]
        (units,) = await chain.balances(asset, [address], (await chain.head()).final.height)
        return units


@pytest.mark.parametrize("till", COLLECTING, indirect=True)
async def test_a_paid_order_is_swept_into_the_hot_wallet_and_books_and_chain_agree_to_the_unit(
    till: Till,  # noqa: F811
    ring: KeyRing,  # noqa: F811
) -> None:
    house = House.of(till, ring)
    world, native = till.world, house.native
    await house.fund(native, "1000" if native.symbol == "TRX" else "5")
    orders = [await house.paid_order(asset) for asset in house.assets]
    await house.collect()
    moves = await world.rows("select distinct asset, kind, state from treasury_moves order by asset")
    assert moves == [(asset.id, "sweep", "done") for asset in sorted(house.assets, key=lambda one: one.id)]
    places = {house.hot.address: "custody:hot", **{order.address: "custody:deposits" for order in orders}}
    for asset in {native, *house.assets}:
        for address, kind in places.items():
            booked = await world.account(f"{kind}:{address}", asset.id)
            assert await house.shown(asset, address) == booked, (asset.id, address)
    for order in orders:
        asset = world.registry.assets[str(order.asset)]
        left = await house.shown(asset, order.address)
        assert left * 100 < order.units if asset.is_native else left == 0
        assert asset.is_native or await house.shown(asset, house.hot.address) == order.units
    assert await world.rows("select from lanes where frozen_reason <> ''") == []
