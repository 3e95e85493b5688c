"""Every SQL statement about lists and verdicts."""

from collections.abc import Sequence
from datetime import datetime

from bitlinkpay.core.ids import DepositId, new_uuid7
from bitlinkpay.db.driver import Tx
from bitlinkpay.risk.lists import AddressList
from bitlinkpay.risk.model import Finding, Verdict, VerdictKind


async def keep_list(tx: Tx, accepted: AddressList, now: datetime) -> None:
    """Keep an accepted version with its content; a known one stays as it is."""
    await tx.execute(
        """
        insert into risk_lists (name, version, rows, content, accepted_at) values ($1, $2, $3, $4, $5)
        on conflict do nothing
        """,
        accepted.name,
        accepted.version,
        accepted.rows,
        accepted.content,
        now,
    )


async def find_latest_list(tx: Tx, name: str) -> bytes | None:
    """Return the content of the version accepted last, or None."""
    content: bytes | None = await tx.fetchval(
        "select content from risk_lists where name = $1 order by accepted_at desc limit 1", name
    )
    return content


async def add_verdicts(tx: Tx, verdicts: Sequence[Verdict]) -> None:
    """Write every finding of these verdicts; one that is known for its deposit, address and list version stays."""
    rows = [(verdict, finding) for verdict in verdicts for finding in verdict.findings]
    await tx.execute(
        """
        insert into verdicts (verdict_id, deposit_id, network, address, provider, list_version, result, rule, raw,
                              screened_at)
        select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                             $8::text[], $9::jsonb[], $10::timestamptz[])
        on conflict on constraint verdicts_bound do nothing
        """,
        [new_uuid7() for _ in rows],
        [verdict.deposit_id for verdict, _ in rows],
        [finding.network for _, finding in rows],
        [finding.address for _, finding in rows],
        [finding.provider for _, finding in rows],
        [finding.list_version for _, finding in rows],
        [finding.kind.value for _, finding in rows],
        [finding.rule for _, finding in rows],
        [dict(finding.raw) for _, finding in rows],
        [verdict.screened_at for verdict, _ in rows],
    )


async def list_findings(tx: Tx, deposit_id: DepositId) -> list[Finding]:
    """Return everything that was ever found about one deposit, oldest first."""
    rows = await tx.fetch(
        """
        select network, address, provider, list_version, result, rule, raw from verdicts
        where deposit_id = $1 order by recorded_at, verdict_id
        """,
        deposit_id,
    )
    return [
        Finding(
            network=row["network"],
            address=row["address"],
            provider=row["provider"],
            list_version=row["list_version"],
            kind=VerdictKind(row["result"]),
            rule=row["rule"],
            raw=row["raw"],
        )
        for row in rows
    ]
