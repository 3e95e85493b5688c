"""What deposits do to the books, and back: debts are repaid first, in order, and what was spent becomes a debt to the unit."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.deposits.test_store import deposit
from tests.deposits.test_store import insert as arrive
from tests.flows.harness import REGISTRY
from tests.ledger.makers import AT, broken, merchant, posting

from bitlinkpay.core.ids import MerchantId, new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.model import Deposit, DepositState
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.service import post_all
from bitlinkpay.payins import books
from bitlinkpay.payins.books import Money, Way

ASSET = "usdt-tron"
ADDRESS = "TB"
CUSTODY = accounts.deposit_custody(ADDRESS)


def money(owner: MerchantId | None, units: int = 100, **more: object) -> Deposit:
    return deposit(new_uuid7().int % 10**9, units=units, merchant_id=owner, **more)


async def book(database: Database, *ends: Money, arrivals: tuple[Deposit, ...] = ()) -> None:
    async with database.transaction() as tx:
        await books.post(tx, arrivals, ends, AT)


async def credit(database: Database, *credited: Deposit, fee: int = 10) -> None:
    await book(database, *(Money(Way.CREDIT, one, fee) for one in credited), arrivals=credited)


async def spend(database: Database, owner: MerchantId, units: int) -> None:
    moved = (accounts.available(owner), accounts.reserved(owner, new_uuid7()), units)
    async with database.transaction() as tx:
        await post_all(tx, [posting(f"spent:{new_uuid7().hex}", moved, merchant_id=owner)])


async def undo(database: Database, *gone: Deposit) -> None:
    async with database.transaction() as tx:
        await books.post_reversed(tx, gone, AT)


async def balance(database: Database, account: str) -> int:
    async with database.reader() as tx:
        return await ledger.balance(tx, account, ASSET)


async def standing(database: Database, owner: MerchantId) -> tuple[int, int]:
    """Return what a merchant may use, and what it owes."""
    return await balance(database, accounts.available(owner)), await balance(database, accounts.debt(owner))


def credited(one: Deposit, fee: int = 10) -> Deposit:
    return replace(one, state=DepositState.CREDITED, fee_units=fee)


async def test_a_credit_gives_the_merchant_all_but_the_fee(database: Database) -> None:
    owner = merchant()
    await credit(database, money(owner))
    assert await standing(database, owner) == (90, 0)
    assert await balance(database, accounts.FEES_PAYIN) == 10
    assert await balance(database, CUSTODY) == 100
    assert await broken(database) == set()


async def test_of_several_reversed_credits_only_what_was_spent_becomes_a_debt(database: Database) -> None:
    owner, other = merchant(), merchant()
    paid = [money(owner), money(owner), money(other)]
    await credit(database, *paid)
    await spend(database, owner, 120)
    await undo(database, *map(credited, paid))
    assert await standing(database, owner) == (0, 120)
    assert await standing(database, other) == (0, 0), "who spent nothing owes nothing"
    assert await balance(database, CUSTODY) == 0
    assert await balance(database, accounts.FEES_PAYIN) == 0, "no fee is kept of money that never came"
    assert await broken(database) == set()


async def test_two_credits_of_one_batch_repay_a_debt_once(database: Database) -> None:
    """The first takes its part of the debt off before the second is weighed, though both are booked in one call."""
    gone = money(owner := merchant(), 130)
    await credit(database, gone)
    await spend(database, owner, 120)
    await undo(database, credited(gone))
    assert await standing(database, owner) == (0, 120)
    await credit(database, money(owner), money(owner))
    assert await standing(database, owner) == (60, 0)
    assert await broken(database) == set()


async def test_money_that_a_person_accepts_repays_a_debt_as_well(database: Database) -> None:
    owner = merchant()
    gone, odd = money(owner, 60), money(owner)
    await credit(database, gone)
    await spend(database, owner, 50)
    await undo(database, credited(gone))
    await book(database, Money(Way.PUT_ASIDE, odd), arrivals=(odd,))
    assert await balance(database, accounts.unassigned(owner, odd.deposit_id)) == 100
    assert await standing(database, owner) == (0, 50), "money that somebody has to decide about repays nothing"
    await book(database, Money(Way.ACCEPT, odd, 10))
    assert await standing(database, owner) == (40, 0)
    assert await balance(database, accounts.unassigned(owner, odd.deposit_id)) == 0


async def test_quarantined_money_comes_to_nobody_before_a_person_lets_it(database: Database) -> None:
    risky = money(owner := merchant())
    await book(database, Money(Way.QUARANTINE, risky), arrivals=(risky,))
    assert await standing(database, owner) == (0, 0)
    assert await balance(database, accounts.quarantined(owner, risky.deposit_id)) == 100
    await book(database, Money(Way.RELEASE, risky))
    assert await balance(database, accounts.quarantined(owner, risky.deposit_id)) == 0
    assert await balance(database, accounts.unassigned(owner, risky.deposit_id)) == 100
    assert await standing(database, owner) == (0, 0)


@pytest.mark.parametrize("way", [Way.CREDIT, Way.PUT_ASIDE, Way.QUARANTINE])
async def test_money_final_at_sight_ends_as_it_does_in_two_steps(database: Database, way: Way) -> None:
    owner, other = merchant(), merchant()
    at_once, later = money(owner), money(other)
    fee = 10 if way is Way.CREDIT else 0
    await book(database, Money(way, at_once, fee, is_new=True))
    await book(database, Money(way, later, fee), arrivals=(later,))
    assert await standing(database, owner) == await standing(database, other)
    assert await balance(database, CUSTODY) == 200
    for one in (at_once, later):
        assert one.merchant_id is not None
        assert await balance(database, accounts.pending(one.merchant_id, one.deposit_id)) == 0
    assert await broken(database) == set()


@pytest.mark.parametrize("way", [Way.CREDIT, Way.ACCEPT, Way.RELEASE])
async def test_money_without_an_owner_is_nobodys_to_credit(database: Database, way: Way) -> None:
    stray = money(None)
    await book(database, arrivals=(stray,))
    with pytest.raises(AssertionError, match="can only be put aside"):
        await book(database, Money(way, stray))
    assert await balance(database, accounts.platform_pending(stray.deposit_id)) == 100


async def test_money_without_an_owner_is_given_to_one_whole(database: Database) -> None:
    owner, stray = merchant(), money(None)
    await book(database, Money(Way.PUT_ASIDE, stray), arrivals=(stray,))
    async with database.transaction() as tx:
        await books.post_assigned(tx, replace(stray, merchant_id=owner), AT)
    assert await balance(database, accounts.unattributed(stray.deposit_id)) == 0
    assert await balance(database, accounts.unassigned(owner, stray.deposit_id)) == 100
    assert await standing(database, owner) == (0, 0)


@pytest.mark.parametrize("state", [DepositState.UNASSIGNED, DepositState.QUARANTINED])
async def test_what_was_put_aside_or_held_is_taken_back_whole_and_leaves_no_debt(
    database: Database, state: DepositState
) -> None:
    owner = merchant()
    odd, kept = money(owner), money(owner)
    await credit(database, kept)
    way = Way.PUT_ASIDE if state is DepositState.UNASSIGNED else Way.QUARANTINE
    await book(database, Money(way, odd), arrivals=(odd,))
    await undo(database, replace(odd, state=state))
    assert await standing(database, owner) == (90, 0)
    assert await balance(database, CUSTODY) == 100
    assert await broken(database) == set()


async def test_pending_money_that_leaves_the_chain_leaves_nothing_behind(database: Database) -> None:
    owner = merchant()
    mine, stray = money(owner), money(None)
    await book(database, arrivals=(mine, stray))
    assert await balance(database, CUSTODY) == 200
    async with database.transaction() as tx:
        await books.post_dropped(tx, [mine, stray], AT)
    assert await balance(database, CUSTODY) == 0
    assert await balance(database, accounts.pending(owner, mine.deposit_id)) == 0
    assert await balance(database, accounts.platform_pending(stray.deposit_id)) == 0


async def test_what_an_address_holds_is_counted_at_a_height(database: Database) -> None:
    """Money in blocks above it stands in the books already and on the chain at that height not yet."""
    owner = merchant()
    low, high = money(owner, 100, height=100), money(owner, 7, height=101)
    elsewhere = money(owner, 50, height=100, target="TOTHER")
    asset = REGISTRY.assets[ASSET]
    await arrive(database, *(replace(one, merchant_id=None) for one in (low, high, elsewhere)))
    await book(database, arrivals=(low, high, elsewhere))
    async with database.reader() as tx:
        assert await books.held_at(tx, asset, [ADDRESS, "TOTHER", "TNONE"], 100) == {
            ADDRESS: 100,
            "TOTHER": 50,
            "TNONE": 0,
        }
        assert await books.held_at(tx, asset, [ADDRESS], 101) == {ADDRESS: 107}
        assert await books.held_at(tx, asset, [ADDRESS], 99) == {ADDRESS: 0}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(2, 10**24), st.integers(0, 1)), min_size=1, max_size=5), st.integers(0, 100))
async def test_whatever_was_spent_available_less_debt_is_what_is_left_of_all_credits(
    database: Database, paid: list[tuple[int, int]], spent_percent: int
) -> None:
    owner = merchant()
    made = [(money(owner, units), fee) for units, fee in paid]
    for one, fee in made:
        await credit(database, one, fee=fee)
    net = sum(units - fee for units, fee in paid)
    if spent := net * spent_percent // 100:
        await spend(database, owner, spent)
    await undo(database, *(credited(one, fee) for one, fee in made))
    assert await standing(database, owner) == (0, spent)
