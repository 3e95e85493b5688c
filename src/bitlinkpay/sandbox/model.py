"""What a test merchant asks of the simulated networks."""

from dataclasses import dataclass
from enum import StrEnum

from bitlinkpay.chains.base import Arrival
from bitlinkpay.core.assets import Asset


@dataclass(frozen=True, slots=True)
class Payment:
    """A transfer that somebody outside makes.

    Attributes:
        asset: what is sent; an asset that the registry does not list (another `id`) plays a worthless token.
        target: canonical address of the recipient.
        units: base units.
        tag: memo that travels along, as written.
        source: canonical address of the payer; "" for one that nobody knows.
        arrival: INTERNAL plays a native coin sent from inside a contract call, SYSTEM one without a payer.
        has_failed: plays a transaction that is put into a block and reverts there.
    """

    asset: Asset
    target: str
    units: int
    tag: str = ""
    source: str = ""
    arrival: Arrival = Arrival.DIRECT
    has_failed: bool = False


class Fork(StrEnum):
    """What a reorganisation does with the transactions of the blocks that it undoes."""

    DROP = "drop"  # they are gone, as after a double spend
    KEEP = "keep"  # they come back in another block
