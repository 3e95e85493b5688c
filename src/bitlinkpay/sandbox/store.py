"""Every SQL statement about simulated networks and the sandbox's clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bitlinkpay.chains.base import Arrival, ChainError
from bitlinkpay.chains.simulated import Run, Sent, Stretch
from bitlinkpay.core.assets import Asset
from bitlinkpay.db.driver import Row, Tx
from bitlinkpay.db.pool import Database

CLOCK_CHANNEL = "sandbox_clock"
BLOCK_CHANNEL = "sandbox_block"  # payload: the network's id

_MILLISECOND = timedelta(milliseconds=1)
_MICROSECOND = timedelta(microseconds=1)


def _runs_between(low: str, high: str) -> str:
    """Return the query for the runs that touch two heights, each beside the newest height; no row: never set up."""
    return f"""
        WITH head AS (
            SELECT last_height AS height FROM sim_runs WHERE network = $1 ORDER BY first_height DESC LIMIT 1
        ),
        bounds AS (SELECT height AS head, {low} AS low, {high} AS high FROM head)
        SELECT bounds.head, r.first_height, r.last_height, r.seed, r.parent, r.started_at, r.step_ms, r.transfers
        FROM bounds LEFT JOIN sim_runs r
            ON r.network = $1 AND r.first_height <= high AND r.last_height >= low AND r.first_height >= coalesce(
                (SELECT max(first_height) FROM sim_runs WHERE network = $1 AND first_height <= low), 0)
        ORDER BY r.first_height
    """  # noqa: S608 - the two expressions below


_STRETCH = _runs_between("$2::bigint", "$3::bigint")
_TAIL = _runs_between("height - $2::bigint", "height")
_SENT = """
    SELECT txid, ordinal, height, asset, source, target, tag, units, arrival, has_failed FROM sim_transfers
"""


@dataclass(frozen=True, slots=True)
class NewTransfer:
    """One transfer about to be broadcast; rows with one `txid` are one transaction."""

    txid: bytes
    ordinal: int
    asset: str
    source: str
    target: str
    tag: str
    units: int
    fee_units: int
    arrival: Arrival
    has_failed: bool


class SandboxState:
    """The simulated networks in PostgreSQL, for reading: what `SimulatedChain` stands on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tail(self, network: str, depth: int) -> Stretch:
        """Return the runs of the newest `depth` heights."""
        async with self._database.reader() as tx:
            return _as_stretch(network, await tx.fetch(_TAIL, network, depth))

    async def stretch(self, network: str, first: int, last: int) -> Stretch:
        """Return the runs that touch `first..last`, and the transfers in them."""
        async with self._database.reader() as tx:
            found = _as_stretch(network, await tx.fetch(_STRETCH, network, first, last))
            if not any(run.transfers for run in found.runs):
                return found
            where = "WHERE network = $1 AND height BETWEEN $2 AND $3 ORDER BY height, seq"
            rows = await tx.fetch(_SENT + where, network, first, last)
            return Stretch(found.head, found.runs, [_sent(row) for row in rows])

    async def arrivals(self, network: str, asset: str, address: str, first: int, last: int) -> Stretch:
        """Return the transfers of one asset to one address in `first..last`, and the runs of these heights."""
        async with self._database.reader() as tx:
            found = _as_stretch(network, await tx.fetch(_STRETCH, network, first, last))
            where = (
                "WHERE network = $1 AND height BETWEEN $2 AND $3 AND asset = $4 AND target = $5 ORDER BY height, seq"
            )
            rows = await tx.fetch(_SENT + where, network, first, last, asset, address)
            return Stretch(found.head, found.runs, [_sent(row) for row in rows])

    async def transaction(self, network: str, txid: bytes) -> Sequence[Sent]:
        """Return the transfers of a transaction, none if nobody knows it."""
        async with self._database.reader() as tx:
            rows = await tx.fetch(_SENT + "WHERE network = $1 AND txid = $2 ORDER BY ordinal", network, txid)
            return [_sent(row) for row in rows]

    async def waiting(self, network: str) -> Sequence[Sent]:
        """Return the transfers of every transaction that waits, in the order they came."""
        async with self._database.reader() as tx:
            rows = await tx.fetch(_SENT + "WHERE network = $1 AND height IS NULL ORDER BY seq", network)
            return [_sent(row) for row in rows]

    async def balances(self, asset: Asset, addresses: Sequence[str], height: int) -> Sequence[int]:
        """Return what each address holds after `height`: received less sent, and less fees where it is the coin."""
        async with self._database.reader() as tx:
            rows = await tx.fetch(
                """
                SELECT greatest(0, came.units - went.units) AS units
                FROM unnest($3::text[]) WITH ORDINALITY AS a(address, place)
                CROSS JOIN LATERAL (
                    SELECT coalesce(sum(units), 0) AS units FROM sim_transfers
                    WHERE target = a.address AND asset = $2 AND height <= $4 AND NOT has_failed
                ) came
                CROSS JOIN LATERAL (
                    SELECT coalesce(sum(CASE WHEN asset = $2 AND NOT has_failed THEN units ELSE 0 END)
                         + sum(CASE WHEN $5 THEN fee_units ELSE 0 END), 0) AS units
                    FROM sim_transfers WHERE source = a.address AND network = $1 AND height <= $4
                ) went
                ORDER BY a.place
                """,
                asset.network,
                asset.id,
                list(addresses),
                height,
                asset.is_native,
            )
            return [int(row["units"]) for row in rows]


