"""Signing for simulated networks: real keys and real signatures on transactions that no real network knows."""

import wallycore
from nacl.signing import SigningKey

from bitlinkpay.chains.outgoing import Intent, Signed, Wallet
from bitlinkpay.chains.simulated_plan import (
    ED25519,
    SimulatedPlan,
    SimulatedTransaction,
    Witness,
    digest,
    encode,
    parties,
    txid,
)
from bitlinkpay.signer.families.keys import Keys
from bitlinkpay.signer.hd import secp256k1_public_key
from bitlinkpay.signer.problems import PlanMismatch


def sign(intent: Intent, plan: SimulatedPlan, keys: Keys) -> Signed:
    """Return the signed transaction.

    Raises:
        PlanMismatch: the plan costs more than the intent allows, or pays in an asset of another network.
        ForeignWallet, ForeignAsset: see `Keys`.
    """
    if not 0 <= plan.fee_units <= intent.fee_max_units:
        raise PlanMismatch(f"the fee {plan.fee_units} is above the intent's {intent.fee_max_units}")
    for payment in intent.payments:
        keys.asset(payment.asset)
    message = digest(intent, plan)
    witnesses = tuple(_witness(keys, wallet, message) for wallet in parties(intent))
    raw = encode(SimulatedTransaction(intent, plan, witnesses))
    return Signed(txid(keys.network.family, raw), raw)


def _witness(keys: Keys, wallet: Wallet, message: bytes) -> Witness:
    key = keys.private_key(wallet)
    if keys.network.family in ED25519:
        pair = SigningKey(key)
        return Witness(wallet.address, bytes(pair.verify_key), pair.sign(message).signature)
    signature = bytes(wallycore.ec_sig_from_bytes(key, message, wallycore.EC_FLAG_ECDSA))
    return Witness(wallet.address, secp256k1_public_key(key), signature)
