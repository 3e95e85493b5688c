"""What the hosted page needs from the platform, and nothing more."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.ids import PayinId
from bitlinkpay.payins.view import PayinView
from bitlinkpay.sandbox.actions import Payable

__all__ = ["CheckoutPort", "Lookup", "LookupKind", "Payable", "SandboxActions"]


class LookupKind(StrEnum):
    """What is known of a transaction (or of the newest one from an address) with regard to one order."""

    UNREADABLE = "unreadable"  # neither a transaction hash nor an address of any network that we know
    NOT_SEEN = "not_seen"  # no network that we watch knows it yet
    PENDING = "pending"  # on its way to this order, in no block yet
    SEEN = "seen"  # pays this order, in a block that is not final
    COUNTED = "counted"  # pays this order, final
    OTHER_AMOUNT = "other_amount"  # to this order, but not the asked amount
    OTHER_ASSET = "other_asset"  # to this order, in another token
    OTHER_NETWORK = "other_network"  # to this order's address on another network
    OTHER_ADDRESS = "other_address"  # to an address that is not this order's; says nothing about whose it is
    LATE = "late"  # to this order, after its time
    FAILED = "failed"  # the network undid it: no money moved
    UNKNOWN = "unknown"  # the network cannot be read now


@dataclass(frozen=True, slots=True)
class Lookup:
    """The answer to "I have paid": nothing of any other order is in it.

    Attributes:
        confirmations: blocks on top, where `kind` is `SEEN`.
        asset: what was sent, where it came to this order; else None.
        network: where it was seen; None where it was not seen.
        units: base units of `asset`, 0 without one.
    """

    kind: LookupKind
    confirmations: int = 0
    asset: Asset | None = None
    network: Network | None = None
    units: int = 0


class CheckoutPort(Protocol):
    """The platform as the hosted page sees it."""

    async def find_view(self, payin_id: PayinId) -> PayinView:
        """Return everything that the page shows of one order.

        Raises:
            NotFound: no order has this id.
        """
        ...

    async def pick_network(self, payin_id: PayinId, asset_id: str) -> None:
        """Fix network, rate, amount and a fresh life of a pre-order.

        Raises:
            Problem: picked before, ended, not offered, or no rate now.
        """
        ...

    async def look_up(self, payin_id: PayinId, text: str) -> Lookup:
        """Say what is known of a transaction hash, or of the newest transfer from the payer's own address."""
        ...

    def changes(self, payin_id: PayinId) -> AsyncIterator[None]:
        """Yield each time something of the order may have changed, until closed. Missed ones are made up by polling."""
        ...


class SandboxActions(Protocol):
    """What the page's sandbox buttons do. Exists in a sandbox deployment only."""

    async def list_payable(self, payin_id: PayinId) -> Sequence[Payable]:
        """Return what can be sent to the order's address, the asked asset first."""
        ...

    async def pay(self, payin_id: PayinId, *, asset_id: str, amount: str) -> str:
        """Broadcast a transfer to the order's address and return its txid.

        Args:
            payin_id: the order.
            asset_id: "" for the asked asset.
            amount: major units in plain digits, "" for the asked amount.

        Raises:
            Problem: no network picked yet, unknown asset, malformed amount.
        """
        ...

    async def mine(self, payin_id: PayinId, blocks: int) -> None:
        """Add blocks to the order's network."""
        ...

    async def advance_clock(self, minutes: int) -> datetime:
        """Move business time forward and return the new time."""
        ...