def _as_stretch(network: str, rows: Sequence[Row]) -> Stretch:
    if not rows:
        raise ChainError(f"{network}: this simulated network was never started")
    return Stretch(rows[0]["head"], [_run(row) for row in rows if row["first_height"] is not None])


def _run(row: Row) -> Run:
    return Run(
        first=row["first_height"],
        last=row["last_height"],
        seed=row["seed"],
        parent=row["parent"],
        start=row["started_at"],
        step=row["step_ms"] * _MILLISECOND,
        transfers=row["transfers"],
    )


def _sent(row: Row) -> Sent:
    return Sent(
        txid=row["txid"],
        ordinal=row["ordinal"],
        height=row["height"],
        asset=row["asset"],
        source=row["source"],
        target=row["target"],
        tag=row["tag"],
        units=int(row["units"]),
        arrival=Arrival(row["arrival"]),
        has_failed=row["has_failed"],
    )


async def add_networks(tx: Tx, cycles: dict[str, int]) -> list[str]:
    """Add networks with their skip cycles; return those that were not there before."""
    rows = await tx.fetch(
        "INSERT INTO sim_networks (network, skip_cycle) SELECT * FROM unnest($1::text[], $2::integer[])"
        " ON CONFLICT DO NOTHING RETURNING network",
        list(cycles),
        list(cycles.values()),
    )
    return [row["network"] for row in rows]


async def lock_network(tx: Tx, network: str) -> int | None:
    """Let nobody else mine or fork this network until the transaction ends; return its skip cycle, None if unknown."""
    cycle: int | None = await tx.fetchval("SELECT skip_cycle FROM sim_networks WHERE network = $1 FOR UPDATE", network)
    return cycle


async def find_newest_run(tx: Tx, network: str) -> Run | None:
    """Return the run of the newest block."""
    row = await tx.fetchrow("SELECT * FROM sim_runs WHERE network = $1 ORDER BY first_height DESC LIMIT 1", network)
    return _run(row) if row else None


async def find_run_at(tx: Tx, network: str, height: int) -> Run | None:
    """Return the run that holds the block at `height`."""
    row = await tx.fetchrow(
        "SELECT * FROM sim_runs WHERE network = $1 AND first_height <= $2 ORDER BY first_height DESC LIMIT 1",
        network,
        height,
    )
    return _run(row) if row and row["last_height"] >= height else None


async def add_transfers(tx: Tx, network: str, transfers: Sequence[NewTransfer], now: datetime) -> None:
    """Put transactions into the mempool, in this order, in one statement."""
    await tx.execute(
        """
        INSERT INTO sim_transfers
            (network, txid, ordinal, asset, source, target, tag, units, fee_units, arrival, has_failed, broadcast_at)
        SELECT $1, t.*, $2 FROM unnest($3::bytea[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::numeric[], $10::numeric[], $11::text[], $12::boolean[]) AS t
        """,
        network,
        now,
        [t.txid for t in transfers],
        [t.ordinal for t in transfers],
        [t.asset for t in transfers],
        [t.source for t in transfers],
        [t.target for t in transfers],
        [t.tag for t in transfers],
        [t.units for t in transfers],
        [t.fee_units for t in transfers],
        [str(t.arrival) for t in transfers],
        [t.has_failed for t in transfers],
    )


async def drop_waiting(tx: Tx, network: str, txid: bytes) -> bool:
    """Drop a transaction out of the mempool; say whether it was there."""
    tag = await tx.execute(
        "DELETE FROM sim_transfers WHERE network = $1 AND txid = $2 AND height IS NULL", network, txid
    )
    return tag != "DELETE 0"


async def add_run(tx: Tx, network: str, run: Run) -> None:
    """Add an empty run of blocks and wake who waits for blocks."""
    await tx.execute(
        """
        WITH added AS (
            INSERT INTO sim_runs (network, first_height, last_height, seed, parent, started_at, step_ms, transfers)
            VALUES ($1, $2, $3, $4, $5, $6, $7, 0)
        ) SELECT pg_notify($8, $1)
        """,
        network,
        run.first,
        run.last,
        run.seed,
        run.parent,
        run.start,
        run.step // _MILLISECOND,
        BLOCK_CHANNEL,
    )


async def add_full_run(tx: Tx, network: str, run: Run) -> None:
    """Add a run whose first block takes everything that waits in the mempool."""
    await add_run(tx, network, run)
    await tx.execute(
        """
        WITH taken AS (
            UPDATE sim_transfers SET height = $2 WHERE network = $1 AND height IS NULL RETURNING txid
        )
        UPDATE sim_runs SET transfers = (SELECT count(*) FROM taken) WHERE network = $1 AND first_height = $2
        """,
        network,
        run.first,
    )


