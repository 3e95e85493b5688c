"""The treasury of one network, as the worker runs it: one bounded step at a time, safe to repeat and to run twice."""

from typing import Final
from uuid import uuid4

from bitlinkpay.chains.outgoing import Purpose
from bitlinkpay.treasury.consolidating import Consolidating
from bitlinkpay.treasury.loans.returning import Returning
from bitlinkpay.treasury.model import Permit
from bitlinkpay.treasury.parts import TreasuryParts
from bitlinkpay.treasury.stale import withdraw
from bitlinkpay.treasury.surplus import Surplus
from bitlinkpay.treasury.sweeping import Sweeping

ANYTHING: Final = frozenset(Purpose)


class Treasury:
    """Collects deposits, takes back what it lent for them, keeps the hot wallet between its levels and tidy."""

    def __init__(self, parts: TreasuryParts) -> None:
        self._parts = parts
        token = uuid4()
        self._sweeping = Sweeping(parts, token)
        self._surplus = Surplus(parts)
        self._consolidating = Consolidating(parts, token)
        self._returning = Returning(parts)

    async def step(self, permit: Permit) -> bool:
        """Withdraw what nothing carries, take back loans, collect what pays, send off what is too much, join outputs.

        Returns True when there may be more to do at once.
        """
        await withdraw(self._parts)
        await self._returning.step(permit.purposes)
        has_more = await self._sweeping.step(permit.purposes)
        await self._surplus.step(permit.cold if Purpose.COLD in permit.purposes else {})
        await self._consolidating.step(permit.purposes)
        return has_more
