"""What one Bitcoin transaction of ours looks like but for its signatures."""

from dataclasses import dataclass

from bitlinkpay.chains.outgoing import Intent, Payment, Unspent, Wallet


@dataclass(frozen=True, slots=True)
class BitcoinPlan:
    """Everything but the signatures, with the intent.

    The outputs are the intent's payments to others, in order, then what the payer gets. A payment to the payer itself
    (a sweep, a consolidation) is no output of its own: it is part of what the payer gets, and the fee comes off that.

    Attributes:
        inputs: what is spent, whole, each with the wallet that owns it.
        payer: who gets what is left, and pays the fee.
        change: base units of each output to the payer; none where nothing is worth an output.
        fee_units: what the miner gets: inputs less outputs.
        dust_units: the part of the fee that is too little for an output (THREATS PAY-16).
        height: newest block when this was planned.
        since_height: the same of the first plan for this slot; nothing of it can stand in an older block.
    """

    inputs: tuple[Unspent, ...]
    payer: Wallet
    change: tuple[int, ...]
    fee_units: int
    dust_units: int
    height: int
    since_height: int


def payments_out(intent: Intent) -> tuple[Payment, ...]:
    """Return the payments that have an output of their own: all but those to the payer itself."""
    return tuple(payment for payment in intent.payments if payment.target != intent.payer.address)