async def cut_to_mempool(tx: Tx, network: str, height: int) -> None:
    """Undo all blocks above `height`; their transactions wait in the mempool again."""
    await tx.execute("UPDATE sim_transfers SET height = NULL WHERE network = $1 AND height > $2", network, height)
    await _cut_runs(tx, network, height)


async def cut_and_forget(tx: Tx, network: str, height: int) -> None:
    """Undo all blocks above `height`, and their transactions with them."""
    await tx.execute("DELETE FROM sim_transfers WHERE network = $1 AND height > $2", network, height)
    await _cut_runs(tx, network, height)


async def _cut_runs(tx: Tx, network: str, height: int) -> None:
    await tx.execute("DELETE FROM sim_runs WHERE network = $1 AND first_height > $2", network, height)
    await tx.execute("UPDATE sim_runs SET last_height = $2 WHERE network = $1 AND last_height > $2", network, height)


# $1: now, $2: step in ms. A slot that a network skips costs its time too.
_NEXT = """
    SELECT n.network, n.skip_cycle, r.first_height, r.last_height, r.seed, r.step_ms,
        r.started_at + (r.last_height - r.first_height) * r.step_ms * interval '1 ms' AS head_at,
        r.last_height + 1
            + (n.skip_cycle > 0 AND (r.last_height + 1) % n.skip_cycle = n.skip_cycle - 1)::integer AS height
    FROM sim_networks n
    CROSS JOIN LATERAL (SELECT * FROM sim_runs WHERE network = n.network ORDER BY first_height DESC LIMIT 1) r
"""
_IS_DUE = "head_at + (height - last_height) * $2::integer * interval '1 ms' <= $1::timestamptz"


async def lock_due(tx: Tx, now: datetime, interval: timedelta) -> list[str]:
    """Lock the networks whose next block is due at `now` and that nobody else works on; return their ids."""
    rows = await tx.fetch(
        f"""
        SELECT network FROM sim_networks
        WHERE network IN (SELECT network FROM ({_NEXT}) AS due WHERE {_IS_DUE})
        FOR UPDATE SKIP LOCKED
        """,  # noqa: S608 - constants of this module
        now,
        interval // _MILLISECOND,
    )
    return [row["network"] for row in rows]


async def mine_next(tx: Tx, networks: Sequence[str], now: datetime, interval: timedelta) -> list[str]:
    """Add one block to each of these locked networks whose next block is due; return those that got one.

    An empty block that follows in time prolongs the newest run; any other block begins a run at `now`.
    """
    rows = await tx.fetch(
        f"""
        WITH due AS (SELECT * FROM ({_NEXT}) AS due WHERE network = ANY($3) AND {_IS_DUE}),
        next AS (
            SELECT due.*,
                step_ms = $2 AND head_at + (height - last_height + 1) * step_ms * interval '1 ms' > $1
                AND NOT EXISTS (SELECT FROM sim_transfers t WHERE t.network = due.network AND height IS NULL) AS goes_on
            FROM due
        ),
        prolonged AS (
            UPDATE sim_runs r SET last_height = next.height FROM next
            WHERE next.goes_on AND r.network = next.network AND r.first_height = next.first_height
        ),
        taken AS (
            UPDATE sim_transfers t SET height = next.height FROM next
            WHERE NOT next.goes_on AND t.network = next.network AND t.height IS NULL
            RETURNING t.network
        ),
        added AS (
            INSERT INTO sim_runs (network, first_height, last_height, seed, parent, started_at, step_ms, transfers)
            SELECT network, height, height,
                sha256(uuid_send(gen_random_uuid())), sha256(seed || int8send(last_height)), $1, $2,
                (SELECT count(*) FROM taken WHERE taken.network = next.network)
            FROM next WHERE NOT goes_on
        )
        SELECT network, pg_notify($4, network) FROM next ORDER BY network
        """,  # noqa: S608 - constants of this module
        now,
        interval // _MILLISECOND,
        list(networks),
        BLOCK_CHANNEL,
    )
    return [row["network"] for row in rows]


async def find_offset(tx: Tx) -> timedelta:
    """Return how far business time is ahead of wall time."""
    microseconds: int | None = await tx.fetchval("SELECT offset_us FROM sandbox_clock")
    return (microseconds or 0) * _MICROSECOND


async def add_offset(tx: Tx, by: timedelta) -> timedelta:
    """Move business time forward and tell every process; return the new offset."""
    microseconds: int = await tx.fetchval(
        """
        INSERT INTO sandbox_clock (offset_us) VALUES ($1)
        ON CONFLICT (singleton) DO UPDATE SET offset_us = sandbox_clock.offset_us + excluded.offset_us
        RETURNING offset_us
        """,
        by // _MICROSECOND,
    )
    await tx.execute("SELECT pg_notify($1, '')", CLOCK_CHANNEL)
    return microseconds * _MICROSECOND
