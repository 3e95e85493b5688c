"""Lists of one state, asset, account or time: what is asked for and nothing else, page by page, by an index."""

from datetime import UTC, datetime, timedelta

from tests.authorizations.people import PASSWORD, Person
from tests.web.api.platform import Rest, Signer
from tests.web.api.test_orders import order
from tests.web.api.test_payouts import USDT, payout
from tests.web.wm.test_withdrawals import TARGET

from bitlinkpay.client.rest import RestClient, walk
from bitlinkpay.ledger.entries.store import Pot
from bitlinkpay.payins.model import PayinState
from bitlinkpay.payouts.model import PayoutKind, PayoutState
from bitlinkpay.web.api.home_shapes import Proof, RequestSettlement, SettlementQuery
from bitlinkpay.web.api.shapes import CallbackQuery, CreatePreOrder, EntryQuery, OrderQuery, PayoutQuery

LISTS = ("orders", "payouts", "settlements", "entries", "unassigned")


async def of_orders(client: RestClient, **fields: object) -> list[str]:
    pages = walk(lambda at: client.list_orders(OrderQuery(limit=1, cursor=at, **fields)))
    return [one.source_id async for one in pages]


async def of_payouts(client: RestClient, **fields: object) -> list[str]:
    pages = walk(lambda at: client.list_payouts(PayoutQuery(limit=1, cursor=at, **fields)))
    return [one.source_id async for one in pages]


async def test_orders_of_one_state_asset_and_time(client: RestClient) -> None:
    made = [
        await client.create_order(order("A-0")),
        await client.create_order(order("A-1", asset="trx-tron", fiat_amount="22")),
        await client.create_pre_order(CreatePreOrder(source_id="P-2", coin="USDT", fiat_amount="72")),
        await client.create_order(order("A-3")),
    ]
    for n in (0, 1):
        await client.cancel_order(made[n].id)
    assert await of_orders(client, state=PayinState.CANCELLED) == ["A-1", "A-0"]
    assert await of_orders(client, state=PayinState.CREATED) == ["A-3", "P-2"]
    assert await of_orders(client, state=PayinState.PAID) == []
    assert await of_orders(client, asset=USDT) == ["A-3", "A-0"]
    assert await of_orders(client, asset=USDT, state=PayinState.CANCELLED) == ["A-0"]
    assert await of_orders(client, since=made[1].created_at) == ["A-3", "P-2", "A-1"]
    assert await of_orders(client, until=made[1].created_at) == ["A-0"]
    assert await of_orders(client, since=made[1].created_at, until=made[3].created_at) == ["P-2", "A-1"]
    assert await of_orders(client, since=made[1].created_at, state=PayinState.CREATED, asset=USDT) == ["A-3"]
    assert await of_orders(client, source_id="A-0", state=PayinState.CREATED) == []
    assert await of_orders(client, source_id="A-0", state=PayinState.CANCELLED) == ["A-0"]


async def test_orders_made_while_the_sandboxs_clock_is_ahead_are_found_by_what_it_showed(
    rest: Rest, client: RestClient
) -> None:
    made = await client.create_order(order("A-0"))
    async with rest.database.transaction() as tx:  # as if the clock had been moved by three days before it was made
        await tx.execute("update payins set created_at = created_at + interval '3 days'")
    shown = made.created_at + timedelta(days=3)
    assert await of_orders(client, until=shown) == []
    assert await of_orders(client, until=shown + timedelta(seconds=1)) == ["A-0"]
    rest.wall.set(datetime.now(UTC) - timedelta(seconds=1))
    assert await of_orders(client, until=shown + timedelta(days=1), since=made.created_at) == ["A-0"]


