"""The newest block's age: what tells a quiet quarter of an hour from nodes that are cut off (THREATS BTC-14)."""

import logging
from datetime import datetime, timedelta

from bitlinkpay.chains.base import BlockRef, ChainError

log = logging.getLogger(__name__)


class StalledTip(ChainError):
    """No endpoint has seen a block for longer than chance explains: cut off from the network, or on a dead fork."""


def check_age(latest: BlockRef, now: datetime, most: timedelta | None) -> None:
    """Refuse a newest block that is older than `most`; None takes any.

    Raises:
        StalledTip: it is.
    """
    if most is not None and now - latest.time > most:
        text = f"the newest block, {latest.height}, is of {latest.time:%Y-%m-%d %H:%M} UTC: the nodes are cut off"
        log.critical("%s; nothing is read or credited", text)
        raise StalledTip(text)
