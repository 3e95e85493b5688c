"""The invariants of settlements find what they are there to find."""

import asyncpg
from tests.flows.harness import World
from tests.flows.paying import Cashier
from tests.flows.settling import Office, units
from tests.support.clock import ManualClock

from bitlinkpay.db.pool import Database
from bitlinkpay.settlements.invariants import SETTLEMENTS
from bitlinkpay.settlements.rules.model import Terms
from bitlinkpay.signer.keys import derive_keyring

CARRIED, HOME = "settlements_are_carried", "rules_settle_home"
CHANGES = {
    "select 1": set(),
    "update payouts set source_id = repeat('0', 32)": {CARRIED},
    "update payouts set asset = 'usdt-ethereum'": {CARRIED},
    "update settlements set payout_id = null, state = 'skipped', reason = 'x'": {CARRIED},
    "update payouts set target = 'T2'": {HOME},
    "update payouts set tag = '1'": {HOME},
    "update payouts set network = 'ethereum'": {HOME},
    "update settlement_addresses set usable_at = usable_at + interval '100 years'": {HOME},
    "update settlement_addresses set ended_at = bound_at": {HOME},
    "update settlement_addresses set label = 'saved'": {HOME},
    "delete from settlement_addresses": {HOME},
}


async def broken(connection: asyncpg.Connection) -> set[str]:
    return {one.name for one in SETTLEMENTS if await connection.fetch(one.query)}


async def test_a_change_past_the_code_is_found(database: Database, clock: ManualClock, schema_owner_dsn: str) -> None:
    ring = derive_keyring(bytes(range(64)))
    office = await Office.open(Cashier(await World.start(database, clock, ring), ring, ManualClock()))
    await office.fund()
    await office.bind_and_rest()
    await office.earn("200")
    await office.rule(Terms(threshold_units=units("100")))
    assert await office.step() == (1, 1)
    connection = await asyncpg.connect(schema_owner_dsn)
    found = {}
    for change in CHANGES:
        await connection.execute("begin")
        await connection.execute(change)
        found[change] = await broken(connection)
        await connection.execute("rollback")
    await connection.close()
    assert found == CHANGES
