"""What a transaction of ours weighs and costs, before it is signed (BIP-141: a vbyte is four units of weight)."""

from collections.abc import Sequence
from typing import Final

KEY_SCRIPT_BYTES: Final = 22  # P2WPKH, the only kind of our own outputs
_INPUT_WEIGHT: Final = (
    4 * 41 + 107
)  # outpoint, empty script, sequence; then 2 items: a low-R signature (71), a key (33)
_FRAME_WEIGHT: Final = 4 * (4 + 4) + 2  # version, lock time; marker and flag
_ONE_BYTE_MAX: Final = 0xFC

SAT_PER_KVB: Final = 1000
RELAY_RATE: Final = 1000  # sat per 1,000 vB: the least that nodes pass on, and the least by which a bump must pay more
LATER_RATE: Final = 10_000  # what spending an output some day is assumed to cost (Core, DEFAULT_CONSOLIDATE_FEERATE)
RATE_MAX: Final = 1_000_000  # 1,000 sat/vB: more than any day of Bitcoin's history asked for long
DUST_RATE: Final = 3000  # Bitcoin Core, DUST_RELAY_TX_FEE
_SPEND_WITNESS_VBYTES: Final = (
    32 + 4 + 1 + 107 // 4 + 4
)  # what spending a witness output takes (Core, GetDustThreshold)
_SPEND_LEGACY_VBYTES: Final = 32 + 4 + 1 + 107 + 4


def output_vbytes(script_bytes: int) -> int:
    """Return what an output takes."""
    return 8 + 1 + script_bytes


def vsize(inputs: int, scripts: Sequence[int]) -> int:
    """Return the virtual size of a transaction with so many inputs of ours and scripts of these lengths paid."""
    counts = _count_bytes(inputs) + _count_bytes(len(scripts))
    outputs = sum(output_vbytes(script_bytes) for script_bytes in scripts)
    return -(-(_FRAME_WEIGHT + _INPUT_WEIGHT * inputs + 4 * (counts + outputs)) // 4)


def _count_bytes(count: int) -> int:
    return 1 if count <= _ONE_BYTE_MAX else 3


def fee_at(rate: int, size: int) -> int:
    """Return base units at a rate (sat per 1,000 vB), rounded up."""
    return -(-rate * size // SAT_PER_KVB)


def input_cost(rate: int) -> int:
    """Return what spending one output of ours adds to a fee, rounded up."""
    return -(-rate * _INPUT_WEIGHT // (4 * SAT_PER_KVB))


def dust_of(script: bytes) -> int:
    """Return the least units that nodes relay in an output with this script (Bitcoin Core, `GetDustThreshold`)."""
    is_witness = script[:1] in {b"\x00", b"\x51"}  # of the standard forms
    spending = _SPEND_WITNESS_VBYTES if is_witness else _SPEND_LEGACY_VBYTES
    return fee_at(DUST_RATE, output_vbytes(len(script)) + spending)
