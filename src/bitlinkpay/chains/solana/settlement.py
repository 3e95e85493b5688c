"""What a final transaction of ours cost and gave back, out of its balances. Pure."""

from dataclasses import dataclass

from bitlinkpay.chains.base import GapError
from bitlinkpay.chains.outgoing import Intent
from bitlinkpay.chains.solana.calls import account_keys
from bitlinkpay.chains.solana.plan import SolanaPlan
from bitlinkpay.chains.solana.programs import associated, program_of
from bitlinkpay.chains.solana.wire import Found, Malformed, Meta
from bitlinkpay.core.assets import Asset


@dataclass(frozen=True, slots=True)
class Settlement:
    """Native units that the network took from the payer, rent of new accounts included, and gave back to it."""

    fee_units: int
    returned_units: int


def read_settlement(intent: Intent, plan: SolanaPlan, asset: Asset, found: Found) -> Settlement:
    """Return what the payer's balance tells beside the payments themselves.

    Raises:
        GapError: the node did not keep what the transaction did.
        Malformed: another transaction than ours.
    """
    meta = found.meta
    if meta is None:
        raise GapError("a node did not keep what a transaction of ours did")
    keys = account_keys(found)
    payer = intent.payer.address
    if not len(keys) == len(meta.pre_balances) == len(meta.post_balances) or not keys or keys[0] != payer:
        raise Malformed("a node sent another transaction than ours")
    taken = meta.pre_balances[0] - meta.post_balances[0]
    if not meta.is_success:
        return Settlement(taken, 0)
    native = intent.payments if asset.is_native else ()
    paid = sum(payment.units for payment in native if payment.source.address == payer)
    swept = sum(payment.units for payment in native if payment.target == payer)
    returned = _rents(intent, plan, asset, keys, meta)
    return Settlement(taken - paid + swept + returned, returned)


def _rents(intent: Intent, plan: SolanaPlan, asset: Asset, keys: list[str], meta: Meta) -> int:
    """Return what the accounts held that were closed."""
    closed = [payment.source.address for payment, closes in zip(intent.payments, plan.closes, strict=True) if closes]
    places = {key: place for place, key in enumerate(keys)}
    accounts = (associated(owner, asset.contract, program_of(asset)) for owner in closed)
    return sum(meta.pre_balances[places[account]] for account in accounts if account in places)