async def test_payouts_of_one_kind_state_asset_and_time(rest: Rest, signer: Signer, client: RestClient) -> None:
    await rest.give(signer.merchant, USDT, 100_000_000)
    await rest.give(signer.merchant, "trx-tron", 100_000_000)
    person = await Person.of(rest.database, signer.merchant, rest.wall)
    made = [
        await client.create_payout(payout("W-0", amount="1")),
        await client.create_payout(payout("W-1", amount="10", asset="trx-tron")),
        await client.create_payout(payout("W-2", amount="2")),
    ]
    await client.cancel_payout(made[0].id)
    home = await client.request_settlement(settlement(person, "set_" + "f" * 32))
    assert await of_payouts(client, kind=PayoutKind.PAYOUT) == ["W-2", "W-1", "W-0"]
    assert await of_payouts(client, kind=PayoutKind.SETTLEMENT) == [home.id.removeprefix("set_")]
    assert await of_payouts(client, kind=PayoutKind.REFUND) == []
    assert await of_payouts(client, state=PayoutState.CANCELLED) == ["W-0"]
    assert await of_payouts(client, asset="trx-tron") == ["W-1"]
    assert await of_payouts(client, kind=PayoutKind.PAYOUT, since=made[1].created_at) == ["W-2", "W-1"]
    assert await of_payouts(client, until=made[1].created_at) == ["W-0"]
    assert await of_payouts(client, source_id="W-0") == ["W-0"]
    assert await of_payouts(client, source_id="f" * 32) == [], "a settlement's id is no payout's"
    assert await of_payouts(client, source_id="f" * 32, kind=PayoutKind.SETTLEMENT) == ["f" * 32]
    assert await of_payouts(client, source_id="W-0", state=PayoutState.APPROVED) == []


def settlement(person: Person, id_: str) -> RequestSettlement:
    shown = Proof(device=person.device, password=PASSWORD, code=person.code())
    return RequestSettlement(id=id_, asset=USDT, address=TARGET, amount="1", proof=shown)


async def test_settlements_stand_in_the_order_of_their_times_whatever_ids_their_merchant_makes(
    rest: Rest, signer: Signer, client: RestClient
) -> None:
    await rest.give(signer.merchant, USDT, 100_000_000)
    person = await Person.of(rest.database, signer.merchant, rest.wall)
    made = []
    for digit in "b1f0":
        made.append(await client.request_settlement(settlement(person, "set_" + digit * 32)))
        rest.wall.advance(timedelta(minutes=1))

    async def listed(**fields: object) -> list[str]:
        pages = walk(lambda at: client.list_settlements(SettlementQuery(limit=1, cursor=at, **fields)))
        return [one.id[-1] async for one in pages]

    assert await listed() == ["0", "f", "1", "b"]
    page = await client.list_settlements(SettlementQuery(limit=2))
    await client.request_settlement(settlement(person, "set_" + "7" * 32))
    rest_of_it = await client.list_settlements(SettlementQuery(limit=9, cursor=page.next_cursor or ""))
    assert [one.id[-1] for one in rest_of_it.data] == ["1", "b"], "what was made meanwhile changes no page"
    await client.cancel_settlement(made[1].id)
    assert await listed(state="cancelled") == ["1"]
    assert await listed(state="approved", until=made[2].created_at) == ["b"]
    assert await listed(state="skipped") == await listed(asset="trx-tron") == []
    async with rest.client(await rest.signer()) as stranger:
        assert (await stranger.list_settlements(SettlementQuery(cursor=page.next_cursor or ""))).data == []


async def test_entries_of_one_asset_account_item_and_time(rest: Rest, signer: Signer, client: RestClient) -> None:
    await rest.give(signer.merchant, USDT, 100_000_000)
    await rest.give(signer.merchant, "trx-tron", 100_000_000)
    made = [await client.create_payout(payout(f"W-{n}", amount="1")) for n in range(2)]
    await client.cancel_payout(made[0].id)

    async def listed(**fields: object) -> list[tuple[str, str, str]]:
        pages = walk(lambda at: client.list_entries(EntryQuery(limit=1, cursor=at, **fields)))
        return [(one.event, one.account, one.amount.asset.partition("-")[0]) async for one in pages]

    everything = await listed()
    assert len(everything) == 2 + 2 * 3
    for account in Pot:
        assert await listed(account=account) == [one for one in everything if one[1] == account]
    assert await listed(asset="trx-tron") == [("hot_wallet_funded", "available", "trx")]
    assert await listed(account=Pot.AVAILABLE, asset=USDT) == [
        one for one in everything if one[1:] == ("available", "usdt")
    ]
    for item in (made[0].id, made[0].id.removeprefix("out_")):
        assert await listed(item_id=item) == [
            ("payout_released", "reserved", "usdt"),
            ("payout_reserved", "reserved", "usdt"),
        ]
    assert await listed(item_id="dep_" + "0" * 32) == []
    first = (await client.list_entries()).data[-1]
    assert await listed(since=first.recorded_at) == everything
    assert await listed(until=first.recorded_at) == []
    async with rest.client(await rest.signer()) as stranger:
        assert (await stranger.list_entries(EntryQuery(item_id=made[0].id))).data == []


