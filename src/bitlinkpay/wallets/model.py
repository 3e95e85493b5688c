"""What is handed out, and why it may not be."""

from dataclasses import dataclass
from enum import StrEnum

from bitlinkpay.core.assets import Family
from bitlinkpay.core.errors import Conflict, Unavailable


class Purpose(StrEnum):
    """What an address row is for."""

    DEPOSIT = "deposit"  # one order's own
    WALLET = "wallet"  # ours, shared by all tags of it


@dataclass(frozen=True, slots=True)
class Allotted:
    """A place for one order's money, never handed out again on any network of its key family.

    Attributes:
        key_family: the sequence it comes from; all EVM networks share one.
        key_index: which key of the family it is; for TON the number behind the tag.
        address: canonical address.
        tag: TON only, else "".
    """

    key_family: Family
    key_index: int
    address: str
    tag: str


@dataclass(frozen=True, slots=True)
class PoolGap:
    """What the Solana pool lacks: ask the signer for `count` addresses from index `first` on."""

    first: int
    count: int


class NoAddressLeft(Unavailable):
    """The pool of addresses derived ahead is empty for the moment."""

    code = "wallet.no_address"

    def __init__(self) -> None:
        super().__init__("no Solana address is ready; the signer derives more, try again in a moment")


class KeyRingMissing(Unavailable):
    """No key ring was imported into this database."""

    code = "wallet.no_keyring"

    def __init__(self) -> None:
        super().__init__("no keys are known to this deployment; run `bitlinkpay signer init` and start the signer")


class KeyRingDiffers(Conflict):
    """The signer's keys are not those that this database handed addresses out from."""

    code = "wallet.keyring_differs"
