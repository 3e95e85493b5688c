"""A TON transaction of ours before it is signed: the plan, and the cells that intent and plan together fix."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bitlinkpay.chains.outgoing import Intent, Payment
from bitlinkpay.chains.ton.body import JettonTransfer
from bitlinkpay.chains.ton.cell import Cell
from bitlinkpay.chains.ton.highload import Outgoing, batch, query_id, request
from bitlinkpay.chains.ton.memo import comment
from bitlinkpay.core.assets import Asset

PAYMENTS_MAX: Final = 100  # of 254 that the contract takes: the message stays far below the network's 64 KiB
FORWARDED_UNITS: Final = 1  # one nanoton goes on with jettons: the least with which the recipient is told of them

AssetOf = Callable[[str], Asset]


@dataclass(frozen=True, slots=True)
class TonPlan:
    """Everything but the signature.

    Attributes:
        number: the lane's running number, which gives the query id.
        created_at: Unix seconds, by the chain's own clock; the request dies `highload.TIMEOUT_S` later.
        is_deploying: whether the wallet's first state travels along.
        bounces: per payment whether coins come back when nobody takes them: only from where a contract is.
        jetton_units: nanotons that travel with each transfer of jettons; what is left of them comes back.
        fee_units: nanotons that the network takes at most.
    """

    number: int
    created_at: int
    is_deploying: bool
    bounces: tuple[bool, ...]
    jetton_units: int
    fee_units: int


def build(intent: Intent, plan: TonPlan, asset_of: AssetOf) -> Cell:
    """Return the request to the wallet that is to be signed."""
    query = query_id(plan.number)
    return request(batch(intent.payer.address, messages(intent, plan, asset_of), query), query, plan.created_at)


def messages(intent: Intent, plan: TonPlan, asset_of: AssetOf) -> Sequence[Outgoing]:
    """Return what the wallet sends: one message a payment, in their order."""
    return [
        _message(intent, plan, place, payment, asset_of(payment.asset)) for place, payment in enumerate(intent.payments)
    ]


def _message(intent: Intent, plan: TonPlan, place: int, payment: Payment, asset: Asset) -> Outgoing:
    if asset.is_native:
        body = comment(payment.tag) if payment.tag else None
        return Outgoing(payment.target, payment.units, plan.bounces[place], body)
    transfer = JettonTransfer(
        query_id=jetton_query(intent, place),
        units=payment.units,
        target=payment.target,
        answer_to=intent.payer.address,
        forwarded_units=FORWARDED_UNITS,
        memo=payment.tag,
    )
    return Outgoing(asset.wallet, plan.jetton_units, bounce=True, body=transfer.body())


def jetton_query(intent: Intent, place: int) -> int:
    """Return what tells one transfer of jettons from every other of ours."""
    return ((intent.intent_id.int & ((1 << 56) - 1)) << 8) | place
