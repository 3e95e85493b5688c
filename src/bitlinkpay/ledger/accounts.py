"""Names of accounts. Their kinds, sides and classes stand in the table `ledger_kinds`, which refuses any other name.

Where money of one deposit, payout or transfer must never be taken for another's (`pending`, `unassigned`, ...), the
name ends in that item's id: one account per item. A merchant's pending balance is the sum over its items.
"""

from typing import Final
from uuid import UUID

COLD: Final = "custody:cold"
EQUITY: Final = "equity"
FEES_PAYIN: Final = "fees:payin"
FEES_PAYOUT: Final = "fees:payout"
FEES_SETTLEMENT: Final = "fees:settlement"
FEES_NETWORK: Final = "fees:network"
GAS: Final = "expense:gas"
LOSS: Final = "platform:loss"


def available(merchant_id: UUID) -> str:
    """What the merchant may use."""
    return f"merchant:{merchant_id.hex}:available"


def pending(merchant_id: UUID, item_id: UUID) -> str:
    """In a block that is not final, or not screened yet."""
    return f"merchant:{merchant_id.hex}:pending:{item_id.hex}"


def unassigned(merchant_id: UUID, item_id: UUID) -> str:
    """Odd money that somebody has to decide about."""
    return f"merchant:{merchant_id.hex}:unassigned:{item_id.hex}"


def quarantined(merchant_id: UUID, item_id: UUID) -> str:
    """Risky money that a person has to decide about."""
    return f"merchant:{merchant_id.hex}:quarantined:{item_id.hex}"


def reserved(merchant_id: UUID, item_id: UUID) -> str:
    """Set aside for one payout or settlement."""
    return f"merchant:{merchant_id.hex}:reserved:{item_id.hex}"


def debt(merchant_id: UUID) -> str:
    """What the merchant owes after a credit was undone that had been spent."""
    return f"merchant:{merchant_id.hex}:debt"


def deposit_custody(address: str) -> str:
    """On chain at a deposit address (canonical form)."""
    return f"custody:deposits:{address}"


def hot_custody(wallet: str) -> str:
    """On chain in a hot wallet."""
    return f"custody:hot:{wallet}"


def in_transit(item_id: UUID) -> str:
    """Between two of our own wallets."""
    return f"custody:in_transit:{item_id.hex}"


def platform_pending(item_id: UUID) -> str:
    """In a block that is not final, owner unknown."""
    return f"platform:pending:{item_id.hex}"


def unattributed(item_id: UUID) -> str:
    """On chain and final, owner unknown."""
    return f"platform:unattributed:{item_id.hex}"
