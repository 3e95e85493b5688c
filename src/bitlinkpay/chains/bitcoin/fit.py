"""Whether a plan does exactly what its intent says: the sender asserts it, the signer signs nothing else."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from bitlinkpay.chains.bitcoin.build import outputs_of
from bitlinkpay.chains.bitcoin.coins import INPUTS_MAX
from bitlinkpay.chains.bitcoin.drafting import FEE_SHARE
from bitlinkpay.chains.bitcoin.plan import BitcoinPlan, payments_out
from bitlinkpay.chains.bitcoin.script import prefixes_of
from bitlinkpay.chains.bitcoin.weight import RATE_MAX, RELAY_RATE, dust_of, fee_at, vsize
from bitlinkpay.chains.bitcoin.wire import UNITS_MAX, Output
from bitlinkpay.chains.outgoing import Intent, Purpose
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.errors import Invalid

PAYMENTS_MAX: Final = 100
_INWARD: Final = frozenset({Purpose.SWEEP, Purpose.CONSOLIDATION})
_OUTWARD: Final = frozenset({Purpose.PAYOUT, Purpose.COLD})


def misfits(intent: Intent, plan: BitcoinPlan, network: Network, asset: Asset | None) -> tuple[str, ...]:
    """Return in which ways a plan would not do exactly what the intent says, nothing if it does.

    Args:
        intent: what shall happen.
        plan: how.
        network: the registry's row of the intent's network, as the caller itself knows it.
        asset: the same of its asset, None without payments.
    """
    try:
        outputs = outputs_of(intent, plan, prefixes_of(network))
    except Invalid as error:
        return (f"a target that is no address of {network.id}: {error.message}",)
    return (
        *_intent(intent, network, asset),
        *_purpose(intent),
        *_inputs(plan),
        *_owners(intent, plan),
        *_outputs(intent, plan, outputs),
        *_fee(intent, plan, outputs),
    )


def _intent(intent: Intent, network: Network, asset: Asset | None) -> Iterator[str]:
    if intent.network != network.id:
        yield "another network"
    if {payment.asset for payment in intent.payments} != ({asset.id} if asset else set()):
        yield "another asset, or several"
    if asset is not None and (asset.network != network.id or not asset.is_native):
        yield "another asset than the network's coin"
    if any(payment.tag for payment in intent.payments):
        yield "a memo, which Bitcoin does not have"
    if len(intent.payments) > PAYMENTS_MAX:
        yield f"more than {PAYMENTS_MAX} payments"


def _purpose(intent: Intent) -> Iterator[str]:
    others = payments_out(intent)
    if intent.purpose in _OUTWARD:
        if not others or len(others) != len(intent.payments):
            yield f"a {intent.purpose} to the wallet that pays it"
        if any(payment.source != intent.payer for payment in intent.payments):
            yield f"a {intent.purpose} out of another wallet than the payer's"
    elif intent.purpose in _INWARD:
        if others:
            yield f"a {intent.purpose} to another wallet than the payer's"
        if intent.purpose is Purpose.CONSOLIDATION and [p.source for p in intent.payments] != [intent.payer]:
            yield "a consolidation of other outputs than the payer's own"
    elif intent.purpose is not Purpose.CANCEL or intent.payments:
        yield f"a {intent.purpose}, which Bitcoin does not have"


def _inputs(plan: BitcoinPlan) -> Iterator[str]:
    if not 0 < len(plan.inputs) <= INPUTS_MAX:
        yield "no inputs, or too many"
    if len({(spent.txid, spent.vout) for spent in plan.inputs}) != len(plan.inputs):
        yield "an input twice"
    if any(not 0 < spent.units <= UNITS_MAX for spent in plan.inputs):
        yield "an input of no or of too many units"


def _owners(intent: Intent, plan: BitcoinPlan) -> Iterator[str]:
    """Compare what is spent with whose money it is: deposits are spent whole, by payments of exactly so much.

    So is what a consolidation joins; of what else the payer spends, the rest comes back to it.
    """
    spent_by: Counter[str] = Counter()
    for spent in plan.inputs:
        spent_by[spent.owner.address] += spent.units
    moved_by: Counter[str] = Counter()
    for payment in intent.payments:
        moved_by[payment.source.address] += payment.units
    owners = {intent.payer, *(payment.source for payment in intent.payments)}
    if any(spent.owner not in owners for spent in plan.inputs):
        yield "an input of a wallet that the intent does not name"
    paying = set() if intent.purpose is Purpose.CONSOLIDATION else {intent.payer.address}
    for address in (spent_by | moved_by).keys() - paying:
        if spent_by[address] != moved_by[address]:
            yield f"{spent_by[address]} units of {address} instead of {moved_by[address]}"


def _outputs(intent: Intent, plan: BitcoinPlan, outputs: list[Output]) -> Iterator[str]:
    if not outputs:
        yield "no outputs"
    if intent.purpose is Purpose.CONSOLIDATION and len(outputs) != 1:
        yield "a consolidation into several outputs"
    if any(not dust_of(output.script) <= output.units <= UNITS_MAX for output in outputs):
        yield "an output too small to be relayed, or of too many units"
    if plan.dust_units < 0 or plan.dust_units > plan.fee_units:
        yield "more given up to the fee than the fee"


def _fee(intent: Intent, plan: BitcoinPlan, outputs: list[Output]) -> Iterator[str]:
    spent = sum(coin.units for coin in plan.inputs)
    if plan.payer != intent.payer:
        yield "change to another wallet than the payer's"
    if spent - sum(output.units for output in outputs) != plan.fee_units:
        yield "a fee that is not inputs less outputs"
    if plan.fee_units > intent.fee_max_units:
        yield "a higher fee than the intent allows"
    size = vsize(len(plan.inputs), [len(output.script) for output in outputs])
    if not fee_at(RELAY_RATE, size) <= plan.fee_units <= fee_at(RATE_MAX, size):
        yield "a fee that nodes do not relay, or that nobody pays"
    moved = sum(payment.units for payment in payments_out(intent)) or spent
    if plan.fee_units * FEE_SHARE > moved:
        yield "a fee of more than half of what moves"
