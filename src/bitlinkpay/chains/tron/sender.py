"""`TronSender`: transactions of our own on TRON, one payment each.

The payer pays for its own transactions, so a deposit address that is swept needs an account, and energy or coin. What
it lacks is told by `LacksGas`; a `GAS` intent activates it and hands it coin, a `LEND` intent lends it energy.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.codec.text import printable
from bitlinkpay.chains.codec.tron import to_bytes
from bitlinkpay.chains.outgoing import (
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
from bitlinkpay.chains.tron.build import ENERGY, SIGNATURE_BYTES, TRANSFER, build, signed_bytes, transfer_arguments
from bitlinkpay.chains.tron.fees import Cost, Prices, prices_of, stake_for
from bitlinkpay.chains.tron.fit import misfits
from bitlinkpay.chains.tron.node import Api, CallReverted, TronNode, legible
from bitlinkpay.chains.tron.plan import TronPlan, asset_id_of
from bitlinkpay.chains.tron.state import is_own
from bitlinkpay.chains.tron.tracking import is_dead, outcome_of
from bitlinkpay.chains.tron.wire import (
    BROADCASTED,
    LENDABLE,
    PARAMETERS,
    RESOURCES,
    Account,
    Called,
    Resources,
    Verdict,
    milliseconds,
)
from bitlinkpay.core.assets import Asset

LIFE_MS: Final = 300_000
"""How long a transaction may wait for its block."""

_NUMBERS = 65_536  # slots that no two plans of one minute share
_FALSE = bytes(32)
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

    def payments_max(self, asset: Asset, purpose: Purpose) -> int:  # noqa: ARG002 - the same for all
        """Return 1: a TRON transaction holds one contract."""
        return 1

    async def lane(self, payer: Wallet) -> Lane:
        """Say whether a wallet has an account; TRON has no nonces."""
        account = await self._account(payer.address)
        return Lane(final_number=0, next_number=0, is_ready=bool(account.address))

    async def quote(self, intent: Intent) -> FeeQuote:
        """Say what the intent would cost now, by a simulation of its call on the newest state.

        Raises:
            CannotPlan, LacksGas: see `chains.outgoing`.
        """
        cost, prices, resources, held = await self._cost(intent)
        burnt = cost.burnt(prices, resources)
        units = burnt + cost.burnt_for_energy(prices, resources)
        await self._check_funds(intent, fee_units=units, held=held)
        return FeeQuote(units=units, units_max=burnt + cost.fee_limit(prices))

    async def plan(self, intent: Intent, slot: Slot, previous: TronPlan | None = None) -> TronPlan:
        """Fix everything but the signature.

        Raises:
            CannotPlan: it would fail, or a plan is to be outbid, which TRON cannot do.
            FeeTooHigh, LacksGas: see `chains.outgoing`.
        """
        if previous is not None:
            raise CannotPlan("TRON has no fee bump: a new transaction needs proof that this one is dead")
        cost, prices, resources, held = await self._cost(intent)
        burnt = cost.burnt(prices, resources)
        await self._check_funds(intent, fee_units=burnt + cost.burnt_for_energy(prices, resources), held=held)
        head = await self._access.finality.head()
        now = milliseconds(head.latest)
        plan = TronPlan(
            ref_height=head.final.height,
            ref_id=bytes.fromhex(head.final.hash),
            timestamp_ms=now - now % _NUMBERS + slot.number % _NUMBERS,
            expiration_ms=now + LIFE_MS,
            fee_limit=cost.fee_limit(prices),
            burnt_units=burnt,
        )
        if plan.fee_max_units > intent.fee_max_units:
            raise FeeTooHigh(f"it may cost {plan.fee_max_units} sun, the intent allows {intent.fee_max_units}")
        found = misfits(intent, plan, self._access.network, self._asset(intent))
        assert not found, f"a plan of ours does not fit: {'; '.join(found)}"
        return plan

    async def _cost(self, intent: Intent) -> tuple[Cost, Prices, Resources, int]:
        """Return what the intent takes, and the sun that its payer holds, after checking that it would not fail.

        Raises:
            CannotPlan: it would.
        """
        if len(intent.payments) != 1:
            raise CannotPlan("a TRON transaction makes one payment")
        (payment,), asset = intent.payments, self._asset(intent)
        source, target = await self._check_parties(intent, payment)
        called = Called()
        if not asset.is_native:
            called = await self._simulate(payment, asset)
        draft = TronPlan(2**40, bytes(32), 2**42, 2**42 + 1, fee_limit=2**34 * (not asset.is_native), burnt_units=0)
        size = len(signed_bytes(build(intent, draft, asset), bytes(SIGNATURE_BYTES)))
        activates = asset.is_native and intent.purpose is not Purpose.RECALL and not target.address
        if activates and intent.purpose is Purpose.LEND:
            raise CannotPlan(f"{payment.target} has no account yet: send it coin before energy is lent to it")
        cost = Cost(called.energy_used, called.energy_penalty, size, activates)
        return cost, await self._prices(), await self._resources(payment.source.address), source.balance

    async def _check_parties(self, intent: Intent, payment: Payment) -> tuple[Account, Account]:
        """Return the sender's and the recipient's account (THREATS PAY-28, TRX-11).

        Raises:
            CannotPlan: sender or recipient are not what they must be.
        """
        source, target = await asyncio.gather(self._account(payment.source.address), self._account(payment.target))
        if not is_own(source, payment.source.address):
            raise CannotPlan(f"the permissions of {payment.source.address} name foreign keys: do not use it any more")
        if target.type == "Contract" and intent.purpose in {Purpose.PAYOUT, Purpose.COLD}:
            raise CannotPlan(f"{payment.target} is a contract, which may not give the money back")
        return source, target

    async def _simulate(self, payment: Payment, asset: Asset) -> Called:
        async def ask(node: TronNode) -> Called:
            source = payment.source.address
            return await node.call(Api.FULL, asset.contract, TRANSFER, transfer_arguments(payment), owner=source)

        try:
            called = await self._access.quorum.first(ask)
        except CallReverted as refused:
            raise CannotPlan(f"{asset.id} cannot be paid to {payment.target}: {refused}") from None
        if bytes.fromhex("".join(called.constant_result)) == _FALSE:
            raise CannotPlan(f"{asset.id} refuses the payment to {payment.target}")
        return called

    async def _check_funds(self, intent: Intent, *, fee_units: int, held: int) -> None:
        (payment,), asset = intent.payments, self._asset(intent)
        if intent.purpose is Purpose.LEND:
            await self._check_stake(payment)
        spends = payment.units if asset.is_native and intent.purpose not in {Purpose.LEND, Purpose.RECALL} else 0
        if held < spends:
            raise LacksFunds(f"{payment.source.address} holds {held} sun and is to pay {spends}")
        if held < spends + fee_units:
            lacking = spends + fee_units - held
            raise LacksGas(f"{payment.source.address} lacks {lacking} sun for the fee of {fee_units}", lacking)

    async def _check_stake(self, payment: Payment) -> None:
        asked: dict[str, object] = {"owner_address": to_bytes(payment.source.address).hex(), "type": ENERGY}
        lendable = await self._access.quorum.first(
            lambda node: node.ask(Api.FULL, "getcandelegatedmaxsize", asked, LENDABLE)
        )
        if lendable.units < payment.units:
            raise CannotPlan(f"{payment.source.address} can lend {lendable.units} sun of stake, not {payment.units}")

    async def energy_stake(self, lender: Wallet, energy: int) -> int:
        """Return the sun of stake to lend so that it gives `energy` now, 0 where the node cannot tell."""
        return stake_for(energy, await self._resources(lender.address))

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

    def _asset(self, intent: Intent) -> Asset:
        asset = self._access.assets.get(asset_id_of(intent))
        if asset is None:
            raise CannotPlan(f"{asset_id_of(intent)} is no asset of {self._access.network.id}")
        return asset

    async def _account(self, address: str) -> Account:
        return await self._access.quorum.first(lambda node: node.account(Api.FULL, address))

    async def _prices(self) -> Prices:
        async def ask(node: TronNode) -> Prices:
            prices = prices_of(await node.ask(Api.FULL, "getchainparameters", {}, PARAMETERS))
            if prices is None:
                raise ChainError(f"{node.label} does not tell the network's prices")
            return prices

        return await self._access.quorum.agree(ask)

    async def _resources(self, address: str) -> Resources:
        asked: dict[str, object] = {"address": to_bytes(address).hex()}
        return await self._access.quorum.first(lambda node: node.ask(Api.FULL, "getaccountresource", asked, RESOURCES))


def verdict_on(said: Verdict) -> Broadcast:
    """Return what a node's answer to a transaction means: taken, known already, refused, or nothing certain."""
    if said.code in _KNOWN and (said.result or said.code != "SUCCESS"):
        return Broadcast(Sent.ACCEPTED)
    reason = f"{printable(said.code)} {legible(said.message)}".strip()
    return Broadcast(Sent.REFUSED if said.code in _REFUSED else Sent.UNCLEAR, reason)
