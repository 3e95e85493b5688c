"""EVM: EIP-1559 transactions and EIP-7702 authorizations, signed by `eth-account` on libsecp256k1 (RFC 6979, low s)."""

from eth_account import Account
from eth_account.datastructures import SignedSetCodeAuthorization

from bitlinkpay.chains.evm.build import build
from bitlinkpay.chains.evm.fit import misfits
from bitlinkpay.chains.evm.plan import EvmPlan, asset_id_of
from bitlinkpay.chains.outgoing import Intent, Signed
from bitlinkpay.signer.families.keys import Keys
from bitlinkpay.signer.problems import PlanMismatch


def sign(intent: Intent, plan: EvmPlan, keys: Keys) -> Signed:
    """Build the transaction from intent and plan, and sign it and what it authorizes.

    Raises:
        PlanMismatch: the plan would not do exactly what the intent says.
        ForeignWallet, ForeignAsset: see `Keys`.
    """
    asset_id = asset_id_of(intent)
    asset = keys.asset(asset_id) if asset_id else None
    if found := misfits(intent, plan, keys.network, asset):
        raise PlanMismatch(f"the plan does not fit its intent: {'; '.join(found)}")
    action = build(intent, plan, asset)
    fields: dict[str, object] = {
        "type": 2,
        "chainId": plan.chain_id,
        "nonce": plan.nonce,
        "gas": plan.gas_limit,
        "maxFeePerGas": plan.max_fee,
        "maxPriorityFeePerGas": plan.priority_fee,
        "to": action.to,
        "value": action.value,
        "data": action.data,
    }
    if plan.authorizations:
        fields |= {"type": 4, "authorizationList": _authorizations(intent, plan, keys, action.delegate)}
    signed = Account.sign_transaction(fields, keys.private_key(intent.payer))
    return Signed(txid="0x" + signed.hash.hex(), raw=bytes(signed.raw_transaction))


def _authorizations(intent: Intent, plan: EvmPlan, keys: Keys, delegate: str) -> list[SignedSetCodeAuthorization]:
    """Sign the leave of each account to run our own code, and no other, on this chain (EIP-7702)."""
    wallets = {wallet.address: wallet for wallet in (intent.payer, *(p.source for p in intent.payments))}
    return [
        Account.sign_authorization(
            {"chainId": plan.chain_id, "address": delegate, "nonce": item.nonce},
            keys.private_key(wallets[item.account]),
        )
        for item in plan.authorizations
    ]
