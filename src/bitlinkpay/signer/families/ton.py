"""Signing for TON: an Ed25519 signature over the request to our highload wallet, built here from intent and plan."""

from base64 import b64encode

from nacl.signing import SigningKey

from bitlinkpay.chains.outgoing import Intent, Signed
from bitlinkpay.chains.ton.boc import serialize_boc
from bitlinkpay.chains.ton.highload import external, state_init
from bitlinkpay.chains.ton.plan import PAYMENTS_MAX, TonPlan, build
from bitlinkpay.signer.families.keys import Keys
from bitlinkpay.signer.problems import PlanMismatch


def sign(intent: Intent, plan: TonPlan, keys: Keys) -> Signed:
    """Return the external message; its id is the hash by which it is known whatever its form on the way (TEP-467).

    Raises:
        PlanMismatch: the plan does not fit the intent.
        ForeignWallet, ForeignAsset: see `Keys`.
    """
    _check(intent, plan, keys)
    request = build(intent, plan, keys.asset)
    key = SigningKey(keys.private_key(intent.payer))
    signature = key.sign(request.hash).signature
    init = state_init(bytes(key.verify_key)) if plan.is_deploying else None
    wallet = intent.payer.address
    return Signed(
        txid=b64encode(external(wallet, request, signature).hash).decode(),
        raw=serialize_boc(external(wallet, request, signature, init)),
    )


def _check(intent: Intent, plan: TonPlan, keys: Keys) -> None:
    if len(plan.bounces) != len(intent.payments) or len(intent.payments) > PAYMENTS_MAX:
        raise PlanMismatch("the plan is for another number of payments")
    if any(payment.source != intent.payer for payment in intent.payments):
        raise PlanMismatch("on TON only the paying wallet itself holds money")
    tokens = [payment.asset for payment in intent.payments if not keys.asset(payment.asset).is_native]
    if any(not keys.asset(asset).wallet for asset in tokens):
        raise PlanMismatch("no jetton wallet of ours is pinned for a jetton that is to be paid")
    if not len(tokens) * plan.jetton_units <= plan.fee_units <= intent.fee_max_units:
        raise PlanMismatch(f"the fee {plan.fee_units} does not fit the intent's {intent.fee_max_units}")
    if plan.number < 0 or not 0 <= plan.created_at <= int(intent.expires_at.timestamp()):
        raise PlanMismatch("the plan's number or time is out of range")
