"""Every SQL statement about what may not be paid just now (THREATS, rule 30)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bitlinkpay.db.driver import Tx


class Scope(StrEnum):
    """What a kill switch stops."""

    ALL = "all"
    NETWORK = "network"
    ASSET = "asset"
    MERCHANT = "merchant"


@dataclass(frozen=True, slots=True)
class Stop:
    """One kill switch that is thrown; `subject` is the network's, asset's or merchant's id, "" for all."""

    scope: Scope
    subject: str
    reason: str
    since: datetime


async def add(tx: Tx, stop: Stop) -> None:
    """Throw a kill switch; one that is thrown already keeps its reason. It holds from the next look at the queue on."""
    await tx.execute(
        "insert into payment_stops (scope, subject, reason, since) values ($1, $2, $3, $4) on conflict do nothing",
        stop.scope.value,
        stop.subject,
        stop.reason,
        stop.since,
    )


async def remove(tx: Tx, scope: Scope, subject: str) -> bool:
    """Let payments go on; say whether they were stopped."""
    tag = await tx.execute("delete from payment_stops where scope = $1 and subject = $2", scope.value, subject)
    return tag != "DELETE 0"


async def list_all(tx: Tx) -> list[Stop]:
    """Return every kill switch that is thrown, the oldest first."""
    rows = await tx.fetch("select * from payment_stops order by since, scope, subject")
    return [Stop(Scope(row["scope"]), row["subject"], row["reason"], row["since"]) for row in rows]
