"""The last look at payments before they are signed: what must not leave now, and what a person has to see (PAY-34)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from bitlinkpay.chains.outgoing import Purpose
from bitlinkpay.risk.model import ProviderDown, VerdictKind
from bitlinkpay.sending import store
from bitlinkpay.sending.model import Sending, Transaction
from bitlinkpay.sending.parts import LaneParts

P = TypeVar("P")
LISTED: Final = "the recipient's address is on a sanctions list"


@dataclass(frozen=True, slots=True)
class Objections:
    """What speaks against payments of a transaction, by their place in it.

    Attributes:
        stopped: must not leave while this lasts; the queue itself leaves it out so long.
        unknown: nobody can say now; it is asked again later.
        listed: a person has to look.
    """

    stopped: Mapping[int, str]
    unknown: Mapping[int, str]
    listed: Mapping[int, str]

    @property
    def reason(self) -> str:
        """Return one of them, "" if there is none."""
        return next((text for found in (self.listed, self.stopped, self.unknown) for text in found.values()), "")


class LastLook(Generic[P]):
    """Asks what may have changed since a payment was asked for: its merchant, kill switches, sanctions lists."""

    def __init__(self, parts: LaneParts[P]) -> None:
        self._parts = parts

    async def at(self, transaction: Transaction) -> Objections:
        """Return what speaks against signing a transaction."""
        async with self._parts.database.reader() as tx:
            found = await store.obstacles(tx, [s.sending_id for s in transaction.sendings])
        places = enumerate(transaction.sendings)
        stopped = {place: found[s.sending_id] for place, s in places if s.sending_id in found}
        listed, silent = await self._screened(transaction)
        unknown = dict.fromkeys(range(len(transaction.sendings)), silent) if silent else {}
        return Objections(stopped, unknown, listed)

    async def _screened(self, transaction: Transaction) -> tuple[Mapping[int, str], str]:
        """Return which payments go to listed addresses, and which provider gave no answer ("" for none)."""
        if transaction.purpose is not Purpose.PAYOUT:
            return {}, ""
        listed: dict[int, str] = {}
        silent = ""
        targets = _targets(transaction.sendings)
        for provider in self._parts.providers:
            try:
                findings = await provider.look_up(transaction.network, sorted(set(targets.values())))
            except ProviderDown:
                silent = f"screening by {provider.name} gave no answer"
                continue
            hits = {finding.address for finding in findings if finding.kind is VerdictKind.LISTED}
            listed |= {place: LISTED for place, target in targets.items() if target in hits}
        return listed, silent


def _targets(sendings: Sequence[Sending]) -> dict[int, str]:
    return {place: s.payment.target for place, s in enumerate(sendings) if s.payment}
