"""What the books say of places at a height that lies behind them, what is still on its way there, and whose turn it is."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from tests.deposits.test_store import deposit

from bitlinkpay.chains.outgoing import LOANS, KeyRole, Payment, Purpose, Slot, Wallet
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.core.ids import SendingId, TransactionId, new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.changes import store as deposits
from bitlinkpay.deposits.model import DepositChange, DepositEvent, DepositState
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import LedgerEvent, Move, Posting
from bitlinkpay.reconciliation import store
from bitlinkpay.reconciliation.model import COLD, Books, Place, Running
from bitlinkpay.reconciliation.store import Booked, Page
from bitlinkpay.sending import store as sendings
from bitlinkpay.sending.lanes import store as lanes
from bitlinkpay.sending.model import Attempt, OwnerKind, Sending, SendingState, Transaction, TransactionState
from bitlinkpay.sending.transactions import store as transactions

NOW = datetime(2026, 3, 1, tzinfo=UTC)
REGISTRY = load_registry()
TOKEN, COIN = REGISTRY.assets["usdt-tron"], REGISTRY.assets["trx-tron"]
HOT, OTHER = Wallet(KeyRole.HOT, 0, "Thot"), Wallet(KeyRole.DEPOSIT, 1, "Taddress")
HERE, THERE = Place("Thot", ("Thot",)), Place("Taddress", ("Taddress",))
HEIGHT = 100
T, S = TransactionState, SendingState


@dataclass
class Written:
    """What the tests write: balances, arrivals, and payments with the transactions that carry them."""

    database: Database
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    async def hold(self, account: str, units: int, asset: str = TOKEN.id, *, credit: str = accounts.EQUITY) -> None:
        posting = Posting(
            f"test:{next(self.numbers)}",
            LedgerEvent.HOT_WALLET_FUNDED,
            asset,
            (Move(account, credit, units),),
            None,
            NOW,
        )
        async with self.database.transaction() as tx:
            await ledger.post_all(tx, [posting])

    async def arrive(self, units: int, height: int, state: DepositState = DepositState.FINAL, **more: object) -> None:
        fields = {"units": units, "state": state, "target": HERE.name, "asset": TOKEN.id, "network": "tron"} | more
        one = deposit(next(self.numbers), height=height, **fields)
        async with self.database.transaction() as tx:
            await deposits.insert(tx, [one], [DepositChange(one.deposit_id, DepositEvent.SEEN, state, state)], NOW)

    async def send(
        self,
        *payments: Payment,
        state: TransactionState = T.FINAL,
        height: int | None = None,
        purpose: Purpose = Purpose.PAYOUT,
        payer: Wallet = HOT,
        fee_units: int = 0,
        txids: tuple[str, ...] = (),
    ) -> None:
        """Write a transaction as it stands; its payments stand where it does."""
        carried = [_sending(one, purpose, payer) for one in payments]
        number = next(self.numbers)
        made, txids = _transaction(carried, purpose, payer, number), txids or (f"t{number}",)
        ended = {T.FINAL: S.DELIVERED, T.REVERTED: S.FAILED, T.DEAD: S.FAILED}.get(state, S.SENDING)
        async with self.database.transaction() as tx:
            await lanes.open_(tx, "tron", payer, 0)
            await sendings.insert(tx, carried, NOW)
            await transactions.allot(tx, made, NOW)
            await transactions.place(
                tx, made.transaction_id, txid=txids[-1], height=height, block_hash="", fee_units=fee_units
            )
            await tx.execute(
                "update transactions set state = $2 where transaction_id = $1", made.transaction_id, state.value
            )
            await tx.execute(
                "update sendings set state = $2, transaction_id = $3 where sending_id = any($1::uuid[])",
                [one.sending_id for one in carried],
                ended.value,
                made.transaction_id,
            )
            for tried, txid in enumerate(txids, 1):
                if tried > 1:
                    await transactions.add_attempt(tx, _tried(made, tried - 1), b"{}", NOW)
                if txid:
                    await transactions.store_signed(tx, _tried(made, tried), txid=txid, raw=b"r", wall=NOW)

    async def books(self, *places: Place, coin: bool = False, height: int = HEIGHT) -> dict[str, Books]:
        async with self.database.reader() as tx:
            return await store.read_books(tx, COIN if coin else TOKEN, places or (HERE, THERE), height)

    async def units(self, coin: bool = False, height: int = HEIGHT) -> tuple[int, int]:
        found = await self.books(coin=coin, height=height)
        return found[HERE.name].units, found[THERE.name].units


def _tried(made: Transaction, attempts: int) -> Transaction:
    return replace(made, attempts=tuple(replace(made.latest, number=number) for number in range(1, attempts + 1)))


def _sending(payment: Payment, purpose: Purpose, payer: Wallet) -> Sending:
    return Sending(
        sending_id=SendingId(new_uuid7()),
        owner=OwnerKind.PAYOUT,
        owner_id=new_uuid7(),
        merchant_id=None,
        network="tron",
        purpose=purpose,
        payer=payer,
        payment=payment,
        fee_max_units=1,
        state=SendingState.QUEUED,
        transaction_id=None,
        reason="",
        queued_at=NOW,
        not_before=NOW,
    )


def _transaction(carried: list[Sending], purpose: Purpose, payer: Wallet, number: int) -> Transaction:
    return Transaction(
        transaction_id=TransactionId(new_uuid7()),
        network="tron",
        purpose=purpose,
        payer=payer,
        slot=Slot(number),
        state=T.ALLOTTED,
        fee_max_units=9,
        expires_at=NOW,
        allotted_at=NOW,
        sendings=tuple(carried),
        attempts=(Attempt(1, b"{}", "", b"", None, None),),
    )


def paid(units: int, target: str = "Tstranger", *, source: Wallet = HOT, asset: str = TOKEN.id) -> Payment:
    return Payment(source, asset, target, "", units)


@pytest.fixture
def written(database: Database) -> Written:
    return Written(database)


async def test_a_place_holds_what_all_its_accounts_hold_in_the_asset_and_what_was_never_booked_is_nothing(
    written: Written,
) -> None:
    await written.hold(accounts.hot_custody("Thot"), 2**200)
    await written.hold(accounts.deposit_custody("Thot"), 7)
    await written.hold(accounts.hot_custody("Thot"), 500, COIN.id)
    await written.hold(accounts.COLD, 40)
    never, cold = Place("Tnever", ("Tnever",)), Place(COLD, ("Tc1", "Tc2"))
    assert await written.books(HERE, never, cold) == {
        "Thot": Books(2**200 + 7, (), None),
        "Tnever": Books(0, (), None),
        COLD: Books(40, (), None),
    }
    assert (await written.books(HERE, coin=True))["Thot"].units == 500


@pytest.mark.parametrize("state", DepositState)
async def test_what_arrived_in_later_blocks_is_not_there_yet_unless_the_books_have_undone_it(
    written: Written, state: DepositState
) -> None:
    await written.hold(accounts.hot_custody("Thot"), 1_000)
    await written.arrive(30, HEIGHT, state)
    await written.arrive(200, HEIGHT + 1, state)
    is_undone = state in (DepositState.DROPPED, DepositState.REVERSED)
    assert await written.units() == (1_000 if is_undone else 800, 0)
    assert await written.units(height=HEIGHT + 1) == (1_000, 0)
    assert (await written.units(height=HEIGHT - 1))[0] == (1_000 if is_undone else 770)


async def test_what_arrived_elsewhere_or_of_another_asset_or_network_is_none_of_it(written: Written) -> None:
    await written.hold(accounts.hot_custody("Thot"), 1_000)
    await written.arrive(1, HEIGHT + 1, target="Tstranger")
    await written.arrive(2, HEIGHT + 1, asset=COIN.id)
    await written.arrive(4, HEIGHT + 1, network="ethereum")
    assert await written.units() == (1_000, 0)


async def test_what_left_in_later_blocks_was_still_there(written: Written) -> None:
    await written.hold(accounts.hot_custody("Thot"), 1_000)
    await written.send(paid(30), height=HEIGHT)
    await written.send(paid(200), paid(5), paid(1, asset=COIN.id), height=HEIGHT + 1)
    assert await written.units() == (1_205, 0)
    assert await written.units(height=HEIGHT + 1) == (1_000, 0)
    assert await written.units(height=HEIGHT - 1) == (1_235, 0)


@pytest.mark.parametrize("purpose", [one for one in Purpose if one not in {Purpose.PAYOUT, *LOANS}])
async def test_what_moved_between_places_of_ours_in_later_blocks_stands_where_it_stood(
    written: Written, purpose: Purpose
) -> None:
    await written.hold(accounts.hot_custody("Thot"), 1_000)
    await written.hold(accounts.deposit_custody("Taddress"), 50)
    await written.send(paid(20, "Thot", source=OTHER), height=HEIGHT + 1, purpose=purpose)
    assert await written.units() == (980, 70)
    assert await written.units(height=HEIGHT + 1) == (1_000, 50)


@pytest.mark.parametrize("purpose", sorted(LOANS))
async def test_stake_that_was_lent_or_taken_back_in_later_blocks_stood_nowhere_else(
    written: Written, purpose: Purpose
) -> None:
    await written.hold(accounts.hot_custody("Thot"), 1_000)
    await written.hold(accounts.deposit_custody("Taddress"), 50)
    await written.send(paid(20, "Taddress"), height=HEIGHT + 1, purpose=purpose)
    assert await written.units() == await written.units(height=HEIGHT + 1) == (1_000, 50)


async def test_a_payout_to_an_order_of_ours_comes_as_a_deposit_and_is_not_taken_off_twice(written: Written) -> None:
    await written.hold(accounts.deposit_custody("Taddress"), 50)
    await written.send(paid(20, "Taddress"), height=HEIGHT + 1)
    await written.arrive(20, HEIGHT + 1, target="Taddress")
    assert await written.units() == (20, 30)


@pytest.mark.parametrize("state", [one for one in TransactionState if one is not T.FINAL])
async def test_what_was_not_delivered_has_moved_nothing_in_the_books(written: Written, state: TransactionState) -> None:
    await written.hold(accounts.hot_custody("Thot"), 1_000)
    await written.send(paid(20), state=state, height=HEIGHT + 1)
    assert await written.units() == (1_000, 0)


@pytest.mark.parametrize("state", [T.FINAL, T.REVERTED])
async def test_fees_of_later_blocks_are_put_back_to_who_paid_them_in_coin_only(
    written: Written, state: TransactionState
) -> None:
    await written.hold(accounts.hot_custody("Thot"), 1_000, COIN.id)
    await written.hold(accounts.hot_custody("Thot"), 1_000)
    await written.send(paid(5, source=OTHER), state=state, height=HEIGHT + 1, fee_units=3)
    await written.send(paid(5), state=state, height=HEIGHT, fee_units=400, payer=OTHER)
    assert await written.units(coin=True) == (1_003, 0)
    assert (await written.units())[0] == 1_000
    assert await written.units(coin=True, height=HEIGHT - 1) == (1_003, 400)


@pytest.mark.parametrize("state", [T.MINED, T.BROADCAST, T.DEAD, T.RELEASED])
async def test_a_fee_that_the_books_have_not_taken_is_not_put_back(written: Written, state: TransactionState) -> None:
    await written.send(paid(5), state=state, height=HEIGHT + 1, fee_units=3)
    assert await written.units(coin=True) == (0, 0)


@pytest.mark.parametrize("state", TransactionState)
async def test_what_is_signed_and_has_not_ended_is_running(written: Written, state: TransactionState) -> None:
    await written.send(paid(20), state=state, txids=("t1", "", "t3"))
    is_running = state in (T.SIGNED, T.BROADCAST, T.UNCERTAIN, T.MINED)
    expected = (Running(("t1", "t3"), 20, 0, 0),) if is_running else ()
    assert (await written.books())["Thot"].running == expected
    assert (await written.books())["Taddress"].running == ()


async def test_a_running_sweep_is_felt_at_both_its_ends_and_its_fee_where_it_is_paid(written: Written) -> None:
    both = (paid(20, "Thot", source=OTHER), paid(7, "Thot", source=OTHER))
    await written.send(*both, state=T.BROADCAST, purpose=Purpose.SWEEP)
    found = await written.books()
    assert found["Thot"].running == (Running(("t1",), 0, 27, 0),)
    assert found["Taddress"].running == (Running(("t1",), 27, 0, 0),)
    in_coin = await written.books(coin=True)
    assert in_coin["Thot"].running == (Running(("t1",), 0, 0, 9),)
    assert in_coin["Taddress"].running == ()


async def test_coin_that_pays_its_own_fee_is_felt_once_with_both(written: Written) -> None:
    await written.send(
        paid(20, "Thot", source=OTHER, asset=COIN.id), state=T.BROADCAST, purpose=Purpose.SWEEP, payer=OTHER
    )
    found = await written.books(coin=True)
    assert found["Taddress"].running == (Running(("t1",), 20, 0, 9),)
    assert found["Thot"].running == (Running(("t1",), 0, 20, 0),)


async def test_a_running_payout_to_an_order_of_ours_brings_it_nothing_yet(written: Written) -> None:
    await written.send(paid(20, "Taddress"), state=T.BROADCAST)
    found = await written.books()
    assert found["Taddress"].running == ()
    assert found["Thot"].running == (Running(("t1",), 20, 0, 0),)


async def test_the_height_of_the_last_agreement_is_noted_by_asset_and_never_goes_back(written: Written) -> None:
    for height, asset in ((90, TOKEN.id), (95, TOKEN.id), (93, TOKEN.id), (99, COIN.id)):
        async with written.database.transaction() as tx:
            await store.note_agreement(tx, asset, ["Thot", "Tc"], height, NOW + timedelta(seconds=height))
    found = await written.books(HERE, THERE)
    assert {name: books.agreed_height for name, books in found.items()} == {"Thot": 95, "Taddress": None}
    async with written.database.reader() as tx:
        at = await tx.fetchval(
            "select checked_at from reconciliation_checks where asset = $1 and place = 'Tc'", TOKEN.id
        )
    assert at == NOW + timedelta(seconds=93)


async def test_transfers_in_the_books_are_listed_by_what_they_did_to_the_places_the_newest_first(
    written: Written,
) -> None:
    await written.arrive(5, 90)
    await written.arrive(6, 91, DepositState.REVERSED)
    await written.send(paid(20), height=92, txids=("out",))
    await written.send(paid(7, "Thot", source=OTHER), height=92, purpose=Purpose.SWEEP, txids=("in",))
    await written.send(paid(8, "Thot", source=OTHER), height=94, txids=("payout",))
    await written.send(paid(9), state=T.BROADCAST, height=93)

    async def booked(first: int = 90, last: int = 94, limit: int = 9, *names: str) -> list[Booked]:
        async with written.database.reader() as tx:
            return await store.list_booked(tx, TOKEN, names or ("Thot",), first=first, last=last, limit=limit)

    came = Booked(f"{1:064x}", 90, 5)
    assert await booked() == [Booked("in", 92, 7), Booked("out", 92, -20), came]
    assert await booked(limit=2) == [Booked("in", 92, 7), Booked("out", 92, -20)]
    assert await booked(91) == [Booked("in", 92, 7), Booked("out", 92, -20)]
    assert await booked(90, 91) == [came]
    assert await booked(90, 94, 9, "Taddress") == [Booked("payout", 94, -8), Booked("in", 92, -7)]


async def test_pages_go_through_every_place_once_and_then_begin_again(written: Written) -> None:
    names = ["T1", "T2", "T3", "T4"]
    for name in names:
        await written.hold(accounts.deposit_custody(name), 1)
        await written.hold(accounts.deposit_custody(name), 1, COIN.id)
    await written.hold(accounts.hot_custody("T4"), 1)
    await written.hold(accounts.COLD, 1)
    seen: list[tuple[str, ...]] = []
    async with written.database.transaction() as tx:
        assert await store.find_page_start(tx, TOKEN.id) == 0
        while True:
            page = await store.read_page(tx, TOKEN.id, await store.find_page_start(tx, TOKEN.id), 2)
            seen.append(page.names)
            await store.turn_page(tx, TOKEN.id, page.last)
            if not page.last:
                break
        assert await store.find_page_start(tx, TOKEN.id) == await store.find_page_start(tx, COIN.id) == 0
        everything = await store.read_page(tx, TOKEN.id, 0, 100)
    assert seen == [("T1", "T2"), ("T3", "T4"), ("T4",), ()]  # cold storage is no name; a full page may be the last
    assert everything == Page(("T1", "T2", "T3", "T4"), 0), "a place with two accounts is compared once"


async def test_an_asset_without_places_has_one_empty_page(database: Database) -> None:
    async with database.reader() as tx:
        assert await store.read_page(tx, TOKEN.id, 0, 50) == Page((), 0)


async def test_cold_storage_is_where_money_of_the_asset_went_cold_in_the_end(written: Written) -> None:
    for target, state, purpose in (
        ("Tc2", T.FINAL, Purpose.COLD),
        ("Tc1", T.FINAL, Purpose.COLD),
        ("Tc1", T.FINAL, Purpose.COLD),
        ("Tc3", T.BROADCAST, Purpose.COLD),
        ("Tc4", T.FINAL, Purpose.PAYOUT),
    ):
        await written.send(paid(1, target), state=state, purpose=purpose, height=HEIGHT)
    await written.send(paid(1, "Tc5", asset=COIN.id), purpose=Purpose.COLD, height=HEIGHT)
    async with written.database.reader() as tx:
        assert await store.list_cold(tx, TOKEN.id) == ["Tc1", "Tc2"]
        assert await store.list_cold(tx, COIN.id) == ["Tc5"]


async def test_all_that_is_on_its_way_out_of_cold_storage_adds_up(written: Written) -> None:
    for units in (3, 40):
        await written.hold(accounts.in_transit(new_uuid7()), units)
    await written.hold(accounts.in_transit(new_uuid7()), 500, COIN.id)
    async with written.database.reader() as tx:
        assert await store.in_transit(tx, TOKEN.id) == 43
        assert await store.in_transit(tx, "dai-ethereum") == 0


async def test_a_run_is_claimed_once_in_its_time_and_by_network(database: Database) -> None:
    async def claim(network: str, every: timedelta) -> bool:
        return await database.unit(lambda tx: store.claim_run(tx, network, every))

    long = timedelta(hours=1)
    assert sorted(await asyncio.gather(*(claim("tron", long) for _ in range(6)))) == [False] * 5 + [True]
    assert await claim("ethereum", long)
    assert not await claim("tron", long)
    async with database.transaction() as tx:
        await tx.execute(
            "update reconciliation_runs set begun_at = begun_at - interval '1 hour' where network = 'tron'"
        )
    assert await claim("tron", long)
    assert not await claim("tron", long)
