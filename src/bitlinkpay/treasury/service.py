"""The treasury of one network, as the worker runs it: one bounded step at a time, safe to repeat and to run twice."""

from typing import Final

from bitlinkpay.chains.outgoing import Purpose
from bitlinkpay.treasury.model import Permit
from bitlinkpay.treasury.parts import TreasuryParts
from bitlinkpay.treasury.stale import withdraw
from bitlinkpay.treasury.surplus import Surplus
from bitlinkpay.treasury.sweeping import Sweeping

ANYTHING: Final = frozenset(Purpose)


class Treasury:
    """Collects deposits and keeps the hot wallet between its levels."""

    def __init__(self, parts: TreasuryParts) -> None:
        self._parts = parts
        self._sweeping = Sweeping(parts)
        self._surplus = Surplus(parts)

    async def step(self, permit: Permit) -> bool:
        """Withdraw what nothing carries, collect what pays, send away what is too much; True when there may be more."""
        await withdraw(self._parts)
        has_more = await self._sweeping.step(permit.purposes)
        await self._surplus.step(permit.cold if Purpose.COLD in permit.purposes else {})
        return has_more
