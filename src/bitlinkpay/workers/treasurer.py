"""Runs the treasury of one network within what the signer's policy allows; one that does not answer stops it."""

import logging

from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.outgoing import Purpose
from bitlinkpay.signer.client import SignerClient
from bitlinkpay.treasury.model import Permit
from bitlinkpay.treasury.parts import TreasuryParts
from bitlinkpay.treasury.service import Treasury

log = logging.getLogger(__name__)


class Treasurer:
    """The loop body for one network's treasury. Several may run: one at a time plans."""

    def __init__(self, parts: TreasuryParts, signer: SignerClient) -> None:
        self._network = parts.network.id
        self._treasury = Treasury(parts)
        self._signer = signer

    async def step(self) -> bool:
        """Do one bounded piece of work; return True when there may be more now.

        Raises:
            Unavailable: the signer or the database does not answer.
        """
        standing = await self._signer.standing()
        permit = Permit(frozenset(map(Purpose, standing.purposes)), standing.cold)
        try:
            return await self._treasury.step(permit)
        except ChainError as error:
            log.warning("%s: the treasury waits: %s", self._network, error)
            return False
