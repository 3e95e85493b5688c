"""Transactions and blocks made for tests, in a serializer of their own: the shipped reader must not judge itself."""

import hashlib
import struct
from dataclasses import dataclass, field, replace

RBF = 0xFFFFFFFD
FINAL = 0xFFFFFFFF
NULL_TXID = "00" * 32
BITS = 0x207FFFFF  # the easiest target of a regression-test chain


def sha256d(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def size(number: int) -> bytes:
    """Return a CompactSize number."""
    if number < 0xFD:
        return bytes((number,))
    if number <= 0xFFFF:
        return b"\xfd" + struct.pack("<H", number)
    return b"\xfe" + struct.pack("<I", number)


def sized(data: bytes) -> bytes:
    return size(len(data)) + data


@dataclass(frozen=True)
class TxIn:
    txid: str
    vout: int
    script: bytes = b""
    sequence: int = RBF
    witness: tuple[bytes, ...] = ()

    @property
    def outpoint(self) -> tuple[str, int]:
        return self.txid, self.vout


@dataclass(frozen=True)
class TxOut:
    units: int
    script: bytes


@dataclass(frozen=True)
class Tx:
    inputs: tuple[TxIn, ...]
    outputs: tuple[TxOut, ...]
    locktime: int = 0
    version: int = 2

    def plain(self) -> bytes:
        """Return it without witnesses: what its id is the hash of."""
        inputs = b"".join(
            bytes.fromhex(i.txid)[::-1] + struct.pack("<I", i.vout) + sized(i.script) + struct.pack("<I", i.sequence)
            for i in self.inputs
        )
        outputs = b"".join(struct.pack("<q", o.units) + sized(o.script) for o in self.outputs)
        body = size(len(self.inputs)) + inputs + size(len(self.outputs)) + outputs
        return struct.pack("<i", self.version) + body + struct.pack("<I", self.locktime)

    def raw(self) -> bytes:
        if not any(i.witness for i in self.inputs):
            return self.plain()
        plain = self.plain()
        witness = b"".join(size(len(i.witness)) + b"".join(map(sized, i.witness)) for i in self.inputs)
        return plain[:4] + b"\0\1" + plain[4:-4] + witness + plain[-4:]

    @property
    def txid(self) -> str:
        return sha256d(self.plain())[::-1].hex()

    @property
    def wtxid(self) -> bytes:
        return sha256d(self.raw())

    @property
    def weight(self) -> int:
        return 3 * len(self.plain()) + len(self.raw())

    @property
    def vsize(self) -> int:
        return -(-self.weight // 4)

    @property
    def is_coinbase(self) -> bool:
        return self.inputs[0].txid == NULL_TXID

    @classmethod
    def parse(cls, raw: bytes) -> "Tx":
        reader = _Reader(raw)
        version = reader.number("<i")
        is_segwit = raw[4] == 0
        reader.at += 2 if is_segwit else 0
        inputs = []
        for _ in range(reader.size()):
            txid, vout = reader.take(32)[::-1].hex(), reader.number("<I")
            inputs.append(TxIn(txid, vout, reader.sized(), reader.number("<I")))
        outputs = [TxOut(reader.number("<q"), reader.sized()) for _ in range(reader.size())]
        if is_segwit:
            inputs = [replace(i, witness=tuple(reader.sized() for _ in range(reader.size()))) for i in inputs]
        tx = cls(tuple(inputs), tuple(outputs), reader.number("<I"), version)
        assert tx.raw() == raw[: reader.at]
        return tx


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0

    def take(self, count: int) -> bytes:
        self.at += count
        return self.raw[self.at - count : self.at]

    def number(self, form: str) -> int:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def size(self) -> int:
        first = self.number("<B")
        return first if first < 0xFD else self.number({0xFD: "<H", 0xFE: "<I", 0xFF: "<Q"}[first])

    def sized(self) -> bytes:
        return self.take(self.size())


def merkle(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = hashes + hashes[-1:] * (len(hashes) % 2)
        hashes = [sha256d(a + b) for a, b in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]


@dataclass(frozen=True)
class MadeBlock:
    """A block that is ours: header fields and transactions, coinbase first."""

    parent: str
    time: int
    txs: tuple[Tx, ...]
    nonce: int = 0
    version: int = 0x20000000
    bits: int = BITS
    root: bytes = field(default=b"")

    def header(self) -> bytes:
        root = self.root or merkle([sha256d(tx.plain()) for tx in self.txs])
        head = struct.pack("<i", self.version) + bytes.fromhex(self.parent)[::-1] + root
        return head + struct.pack("<III", self.time, self.bits, self.nonce)

    @property
    def hash(self) -> str:
        return sha256d(self.header())[::-1].hex()

    def raw(self) -> bytes:
        return self.header() + size(len(self.txs)) + b"".join(tx.raw() for tx in self.txs)

    def mined(self) -> "MadeBlock":
        """Return it with a nonce that meets the target: two tries on average."""
        block = self
        while int(block.hash, 16) >> 255:
            block = replace(block, nonce=block.nonce + 1)
        return block


def coinbase(height: int, script: bytes, units: int, *, others: tuple[Tx, ...] = (), extra: bytes = b"") -> Tx:
    """Return the coinbase of a block (BIP-34 height, BIP-141 commitment to the others' witnesses)."""
    number = height.to_bytes((height.bit_length() + 8) // 8, "little")  # a script number, positive
    push = bytes((0x50 + height,)) if 0 < height <= 16 else sized(number)
    outputs = [TxOut(units, script)]
    witness: tuple[bytes, ...] = ()
    if any(i.witness for tx in others for i in tx.inputs):
        reserved = bytes(32)
        root = merkle([bytes(32), *(tx.wtxid for tx in others)])
        outputs.append(TxOut(0, b"\x6a\x24\xaa\x21\xa9\xed" + sha256d(root + reserved)))
        witness = (reserved,)
    start = TxIn(NULL_TXID, 0xFFFFFFFF, push + b"\x04" + extra.ljust(4, b"\0"), FINAL, witness)
    return Tx((start,), tuple(outputs))


def subsidy(height: int) -> int:
    """Return the new coins of a block on a regression-test chain."""
    return 50 * 10**8 >> height // 150
