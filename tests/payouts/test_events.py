"""What is told of payouts: one event an end, with every fact of its callback."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from tests.authorizations.people import stored_merchant
from tests.flows.harness import REGISTRY
from tests.payouts.makers import payout

from bitlinkpay.core.ids import PayoutId, new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.payouts import events
from bitlinkpay.payouts.model import ENDED, Charge, PayoutKind, PayoutState

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RAW = "0:" + "ab" * 32


async def test_each_payout_has_its_own_event_in_the_order_of_the_call(database: Database) -> None:
    merchant_id = (await stored_merchant(database)).merchant_id
    told = [
        payout(merchant_id=merchant_id, state=state, source_id=f"w-{state}", reason=reason, callback_url=url)
        for state, reason, url in (
            (PayoutState.COMPLETED, "", "https://shop.example/a"),
            (PayoutState.FAILED, "reverted", ""),
            (PayoutState.REJECTED, "not a customer", "https://shop.example/c"),
        )
    ]
    async with database.transaction() as tx:
        await events.announce(tx, REGISTRY, told, NOW)
        await events.announce(tx, REGISTRY, [], NOW)
    async with database.reader() as tx:
        rows = await tx.fetch("select * from outbox order by seq")
    assert [(row["kind"], row["subject_id"], row["merchant_id"], row["happened_at"]) for row in rows] == [
        ("payout.completed", told[0].payout_id, merchant_id, NOW),
        ("payout.failed", told[1].payout_id, merchant_id, NOW),
        ("payout.rejected", told[2].payout_id, merchant_id, NOW),
    ]
    assert [(row["payload"]["callback_url"], row["payload"]["reason"]) for row in rows] == [
        ("https://shop.example/a", ""),
        ("", "reverted"),
        ("https://shop.example/c", "not a customer"),
    ]
    assert [row["payload"]["order"]["status"] for row in rows] == [4, 8, 8]
    assert len({row["event_id"] for row in rows}) == 3


@pytest.mark.parametrize("kind", list(PayoutKind))
async def test_the_whole_callback_as_it_is_stored(database: Database, kind: PayoutKind) -> None:
    done = payout(
        payout_id=PayoutId(new_uuid7()),
        merchant_id=(await stored_merchant(database)).merchant_id,
        kind=kind,
        source_id="order 7",
        state=PayoutState.COMPLETED,
        asset="usdt-bsc",
        target="0x52908400098527886E0F7030069857D2E4169EE7",
        units=10**18 + 1,
        charge=Charge(5 * 10**17, 25 * 10**16, 10**15),
        txid="0xfeed",
        fiat_amount=Decimal(90),
        symbol="CNY",
        exchange_rate=Decimal("7.2"),
    )
    async with database.transaction() as tx:
        await events.announce(tx, REGISTRY, [done], NOW)
    async with database.reader() as tx:
        order = (await tx.fetchval("select payload from outbox"))["order"]
    assert order == {
        "source_id": "order 7",
        "order_id": done.payout_id.hex,
        "chain_id": REGISTRY.networks["bsc"].wm_chain_id,
        "coin_id": REGISTRY.assets["usdt-bsc"].wm_coin_id,
        "address": "0x52908400098527886E0F7030069857D2E4169EE7",
        "tag": "",
        "hash": "0xfeed",
        "amount": "1.000000000000000001",
        "gas_fee": "0.75",
        "service_fee": "0.75",
        "status": 4,
        "status_desc": "Withdraw Success",
    }


def test_an_address_on_ton_is_told_as_people_write_it_with_its_tag() -> None:
    told = events.callback_of(REGISTRY, payout(asset="usdt-ton", target=RAW, tag="invoice 7"))
    assert told.address.startswith("UQ")
    assert (told.tag, told.chain_id) == ("invoice 7", REGISTRY.networks["ton"].wm_chain_id)


@pytest.mark.parametrize("state", list(PayoutState))
def test_status_and_its_words_agree_in_every_state(state: PayoutState) -> None:
    told = events.callback_of(REGISTRY, payout(state=state, txid="ab" if state is PayoutState.COMPLETED else ""))
    assert (told.status, told.status_desc) == {
        PayoutState.COMPLETED: (4, "Withdraw Success"),
        PayoutState.REJECTED: (8, "Withdraw Fail"),
        PayoutState.CANCELLED: (8, "Withdraw Fail"),
        PayoutState.FAILED: (8, "Withdraw Fail"),
    }.get(state, (0, "Withdraw Doing"))
    assert (f"payout.{state}" in events.EVENT_KINDS) == (state in ENDED)


def test_a_payout_has_ended_exactly_in_its_ends() -> None:
    living = payout()
    assert [state.value for state in PayoutState if replace(living, state=state).has_ended] == [
        "completed",
        "rejected",
        "cancelled",
        "failed",
    ]
