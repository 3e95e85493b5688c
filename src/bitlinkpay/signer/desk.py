"""Where a question becomes a signature: check, decide, sign, write down, and only then answer."""

from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec

from bitlinkpay.chains.address import parse_address
from bitlinkpay.chains.outgoing import Intent, Signed
from bitlinkpay.core.assets import Network
from bitlinkpay.core.errors import Invalid, Problem, Unavailable
from bitlinkpay.core.money import MAX_UNITS
from bitlinkpay.signer.audit.events import Issued
from bitlinkpay.signer.families import dispatch
from bitlinkpay.signer.families.dispatch import Plan
from bitlinkpay.signer.network_keys import NetworkKeys
from bitlinkpay.signer.policy.cold import due
from bitlinkpay.signer.policy.rules import Grant, Kind, Question, decide
from bitlinkpay.signer.problems import SignerRefused
from bitlinkpay.signer.protocol import Sign
from bitlinkpay.signer.room import Room
from bitlinkpay.signer.waiting import Waitings

MOST_PAYMENTS: Final = 1_000


class Desk:
    """Signs what the policy grants. One question at a time: the caller's event loop sees to it."""

    def __init__(self, room: Room, waiting: Waitings) -> None:
        self._room = room
        self._waiting = waiting

    def sign(self, ask: Sign) -> Signed:
        """Return the signed bytes of an intent; the same question has the same answer until the intent expires.

        Raises:
            SignerRefused: the policy says no, or intent, plan and wallets do not fit together.
            ForeignWallet, ForeignAsset, UnknownNetwork: what is said to be ours or listed is not.
            ClockJumped, AuditFailed: nothing is signed at the moment.
        """
        now = self._room.clock.now()
        self._room.history.forget(now)
        try:
            return self._sign(ask, now)
        except Unavailable:
            raise
        except Problem as problem:
            self._waiting.note(ask.intent, problem, now)
            raise

    def _sign(self, ask: Sign, now: datetime) -> Signed:
        room, intent = self._room, ask.intent
        network = room.registry.network(intent.network)
        keys = NetworkKeys(room.vault, room.registry, network)
        plan = dispatch.read_plan(room.policy.mode, network, bytes(ask.plan))
        _check_form(network, intent)
        _check_wallets(keys, ask)
        if change := due(room.history, now):
            room.write(change, now)
        question = self._question(ask, network, plan)
        grant = decide(room.policy, room.history, question, now)
        signed = dispatch.sign(intent, plan, keys)
        if grant.kind is not Kind.REPLAY:
            room.write(_issued(question, grant, signed), now)
        return signed

    def _question(self, ask: Sign, network: Network, plan: Plan) -> Question:
        room = self._room
        return Question(
            intent=ask.intent,
            network=network,
            assets={asset.id: asset for asset in room.registry.assets_of(network.id)},
            content=sha256(msgspec.json.encode(ask.intent)).hexdigest(),
            plan=sha256(msgspec.json.encode(plan)).hexdigest(),
            place=dispatch.place(plan),
            hot=frozenset(wallet.address for wallet in room.ring.hot_wallets(network)),
            own=frozenset(wallet.address for wallet in ask.ours),
            dead=frozenset(ask.dead),
        )


def _issued(question: Question, grant: Grant, signed: Signed) -> Issued:
    return Issued(
        intent=question.intent,
        content=question.content,
        plan=question.plan,
        place=question.place,
        kind=grant.kind.value,
        txid=signed.txid,
        raw=sha256(signed.raw).hexdigest(),
        dead=tuple(sorted(question.dead)),
        takes=grant.takes,
        approvals=grant.approvals,
    )


def _check_form(network: Network, intent: Intent) -> None:
    """Refuse what no honest asker writes: other spellings of addresses, amounts out of range, too many payments."""
    if len(intent.payments) > MOST_PAYMENTS:
        raise SignerRefused(f"at most {MOST_PAYMENTS} payments in one intent")
    for place, payment in enumerate(intent.payments):
        try:
            is_canonical = parse_address(network, payment.target) == payment.target
        except Invalid as problem:
            raise SignerRefused(f"{payment.target[:100]}: {problem.message}", (place,)) from None
        if not is_canonical or payment.units > MAX_UNITS:
            raise SignerRefused(f"{payment.target[:100]} is not canonical, or its amount is out of range", (place,))


def _check_wallets(keys: NetworkKeys, ask: Sign) -> None:
    """Derive every wallet and look up every asset that the intent names."""
    sources = (payment.source for payment in ask.intent.payments)
    for wallet in dict.fromkeys((ask.intent.payer, *sources, *ask.ours)):
        keys.private_key(wallet)
    for payment in ask.intent.payments:
        keys.asset(payment.asset)
