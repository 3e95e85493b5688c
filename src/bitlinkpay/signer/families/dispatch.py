"""Which plan belongs to which network, what makes two plans exclude each other, and who signs: the one closed list."""

from hashlib import sha256
from typing import assert_never

import msgspec

from bitlinkpay.chains.bitcoin.plan import BitcoinPlan
from bitlinkpay.chains.evm.plan import EvmPlan
from bitlinkpay.chains.outgoing import Intent, Signed
from bitlinkpay.chains.simulated_plan import SimulatedPlan
from bitlinkpay.chains.solana.plan import SolanaPlan
from bitlinkpay.chains.ton.plan import TonPlan
from bitlinkpay.chains.tron.plan import TronPlan
from bitlinkpay.core.assets import Family, Network
from bitlinkpay.core.mode import Mode
from bitlinkpay.signer.families import bitcoin, evm, simulated, solana, ton, tron
from bitlinkpay.signer.families.keys import Keys
from bitlinkpay.signer.problems import PlanMismatch

Plan = SimulatedPlan | EvmPlan | BitcoinPlan | SolanaPlan | TonPlan | TronPlan


def read_plan(mode: Mode, network: Network, text: bytes) -> Plan:
    """Read the plan of a network's family; in a sandbox every network is simulated, elsewhere none.

    Raises:
        PlanMismatch: it is another thing, or no plan of this family can be signed yet.
    """
    try:
        plan = msgspec.json.decode(text, type=_plan_type(mode, network))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, AssertionError) as error:
        raise PlanMismatch(f"not a plan for {network.id}: {error}") from None
    if msgspec.json.encode(plan) != text:
        raise PlanMismatch(f"not a plan for {network.id}: it says more than one, or says it otherwise")
    return plan


def place(plan: Plan) -> str:
    """Return what two plans of one intent must share so that at most one of them takes effect on the chain."""
    match plan:
        case SimulatedPlan():
            return f"number {plan.number}"
        case EvmPlan():
            return f"nonce {plan.nonce}"
        case BitcoinPlan():
            return "outputs " + " ".join(sorted(f"{spent.txid}:{spent.vout}" for spent in plan.inputs))
        case TonPlan():  # a number that is used again later is taken again once the wallet has forgotten the first
            return f"number {plan.number} of {plan.created_at}"
        case SolanaPlan() | TronPlan():  # any two may both be put into a block
            return sha256(msgspec.json.encode(plan)).hexdigest()
        case _:
            assert_never(plan)


def sign(intent: Intent, plan: Plan, keys: Keys) -> Signed:
    """Build the transaction from intent and plan, and sign it.

    Raises:
        PlanMismatch: the plan would not do exactly what the intent says.
        ForeignWallet, ForeignAsset: see `Keys`.
    """
    match plan:
        case SimulatedPlan():
            return simulated.sign(intent, plan, keys)
        case EvmPlan():
            return evm.sign(intent, plan, keys)
        case BitcoinPlan():
            return bitcoin.sign(intent, plan, keys)
        case TonPlan():
            return ton.sign(intent, plan, keys)
        case TronPlan():
            return tron.sign(intent, plan, keys)
        case SolanaPlan():
            return solana.sign(intent, plan, keys)
        case _:
            assert_never(plan)


def _plan_type(mode: Mode, network: Network) -> type[Plan]:
    if mode is Mode.SANDBOX:
        return SimulatedPlan
    match network.family:
        case Family.EVM:
            return EvmPlan
        case Family.BITCOIN:
            return BitcoinPlan
        case Family.TON:
            return TonPlan
        case Family.TRON:
            return TronPlan
        case Family.SOLANA:
            return SolanaPlan
        case _:
            assert_never(network.family)
