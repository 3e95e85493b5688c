"""A merchant's terms for money that leaves: who changes what, noted with its before and after, and nothing lost between two."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.authorizations.people import stored_merchant
from tests.support.locks import until_someone_waits

from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.ids import MerchantId, new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants import service as merchants
from bitlinkpay.merchants.model import MerchantConflict, MerchantNotFound
from bitlinkpay.payouts import store
from bitlinkpay.payouts import terms as payout_terms
from bitlinkpay.payouts.model import PayoutKind, Terms
from bitlinkpay.payouts.terms import HIGHEST_FEE_PPM

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
USDT = "usdt-tron"
Edit = Callable[[Terms], Terms]


@pytest.fixture
async def merchant_id(database: Database) -> MerchantId:
    return (await stored_merchant(database)).merchant_id


async def change(
    database: Database,
    merchant_id: MerchantId,
    edit: Edit,
    *,
    asset: str = USDT,
    kind: PayoutKind = PayoutKind.PAYOUT,
    by: str = "operator",
) -> Terms:
    return await database.unit(
        lambda tx: payout_terms.change(tx, merchant_id, kind, asset, edit, now=NOW, cause=by), races=()
    )


async def terms_of(database: Database, merchant_id: MerchantId, asset: str = USDT) -> Terms:
    async with database.reader() as tx:
        return await store.find_terms(tx, merchant_id, PayoutKind.PAYOUT, asset)


async def history(database: Database, merchant_id: MerchantId) -> list[tuple[str, object]]:
    async with database.reader() as tx:
        return [(note.cause, note.detail) for note in await merchants.list_events(tx, merchant_id)]


async def test_a_change_is_noted_by_field_with_its_before_and_after(
    database: Database, merchant_id: MerchantId
) -> None:
    first = Terms(fee_ppm=1_000, fee_flat_units=5, payment_max_units=2**200)
    assert await change(database, merchant_id, lambda _: first) == first
    await change(
        database,
        merchant_id,
        lambda old: replace(old, payment_max_units=None, day_max_units=7, fee_flat_units=0),
        by="another",
    )
    assert await history(database, merchant_id) == [
        (
            "operator",
            {
                f"payout terms of {USDT}": {
                    "fee_ppm": {"from": "0", "to": "1000"},
                    "fee_flat_units": {"from": "0", "to": "5"},
                    "payment_max_units": {"from": None, "to": str(2**200)},
                }
            },
        ),
        (
            "another",
            {
                f"payout terms of {USDT}": {
                    "fee_flat_units": {"from": "5", "to": "0"},
                    "payment_max_units": {"from": str(2**200), "to": None},
                    "day_max_units": {"from": None, "to": "7"},
                }
            },
        ),
    ]
    assert await terms_of(database, merchant_id) == Terms(fee_ppm=1_000, day_max_units=7)


async def test_what_does_not_change_writes_nothing(database: Database, merchant_id: MerchantId) -> None:
    assert await change(database, merchant_id, lambda old: old) == Terms()
    assert await history(database, merchant_id) == []
    async with database.reader() as tx:
        assert await tx.fetchval("select count(*) from payout_terms") == 0


async def test_an_asset_without_terms_of_its_own_begins_with_those_of_all_assets(
    database: Database, merchant_id: MerchantId
) -> None:
    await change(database, merchant_id, lambda _: Terms(fee_ppm=1_000, day_max_units=50), asset="")
    own = await change(database, merchant_id, lambda old: replace(old, review_above_units=9))
    assert own == Terms(fee_ppm=1_000, day_max_units=50, review_above_units=9)
    await change(database, merchant_id, lambda old: replace(old, fee_ppm=2_000), asset="")
    assert await terms_of(database, merchant_id) == own  # a row of its own is no copy that follows
    assert await terms_of(database, merchant_id, "trx-tron") == Terms(fee_ppm=2_000, day_max_units=50)


async def test_settlements_have_terms_and_a_history_of_their_own(database: Database, merchant_id: MerchantId) -> None:
    await change(database, merchant_id, lambda old: replace(old, fee_ppm=5), kind=PayoutKind.SETTLEMENT)
    assert await terms_of(database, merchant_id) == Terms()
    assert await history(database, merchant_id) == [
        ("operator", {f"settlement terms of {USDT}": {"fee_ppm": {"from": "0", "to": "5"}}})
    ]


async def test_a_fee_of_20_percent_is_the_highest(database: Database, merchant_id: MerchantId) -> None:
    await change(database, merchant_id, lambda old: replace(old, fee_ppm=HIGHEST_FEE_PPM))
    with pytest.raises(Invalid, match="fee: at most 20 percent") as refused:
        await change(database, merchant_id, lambda old: replace(old, fee_ppm=HIGHEST_FEE_PPM + 1, day_max_units=1))
    assert refused.value.param == "fee"
    assert await terms_of(database, merchant_id) == Terms(fee_ppm=200_000)
    assert len(await history(database, merchant_id)) == 1


async def test_a_merchant_that_is_gone_or_was_never_there_has_no_terms_to_change(
    database: Database, merchant_id: MerchantId
) -> None:
    with pytest.raises(MerchantNotFound):
        await change(database, MerchantId(new_uuid7()), lambda old: replace(old, fee_ppm=5))
    async with database.transaction() as tx:
        await merchants.revoke(tx, merchant_id, now=NOW)
    with pytest.raises(MerchantConflict, match="is revoked"):
        await change(database, merchant_id, lambda old: replace(old, fee_ppm=5))
    assert await terms_of(database, merchant_id) == Terms()


async def test_PAY_30_of_two_changes_at_once_neither_takes_back_the_others_limit(
    database: Database, merchant_id: MerchantId
) -> None:
    """The later one waits and edits what the earlier one left: a new fee must not lift a limit just set."""
    async with database.transaction() as tx:
        await payout_terms.change(
            tx, merchant_id, PayoutKind.PAYOUT, USDT, lambda old: replace(old, day_max_units=50), now=NOW, cause="first"
        )
        later = asyncio.create_task(change(database, merchant_id, lambda old: replace(old, fee_ppm=1_000), by="second"))
        await until_someone_waits(database)
    assert await later == Terms(fee_ppm=1_000, day_max_units=50)
    assert await terms_of(database, merchant_id) == Terms(fee_ppm=1_000, day_max_units=50)
    assert [cause for cause, _ in await history(database, merchant_id)] == ["first", "second"]
