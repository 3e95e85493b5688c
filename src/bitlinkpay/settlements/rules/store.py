"""Every SQL statement about rules."""

from collections.abc import Sequence
from datetime import datetime, time
from decimal import Decimal
from uuid import UUID

from bitlinkpay.core.ids import MerchantId
from bitlinkpay.db.driver import Row, Tx
from bitlinkpay.settlements.rules.model import Rule, Terms
from bitlinkpay.settlements.rules.schedule import Cadence, Schedule

_HOUR = 60


def _rule(row: Row) -> Rule:
    return Rule(
        rule_id=row["rule_id"],
        merchant_id=MerchantId(row["merchant_id"]),
        asset=row["asset"],
        terms=Terms(
            schedule=_schedule(row) if row["cadence"] else None,
            threshold_units=_units(row["threshold_units"]),
            reserve_units=int(row["reserve_units"]),
            fee_max_units=_units(row["fee_max_units"]),
        ),
        next_due_at=row["next_due_at"],
        authorization_id=row["authorization_id"],
        created_at=row["created_at"],
        ended_at=row["ended_at"],
    )


def _schedule(row: Row) -> Schedule:
    return Schedule(Cadence(row["cadence"]), time(*divmod(row["at_minute"], _HOUR)), row["zone"], row["day"])


def _units(value: Decimal | None) -> int | None:
    return None if value is None else int(value)


async def insert(tx: Tx, rule: Rule) -> None:
    """Store a new rule."""
    plan = rule.terms.schedule
    await tx.execute(
        """
        insert into settlement_rules (rule_id, merchant_id, asset, cadence, at_minute, day, zone, threshold_units,
            reserve_units, fee_max_units, next_due_at, authorization_id, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        """,
        rule.rule_id,
        rule.merchant_id,
        rule.asset,
        plan.cadence.value if plan else "",
        plan.at.hour * _HOUR + plan.at.minute if plan else 0,
        plan.day if plan else 0,
        plan.zone if plan else "",
        rule.terms.threshold_units,
        rule.terms.reserve_units,
        rule.terms.fee_max_units,
        rule.next_due_at,
        rule.authorization_id,
        rule.created_at,
    )


async def find(tx: Tx, rule_id: UUID) -> Rule | None:
    """Return a rule, in force or not."""
    row = await tx.fetchrow("select * from settlement_rules where rule_id = $1", rule_id)
    return _rule(row) if row else None


async def list_of_merchant(tx: Tx, merchant_id: MerchantId) -> list[Rule]:
    """Return a merchant's rules that are in force, the oldest first."""
    rows = await tx.fetch(
        "select * from settlement_rules where merchant_id = $1 and ended_at is null order by rule_id", merchant_id
    )
    return [_rule(row) for row in rows]


async def end(tx: Tx, merchant_id: MerchantId, rule_id: UUID, now: datetime) -> bool:
    """Take a rule out of force; False when there is none of this merchant in force."""
    tag = await tx.execute(
        "update settlement_rules set ended_at = $3 where merchant_id = $1 and rule_id = $2 and ended_at is null",
        merchant_id,
        rule_id,
        now,
    )
    return tag == "UPDATE 1"


async def claim_due(tx: Tx, now: datetime, limit: int) -> list[Rule]:
    """Lock and return rules by schedule whose time has come; those that another locks are passed over."""
    rows = await tx.fetch(
        """
        select * from settlement_rules where ended_at is null and next_due_at <= $1
        order by next_due_at limit $2 for update skip locked
        """,
        now,
        limit,
    )
    return [_rule(row) for row in rows]


async def set_due(tx: Tx, rule_id: UUID, next_due_at: datetime) -> None:
    """Set the next trigger of a locked rule by schedule."""
    await tx.execute("update settlement_rules set next_due_at = $2 where rule_id = $1", rule_id, next_due_at)


_REACHED = """
    r.ended_at is null and r.threshold_units is not null and a.balance_units >= r.threshold_units
    and not exists (
        select from settlements s left join payouts p using (payout_id)
        where s.rule_id = r.rule_id and (s.state = 'due' or s.decided_at > $1 and s.state = 'skipped'
            or p.ended_at > $1 and p.state <> 'completed')
    )
"""
_BALANCE = "'merchant:' || replace(r.merchant_id::text, '-', '') || ':available'"


async def claim_reached(tx: Tx, rested: datetime, limit: int) -> list[tuple[Rule, str]]:
    """Lock rules whose threshold is reached and return them, each with its trigger.

    A rule rests after a run that came to nothing since `rested`, and while one is due. The trigger is the version of
    the balance and how many runs at this version came to nothing before.
    """
    locked = await tx.fetch(
        f"""
        select r.rule_id from settlement_rules r join ledger_accounts a on a.name = {_BALANCE} and a.asset = r.asset
        where {_REACHED} order by r.rule_id limit $2 for update of r skip locked
        """,  # noqa: S608 - constants
        rested,
        limit,
    )
    if not locked:
        return []
    rows = await tx.fetch(  # looks again under the lock: whoever held it before may have triggered what we saw
        f"""
        select r.*, a.version || '.' || (
            select count(*) from settlements s where s.rule_id = r.rule_id and s.trigger like a.version || '.%'
        ) as trigger
        from settlement_rules r join ledger_accounts a on a.name = {_BALANCE} and a.asset = r.asset
        where r.rule_id = any($2::uuid[]) and {_REACHED} order by r.rule_id
        """,  # noqa: S608 - constants
        rested,
        [row["rule_id"] for row in locked],
    )
    return [(_rule(row), row["trigger"]) for row in rows]


async def lock_merchant(tx: Tx, merchant_id: MerchantId) -> Sequence[Row]:
    """Let one merchant's rules be added one after the other."""
    return await tx.fetch("select from merchants where merchant_id = $1 for no key update", merchant_id)
