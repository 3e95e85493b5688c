"""Our own transactions at orders' addresses: which are ours, what moves just now, and what left in later blocks."""

import asyncio
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
import pytest
from tests.deposits.rows import AT

from bitlinkpay.chains.registry import load_registry
from bitlinkpay.core.assets import Asset
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.deposits.own import store

REGISTRY = load_registry()
USDT, TRX = REGISTRY.assets["usdt-tron"], REGISTRY.assets["trx-tron"]
SENDING_STATES = ["queued", "sending", "uncertain", "confirming", "delivered", "failed", "cancelled"]
MOVING = {"sending", "uncertain", "confirming"}


@dataclass
class Desk:
    """Payments of ours as the lanes leave them, each in a transaction of its own."""

    tx: Tx
    number: int = 0

    async def carry(
        self,
        *,
        payer: str = "THot",
        height: int | None = 101,
        state: str = "final",
        fee: int = 0,
        network: str = "tron",
    ) -> object:
        self.number += 1
        transaction_id = uuid4()
        await self.tx.execute(
            """
            insert into lanes (network, payer, role, key_index, next_number) values ($1, $2, 'hot', 0, 0)
            on conflict do nothing
            """,
            network, payer,
        )  # fmt: skip
        await self.tx.execute(
            """
            insert into transactions (transaction_id, network, payer, number, purpose, state, fee_max_units, fee_units,
                height, expires_at, allotted_at, updated_at)
            values ($1, $2, $3, $4, 'sweep', $5, 90, $6, $7, $8, $8, $8)
            """,
            transaction_id, network, payer, self.number, state, fee, height, AT,
        )  # fmt: skip
        return transaction_id

    async def send(
        self, source: str, target: str, units: int = 5, *, state: str = "delivered", purpose: str = "sweep",
        role: str = "deposit", asset: Asset = USDT, network: str = "tron", height: int | None = 101,
    ) -> None:  # fmt: skip
        carrier = await self.carry(height=height, network=network)
        await self.tx.execute(
            """
            insert into sendings (sending_id, owner, owner_id, network, purpose, payer, payer_role, payer_index, asset,
                source, source_role, target, units, fee_max_units, state, transaction_id, queued_at, not_before, updated_at)
            values ($1, 'sweep', $1, $2, $3, 'THot', 'hot', 0, $4, $5, $6, $7, $8, 90, $9, $10, $11, $11, $11)
            """,
            uuid4(), network, purpose, asset.id, source, role, target, units, state, carrier, AT,
        )  # fmt: skip


# --- which are ours -----------------------------------------------------------------------------------------------------


async def test_a_transaction_is_ours_on_its_network_with_what_was_noted_first(database: Database) -> None:
    async with database.transaction() as tx:
        await store.note(tx, "tron", "aa", pays_others=False)
        await store.note(tx, "tron", "bb", pays_others=True)
        await store.note(tx, "tron", "aa", pays_others=True)
        await store.note(tx, "ethereum", "cc", pays_others=False)
        assert await store.find(tx, "tron", ["aa", "bb", "cc", "AA", "aa"]) == {"aa": False, "bb": True}
        assert await store.find(tx, "ethereum", ["aa", "bb", "cc"]) == {"cc": False}
        assert await store.find(tx, "tron", []) == {}


async def test_two_that_note_the_same_transaction_at_once_both_go_on(database: Database) -> None:
    async def note() -> None:
        async with database.transaction() as tx:
            await store.note(tx, "tron", "aa", pays_others=False)

    await asyncio.gather(*(note() for _ in range(6)))
    async with database.reader() as tx:
        assert await tx.fetchval("select count(*) from own_transactions") == 1


