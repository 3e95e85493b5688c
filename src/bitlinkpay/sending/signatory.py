"""The signer as lanes ask it: with the places of the keys of those addresses of ours that a payment goes to.

The signer believes nobody that an address is ours. It is told where the address's key stands and derives it again.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from bitlinkpay.chains.outgoing import Intent, KeyRole, Purpose, Signed, Wallet
from bitlinkpay.core.assets import Network
from bitlinkpay.db.pool import Database
from bitlinkpay.wallets import store as wallets

TO_OURSELVES: Final = frozenset({Purpose.GAS, Purpose.LEND, Purpose.RECALL})


class Desk(Protocol):
    """The signer's door: `signer.client.SignerClient`."""

    async def sign(self, intent: Intent, plan: object, *, ours: Sequence[Wallet] = ()) -> Signed:
        """Return the signed bytes, see `sending.parts.Signing`."""
        ...


class Signatory:
    """`sending.parts.Signing` of one network."""

    def __init__(self, desk: Desk, database: Database, network: Network) -> None:
        self._desk = desk
        self._database = database
        self._network = network

    async def sign(self, intent: Intent, plan: object) -> Signed:
        """Return the signed bytes; the same question has the same answer.

        Raises:
            SignerRefused: its policy says no, and it has never signed this intent.
            Unavailable: nobody answers.
        """
        return await self._desk.sign(intent, plan, ours=await self._ours(intent))

    async def _ours(self, intent: Intent) -> list[Wallet]:
        if intent.purpose not in TO_OURSELVES:
            return []
        targets = [payment.target for payment in intent.payments]
        async with self._database.reader() as tx:
            places = await wallets.places(tx, self._network.family, targets)
        return [Wallet(KeyRole.DEPOSIT, index, address) for address, index in places]
