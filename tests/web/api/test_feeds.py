"""Entries, callbacks and events: a merchant's own, whole, in order, page by page."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from tests.web.api.platform import Rest, Signer
from tests.web.api.test_orders import order, refusal
from tests.web.api.test_payouts import USDT, payout

from bitlinkpay.client.rest import RestClient, walk
from bitlinkpay.core.ids import EventId, new_uuid7
from bitlinkpay.db import feed, outbox
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants.model import Merchant
from bitlinkpay.web.api.shapes import CallbackQuery, EntryQuery, EventQuery
from bitlinkpay.webhooks.model import DeliveryState

CALLBACK = "https://shop.example/cb"


def event(merchant: Merchant, n: int) -> outbox.Event:
    payload: dict[str, object] = {"order": {"n": n}, "callback_url": CALLBACK}
    return outbox.Event(
        EventId(new_uuid7()), "payin.paid", merchant.merchant_id, new_uuid7(), payload, datetime.now(UTC)
    )


async def read_all(client: RestClient, cursor: str = "", limit: int = 3) -> tuple[list[int], str]:
    found: list[int] = []
    while True:
        page = await client.list_events(EventQuery(limit=limit, cursor=cursor))
        if not page.data:
            return found, page.next_cursor
        found += [msgspec.json.decode(one.data)["n"] for one in page.data]
        cursor = page.next_cursor


async def test_an_event_says_what_its_callback_says(rest: Rest, client: RestClient) -> None:
    made = await client.create_order(order(callback_url=CALLBACK))
    await client.cancel_order(made.id)
    (told,) = (await client.list_events()).data
    assert (told.kind, told.subject_id) == ("payin.cancelled", made.id.removeprefix("pay_"))
    data = msgspec.json.decode(told.data)
    assert (data["source_id"], data["status"], data["status_desc"]) == ("A-1", 12, "User Cancel")
    assert "callback_url" not in data


async def test_events_come_once_each_in_an_order_that_never_changes(
    rest: Rest, signer: Signer, client: RestClient
) -> None:
    other = await rest.merchant()
    for n in range(0, 8, 2):
        async with rest.database.transaction() as tx:
            await outbox.append(tx, [event(signer.merchant, n), event(other, 100 + n), event(signer.merchant, n + 1)])
    first, cursor = await read_all(client)
    assert first == list(range(8))
    assert await read_all(client, cursor) == ([], cursor)
    async with rest.database.transaction() as tx:
        await outbox.append(tx, [event(signer.merchant, 8)])
    assert (await read_all(client, cursor))[0] == [8]
    assert (await read_all(client, limit=100))[0] == list(range(9))


async def test_LED_21_an_event_that_commits_late_is_not_missed(rest: Rest, signer: Signer, client: RestClient) -> None:
    """Its number is lower than one that a reader has seen; its place is not."""
    async with rest.database.transaction() as slow:
        await outbox.append(slow, [event(signer.merchant, 1)])
        async with rest.database.transaction() as quick:
            await outbox.append(quick, [event(signer.merchant, 2)])
        seen, cursor = await read_all(client)
        assert seen == [2]
    assert (await read_all(client, cursor))[0] == [1]
    assert (await read_all(client))[0] == [2, 1]


async def test_places_are_given_once_and_in_batches(database: Database, rest: Rest, signer: Signer) -> None:
    async with database.transaction() as tx:
        await outbox.append(tx, [event(signer.merchant, n) for n in range(5)])
    for placed in (3, 2, 0):
        assert await database.unit(lambda tx: feed.place(tx, 3)) == placed
    async with database.reader() as tx:
        found = await feed.read(tx, signer.merchant.merchant_id, after=0, limit=10)
        assert [one.place for one in found] == [1, 2, 3, 4, 5]
        assert await feed.read(tx, signer.merchant.merchant_id, after=5, limit=10) == []


async def test_entries_add_up_to_the_balance(rest: Rest, signer: Signer, client: RestClient) -> None:
    await rest.give(signer.merchant, USDT, 100_000_000)
    await rest.give(signer.merchant, "trx-tron", 7_000_000)
    await rest.give(await rest.merchant(), USDT, 5_000_000)
    made = await client.create_payout(payout())
    await client.cancel_payout(made.id)
    await client.create_payout(payout("W-2"))
    found = [one async for one in walk(lambda cursor: client.list_entries(EntryQuery(limit=2, cursor=cursor)))]
    assert len({one.id for one in found}) == len(found) == 8
    assert found == (await client.list_entries(EntryQuery(limit=100))).data
    usdt = [one for one in found if one.amount.asset == USDT]
    assert usdt == (await client.list_entries(EntryQuery(asset=USDT))).data
    own = [one for one in usdt if one.account == "available"]
    signed = [float(one.amount.amount) * (1 if one.direction == "credit" else -1) for one in own]
    balance = next(one for one in await client.balances() if one.asset == USDT)
    assert str(round(sum(signed), 6)).removesuffix(".0") == own[0].balance.amount == balance.available
    assert {one.event for one in usdt} == {"hot_wallet_funded", "payout_reserved", "payout_released"}
    assert {one.item_id for one in usdt if one.account == "reserved"} >= {made.id.removeprefix("out_")}


async def test_callbacks_are_listed_shown_and_sent_again(rest: Rest, client: RestClient) -> None:
    ids = []
    for n in range(3):
        made = await client.create_order(order(f"A-{n}", callback_url=CALLBACK))
        ids.append(made.id)
        async with rest.database.transaction() as tx:
            await tx.execute("update merchants set callback_statuses = '{8,12}'")
        await client.cancel_order(made.id)
    found = [one async for one in walk(lambda cursor: client.list_callbacks(CallbackQuery(limit=2, cursor=cursor)))]
    assert [one.subject_id for one in found] == [one.removeprefix("pay_") for one in reversed(ids)]
    assert {(one.state, one.url, one.tries) for one in found} == {("pending", CALLBACK, 0)}
    shown = await client.callback(found[0].id)
    assert json.loads(shown.body)["status"] == 12
    events = (await client.list_events()).data
    assert [one.id for one in events] == [one.id for one in reversed(found)]
    assert (await client.list_callbacks(CallbackQuery(state=DeliveryState.DELIVERED))).data == []
    async with rest.database.transaction() as tx:
        past = datetime.now(UTC) - timedelta(days=1)
        await tx.execute("update deliveries set state = 'parked', next_at = $1", past)
    assert len((await client.list_callbacks(CallbackQuery(state=DeliveryState.PARKED))).data) == 3
    again = await client.resend_callback(found[0].id)
    assert again.state == "pending"
    assert again.next_at > past


async def test_API_31_another_merchants_callback_reads_as_missing(rest: Rest, client: RestClient) -> None:
    async with rest.database.transaction() as tx:
        await tx.execute("update merchants set callback_statuses = '{12}'")
    await client.cancel_order((await client.create_order(order(callback_url=CALLBACK))).id)
    (callback,) = (await client.list_callbacks()).data
    async with rest.client(await rest.signer()) as stranger:
        for call in (
            stranger.callback(callback.id),
            stranger.resend_callback(callback.id),
            stranger.callback("evt_" + "0" * 32),
        ):
            refused = await refusal(call)
            assert (refused.status, refused.error.code) == (404, "callback.not_found")
        assert (await stranger.list_callbacks()).data == []
        assert (await stranger.list_events()).data == []
        assert (await stranger.list_entries()).data == []
        assert await stranger.balances() == []


@pytest.mark.parametrize("query", [EventQuery(cursor="x"), EventQuery(limit=0), EventQuery(limit=101)])
async def test_an_odd_question_for_events_is_refused(client: RestClient, query: EventQuery) -> None:
    assert (await refusal(client.list_events(query))).status == 422
