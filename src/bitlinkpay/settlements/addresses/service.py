"""Bind and save addresses under all four checks; a new one rests before money follows it. Removal is immediate."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from bitlinkpay.authorizations.model import Action, AnswerSpent, Shown
from bitlinkpay.authorizations.service import Checks
from bitlinkpay.chains.address import parse_address
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Network
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Problem
from bitlinkpay.core.ids import MerchantId, new_uuid7
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants.model import Merchant
from bitlinkpay.payouts import checks as payout_checks
from bitlinkpay.payouts import store as payouts_store
from bitlinkpay.payouts.model import AddressRefused
from bitlinkpay.settlements import events
from bitlinkpay.settlements.addresses import store
from bitlinkpay.settlements.addresses.model import HomeAddress, HomeNotFound, HomeOnHold, check_label

HOLD: Final = timedelta(hours=24)  # THREATS, rule 29


@dataclass(frozen=True, slots=True)
class NewHome:
    """An address to bind (`label` is `BOUND`) or to save, as the merchant wrote it."""

    merchant: Merchant
    network: Network
    label: str
    target: str
    tag: str


def action_of(new: NewHome, canonical: str) -> Action:
    """Return what an authorization to bind or save an address is bound to."""
    return Action(new.merchant.merchant_id, "settlement.bind_address", (new.network.id, new.label, canonical, new.tag))


class Homes:
    """The bound and saved addresses of a deployment's merchants."""

    def __init__(
        self, database: Database, registry: Registry, checks: Checks, clock: Clock, *, hold: timedelta = HOLD
    ) -> None:
        """Build the service.

        Args:
            database: where the addresses are.
            registry: networks and their token contracts.
            checks: the four checks.
            clock: business time.
            hold: how long a new address rests.
        """
        self._database = database
        self._registry = registry
        self._checks = checks
        self._clock = clock
        self._hold = hold

    async def bind(self, new: NewHome, shown: Shown) -> HomeAddress:
        """Bind or save an address, in place of the one that stood under its label.

        The same one again changes nothing and asks for no proof, so that a lost answer may be asked for once more.

        Raises:
            AddressRefused, Invalid: nobody may be paid there, or the network knows no tags.
            Problem: what the checks refuse, see `authorizations.service.Checks.authorize`.
        """
        canonical = await self._check(new)
        action = action_of(new, canonical)
        if standing := await self._standing(new, canonical):
            return standing
        try:
            given = await self._checks.authorize(new.merchant, action, shown)
        except AnswerSpent:
            if standing := await self._standing(new, canonical):  # by this very request, sent twice
                return standing
            raise
        now = self._clock.now()
        address = HomeAddress(
            address_id=new_uuid7(),
            merchant_id=new.merchant.merchant_id,
            network=new.network.id,
            label=new.label,
            target=canonical,
            tag=new.tag,
            authorization_id=given.authorization_id,
            bound_at=now,
            usable_at=now + self._hold,
        )

        async def work(tx: Tx) -> HomeAddress:
            await self._checks.use(tx, given.authorization_id, action)
            return await self._put(tx, address)

        async def resolve(tx: Tx) -> HomeAddress | None:
            found = await store.find(tx, address.merchant_id, address.network, address.label)
            return found if found is not None and _is_same(found, address) else None

        return await self._database.unit(work, races=("settlement_addresses_one",), resolve=resolve)

    async def _standing(self, new: NewHome, canonical: str) -> HomeAddress | None:
        """Return the address under a label where it is this very one."""
        async with self._database.reader() as tx:
            found = await store.find(tx, new.merchant.merchant_id, new.network.id, new.label)
        return found if found is not None and (found.target, found.tag) == (canonical, new.tag) else None

    async def end(self, tx: Tx, merchant_id: MerchantId, address_id: UUID) -> HomeAddress:
        """Take an address out of use at once, by its id, and return it.

        Raises:
            HomeNotFound: the merchant has none of this id in use.
        """
        found = await store.lock_own(tx, merchant_id, address_id)
        if found is None:
            raise HomeNotFound
        return await self._end(tx, found)

    async def remove(self, tx: Tx, merchant_id: MerchantId, network: str, label: str) -> None:
        """Take an address out of use at once.

        Raises:
            HomeNotFound: nothing stands under this label.
        """
        found = await store.lock(tx, merchant_id, network, label)
        if found is None:
            raise HomeNotFound(network, label)
        await self._end(tx, found)

    async def get_usable(self, tx: Tx, merchant_id: MerchantId, network: str, label: str) -> HomeAddress:
        """Return the address under a label, for a settlement that names it by that.

        Raises:
            HomeNotFound: nothing stands under this label.
            HomeOnHold: it still rests.
        """
        found = await store.find(tx, merchant_id, network, label)
        if found is None:
            raise HomeNotFound(network, label)
        if not found.is_usable(self._clock.now()):
            raise HomeOnHold(found.usable_at)
        return found

    async def _end(self, tx: Tx, standing: HomeAddress) -> HomeAddress:
        now = self._clock.now()
        await store.end(tx, standing.merchant_id, standing.network, standing.label, now)
        await events.tell_address(tx, standing, "removed", now)
        return replace(standing, ended_at=now)

    async def _put(self, tx: Tx, address: HomeAddress) -> HomeAddress:
        now, place = address.bound_at, (address.merchant_id, address.network, address.label)
        there = await store.lock(tx, *place)
        if there is not None and _is_same(there, address):
            return there
        await store.end(tx, *place, now)
        await store.insert(tx, address)
        await events.tell_address(tx, address, "changed" if there else "added", now)
        return address

    async def _check(self, new: NewHome) -> str:
        """Return the address in canonical form."""
        check_label(new.label)
        try:
            canonical = parse_address(new.network, new.target)
        except Problem as problem:
            raise AddressRefused(problem.message) from None
        payout_checks.check_tag(new.network.family, new.tag)
        async with self._database.reader() as tx:
            ours = await payouts_store.is_ours(tx, new.network.family.value, canonical, new.tag)
        contracts = [one.contract for one in self._registry.assets_of(new.network.id) if one.contract]
        payout_checks.check_target(new.network.family, canonical, ours=ours, contracts=contracts)
        if ours:  # a deposit address too: what settles there would be nobody's payment
            raise AddressRefused("it is an address of this platform")
        return canonical


def _is_same(one: HomeAddress, other: HomeAddress) -> bool:
    return (one.target, one.tag) == (other.target, other.tag)
