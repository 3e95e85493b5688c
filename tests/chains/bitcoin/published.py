"""Published blocks and answers of real nodes (`published.json` names the source of each), and how to mutate them.

`277647.bz2` is that block of the main chain, from btcd's test data (ISC), behind eight bytes of network magic and size.
Amounts are kept as `"#0.001"`, so that they come back as a JSON number with exactly these digits.
"""

import bz2
import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bitlinkpay.chains.bitcoin.proof import target_of

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Published:
    """A real block: its bytes, its hash, and the easiest target of its chain."""

    name: str
    raw: bytes
    hash: str
    limit: int
    testnet: bool
    txids: Sequence[str] = ()
    pays: Sequence[Sequence[object]] = ()


@functools.cache
def answers(kind: str) -> list[dict[str, object]]:
    return json.loads((HERE / "published.json").read_text())[kind]


def as_sent(answer: object) -> bytes:
    """Return the JSON text of an answer, amounts as numbers."""
    return re.sub(r'"#([^"]+)"', r"\1", json.dumps(answer)).encode()


@functools.cache
def blocks() -> list[Published]:
    found = [
        Published(
            b["name"],
            bytes.fromhex(b["raw"]),
            b["hash"],
            target_of(int(b["limit"], 16)),
            b["testnet"],
            b["txids"],
            b["pays"],
        )
        for b in answers("blocks")
    ]
    large = bz2.decompress((HERE / "277647.bz2").read_bytes())[8:]
    block_hash = "0000000000000000054a714e580b16c583701712ab91060e92dbde6eb1e052a8"
    return [*found, Published("main 277647", large, block_hash, target_of(0x1D00FFFF), testnet=False)]


def mutate(raw: bytes, random: Random) -> bytes:
    """Return a block with one to three things wrong with it: bits, bytes, lengths, order, repetitions."""
    data = bytearray(raw)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        at, size = random.randrange(len(data)), random.choice((1, 2, 4, 8, 32, 36, 64))
        match random.randrange(9):
            case 0:
                data[at] ^= 1 << random.randrange(8)
            case 1:
                data[at] = random.choice((0, 1, 0x7F, 0x80, 0xFC, 0xFD, 0xFE, 0xFF, random.randrange(256)))
            case 2:
                del data[at : at + size]
            case 3:
                data[at:at] = random.randbytes(size)
            case 4:
                data[at:at] = data[at : at + size]
            case 5:
                del data[random.randrange(len(data)) + 1 :]
            case 6:
                data += data[-size:]
            case 7:
                other = random.randrange(len(data))
                data[at : at + size], data[other : other + size] = data[other : other + size], data[at : at + size]
            case 8:
                data[at : at + size] = b"\xff" * size
        if not data:
            data = bytearray(1)
    return bytes(data)
