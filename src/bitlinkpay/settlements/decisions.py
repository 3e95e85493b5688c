"""Whether a run fits, and what a refusal means for it; pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Kind, Problem
from bitlinkpay.core.money import format_units
from bitlinkpay.merchants.model import Merchant, MerchantState
from bitlinkpay.payouts.checks import fee_units
from bitlinkpay.payouts.model import AddressRefused, AmountRefused, NoLiquidity, PayoutsStopped, Terms
from bitlinkpay.settlements.addresses.model import HomeAddress
from bitlinkpay.settlements.amounts import everything
from bitlinkpay.settlements.model import Quote, Reason, Settlement, Skip
from bitlinkpay.settlements.rules.model import Rule


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that decides about a run.

    Attributes:
        payout_terms: what the merchant pays for settlements of this asset.
        available_units: its balance.
        debt_units: what it owes in this asset.
    """

    settlement: Settlement
    rule: Rule
    merchant: Merchant
    address: HomeAddress | None
    asset: Asset
    payout_terms: Terms
    available_units: int
    debt_units: int


def find_obstacle(case: Case, now: datetime) -> Skip | None:
    """Return why a run cannot be carried out whatever the network asks for it, None if it may be."""
    return next(_obstacles(case, now), None)


def _obstacles(case: Case, now: datetime) -> Iterator[Skip]:
    threshold = case.rule.terms.threshold_units
    if case.rule.ended_at is not None:
        yield Skip(Reason.RULE_REMOVED, "the rule was removed after it was triggered")
    if case.merchant.state is not MerchantState.ACTIVE:
        yield Skip(Reason.MERCHANT_INACTIVE, f"the merchant is {case.merchant.state}")
    if case.address is None:
        yield Skip(Reason.NO_ADDRESS, f"no address is bound on {case.asset.network}; bind one")
    elif not case.address.is_usable(now):
        until = case.address.usable_at.isoformat(timespec="minutes")
        yield Skip(Reason.ADDRESS_ON_HOLD, f"the bound address is new and rests until {until}")
    if case.debt_units:
        yield Skip(Reason.IN_DEBT, f"{_show(case, case.debt_units)} are owed; later credits repay it first")
    if threshold is not None and case.available_units < threshold:
        yield Skip(Reason.BELOW_THRESHOLD, f"the balance is {_show(case, case.available_units)} again")
    if amount(case, network_fee_units=0) == 0:
        yield _too_little(case)


def amount(case: Case, *, network_fee_units: int) -> int:
    """Return what arrives in base units: everything above the rule's reserve after fees, 0 when that is too little."""
    units = everything(
        case.available_units,
        case.payout_terms,
        keep_units=case.rule.terms.reserve_units,
        network_fee_units=network_fee_units,
    )
    return units if units >= max(1, case.asset.minimum_units) else 0


def settle(case: Case, *, network_fee_units: int) -> Quote | Skip:
    """Return what a run comes to at this fee of the network, or why it is skipped."""
    units = amount(case, network_fee_units=network_fee_units)
    if units == 0:
        return _too_little(case)
    quote = Quote(units, fee_units(units, case.payout_terms), network_fee_units)
    most = case.rule.terms.fee_max_units
    if most is not None and quote.charged_units > most:
        asked = _show(case, quote.charged_units)
        return Skip(Reason.FEE_TOO_HIGH, f"it would cost {asked}, and the rule allows {_show(case, most)}")
    return quote


def skip_of(problem: Problem) -> Skip | None:
    """Return what a refusal of the payout means; None where a later try may succeed by itself."""
    match problem:
        case NoLiquidity():
            return Skip(Reason.NO_LIQUIDITY, problem.message)
        case PayoutsStopped():
            return Skip(Reason.STOPPED, problem.message)
        case AddressRefused():
            return Skip(Reason.ADDRESS_REFUSED, problem.message)
        case AmountRefused():
            return Skip(Reason.ABOVE_LIMIT, problem.message)
        case _ if problem.kind is Kind.UNAVAILABLE:
            return None
        case _:
            return Skip(Reason.REFUSED, problem.message)


def _too_little(case: Case) -> Skip:
    kept = case.rule.terms.reserve_units
    beside = f", of which {_show(case, kept)} stay" if kept else ""
    text = f"the balance is {_show(case, case.available_units)}{beside}: too little for fees and the smallest payout"
    return Skip(Reason.BELOW_MINIMUM, text)


def _show(case: Case, units: int) -> str:
    return f"{format_units(units, case.asset.decimals)} {case.asset.symbol}"
