"""Signing for Solana: Ed25519 signatures (RFC 8032) over the message that is built here from intent and plan."""

from nacl.signing import SigningKey

from bitlinkpay.chains.codec.solana import base58
from bitlinkpay.chains.outgoing import Intent, Signed
from bitlinkpay.chains.solana.message import serialize
from bitlinkpay.chains.solana.plan import SolanaPlan, build, misfits
from bitlinkpay.signer.families.keys import Keys
from bitlinkpay.signer.problems import PlanMismatch


def sign(intent: Intent, plan: SolanaPlan, keys: Keys) -> Signed:
    """Return the signed transaction; its id is the payer's signature.

    Raises:
        PlanMismatch: the plan would not do exactly what the intent says.
        ForeignWallet, ForeignAsset: see `Keys`.
    """
    if not intent.payments:
        raise PlanMismatch("an intent without payments, which Solana has no use for")
    asset = keys.asset(intent.payments[0].asset)
    if found := misfits(intent, plan, keys.network, asset):
        raise PlanMismatch(f"the plan does not fit its intent: {'; '.join(found)}")
    message = build(intent, plan, asset)
    wallets = {wallet.address: wallet for wallet in (intent.payer, *(payment.source for payment in intent.payments))}
    signatures = [
        SigningKey(keys.private_key(wallets[signer])).sign(message.raw).signature for signer in message.signers
    ]
    return Signed(txid=base58(signatures[0]), raw=serialize(message, signatures))
