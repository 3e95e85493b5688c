"""Postings per second on one hot account against pgbench's TPC-B transactions, on the same server in the same run.

Run: `.venv/bin/python bench/ledger.py`. Prints ratios; the target is at least 3 at batches of 256.
"""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bitlinkpay.core.ids import MerchantId, new_uuid7
from bitlinkpay.db.binaries import find_binaries
from bitlinkpay.db.embedded import OWNER_ROLE, EmbeddedPostgres
from bitlinkpay.db.migrate import migrate
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger.invariants import check
from bitlinkpay.ledger.model import Move, Posted, Posting, all_ok
from bitlinkpay.ledger.service import post

SCALE = 20
TARGET = 3.0
ASSET = "usdt-tron"


def pgbench_tps(dsn: str, seconds: int) -> float:
    """TPC-B, prepared statements, 8 clients, 2 threads."""
    answer = _pgbench("-M", "prepared", "-c", "8", "-j", "2", "-T", str(seconds), "-n", dsn)
    found = re.search(r"tps = ([0-9.]+)", answer)
    assert found, answer
    return float(found[1])


def _pgbench(*arguments: str) -> str:
    program = str(find_binaries().program("pgbench"))
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    return subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, check=True).stdout


class Load:
    """Postings of one merchant: every one of them credits its available balance."""

    def __init__(self, database: Database, *, size: int, is_hot: bool) -> None:
        self.database = database
        self.size = size
        self.is_hot = is_hot
        self.merchant_id = MerchantId(new_uuid7())
        self.posted = 0
        self.times: list[float] = []

    def _posting(self) -> Posting:
        who = self.merchant_id if self.is_hot else MerchantId(new_uuid7())
        move = Move(accounts.deposit_custody(who.hex), accounts.available(who), 1_000_000)
        return Posting(f"bench:{new_uuid7().hex}", "bench", ASSET, (move,), who, datetime.now(UTC))

    async def run(self, seconds: float, connections: int) -> float:
        end = time.monotonic() + seconds
        start = time.monotonic()
        await asyncio.gather(*(self._work(end) for _ in range(connections)))
        return self.posted / (time.monotonic() - start)

    async def _work(self, end: float) -> None:
        while time.monotonic() < end:
            started = time.monotonic()
            batch = [self._posting() for _ in range(self.size)]
            async with self.database.transaction() as tx:
                results = await post(tx, batch)
            assert all(isinstance(result, Posted) for result in results)
            self.posted += len(results)
            self.times.append(time.monotonic() - started)

    @property
    def p50_ms(self) -> float:
        return sorted(self.times)[len(self.times) // 2] * 1000


async def measure(dsn: str, owner_dsn: str, seconds: int) -> bool:
    await migrate(owner_dsn)
    await asyncio.to_thread(_pgbench, "-i", "-q", "-s", str(SCALE), owner_dsn)
    database = await Database.connect(dsn, size=4)
    print(f"{'what':<44}{'per second':>12}{'ms a batch':>12}{'ratio':>8}")
    before = await asyncio.to_thread(pgbench_tps, owner_dsn, seconds)
    rows: list[tuple[str, float, float]] = []
    for title, size, connections, is_hot in (
        ("one hot account, batches of 256", 256, 2, True),
        ("one hot account, batches of 64", 64, 2, True),
        ("one hot account, batches of 16", 16, 2, True),
        ("one hot account, one by one", 1, 4, True),
        ("accounts all new, batches of 256", 256, 2, False),
    ):
        load = Load(database, size=size, is_hot=is_hot)
        rows.append((title, await load.run(seconds, connections), load.p50_ms))
    after = await asyncio.to_thread(pgbench_tps, owner_dsn, seconds)
    tps = max(before, after)
    print(f"{'pgbench TPC-B (the higher of two)':<44}{tps:>12.0f}{'':>12}{1:>8.2f}")
    for title, rate, p50_ms in rows:
        print(f"{title:<44}{rate:>12.0f}{p50_ms:>12.1f}{rate / tps:>8.2f}")
    async with database.reader() as tx:
        await tx.execute("SET LOCAL statement_timeout = 0")
        is_clean = all_ok(await check(tx))
    await database.close()
    ratio = rows[0][1] / tps
    print(
        f"target {TARGET:.0f} at batches of 256: {'met' if ratio >= TARGET else 'MISSED'}; every invariant {'holds' if is_clean else 'is BROKEN'}"
    )
    return is_clean and ratio >= TARGET


def main() -> int:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    with tempfile.TemporaryDirectory(prefix="blp-bench-") as folder:
        Path(folder).chmod(0o711)
        with EmbeddedPostgres(Path(folder) / "postgres") as server:
            is_met = asyncio.run(measure(server.dsn("bitlinkpay_app"), server.dsn(OWNER_ROLE), seconds))
    return 0 if is_met else 1


if __name__ == "__main__":
    raise SystemExit(main())
