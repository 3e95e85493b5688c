"""Many payouts of one merchant from a file: each line by itself, with a result of its own (THREATS, PAY-42).

The same file again does nothing new: each line's `source_id` names its payout for ever.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.errors import Invalid, Problem
from bitlinkpay.core.ids import show_id
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database, OutcomeUnknown
from bitlinkpay.merchants.model import Merchant
from bitlinkpay.payouts import store
from bitlinkpay.payouts.batch_file import BadLine, Line, write_cells
from bitlinkpay.payouts.drafting import Draft, Repeat
from bitlinkpay.payouts.model import NewPayout, Payout, PayoutKind
from bitlinkpay.payouts.service import Payouts

AT_ONCE: Final = 8
"""How many lines are checked and quoted at once: each asks nodes and screening."""


class Verdict(StrEnum):
    """What became of a line."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"  # its payout stands since an earlier time
    REFUSED = "refused"  # nothing was reserved for it
    UNKNOWN = "unknown"  # the database was lost at its very end: only the same line again can tell


@dataclass(frozen=True, slots=True)
class LineResult:
    """The answer to one line.

    Attributes:
        number: of the line in the file.
        payout: None where it was refused, or nobody knows.
        problem: why, None where there is a payout.
    """

    number: int
    source_id: str
    verdict: Verdict
    payout: Payout | None = None
    problem: Problem | None = None


class Batches:
    """Runs files of payouts."""

    def __init__(self, database: Database, payouts: Payouts, registry: Registry) -> None:
        self._database = database
        self._payouts = payouts
        self._registry = registry

    async def run(self, merchant: Merchant, lines: Sequence[Line | BadLine], *, maker: str = "") -> list[LineResult]:
        """Ask for every line's payout, one transaction each, in the order of the file; return a result per line.

        A line that is refused fails none of the others. Where the database is lost in between, the same file is run
        again: what stands already is answered as repeated. What it may have stored without an answer is no refusal.

        Args:
            merchant: whose payouts they are.
            lines: of the file.
            maker: which of our people runs it, "" for the merchant itself.
        """
        results: list[LineResult] = []
        for start in range(0, len(lines), AT_ONCE):
            some = lines[start : start + AT_ONCE]
            drafts = await asyncio.gather(*(self._prepare(merchant, line, maker) for line in some))
            for line, draft in zip(some, drafts, strict=True):
                results.append(await self._ask(line, draft))
        return results

    async def _prepare(self, merchant: Merchant, line: Line | BadLine, maker: str) -> Draft | Repeat | Problem:
        if isinstance(line, BadLine):
            return line.problem
        asset = self._registry.assets.get(line.asset)
        if asset is None:
            return Invalid(f"no asset {line.asset[:60]!r} here; write its id, such as usdt-tron", param="asset")
        return await self._payouts.prepare(
            NewPayout(
                merchant=merchant,
                kind=PayoutKind.PAYOUT,
                source_id=line.source_id,
                asset=asset,
                target=line.address,
                tag=line.tag,
                amount=line.amount,
                maker=maker,
            )
        )

    async def _ask(self, line: Line | BadLine, draft: Draft | Repeat | Problem) -> LineResult:
        if isinstance(draft, Problem):
            return LineResult(line.number, line.source_id, Verdict.REFUSED, problem=draft)
        new = draft.new

        async def work(tx: Tx) -> tuple[bool, Payout]:
            earlier = await store.find_by_source(tx, new.merchant.merchant_id, new.kind, new.source_id)
            return earlier is not None, await self._payouts.request(tx, draft)

        try:
            is_repeat, payout = await self._database.unit(work, resolve=work)
        except Problem as problem:
            verdict = Verdict.UNKNOWN if isinstance(problem, OutcomeUnknown) else Verdict.REFUSED
            return LineResult(line.number, line.source_id, verdict, problem=problem)
        return LineResult(line.number, line.source_id, Verdict.REPEATED if is_repeat else Verdict.ACCEPTED, payout)


def result_rows(results: Sequence[LineResult]) -> list[dict[str, object]]:
    """Return results as people read them, one row a line of the file."""
    return [
        {
            "line": result.number,
            "source_id": result.source_id,
            "result": result.verdict,
            "id": show_id("out", result.payout.payout_id) if result.payout else "",
            "state": result.payout.state if result.payout else "",
            "code": result.problem.code if result.problem else "",
            "message": result.problem.message if result.problem else result.payout.reason if result.payout else "",
        }
        for result in results
    ]


def result_file(results: Sequence[LineResult]) -> bytes:
    """Return the results as a CSV file."""
    rows = result_rows(results)
    heading = ["line", "source_id", "result", "id", "state", "code", "message"]
    return write_cells([heading, *([str(row[name]) for name in heading] for row in rows)])
