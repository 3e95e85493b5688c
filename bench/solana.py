"""Solana: how fast blocks are read and matched against a million addresses, and what a payout costs on the real machine.

    python -m bench.solana

The answers are made here in the form and mix of a real block: of 1,000 transactions half are votes, 200 move USDT, 80
coins, and the rest are swaps, long and none of ours. All parties and accounts are new. Rates of reading are of one
core (CPU time); matching is wall time with PostgreSQL beside it.
"""

import asyncio
import gc
import os
import struct
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from tests.chains.solana.network import SolanaNetwork, asset_row, coin
from tests.chains.solana.treasury import Treasury
from tests.chains.solana.wallets import person

from bench.evm_scan import seconds
from bench.table import Row, show
from bitlinkpay.chains.codec.solana import base58, from_bytes
from bitlinkpay.chains.solana import programs
from bitlinkpay.chains.solana.chain import SolanaChain
from bitlinkpay.chains.solana.programs import COMPUTE_BUDGET, SYSTEM, TOKEN, associated
from bitlinkpay.chains.solana.transfers import Listing, read_block
from bitlinkpay.chains.solana.wire import BLOCK
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.core.assets import Asset
from bitlinkpay.db.embedded import OWNER_ROLE, EmbeddedPostgres
from bitlinkpay.db.migrate import migrate
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits import store

VOTES, TOKENS, COINS, SWAPS = 500, 200, 80, 220
WATCHED, BLOCKS, HITS = 1_000_000, 32, 100
RANGE = 16  # blocks that the adapter reads, and the watcher matches, at a time
SLOTS_PER_S = 2.5
USDT = "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB"
VOTE = "Vote111111111111111111111111111111111111111"

Call = tuple[int, list[int], bytes]


def main() -> list[Row]:
    """Measure reading, matching and paying."""
    listing = Listing([coin(), asset_row("usdt-solana", "USDT", USDT, "SPL", 6)])
    with tempfile.TemporaryDirectory(prefix="blp-bench-") as folder:
        Path(folder).chmod(0o711)
        with EmbeddedPostgres(Path(folder) / "postgres") as server:
            matched = asyncio.run(matching(server.dsn("bitlinkpay_app"), server.dsn(OWNER_ROLE), listing))
    return [*reading(listing), *matched, *asyncio.run(paying())]


def reading(listing: Listing) -> list[Row]:
    """Measure decoding and reading of one block, with none of its accounts seen before."""
    raw = made()

    def fresh() -> None:
        programs.is_associated.cache_clear()
        read_block(1, BLOCK.decode(raw), listing)

    taken = seconds(fresh)
    count = VOTES + TOKENS + COINS + SWAPS
    detail = f"{count} transactions, {len(raw) / 1e6:.1f} MB, in {taken * 1000:.0f} ms, all parties new"
    return [Row("Solana blocks/s decoded and read", 1 / taken, SLOTS_PER_S, detail)]


async def matching(dsn: str, owner_dsn: str, listing: Listing) -> list[Row]:
    """Decode, read and match blocks of new parties, of whom every block pays `HITS`."""
    await migrate(owner_dsn)
    database = await Database.connect(dsn, size=1)
    answers = [made() for _ in range(BLOCKS)]
    seen_before = [read_block(1, BLOCK.decode(raw), listing).transfers for raw in answers]
    await watch(database, [transfer.target for transfers in seen_before for transfer in transfers[:HITS]])
    programs.is_associated.cache_clear()
    del seen_before
    gc.collect()  # what the benchmark made is none of the adapter's work
    started, hits, seen = time.perf_counter(), 0, 0
    async with database.transaction() as tx:
        for first in range(0, BLOCKS, RANGE):
            blocks = [read_block(1, BLOCK.decode(raw), listing) for raw in answers[first : first + RANGE]]
            arrived = [transfer for block in blocks for transfer in block.transfers]
            hits += len(await store.match(tx, "solana", [t.target for t in arrived], [t.tag for t in arrived]))
            seen += len(arrived)
    taken = time.perf_counter() - started
    await database.close()
    assert hits == BLOCKS * HITS, f"{hits} of {BLOCKS * HITS} matched"
    detail = f"{hits / taken:,.0f} of them ours, {BLOCKS / taken:.1f} blocks/s; {WATCHED:,} watched addresses"
    return [Row("Solana transfers/s decoded, read and matched", seen / taken, None, detail)]


async def watch(database: Database, targets: list[str]) -> None:
    """Watch these addresses and others up to a million, of the length and letters of real ones."""
    async with database.transaction() as tx:
        await tx.execute("set local statement_timeout = '10min'")
        await tx.execute(
            """
            insert into addresses (key_family, address, tag, merchant_id, payin_id, key_index, purpose)
            select 'solana', address, '', gen_random_uuid(), gen_random_uuid(), n, 'deposit'
            from unnest($1::text[]) with ordinality as watched (address, n)
            """,
            [*targets, *(address() for _ in range(WATCHED - len(targets)))],
        )


async def paying() -> list[Row]:
    """Pay twenty recipients in one transaction, and one in one of his own."""
    async with SolanaNetwork.start() as network:
        usdt = await network.token()
        chain = SolanaChain(network.row(), [coin(), usdt], [Endpoint(url) for url in network.urls], quorum=1)
        treasury = await Treasury.on(network, chain, usdt)
        holders = [str(person(number).pubkey()) for number in range(1000, 1020)]
        new = [str(person(number).pubkey()) for number in range(2000, 2020)]
        for holder in holders:
            await network.fund(holder, usdt, 1)
        await network.finalize()
        rows = [
            await pay(treasury, "one payout in USDT, a holder", usdt, holders[:1]),
            await pay(treasury, "each of 20 payouts in USDT, holders", usdt, holders),
            await pay(treasury, "each of 10 payouts in USDT, new holders", usdt, new[:10]),
            await pay(treasury, "each of 20 payouts in SOL", coin(), new),
        ]
        await chain.aclose()
        return rows


