"""A payout is called back while a person decides about it: what is given back is never paid as well."""

import asyncio

import pytest
from tests.flows.harness import World
from tests.flows.paying import Cashier
from tests.flows.test_payouts import earn
from tests.support.clock import ManualClock
from tests.support.locks import until_someone_waits

from bitlinkpay.db.pool import Database
from bitlinkpay.payouts import store
from bitlinkpay.payouts.model import PayoutKind, PayoutTooLate, Terms
from bitlinkpay.signer.keys import derive_keyring

ASSET = "usdt-ethereum"


async def test_LED_09_a_payout_approved_while_it_is_called_back_is_paid_or_given_back_and_never_both(
    database: Database,
) -> None:
    ring, clock = derive_keyring(bytes(range(64))), ManualClock()
    world = await World.start(database, clock, ring)
    cashier = Cashier(world, ring, clock)
    await earn(cashier, ASSET, "1000")
    merchant_id = world.merchant.merchant_id
    payouts = cashier.payouts()
    async with database.transaction() as tx:
        await store.save_terms(tx, merchant_id, PayoutKind.PAYOUT, ASSET, Terms(review_above_units=1))
    payout = await cashier.ask(ASSET, "20")
    assert payout.state == "in_review"
    async with database.transaction() as tx:
        await payouts.approve(tx, payout.payout_id, by="operator")
        called = asyncio.create_task(
            database.unit(lambda other: payouts.cancel(other, merchant_id, payout.kind, payout.source_id))
        )
        await until_someone_waits(database)
    with pytest.raises(PayoutTooLate, match="approved already"):
        await called
    assert await cashier.state(payout) == "approved"
    assert (await world.balance(ASSET)).reserved_units == payout.reserved_units
    await world.check()
    called_back = await database.unit(lambda tx: payouts.cancel(tx, merchant_id, payout.kind, payout.source_id))
    assert called_back.state == "cancelled"  # a second call finds its payment in the queue
    await world.check()
