"""Routes, answer codes and status codes of the SDK protocol, with the words that travel beside them."""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final


class Route(StrEnum):
    """The six endpoints; a path matches exactly or not at all."""

    CREATE = "/v1/api/broker/order/create"
    PRE_CREATE = "/v1/api/broker/pre-order/create"
    DETAIL = "/v1/api/broker/order/detail"
    CANCEL = "/v1/api/broker/order/cancel"
    WITHDRAW = "/v1/api/broker/order/withdraw"
    WITHDRAW_DETAIL = "/v1/api/broker/order/withdraw-detail"


class OuterCode(IntEnum):
    """`code` of the outer answer: 0, or why the envelope was not let in. Ours to keep stable."""

    OK = 0
    REFUSED = 1000  # secret, body, sign, broker or certificate: never said which
    CLOCK = 1001
    REPLAY = 1002
    SUSPENDED = 1003
    LIMITED = 1004
    PLAIN_MODE = 1005
    ROUTE = 1006
    SIZE = 1007
    UNAVAILABLE = 1008


class DepositStatus(IntEnum):
    """`status` of an order."""

    CREATED = 0
    SUCCESS = 8
    USER_CANCEL = 12
    EXPIRE_CANCEL = 16
    LESS_AMOUNT = 20


class WithdrawStatus(IntEnum):
    """`status` of a withdrawal."""

    DOING = 0
    SUCCESS = 4
    FAIL = 8


DEPOSIT_STATUS_DESC: Final[Mapping[int, str]] = MappingProxyType(
    {
        DepositStatus.CREATED: "Order Created",
        DepositStatus.SUCCESS: "Order Success",
        DepositStatus.USER_CANCEL: "User Cancel",
        DepositStatus.EXPIRE_CANCEL: "Expire Cancel",
        DepositStatus.LESS_AMOUNT: "Less Amount",
    }
)

WITHDRAW_STATUS_DESC: Final[Mapping[int, str]] = MappingProxyType(
    {
        WithdrawStatus.DOING: "Withdraw Doing",
        WithdrawStatus.SUCCESS: "Withdraw Success",
        WithdrawStatus.FAIL: "Withdraw Fail",
    }
)
