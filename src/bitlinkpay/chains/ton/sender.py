"""`TonSender`: how our one wallet pays on TON. See `chains.outgoing.Sender` for what each method promises.

Nothing can be outbid on TON: a request costs what it costs, and the wallet takes a query id once. While a request may
still be taken, the same bytes are sent again; once it cannot, that is proved and a new one is made.
"""

import asyncio
from base64 import b64encode
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from bitlinkpay.chains.base import EndpointFailed, FateState, GapError
from bitlinkpay.chains.codec.text import printable
from bitlinkpay.chains.outgoing import (
    Broadcast,
    CannotPlan,
    FeeQuote,
    FeeTooHigh,
    Intent,
    LacksFunds,
    Lane,
    Outcome,
    Purpose,
    Sent,
    Signed,
    Slot,
    Unspent,
    Wallet,
    most_hopeful,
)
from bitlinkpay.chains.ton import fees
from bitlinkpay.chains.ton.chain import TonChain
from bitlinkpay.chains.ton.highload import SELF_UNITS, TIMEOUT_S
from bitlinkpay.chains.ton.history import BEGINNING, height_of, is_committed
from bitlinkpay.chains.ton.node import TonNode, tip_of
from bitlinkpay.chains.ton.plan import PAYMENTS_MAX, TonPlan, messages
from bitlinkpay.chains.ton.reader import backwards, block_ref
from bitlinkpay.chains.ton.tracing import Trace, Unfinished
from bitlinkpay.chains.ton.wire import Malformed, RawTransaction, canonical_address, canonical_hash, decoder_of
from bitlinkpay.chains.transport import StatusRefused
from bitlinkpay.core.assets import Asset

SKEW: Final = timedelta(minutes=1)  # by how much the clocks of shards may be apart
_ACTIVE = "active"
_PAYING = frozenset({Purpose.PAYOUT, Purpose.COLD})


class _Taken(msgspec.Struct, frozen=True):
    message_hash: str


class _RawTrace(msgspec.Struct, frozen=True):
    transactions: dict[str, RawTransaction]


class _Traces(msgspec.Struct, frozen=True):
    traces: list[_RawTrace]


class _Refusal(msgspec.Struct, frozen=True):
    error: str


_TAKEN, _TRACES, _REFUSAL = decoder_of(_Taken), decoder_of(_Traces), decoder_of(_Refusal)


