"""Bitcoin: P2WPKH inputs, signed over everything (BIP-143, SIGHASH_ALL) by wallycore with low r and low s."""

from typing import Final

import wallycore

from bitlinkpay.chains.bitcoin.build import build, with_witnesses
from bitlinkpay.chains.bitcoin.fit import misfits
from bitlinkpay.chains.bitcoin.plan import BitcoinPlan
from bitlinkpay.chains.bitcoin.script import key_hash_script, prefixes_of
from bitlinkpay.chains.bitcoin.wire import sha256d
from bitlinkpay.chains.outgoing import Intent, Signed, Unspent
from bitlinkpay.signer.families.keys import Keys
from bitlinkpay.signer.hd import secp256k1_public_key
from bitlinkpay.signer.problems import PlanMismatch

_SIGHASH_ALL: Final = b"\x01"
_FLAGS: Final = wallycore.EC_FLAG_ECDSA | wallycore.EC_FLAG_GRIND_R


def sign(intent: Intent, plan: BitcoinPlan, keys: Keys) -> Signed:
    """Build the transaction from intent and plan, and sign every input of it.

    A lie about an input's value or owner gives a signature that no node takes (BIP-143): the fee that was checked is
    the fee that is paid.

    Raises:
        PlanMismatch: the plan would not do exactly what the intent says.
        ForeignWallet, ForeignAsset: see `Keys`.
    """
    asset = keys.asset(intent.payments[0].asset) if intent.payments else None
    if found := misfits(intent, plan, keys.network, asset):
        raise PlanMismatch(f"the plan does not fit its intent: {'; '.join(found)}")
    unsigned = build(intent, plan, prefixes_of(keys.network))
    parsed = wallycore.tx_from_bytes(unsigned, 0)
    witnesses = [_witness(parsed, index, spent, keys) for index, spent in enumerate(plan.inputs)]
    return Signed(txid=sha256d(unsigned)[::-1].hex(), raw=with_witnesses(unsigned, witnesses))


def _witness(transaction: object, index: int, spent: Unspent, keys: Keys) -> tuple[bytes, bytes]:
    """Return signature and public key of one input, the signature verified once more before it leaves."""
    key = keys.private_key(spent.owner)
    public_key = secp256k1_public_key(key)
    code = key_hash_script(bytes(wallycore.hash160(public_key)))
    digest = wallycore.tx_get_btc_signature_hash(
        transaction, index, code, spent.units, wallycore.WALLY_SIGHASH_ALL, wallycore.WALLY_TX_FLAG_USE_WITNESS
    )
    signature = wallycore.ec_sig_from_bytes(key, digest, _FLAGS)
    wallycore.ec_sig_verify(public_key, digest, wallycore.EC_FLAG_ECDSA, signature)
    return bytes(wallycore.ec_sig_to_der(signature)) + _SIGHASH_ALL, public_key
