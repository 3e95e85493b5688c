"""How fast blocks are read: decoding and filtering logs, matching them against a million addresses, recomputing hashes.

    python -m bench.evm_scan

The answers are made here in the form and mix of a busy Ethereum block: 1,000 logs over 250 transactions, one log in
five a transfer of a listed token, 80 native payments, all parties different. Rates of reading are of one core (CPU
time); matching is wall time with PostgreSQL beside it.
"""

import asyncio
import gc
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench.table import Row, show
from bitlinkpay.chains.codec.evm import from_bytes, keccak256
from bitlinkpay.chains.evm import transfers
from bitlinkpay.chains.evm.proof import encode_header, encode_receipt, encode_transaction, prove
from bitlinkpay.chains.evm.transfers import TRANSFER_TOPIC, Listing, read_block
from bitlinkpay.chains.evm.trie import list_root
from bitlinkpay.chains.evm.wire import BLOCK, RECEIPTS, Log, RawBlock, Receipt, Transaction
from bitlinkpay.core.assets import Asset
from bitlinkpay.db.embedded import OWNER_ROLE, EmbeddedPostgres
from bitlinkpay.db.migrate import migrate
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits import store

LOGS, TRANSACTIONS, NATIVE = 1_000, 250, 80
WATCHED, BLOCKS, HITS = 1_000_000, 64, 100
RANGE = 16  # blocks that the adapter reads, and the watcher matches, at a time
TARGET_PER_S = 200_000
USDT = "0xdac17f958d2ee523a2206206994597c13d831ec7"
ZERO = "0x" + "00" * 32


def main() -> list[Row]:
    """Measure, and return the table."""
    listing = Listing([asset("usdt", from_bytes(bytes.fromhex(USDT[2:]))), asset("eth", "")])
    with tempfile.TemporaryDirectory(prefix="blp-bench-") as folder:
        Path(folder).chmod(0o711)
        with EmbeddedPostgres(Path(folder) / "postgres") as server:
            matched = asyncio.run(matching(server.dsn("bitlinkpay_app"), server.dsn(OWNER_ROLE), listing))
    return [*reading(listing), *matched]


def reading(listing: Listing) -> list[Row]:
    rows = []
    for title, listed in (("1 log in 5 of a listed token", 5), ("every log of a listed token", 1)):
        block, receipts = made(listed)
        raw_receipts = msgspec.json.encode(receipts)
        whole = BLOCK.decode(msgspec.json.encode(block))

        def fresh(raw: bytes = raw_receipts, whole: RawBlock = whole) -> None:
            transfers.canonical.cache_clear()
            read_block(whole, RECEIPTS.decode(raw), listing)

        def warm(raw: bytes = raw_receipts, whole: RawBlock = whole) -> None:
            read_block(whole, RECEIPTS.decode(raw), listing)

        target = TARGET_PER_S if listed > 1 else None
        rows += [
            Row("EVM logs/s decoded and filtered, parties known", LOGS / seconds(warm), target, title),
            Row("the same, all parties new", LOGS / seconds(fresh), target, title),
        ]
    proof = seconds(lambda: prove(block, receipts))
    return [*rows, Row("EVM blocks/s recomputed", 1 / proof, None, f"{TRANSACTIONS} transactions, {LOGS} logs each")]


async def matching(dsn: str, owner_dsn: str, listing: Listing) -> list[Row]:
    """Decode, filter and match blocks of new parties, of whom every block pays `HITS`."""
    await migrate(owner_dsn)
    database = await Database.connect(dsn, size=1)
    made_blocks = [made(5) for _ in range(BLOCKS)]
    answers = [(msgspec.json.encode(block), msgspec.json.encode(receipts)) for block, receipts in made_blocks]
    targets = [transfer.target for pair in made_blocks for transfer in read_block(*pair, listing).transfers[:HITS]]
    await watch(database, targets)
    transfers.canonical.cache_clear()
    del made_blocks
    gc.collect()  # what the benchmark made is none of the adapter's work
    started, hits, seen = time.perf_counter(), 0, 0
    async with database.transaction() as tx:
        for first in range(0, BLOCKS, RANGE):
            blocks = [
                read_block(BLOCK.decode(raw_block), RECEIPTS.decode(raw_receipts), listing)
                for raw_block, raw_receipts in answers[first : first + RANGE]
            ]
            arrived = [transfer for block in blocks for transfer in block.transfers]
            hits += len(await store.match(tx, "evm", [t.target for t in arrived], [t.tag for t in arrived]))
            seen += len(arrived)
    taken = time.perf_counter() - started
    await database.close()
    assert hits == BLOCKS * HITS, f"{hits} of {BLOCKS * HITS} matched"
    detail = f"{seen / taken:,.0f} transfers/s of {WATCHED:,} watched addresses, {hits / taken:,.0f} of them ours"
    return [Row("EVM logs/s decoded, filtered and matched", BLOCKS * LOGS / taken, TARGET_PER_S, detail)]


