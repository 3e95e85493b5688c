"""Answers under an idempotency key, written in the transaction that did the work: both are there, or neither.

A key is open, taken by a transaction that runs, or answered. Nothing has to be cleaned up after a crash: a transaction
that died leaves its key open.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from bitlinkpay.db.driver import Row, Tx

KEPT: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Key:
    """One merchant's idempotency key, with SHA-256 over the request that it came with."""

    merchant_id: UUID
    text: str
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """What was answered to the first request under a key."""

    request_hash: bytes
    status: int
    body: bytes


async def take(tx: Tx, key: Key) -> bool:
    """Take a key until the transaction ends; False while another transaction has it. Never waits."""
    taken: bool = await tx.fetchval(
        "SELECT pg_try_advisory_xact_lock(hashtextextended($1::uuid::text || $2, 0))", key.merchant_id, key.text
    )
    return taken


async def find(tx: Tx, key: Key, *, now: datetime) -> Stored | None:
    """Return what was answered under a key within the last 24 hours (wall time)."""
    row = await tx.fetchrow(
        "SELECT * FROM api_answers WHERE merchant_id = $1 AND idempotency_key = $2 AND answered_at > $3",
        key.merchant_id,
        key.text,
        now - KEPT,
    )
    return None if row is None else _stored(row)


async def keep(tx: Tx, key: Key, status: int, body: bytes, *, now: datetime) -> None:
    """Keep an answer for 24 hours; one that is kept already stays."""
    await tx.execute(
        """
        INSERT INTO api_answers (merchant_id, idempotency_key, request_hash, status, body, answered_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (merchant_id, idempotency_key) DO UPDATE SET request_hash = excluded.request_hash,
            status = excluded.status, body = excluded.body, answered_at = excluded.answered_at
        WHERE api_answers.answered_at <= $7
        """,
        key.merchant_id,
        key.text,
        key.request_hash,
        status,
        body,
        now,
        now - KEPT,
    )


async def purge(tx: Tx, now: datetime) -> int:
    """Forget answers of more than 24 hours ago, at most 10,000 per call, and return how many went."""
    tag = await tx.execute(
        """DELETE FROM api_answers WHERE (merchant_id, idempotency_key) IN
           (SELECT merchant_id, idempotency_key FROM api_answers WHERE answered_at <= $1
            ORDER BY answered_at LIMIT 10000 FOR UPDATE SKIP LOCKED)""",
        now - KEPT,
    )
    return int(tag.rpartition(" ")[2])


def _stored(row: Row) -> Stored:
    return Stored(row["request_hash"], row["status"], row["body"])
