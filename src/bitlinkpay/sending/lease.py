"""The right to write in one lane: taken for a step of work, renewed while the step lasts."""

from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar
from uuid import UUID

from bitlinkpay.chains.outgoing import Wallet
from bitlinkpay.db.driver import Tx
from bitlinkpay.sending.lanes import store as lanes
from bitlinkpay.sending.model import LaneLost
from bitlinkpay.sending.parts import LaneParts

P = TypeVar("P")
LEASE_LIFE: Final = timedelta(seconds=20)
_RENEWED_AFTER: Final = LEASE_LIFE / 4


class Lease(Generic[P]):
    """One worker's claim on a lane. Whoever lost it writes nothing: every write asks for the token again."""

    def __init__(self, parts: LaneParts[P], payer: Wallet, token: UUID) -> None:
        self._parts = parts
        self._payer = payer
        self._token = token
        self._taken_at: datetime | None = None

    async def take(self) -> tuple[int, str] | None:
        """Take or renew it; return the lane's next number and why it is frozen, None while another worker has it."""

        async def work(tx: Tx) -> tuple[int, str] | None:
            network, payer = self._parts.network.id, self._payer.address
            return await lanes.take(tx, network, payer, token=self._token, wall=wall, life=LEASE_LIFE)

        wall = self._parts.wall.now()
        lane = await self._parts.database.unit(work, resolve=work)
        self._taken_at = wall if lane else None
        return lane

    async def keep(self) -> None:
        """Renew it once a good part of its life is over; called between questions to the network.

        Raises:
            LaneLost: another worker has it.
        """
        is_young = self._taken_at is not None and self._parts.wall.now() - self._taken_at < _RENEWED_AFTER
        if not is_young and await self.take() is None:
            raise LaneLost

    async def hold(self, tx: Tx) -> None:
        """Lock the lane until the transaction of the database ends.

        Raises:
            LaneLost: another worker has it.
        """
        if not await lanes.hold(tx, self._parts.network.id, self._payer.address, self._token):
            raise LaneLost

    async def step(self, tx: Tx, *, number: int, by: int) -> None:
        """Move the lane's next number on, or back.

        Raises:
            LaneLost: another worker has it, or it does not stand at `number` any more.
        """
        network, payer = self._parts.network.id, self._payer.address
        if not await lanes.step(tx, network, payer, token=self._token, number=number, by=by):
            raise LaneLost
