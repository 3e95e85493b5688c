"""`SolanaSender`: how our wallets pay on Solana. See `chains.outgoing.Sender` for what each method promises.

Nothing can be outbid on Solana: two transactions with the same payments would both be carried out. One that does not
land within its 151 blocks is proved dead, and a new one is made. Durable nonces, which would make a transaction valid
for ever, are never used.
"""

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from bitlinkpay.chains.base import ChainError, FateState, GapError
from bitlinkpay.chains.codec.text import printable
from bitlinkpay.chains.outgoing import (
    Broadcast,
    CannotPlan,
    FeeQuote,
    FeeTooHigh,
    Intent,
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
from bitlinkpay.chains.rpc import Call
from bitlinkpay.chains.solana.chain import SolanaChain
from bitlinkpay.chains.solana.death import VALID_BLOCKS, is_absent
from bitlinkpay.chains.solana.funds import Funds, read_funds
from bitlinkpay.chains.solana.market import LIMIT_ROOM, compute_limit, compute_price, simulate
from bitlinkpay.chains.solana.message import TRANSACTION_BYTES_MAX
from bitlinkpay.chains.solana.node import SolanaNode
from bitlinkpay.chains.solana.plan import COMPUTE_MAX, MICRO, PAYING, SolanaPlan, build, fee_units, misfits
from bitlinkpay.chains.solana.programs import TOKEN, program_of
from bitlinkpay.chains.solana.recipients import read_recipients
from bitlinkpay.chains.solana.settlement import read_settlement
from bitlinkpay.chains.solana.tracking import find_final, find_status
from bitlinkpay.core.assets import Asset

_PRICE_MIN: Final = 1_000
_ROOM: Final = 2  # how far the price of a place before others may rise until a quoted payment is sent
_TRANSFERS_MAX: Final = 20
_SWEEPS_MAX: Final = {True: 8, False: 6}  # native coin, tokens: every source signs


@dataclass(frozen=True, slots=True)
class SenderOptions:
    """How much a place before others may cost.

    Attributes:
        price_max: most micro-lamports a compute unit.
    """

    price_max: int = 1_000_000


class SolanaSender:
    """The sending half of one Solana network."""

    def __init__(self, chain: SolanaChain, assets: Sequence[Asset], options: SenderOptions | None = None) -> None:
        """Send through the endpoints of a chain, which stays open after this."""
        self._chain = chain
        self._quorum = chain.quorum
        self._assets = {asset.id: asset for asset in assets}
        self._options = options or SenderOptions()

    def payments_max(self, asset: Asset, purpose: Purpose) -> int:
        """Return how many payments can fit; with accounts to create it is half, which `plan` says when it comes."""
        if purpose in PAYING:
            return _TRANSFERS_MAX
        return _SWEEPS_MAX[asset.is_native] if purpose is Purpose.SWEEP else 0

    async def lane(self, payer: Wallet) -> Lane:
        """Return a lane that is always ready: nothing on Solana is numbered, and a wallet needs no set-up."""
        del payer
        return Lane(final_number=0, next_number=0, is_ready=True)

    async def quote(self, intent: Intent) -> FeeQuote:
        """Say what the intent would cost now, carried out by endpoints without consequences.

        A payout that waits for others may find the price of a place before others higher.

        Raises:
            CannotPlan: a recipient is no wallet, money is lacking, or it would fail.
        """
        plan = dear = await self._draft(intent, 0)
        if intent.purpose is Purpose.PAYOUT:
            dear = replace(plan, compute_units=plan.compute_units + LIMIT_ROOM, price_micro=_ROOM * plan.price_micro)
        return FeeQuote(units=fee_units(intent, plan), units_max=fee_units(intent, dear))

    async def plan(self, intent: Intent, slot: Slot, previous: SolanaPlan | None = None) -> SolanaPlan:
        """Fix everything but the signatures.

        Raises:
            CannotPlan, FeeTooHigh, LacksGas: see there; also for every `previous`.
        """
        if previous is not None:
            raise CannotPlan("a Solana transaction cannot be outbid: it lands or expires, and two would both pay")
        plan = _within(intent, await self._draft(intent, slot.number))
        found = misfits(intent, plan, self._chain.network, self._asset(intent))
        assert not found, f"a plan that does not fit its intent: {found}"
        return plan

    def _asset(self, intent: Intent) -> Asset:
        wanted = {payment.asset for payment in intent.payments}
        if len(wanted) != 1 or not wanted <= self._assets.keys():
            raise CannotPlan("a Solana transaction of ours makes payments in one asset of the network")
        if any(payment.tag for payment in intent.payments):
            raise CannotPlan("a memo decides nothing on Solana: leave it out")
        return self._assets[wanted.pop()]

    async def _draft(self, intent: Intent, number: int) -> SolanaPlan:
        asset = self._asset(intent)
        if intent.purpose is not Purpose.SWEEP and intent.purpose not in PAYING:
            raise CannotPlan(f"there is nothing to do for a {intent.purpose} on Solana")
        recipients, funds = await asyncio.gather(
            self._quorum.agree(lambda node: read_recipients(node, intent, asset)),
            self._quorum.first(lambda node: read_funds(node, intent, asset)),
        )
        if recipients.refusals:
            raise CannotPlan("; ".join(recipients.refusals))
        creates = _first_of_each(intent, recipients.lacking)
        draft = _fitting(intent, await self._blank(intent, funds, creates), asset)
        funds.check(intent, asset, fee_units(intent, draft))
        plan = await self._priced(intent, draft, asset, number)
        funds.check(intent, asset, fee_units(intent, plan))
        return plan

    async def _blank(self, intent: Intent, funds: Funds, creates: tuple[bool, ...]) -> SolanaPlan:
        """Return a plan on the newest final block, with the largest limit and the smallest offer."""
        final = (await self._chain.head()).final
        header = await self._quorum.agree(lambda node: node.header(final.height))
        if header.block_height is None:
            raise GapError(f"no endpoint knows the height of block {final.height}")
        return SolanaPlan(
            blockhash=header.blockhash,
            reference_slot=final.height,
            valid_height=header.block_height + VALID_BLOCKS,
            compute_units=COMPUTE_MAX,
            price_micro=1,
            is_checked=True,
            creates=creates,
            closes=funds.closes(intent),
            rent_units=funds.account_rent,
        )

    async def _priced(self, intent: Intent, draft: SolanaPlan, asset: Asset, number: int) -> SolanaPlan:
        """Set limit and price after what endpoints say it would use, and what others pay."""
        message = build(intent, draft, asset)
        used: list[int] = []

        async def error(node: SolanaNode) -> str:
            found = await simulate(node, message)
            used.append(found.compute_units)
            return found.error

        if failure := await self._quorum.agree(error):
            raise CannotPlan(f"it would fail: {failure}")
        limit = compute_limit(max(used), number)
        if not draft.price_micro:
            return replace(draft, compute_units=limit)
        most = self._options.price_max
        price = await self._quorum.first(lambda node: compute_price(node, message, least=_PRICE_MIN, most=most))
        return replace(draft, compute_units=limit, price_micro=price)

    async def broadcast(self, signed: Signed) -> Broadcast:
        """Hand the bytes to every endpoint; one that has them already has accepted them."""
        return most_hopeful(await asyncio.gather(*(_send(node, signed) for node in self._quorum.voters)))

    async def outcome(self, intent: Intent, plan: SolanaPlan, signed: Signed) -> Outcome:
        """Say what became of it; while its block is not final, it counts as pending, for forks take those back."""
        place = await find_status(self._quorum, signed.txid)
        if place is None or not place.is_final:
            return Outcome(FateState.UNKNOWN if place is None else FateState.PENDING, signed.txid)
        asset = self._asset(intent)
        block, settled = await find_final(
            self._quorum, signed.txid, place, lambda found: read_settlement(intent, plan, asset, found)
        )
        return Outcome(
            state=FateState.FINAL if place.is_success else FateState.FAILED,
            txid=signed.txid,
            block=block,
            fee_units=settled.fee_units,
            delivered=(place.is_success,) * len(intent.payments),
            returned_units=settled.returned_units,
        )

    async def is_dead(self, intent: Intent, plan: SolanaPlan, signed: Signed) -> bool:
        """Return True only once every final block that could hold it was read by a quorum and does not, see `death`."""
        del intent
        final = (await self._chain.head()).final
        header = await self._quorum.agree(lambda node: node.header(final.height))
        if header.block_height is None or header.block_height <= plan.valid_height:
            return False
        return await self._quorum.agree(
            lambda node: is_absent(
                node,
                signed.txid,
                blockhash=plan.blockhash,
                slot=plan.reference_slot,
                valid_height=plan.valid_height,
            )
        )

    async def choose(self, intent: Intent, available: Sequence[Unspent]) -> Sequence[Unspent]:
        """Return nothing: balances are spent on Solana, not outputs."""
        del intent, available
        return ()

    def produced(self, plan: SolanaPlan, signed: Signed) -> Sequence[Unspent]:
        """Return nothing, see `choose`."""
        del plan, signed
        return ()


def _within(intent: Intent, plan: SolanaPlan) -> SolanaPlan:
    """Return the plan with as much offered as the intent allows: less makes it wait, and nothing more.

    Raises:
        FeeTooHigh: even with the least offer it takes more.
    """
    least = fee_units(intent, replace(plan, price_micro=min(plan.price_micro, _PRICE_MIN)))
    if least > intent.fee_max_units:
        raise FeeTooHigh(f"Solana takes {least} lamports, the intent allows {intent.fee_max_units}")
    spare = intent.fee_max_units - fee_units(intent, replace(plan, price_micro=0))
    return replace(plan, price_micro=min(plan.price_micro, spare * MICRO // plan.compute_units))


def _first_of_each(intent: Intent, lacking: frozenset[str]) -> tuple[bool, ...]:
    """Say per payment whether it creates the recipient's account: the first one to each recipient that lacks it."""
    targets = [payment.target for payment in intent.payments]
    return tuple(target in lacking and target not in targets[:place] for place, target in enumerate(targets))


def _fitting(intent: Intent, draft: SolanaPlan, asset: Asset) -> SolanaPlan:
    """Return the first form of a plan that one transaction can carry.

    The longest form names mint and decimals in each transfer and makes an offer; what is left out first is the mint,
    which the accounts imply, then the offer.

    Raises:
        CannotPlan: even the shortest form is too long.
    """
    forms = [draft]
    if not asset.is_native and program_of(asset) == TOKEN:
        forms.append(replace(draft, is_checked=False))
    forms.append(replace(forms[-1], price_micro=0))
    for form in forms:
        if build(intent, form, asset).size <= TRANSACTION_BYTES_MAX:
            return form
    raise CannotPlan(f"{len(intent.payments)} payments are too many for one transaction: send fewer together")


async def _send(node: SolanaNode, signed: Signed) -> Broadcast:
    """Hand the bytes to one endpoint. It was simulated when it was planned, so no endpoint need try it first."""
    options = {"encoding": "base64", "skipPreflight": True}
    try:
        (answer,) = await node.rpc.batch([Call("sendTransaction", (b64encode(signed.raw).decode(), options))])
    except ChainError as error:
        return Broadcast(Sent.UNCLEAR, printable(str(error)))
    if answer.error is None:
        return Broadcast(Sent.ACCEPTED)
    text = printable(answer.error.message)
    is_known = "alreadyprocessed" in text.replace(" ", "").lower() or "already been processed" in text.lower()
    return Broadcast(Sent.ACCEPTED) if is_known else Broadcast(Sent.REFUSED, text)
