"""Who this deployment is: one row, written at the first start."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from bitlinkpay.core.errors import Conflict
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.core.mode import Mode
from bitlinkpay.db.driver import Tx


class WrongMode(Conflict):
    """The database belongs to a deployment of the other mode."""

    code = "deployment.wrong_mode"


@dataclass(frozen=True, slots=True)
class Deployment:
    """The identity of a deployment."""

    deployment_id: UUID
    mode: Mode
    created_at: datetime


async def claim_mode(tx: Tx, mode: Mode) -> Deployment:
    """Write the mode at the first start, compare it at every later one, and return the deployment.

    Raises:
        WrongMode: the database was created in the other mode.
    """
    await tx.execute(
        "INSERT INTO deployment (deployment_id, mode) VALUES ($1, $2) ON CONFLICT (singleton) DO NOTHING",
        new_uuid7(),
        mode.value,
    )
    found = await find_deployment(tx)
    assert found is not None
    if found.mode is not mode:
        raise WrongMode(
            f"this database is a {found.mode} deployment and cannot start as {mode}; use another data folder"
        )
    return found


async def find_deployment(tx: Tx) -> Deployment | None:
    """Return the deployment, or None before its first start."""
    row = await tx.fetchrow("SELECT deployment_id, mode, created_at FROM deployment")
    return None if row is None else Deployment(row["deployment_id"], Mode(row["mode"]), row["created_at"])
