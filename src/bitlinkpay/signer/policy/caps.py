"""What payments take from the caps, and which of them need a person; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

import msgspec

from bitlinkpay.chains.outgoing import Intent, Payment
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.money import Amount
from bitlinkpay.signer.audit.events import Approved
from bitlinkpay.signer.policy.approval import Approval
from bitlinkpay.signer.policy.history import History
from bitlinkpay.signer.policy.model import DAY, HOUR, Caps, Policy
from bitlinkpay.signer.problems import ApprovalNeeded, CapReached, SignerRefused


@dataclass(slots=True)
class Charge:
    """What the payments of an intent take."""

    takes: dict[str, int] = field(default_factory=dict)
    approvals: list[str] = field(default_factory=list)


def request_id(network: str, payment: Payment | Approval) -> str:
    """Return the name under which an operator approves a payment: 16 hex digits over all that an approval covers."""
    return sha256(msgspec.json.encode(_covered(network, payment))).hexdigest()[:16]


def covers(approved: Approved, network: str, payment: Payment) -> bool:
    """Say whether an approval is for exactly this payment."""
    return _covered(approved.network, approved) == _covered(network, payment)


def charge(policy: Policy, history: History, intent: Intent, assets: Mapping[str, Asset], now: datetime) -> Charge:
    """Return what an intent's payments take from the caps, and the approvals that they use up.

    What an operator approved takes nothing from the caps.

    Raises:
        ApprovalNeeded: some are above the cap of a payment, and nobody approved them.
        CapReached: some do not fit into what is left of the hour or the day.
        SignerRefused: an asset has no caps.
    """
    charged, approvals = Charge(), history.list_approvals(now)
    needy: list[int] = []
    full: list[int] = []
    for place, payment in enumerate(intent.payments):
        caps = _caps(policy, payment.asset)
        taken = charged.takes.get(payment.asset, 0)
        approved = next((one for one in approvals if covers(one, intent.network, payment)), None)
        if payment.units <= min(caps.payment, _left(history, payment.asset, caps, now) - taken):
            charged.takes[payment.asset] = taken + payment.units
        elif approved:
            approvals.remove(approved)
            charged.approvals.append(approved.reference)
        else:
            (needy if payment.units > caps.payment else full).append(place)
    _refuse(policy, intent, assets, needy=needy, full=full)
    return charged


def _covered(network: str, payment: Payment | Approval | Approved) -> tuple[str, str, str, str, int]:
    return network, payment.asset, payment.target, payment.tag, payment.units


def _caps(policy: Policy, asset: str) -> Caps:
    caps = policy.caps.get(asset)
    if caps is None:
        line = f'{asset} = {{ payment = "…", hour = "…", day = "…" }}'
        raise SignerRefused(
            f"{asset} has no caps: add `{line}` under [caps] in the signer's policy.toml and restart it"
        )
    return caps


def _left(history: History, asset: str, caps: Caps, now: datetime) -> int:
    return min(caps.hour - history.windows.spent(asset, HOUR, now), caps.day - history.windows.spent(asset, DAY, now))


def _refuse(
    policy: Policy, intent: Intent, assets: Mapping[str, Asset], *, needy: Sequence[int], full: Sequence[int]
) -> None:
    if needy:
        first = intent.payments[needy[0]]
        cap = Amount(assets[first.asset], policy.caps[first.asset].payment)
        raise ApprovalNeeded(
            f"{Amount(assets[first.asset], first.units)} to {first.target} is above the cap of {cap} a payment:"
            f" approve it with `bitlinkpay approve {request_id(intent.network, first)}`",
            tuple(needy),
        )
    if full:
        first = intent.payments[full[0]]
        raise CapReached(
            f"{Amount(assets[first.asset], first.units)} to {first.target} does not fit into what the caps leave of"
            f" this hour or day: wait, or approve it with `bitlinkpay approve {request_id(intent.network, first)}`",
            tuple(full),
        )
