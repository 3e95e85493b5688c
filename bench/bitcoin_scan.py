"""How fast Bitcoin blocks are read and matched: decoding, recomputing, and finding ours among a million watched addresses.

    python -m bench.bitcoin_scan

The block is made here in the form and mix of a busy one: 3,000 transactions, two inputs and two or three outputs each,
half of the outputs P2WPKH, the rest P2TR, P2SH and P2PKH; one output in a hundred pays an address of ours.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.table import Row, show
from bitlinkpay.chains.bitcoin.proof import merkle_root, prove, target_of
from bitlinkpay.chains.bitcoin.script import address_of
from bitlinkpay.chains.bitcoin.transfers import read_transfers_of
from bitlinkpay.chains.bitcoin.wire import NULL_OUTPOINT, read_block, read_transaction, sha256d
from bitlinkpay.chains.codec.bitcoin import MAIN
from bitlinkpay.core.assets import Family
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.embedded import OWNER_ROLE, EmbeddedPostgres
from bitlinkpay.db.migrate import migrate
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.store import match

TRANSACTIONS, WATCHED, OURS_IN = 3_000, 1_000_000, 100
BITS = 0x207FFFFF
LIMIT = target_of(BITS)


def main() -> list[Row]:
    """Return the rows of the table."""
    with tempfile.TemporaryDirectory(prefix="blp-bench-") as folder:
        Path(folder).chmod(0o711)
        with EmbeddedPostgres(Path(folder) / "postgres") as server:
            return asyncio.run(measure(server.dsn("bitlinkpay_app"), server.dsn(OWNER_ROLE)))


async def measure(dsn: str, owner_dsn: str) -> list[Row]:
    """Make a million addresses and a block, read it and find ours in it."""
    await migrate(owner_dsn)
    database = await Database.connect(dsn, size=1)
    ours = [os.urandom(20) for _ in range(WATCHED)]
    await watch(database, ours)
    raw = made(ours)
    parsed = read_block(raw)
    block = read_transfers_of(parsed, 1, "btc-bitcoin", MAIN)
    count = len(block.transfers)
    decoded = cpu_seconds(lambda: read_block(raw))
    proven = cpu_seconds(lambda: prove(parsed, parsed.header.hash, LIMIT))
    named = cpu_seconds(lambda: read_transfers_of(parsed, 1, "btc-bitcoin", MAIN))
    matched, found = await matching(database, [transfer.target for transfer in block.transfers])
    await database.close()
    steps = (("decoded", decoded), ("recomputed", proven), ("named", named), ("matched in PostgreSQL", matched))
    whole = sum(seconds for _, seconds in steps)
    size = f"{len(raw) / 1e6:.2f} MB, {len(parsed.transactions):,} transactions, {count:,} outputs with an address"
    detail = f"transfers/s, a block of {size}; {WATCHED:,} watched addresses, {found:,} of them paid"
    return [
        Row("bitcoin: blocks decoded and matched", count / whole, None, detail),
        *(
            Row(f"bitcoin: {what}", count / each, None, f"transfers/s, {each * 1000:.1f} ms a block")
            for what, each in steps
        ),
    ]


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of one run, the best of several rounds."""
    best = float("inf")
    for _ in range(7):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


async def matching(database: Database, targets: list[str]) -> tuple[float, int]:
    """Return the wall time of one look-up of a block's targets, the best of several, and how many are ours."""
    best, found = float("inf"), 0
    for _ in range(7):
        started = time.perf_counter()
        async with database.reader() as tx:
            found = len(await match(tx, Family.BITCOIN, targets, [""] * len(targets)))
        best = min(best, time.perf_counter() - started)
    return best, found


async def watch(database: Database, ours: list[bytes]) -> None:
    """Hand out a million addresses."""
    merchant, step = new_uuid7(), 50_000
    for first in range(0, WATCHED, step):
        addresses = [address_of(b"\x00\x14" + key_hash, MAIN) for key_hash in ours[first : first + step]]
        async with database.transaction() as tx:
            await tx.execute(
                "insert into addresses (key_family, address, key_index, merchant_id, payin_id, purpose) "
                "select 'bitcoin', a, n + $2, $3, gen_random_uuid(), 'deposit' from unnest($1::text[]) with ordinality t (a, n)",
                addresses,
                first,
                merchant,
            )


def made(ours: list[bytes]) -> bytes:
    """Return a block that proves itself."""
    start = b"\x01" + NULL_OUTPOINT + b"\x03\x01\x02\x03" + b"\xff" * 4
    txs = [b"\x02\0\0\0" + start + b"\x01" + output(b"\x00\x14" + os.urandom(20)) + bytes(4)]
    made_of, paid = 0, 0
    for n in range(TRANSACTIONS - 1):
        scripts = []
        for _ in range(2 + n % 2):
            made_of += 1
            paid += made_of % OURS_IN == 0
            scripts.append(b"\x00\x14" + ours[paid] if made_of % OURS_IN == 0 else stranger(made_of))
        inputs = b"".join(os.urandom(32) + b"\1\0\0\0" + b"\0" + b"\xfd\xff\xff\xff" for _ in range(2))
        witness = 2 * (b"\x02\x47" + os.urandom(71) + b"\x21" + os.urandom(33))
        outputs = bytes((len(scripts),)) + b"".join(map(output, scripts))
        txs.append(b"\x02\0\0\0\0\1\x02" + inputs + outputs + witness + bytes(4))
    root = merkle_root([read_transaction(tx).hash for tx in txs])
    head = b"\0\0\0\x20" + bytes(32) + root + int(time.time()).to_bytes(4, "little") + BITS.to_bytes(4, "little")
    nonce = next(n for n in range(1000) if sha256d(head + n.to_bytes(4, "little"))[31] < 0x80)
    return head + nonce.to_bytes(4, "little") + b"\xfd" + len(txs).to_bytes(2, "little") + b"".join(txs)


def output(script: bytes) -> bytes:
    """Return a serialized output of some units."""
    return (123_456).to_bytes(8, "little") + bytes((len(script),)) + script


def stranger(number: int) -> bytes:
    """Return a script of somebody else's."""
    forms = (
        b"\x00\x14" + os.urandom(20),
        b"\x51\x20" + os.urandom(32),
        b"\x00\x14" + os.urandom(20),
        (b"\xa9\x14" + os.urandom(20) + b"\x87", b"\x76\xa9\x14" + os.urandom(20) + b"\x88\xac")[number % 2],
    )
    return forms[number % 4]


if __name__ == "__main__":
    show(main())
