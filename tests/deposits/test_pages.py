"""A merchant's odd money page by page: what is put aside and nothing else, of every state, label, asset and time."""

from datetime import timedelta
from itertools import product

import pytest
from tests.deposits.rows import AT, add_merchant
from tests.deposits.test_store import deposit, insert

from bitlinkpay.core.ids import DepositId, MerchantId, first_uuid7, new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.db.where import Span
from bitlinkpay.deposits.model import Deposit, DepositState
from bitlinkpay.deposits.pages import store as pages
from bitlinkpay.deposits.pages.store import AsideFilter

S = DepositState
ASIDE = (S.UNASSIGNED, S.QUARANTINED)
LABELS = ("short", "late")
ASSETS = ("usdt-tron", "trx-tron")
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def mine(database: Database) -> list[Deposit]:
    """Put money of one merchant aside, of every sort and the oldest first, amid what is not its or not put aside."""
    owner = await database.unit(add_merchant)
    other = await database.unit(lambda tx: add_merchant(tx, "coffee"))
    every = enumerate(product(ASIDE, LABELS, ASSETS))
    aside = [
        deposit(
            n,
            deposit_id=DepositId(first_uuid7(AT + n * MINUTE)),
            merchant_id=owner,
            state=state,
            label=label,
            asset=asset,
            seen_at=AT + n * MINUTE,
        )
        for n, (state, label, asset) in every
    ]
    elsewhere = [
        *(deposit(50 + n, merchant_id=owner, state=state) for n, state in enumerate(S) if state not in ASIDE),
        *(deposit(70 + n, merchant_id=other, state=state) for n, state in enumerate(ASIDE)),
        deposit(80, state=S.UNASSIGNED),
    ]
    await insert(database, *aside, *elsewhere)
    return aside


async def listed(database: Database, owner: MerchantId, which: AsideFilter, limit: int = 100) -> list[Deposit]:
    """Return every page, one after the other."""
    found: list[Deposit] = []
    async with database.reader() as tx:
        while page := await pages.list_put_aside(
            tx, owner, before=found[-1].deposit_id if found else None, limit=limit, which=which
        ):
            found += page
    return found


def owner_of(mine: list[Deposit]) -> MerchantId:
    owner = mine[0].merchant_id
    assert owner is not None
    return owner


async def test_every_filter_lists_exactly_what_it_says(database: Database, mine: list[Deposit]) -> None:
    for state, label, asset in product((None, *ASIDE), (None, *LABELS), (None, *ASSETS)):
        expected = [
            one
            for one in reversed(mine)
            if state in {None, one.state} and label in {None, one.label} and asset in {None, one.asset}
        ]
        which = AsideFilter(state=state, label=label, asset=asset)
        assert await listed(database, owner_of(mine), which) == expected, which
        assert await listed(database, owner_of(mine), which, limit=3) == expected, "page by page"


async def test_what_is_not_put_aside_is_in_no_list(database: Database, mine: list[Deposit]) -> None:
    for state in S:
        found = await listed(database, owner_of(mine), AsideFilter(state=state))
        assert bool(found) == (state in ASIDE), state
    assert await listed(database, MerchantId(new_uuid7()), AsideFilter()) == []


async def test_a_time_lists_what_was_seen_in_it(database: Database, mine: list[Deposit]) -> None:
    for since, until in product((None, -1, 0, 3, 8), (None, 0, 3, 8, 99)):
        span = Span(
            AT + since * MINUTE if since is not None else None,
            AT + until * MINUTE if until is not None else None,
        )
        expected = mine[max(since or 0, 0) : until]
        assert await listed(database, owner_of(mine), AsideFilter(span=span)) == expected[::-1], (since, until)


async def test_a_deposit_is_found_by_its_own_merchant_whatever_its_state(
    database: Database, mine: list[Deposit]
) -> None:
    credited = deposit(99, merchant_id=owner_of(mine), state=S.CREDITED)
    await insert(database, credited)
    async with database.reader() as tx:
        for one in (mine[0], credited):
            assert await pages.find_own(tx, owner_of(mine), one.deposit_id) == one
            assert await pages.find_own(tx, MerchantId(new_uuid7()), one.deposit_id) is None
        assert await pages.find_own(tx, owner_of(mine), DepositId(new_uuid7())) is None
