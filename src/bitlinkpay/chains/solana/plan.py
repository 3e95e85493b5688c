"""What one Solana transaction of ours looks like but for its signatures: plan, bytes, fee, and whether they fit."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bitlinkpay.chains.outgoing import Intent, KeyRole, Payment, Purpose
from bitlinkpay.chains.solana.instructions import (
    close_account,
    create_account,
    set_compute_limit,
    set_compute_price,
    transfer_checked,
    transfer_coins,
    transfer_tokens,
)
from bitlinkpay.chains.solana.message import TRANSACTION_BYTES_MAX, Instruction, Message, compose
from bitlinkpay.chains.solana.programs import TOKEN, program_of
from bitlinkpay.core.assets import Asset, Network

SIGNATURE_FEE: Final = 5_000  # lamports a signature (solana.com/docs/core/fees)
COMPUTE_MAX: Final = 1_400_000  # compute units of one transaction (agave, `MAX_COMPUTE_UNIT_LIMIT`)
PAYING: Final = frozenset({Purpose.PAYOUT, Purpose.COLD, Purpose.GAS})
MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class SolanaPlan:
    """Everything but the signatures, with the intent.

    Attributes:
        blockhash: hash of a final block; without it the bytes can't be signed twice alike.
        reference_slot: where that block stands.
        valid_height: height (not slot) of the last block that may hold the transaction.
        compute_units: most compute units; its lowest bits are the slot number's, so that no two payments are alike.
        price_micro: millionths of a lamport offered for each of them; 0 leaves the offer out.
        is_checked: whether token transfers name mint and decimals.
        creates: per payment, whether the recipient's token account is created first.
        closes: per payment, whether the emptied token account is closed and its rent goes to the payer.
        rent_units: lamports that one new token account costs.
    """

    blockhash: str
    reference_slot: int
    valid_height: int
    compute_units: int
    price_micro: int
    is_checked: bool
    creates: tuple[bool, ...]
    closes: tuple[bool, ...]
    rent_units: int


def build(intent: Intent, plan: SolanaPlan, asset: Asset) -> Message:
    """Return the message that intent and plan fix, the same on every machine."""
    calls = [set_compute_limit(plan.compute_units)]
    if plan.price_micro:
        calls.append(set_compute_price(plan.price_micro))
    for payment, creates, closes in zip(intent.payments, plan.creates, plan.closes, strict=True):
        calls += _calls(intent, plan, asset, payment, creates=creates, closes=closes)
    return compose(intent.payer.address, calls, plan.blockhash)


def _calls(
    intent: Intent, plan: SolanaPlan, asset: Asset, payment: Payment, *, creates: bool, closes: bool
) -> Iterator[Instruction]:
    source, target, payer = payment.source.address, payment.target, intent.payer.address
    if asset.is_native:
        yield transfer_coins(source, target, payment.units)
        return
    mint, program = asset.contract, program_of(asset)
    if creates:
        yield create_account(payer, target, mint, program)
    if plan.is_checked:
        yield transfer_checked(source, target, payment.units, mint=mint, program=program, decimals=asset.decimals)
    else:
        yield transfer_tokens(source, target, payment.units, mint=mint, program=program)
    if closes:
        yield close_account(source, payer, mint=mint, program=program)


def network_fee(plan: SolanaPlan, signatures: int) -> int:
    """Return the lamports that the network keeps: so much a signature, and the offer for the limit, rounded up."""
    return SIGNATURE_FEE * signatures - (-plan.compute_units * plan.price_micro // MICRO)


def fee_units(intent: Intent, plan: SolanaPlan) -> int:
    """Return the most that the transaction takes from the payer beside the payments: fee, and rent of new accounts."""
    signatures = len({intent.payer.address, *(payment.source.address for payment in intent.payments)})
    return network_fee(plan, signatures) + plan.rent_units * sum(plan.creates)


def misfits(intent: Intent, plan: SolanaPlan, network: Network, asset: Asset) -> tuple[str, ...]:
    """Return in which ways a plan would not do exactly what the intent says, nothing if it does.

    Args:
        intent: what shall happen.
        plan: how.
        network: the registry's row of the intent's network, as the caller itself knows it.
        asset: the same of its asset.
    """
    found = [*_rows(intent, network, asset), *_numbers(plan), *_parties(intent), *_accounts(intent, plan, asset)]
    if not found and fee_units(intent, plan) > intent.fee_max_units:
        found.append("a higher fee than the intent allows")
    if not found and build(intent, plan, asset).size > TRANSACTION_BYTES_MAX:
        found.append("more payments than one transaction carries")
    return tuple(found)


def _rows(intent: Intent, network: Network, asset: Asset) -> Iterator[str]:
    if network.id != intent.network or asset.network != network.id:
        yield "another network"
    if {payment.asset for payment in intent.payments} != {asset.id}:
        yield "another asset, several, or no payment"
    if any(payment.tag for payment in intent.payments):
        yield "a memo, which decides nothing on Solana"


def _numbers(plan: SolanaPlan) -> Iterator[str]:
    if not 0 < plan.compute_units <= COMPUTE_MAX:
        yield "a compute limit that no block takes"
    if min(plan.price_micro, plan.rent_units, plan.reference_slot, plan.valid_height) < 0:
        yield "a negative number"


def _parties(intent: Intent) -> Iterator[str]:
    sources = [payment.source for payment in intent.payments]
    if intent.purpose in PAYING:
        if any(source != intent.payer for source in sources):
            yield "a payment out of another wallet"
    elif intent.purpose is Purpose.SWEEP:
        if any(source.role is not KeyRole.DEPOSIT for source in sources):
            yield "a source that is no deposit address"
        if len({source.address for source in sources}) != len(sources):
            yield "an address that is swept twice"
        if any(payment.target != intent.payer.address for payment in intent.payments):
            yield "a sweep to another address than the paying wallet's"
    else:
        yield f"no payment: {intent.purpose}"


def _accounts(intent: Intent, plan: SolanaPlan, asset: Asset) -> Iterator[str]:
    if not len(plan.creates) == len(plan.closes) == len(intent.payments):
        yield "a plan for another number of payments"
    if asset.is_native and any((*plan.creates, *plan.closes)):
        yield "token accounts for native coin"
    if any(plan.closes) and intent.purpose is not Purpose.SWEEP:
        yield "an account that is closed though it pays"
    if not plan.is_checked and not asset.is_native and program_of(asset) != TOKEN:
        yield "a transfer that says nothing about the mint, which may take a fee"
