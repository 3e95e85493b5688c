"""When the cold list of the policy file comes into force; pure.

The first list is taken as it stands. After that a list that differs needs the signatures of two operators, and is in
force 48 hours after the signer first saw them (THREATS, rule 25).
"""

from datetime import datetime

from bitlinkpay.signer.audit.events import ColdChange, ColdInForce, ColdPlanned
from bitlinkpay.signer.policy.approval import cold_message
from bitlinkpay.signer.policy.history import History
from bitlinkpay.signer.policy.model import COLD_DELAY, COLD_OPERATORS, Policy
from bitlinkpay.signer.policy.operators import has_signed


def review(policy: Policy, history: History, fingerprint: str, now: datetime) -> ColdInForce | ColdPlanned | None:
    """Return what the file's list changes at a start of the signer, None for nothing (see `objection`)."""
    if history.cold is None or (not history.cold.addresses and history.cold != policy.cold):
        return ColdInForce(policy.cold)
    if policy.cold == history.cold:
        return ColdPlanned(None) if history.planned else None
    if history.planned and history.planned.cold == policy.cold:
        return None
    if objection(policy, history, fingerprint):
        return None
    return ColdPlanned(ColdChange(policy.cold, now + COLD_DELAY, _signers(policy, fingerprint)))


def due(history: History, now: datetime) -> ColdInForce | None:
    """Return the planned list once its time has come."""
    planned = history.planned
    return ColdInForce(planned.cold) if planned and planned.at <= now else None


def objection(policy: Policy, history: History, fingerprint: str) -> str:
    """Say why the file's list is not taken, "" where it is, or is planned."""
    if history.cold is None or policy.cold == history.cold:
        return ""
    if history.planned and history.planned.cold == policy.cold:
        return ""
    if policy.cold.serial <= history.cold.serial:
        return f"the cold list of the policy file is not in force: its serial must be above {history.cold.serial}"
    signers = _signers(policy, fingerprint)
    if len(signers) < COLD_OPERATORS:
        signed = ", ".join(signers) or "nobody"
        return (
            f"the cold list of the policy file is not in force: {COLD_OPERATORS} operators must sign it with"
            f" `bitlinkpay approve cold`, {signed} did"
        )
    return ""


def _signers(policy: Policy, fingerprint: str) -> tuple[str, ...]:
    message = cold_message(fingerprint, policy.cold)
    return tuple(
        name
        for name, signature in sorted(policy.cold_signatures.items())
        if name in policy.operators and has_signed(policy.operators[name], message, signature)
    )