async def watch(database: Database, targets: list[str]) -> None:
    async with database.transaction() as tx:
        await tx.execute("set local statement_timeout = '10min'")
        await tx.execute(
            """
            insert into addresses (key_family, address, tag, merchant_id, payin_id, key_index, purpose)
            select 'evm', address, '', gen_random_uuid(), gen_random_uuid(), n, 'deposit'
            from (
                select address, n from unnest($1::text[]) with ordinality as hit (address, n)
                union all
                select '0x' || substr(md5(n::text) || md5(n::text), 1, 40), n from generate_series($2::int, $3::int) n
            ) as watched
            """,
            targets,
            len(targets) + 1,
            WATCHED,
        )


def asset(symbol: str, contract: str) -> Asset:
    """Return a registry row."""
    return Asset(f"{symbol}-ethereum", symbol, "ethereum", "", contract, "", 6, 6, 1, 1, 10**30, True)


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of one run, the best of several rounds: other load on the machine does not count."""
    best = float("inf")
    for _ in range(7):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


def made(listed: int) -> tuple[RawBlock, list[Receipt]]:
    """Return a block that proves itself, one log in `listed` of it a USDT transfer."""
    sender, stranger = address(), address()
    txs, receipts = [], []
    for i in range(TRANSACTIONS):
        tx = Transaction(
            hash="", nonce=hex(i), gas="0x5208", value="0x1" if i < NATIVE else "0x0", input="0x" + os.urandom(68).hex(),
            sender=sender, to=address(), gas_price="0x3b9aca00", v="0x25", r="0x" + "11" * 32, s="0x" + "22" * 32,
        )  # fmt: skip
        tx.hash = "0x" + keccak256(encode_transaction(tx)).hex()
        txs.append(tx)
        logs = [
            Log(
                address=USDT if (4 * i + j) % listed == 0 else stranger,
                topics=[TRANSFER_TOPIC, topic(), topic()],
                data="0x" + os.urandom(4).rjust(32, b"\0").hex(),
                removed=False,
            )
            for j in range(LOGS // TRANSACTIONS)
        ]
        receipts.append(
            Receipt(tx.hash, "", "0x1", hex(21_000 * (i + 1)), "0x" + os.urandom(256).hex(), logs, gas_used="0x5208")
        )
    block = RawBlock(
        number="0x1312d00", hash="", timestamp=hex(int(time.time())), parent_hash=ZERO, sha3_uncles=ZERO,
        miner=sender, state_root=ZERO, transactions_root=root([encode_transaction(tx) for tx in txs]),
        receipts_root=root([encode_receipt(receipt) for receipt in receipts]), logs_bloom="0x" + "00" * 256,
        difficulty="0x0", gas_limit="0x2255100", gas_used="0x1", extra_data="0x", mix_hash=ZERO,
        nonce="0x0000000000000000", transactions=txs,
    )  # fmt: skip
    block.hash = "0x" + keccak256(encode_header(block)).hex()
    for receipt in receipts:
        receipt.block_hash = block.hash
    return block, receipts


def root(values: list[bytes]) -> str:
    """Return a trie root as headers write it."""
    return "0x" + list_root(values).hex()


def address() -> str:
    """Return a random address."""
    return "0x" + os.urandom(20).hex()


def topic() -> str:
    """Return a random address as a topic."""
    return "0x" + "0" * 24 + os.urandom(20).hex()


if __name__ == "__main__":
    show(main())