async def test_a_note_falls_with_the_bytes_that_it_was_to_be_written_with(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            await store.note(tx, "tron", "aa", pays_others=False)
            raise ZeroDivisionError
    async with database.reader() as tx:
        assert await store.find(tx, "tron", ["aa"]) == {}


@pytest.mark.parametrize(
    "statement", ["update own_transactions set pays_others = true", "delete from own_transactions"]
)
async def test_what_was_ours_stays_ours(database: Database, statement: str) -> None:
    async with database.transaction() as tx:
        await store.note(tx, "tron", "aa", pays_others=False)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.transaction() as tx:
            await tx.execute(statement)


# --- what moves just now ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", SENDING_STATES)
async def test_an_address_moves_from_the_first_byte_sent_to_the_payments_end(database: Database, state: str) -> None:
    async with database.transaction() as tx:
        desk = Desk(tx)
        await desk.send("TSwept", "THot", state=state)
        await desk.send("THot", "TGiven", state=state, purpose="gas", role="hot", asset=TRX)
        found = await store.moving(tx, "tron", ["TSwept", "TGiven", "THot", "TIdle"])
    assert found == ({"TSwept", "TGiven"} if state in MOVING else set())


async def test_only_sweeps_from_orders_addresses_and_gas_to_them_make_them_move(database: Database) -> None:
    async with database.transaction() as tx:
        desk = Desk(tx)
        await desk.send("THot", "TPaid", state="sending", purpose="payout", role="hot")
        await desk.send("TSwept", "TOther", state="sending")
        await desk.send("TElsewhere", "THot", state="sending", network="ethereum")
        await desk.send("TUnasked", "THot", state="sending")
        asked = ["THot", "TPaid", "TSwept", "TOther", "TElsewhere"]
        assert await store.moving(tx, "tron", asked) == {"TSwept"}
        assert await store.moving(tx, "tron", []) == set()
        assert await store.paying(tx, "tron", asked) == {"THot", "TSwept"}


# --- what left in later blocks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", SENDING_STATES)
@pytest.mark.parametrize("height", [100, 101])
async def test_the_books_took_off_what_was_delivered_in_later_blocks(
    database: Database, state: str, height: int
) -> None:
    async with database.transaction() as tx:
        desk = Desk(tx)
        await desk.send("TSwept", "THot", 2**200, state=state, height=height)
        await desk.send("THot", "TGiven", 7, state=state, height=height, purpose="gas", role="hot", asset=TRX)
        counts = state == "delivered" and height > 100
        swept = await store.units_moved_above(tx, USDT, ["TSwept", "TGiven"], 100)
        given = await store.units_moved_above(tx, TRX, ["TSwept", "TGiven"], 100)
    assert swept == ({"TSwept": 2**200} if counts else {})
    assert given == ({"TGiven": -7} if counts else {})


@pytest.mark.parametrize(
    ("state", "counts"),
    [
        ("allotted", False),
        ("signed", False),
        ("broadcast", False),
        ("uncertain", False),
        ("mined", False),
        ("final", True),
        ("reverted", True),
        ("released", False),
        ("dead", False),
    ],
)
async def test_a_fee_counts_in_the_networks_coin_alone_once_the_block_is_final(
    database: Database, state: str, counts: bool
) -> None:
    async with database.transaction() as tx:
        desk = Desk(tx)
        await desk.carry(payer="TSwept", state=state, fee=3)
        await desk.carry(payer="TSwept", state=state, fee=30, height=100)
        await desk.carry(payer="TSwept", state=state, fee=300, network="ethereum")
        assert await store.units_moved_above(tx, TRX, ["TSwept"], 100) == ({"TSwept": 3} if counts else {})
        assert await store.units_moved_above(tx, USDT, ["TSwept"], 100) == {}


async def test_sweeps_fees_and_gas_of_an_address_add_up(database: Database) -> None:
    async with database.transaction() as tx:
        desk = Desk(tx)
        await desk.send("TSwept", "THot", 100, asset=TRX)
        await desk.send("TSwept", "THot", 20, asset=TRX, height=10**12)
        await desk.send("THot", "TSwept", 7, purpose="gas", role="hot", asset=TRX)
        await desk.carry(payer="TSwept", fee=3)
        await desk.send("THot", "TSwept", 5, purpose="payout", role="hot", asset=TRX)
        await desk.send("TOther", "THot", 40, asset=TRX)
        assert await store.units_moved_above(tx, TRX, ["TSwept"], 100) == {"TSwept": 100 + 20 - 7 + 3}
        assert await store.units_moved_above(tx, TRX, ["TSwept"], 101) == {"TSwept": 20}
