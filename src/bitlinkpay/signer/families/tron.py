"""TRON: transactions of one contract, signed by libsecp256k1 (RFC 6979, low s) over the hash that is their id."""

import wallycore

from bitlinkpay.chains.outgoing import Intent, Signed
from bitlinkpay.chains.tron.build import build, signed_bytes, txid_of
from bitlinkpay.chains.tron.fit import misfits
from bitlinkpay.chains.tron.plan import TronPlan, asset_id_of
from bitlinkpay.signer.families.keys import Keys
from bitlinkpay.signer.problems import PlanMismatch

_RECOVERABLE = wallycore.EC_FLAG_ECDSA | wallycore.EC_FLAG_RECOVERABLE
_PLACE_MASK = 3  # of wally's first byte: 27, 4 for a compressed key, and which of four keys signed


def sign(intent: Intent, plan: TronPlan, keys: Keys) -> Signed:
    """Build the transaction from intent and plan, and sign it.

    Raises:
        PlanMismatch: the plan would not do exactly what the intent says.
        ForeignWallet, ForeignAsset: see `Keys`.
    """
    asset = keys.asset(asset_id_of(intent))
    if found := misfits(intent, plan, keys.network, asset):
        raise PlanMismatch(f"the plan does not fit its intent: {'; '.join(found)}")
    raw = build(intent, plan, asset)
    txid = txid_of(raw)
    head, *rest = wallycore.ec_sig_from_bytes(keys.private_key(intent.payer), bytes.fromhex(txid), _RECOVERABLE)
    return Signed(txid, signed_bytes(raw, bytes([*rest, (head - 27) & _PLACE_MASK])))
