"""How fast blocks are read: decoding and filtering logs, and recomputing a block's hashes.

    python bench/evm_scan.py

Prints one table. The answers are made here in the form and mix of a busy Ethereum block: 1,000 logs over 250
transactions, one log in five a transfer of a listed token, 80 native payments, all parties different.
"""

import os
import time
from collections.abc import Callable

import msgspec

from bitlinkpay.chains.codec.evm import from_bytes, keccak256
from bitlinkpay.chains.evm import transfers
from bitlinkpay.chains.evm.proof import encode_header, encode_receipt, encode_transaction, prove
from bitlinkpay.chains.evm.transfers import TRANSFER_TOPIC, Listing, read_block
from bitlinkpay.chains.evm.trie import list_root
from bitlinkpay.chains.evm.wire import BLOCK, RECEIPTS, Log, RawBlock, Receipt, Transaction
from bitlinkpay.core.assets import Asset

LOGS, TRANSACTIONS, NATIVE = 1_000, 250, 80
TARGET_PER_S = 200_000
USDT = "0xdac17f958d2ee523a2206206994597c13d831ec7"
ZERO = "0x" + "00" * 32


def main() -> None:
    """Print the table."""
    listing = Listing([asset("usdt", from_bytes(bytes.fromhex(USDT[2:]))), asset("eth", "")])
    rows = []
    for title, listed in (("1 log in 5 of a listed token", 5), ("every log of a listed token", 1)):
        block, receipts = made(listed)
        raw_block, raw_receipts = msgspec.json.encode(block), msgspec.json.encode(receipts)
        rows.append(
            (title, len(raw_receipts), LOGS / seconds(lambda r=raw_receipts: RECEIPTS.decode(r)), "logs/s decoded")
        )
        decoded = BLOCK.decode(raw_block), RECEIPTS.decode(raw_receipts)

        def fresh(raw: bytes = raw_receipts, whole: RawBlock = decoded[0]) -> None:
            transfers.canonical.cache_clear()
            read_block(whole, RECEIPTS.decode(raw), listing)

        def warm(raw: bytes = raw_receipts, whole: RawBlock = decoded[0]) -> None:
            read_block(whole, RECEIPTS.decode(raw), listing)

        rows.append((title, len(raw_receipts), LOGS / seconds(fresh), "logs/s decoded and filtered, all parties new"))
        rows.append((title, len(raw_receipts), LOGS / seconds(warm), "logs/s decoded and filtered, parties known"))
        proof = seconds(lambda pair=decoded: prove(*pair))
        rows.append((title, len(raw_block) + len(raw_receipts), 1 / proof, "blocks/s recomputed"))
    for title, size, rate, what in rows:
        print(f"{title:32} {size // 1024:5} kB  {rate:12,.0f} {what}")
    for what, row in (("parties known", rows[2]), ("all parties new, each spelled after EIP-55", rows[1])):
        print(f"target {TARGET_PER_S:,} logs/s decoded and filtered, {what}: {row[2] / TARGET_PER_S:.2f} of it")


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
    main()
