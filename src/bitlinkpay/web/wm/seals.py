"""An envelope is answered once: its seal is claimed in the transaction of its work."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from bitlinkpay.core.errors import Conflict
from bitlinkpay.db import replay
from bitlinkpay.db.driver import Tx


class Replayed(Conflict):
    """This very envelope was answered before."""

    code = "request.replayed"

    def __init__(self) -> None:
        super().__init__("this request was already received; send a new one (new w-ts or w-nonce)")


class Once(Protocol):
    """What may be answered once: an envelope, or a signed request of the REST API."""

    @property
    def digest(self) -> bytes:
        """Return what no other one has."""
        ...


async def claim(tx: Tx, seals: Sequence[Once | None], now: datetime) -> list[bool]:
    """Claim what is answered in this transaction; False for a replay, also within the batch.

    Args:
        tx: the open transaction.
        seals: None for a request of plain mode, which has none.
        now: wall time.
    """
    new = await replay.claim(tx, [replay.Seal(seal.digest, now) for seal in seals if seal is not None])
    is_new: list[bool] = []
    for seal in seals:
        is_new.append(seal is None or seal.digest in new)
        if seal is not None:
            new.discard(seal.digest)
    return is_new
