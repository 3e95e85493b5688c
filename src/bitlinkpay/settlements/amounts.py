"""How much a balance yields once fees are paid; pure."""

from bitlinkpay.core.money import PPM
from bitlinkpay.payouts.checks import fee_units
from bitlinkpay.payouts.model import Terms


def everything(available_units: int, terms: Terms, *, keep_units: int = 0, network_fee_units: int = 0) -> int:
    """Return the largest amount that leaves `keep_units` in the balance after both fees; 0 for nothing.

    Because fees round down, one base unit may stay that no amount would take.
    """
    budget = available_units - keep_units - network_fee_units - terms.fee_flat_units
    if budget <= 0:
        return 0
    units = budget * PPM // (PPM + terms.fee_ppm)
    if units + 1 + fee_units(units + 1, terms) - terms.fee_flat_units <= budget:  # what rounding down left over
        units += 1
    assert units + fee_units(units, terms) + network_fee_units + keep_units <= available_units
    return units
