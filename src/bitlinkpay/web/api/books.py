"""`/v1/balances` and `/v1/entries`."""

from dataclasses import dataclass

from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.ids import PostingId, show_id
from bitlinkpay.core.money import format_units
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.entries import store as entries
from bitlinkpay.ledger.entries.store import Entry, EntryFilter, Place
from bitlinkpay.ledger.model import Balance
from bitlinkpay.web.api.call import Call
from bitlinkpay.web.api.cursors import page_of, read_id_and_number, write_cursor
from bitlinkpay.web.api.figures import money_of
from bitlinkpay.web.api.operations import Nothing, Operation, reading
from bitlinkpay.web.api.reading import some_id, span_of
from bitlinkpay.web.api.shapes import BalanceBody, BalancesBody, EntryBody, EntryQuery, Page


@dataclass(frozen=True, slots=True)
class Books:
    """A merchant's own books as the API shows them."""

    database: Database
    registry: Registry

    def operations(self) -> list[Operation]:
        """Return what may be asked about the books."""
        return [
            reading(
                "listBalances",
                "/v1/balances",
                "Show what there is, per asset",
                scopes=set(),
                answer=BalancesBody,
                query=Nothing,
                do=self.balances,
            ),
            reading(
                "listEntries",
                "/v1/entries",
                "List the lines of the books, the newest first",
                scopes=set(),
                answer=Page[EntryBody],
                query=EntryQuery,
                do=self.list_entries,
            ),
        ]

    async def balances(self, call: Call, _: Nothing) -> BalancesBody:
        """Show balances."""
        found = await self.database.unit(lambda tx: ledger.balances(tx, call.merchant_id))
        return BalancesBody(data=[self._balance(balance) for balance in found])

    async def list_entries(self, call: Call, query: EntryQuery) -> Page[EntryBody]:
        """List entries."""
        found = read_id_and_number("entries", query.cursor)
        before = Place(PostingId(found[0]), found[1]) if found else None
        which = EntryFilter(
            asset=query.asset or None,
            pot=query.account,
            item_id=some_id(query.item_id),
            span=span_of(query),
        )
        rows = await self.database.unit(
            lambda tx: entries.list_newest(tx, call.merchant_id, before=before, limit=query.limit + 1, which=which)
        )
        return page_of(rows, query.limit, self._entry, _cursor)

    def _balance(self, balance: Balance) -> BalanceBody:
        decimals = self.registry.assets[balance.asset].decimals
        return BalanceBody(
            asset=balance.asset,
            available=format_units(balance.available_units, decimals),
            reserved=format_units(balance.reserved_units, decimals),
            pending=format_units(balance.pending_units, decimals),
            unassigned=format_units(balance.unassigned_units, decimals),
            quarantined=format_units(balance.quarantined_units, decimals),
            debt=format_units(balance.debt_units, decimals),
        )

    def _entry(self, entry: Entry) -> EntryBody:
        posting_id = show_id("pst", entry.place.posting_id)
        return EntryBody(
            id=f"{posting_id}_{entry.place.entry_no}",
            posting_id=posting_id,
            event=entry.event,
            account=entry.kind.removeprefix("merchant:"),
            item_id=entry.item_id.hex if entry.item_id else "",
            direction=entry.side,
            amount=money_of(self.registry, entry.units, entry.asset),
            balance=money_of(self.registry, entry.balance_units, entry.asset),
            happened_at=entry.happened_at,
            recorded_at=entry.recorded_at,
        )


def _cursor(entry: Entry) -> str:
    return write_cursor("entries", id_=entry.place.posting_id, number=entry.place.entry_no)
