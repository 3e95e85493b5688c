"""An address that a merchant's money goes home to; pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from bitlinkpay.core.errors import Conflict, Invalid, NotFound
from bitlinkpay.core.ids import MerchantId

BOUND: Final = ""
"""The label of a network's bound address; automatic settlements go there and nowhere else."""
LONGEST_LABEL: Final = 40


@dataclass(frozen=True, slots=True)
class HomeAddress:
    """A bound or saved address.

    Attributes:
        label: `BOUND`, or the name that the merchant saved it by.
        target: canonical.
        usable_at: until then it waits, so that a thief's change is noticed before money follows it.
        ended_at: when another took its place or it was removed.
    """

    address_id: UUID
    merchant_id: MerchantId
    network: str
    label: str
    target: str
    tag: str
    authorization_id: UUID
    bound_at: datetime
    usable_at: datetime
    ended_at: datetime | None = None

    def is_usable(self, now: datetime) -> bool:
        """Say whether money may go there."""
        return self.ended_at is None and self.usable_at <= now


def check_label(label: str) -> None:
    """Refuse a label that cannot be read.

    Raises:
        Invalid: too long, or not printable.
    """
    if label != label.strip() or not label.isprintable() or len(label) > LONGEST_LABEL:
        raise Invalid(f"name the address in at most {LONGEST_LABEL} printable characters", param="label")


class HomeNotFound(NotFound):
    """The merchant has no such address."""

    code = "settlement.address_not_found"

    def __init__(self, network: str = "", label: str = "") -> None:
        if not network:
            super().__init__("you have no address of this id in use", param="address_id")
            return
        name = f"address {label!r} is saved" if label else "address is bound"
        super().__init__(f"no {name} on {network}", param="label")


class HomeOnHold(Conflict):
    """The address is too new."""

    code = "settlement.address_on_hold"

    def __init__(self, until: datetime) -> None:
        super().__init__(
            f"this address is new and rests until {until.isoformat(timespec='minutes')};"
            " name it in full to settle there now",
            param="label",
        )
