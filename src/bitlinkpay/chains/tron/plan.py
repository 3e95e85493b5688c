"""What one TRON transaction of ours looks like but for its signature."""

from dataclasses import dataclass
from typing import Final

from bitlinkpay.chains.outgoing import Intent

ID_BYTES: Final = 32
"""The size of a block's id, whose first eight bytes are its height."""


@dataclass(frozen=True, slots=True)
class TronPlan:
    """Everything but the signature, with the intent.

    Attributes:
        ref_height: a block that must be on the chain the transaction runs on (TAPOS).
        ref_id: the id of that block, 32 bytes.
        timestamp_ms: when it was planned, made unlike that of any other transaction by the slot's number.
        expiration_ms: no block may hold it whose parent is as late as this, in Unix milliseconds.
        fee_limit: most sun that its energy may be worth, lent or burnt; 0 where no code runs.
        burnt_units: most sun that it burns beside: bandwidth, and the activation of its recipient.
    """

    ref_height: int
    ref_id: bytes
    timestamp_ms: int
    expiration_ms: int
    fee_limit: int
    burnt_units: int

    @property
    def fee_max_units(self) -> int:
        """Return the most sun that the network may take."""
        return self.fee_limit + self.burnt_units


def asset_id_of(intent: Intent) -> str:
    """Return the asset of an intent's only payment, "" without any; that there is one is for `fit` to check."""
    return intent.payments[0].asset if intent.payments else ""
