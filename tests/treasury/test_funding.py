"""Money from cold storage on its way to a wallet that pays, and how it is known again when it arrives."""

import pytest
from tests.flows.harness import REGISTRY
from tests.reconciliation.test_store import COIN, NOW, TOKEN, Written

from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import NotFound
from bitlinkpay.core.ids import DepositId, RefillId, new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.model import DepositState
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import service as ledger
from bitlinkpay.treasury import funding
from bitlinkpay.treasury.funding import NotClaimable


@pytest.fixture
async def written(database: Database) -> Written:
    """Cold storage with 100 units of a token and 10 of the coin."""
    made = Written(database)
    await made.hold(accounts.COLD, 100)
    await made.hold(accounts.COLD, 10, COIN.id)
    return made


async def refill(written: Written, asset: Asset, units: int, fee: tuple[Asset, int] | None = None) -> RefillId:
    async with written.database.transaction() as tx:
        return await funding.refill(tx, asset, units, fee=fee, now=NOW)


async def balances(written: Written, *names: str, asset: Asset = TOKEN) -> list[int]:
    async with written.database.reader() as tx:
        return [await ledger.balance(tx, name, asset.id) for name in names]


@pytest.mark.parametrize("units", [1, 100])
async def test_a_refill_leaves_cold_storage_and_is_on_its_way(written: Written, units: int) -> None:
    made = await refill(written, TOKEN, units)
    assert await balances(written, accounts.COLD, accounts.in_transit(made)) == [100 - units, units]
    assert await balances(written, accounts.COLD, accounts.GAS, asset=COIN) == [10, 0]


async def test_each_refill_is_on_its_way_by_itself(written: Written) -> None:
    first, second = await refill(written, TOKEN, 30), await refill(written, TOKEN, 30)
    assert first != second
    assert await balances(written, accounts.COLD, *map(accounts.in_transit, (first, second))) == [40, 30, 30]


async def test_what_the_network_took_for_it_is_gas_of_cold_storage(written: Written) -> None:
    made = await refill(written, TOKEN, 30, (COIN, 10))
    assert await balances(written, accounts.COLD, accounts.in_transit(made)) == [70, 30]
    assert await balances(written, accounts.COLD, accounts.GAS, asset=COIN) == [0, 10]
    with pytest.raises(NotClaimable, match=r"holds 0 trx-tron by the books, not 0\.000001 trx-tron"):
        await refill(written, TOKEN, 30, (COIN, 1))
    assert await balances(written, accounts.COLD) == [70]


async def test_coin_and_its_own_fee_must_both_be_there(written: Written) -> None:
    with pytest.raises(NotClaimable, match=r"cold storage holds 0\.00001 trx-tron by the books, not 0\.000011"):
        await refill(written, COIN, 8, (COIN, 3))
    assert await balances(written, accounts.COLD, accounts.GAS, asset=COIN) == [10, 0]
    made = await refill(written, COIN, 8, (COIN, 2))
    assert await balances(written, accounts.COLD, accounts.GAS, accounts.in_transit(made), asset=COIN) == [0, 2, 8]


@pytest.mark.parametrize(
    ("asset", "units", "fee", "told"),
    [
        (TOKEN, 101, None, "holds 0.0001 usdt-tron by the books, not 0.000101"),
        (TOKEN, 30, (COIN, 11), "holds 0.00001 trx-tron by the books, not 0.000011"),
        (REGISTRY.assets["usdt-ethereum"], 1, None, "holds 0 usdt-ethereum by the books, not 0.000001"),
    ],
)
async def test_no_more_leaves_cold_storage_than_the_books_say_is_there(
    written: Written, asset: Asset, units: int, fee: tuple[Asset, int] | None, told: str
) -> None:
    with pytest.raises(NotClaimable, match=told):
        await refill(written, asset, units, fee)
    assert await balances(written, accounts.COLD, accounts.EQUITY) == [100, 100]
    assert await balances(written, accounts.COLD, accounts.GAS, asset=COIN) == [10, 0]


async def claim(written: Written, deposit_id: DepositId, refill_id: RefillId | None) -> None:
    async with written.database.transaction() as tx:
        await funding.claim(tx, REGISTRY, deposit_id, refill=refill_id, by="operator", now=NOW)


async def arrived(written: Written, units: int, state: DepositState = DepositState.UNASSIGNED) -> DepositId:
    await written.arrive(units, 100, state)
    async with written.database.reader() as tx:
        return DepositId(await tx.fetchval("select deposit_id from deposits order by txid desc limit 1"))


async def state_of(written: Written, deposit_id: DepositId) -> str:
    async with written.database.reader() as tx:
        return str(await tx.fetchval("select state from deposits where deposit_id = $1", deposit_id))


@pytest.mark.parametrize("units", [29, 31])
async def test_a_refill_is_all_that_was_sent_or_another_one(written: Written, units: int) -> None:
    made, deposit_id = await refill(written, TOKEN, 30), await arrived(written, units)
    with pytest.raises(
        NotClaimable, match=f"has 0.00003 usdt-tron on its way and the money is 0.0000{units} usdt-tron"
    ):
        await claim(written, deposit_id, made)
    with pytest.raises(NotClaimable, match="has 0 usdt-tron on its way"):
        await claim(written, deposit_id, RefillId(new_uuid7()))
    assert await state_of(written, deposit_id) == "unassigned"
    assert await balances(written, accounts.in_transit(made)) == [30]


async def test_LED_09_a_refill_that_arrived_is_no_new_money_and_arrives_once(written: Written) -> None:
    made, deposit_id, again = await refill(written, TOKEN, 30), await arrived(written, 30), await arrived(written, 30)
    for one in (deposit_id, again):  # as its arrival was booked: at an order's account, nobody's yet
        await written.hold(accounts.deposit_custody("Thot"), 30)
        await written.hold(accounts.EQUITY, 30, credit=accounts.unattributed(one))
    await claim(written, deposit_id, made)
    assert await state_of(written, deposit_id) == "claimed"
    names = (accounts.in_transit(made), accounts.hot_custody("Thot"), accounts.unattributed(deposit_id), accounts.COLD)
    assert await balances(written, *names, accounts.EQUITY) == [0, 30, 0, 70, 100]
    with pytest.raises(NotClaimable, match="has 0 usdt-tron"):
        await claim(written, again, made)
    with pytest.raises(NotClaimable, match="this money is claimed"):
        await claim(written, deposit_id, None)


@pytest.mark.parametrize("state", [one for one in DepositState if one is not DepositState.UNASSIGNED])
async def test_only_money_that_waits_for_its_owner_can_be_claimed(written: Written, state: DepositState) -> None:
    deposit_id = await arrived(written, 30, state)
    with pytest.raises(NotClaimable, match=f"this money is {state}: only final money that waits for its owner"):
        await claim(written, deposit_id, None)
    assert await state_of(written, deposit_id) == state


async def test_nothing_is_claimed_that_never_arrived(written: Written) -> None:
    with pytest.raises(NotFound, match="no deposit"):
        await claim(written, DepositId(new_uuid7()), None)
