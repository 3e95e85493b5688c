"""50 workers and 10,000 payouts on one hot wallet: no payout twice, no number lost or given twice, no output spent twice.

    python -m bench.payouts

The workers' clocks disagree by up to 30 s at every look, which is more than a lease lives: they take the lane from each
other all the time. Payouts are asked for, reserved, queued, sent and settled on the simulated Ethereum network; the same
number of payments goes out on a Bitcoin network in this process whose nodes check every script and every input. What is
counted at the end is asked of the chains, and held against the books.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from random import Random

from tests.chains.conformance.rigs import start
from tests.chains.conformance.test_sending import Lane
from tests.flows.harness import World
from tests.flows.paying import SEED, Cashier
from tests.flows.test_many_workers import ASSET, GAS, NETWORK, check_sent, lanes_of, left
from tests.flows.test_payouts import earn
from tests.support.clock import ManualClock
from tests.support.crowd import WrongClock, crowd

from bitlinkpay.db.embedded import APP_ROLE, OWNER_ROLE, EmbeddedPostgres
from bitlinkpay.db.migrate import migrate
from bitlinkpay.db.pool import Database
from bitlinkpay.signer.keys import derive_keyring

WORKERS, PAYOUTS = 50, 10_000
ASKED_AT_ONCE = 16
BATCH = 50
SATOSHIS = 10_000


async def accounts(database: Database) -> None:
    """Pay from a wallet whose transactions are numbered."""
    ring, clock = derive_keyring(SEED), ManualClock()
    cashier = Cashier(await World.start(database, clock, ring), ring, ManualClock())
    await earn(cashier, ASSET, "100000")
    await cashier.fund(ASSET, "100000")
    await cashier.fund(GAS, "1000")
    started = time.perf_counter()
    for first in range(0, PAYOUTS, ASKED_AT_ONCE):
        some = range(first, min(first + ASKED_AT_ONCE, PAYOUTS))
        await asyncio.gather(*(cashier.ask(ASSET, str(1 + number % 7)) for number in some))
    asked = time.perf_counter() - started
    started = time.perf_counter()
    await crowd(
        lanes_of(cashier, WORKERS, most=BATCH, seed=1),
        mine=lambda: cashier.world.mine(NETWORK, 1),
        left=lambda: left(cashier),
    )
    sent = time.perf_counter() - started
    await check_sent(cashier, PAYOUTS, sum(1 + number % 7 for number in range(PAYOUTS)) * 10**6)
    numbers = [number for number, state in await cashier.transactions(NETWORK) if state != "released"]
    show("payouts asked for", f"{PAYOUTS / asked:,.0f} a second, one merchant, one process")
    show("payouts sent and settled", f"{PAYOUTS / sent:,.0f} a second by {WORKERS} workers in each other's way")
    show("numbers", f"0 to {numbers[-1]}, each once, each in a final block; books and chain agree to the unit")


async def outputs(database: Database) -> None:
    """Pay from a wallet that spends outputs."""
    async with start("bitcoin") as rig:
        lane = Lane(rig, database)
        await lane.open()
        targets = [rig.stranger(number) for number in range(PAYOUTS)]
        for first in range(0, PAYOUTS, 500):
            await lane.ask(rig.coin, *((target, SATOSHIS) for target in targets[first : first + 500]))
        workers = [lane.worker(wall=WrongClock(lane.wall, Random(number))) for number in range(WORKERS)]

        async def unsent() -> int:
            async with database.reader() as tx:
                return int(await tx.fetchval("select count(*) from sendings where state <> 'delivered'"))

        async def mine() -> None:
            lane.wall.advance(timedelta(seconds=1))
            await rig.finalize()

        started = time.perf_counter()
        # Sooner, its six blocks a look would run ahead of the two hours that Core lets a block's time be early.
        await crowd(workers, mine=mine, left=unsent, steps_a_block=10)
        spent = time.perf_counter() - started
        assert {await rig.balance(rig.coin, target) for target in targets[::97]} == {SATOSHIS}
        await lane.check_books()
        async with database.reader() as tx:
            used, by = await tx.fetchrow(
                "select count(*), count(distinct spent_by) from unspents where spent_by is not null"
            )
        show("payments of outputs", f"{PAYOUTS / spent:,.0f} a second by {WORKERS} workers in each other's way")
        show("outputs", f"{used} spent by {by} transactions, none of them twice; books and chain agree to the unit")


def show(what: str, value: str) -> None:
    print(f"{what:26}{value}", flush=True)


async def measured(part: Callable[[Database], Awaitable[None]], postgres: EmbeddedPostgres) -> None:
    await migrate(postgres.dsn(OWNER_ROLE))
    database = await Database.connect(postgres.dsn(APP_ROLE))
    try:
        await part(database)
    finally:
        await database.close()


def main() -> None:
    """Run both, each on a throw-away server."""
    for part in (accounts, outputs):
        with (
            tempfile.TemporaryDirectory(prefix="blp-bench-") as folder,
            EmbeddedPostgres(Path(folder) / "data") as postgres,
        ):
            asyncio.run(measured(part, postgres))


if __name__ == "__main__":
    main()
