"""Whether a plan does exactly what its intent says: the sender asserts it, the signer signs nothing else."""

from collections.abc import Iterator
from typing import Final

from bitlinkpay.chains.outgoing import LOANS, Intent, KeyRole, Purpose
from bitlinkpay.chains.tron.plan import ID_BYTES, TronPlan
from bitlinkpay.core.assets import Asset, Network

LIFE_MAX_MS: Final = 600_000
"""How long a transaction of ours may wait at most; the network itself would take a day."""

_NUMBER_MAX = 2**63 - 1
_UNITS_MAX = 2**256 - 1
_PAYS = frozenset({Purpose.PAYOUT, Purpose.SWEEP, Purpose.GAS, Purpose.COLD})


def misfits(intent: Intent, plan: TronPlan, network: Network, asset: Asset) -> tuple[str, ...]:
    """Return in which ways a plan would not do exactly what the intent says, nothing if it does.

    Args:
        intent: what shall happen.
        plan: how.
        network: the registry's row of the intent's network, as the caller itself knows it.
        asset: the same of its payment's asset.
    """
    return (*_payment(intent, network, asset), *_times(plan), *_fees(intent, plan, asset))


def _payment(intent: Intent, network: Network, asset: Asset) -> Iterator[str]:
    if intent.purpose not in _PAYS | LOANS:
        yield f"TRON has no way to do a {intent.purpose}"
    if intent.network != network.id or asset.network != network.id:
        yield "another network"
    if len(intent.payments) != 1:
        yield "one transaction makes one payment"
        return
    (payment,) = intent.payments
    if payment.asset != asset.id:
        yield "another asset"
    if payment.source != intent.payer:
        yield "a payment out of another wallet"
    if payment.tag:
        yield "a memo, which pays nobody on TRON"
    if payment.target == payment.source.address:
        yield "a payment to oneself, which no block takes"
    if payment.units > (_NUMBER_MAX if asset.is_native else _UNITS_MAX):
        yield "more than there can be"
    if intent.purpose in LOANS and (not asset.is_native or intent.payer.role is not KeyRole.HOT):
        yield "a loan of anything but a hot wallet's stake"


def _times(plan: TronPlan) -> Iterator[str]:
    if len(plan.ref_id) != ID_BYTES or plan.ref_id[:8] != plan.ref_height.to_bytes(8, "big"):
        yield "a block id that is not that of the height"
    if not 0 < plan.timestamp_ms < plan.expiration_ms <= plan.timestamp_ms + LIFE_MAX_MS:
        yield f"a life of not more than {LIFE_MAX_MS // 1000} seconds"


def _fees(intent: Intent, plan: TronPlan, asset: Asset) -> Iterator[str]:
    if min(plan.fee_limit, plan.burnt_units) < 0 or plan.fee_limit > _NUMBER_MAX:
        yield "a fee that cannot be"
    if plan.fee_max_units > intent.fee_max_units:
        yield "a higher fee than the intent allows"
    if (plan.fee_limit > 0) != (not asset.is_native):
        yield "a limit for energy that nothing uses, or none for code"