class TonSender:
    """The sending half of one TON network."""

    def __init__(self, chain: TonChain, assets: Sequence[Asset], *, memo_required: Collection[str] = ()) -> None:
        """Send through the endpoints of a chain.

        Args:
            chain: the reading half; it stays open after this.
            assets: all assets of the network.
            memo_required: canonical addresses that lose what comes without a memo (THREATS PAY-23).
        """
        self._chain = chain
        self._quorum = chain.quorum
        self._assets = {asset.id: asset for asset in assets}
        self._memo_required = frozenset(memo_required)

    def payments_max(self, asset: Asset, purpose: Purpose) -> int:
        """Return how many payments one request carries; there is nothing to sweep on TON."""
        del asset
        return PAYMENTS_MAX if purpose in _PAYING else 0

    async def lane(self, payer: Wallet) -> Lane:
        """Say whether the wallet stands on the chain: until it does, it sends back what may be sent back."""
        active = await self._quorum.agree(lambda node: _active(node, [payer.address]))
        return Lane(final_number=0, next_number=0, is_ready=payer.address in active)

    async def quote(self, intent: Intent) -> FeeQuote:
        """Say what the intent would cost now.

        Raises:
            CannotPlan: a memo or money is missing, or it cannot be paid on TON at all.
        """
        return fees.quote(intent, await self._draft(intent, 0), self._asset)

    async def plan(self, intent: Intent, slot: Slot, previous: TonPlan | None = None) -> TonPlan:
        """Fix everything but the signature; a plan that is to be outbid comes back as it is.

        Raises:
            CannotPlan, FeeTooHigh: see there.
        """
        if previous is not None:
            return previous
        draft = await self._draft(intent, slot.number)
        if draft.fee_units > intent.fee_max_units:
            raise FeeTooHigh(f"TON may take {draft.fee_units} nanotons, the intent allows {intent.fee_max_units}")
        return draft

    async def _draft(self, intent: Intent, number: int) -> TonPlan:
        self._check(intent)
        final = (await self._chain.head()).final
        accounts = [intent.payer.address, *dict.fromkeys(payment.target for payment in intent.payments)]
        active = await self._quorum.agree(lambda node: _active(node, accounts))
        plan = TonPlan(
            number=number,
            created_at=int(final.time.timestamp()),
            is_deploying=intent.payer.address not in active,
            bounces=tuple(payment.target in active for payment in intent.payments),
            jetton_units=fees.JETTON_UNITS,
            fee_units=0,
        )
        plan = replace(plan, fee_units=fees.quote(intent, plan, self._asset).units_max)
        await self._check_money(intent, plan.fee_units, final.height)
        return plan

    def _asset(self, asset_id: str) -> Asset:
        return self._assets[asset_id]

    def _check(self, intent: Intent) -> None:
        if len(intent.payments) > PAYMENTS_MAX:
            raise CannotPlan(f"one request on TON pays at most {PAYMENTS_MAX} times")
        for payment in intent.payments:
            if payment.asset not in self._assets:
                raise CannotPlan(f"{payment.asset} is no asset of {self._chain.network.id}")
            if payment.source != intent.payer:
                raise CannotPlan("on TON only the paying wallet itself holds money")
            if payment.target in self._memo_required and not payment.tag:
                raise CannotPlan(f"{payment.target} needs a memo: without one the money would be lost")

    async def _check_money(self, intent: Intent, fee_units: int, height: int) -> None:
        native = next(asset.id for asset in self._assets.values() if asset.is_native)
        wanted = Counter({native: fee_units + SELF_UNITS})
        for payment in intent.payments:
            wanted[payment.asset] += payment.units
        for asset_id, units in wanted.items():
            (held,) = await self._chain.balances(self._asset(asset_id), [intent.payer.address], height)
            if held < units:
                raise LacksFunds(f"the hot wallet holds {held} base units of {asset_id} and needs {units}")

    async def broadcast(self, signed: Signed) -> Broadcast:
        """Hand the message to every endpoint; safe to repeat for ever."""
        return most_hopeful(await asyncio.gather(*(_hand_over(node, signed) for node in self._quorum.voters)))

    async def outcome(self, intent: Intent, plan: TonPlan, signed: Signed) -> Outcome:
        """Say what became of a request; final once the last hop of every payment is."""
        return await self._quorum.agree(lambda node: self._outcome(node, intent, plan, signed.txid))

    async def _outcome(self, node: TonNode, intent: Intent, plan: TonPlan, txid: str) -> Outcome:
        root = await node.find_taker(txid)
        if root is None:
            return Outcome(FateState.UNKNOWN, txid)
        if canonical_address(root.account) != intent.payer.address:
            raise Malformed(f"{node.label} tells of another wallet's transaction")
        if not is_committed(root):
            return Outcome(FateState.PENDING, txid)
        block = block_ref(await node.header(height_of(root)))
        found = (await node.get("/traces", (("msg_hash", txid), ("limit", "2")), _TRACES)).traces
        trace = Trace(intent.payer.address, found[0].transactions.values() if found else ())
        natives = [self._asset(payment.asset).is_native for payment in intent.payments]
        try:
            end = trace.judge(root, messages(intent, plan, self._asset), natives)
        except Unfinished:
            return Outcome(FateState.MINED, txid, block)
        return Outcome(end.state, txid, block, end.fee_units, end.delivered)

    async def is_dead(self, intent: Intent, plan: TonPlan, signed: Signed) -> bool:
        """Return True only when the chain's time has passed the request's and the wallet's history does not have it.

        The wallet takes no request older than `TIMEOUT_S` (its error 35), whatever the query id.
        """
        deadline = datetime.fromtimestamp(plan.created_at + TIMEOUT_S, UTC) + SKEW
        if (await self._chain.head()).final.time <= deadline:
            return False
        return await self._quorum.agree(lambda node: _never_taken(node, intent.payer.address, plan, signed, deadline))

    async def choose(self, intent: Intent, available: Sequence[Unspent]) -> Sequence[Unspent]:
        """Return nothing: a TON wallet has a balance."""
        del intent, available
        return ()

    def produced(self, plan: TonPlan, signed: Signed) -> Sequence[Unspent]:
        """Return nothing: a TON wallet has a balance."""
        del plan, signed
        return ()


async def _active(node: TonNode, accounts: Sequence[str]) -> frozenset[str]:
    states = await node.states(accounts)
    return frozenset(account for account, state in states.items() if state.status == _ACTIVE)


async def _hand_over(node: TonNode, signed: Signed) -> Broadcast:
    try:
        await node.door.post("/message", {"boc": b64encode(signed.raw).decode()}, _TAKEN)
    except StatusRefused as error:
        node.door.breaker.succeeded()  # it works: the next message may be one that it takes
        return Broadcast(Sent.REFUSED, _reason(error))
    except EndpointFailed as error:
        return Broadcast(Sent.UNCLEAR, str(error))
    return Broadcast(Sent.ACCEPTED)


def _reason(error: StatusRefused) -> str:
    try:
        return printable(_REFUSAL.decode(error.body).error)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return str(error)


async def _never_taken(node: TonNode, payer: str, plan: TonPlan, signed: Signed, deadline: datetime) -> bool:
    """Say whether the wallet's history, link by link from after the deadline to before the request, lacks it."""
    after = await node.header_after(deadline)
    tip = tip_of((await node.states((payer,))).get(payer))
    is_shown = tip == BEGINNING or tip.lt > after.start_lt
    async for transaction in backwards(node, payer, lt=after.start_lt):
        is_shown = True
        if transaction.now < plan.created_at - SKEW.total_seconds():
            break
        message = transaction.in_msg
        if message is not None and signed.txid in {
            canonical_hash(message.hash),
            canonical_hash(message.hash_norm or message.hash),
        }:
            return False
    if await node.find_taker(signed.txid) is not None:
        return False
    if not is_shown:
        raise GapError(f"{node.label} shows nothing of the history of {payer}")
    return True