async def pay(treasury: Treasury, title: str, asset: Asset, people: list[str]) -> Row:
    """Return what one transaction cost, a payment."""
    started = time.perf_counter()
    intent = treasury.payout(asset, *((address, 10**6 + n) for n, address in enumerate(people)))
    plan, signed = await treasury.prepare(intent)
    ready = time.perf_counter() - started
    await treasury.sender.broadcast(signed)
    await treasury.network.finalize()
    outcome = await treasury.sender.outcome(intent, plan, signed)
    assert outcome.delivered == (True,) * len(people)
    detail = f"{len(signed.raw):,} bytes, planned and signed in {ready * 1000:.0f} ms"
    return Row(f"Solana: lamports for {title}", outcome.fee_units / len(people), None, detail, at_least=False)


def made() -> bytes:
    """Return a block's answer, votes and payments in turn."""
    kinds = [*[vote] * VOTES, *[token] * TOKENS, *[coins] * COINS, *[swap] * SWAPS]
    spread = [kind for start in range(10) for kind in kinds[start::10]]
    block = {
        "blockhash": address(), "previousBlockhash": address(), "parentSlot": 0, "blockTime": int(time.time()), "blockHeight": 1,
        "transactions": [kind() for kind in spread],
    }  # fmt: skip
    return msgspec.json.encode(block)


def vote() -> dict[str, object]:
    keys = [address(), address(), VOTE]
    return transaction(keys, [(2, [1, 0], os.urandom(110))], {0: -5_000})


def coins() -> dict[str, object]:
    keys = [address(), address(), COMPUTE_BUDGET, SYSTEM]
    paid = struct.pack("<IQ", 2, 10**9)
    return transaction(keys, [(2, [], b"\2" + os.urandom(4)), (3, [0, 1], paid)], {0: -(10**9) - 5_000, 1: 10**9})


def token() -> dict[str, object]:
    """Return a wallet's payment, as wallets send it: with an offer, checked, into associated accounts."""
    payer, payee = address(), address()
    keys = [payer, associated(payer, USDT, TOKEN), associated(payee, USDT, TOKEN), COMPUTE_BUDGET, TOKEN, USDT]
    paid = b"\x0c" + struct.pack("<QB", 5_000_000, 6)
    calls = [(3, [], b"\2" + os.urandom(4)), (3, [], b"\3" + os.urandom(8)), (4, [1, 5, 2, 0], paid)]
    held = [(1, USDT, payer, 9_000_000, 4_000_000), (2, USDT, payee, 1_000_000, 6_000_000)]
    return transaction(keys, calls, {0: -5_000}, held)


def swap() -> dict[str, object]:
    """Return a trade of tokens that nobody listed, through a program with calls of its own."""
    keys = [address() for _ in range(24)]
    keys[20:22] = [TOKEN, SYSTEM]
    held = [(n, keys[15 + n % 3], keys[n % 4], 10**12 + n, 10**12 + 7 * n) for n in range(1, 9)]
    inner = [(20, [n, n + 1, n + 2], b"\3" + os.urandom(8)) for n in range(1, 9)]
    calls = [(22, list(range(20)), os.urandom(40)), (23, list(range(12)), os.urandom(200))]
    return transaction(keys, calls, {0: -25_000, 10: 2_039_280}, held, inner)


def transaction(
    keys: list[str],
    calls: Sequence[Call],
    changes: dict[int, int],
    held: Sequence[tuple[int, str, str, int, int]] = (),
    inner: Sequence[Call] = (),
) -> dict[str, object]:
    before = [10**10 + n for n in range(len(keys))]
    after = [balance + changes.get(n, 0) for n, balance in enumerate(before)]
    return {
        "version": "legacy",
        "transaction": {
            "signatures": [base58(os.urandom(64))],
            "message": {
                "accountKeys": keys, "recentBlockhash": address(), "instructions": [call(*each) for each in calls],
                "header": {"numRequiredSignatures": 1, "numReadonlySignedAccounts": 0, "numReadonlyUnsignedAccounts": 2},
            },
        },
        "meta": {
            "err": None, "status": {"Ok": None}, "fee": 5_000, "preBalances": before, "postBalances": after,
            "preTokenBalances": [token_balance(n, mint, owner, units) for n, mint, owner, units, _ in held],
            "postTokenBalances": [token_balance(n, mint, owner, units) for n, mint, owner, _, units in held],
            "innerInstructions": [{"index": 0, "instructions": [call(*each) for each in inner]}] if inner else [],
            "loadedAddresses": {"writable": [], "readonly": []}, "rewards": None, "computeUnitsConsumed": 4_644,
            "logMessages": [
                line
                for at, _, _ in (*calls, *inner)
                for line in (f"Program {keys[at]} invoke [1]", f"Program {keys[at]} success")
            ],
        },
    }  # fmt: skip


def call(program: int, accounts: list[int], data: bytes) -> dict[str, object]:
    return {"programIdIndex": program, "accounts": accounts, "data": base58(data), "stackHeight": None}


def token_balance(index: int, mint: str, owner: str, units: int) -> dict[str, object]:
    amount = {"amount": str(units), "decimals": 6, "uiAmount": units / 1e6, "uiAmountString": str(units / 1e6)}
    return {"accountIndex": index, "mint": mint, "owner": owner, "programId": TOKEN, "uiTokenAmount": amount}


def address() -> str:
    return from_bytes(os.urandom(32))


if __name__ == "__main__":
    show(main())
