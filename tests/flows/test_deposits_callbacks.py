"""Callbacks: for which ends of an order, with what in them, how often; and the payload is what `detail` says."""

import json
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from tests.flows.conftest import Start
from tests.flows.harness import ALL_STATUSES, MANY, World

from bitlinkpay.payins.model import NewPreOrder, Payin, ReturnLinks
from bitlinkpay.web.wm.shapes import detail
from bitlinkpay.wm.answers import content_json
from bitlinkpay.workers.duties import expire_unpicked


def pre_order(world: World) -> NewPreOrder:
    return NewPreOrder(
        merchant=world.merchant,
        source_id="pre-1",
        coin="USDT",
        fiat_amount=Decimal(720),
        lang="",
        links=ReturnLinks(),
        callback_url="",
    )


async def detail_of(world: World, order: Payin) -> dict[str, str | int]:
    shown = await world.show(order)
    txid = next((d.txid for d in await world.deposits(order) if d.deposit_id == shown.deposit_id), "")
    return content_json(detail(shown, txid, world.registry, lambda payin_id: f"https://pay.example/{payin_id}"))


async def four_ends(world: World) -> dict[int, Payin]:
    paid, cancelled, expired, short = [await world.open_order() for _ in range(4)]
    await world.cancel(cancelled)
    await world.broadcast(world.payment(paid), world.payment(short, "1"))
    await world.finalize("tron")
    await world.pass_expiry(expired)
    return {8: paid, 12: cancelled, 16: expired, 20: short}


@pytest.mark.parametrize("wanted", [(8,), ALL_STATUSES, (12, 16), (20,), ()])
async def test_callbacks_go_out_for_the_statuses_that_the_merchant_asked_for(start: Start, wanted: tuple[int, ...]):
    world = await start(callback_statuses=wanted)
    for status, order in (await four_ends(world)).items():
        assert world.inbox.statuses(order) == ([status] if status in wanted else [])


async def test_by_default_only_success_is_told(world: World):
    ends = await four_ends(world)
    assert [body["order_id"] for body in world.inbox.bodies] == [ends[8].payin_id.hex]


async def test_a_callback_says_what_detail_says(start: Start):
    world = await start(callback_statuses=ALL_STATUSES)
    for status, order in (await four_ends(world)).items():
        (body,) = world.inbox.about(order)
        answer = await detail_of(world, order)
        assert body == {name: value for name, value in answer.items() if name != "url"}
        assert body["status"] == status


@pytest.mark.parametrize("asset_id", MANY)
async def test_the_amounts_and_spellings_of_a_success(world: World, asset_id: str):
    order = await world.open_order(asset_id, "0.5")
    txid = await world.pay_and_finalize(order)
    (body,) = world.inbox.about(order)
    assert (body["amount"], body["service_fee"], body["hash"], body["tag"]) == ("0.5", "0.0015", txid, order.tag)
    assert body == {name: value for name, value in (await detail_of(world, order)).items() if name != "url"}


async def test_what_was_accepted_stands_in_the_callback_and_not_what_was_asked(world: World):
    order = await world.open_order()
    txid = await world.pay_and_finalize(order, "90")
    await world.accept((await world.deposit(order, txid)).deposit_id)
    await world.settle()
    (body,) = world.inbox.about(order)
    assert (body["amount"], body["service_fee"], body["status"]) == ("90", "0.27", 8)


async def test_an_order_without_any_url_is_told_to_nobody(start: Start):
    world = await start(callback_url="", callback_statuses=ALL_STATUSES)
    await four_ends(world)
    assert world.inbox.bodies == []
    assert await world.rows("select count(*) from outbox where kind like 'payin.%'") == [(4,)]


async def test_LED_20_every_ended_order_has_its_event_and_every_event_its_order(start: Start):
    world = await start(callback_statuses=ALL_STATUSES)
    await four_ends(world)
    unmatched = """
        select e.payin_id, e.event, o.kind from payin_events e
        full join (select * from outbox where kind like 'payin.%') o on o.subject_id = e.payin_id and o.kind = 'payin.' || e.to_state
        where (e.payin_id is null or o.event_id is null) and coalesce(e.to_state, '') in ('', 'paid', 'expired', 'cancelled')
    """
    assert await world.rows(unmatched) == []


async def test_the_history_of_an_order_is_numbered_without_a_gap(world: World):
    order = await world.open_order()
    await world.broadcast(*[world.payment(order, "1")] * 30, world.payment(order))
    await world.finalize("tron")
    rows = await world.rows(
        "select seq, from_state, to_state from payin_events where payin_id = $1 order by seq", order.payin_id
    )
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    assert all(before[2] == after[1] for before, after in pairwise(rows))


async def test_a_payload_keeps_huge_and_tiny_amounts_as_text(world: World):
    order = await world.open_order("usdt-bsc", "9999999.123456")
    await world.pay_and_finalize(order)
    ((payload,),) = await world.rows("select payload::text from outbox where kind = 'payin.paid'")
    assert json.loads(str(payload))["order"]["amount"] == "9999999.123456"


async def test_a_pre_order_that_nobody_picked_expires_by_the_clock_alone(start: Start):
    world = await start(callback_statuses=ALL_STATUSES)
    draft = await world.payins.prepare_pre(pre_order(world))
    (order,) = await world.database.unit(lambda tx: world.payins.open_many(tx, [draft]))
    assert isinstance(order, Payin)
    for by, state in ((timedelta(minutes=30), "created"), (timedelta(seconds=1), "expired")):
        world.clock.advance(by)
        assert not await expire_unpicked(world.database, world.payins)
        assert await world.state(order) == state
    await world.settle()
    (body,) = world.inbox.about(order)
    assert (body["status"], body["chain_id"], body["address"], body["amount"]) == (16, 0, "", "0")
    assert body == {name: value for name, value in (await detail_of(world, order)).items() if name != "url"}


async def test_a_picked_pre_order_gets_a_fresh_life_and_is_paid_like_any_other(world: World):
    draft = await world.payins.prepare_pre(pre_order(world))
    (order,) = await world.database.unit(lambda tx: world.payins.open_many(tx, [draft]))
    assert isinstance(order, Payin)
    await world.watch("ton")
    world.clock.advance(timedelta(minutes=29))
    pick = await world.payins.prepare_pick(order, world.merchant, "usdt-ton")
    picked = await world.database.unit(lambda tx: world.payins.pick(tx, pick))
    assert picked.expires_at == world.clock.now() + world.merchant.order_life
    world.clock.advance(timedelta(minutes=29))
    await world.pay_and_finalize(picked)
    assert await world.state(order) == "paid"
    assert await world.events(order) == ["opened", "picked", "seen", "completed"]
