"""The lines of a merchant's own books: exactly those that are asked for, the newest first, page by page."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from tests.ledger.makers import ADDRESS, ASSET, AT, fund, merchant

from bitlinkpay.core.ids import MerchantId, PayoutId, new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.db.where import Span
from bitlinkpay.ledger import accounts, chart
from bitlinkpay.ledger import chart_outgoing as outgoing
from bitlinkpay.ledger.entries import store as entries
from bitlinkpay.ledger.entries.store import Entry, EntryFilter, Place, Pot
from bitlinkpay.ledger.service import post_all

OTHER = "trx-tron"


async def listed(database: Database, owner: MerchantId, which: EntryFilter, limit: int = 100) -> list[Entry]:
    """Return every page, one after the other."""
    found: list[Entry] = []
    async with database.reader() as tx:
        while page := await entries.list_newest(
            tx, owner, before=found[-1].place if found else None, limit=limit, which=which
        ):
            found += page
    return found


@pytest.fixture
async def owner(database: Database) -> MerchantId:
    """A merchant with credits, a debt, odd money and payouts in two assets; and another one with the same."""
    made, other = merchant(), merchant()
    for who in (made, other):
        async with database.transaction() as tx:
            await fund(tx, who, 1_000)
            await fund(tx, who, 2_000, OTHER)
        await pay_out(database, who)
        await take_back(database, who)
    return made


async def pay_out(database: Database, who: MerchantId) -> None:
    """Set something aside for two payouts, and give one back."""
    for n in range(2):
        payout_id = PayoutId(new_uuid7())
        fields = {"merchant_id": who, "asset": ASSET, "units": 100 + n, "happened_at": AT}
        async with database.transaction() as tx:
            await post_all(tx, [outgoing.payout_reserved(payout_id, **fields)])
        if n:
            async with database.transaction() as tx:
                await post_all(tx, [outgoing.payout_released(payout_id, **fields)])


async def take_back(database: Database, who: MerchantId) -> None:
    """Undo a credit that the balance does not cover any more."""
    async with database.transaction() as tx:
        deposit_id = await fund(tx, who, 500)
        reversed_ = chart.deposit_reversed(
            deposit_id,
            merchant_id=who,
            asset=ASSET,
            address=ADDRESS,
            units=500,
            fee_units=0,
            taken_units=300,
            happened_at=AT,
        )
        await post_all(tx, [reversed_])


async def test_all_of_a_merchants_entries_are_listed_newest_first_and_nobody_elses(
    database: Database, owner: MerchantId
) -> None:
    everything = await listed(database, owner, EntryFilter())
    places = [(one.place.posting_id, one.place.entry_no) for one in everything]
    assert places == sorted(places, reverse=True)
    assert len(set(places)) == len(places) > 15
    assert await listed(database, owner, EntryFilter(), limit=1) == everything
    assert await listed(database, owner, EntryFilter(), limit=4) == everything
    async with database.reader() as tx:
        count = await tx.fetchval(
            "select count(*) from ledger_entries join ledger_accounts using (account_id) where merchant_id = $1", owner
        )
    assert len(everything) == count
    assert await listed(database, merchant(), EntryFilter()) == []


async def test_every_filter_lists_exactly_what_it_says(database: Database, owner: MerchantId) -> None:
    everything = await listed(database, owner, EntryFilter())
    items = {one.item_id for one in everything if one.item_id}
    assert {one.kind for one in everything} >= {"merchant:available", "merchant:debt", "merchant:reserved"}
    for asset, pot in product((None, ASSET, OTHER, "btc-bitcoin"), (None, *Pot)):
        which = EntryFilter(asset=asset, pot=pot)
        expected = [
            one for one in everything if asset in {None, one.asset} and (pot is None or one.kind == f"merchant:{pot}")
        ]
        assert await listed(database, owner, which) == expected, which
        assert await listed(database, owner, which, limit=2) == expected, "page by page"
    for item_id in items:
        expected = [one for one in everything if one.item_id == item_id]
        assert await listed(database, owner, EntryFilter(item_id=item_id)) == expected
        assert await listed(database, owner, EntryFilter(item_id=item_id), limit=1) == expected
        assert await listed(database, merchant(), EntryFilter(item_id=item_id)) == []
    assert await listed(database, owner, EntryFilter(item_id=new_uuid7())) == []
    assert await listed(database, owner, EntryFilter(item_id=next(iter(items)), pot=Pot.AVAILABLE)) == []


async def test_a_time_lists_what_was_recorded_in_it(database: Database, owner: MerchantId) -> None:
    everything = await listed(database, owner, EntryFilter())
    moments = sorted({one.recorded_at for one in everything})
    for since, until in product((None, *moments), (None, *moments)):
        expected = [
            one
            for one in everything
            if (since is None or one.recorded_at >= since) and (until is None or one.recorded_at < until)
        ]
        assert await listed(database, owner, EntryFilter(span=Span(since, until))) == expected
    long_ago = datetime.now(UTC) - timedelta(days=30)
    assert await listed(database, owner, EntryFilter(span=Span(long_ago, long_ago + timedelta(days=1)))) == []


async def test_entries_that_are_added_meanwhile_change_no_page(database: Database, owner: MerchantId) -> None:
    everything = await listed(database, owner, EntryFilter())
    middle = everything[len(everything) // 2].place
    async with database.transaction() as tx:
        await fund(tx, owner, 7)
    async with database.reader() as tx:
        older = await entries.list_newest(tx, owner, before=middle, limit=100)
        beyond = Place(middle.posting_id, 2**40)
        with_it = await entries.list_newest(tx, owner, before=beyond, limit=100)
    assert older == everything[len(everything) // 2 + 1 :]
    assert with_it[-len(older) :] == older
    assert {one.place.posting_id for one in with_it} - {one.place.posting_id for one in older} <= {middle.posting_id}


def test_a_pot_is_called_what_its_accounts_are() -> None:
    who = merchant()
    assert accounts.available(who) == f"merchant:{who.hex}:{Pot.AVAILABLE}"
    assert accounts.debt(who) == f"merchant:{who.hex}:{Pot.DEBT}"
