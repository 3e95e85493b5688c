"""What is screened, what providers find, and the verdict that it adds up to. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from bitlinkpay.core.ids import DepositId


class VerdictKind(StrEnum):
    """What screening says."""

    CLEAR = "clear"
    LISTED = "listed"
    UNKNOWN = "unknown"  # nobody can tell: not credited by itself


@dataclass(frozen=True, slots=True)
class Arrived:
    """A final deposit whose source is to be screened.

    Attributes:
        source: canonical address of the payer, "" where the chain names none.
        sources: all of them where there are several (the inputs of a Bitcoin transaction).
        asset: id of the asset, for the limit below which an unnamed payer is let pass.
        units: its size in base units; None stands for a size above every limit.
    """

    deposit_id: DepositId
    network: str
    txid: str
    source: str
    sources: tuple[str, ...] = ()
    asset: str = ""
    units: int | None = None

    @property
    def payers(self) -> tuple[str, ...]:
        """Return every named payer once."""
        return tuple(dict.fromkeys(address for address in (self.source, *self.sources) if address))


@dataclass(frozen=True, slots=True)
class Finding:
    """What one provider says about one address, in one version of its knowledge.

    Attributes:
        rule: class of the finding, such as `not_on_list`, `on_list`, `no_sender`.
        raw: the provider's answer as it came.
    """

    network: str
    address: str
    provider: str
    list_version: str
    kind: VerdictKind
    rule: str
    raw: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a deposit, with the findings behind it. It is about this deposit and no other."""

    deposit_id: DepositId
    kind: VerdictKind
    reason: str
    findings: tuple[Finding, ...]
    screened_at: datetime


class ProviderDown(Exception):
    """A provider gave no usable answer: down, slow, malformed. What it was asked about gets no verdict."""


class Provider(Protocol):
    """A source of knowledge about addresses."""

    @property
    def name(self) -> str:
        """What verdicts call it."""
        ...

    async def look_up(self, network: str, addresses: Sequence[str]) -> Sequence[Finding]:
        """Return one finding per canonical address, in order.

        Raises:
            ProviderDown: it cannot tell now.
        """
        ...


class Screener(Protocol):
    """What the flow of deposits asks."""

    async def screen(self, items: Sequence[Arrived]) -> Sequence[Verdict]:
        """Return verdicts, to be kept with what they decide (`risk.service.keep`).

        An item without one stays where it is and is asked about again.
        """
        ...


_WORST_FIRST = (VerdictKind.LISTED, VerdictKind.UNKNOWN, VerdictKind.CLEAR)


def conclude(item: Arrived, findings: Sequence[Finding], *, now: datetime) -> Verdict:
    """Return the verdict on a deposit: as bad as its worst finding (one listed input of many is enough)."""
    assert findings, "a verdict without a finding would be a guess"
    worst = min(findings, key=lambda finding: _WORST_FIRST.index(finding.kind))
    reason = "" if worst.kind is VerdictKind.CLEAR else f"{worst.rule}: {worst.address or 'unnamed'} ({worst.provider})"
    return Verdict(item.deposit_id, worst.kind, reason, tuple(findings), now)
