"""The treasury of a platform on the TRON test network: the shipped sender, lender and signing, and lanes that carry it."""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from tests.chains.tron.ledger import DAY_MS, Account, State
from tests.flows.harness import cross_rate
from tests.flows.paying import SEED
from tests.flows.tron import NETWORK, TRX, USDT, TronWorld
from tests.support.clock import ManualClock

from bitlinkpay.chains.codec.tron import to_bytes
from bitlinkpay.chains.outgoing import Intent, Purpose, Signed, Wallet
from bitlinkpay.chains.tron.lending import TronLending
from bitlinkpay.chains.tron.plan import TronPlan
from bitlinkpay.chains.tron.sender import TronSender
from bitlinkpay.db.driver import Tx
from bitlinkpay.payins.model import Payin
from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.sending.parts import LaneParts
from bitlinkpay.signer.families import tron
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.network_keys import NetworkKeys
from bitlinkpay.signer.problems import SignerRefused
from bitlinkpay.signer.vault import Vault
from bitlinkpay.treasury.loans.service import LoanOwner
from bitlinkpay.treasury.model import Permit
from bitlinkpay.treasury.moves import store as moves
from bitlinkpay.treasury.owner import TREASURY_KINDS, TreasuryOwner
from bitlinkpay.treasury.parts import TreasuryParts
from bitlinkpay.treasury.service import ANYTHING, Treasury
from bitlinkpay.treasury.sweeping import ASK_EVERY, Sweeping
from bitlinkpay.treasury.weighing import Weighed
from bitlinkpay.workers.payer import Payer

COIN = 10**6


@dataclass
class Pen:
    """The signer: the shipped signing of TRON with the seed's own keys, and purposes that it refuses."""

    keys: NetworkKeys
    refused: set[Purpose] = field(default_factory=set)
    signed: list[Purpose] = field(default_factory=list)

    async def sign(self, intent: Intent, plan: TronPlan) -> Signed:
        if intent.purpose in self.refused:
            raise SignerRefused(f"nothing is signed for {intent.purpose} today")
        self.signed.append(intent.purpose)
        return tron.sign(intent, plan, self.keys)


class Lender:
    """What the platform's own money does on the network."""

    def __init__(self, world: TronWorld, ring: KeyRing) -> None:
        self.world, self.net, self.wall = world, world.net, ManualClock(world.clock.now())
        self.network = world.registry.networks[NETWORK]
        self.hot: Wallet = ring.hot_wallet(self.network)
        self.pen = Pen(NetworkKeys(Vault.of(SEED), world.registry, self.network))
        self.permit = Permit(ANYTHING, {})
        self.restart()

    def restart(self) -> None:
        """Forget everything that is not in the database, as a new process does."""
        world, access = self.world, self.world.chain(NETWORK).access
        owners = {**dict.fromkeys(TREASURY_KINDS, TreasuryOwner(world.registry)), OwnerKind.RECALL: LoanOwner()}
        shared = {"database": world.database, "registry": world.registry, "network": self.network,
                  "sender": TronSender(access), "clock": world.clock, "wall": self.wall}  # fmt: skip
        self.payer = Payer(LaneParts(plan_type=TronPlan, signing=self.pen, owners=owners, **shared))
        lending = TronLending(access)
        self.parts = TreasuryParts(prices=cross_rate, holds=nothing, hot=self.hot, lending=lending, **shared)
        self.treasury = Treasury(self.parts)

    async def fund(self, *, coin: int, stake: int) -> None:
        """Give the hot wallet coin, claim it, and let it have staked more beside that."""
        self.net.pay(self.hot.address, coin * COIN)
        await self.world.finish()
        await self.world.claim(self.hot.address)
        self.stake(stake)

    def stake(self, coin: int) -> None:
        """Let the hot wallet have staked so much more coin for energy, by fiat."""

        def change(state: State) -> None:
            state.accounts.setdefault(to_bytes(self.hot.address)[1:], Account()).energy_stake += coin * COIN

        self.net.grant(change)

    async def work(self) -> None:
        """Let every lane work until none has anything more to do."""
        for _ in range(500):
            if not await self.payer.step():
                return
        raise AssertionError("lanes that never come to rest")

    async def finish(self) -> None:
        """Send what waits, make it solid, let everything follow; books and chain must agree at the end."""
        await self.work()
        await self.world.finish()
        await self.work()
        await self.world.check()

    async def step(self) -> None:
        """Let the treasury look once, and carry out what it asked for."""
        await self.treasury.step(self.permit)
        await self.finish()

    async def rounds(self, count: int) -> None:
        for _ in range(count):
            await self.step()
            await self.pass_time(ASK_EVERY)

    async def plan(self) -> list[Weighed]:
        """Return what comes of each address with USDT now, by a process that has just begun."""
        return (await Sweeping(self.parts).plan(self.permit.purposes))[USDT]

    async def sweepable(self, tx: Tx) -> list[tuple[str, int]]:
        parts, token = self.parts, self.world.registry.assets[USDT]
        found = await moves.list_sweepable(
            tx, family=self.network.family, asset=token, native=parts.native, limit=10, now=parts.clock.now()
        )
        return [(one.source.address, one.units) for one in found]

    async def paid_order(self, amount: str = "100") -> Payin:
        order = await self.world.open_order(USDT, amount)
        self.world.pay(order)
        await self.world.finish()
        assert await self.world.is_paid(order)
        return order

    async def pass_time(self, by: timedelta) -> None:
        self.wall.advance(by)
        self.world.clock.advance(by)

    async def pass_day(self) -> None:
        """Let a day go by: what was used of free bytes and of energy is back."""
        self.net.mine_now(after_ms=DAY_MS)
        await self.pass_time(timedelta(days=1))
        await self.finish()

    def forget_loans(self, borrower: str) -> None:
        """Let somebody with the hot wallet's key have taken back what it lent."""

        def change(state: State) -> None:
            account = to_bytes(borrower)[1:]
            state.accounts[account].borrowed -= state.accounts[to_bytes(self.hot.address)[1:]].lent.pop(account)

        self.net.grant(change)

    async def recalls(self) -> list[str]:
        """Return the states of all payments that take stake back."""
        return [str(state) for (state,) in await self.world.rows("select state from sendings where owner = 'recall'")]

    async def moves(self) -> list[tuple[str, str, str]]:
        """Return method, asset and state of every move, the oldest first."""
        rows = await self.world.rows("select method, asset, state from treasury_moves order by planned_at, move_id")
        return [(str(method), str(asset), str(state)) for method, asset, state in rows]

    async def loans(self) -> list[tuple[str, int]]:
        """Return state and stake of every loan, the oldest first."""
        rows = await self.world.rows("select state, stake_units from treasury_loans order by asked_at, move_id")
        return [(str(state), int(Decimal(str(units)))) for state, units in rows]

    def lent(self) -> int:
        """Return the stake that the hot wallet has lent by the network itself."""
        return sum(self.net.head.accounts[to_bytes(self.hot.address)[1:]].lent.values())

    async def at(self, address: str, asset_id: str) -> int:
        """Return what the network itself says that an address holds."""
        return await self.net.balance(self.world.registry.assets[asset_id], address)

    async def agrees(self) -> None:
        """Compare the books of all our addresses with the network's own state, to the unit."""
        for asset_id in (TRX, USDT):
            held = await self.world.held_units(asset_id)
            held[self.hot.address] = await self.world.account(f"custody:hot:{self.hot.address}", asset_id)
            for address, units in held.items():
                assert await self.at(address, asset_id) == units, (asset_id, address)


async def nothing() -> dict[str, str]:
    return {}
