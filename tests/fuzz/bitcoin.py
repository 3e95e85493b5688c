"""Mutated real blocks: no crash but `Malformed`, and nothing that proves itself pays other than the real block does."""

from collections import Counter
from random import Random

from tests.chains.bitcoin.published import Published, blocks, mutate

from bitlinkpay.chains.bitcoin.proof import Unproven, prove
from bitlinkpay.chains.bitcoin.transfers import read_transfers_of
from bitlinkpay.chains.bitcoin.wire import Malformed, read_block
from bitlinkpay.chains.codec.bitcoin import MAIN, TEST

_LARGE = 10_000
_LARGE_SHARE = 100  # one run in so many is on the full block


def fuzz(runs: int, seed: int) -> str:
    """Mutate and read; return what became of the mutated blocks."""
    random = Random(seed)
    small = [block for block in blocks() if len(block.raw) < _LARGE]
    large = [block for block in blocks() if len(block.raw) >= _LARGE]
    seen: Counter[str] = Counter()
    for _ in range(runs):
        block = random.choice(large if random.randrange(_LARGE_SHARE) == 0 else small)
        seen[_one(block, mutate(block.raw, random))] += 1
    return ", ".join(f"{count:,} {what}" for what, count in seen.most_common())


def _one(block: Published, mutated: bytes) -> str:
    try:
        found = read_block(mutated)
    except Malformed:
        return "malformed"
    try:
        prove(found, block.hash, block.limit)
    except Unproven:
        return "not what their header says"
    prefixes = TEST if block.testnet else MAIN
    paid = read_transfers_of(found, 1, "btc", prefixes)
    assert paid == read_transfers_of(read_block(block.raw), 1, "btc", prefixes), mutated.hex()
    return "the same block (only a witness was changed)"
