"""What the tables of payouts take, find, lock and sum up."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from uuid import UUID

import asyncpg
import pytest
from tests.authorizations.people import stored_merchant
from tests.deposits.test_store import deposit
from tests.payouts.makers import payout
from tests.support.locks import until_someone_waits

from bitlinkpay.core.ids import DepositId, MerchantId, PayoutId, new_uuid7
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.changes import store as changes
from bitlinkpay.deposits.model import Deposit, DepositChange, DepositEvent, DepositState
from bitlinkpay.payouts import store
from bitlinkpay.payouts.model import ENDED, Charge, Payout, PayoutEvent, PayoutKind, PayoutState, Terms
from bitlinkpay.payouts.pages import store as pages
from bitlinkpay.payouts.store import PayoutChange
from bitlinkpay.sending.stops import store as stops
from bitlinkpay.sending.stops.store import Scope, Stop

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ONE_UNIT = timedelta(microseconds=1)
_numbers = count(1)


@pytest.fixture
async def merchant_id(database: Database) -> MerchantId:
    return (await stored_merchant(database)).merchant_id


def made(merchant_id: MerchantId, **changed: object) -> Payout:
    """Return a payout with an id and a source_id that rise from one to the next."""
    number = next(_numbers)
    fields: dict[str, object] = {
        "payout_id": PayoutId(UUID(int=number)),
        "merchant_id": merchant_id,
        "source_id": f"w-{number}",
        "created_at": NOW,
    }
    return payout(**(fields | changed))


async def add(database: Database, *payouts: Payout, network: str = "tron") -> None:
    """Store payouts as they are; an end is reached by hand."""
    async with database.transaction() as tx:
        for one in payouts:
            begun = replace(one, state=PayoutState.IN_REVIEW) if one.has_ended else one
            assert await store.insert(tx, begun, network)
            if one.has_ended:
                await tx.execute(
                    "update payouts set state = $2, ended_at = $3 where payout_id = $1", one.payout_id, one.state, NOW
                )


async def events_of(tx: Tx, one: Payout) -> list[tuple[object, ...]]:
    rows = await tx.fetch(
        "select seq, event, from_state, to_state, cause, at from payout_events where payout_id = $1 order by seq",
        one.payout_id,
    )
    return [tuple(row) for row in rows]


# --- one payout


@pytest.mark.parametrize("state", [PayoutState.IN_REVIEW, PayoutState.APPROVED])
async def test_a_payout_comes_back_as_it_was_stored_with_its_first_event(
    database: Database, merchant_id: MerchantId, state: PayoutState
) -> None:
    asked = made(
        merchant_id,
        kind=PayoutKind.SETTLEMENT,
        state=state,
        tag="7",
        units=2**255,
        charge=Charge(2**200, 10**40, 3),
        fiat_amount=Decimal("90.000000000000000001"),
        symbol="CNY",
        exchange_rate=Decimal("7.2"),
        callback_url="https://shop.example/paid",
        reason="larger than what goes out without a review",
        request_hash=bytes(range(32)),
        maker="operator",
    )
    await add(database, asked)
    async with database.reader() as tx:
        assert await store.find(tx, asked.payout_id) == asked
        assert await store.find_by_source(tx, merchant_id, PayoutKind.SETTLEMENT, asked.source_id) == asked
        assert await events_of(tx, asked) == [(1, "requested", "", state, asked.reason, NOW)]


async def test_a_payout_is_found_by_its_own_merchant_kind_and_id_only(
    database: Database, merchant_id: MerchantId
) -> None:
    asked = made(merchant_id)
    await add(database, asked)
    async with database.reader() as tx:
        assert await store.find(tx, new_uuid7()) is None
        assert await store.find_by_source(tx, merchant_id, PayoutKind.REFUND, asked.source_id) is None
        assert await store.find_by_source(tx, merchant_id, asked.kind, asked.source_id.upper()) is None
        assert await store.find_by_source(tx, MerchantId(new_uuid7()), asked.kind, asked.source_id) is None


async def test_PAY_04_a_source_id_is_taken_once_and_the_second_leaves_no_trace(
    database: Database, merchant_id: MerchantId
) -> None:
    first, again = made(merchant_id, source_id="w"), made(merchant_id, source_id="w", units=7)
    async with database.transaction() as tx:
        assert await store.insert(tx, first, "tron")
        assert not await store.insert(tx, again, "tron")
    async with database.reader() as tx:
        assert await store.find_by_source(tx, merchant_id, PayoutKind.PAYOUT, "w") == first
        assert await store.find(tx, again.payout_id) is None
        assert await events_of(tx, again) == []


async def test_PAY_04_of_two_at_once_the_later_waits_and_finds_it_taken(
    database: Database, merchant_id: MerchantId
) -> None:
    first, again = made(merchant_id, source_id="w"), made(merchant_id, source_id="w")
    async with database.transaction() as tx:
        assert await store.insert(tx, first, "tron")
        other = asyncio.create_task(database.unit(lambda second: store.insert(second, again, "tron")))
        await until_someone_waits(database)
    assert await other is False


@pytest.mark.parametrize(
    ("changed", "constraint"),
    [
        ({"units": 0}, "payouts_amounts"),
        ({"units": -1}, "payouts_amounts"),
        ({"charge": Charge(-1, 0, 0)}, "payouts_amounts"),
        ({"charge": Charge(0, -1, 0)}, "payouts_amounts"),
        ({"state": PayoutState.COMPLETED}, "payouts_ended"),
        ({"deposit_id": DepositId(UUID(int=7))}, "payouts_of_deposit"),
        ({"merchant_id": MerchantId(UUID(int=7))}, "payouts_merchant_id_fkey"),
    ],
)
async def test_the_table_refuses_a_payout_that_contradicts_itself(
    database: Database, merchant_id: MerchantId, changed: dict[str, object], constraint: str
) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        async with database.transaction() as tx:
            await store.insert(tx, replace(made(merchant_id), **changed), "tron")  # type: ignore[arg-type]
    assert refused.value.constraint_name == constraint


# --- moves


async def test_changes_are_written_with_their_events_and_leave_alone_what_they_do_not_name(
    database: Database, merchant_id: MerchantId
) -> None:
    held = made(merchant_id, state=PayoutState.IN_REVIEW, reason="looks like another", callback_url="https://a.example")
    sent = made(merchant_id, reason="was held")
    await add(database, held, sent)
    rejected = PayoutChange(held, PayoutEvent.REJECTED, PayoutState.REJECTED, reason="no", cause="operator")
    signed = PayoutChange(sent, PayoutEvent.SIGNED, PayoutState.SIGNED, txid="ab", cause="ab")
    async with database.transaction() as tx:
        await store.save(tx, [rejected, signed], NOW + DAY)
    on_its_way = replace(sent, state=PayoutState.SIGNED, txid="ab")
    async with database.transaction() as tx:
        assert await store.find(tx, held.payout_id) == replace(
            held, state=PayoutState.REJECTED, reason="no", ended_at=NOW + DAY
        )
        assert await store.find(tx, sent.payout_id) == on_its_way
        await store.save(
            tx,
            [PayoutChange(on_its_way, PayoutEvent.REQUEUED, PayoutState.APPROVED, reason="", txid="")],
            NOW + 2 * DAY,
        )
    async with database.reader() as tx:
        assert await store.find(tx, sent.payout_id) == replace(sent, reason="")
        assert await events_of(tx, held) == [
            (1, "requested", "", "in_review", "looks like another", NOW),
            (2, "rejected", "in_review", "rejected", "operator", NOW + DAY),
        ]
        assert await events_of(tx, sent) == [
            (1, "requested", "", "approved", "was held", NOW),
            (2, "signed", "approved", "signed", "ab", NOW + DAY),
            (3, "requeued", "signed", "approved", "", NOW + 2 * DAY),
        ]


async def test_LED_09_one_payout_that_is_elsewhere_stops_the_whole_batch(
    database: Database, merchant_id: MerchantId
) -> None:
    first, second = made(merchant_id), made(merchant_id)
    await add(database, first, replace(second, state=PayoutState.CANCELLED))
    moves = [PayoutChange(one, PayoutEvent.SIGNED, PayoutState.SIGNED, txid="ab") for one in (first, second)]
    with pytest.raises(AssertionError, match="moved under our lock"):
        async with database.transaction() as tx:
            await store.save(tx, moves, NOW)
    async with database.reader() as tx:
        assert await store.find(tx, first.payout_id) == first
        assert len(await events_of(tx, first)) == 1


async def test_no_changes_ask_nothing_of_the_database(database: Database) -> None:
    async with database.reader() as tx:  # which would refuse to write
        await store.save(tx, [], NOW)


async def test_payouts_are_locked_in_the_order_of_their_ids_whatever_order_is_asked_for(
    database: Database, merchant_id: MerchantId
) -> None:
    first, second, third = (made(merchant_id) for _ in range(3))
    await add(database, third, first, second)
    async with database.transaction() as tx:
        found = await store.lock(tx, [third.payout_id, new_uuid7(), first.payout_id])
        assert list(found.items()) == [(first.payout_id, first), (third.payout_id, third)]
        async with database.transaction() as other:
            assert list(await store.lock(other, [second.payout_id])) == [second.payout_id]
            free = "select payout_id from payouts order by payout_id for update skip locked"
            assert [row["payout_id"] for row in await other.fetch(free)] == [second.payout_id]


async def test_PAY_43_whoever_asked_is_refused_as_the_one_who_lets_go(
    database: Database, merchant_id: MerchantId
) -> None:
    mine, merchants_own = made(merchant_id, maker="operator"), made(merchant_id)
    await add(database, mine, merchants_own)
    async with database.transaction() as tx:
        await store.note_checker(tx, mine.payout_id, "another")
        await store.note_checker(tx, merchants_own.payout_id, "operator")
    with pytest.raises(asyncpg.CheckViolationError):
        async with database.transaction() as tx:
            await store.note_checker(tx, mine.payout_id, "operator")
    async with database.reader() as tx:
        found = {one.payout_id: one.checker for one in await pages.list_newest(tx, merchant_id, before=None, limit=9)}
    assert found == {mine.payout_id: "another", merchants_own.payout_id: "operator"}


# --- lists


async def test_what_waits_for_a_person_is_listed_oldest_first_and_nothing_else(
    database: Database, merchant_id: MerchantId
) -> None:
    other = (await stored_merchant(database)).merchant_id
    young = made(merchant_id, state=PayoutState.IN_REVIEW, created_at=NOW + ONE_UNIT)
    old = made(other, state=PayoutState.IN_REVIEW, created_at=NOW - DAY)
    await add(database, young, made(merchant_id), old, made(merchant_id, state=PayoutState.REJECTED))
    async with database.reader() as tx:
        assert await store.list_in_review(tx, 10) == [old, young]
        assert await store.list_in_review(tx, 1) == [old]


async def test_a_merchants_payouts_are_paged_newest_first_without_gap_or_repeat(
    database: Database, merchant_id: MerchantId
) -> None:
    other = (await stored_merchant(database)).merchant_id
    mine = [made(merchant_id, kind=kind) for kind in (*PayoutKind, *PayoutKind)]
    await add(database, *mine, made(other))
    seen: list[Payout] = []
    async with database.reader() as tx:
        before: UUID | None = None
        while page := await pages.list_newest(tx, merchant_id, before=before, limit=4):
            seen += page
            before = page[-1].payout_id
        assert await pages.list_newest(tx, other, before=mine[0].payout_id, limit=4) == []
    assert seen == mine[::-1]


# --- sums and limits


async def test_PAY_30_the_day_counts_what_leaves_the_balance_and_has_not_come_to_nothing(
    database: Database, merchant_id: MerchantId
) -> None:
    other = (await stored_merchant(database)).merchant_id
    living = [state for state in PayoutState if state not in ENDED]
    counted = [*living, PayoutState.COMPLETED]
    await add(database, *(made(merchant_id, state=state, units=2**place) for place, state in enumerate(counted)))
    await add(database, *(made(merchant_id, state=state, units=10**9) for state in ENDED - {PayoutState.COMPLETED}))
    await add(database, made(merchant_id, asset="trx-tron", units=10**9), made(other, units=10**9))
    await add(database, made(merchant_id, kind=PayoutKind.SETTLEMENT, units=2**20))
    async with database.reader() as tx:
        found = await store.day_units(tx, merchant_id, "usdt-tron", NOW)
    assert found == 2 ** len(counted) - 1 + 2**20


async def test_PAY_30_the_day_begins_at_its_very_moment_and_a_sum_of_nothing_is_nought(
    database: Database, merchant_id: MerchantId
) -> None:
    await add(database, made(merchant_id, units=5), made(merchant_id, units=2**240, created_at=NOW - ONE_UNIT))
    async with database.reader() as tx:
        assert await store.day_units(tx, merchant_id, "usdt-tron", NOW) == 5
        assert await store.day_units(tx, merchant_id, "usdt-tron", NOW - ONE_UNIT) == 2**240 + 5
        assert await store.day_units(tx, merchant_id, "usdt-tron", NOW + ONE_UNIT) == 0
        assert await store.day_units(tx, merchant_id, "trx-tron", NOW) == 0


async def arrived(database: Database, at: datetime, *deposits: Deposit) -> None:
    async with database.transaction() as tx:
        first = [
            DepositChange(d.deposit_id, DepositEvent.SEEN, d.state, d.state, fee_units=d.fee_units) for d in deposits
        ]
        await changes.insert(tx, deposits, first, at)


async def test_DEP_24_fresh_money_is_what_was_credited_since_less_its_fees(
    database: Database, merchant_id: MerchantId
) -> None:
    mine = {"merchant_id": merchant_id, "state": DepositState.CREDITED, "units": 1_000}
    other = (await stored_merchant(database)).merchant_id
    await arrived(
        database,
        NOW,
        deposit(1, **mine, fee_units=3),
        deposit(2, **{**mine, "units": 2**200}),
        deposit(3, **{**mine, "merchant_id": other}),
        deposit(4, **mine, asset="trx-tron"),
        *(deposit(9 + n, **{**mine, "state": s}) for n, s in enumerate(DepositState) if s is not DepositState.CREDITED),
    )
    await arrived(database, NOW - ONE_UNIT, deposit(5, **mine, seen_at=NOW))
    async with database.reader() as tx:
        assert await store.fresh_units(tx, merchant_id, "usdt-tron", NOW) == 997 + 2**200
        assert await store.fresh_units(tx, merchant_id, "usdt-tron", NOW - ONE_UNIT) == 1_997 + 2**200
        assert await store.fresh_units(tx, merchant_id, "usdt-tron", NOW + ONE_UNIT) == 0


async def test_a_refund_of_odd_money_is_no_part_of_the_day_and_lives_once(
    database: Database, merchant_id: MerchantId
) -> None:
    odd, elsewhere = deposit(1, merchant_id=merchant_id), deposit(2, merchant_id=merchant_id)
    await arrived(database, NOW, odd, elsewhere)
    fields = {"kind": PayoutKind.REFUND, "deposit_id": odd.deposit_id}
    late = made(merchant_id, **fields, created_at=NOW + DAY)
    rejected = made(merchant_id, **fields, state=PayoutState.REJECTED)
    failed = made(merchant_id, **fields, state=PayoutState.FAILED)
    await add(database, rejected, failed, late)
    await add(database, made(merchant_id, kind=PayoutKind.REFUND, deposit_id=elsewhere.deposit_id))
    with pytest.raises(asyncpg.UniqueViolationError) as refused:
        await add(database, made(merchant_id, **fields))
    assert refused.value.constraint_name == "payouts_one_refund"
    async with database.reader() as tx:
        found = await store.list_refunds(tx, merchant_id, odd.deposit_id)
        assert [one.payout_id for one in found] == [rejected.payout_id, failed.payout_id, late.payout_id]
        assert found[-1] == late
        assert await store.list_refunds(tx, MerchantId(new_uuid7()), odd.deposit_id) == []
        assert await store.day_units(tx, merchant_id, "usdt-tron", NOW - DAY) == 0


# --- terms, stops, addresses


FULL = Terms(200_000, 2**200, 1, 2, 3, 4)


async def test_terms_come_back_exactly_and_each_kind_and_merchant_has_its_own(
    database: Database, merchant_id: MerchantId
) -> None:
    other = (await stored_merchant(database)).merchant_id
    async with database.transaction() as tx:
        await store.save_terms(tx, merchant_id, PayoutKind.PAYOUT, "", Terms(fee_ppm=1))
        await store.save_terms(tx, merchant_id, PayoutKind.PAYOUT, "usdt-tron", FULL)
        await store.save_terms(tx, merchant_id, PayoutKind.SETTLEMENT, "usdt-tron", Terms(fee_ppm=2))
        for whose, kind, asset, expected in (
            (merchant_id, PayoutKind.PAYOUT, "usdt-tron", FULL),
            (merchant_id, PayoutKind.REFUND, "usdt-tron", FULL),
            (merchant_id, PayoutKind.PAYOUT, "trx-tron", Terms(fee_ppm=1)),
            (merchant_id, PayoutKind.REFUND, "trx-tron", Terms(fee_ppm=1)),
            (merchant_id, PayoutKind.SETTLEMENT, "usdt-tron", Terms(fee_ppm=2)),
            (merchant_id, PayoutKind.SETTLEMENT, "trx-tron", Terms()),
            (other, PayoutKind.PAYOUT, "usdt-tron", Terms()),
        ):
            assert await store.find_terms(tx, whose, kind, asset) == expected, (kind, asset)


@pytest.mark.parametrize("changed", [{"fee_ppm": -1}, {"fee_ppm": 200_001}])
async def test_the_table_refuses_a_fee_outside_of_its_range(
    database: Database, merchant_id: MerchantId, changed: dict[str, int]
) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="payout_terms_ppm"):
        async with database.transaction() as tx:
            await store.save_terms(tx, merchant_id, PayoutKind.PAYOUT, "", Terms(**changed))


async def test_OPS_17_every_kill_switch_that_stops_a_payout_is_told_by_its_name(
    database: Database, merchant_id: MerchantId
) -> None:
    async with database.transaction() as tx:
        for scope, subject in (
            (Scope.NETWORK, "ethereum"),
            (Scope.ASSET, "usdt-ethereum"),
            (Scope.ASSET, "tron"),  # of an asset that is called like the network
            (Scope.MERCHANT, str(new_uuid7())),
        ):
            await stops.add(tx, Stop(scope, subject, "trouble", NOW))
        assert await store.stops(tx, merchant_id, "tron", "usdt-tron") == []
        for scope, subject in (
            (Scope.ALL, ""),
            (Scope.NETWORK, "tron"),
            (Scope.ASSET, "usdt-tron"),
            (Scope.MERCHANT, str(merchant_id)),
        ):
            await stops.add(tx, Stop(scope, subject, "trouble", NOW))
        assert sorted(await store.stops(tx, merchant_id, "tron", "usdt-tron")) == [
            "all",
            "merchant",
            "tron",
            "usdt-tron",
        ]


async def test_DEP_20_an_orders_own_tag_tells_it_apart_from_the_wallet_it_shares(
    database: Database, merchant_id: MerchantId
) -> None:
    async with database.transaction() as tx:
        await tx.execute(
            """
            insert into addresses (key_family, address, tag, key_index, merchant_id, payin_id, purpose) values
                ('ton', '0:ab', '', 0, null, null, 'wallet'), ('ton', '0:ab', '42', 0, $1, $2, 'deposit'),
                ('evm', '0xab', '', 7, $1, $2, 'deposit')
            """,
            merchant_id,
            new_uuid7(),
        )
        for family, address, tag, expected in (
            ("ton", "0:ab", "42", "deposit"),
            ("ton", "0:ab", "43", "wallet"),
            ("ton", "0:ab", "", "wallet"),
            ("ton", "0:ac", "42", ""),
            ("evm", "0xab", "", "deposit"),
            ("evm", "0xAB", "", ""),  # only the canonical spelling is asked for
            ("tron", "0xab", "", ""),
        ):
            assert await store.is_ours(tx, family, address, tag) == expected, (family, address, tag)


async def test_PAY_29_earlier_addresses_are_those_that_money_went_to_newest_first(
    database: Database, merchant_id: MerchantId
) -> None:
    other = (await stored_merchant(database)).merchant_id
    for state in PayoutState:
        await add(database, made(merchant_id, state=state, target=f"T-{state}"))
    await add(database, made(merchant_id, target="T-signed", created_at=NOW + DAY, asset="trx-tron"))
    await add(database, made(merchant_id, target="T-completed", created_at=NOW + ONE_UNIT))
    await add(database, made(merchant_id, target="0x"), network="ethereum")
    await add(database, made(other, target="T-other"))
    async with database.reader() as tx:
        found = await store.earlier_targets(tx, merchant_id, "tron", 10)
        assert found[:2] == ["T-signed", "T-completed"]
        assert sorted(found[2:]) == ["T-approved", "T-broadcast", "T-confirming", "T-uncertain"]
        assert await store.earlier_targets(tx, merchant_id, "tron", 1) == ["T-signed"]
        assert await store.earlier_targets(tx, merchant_id, "ethereum", 10) == ["0x"]
