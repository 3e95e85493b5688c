"""Every SQL statement about cursors, leases and the block journal."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from bitlinkpay.chains.base import Block, BlockRef
from bitlinkpay.db.driver import Row, Tx
from bitlinkpay.deposits.model import Cursor, Lease, LostLease


def _cursor(row: Row) -> Cursor:
    return Cursor(row["network"], row["height"], row["hash"], row["block_at"], row["final_height"])


async def find_cursor(tx: Tx, network: str) -> Cursor | None:
    """Return how far a network has been read, or None before its first start."""
    row = await tx.fetchrow("select * from cursors where network = $1", network)
    return _cursor(row) if row else None


async def list_cursors(tx: Tx) -> list[Cursor]:
    """Return the cursor of every network that was ever read."""
    return [_cursor(row) for row in await tx.fetch("select * from cursors order by network")]


async def begin(tx: Tx, network: str, start: BlockRef, now: datetime) -> None:
    """Place a network's cursor at its first start; does nothing later."""
    await tx.execute(
        """
        with placed as (
            insert into cursors (network, height, hash, block_at, final_height, updated_at)
            values ($1, $2, $3, $4, $2, $5)
            on conflict (network) do nothing
            returning network
        )
        insert into blocks (network, height, hash, parent, block_at)
        select network, $2, $3, '', $4 from placed
        """,
        network,
        start.height,
        start.hash,
        start.time,
        now,
    )


async def take_lease(tx: Tx, *, network: str, token: UUID, now: datetime, life: timedelta) -> Lease | None:
    """Take or renew the lease of a network, or return None while another holder's lease lives.

    `now` is wall time: a sandbox clock must not end leases.
    """
    until = await tx.fetchval(
        """
        update cursors set lease_token = $2, lease_until = $4
        where network = $1 and (lease_token = $2 or lease_until is null or lease_until < $3)
        returning lease_until
        """,
        network,
        token,
        now,
        now + life,
    )
    return Lease(network, token, until) if until else None


async def advance(tx: Tx, lease: Lease, *, blocks: Sequence[Block], final_height: int, now: datetime) -> None:
    """Append verified, linked blocks to the journal and move the cursor from the first one's parent to the last one.

    Raises:
        LostLease: the cursor stands elsewhere or another watcher holds the lease.
    """
    last = blocks[-1]
    moved = await tx.fetchval(
        """
        with moved as (
            update cursors
            set height = $4, hash = $5, block_at = $6, final_height = greatest(final_height, $7), updated_at = $8
            where network = $1 and lease_token = $2 and hash = $3
            returning network, height
        ), kept as (
            insert into blocks (network, height, hash, parent, block_at)
            select moved.network, b.*
            from moved cross join unnest($9::bigint[], $10::text[], $11::text[], $12::timestamptz[]) as b
        )
        select height from moved
        """,
        lease.network,
        lease.token,
        blocks[0].parent,
        last.height,
        last.hash,
        last.time,
        final_height,
        now,
        [block.height for block in blocks],
        [block.hash for block in blocks],
        [block.parent for block in blocks],
        [block.time for block in blocks],
    )
    if moved is None:
        raise LostLease(lease.network)


async def hold_lease(tx: Tx, lease: Lease, *, final_height: int) -> None:
    """Lock the cursor row and note the final height without moving the cursor.

    Raises:
        LostLease: another watcher holds the lease.
    """
    held = await tx.fetchval(
        """
        update cursors set final_height = greatest(final_height, $3)
        where network = $1 and lease_token = $2
        returning height
        """,
        lease.network,
        lease.token,
        final_height,
    )
    if held is None:
        raise LostLease(lease.network)


async def prune_journal(tx: Tx, network: str, below: int) -> None:
    """Forget journal rows far below finality; deposits keep their own block hash."""
    await tx.execute("delete from blocks where network = $1 and height < $2", network, below)


async def journal_block(tx: Tx, network: str, height: int) -> BlockRef | None:
    """Return the highest journal block at or below `height`."""
    row = await tx.fetchrow(
        "select height, hash, block_at from blocks where network = $1 and height <= $2 order by height desc limit 1",
        network,
        height,
    )
    return BlockRef(row["height"], row["hash"], row["block_at"]) if row else None


async def oldest_block(tx: Tx, network: str) -> BlockRef:
    """Return the lowest block that the journal still holds; every network that was ever read has one."""
    row = await tx.fetchrow(
        "select height, hash, block_at from blocks where network = $1 order by height limit 1", network
    )
    assert row is not None, "a cursor without a journal"
    return BlockRef(row["height"], row["hash"], row["block_at"])


async def rewind(tx: Tx, lease: Lease, to: BlockRef, now: datetime) -> None:
    """Move the cursor back to an ancestor and forget the journal above it.

    Raises:
        LostLease: another watcher holds the lease.
    """
    moved = await tx.fetchval(
        """
        with back as (
            update cursors
            set height = $3, hash = $4, block_at = $5, updated_at = $6,
                final_height = least(final_height, $3)
            where network = $1 and lease_token = $2
            returning height
        ), forgotten as (
            delete from blocks where network = $1 and height > $3 and exists (select from back)
        )
        select height from back
        """,
        lease.network,
        lease.token,
        to.height,
        to.hash,
        to.time,
        now,
    )
    if moved is None:
        raise LostLease(lease.network)


async def height_at(tx: Tx, network: str, at: datetime) -> int:
    """Return the height of the last journal block before `at`, or of the oldest one kept."""
    height = await tx.fetchval(
        """
        select coalesce(
            (select max(height) from blocks where network = $1 and block_at < $2),
            (select min(height) from blocks where network = $1), 0)
        """,
        network,
        at,
    )
    return int(height)


async def standing(tx: Tx, network: str, blocks: Sequence[Block]) -> set[str]:
    """Return the hashes of those blocks that stand in the journal."""
    rows = await tx.fetch(
        "select hash from blocks where network = $1 and height = any($2::bigint[]) and hash = any($3::text[])",
        network,
        [block.height for block in blocks],
        [block.hash for block in blocks],
    )
    return {row["hash"] for row in rows}
