"""A transaction of ours as bytes, from intent and plan alone (BIP-144); the signer adds witnesses and nothing else."""

from collections.abc import Sequence
from typing import Final

from bitlinkpay.chains.bitcoin.plan import BitcoinPlan, payments_out
from bitlinkpay.chains.bitcoin.script import script_of
from bitlinkpay.chains.bitcoin.wire import Output, outpoint
from bitlinkpay.chains.codec.bitcoin import Prefixes
from bitlinkpay.chains.outgoing import Intent

VERSION: Final = (2).to_bytes(4, "little")
SEQUENCE: Final = (0xFFFFFFFD).to_bytes(4, "little")  # may be replaced (BIP-125), no relative lock time
LOCKTIME: Final = bytes(4)
_MARKER_AND_FLAG: Final = b"\0\1"
_ONE_BYTE_MAX, _TWO_BYTES_MAX = 0xFC, 0xFFFF


def outputs_of(intent: Intent, plan: BitcoinPlan, prefixes: Prefixes) -> list[Output]:
    """Return the outputs of the transaction.

    Raises:
        Invalid: a target is no address of this network.
    """
    paid = [Output(payment.units, script_of(payment.target, prefixes)) for payment in payments_out(intent)]
    own = script_of(plan.payer.address, prefixes)
    return paid + [Output(units, own) for units in plan.change]


def build(intent: Intent, plan: BitcoinPlan, prefixes: Prefixes) -> bytes:
    """Return the unsigned transaction: what its id is the hash of, signed or not.

    Raises:
        Invalid: a target is no address of this network.
    """
    inputs = b"".join(outpoint(spent.txid, spent.vout) + b"\0" + SEQUENCE for spent in plan.inputs)
    outputs = outputs_of(intent, plan, prefixes)
    paid = b"".join(output.units.to_bytes(8, "little") + _sized(output.script) for output in outputs)
    return VERSION + _size(len(plan.inputs)) + inputs + _size(len(outputs)) + paid + LOCKTIME


def with_witnesses(unsigned: bytes, witnesses: Sequence[Sequence[bytes]]) -> bytes:
    """Return a transaction with the witness of each input, in order."""
    stacks = b"".join(_size(len(items)) + b"".join(map(_sized, items)) for items in witnesses)
    head, body, locktime = unsigned[:4], unsigned[4:-4], unsigned[-4:]
    return head + _MARKER_AND_FLAG + body + stacks + locktime


def _sized(data: bytes) -> bytes:
    return _size(len(data)) + data


def _size(number: int) -> bytes:
    """Write a CompactSize number; nothing of ours needs more than 65,535."""
    assert 0 <= number <= _TWO_BYTES_MAX, f"a transaction of {number} parts"
    return bytes((number,)) if number <= _ONE_BYTE_MAX else b"\xfd" + number.to_bytes(2, "little")
