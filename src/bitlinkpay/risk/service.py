"""Screening of deposits: every provider is asked about every payer, and what they say is kept before it counts."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bitlinkpay.core.clock import Clock
from bitlinkpay.core.ids import DepositId
from bitlinkpay.db.driver import Tx
from bitlinkpay.risk import store
from bitlinkpay.risk.model import Arrived, Finding, Provider, ProviderDown, Verdict, VerdictKind, conclude

_log = logging.getLogger(__name__)

TIMEOUT_S: Final = 5
NO_SENDER: Final = "no_sender"
_BY_RULE: Final = "rule"

_Answers = Mapping[tuple[str, str], Sequence[Finding]]


@dataclass(frozen=True, slots=True)
class NoLists:
    """The provider of a deployment without lists: says of everything that nobody looked, and the verdict says so."""

    name: str = "none"

    async def look_up(self, network: str, addresses: Sequence[str]) -> Sequence[Finding]:
        """Return a clear finding by the rule `not_screened` for each address."""
        return [
            Finding(network, address, self.name, "none", VerdictKind.CLEAR, "not_screened", {}) for address in addresses
        ]


class Screening:
    """Asks providers outside of any transaction (`model.Screener`); nothing is written.

    A payer is clear when every provider says so. While one of them gives no answer, nothing is clear: an item is then
    listed if another provider lists it, or gets no verdict and is asked about again.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        clock: Clock,
        *,
        unnamed_limits: Mapping[str, int] | None = None,
        timeout_s: int = TIMEOUT_S,
    ) -> None:
        """Prepare screening.

        Args:
            providers: at least one; `NoLists` where there is none.
            clock: business time.
            unnamed_limits: asset → base units up to which money without a named payer passes; none passes by default.
            timeout_s: how long a provider may take.
        """
        assert providers, "fail closed: without a provider nothing could be told"
        self._providers = providers
        self._clock = clock
        self._unnamed_limits = unnamed_limits or {}
        self._timeout_s = timeout_s

    async def screen(self, items: Sequence[Arrived]) -> Sequence[Verdict]:
        """Return a verdict for each item that has one; see `model.Screener`."""
        wanted: dict[str, dict[str, None]] = defaultdict(dict)
        for item in items:
            wanted[item.network].update(dict.fromkeys(item.payers))
        answers = [await self._ask(provider, wanted) for provider in self._providers]
        return [verdict for item in items if (verdict := self._conclude(item, answers)) is not None]

    async def _ask(self, provider: Provider, wanted: Mapping[str, Mapping[str, None]]) -> _Answers | None:
        """Return one provider's findings by network and address, or None while it is down."""
        found: dict[tuple[str, str], list[Finding]] = defaultdict(list)
        try:
            async with asyncio.timeout(self._timeout_s):
                for network, addresses in wanted.items():
                    for finding in _matched(network, addresses, await provider.look_up(network, list(addresses))):
                        found[network, finding.address].append(finding)
        except (ProviderDown, TimeoutError) as error:
            _log.critical("%s gives no answer, nothing is credited: %s", provider.name, error or type(error).__name__)
            return None
        return found

    def _conclude(self, item: Arrived, answers: Sequence[_Answers | None]) -> Verdict | None:
        now = self._clock.now()
        if not item.payers:
            return conclude(item, [self._unnamed(item)], now=now)
        findings = [
            finding
            for answer in answers
            if answer is not None
            for address in item.payers
            for finding in answer[item.network, address]
        ]
        is_complete = all(answer is not None for answer in answers)
        is_listed = any(finding.kind is VerdictKind.LISTED for finding in findings)
        return conclude(item, findings, now=now) if is_complete or is_listed else None

    def _unnamed(self, item: Arrived) -> Finding:
        """Return the finding about money without a named payer: a class of its own, never simply clean."""
        limit = self._unnamed_limits.get(item.asset, 0)
        is_small = item.units is not None and item.units <= limit
        kind = VerdictKind.CLEAR if is_small else VerdictKind.UNKNOWN
        return Finding(item.network, "", _BY_RULE, f"limit:{limit}", kind, NO_SENDER, {"limit_units": str(limit)})


def _matched(network: str, asked: Iterable[str], findings: Sequence[Finding]) -> Sequence[Finding]:
    """Return the findings if they are about what was asked, one each: an answer about another address is none."""
    if [(finding.network, finding.address) for finding in findings] != [(network, address) for address in asked]:
        raise ProviderDown("it answers about other addresses than it was asked about")
    return findings


async def keep(tx: Tx, verdicts: Sequence[Verdict]) -> None:
    """Keep verdicts for ever, in the transaction that acts on them: none counts without its evidence."""
    if verdicts:
        await store.add_verdicts(tx, verdicts)


async def list_findings(tx: Tx, deposit_id: DepositId) -> Sequence[Finding]:
    """Return everything that was ever found about one deposit, oldest first; nothing of it counts for another."""
    return await store.list_findings(tx, deposit_id)
