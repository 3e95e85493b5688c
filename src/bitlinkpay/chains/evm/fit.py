"""Whether a plan does exactly what its intent says: the sender asserts it, the signer signs nothing else."""

from collections.abc import Iterator

from bitlinkpay.chains.codec.evm import parse
from bitlinkpay.chains.evm.plan import BATCHES, Authorization, EvmPlan, Shape
from bitlinkpay.chains.outgoing import Intent, KeyRole, Purpose
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.errors import Invalid

GAS_MAX = 16_777_216  # EIP-7825: no transaction may have more
ITEMS_MAX = 256  # one bit each, see contracts/wallets.sol
_PAYING = frozenset({Shape.NATIVE, Shape.TOKEN, Shape.BATCH})
_SHAPES = {
    Purpose.PAYOUT: _PAYING,
    Purpose.GAS: _PAYING,
    Purpose.COLD: _PAYING,
    Purpose.SWEEP: frozenset({Shape.NATIVE, Shape.TOKEN, Shape.SWEEP}),
    Purpose.SETUP: frozenset({Shape.DELEGATION}),
    Purpose.CANCEL: frozenset({Shape.CANCEL}),
}


def misfits(intent: Intent, plan: EvmPlan, network: Network, asset: Asset | None) -> tuple[str, ...]:
    """Return in which ways a plan would not do exactly what the intent says, nothing if it does.

    Args:
        intent: what shall happen.
        plan: how.
        network: the registry's row of the intent's network, as the caller itself knows it.
        asset: the same of its asset, None without payments.
    """
    found = [*_network(intent, plan, network), *_asset(intent, plan, network, asset), *_fees(intent, plan)]
    found += _authorizations(intent, plan)
    if plan.shape not in _SHAPES.get(intent.purpose, frozenset()):
        found.append(f"{plan.shape} is no way to do a {intent.purpose}")
    match plan.shape:
        case Shape.NATIVE | Shape.TOKEN:
            found += _single(intent)
        case Shape.BATCH:
            found += _batch(intent)
        case Shape.SWEEP:
            found += _sweep(intent)
        case Shape.DELEGATION | Shape.CANCEL if intent.payments:
            found.append("payments that it would not make")
    return tuple(found)


def _network(intent: Intent, plan: EvmPlan, network: Network) -> Iterator[str]:
    if network.id != intent.network:
        yield "another network"
    if plan.chain_id != network.chain_id or plan.chain_id < 1:
        yield "another chain id"
    if any(payment.tag for payment in intent.payments):
        yield "a memo, which EVM networks do not have"
    if not all(_is_canonical(payment.target) for payment in intent.payments):
        yield "a target that is no address in its canonical form"


def _is_canonical(address: str) -> bool:
    try:
        return parse(address) == address
    except Invalid:
        return False


def _asset(intent: Intent, plan: EvmPlan, network: Network, asset: Asset | None) -> Iterator[str]:
    if {payment.asset for payment in intent.payments} != ({asset.id} if asset else set()):
        yield "another asset, or several"
    if asset is None:
        return
    if asset.network != network.id:
        yield "an asset of another network"
    if (plan.shape is Shape.NATIVE and not asset.is_native) or (
        plan.shape in {Shape.TOKEN, Shape.SWEEP} and asset.is_native
    ):
        yield "a shape for another kind of asset"


def _fees(intent: Intent, plan: EvmPlan) -> Iterator[str]:
    if not 0 < plan.gas_limit <= GAS_MAX:
        yield "a gas limit that no block takes"
    if not 0 <= plan.priority_fee <= plan.max_fee:
        yield "a tip above the fee"
    if plan.fee_max_units > intent.fee_max_units:
        yield "a higher fee than the intent allows"
    if plan.nonce < 0:
        yield "a negative nonce"
    if (plan.item_gas > 0) != (plan.shape in BATCHES):
        yield "a limit per item without items, or items without a limit"


def _authorizations(intent: Intent, plan: EvmPlan) -> Iterator[str]:
    accounts = [authorization.account for authorization in plan.authorizations]
    if len(set(accounts)) != len(accounts):
        yield "an account that authorizes twice"
    if plan.shape is Shape.DELEGATION:
        if plan.authorizations != (Authorization(intent.payer.address, plan.nonce + 1),):
            yield "another authorization than the wallet's own, right after its transaction"
    elif plan.shape is Shape.SWEEP:
        if not set(accounts) <= {payment.source.address for payment in intent.payments}:
            yield "an authorization of an account that is not swept"
    elif plan.authorizations:
        yield "authorizations that nothing needs"
    if plan.deploys and plan.shape is not Shape.DELEGATION:
        yield "a deployment that is no delegation"
    if plan.shape in BATCHES | {Shape.DELEGATION} and intent.payer.role is not KeyRole.HOT:
        yield "code at a wallet that is not hot"


def _single(intent: Intent) -> Iterator[str]:
    if len(intent.payments) != 1:
        yield "one payment's shape for another number of them"
    elif intent.payments[0].source != intent.payer:
        yield "a payment out of another wallet"


def _batch(intent: Intent) -> Iterator[str]:
    yield from _count(intent)
    if any(payment.source != intent.payer for payment in intent.payments):
        yield "a payment out of another wallet"


def _sweep(intent: Intent) -> Iterator[str]:
    yield from _count(intent)
    sources = [payment.source for payment in intent.payments]
    if len({source.address for source in sources}) != len(sources):
        yield "an address that is swept twice"
    if any(source.role is not KeyRole.DEPOSIT for source in sources):
        yield "a source that is no deposit address"
    if any(payment.target != intent.payer.address for payment in intent.payments):
        yield "a sweep to another address than the paying wallet's"


def _count(intent: Intent) -> Iterator[str]:
    if not 1 <= len(intent.payments) <= ITEMS_MAX:
        yield f"not 1 to {ITEMS_MAX} payments"
