"""Every SQL statement about lanes: who may write, and which number comes next."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from bitlinkpay.chains.outgoing import KeyRole, Wallet
from bitlinkpay.db.driver import Row, Tx


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A lane as an operator sees it.

    Attributes:
        next_number: the number of its next transaction.
        frozen_reason: why it plans nothing, "" if it does.
        waiting: how many payments wait in it.
        running: how many of its transactions have not ended.
    """

    network: str
    payer: Wallet
    next_number: int
    frozen_reason: str
    waiting: int
    running: int


async def open_(tx: Tx, network: str, payer: Wallet, number: int) -> None:
    """Open a lane at its first use; does nothing later."""
    await tx.execute(
        """
        insert into lanes (network, payer, role, key_index, next_number) values ($1, $2, $3, $4, $5)
        on conflict do nothing
        """,
        network,
        payer.address,
        payer.role.value,
        payer.index,
        number,
    )


async def is_open(tx: Tx, network: str, payer: str) -> bool:
    """Say whether the lane was ever opened."""
    return bool(await tx.fetchval("select true from lanes where network = $1 and payer = $2", network, payer))


async def take(
    tx: Tx, network: str, payer: str, *, token: UUID, wall: datetime, life: timedelta
) -> tuple[int, str] | None:
    """Take or renew the lease of a lane; return its next number and why it is frozen, None while another holds it."""
    row = await tx.fetchrow(
        """
        update lanes set lease_token = $3, lease_until = $5
        where network = $1 and payer = $2 and (lease_token = $3 or lease_until is null or lease_until < $4)
        returning next_number, frozen_reason
        """,
        network,
        payer,
        token,
        wall,
        wall + life,
    )
    return (row["next_number"], row["frozen_reason"]) if row else None


async def hold(tx: Tx, network: str, payer: str, token: UUID) -> bool:
    """Lock the lane's row until the transaction ends; say whether its lease is still ours."""
    held = await tx.fetchval(
        "select true from lanes where network = $1 and payer = $2 and lease_token = $3 for update",
        network,
        payer,
        token,
    )
    return bool(held)


async def step(tx: Tx, network: str, payer: str, *, token: UUID, number: int, by: int) -> bool:
    """Move the lane's next number on (a slot is taken) or back (given back); say whether it stood at `number`."""
    moved = await tx.fetchval(
        """
        update lanes set next_number = next_number + $5
        where network = $1 and payer = $2 and lease_token = $3 and next_number = $4 returning true
        """,
        network,
        payer,
        token,
        number,
        by,
    )
    return bool(moved)


async def freeze(tx: Tx, network: str, payer: str, reason: str, now: datetime) -> None:
    """Stop a lane until a person has looked (`thaw`)."""
    await tx.execute("update lanes set frozen_reason = $3 where network = $1 and payer = $2", network, payer, reason)
    await _note(tx, network, payer, event="frozen", cause=reason, now=now)


async def thaw(tx: Tx, network: str, payer: str, *, number: int, cause: str, now: datetime) -> None:
    """Let a lane go on, at `number` where that is further than it stood."""
    await tx.execute(
        """
        update lanes set frozen_reason = '', next_number = greatest(next_number, $3)
        where network = $1 and payer = $2
        """,
        network,
        payer,
        number,
    )
    await _note(tx, network, payer, event="thawed", cause=f"{cause}: goes on at {number} or above", now=now)


async def _note(tx: Tx, network: str, payer: str, *, event: str, cause: str, now: datetime) -> None:
    await tx.execute(
        """
        insert into lane_events (network, payer, seq, event, cause, at)
        select $1, $2, coalesce(max(seq), 0) + 1, $3, $4, $5 from lane_events where network = $1 and payer = $2
        """,
        network,
        payer,
        event,
        cause,
        now,
    )


async def list_all(tx: Tx) -> list[LaneRow]:
    """Return every lane that was ever opened, by network and wallet."""
    rows = await tx.fetch(
        """
        select l.*, (select count(*) from sendings s where s.network = l.network and s.payer = l.payer
                and s.state in ('queued', 'held')) as waiting,
            (select count(*) from transactions t where t.network = l.network and t.payer = l.payer
                and t.state in ('allotted', 'signed', 'broadcast', 'uncertain', 'mined')) as running
        from lanes l order by network, payer
        """
    )
    return [_lane(row) for row in rows]


async def lock(tx: Tx, network: str, payer: str) -> bool:
    """Lock a lane's row, whoever works on it; say whether there is one."""
    found = await tx.fetchval("select true from lanes where network = $1 and payer = $2 for update", network, payer)
    return bool(found)


def _lane(row: Row) -> LaneRow:
    return LaneRow(
        network=row["network"],
        payer=Wallet(KeyRole(row["role"]), row["key_index"], row["payer"]),
        next_number=row["next_number"],
        frozen_reason=row["frozen_reason"],
        waiting=row["waiting"],
        running=row["running"],
    )