async def test_callbacks_about_one_order(rest: Rest, client: RestClient) -> None:
    made = [await client.create_order(order(f"A-{n}", callback_url="https://a.example/")) for n in range(2)]
    async with rest.database.transaction() as tx:
        await tx.execute("update merchants set callback_statuses = '{12}'")
    for one in made:
        await client.cancel_order(one.id)
    for subject in (made[0].id, made[0].id.removeprefix("pay_")):
        (found,) = (await client.list_callbacks(CallbackQuery(subject_id=subject))).data
        assert found.subject_id == made[0].id.removeprefix("pay_")
    assert (await client.list_callbacks(CallbackQuery(subject_id=made[0].id, state="delivered"))).data == []
    async with rest.client(await rest.signer()) as stranger:
        assert (await stranger.list_callbacks(CallbackQuery(subject_id=made[0].id))).data == []


TIMES = [
    ("since=0001-01-01T00:00:00%2B14:00", 422, "since"),
    ("until=9999-12-31T23:59:59-14:00", 422, "since"),
    ("since=0001-01-01T00:00:00Z&until=9999-12-31T23:59:59Z", 200, None),
    ("since=2026-01-31T00:00:00Z&until=2026-01-31T00:00:00Z", 422, "until"),
    ("since=2026-01-31T08:00:00%2B08:00&until=2026-01-31T00:00:01Z", 200, None),
    ("since=2026-01-31", 422, "since"),
    ("since=2026-01-31T00:00:00", 422, "since"),
    ("since=1767225600", 422, "since"),
    ("since=0.5", 422, "since"),
    ("until=-1e9", 422, "until"),
    ("since=1767225600x", 422, "since"),
    ("since=2026-01-31T00:00:00+08:00", 422, "since"),
    ("until=", 422, "until"),
]


async def test_a_time_that_is_none_is_refused_and_names_itself(client: RestClient) -> None:
    for asked in LISTS:
        for query, status, param in TIMES:
            answer = await client.send("GET", f"/v1/{asked}?{query}")
            assert answer.status == status, (asked, query, answer.body)
            assert param is None or f'"param":"{param}"'.encode() in answer.body, (asked, query, answer.body)


async def test_an_id_a_network_or_a_time_that_is_none_is_told_as_what_to_write(client: RestClient) -> None:
    for target, told in (
        ("/v1/entries?item_id=pay_1", b"write the id of a deposit or a payout"),
        ("/v1/callbacks?subject_id=x", b"write the id of an order or a payout"),
        ("/v1/settlement-addresses?network=TRON", b"write a network such as tron"),
        ("/v1/orders?since=2026-01-31T00:00:00", b"write a moment such as 2026-01-31T09:30:00Z"),
        ("/v1/orders?until=tomorrow", b"write a moment such as 2026-01-31T09:30:00Z"),
    ):
        answer = await client.send("GET", target)
        assert answer.status == 422
        assert told in answer.body, answer.body


async def test_a_word_that_is_none_says_where_the_words_are(client: RestClient) -> None:
    for target in (
        "/v1/orders?state=lost",
        "/v1/payouts?kind=gift",
        "/v1/unassigned?label=odd",
        "/v1/entries?account=hot",
    ):
        answer = await client.send("GET", target)
        assert answer.status == 422
        assert b"is none of the words that may stand here" in answer.body
