"""A rule: what it settles, when, and how much stays; pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Conflict, Invalid, NotFound
from bitlinkpay.core.ids import MerchantId
from bitlinkpay.core.money import MAX_UNITS, format_units
from bitlinkpay.settlements.rules.schedule import Schedule, check_schedule

MOST_RULES: Final = 50
"""How many rules a merchant may have at once."""


class RuleKind(StrEnum):
    """What triggers a rule."""

    SCHEDULE = "schedule"
    THRESHOLD = "threshold"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a rule does.

    Attributes:
        schedule: when; None for a rule by threshold.
        threshold_units: the available balance that triggers it; None for a rule by schedule.
        reserve_units: how much of the balance stays.
        fee_max_units: the most that a run may be charged, platform and network together; None for anything.
    """

    schedule: Schedule | None = None
    threshold_units: int | None = None
    reserve_units: int = 0
    fee_max_units: int | None = None

    @property
    def kind(self) -> RuleKind:
        """Return what triggers it."""
        return RuleKind.THRESHOLD if self.schedule is None else RuleKind.SCHEDULE

    def words(self) -> tuple[str, ...]:
        """Return everything that decides what it does, as an authorization covers it."""
        plan = self.schedule
        when = (
            (plan.cadence.value, plan.at.isoformat("minutes"), plan.zone, str(plan.day)) if plan else ("", "", "", "")
        )
        return (*when, *(map(str, (self.threshold_units, self.reserve_units, self.fee_max_units))))


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of one merchant for one asset; in force until it is ended.

    Attributes:
        next_due_at: by schedule: its next trigger.
        authorization_id: what allowed it.
    """

    rule_id: UUID
    merchant_id: MerchantId
    asset: str
    terms: Terms
    next_due_at: datetime | None
    authorization_id: UUID
    created_at: datetime
    ended_at: datetime | None = None


def check_rule(asset: Asset, terms: Terms) -> None:
    """Refuse a rule that could never settle anything.

    Raises:
        Invalid: `param` names the field.
    """
    if (terms.schedule is None) == (terms.threshold_units is None):
        raise Invalid("a rule has either a schedule or a threshold; add two rules for both", param="threshold")
    if terms.schedule is not None:
        check_schedule(terms.schedule)
    if not 0 <= terms.reserve_units <= MAX_UNITS:
        raise Invalid("the reserve can't be negative", param="reserve")
    if terms.fee_max_units is not None and not 0 <= terms.fee_max_units <= MAX_UNITS:
        raise Invalid("the most that a run may cost can't be negative", param="fee_max")
    least = terms.reserve_units + max(1, asset.minimum_units)
    if terms.threshold_units is not None and not least <= terms.threshold_units <= MAX_UNITS:
        shown = format_units(least, asset.decimals)
        raise Invalid(
            f"the threshold has to be {shown} {asset.symbol} or more: reserve and smallest payout", param="threshold"
        )


class RuleNotFound(NotFound):
    """The merchant has no such rule, or it was removed."""

    code = "settlement.rule_not_found"

    def __init__(self) -> None:
        super().__init__("no such settlement rule, or it was removed already", param="rule_id")


class TooManyRules(Conflict):
    """The merchant has as many rules as it may."""

    code = "settlement.too_many_rules"

    def __init__(self) -> None:
        super().__init__(f"{MOST_RULES} rules are in force; remove one first")
