"""May this be signed? Pure: policy, memory, question and time in, a grant or a refusal out.

Whoever owns the platform's database can ask for anything. What he gets is bounded here: money leaves to strangers
within the caps or by an operator's hand, and to nobody else but ourselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, assert_never

from bitlinkpay.chains.outgoing import Intent, KeyRole, Payment, Purpose
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.money import Amount
from bitlinkpay.signer.policy.caps import charge
from bitlinkpay.signer.policy.history import Attempt, History, Known
from bitlinkpay.signer.policy.model import DAY, LONGEST_LIFE, Policy
from bitlinkpay.signer.problems import CapReached, SignerRefused

FROM_PAYER: Final = frozenset({Purpose.PAYOUT, Purpose.GAS, Purpose.LEND, Purpose.RECALL})
"""These take the paying wallet's own money."""

FROM_DEPOSITS: Final = frozenset({Purpose.SWEEP, Purpose.SETUP, Purpose.CANCEL})
"""Deposit addresses may pay fees for these only."""


class Kind(StrEnum):
    """How a version of an intent relates to those signed before."""

    FIRST = "first"
    REPLAY = "replay"  # the same question: the same bytes, nothing new is given away
    BUMP = "bump"  # excludes the earlier one on the chain: at most one takes effect
    AGAIN = "again"  # the earlier ones are said to be dead: it is paid for again out of the caps


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        intent: what shall happen.
        network: its network, by the signer's own registry.
        assets: the assets of that network.
        content: SHA-256 of the intent.
        plan: SHA-256 of the plan.
        place: what makes two plans exclude each other.
        hot: our hot wallets' addresses on this network.
        own: addresses that the signer derived again because the asker says that they are ours.
        dead: transaction ids that the asker claims are dead for ever.
    """

    intent: Intent
    network: Network
    assets: Mapping[str, Asset]
    content: str
    plan: str
    place: str
    hot: frozenset[str]
    own: frozenset[str]
    dead: frozenset[str]


@dataclass(frozen=True, slots=True)
class Grant:
    """Permission to sign: what it takes from the caps, and the approvals that it uses up."""

    kind: Kind
    takes: tuple[tuple[str, int], ...] = ()
    approvals: tuple[str, ...] = ()


def decide(policy: Policy, history: History, question: Question, now: datetime) -> Grant:
    """Return the permission to sign.

    Raises:
        SignerRefused: no; the message says what to change.
        ApprovalNeeded, CapReached: not without an operator, not now.
    """
    intent = question.intent
    _check_life(intent, now)
    kind = _relate(policy, history.find(intent.intent_id), question)
    if kind is Kind.REPLAY:
        return Grant(kind)
    _check_purpose(policy, intent)
    _check_sources(intent)
    _check_targets(history, question)
    _check_fee(policy, history, question, now, is_new=kind is not Kind.BUMP)
    if kind is Kind.BUMP:
        return Grant(kind)
    takes = {fee_key(intent.network): intent.fee_max_units}
    if intent.purpose not in {Purpose.PAYOUT, Purpose.GAS}:
        return Grant(kind, tuple(takes.items()))
    charged = charge(policy, history, intent, question.assets, now)
    return Grant(kind, tuple({**takes, **charged.takes}.items()), tuple(charged.approvals))


def fee_key(network: str) -> str:
    """Return the key under which a network's fees are counted."""
    return f"fees of {network}"


def _check_life(intent: Intent, now: datetime) -> None:
    if intent.expires_at.tzinfo is None or intent.expires_at > now + LONGEST_LIFE:
        raise SignerRefused("an intent may live for a day at most, by a time with its zone")
    if intent.expires_at <= now:
        raise SignerRefused(f"the intent expired at {intent.expires_at:%Y-%m-%d %H:%M:%S} UTC by the signer's clock")


def _relate(policy: Policy, known: Known | None, question: Question) -> Kind:
    if known is None:
        return Kind.FIRST
    if known.content != question.content:
        raise SignerRefused("another intent was signed under this id: an intent never changes")
    if any(attempt.plan == question.plan for attempt in known.attempts):
        return Kind.REPLAY
    if len(known.attempts) >= policy.attempts_max:
        raise SignerRefused(f"this intent was signed {len(known.attempts)} times already: a person must look at it")
    living = [attempt for attempt in known.attempts if attempt.place != question.place]
    return _outlive(living, question) if living else Kind.BUMP


