"""The types of contract that a transaction may be."""

from enum import IntEnum
from typing import Final


class Kind(IntEnum):
    """`ContractType` of core/Tron.proto, as far as it means anything here."""

    ACCOUNT_CREATE = 0
    TRANSFER = 1
    TRANSFER_ASSET = 2
    VOTE = 4
    ACCOUNT_UPDATE = 10
    UNFREEZE = 12
    WITHDRAW_REWARD = 13
    SET_ACCOUNT_ID = 19
    CREATE_CONTRACT = 30
    TRIGGER_CONTRACT = 31
    PERMISSION_UPDATE = 46
    FREEZE_V2 = 54
    UNFREEZE_V2 = 55
    WITHDRAW_UNFROZEN = 56
    DELEGATE = 57
    UNDELEGATE = 58
    CANCEL_UNFREEZE = 59


RUNS_CODE: Final = frozenset({Kind.CREATE_CONTRACT, Kind.TRIGGER_CONTRACT})
"""Kinds whose receipt must say how the code ended."""
