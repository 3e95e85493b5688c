"""Every SQL statement about lanes: who may write, and which number comes next."""

from datetime import datetime, timedelta
from uuid import UUID

from bitlinkpay.chains.outgoing import Wallet
from bitlinkpay.db.driver import Tx


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


async def freeze(tx: Tx, network: str, payer: str, reason: str) -> None:
    """Stop a lane until a person has looked; "" lets it go on."""
    await tx.execute("update lanes set frozen_reason = $3 where network = $1 and payer = $2", network, payer, reason)
