"""A merchant's payouts page by page: of every kind, state, asset and time exactly those, whatever else there is."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from tests.authorizations.people import stored_merchant
from tests.payouts.test_store import add, made

from bitlinkpay.core.ids import MerchantId, PayoutId, first_uuid7, new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.db.where import Span
from bitlinkpay.payouts.model import Payout, PayoutKind, PayoutState
from bitlinkpay.payouts.pages import store as pages
from bitlinkpay.payouts.pages.store import PayoutFilter

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
STATES = (PayoutState.IN_REVIEW, PayoutState.APPROVED, PayoutState.COMPLETED, PayoutState.CANCELLED)
ASSETS = ("usdt-tron", "trx-tron")


def at(hours: int, **changed: object) -> Payout:
    """Return a payout that was asked for so many hours after noon, with an id of that moment."""
    asked_at = NOON + hours * HOUR
    low = new_uuid7().int & (2**62 - 1)
    payout_id = PayoutId(type(new_uuid7())(int=first_uuid7(asked_at).int | low))
    return made(MerchantId(new_uuid7()), payout_id=payout_id, created_at=asked_at, **changed)


async def listed(database: Database, merchant_id: MerchantId, which: PayoutFilter, limit: int = 100) -> list[PayoutId]:
    """Return the ids of every page, one page after the other."""
    found: list[PayoutId] = []
    async with database.reader() as tx:
        while page := await pages.list_newest(
            tx, merchant_id, before=found[-1] if found else None, limit=limit, which=which
        ):
            found += [one.payout_id for one in page]
    return found


@pytest.fixture
async def mine(database: Database) -> list[Payout]:
    """Payouts of every kind, state and asset of one merchant, the oldest first, and others of another one."""
    owner, other = [(await stored_merchant(database)).merchant_id for _ in range(2)]
    every = list(product(PayoutKind, STATES, ASSETS))
    rows = [at(n, kind=kind, state=state, asset=asset) for n, (kind, state, asset) in enumerate(every)]
    stored = [made(owner, **_fields(one)) for one in rows]
    await add(database, *stored, *(made(other, **_fields(at(n))) for n in range(3)))
    return stored


def _fields(of: Payout) -> dict[str, object]:
    names = ("payout_id", "created_at", "kind", "state", "asset")
    return {name: getattr(of, name) for name in names}


async def test_every_filter_lists_exactly_what_it_says(database: Database, mine: list[Payout]) -> None:
    owner = mine[0].merchant_id
    for kind, state, asset in product((None, *PayoutKind), (None, *STATES), (None, *ASSETS)):
        expected = [
            one.payout_id
            for one in reversed(mine)
            if kind in {None, one.kind} and state in {None, one.state} and asset in {None, one.asset}
        ]
        which = PayoutFilter(kind=kind, state=state, asset=asset)
        assert await listed(database, owner, which) == expected, which
        assert await listed(database, owner, which, limit=5) == expected, "page by page"


@pytest.mark.parametrize(
    ("since", "until", "told"),
    [
        (None, None, range(24)),
        (0, None, range(24)),
        (5, None, range(5, 24)),
        (None, 5, range(5)),
        (5, 6, range(5, 6)),
        (5, 23, range(5, 23)),
        (24, None, range(0)),
        (None, 0, range(0)),
        (-100, -50, range(0)),
        (-100, 100, range(24)),
    ],
)
async def test_a_time_lists_what_was_asked_for_in_it(
    database: Database, mine: list[Payout], since: int | None, until: int | None, told: range
) -> None:
    span = Span(
        NOON + since * HOUR if since is not None else None,
        NOON + until * HOUR if until is not None else None,
    )
    expected = [mine[n].payout_id for n in reversed(told)]
    assert await listed(database, mine[0].merchant_id, PayoutFilter(span=span)) == expected


async def test_one_of_a_source_id_is_that_of_its_kind(database: Database, mine: list[Payout]) -> None:
    owner, wanted = mine[0].merchant_id, mine[9]
    which = PayoutFilter(source_id=wanted.source_id)
    assert await listed(database, owner, which) == [wanted.payout_id]
    for kind in PayoutKind:
        found = await listed(database, owner, PayoutFilter(source_id=wanted.source_id, kind=kind))
        assert found == ([wanted.payout_id] if kind is wanted.kind else [])
    assert await listed(database, MerchantId(new_uuid7()), which) == []


async def test_a_payout_is_found_by_its_own_merchant_only(database: Database, mine: list[Payout]) -> None:
    wanted = mine[3]
    async with database.reader() as tx:
        found = await pages.find_own(tx, wanted.merchant_id, wanted.payout_id)
        assert found is not None
        assert found.payout_id == wanted.payout_id
        assert await pages.find_own(tx, MerchantId(new_uuid7()), wanted.payout_id) is None
        assert await pages.find_own(tx, wanted.merchant_id, new_uuid7()) is None