def _outlive(living: list[Attempt], question: Question) -> Kind:
    missing = [attempt.txid for attempt in living if attempt.txid not in question.dead]
    if missing:
        raise SignerRefused(f"{missing[0]} was signed for this intent and may still take effect: prove it dead first")
    return Kind.AGAIN


def _check_purpose(policy: Policy, intent: Intent) -> None:
    if intent.purpose not in policy.purposes:
        raise SignerRefused(
            f'nothing is signed for {intent.purpose}: add "{intent.purpose}" to `purposes` in the signer\'s policy.toml'
            " and restart it"
        )
    pays_nobody = intent.purpose in {Purpose.SETUP, Purpose.CANCEL}
    if pays_nobody == bool(intent.payments):
        raise SignerRefused(f"a {intent.purpose} has {'no payments' if pays_nobody else 'at least one payment'}")


def _check_sources(intent: Intent) -> None:
    if intent.payer.role is not KeyRole.HOT and intent.purpose not in FROM_DEPOSITS:
        raise SignerRefused(f"a deposit address never pays for a {intent.purpose}")
    if intent.purpose in FROM_PAYER:
        places = tuple(place for place, payment in enumerate(intent.payments) if payment.source != intent.payer)
        if places:
            raise SignerRefused(f"a {intent.purpose} takes the paying wallet's own money", places)


def _check_targets(history: History, question: Question) -> None:
    places = tuple(
        place for place, payment in enumerate(question.intent.payments) if not _is_allowed(history, question, payment)
    )
    if places:
        raise SignerRefused(_foreign(history, question, question.intent.payments[places[0]]), places)


def _is_allowed(history: History, question: Question, payment: Payment) -> bool:
    match question.intent.purpose:
        case Purpose.PAYOUT:
            return payment.target not in question.hot | question.own
        case Purpose.SWEEP | Purpose.CONSOLIDATION:
            return payment.target in question.hot
        case Purpose.GAS | Purpose.LEND | Purpose.RECALL:
            return payment.target in question.own and question.assets[payment.asset].is_native
        case Purpose.COLD:
            return history.cold is not None and history.cold.addresses.get(payment.asset) == payment.target
        case Purpose.SETUP | Purpose.CANCEL:
            return False
        case _:
            assert_never(question.intent.purpose)


def _foreign(history: History, question: Question, payment: Payment) -> str:
    target = payment.target[:100]
    match question.intent.purpose:
        case Purpose.PAYOUT:
            return f"{target} is our own wallet: a payout goes to somebody else"
        case Purpose.COLD:
            pinned = history.cold.addresses.get(payment.asset) if history.cold else None
            return (
                f"{target} is not the cold address of {payment.asset}"
                f" ({pinned or 'none is pinned: add it under [cold.addresses] in the policy.toml of the signer'})"
            )
        case Purpose.GAS | Purpose.LEND | Purpose.RECALL as purpose:
            return f"{purpose} is in the native coin and for addresses of ours: {target} or {payment.asset} is not that"
        case purpose:
            return f"{target} is not a hot wallet of ours on {question.network.id}: a {purpose} goes nowhere else"


def _check_fee(policy: Policy, history: History, question: Question, now: datetime, *, is_new: bool) -> None:
    intent, name = question.intent, question.network.id
    caps = policy.fees.get(name)
    if caps is None:
        line = f'{name} = {{ most = "…", day = "…" }}'
        raise SignerRefused(f"fees of {name} have no cap: add `{line}` under [fees] in the signer's policy.toml")
    native = next(asset for asset in question.assets.values() if asset.is_native)
    if not 0 <= intent.fee_max_units <= caps.most:
        raise SignerRefused(f"a fee on {name} is at most {Amount(native, caps.most)}: lower the intent's")
    spent = history.windows.spent(fee_key(name), DAY, now)
    if is_new and spent + intent.fee_max_units > caps.day:
        raise CapReached(f"fees on {name} have reached {Amount(native, spent)} of {Amount(native, caps.day)} a day")
