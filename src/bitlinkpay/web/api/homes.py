"""`/v1/settlement-addresses`: where a merchant's money goes home to. A new one asks for the four checks, and rests."""

from dataclasses import dataclass

from bitlinkpay.chains.address import show_address
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.ids import show_id
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants.api_keys.model import Scope
from bitlinkpay.settlements.addresses import store
from bitlinkpay.settlements.addresses.model import HomeAddress, HomeNotFound
from bitlinkpay.settlements.addresses.service import Homes, NewHome
from bitlinkpay.web.api.call import Call
from bitlinkpay.web.api.cursors import page_of, read_id, write_cursor
from bitlinkpay.web.api.deeds import Deed, Deeds
from bitlinkpay.web.api.home_shapes import BindAddress, HomeAddressBody, HomeAddressQuery
from bitlinkpay.web.api.operations import Nothing, Operation, asking, doing, reading
from bitlinkpay.web.api.reading import id_of, network_of, shown_of
from bitlinkpay.web.api.shapes import Page


@dataclass(frozen=True, slots=True)
class HomeDesk:
    """Bound and saved addresses as the API makes and shows them. `clock` is business time, by which they rest."""

    database: Database
    registry: Registry
    homes: Homes
    deeds: Deeds
    clock: Clock

    def operations(self) -> list[Operation]:
        """Return what may be asked about bound and saved addresses."""
        return [
            asking(
                "bindAddress",
                "/v1/settlement-addresses",
                "Bind a network's address for automatic settlements, or save one by name, under all four checks",
                scopes={Scope.PAYOUT},
                answer=HomeAddressBody,
                body=BindAddress,
                do=self.bind,
            ),
            reading(
                "listAddresses",
                "/v1/settlement-addresses",
                "List the bound and saved addresses in use, the newest first",
                scopes={Scope.PAYOUT},
                answer=Page[HomeAddressBody],
                query=HomeAddressQuery,
                do=self.list_page,
            ),
            doing(
                "removeAddress",
                "/v1/settlement-addresses/{address_id}/remove",
                "Take a bound or saved address out of use at once",
                scopes={Scope.PAYOUT},
                answer=HomeAddressBody,
                body=Nothing,
                deeds=self.deeds,
                prepare=self.remove,
            ),
        ]

    async def bind(self, call: Call, body: BindAddress) -> HomeAddressBody:
        """Bind or save an address, or answer with the same one that stands there."""
        network = network_of(self.registry, body.network)
        new = NewHome(call.merchant, network, body.label, body.address, body.tag)
        return self._body(await self.homes.bind(new, shown_of(call, body.proof)))

    async def list_page(self, call: Call, query: HomeAddressQuery) -> Page[HomeAddressBody]:
        """List addresses."""
        before = read_id("addresses", query.cursor)
        found = await self.database.unit(
            lambda tx: store.list_standing(
                tx, call.merchant_id, network=query.network or None, before=before, limit=query.limit + 1
            )
        )
        return page_of(found, query.limit, self._body, lambda one: write_cursor("addresses", id_=one.address_id))

    async def remove(self, call: Call, _: Nothing) -> Deed:
        """Take an address out of use."""
        address_id = id_of("adr", call.ids[0], HomeNotFound())

        async def deed(tx: Tx) -> HomeAddressBody:
            return self._body(await self.homes.end(tx, call.merchant_id, address_id))

        return deed

    def _body(self, one: HomeAddress) -> HomeAddressBody:
        return HomeAddressBody(
            id=show_id("adr", one.address_id),
            network=one.network,
            label=one.label,
            address=show_address(self.registry.networks[one.network], one.target),
            tag=one.tag,
            state="ended" if one.ended_at else "usable" if one.is_usable(self.clock.now()) else "resting",
            bound_at=one.bound_at,
            usable_at=one.usable_at,
            ended_at=one.ended_at,
        )
