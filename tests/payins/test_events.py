"""What a callback says of an order in each of its states: asked or accepted, with the words of the SDK."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.deposits.test_store import deposit
from tests.flows.harness import REGISTRY, make_merchant
from tests.payins.test_model import ASKED, NOW, order
from tests.support.clock import ManualClock

from bitlinkpay.core.ids import PayinId, new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants import store as merchants_store
from bitlinkpay.payins.events import EVENT_KINDS, Outcome, announce, callback_of
from bitlinkpay.payins.model import Label, PayinState

USDT = REGISTRY.assets["usdt-tron"]
ID = PayinId(new_uuid7())
ENDED = replace(order(), payin_id=ID, address="TX", units=ASKED, accepted_units=ASKED + 5, fee_units=300_000)


@pytest.mark.parametrize(
    ("state", "labels", "status"),
    [
        (PayinState.CREATED, frozenset(), 0),
        (PayinState.CONFIRMING, frozenset(), 0),
        (PayinState.PAID, frozenset(), 8),
        (PayinState.CANCELLED, frozenset(), 12),
        (PayinState.EXPIRED, frozenset(), 16),
        (PayinState.EXPIRED, frozenset({Label.SHORT}), 20),
    ],
)
def test_the_amount_is_what_was_asked_until_it_is_what_was_accepted(
    state: PayinState, labels: frozenset[Label], status: int
) -> None:
    said = callback_of(REGISTRY, replace(ENDED, state=state, labels=labels), "t1")
    assert said.status == status
    assert said.amount == (Decimal("100.000005") if state is PayinState.PAID else Decimal(100))
    assert said.service_fee == Decimal("0.3")
    assert (said.hash, said.address, said.order_id, said.source_id) == ("t1", "TX", ID.hex, "1")
    assert (said.chain_id, said.coin_id) == (REGISTRY.networks["tron"].wm_chain_id, USDT.wm_coin_id)
    assert (said.fiat_amount, said.symbol, said.exchange_rate) == (Decimal(720), "USDT/CNY", Decimal("7.2"))
    assert said.status_desc


def test_an_order_whose_payer_never_picked_names_no_network_and_no_address() -> None:
    unpicked = replace(ENDED, state=PayinState.EXPIRED, asset=None, units=0, fee_units=0, address="")
    said = callback_of(REGISTRY, unpicked, "")
    assert (said.chain_id, said.coin_id, said.address, said.hash) == (0, 0, "", "")
    assert (said.amount, said.service_fee, said.status) == (Decimal(0), Decimal(0), 16)


@given(st.sampled_from(sorted(REGISTRY.assets)), st.integers(1, 10**30))
def test_an_amount_loses_no_unit_whatever_its_coins_decimals(asset_id: str, units: int) -> None:
    asset = REGISTRY.assets[asset_id]
    said = callback_of(REGISTRY, replace(ENDED, asset=asset_id, units=units, address=""), "")
    assert int(said.amount.scaleb(asset.decimals)) == units


def test_only_ends_are_events() -> None:
    assert set(EVENT_KINDS) == {"payin.paid", "payin.expired", "payin.cancelled"}


async def test_each_outcome_is_one_event_and_goes_where_its_own_merchant_wants_it(database: Database) -> None:
    clock = ManualClock()
    all_of_it, paid_only = (make_merchant(clock, callback_statuses=wanted) for wanted in ((8, 12, 16, 20), (8,)))
    async with database.transaction() as tx:
        for merchant in (all_of_it, paid_only):
            await merchants_store.insert(tx, merchant)
    outcomes = [
        Outcome(
            order(state=state, merchant_id=merchant.merchant_id, callback_url="https://shop.example/here"),
            deposit(7) if state is PayinState.PAID else None,
        )
        for merchant in (all_of_it, paid_only)
        for state in (PayinState.PAID, PayinState.EXPIRED, PayinState.CANCELLED)
    ]
    async with database.transaction() as tx:
        await announce(tx, REGISTRY, [], NOW)
        await announce(tx, REGISTRY, outcomes, NOW)
        rows = await tx.fetch(
            "select kind, merchant_id, subject_id, payload->>'callback_url' as url from outbox order by seq"
        )
        hashes = await tx.fetch("select payload->'order'->>'hash' as hash from outbox order by seq")
    assert [tuple(row) for row in rows] == [
        (f"payin.{one.payin.state}", one.payin.merchant_id, one.payin.payin_id, url)
        for one, url in zip(outcomes, ["https://shop.example/here"] * 4 + ["", ""], strict=True)
    ]
    assert [row["hash"] for row in hashes] == [deposit(7).txid, "", ""] * 2
