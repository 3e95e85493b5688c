"""The second factor: what only the merchant's person has, asked for at each action."""

from datetime import datetime
from typing import Protocol

from bitlinkpay.authorizations import onetime, store
from bitlinkpay.authorizations.model import Action, Answered, NotSetUp
from bitlinkpay.core.sealing import Purpose, Sealer
from bitlinkpay.db.driver import Tx


class SecondFactor(Protocol):
    """A way to prove possession. A passkey answers with an assertion whose challenge is the action's digest."""

    async def check(self, tx: Tx, action: Action, answer: str, now: datetime) -> Answered | None:
        """Return what was answered, or None if it is wrong; nothing is written.

        Raises:
            NotSetUp: the merchant has no such factor.
        """
        ...

    async def spend(self, tx: Tx, answered: Answered) -> bool:
        """Say whether this answer was never accepted before, and accept it no more."""
        ...


class OneTimeCodes:
    """Codes of an authenticator app. A code knows nothing of an action: that it counts for one action only is in being
    spent, for ever, on the one that it came with.
    """

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    async def check(self, tx: Tx, action: Action, answer: str, now: datetime) -> Answered | None:
        """Take the code of the present step, the one before or the one after.

        Raises:
            NotSetUp: no authenticator is confirmed.
            Unsealable: its key cannot be read here.
        """
        found = await store.find_authenticator(tx, action.merchant_id)
        if found is None:
            raise NotSetUp
        authenticator_id, sealed = found
        key = self._sealer.unseal(sealed, purpose=Purpose.ONE_TIME_CODES, owner=action.merchant_id)
        step = onetime.matching_step(key, answer, now)
        return None if step is None else Answered(authenticator_id, str(step))

    async def spend(self, tx: Tx, answered: Answered) -> bool:
        """Accept no code of this step or an earlier one any more."""
        return await store.spend_step(tx, answered.factor_id, int(answered.mark))
