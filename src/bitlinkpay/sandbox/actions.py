"""What a person or a program may do in a sandbox: pay an order right or wrong, mine, reorganise, turn the clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bitlinkpay.chains.registry import Registry
from bitlinkpay.chains.simulated_lending import LOAN_FEES
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Conflict, Invalid
from bitlinkpay.core.ids import PayinId
from bitlinkpay.core.money import format_units, from_units, parse_decimal, to_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.payins import store
from bitlinkpay.payins.model import OrderNotFound, Payin
from bitlinkpay.sandbox.model import Fork, Payment
from bitlinkpay.sandbox.service import Sandbox, advance
from bitlinkpay.sandbox.stakes import store as stakes


@dataclass(frozen=True, slots=True)
class Payable:
    """An asset that can be sent to an order's address, right or wrong."""

    asset: Asset
    network: Network


class SandboxActions:
    """The actions of one sandbox deployment, each in a transaction of its own."""

    def __init__(self, *, database: Database, registry: Registry, clock: Clock) -> None:
        self._database = database
        self._registry = registry
        self._clock = clock
        self._sandbox = Sandbox(registry)

    async def list_payable(self, payin_id: PayinId) -> Sequence[Payable]:
        """Return what can be sent to the order's address, the asked asset first."""
        payin = await self._picked(payin_id)
        asked = self._registry.asset(payin.asset or "")
        family = self._registry.networks[asked.network].family
        networks = [network for network in self._registry.networks.values() if network.family is family]
        assets = [asset for network in networks for asset in self._registry.assets_of(network.id)]
        ordered = sorted(assets, key=lambda asset: (asset.id != asked.id, asset.network != asked.network))
        return [Payable(asset, self._registry.networks[asset.network]) for asset in ordered]

    async def pay(self, payin_id: PayinId, *, asset_id: str = "", amount: str = "") -> str:
        """Broadcast a transfer to the order's address and return its txid; a block has to be mined for it to count.

        Args:
            payin_id: the order.
            asset_id: "" for the asked asset.
            amount: major units in plain digits, "" for the asked amount.

        Raises:
            Problem: no network picked yet, an asset that its address cannot receive, a malformed amount.
        """
        payin = await self._picked(payin_id)
        payable = {choice.asset.id: choice.asset for choice in await self.list_payable(payin_id)}
        asset = payable.get(asset_id or payin.asset or "")
        if asset is None:
            raise Invalid(f"this order's address can receive {', '.join(payable)}", param="asset")
        payment = Payment(asset=asset, target=payin.address, units=self._units(payin, asset, amount), tag=payin.tag)

        async def work(tx: Tx) -> list[str]:
            return await self._sandbox.pay(tx, [payment], self._clock.now())

        return (await self._database.unit(work))[0]

    async def fund(self, asset: Asset, address: str, amount: str) -> str:
        """Broadcast a transfer from nowhere to a wallet of the platform and return its txid.

        Raises:
            Invalid: a malformed amount.
        """
        units = to_units(parse_decimal(amount, param="amount"), asset.decimals, param="amount")
        payment = Payment(asset=asset, target=address, units=units)

        async def work(tx: Tx) -> list[str]:
            return await self._sandbox.pay(tx, [payment], self._clock.now())

        return (await self._database.unit(work))[0]

    async def stake(self, network: Network, address: str, amount: str) -> str:
        """Let a wallet of the platform have staked so much more coin, from nowhere; return all that it has staked.

        Raises:
            Invalid: a malformed amount, or a network on which no stake is lent.
        """
        if network.family not in LOAN_FEES:
            raise Invalid(f"nothing is lent on {network.id}: only TRON has energy", param="network")
        native = self._registry.native(network.id)
        units = to_units(parse_decimal(amount, param="amount"), native.decimals, param="amount")
        if not units:
            raise Invalid("write an amount above zero", param="amount")
        staked = await self._database.unit(lambda tx: stakes.add(tx, network.id, address, units))
        return format_units(staked, native.decimals)

    def _units(self, payin: Payin, asset: Asset, amount: str) -> int:
        if amount:
            return to_units(parse_decimal(amount, param="amount"), asset.decimals, param="amount")
        asked = self._registry.asset(payin.asset or "")
        return to_units(from_units(payin.units, asked.decimals), asset.decimals, param="amount")

    async def mine(self, payin_id: PayinId, blocks: int) -> None:
        """Add blocks to the order's network."""
        payin = await self._picked(payin_id)
        await self.mine_network(self._registry.asset(payin.asset or "").network, blocks)

    async def mine_network(self, network: str, blocks: int) -> int:
        """Add blocks to a network and return its height.

        Raises:
            Invalid: no such network, or not 1 to 1,000 blocks.
        """
        mined = await self._database.unit(lambda tx: self._sandbox.mine(tx, network, blocks, self._clock.now()))
        return mined.height

    async def reorg(self, network: str, depth: int, fork: Fork) -> int:
        """Replace the newest blocks of a network by a longer branch and return its height.

        Raises:
            Invalid: no such network, or a depth outside of 1 to 500.
        """
        newest = await self._database.unit(lambda tx: self._sandbox.reorg(tx, network, depth, fork, self._clock.now()))
        return newest.height

    async def advance_clock(self, minutes: int) -> datetime:
        """Move business time forward and return the new time."""
        return await self.advance(timedelta(minutes=minutes))

    async def advance(self, by: timedelta) -> datetime:
        """Move business time forward and return the new time.

        Raises:
            Invalid: backwards, or more than ten years.
        """
        before = self._clock.now()
        await self._database.unit(lambda tx: advance(tx, by))
        return before + by

    async def _picked(self, payin_id: PayinId) -> Payin:
        async with self._database.reader() as tx:
            payin = await store.find(tx, payin_id)
        if payin is None:
            raise OrderNotFound
        if payin.asset is None:
            raise Conflict("the payer has not picked a network yet; pick one on the page first")
        return payin
