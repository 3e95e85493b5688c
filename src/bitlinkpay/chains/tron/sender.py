"""`TronSender`: transactions of our own on TRON, one payment each.

The payer pays for its own transactions, so a deposit address that is swept needs an account, and energy or coin. What
it lacks is told by `LacksGas`; a `GAS` intent activates it and hands it coin, a `LEND` intent lends it energy.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.codec.text import printable
from bitlinkpay.chains.outgoing import (
    LOANS,
    Broadcast,
    CannotPlan,
    FeeQuote,
    FeeTooHigh,
    Intent,
    LacksFunds,
    LacksGas,
    Lane,
    Outcome,
    Payment,
    Purpose,
    Sent,
    Signed,
    Slot,
    Unspent,
    Wallet,
    most_hopeful,
)
from bitlinkpay.chains.tron.access import TronAccess
from bitlinkpay.chains.tron.costing import Costing
from bitlinkpay.chains.tron.fit import misfits
from bitlinkpay.chains.tron.lending import STAKE_MIN, lendable_of, lent_by
from bitlinkpay.chains.tron.node import Api, TronNode, legible
from bitlinkpay.chains.tron.plan import TronPlan
from bitlinkpay.chains.tron.tracking import is_dead, outcome_of
from bitlinkpay.chains.tron.wire import BROADCASTED, Verdict, milliseconds
from bitlinkpay.core.assets import Asset

LIFE_MS: Final = 300_000
"""How long a transaction may wait for its block."""

_NUMBERS = 65_536  # slots that no two plans of one minute share
_KNOWN = frozenset({"SUCCESS", "DUP_TRANSACTION_ERROR"})
_REFUSED = frozenset(
    {
        "SIGERROR",
        "CONTRACT_VALIDATE_ERROR",
        "CONTRACT_EXE_ERROR",
        "BANDWITH_ERROR",
        "TAPOS_ERROR",
        "TOO_BIG_TRANSACTION_ERROR",
        "TRANSACTION_EXPIRATION_ERROR",
    }
)  # fmt: skip - other codes say that the node is busy or alone


class TronSender:
    """One TRON network as our wallets see it, see `chains.outgoing.Sender`."""

    def __init__(self, access: TronAccess) -> None:
        """Send through the endpoints that `access` reads by."""
        self._access = access
        self._costing = Costing(access)

    def payments_max(self, asset: Asset, purpose: Purpose) -> int:  # noqa: ARG002 - the same for all
        """Return 1: a TRON transaction holds one contract."""
        return 1

    async def lane(self, payer: Wallet) -> Lane:
        """Say whether a wallet has an account; TRON has no nonces."""
        account = await self._costing.account(payer.address)
        return Lane(final_number=0, next_number=0, is_ready=bool(account.address))

    async def quote(self, intent: Intent) -> FeeQuote:
        """Say what the intent would cost now, by a simulation of its call on the newest state.

        A payout that waits for others may find the free bandwidth used up: the most that it costs is without it.

        Raises:
            CannotPlan, LacksGas: see `chains.outgoing`.
        """
        cost, prices, resources, held = await self._costing.of(intent)
        burnt = cost.burnt(prices, resources)
        units = burnt + cost.burnt_for_energy(prices, resources)
        await self._check_funds(intent, fee_units=units, held=held)
        most = cost.burnt_most(prices) if intent.purpose is Purpose.PAYOUT else burnt
        return FeeQuote(units=units, units_max=most + cost.fee_limit(prices))

    async def plan(self, intent: Intent, slot: Slot, previous: TronPlan | None = None) -> TronPlan:
        """Fix everything but the signature.

        Raises:
            CannotPlan: it would fail, or a plan is to be outbid, which TRON cannot do.
            FeeTooHigh, LacksGas: see `chains.outgoing`.
        """
        if previous is not None:
            raise CannotPlan("TRON has no fee bump: a new transaction needs proof that this one is dead")
        cost, prices, resources, held = await self._costing.of(intent)
        burnt = cost.burnt(prices, resources)
        await self._check_funds(intent, fee_units=burnt + cost.burnt_for_energy(prices, resources), held=held)
        head = await self._access.finality.head()
        now = milliseconds(head.latest)
        plan = TronPlan(
            ref_height=head.final.height,
            ref_id=bytes.fromhex(head.final.hash),
            timestamp_ms=now - now % _NUMBERS + slot.number % _NUMBERS,
            expiration_ms=now + LIFE_MS,
            fee_limit=_within(intent, burnt, most=cost.fee_limit(prices), least=cost.fee_limit_least(prices)),
            burnt_units=burnt,
        )
        found = misfits(intent, plan, self._access.network, self._costing.asset(intent))
        assert not found, f"a plan of ours does not fit: {'; '.join(found)}"
        return plan

    async def _check_funds(self, intent: Intent, *, fee_units: int, held: int) -> None:
        (payment,), asset = intent.payments, self._costing.asset(intent)
        if intent.purpose in LOANS:
            await self._check_stake(intent.purpose, payment)
        spends = payment.units if asset.is_native and intent.purpose not in LOANS else 0
        if held < spends:
            raise LacksFunds(f"{payment.source.address} holds {held} sun and is to pay {spends}")
        if held < spends + fee_units:
            lacking = spends + fee_units - held
            raise LacksGas(f"{payment.source.address} lacks {lacking} sun for the fee of {fee_units}", lacking)

    async def _check_stake(self, purpose: Purpose, payment: Payment) -> None:
        lender = payment.source.address
        if purpose is Purpose.RECALL:
            lent = await lent_by(self._access, Api.FULL, lender, payment.target)
            if lent < payment.units:
                raise CannotPlan(f"{lender} has lent {lent} sun of stake to {payment.target}, not {payment.units}")
            return
        if payment.units < STAKE_MIN:
            raise CannotPlan(f"at least {STAKE_MIN} sun of stake are lent, not {payment.units}")
        lendable = await lendable_of(self._access, lender)
        if lendable < payment.units:
            raise CannotPlan(f"{lender} can lend {lendable} sun of stake, not {payment.units}")

    async def broadcast(self, signed: Signed) -> Broadcast:
        """Hand the bytes to every endpoint; safe to repeat for ever."""
        return most_hopeful(await asyncio.gather(*(self._hand(node, signed) for node in self._access.nodes)))

    async def _hand(self, node: TronNode, signed: Signed) -> Broadcast:
        try:
            said = await node.ask(Api.FULL, "broadcasthex", {"transaction": signed.raw.hex()}, BROADCASTED)
        except ChainError as error:
            return Broadcast(Sent.UNCLEAR, printable(str(error)))
        return verdict_on(said)

    async def outcome(self, intent: Intent, plan: TronPlan, signed: Signed) -> Outcome:  # noqa: ARG002 - the id says all
        """Say what became of it, see `chains.tron.tracking`."""
        return await outcome_of(self._access, intent, signed)

    async def is_dead(self, intent: Intent, plan: TronPlan, signed: Signed) -> bool:  # noqa: ARG002
        """Say whether it can never take effect any more, see `chains.tron.tracking`."""
        return await is_dead(self._access, plan, signed)

    async def choose(self, intent: Intent, available: Sequence[Unspent]) -> Sequence[Unspent]:  # noqa: ARG002
        """Return nothing: TRON has no outputs."""
        return ()

    def produced(self, plan: TronPlan, signed: Signed) -> Sequence[Unspent]:  # noqa: ARG002
        """Return nothing: TRON has no outputs."""
        return ()


def _within(intent: Intent, burnt: int, *, most: int, least: int) -> int:
    """Return the limit for energy: `most`, or what the intent allows of it.

    Raises:
        FeeTooHigh: it allows less than `least`.
    """
    limit = min(most, intent.fee_max_units - burnt)
    if limit < least:
        raise FeeTooHigh(f"it may cost {burnt + least} sun, the intent allows {intent.fee_max_units}")
    return limit


def verdict_on(said: Verdict) -> Broadcast:
    """Return what a node's answer to a transaction means: taken, known already, refused, or nothing certain."""
    if said.code in _KNOWN and (said.result or said.code != "SUCCESS"):
        return Broadcast(Sent.ACCEPTED)
    reason = f"{printable(said.code)} {legible(said.message)}".strip()
    return Broadcast(Sent.REFUSED if said.code in _REFUSED else Sent.UNCLEAR, reason)
