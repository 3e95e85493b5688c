"""What a transaction would use, and what a place before others costs now."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bitlinkpay.chains.codec.text import printable
from bitlinkpay.chains.rpc import Call
from bitlinkpay.chains.solana.message import Message, serialize
from bitlinkpay.chains.solana.node import FINALIZED, SolanaNode
from bitlinkpay.chains.solana.plan import COMPUTE_MAX
from bitlinkpay.chains.solana.wire import PRIORITY_FEES, SIMULATED

_NO_SIGNATURE = bytes(64)
_ADDRESSES_MAX = 128  # of one getRecentPrioritizationFees
_SLOT_BITS: Final = 10
_LIMIT_STEP: Final = 1 << _SLOT_BITS
LIMIT_ROOM: Final = 2 * _LIMIT_STEP
"""How much more compute units than in a quote a plan may ask for: the mark of its slot, and one step."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What an endpoint says a transaction would do now: `error` is "" if it would take effect."""

    error: str
    compute_units: int


async def simulate(node: SolanaNode, message: Message) -> Simulation:
    """Let one endpoint carry out a transaction that nobody has signed, without consequences."""
    (answer,) = await node.ask([simulation(message)], SIMULATED)
    found = answer.value
    if found.is_success:
        return Simulation("", found.units_consumed)
    last = found.logs[-1] if found.logs else ""
    return Simulation(printable(f"{bytes(found.err).decode('utf-8', 'replace')} {last}".strip()), found.units_consumed)


def simulation(message: Message, shown: Sequence[str] = ()) -> Call:
    """Return the call that simulates a transaction and shows the accounts `shown` as it would leave them."""
    raw = serialize(message, [_NO_SIGNATURE] * len(message.signers))
    options: dict[str, object] = {
        "commitment": FINALIZED,
        "encoding": "base64",
        "sigVerify": False,
        "replaceRecentBlockhash": True,
    }
    if shown:
        options["accounts"] = {"encoding": "base64", "addresses": shown}
    return Call("simulateTransaction", (b64encode(raw).decode(), options))


def compute_limit(used: int, number: int) -> int:
    """Return the limit for a transaction that uses so many compute units: a quarter more, and the slot number's mark.

    Its lowest ten bits are those of the number, so that equal payments of neighbouring slots are never the same bytes.
    """
    steps = (used + used // 4) // _LIMIT_STEP + 1
    return min(steps, COMPUTE_MAX // _LIMIT_STEP - 1) * _LIMIT_STEP + number % _LIMIT_STEP


async def compute_price(node: SolanaNode, message: Message, *, least: int, most: int) -> int:
    """Return what three quarters of the last blocks took for the accounts that a message writes, within bounds.

    Micro-lamports a compute unit. An endpoint that lies can make us pay `most`, or wait.
    """
    call = Call("getRecentPrioritizationFees", (list(message.writable[:_ADDRESSES_MAX]),))
    (answer,) = await node.ask([call], PRIORITY_FEES)
    fees = sorted(fee.prioritization_fee for fee in answer)
    usual = fees[len(fees) * 3 // 4] if fees else least
    return max(least, min(usual, most))
