"""From intent and plan to the unsigned transaction: pure, and done twice, by the sender and by the signer."""

from dataclasses import dataclass
from typing import assert_never

from bitlinkpay.chains.evm import abi
from bitlinkpay.chains.evm.delegates import FACTORY, PAY_NATIVE, PAY_TOKENS, SWEEP_TOKENS, delegates_of, deployment
from bitlinkpay.chains.evm.plan import EvmPlan, Shape
from bitlinkpay.chains.outgoing import Intent
from bitlinkpay.core.assets import Asset


@dataclass(frozen=True, slots=True)
class Action:
    """What a transaction does.

    Attributes:
        to: canonical address that it calls.
        value: wei that it carries.
        data: call data.
        delegate: canonical address that its authorizations delegate to, "" without any.
    """

    to: str
    value: int
    data: bytes
    delegate: str = ""


def build(intent: Intent, plan: EvmPlan, asset: Asset | None) -> Action:
    """Return the action of a plan that fits its intent (`plan.misfits`). It never depends on the plan's fees."""
    payer = intent.payer.address
    match plan.shape:
        case Shape.NATIVE:
            (payment,) = intent.payments
            return Action(payment.target, payment.units, b"")
        case Shape.TOKEN:
            (payment,) = intent.payments
            return Action(_contract(asset), 0, abi.transfer(payment.target, payment.units))
        case Shape.BATCH:
            return Action(payer, 0, _batch(intent, plan, asset))
        case Shape.SWEEP:
            pairs = [(payment.source.address, payment.units) for payment in intent.payments]
            head = (abi.address_word(_contract(asset)), abi.word(plan.item_gas))
            delegate = delegates_of(payer).sweeper if plan.authorizations else ""
            return Action(payer, 0, abi.with_pairs(SWEEP_TOKENS, head, pairs), delegate)
        case Shape.DELEGATION:
            executor = delegates_of(payer).executor
            return Action(FACTORY, 0, deployment(payer), executor) if plan.deploys else Action(payer, 0, b"", executor)
        case Shape.CANCEL:
            return Action(payer, 0, b"")
        case _:
            assert_never(plan.shape)


def _batch(intent: Intent, plan: EvmPlan, asset: Asset | None) -> bytes:
    pairs = [(payment.target, payment.units) for payment in intent.payments]
    if asset is not None and asset.is_native:
        return abi.with_pairs(PAY_NATIVE, (abi.word(plan.item_gas),), pairs)
    return abi.with_pairs(PAY_TOKENS, (abi.address_word(_contract(asset)), abi.word(plan.item_gas)), pairs)


def _contract(asset: Asset | None) -> str:
    assert asset is not None, "a payment of no asset"
    assert not asset.is_native, f"{asset.id} has no contract"
    return asset.contract
