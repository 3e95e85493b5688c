"""From intent and plan to the bytes that are signed: pure, and done twice, by the sender and by the signer.

Messages and numbers are those of java-tron's core/Tron.proto and its contracts; the bytes are the canonical ones, so
that their hash is the transaction's id.
"""

from hashlib import sha256
from typing import Final

from bitlinkpay.chains.codec import abi
from bitlinkpay.chains.codec.evm import keccak256
from bitlinkpay.chains.codec.tron import to_bytes
from bitlinkpay.chains.outgoing import Intent, Payment, Purpose
from bitlinkpay.chains.tron.kinds import Kind
from bitlinkpay.chains.tron.plan import TronPlan
from bitlinkpay.chains.tron.protobuf import data, message, number
from bitlinkpay.core.assets import Asset

TRANSFER: Final = "transfer(address,uint256)"
SIGNATURE_BYTES: Final = 65
_SELECTOR = keccak256(TRANSFER.encode())[:4]
ENERGY: Final = 1  # ResourceCode
_TYPE_URL = b"type.googleapis.com/protocol."
_REF_BYTES, _REF_HASH = slice(6, 8), slice(8, 16)


def build(intent: Intent, plan: TronPlan, asset: Asset) -> bytes:
    """Return the raw bytes of a plan that fits its intent (`fit.misfits`)."""
    (payment,) = intent.payments
    kind, name, body = _contract(intent.purpose, payment, asset)
    contract = message(11, number(1, kind), message(2, data(1, _TYPE_URL + name), data(2, body)))
    return b"".join(
        (
            data(1, plan.ref_height.to_bytes(8, "big")[_REF_BYTES]),
            data(4, plan.ref_id[_REF_HASH]),
            number(8, plan.expiration_ms),
            contract,
            number(14, plan.timestamp_ms),
            number(18, plan.fee_limit),
        )
    )


def _contract(purpose: Purpose, payment: Payment, asset: Asset) -> tuple[Kind, bytes, bytes]:
    source, target = data(1, to_bytes(payment.source.address)), to_bytes(payment.target)
    if purpose is Purpose.LEND:
        body = source + number(2, ENERGY) + number(3, payment.units) + data(4, target)
        return Kind.DELEGATE, b"DelegateResourceContract", body
    if purpose is Purpose.RECALL:
        body = source + number(2, ENERGY) + number(3, payment.units) + data(4, target)
        return Kind.UNDELEGATE, b"UnDelegateResourceContract", body
    if asset.is_native:
        return Kind.TRANSFER, b"TransferContract", source + data(2, target) + number(3, payment.units)
    body = source + data(2, to_bytes(asset.contract)) + data(4, _SELECTOR + transfer_arguments(payment))
    return Kind.TRIGGER_CONTRACT, b"TriggerSmartContract", body


def transfer_arguments(payment: Payment) -> bytes:
    """Return the ABI-encoded arguments of a TRC-20 `transfer`."""
    return abi.word(to_bytes(payment.target)[1:]) + abi.word(payment.units.to_bytes(abi.WORD_BYTES, "big"))


def txid_of(raw: bytes) -> str:
    """Return the id of a transaction, which its signature has no part in."""
    return sha256(raw).hexdigest()


def signed_bytes(raw: bytes, signature: bytes) -> bytes:
    """Return a transaction as it is sent."""
    assert len(signature) == SIGNATURE_BYTES, "a signature is r, s and one byte to recover the key by"
    return message(1, raw) + message(2, signature)
