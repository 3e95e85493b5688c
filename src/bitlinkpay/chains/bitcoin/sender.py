"""`BitcoinSender`: the `Sender` protocol on real Bitcoin nodes."""

import asyncio
import re
from collections.abc import Sequence
from typing import Final

from bitlinkpay.chains.base import ChainError, FateState
from bitlinkpay.chains.bitcoin.chain import BitcoinChain
from bitlinkpay.chains.bitcoin.coins import INPUTS_MAX
from bitlinkpay.chains.bitcoin.drafting import FEE_SHARE, SPLIT_UNITS, Rate, choose, draft, scripts_of
from bitlinkpay.chains.bitcoin.fees import FeeRates
from bitlinkpay.chains.bitcoin.fit import PAYMENTS_MAX, misfits
from bitlinkpay.chains.bitcoin.node import TEXT, BitcoinNode
from bitlinkpay.chains.bitcoin.plan import BitcoinPlan
from bitlinkpay.chains.bitcoin.script import prefixes_of
from bitlinkpay.chains.bitcoin.tracking import Tracker, is_same
from bitlinkpay.chains.bitcoin.weight import KEY_SCRIPT_BYTES, LATER_RATE, fee_at, input_cost, vsize
from bitlinkpay.chains.bitcoin.wire import read_transaction
from bitlinkpay.chains.outgoing import (
    Broadcast,
    CannotPlan,
    FeeQuote,
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
from bitlinkpay.chains.rpc import Call, CallRefused
from bitlinkpay.chains.tariff import Tariff
from bitlinkpay.core.assets import Asset

PATIENCE_BLOCKS: Final = (
    3  # a transaction that still offers what is asked for is outbid after so many blocks without it
)
_TYPICAL_INPUTS: Final = 2
_QUOTE_HEADROOM: Final = 4  # inputs more than typical, and bumps
_IN_CHAIN_CODE: Final = -27  # bitcoind and btcd: it stands in a block already
_KNOWN: Final = re.compile(r"already (have|exists|in|known)|txn-already|txn-same", re.IGNORECASE)


class BitcoinSender:
    """One Bitcoin network as our wallets see it. See `chains.outgoing.Sender` for what each method promises."""

    def __init__(self, chain: BitcoinChain, asset: Asset, *, fees: FeeRates | None = None) -> None:
        """Send on the network that `chain` reads; `asset` is its coin."""
        self._chain = chain
        self._asset = asset
        self._prefixes = prefixes_of(chain.network)
        self._fees = fees or FeeRates(chain.quorum)
        self._tracker = Tracker(chain.quorum, chain.reader, chain.lookup)

    def payments_max(self, asset: Asset, purpose: Purpose) -> int:
        """Return how many payments one transaction carries: each is an output, or for a sweep an input or more."""
        del asset, purpose
        return PAYMENTS_MAX

    async def lane(self, payer: Wallet) -> Lane:
        """Return what holds of every wallet: outputs take the place of numbers, and nothing is to be set up."""
        del payer
        return Lane(final_number=0, next_number=0, is_ready=True)

    async def quote(self, intent: Intent) -> FeeQuote:
        """Say what the intent would cost now with a usual number of inputs; no node simulates what is not signed."""
        scripts = [len(script) for script in scripts_of(intent, self._prefixes)]
        inputs = max(_TYPICAL_INPUTS, len(intent.payments) - len(scripts))
        units = fee_at(await self._fees.rate(), vsize(inputs, [*scripts, KEY_SCRIPT_BYTES]))
        return FeeQuote(units, _QUOTE_HEADROOM * units)

    async def tariff(self) -> Tariff:
        """Say what joining outputs of one wallet costs now, see `chains.tariff`; each share is rounded up."""
        rate = await self._fees.rate()
        return Tariff(
            rate=rate,
            frame_units=fee_at(rate, vsize(0, [KEY_SCRIPT_BYTES])),
            input_units=input_cost(rate),
            later_units=input_cost(LATER_RATE),
            large_units=SPLIT_UNITS // 2,  # a part of the fee comes off each
            inputs_max=INPUTS_MAX,
            fee_share=FEE_SHARE,
        )

    async def choose(self, intent: Intent, available: Sequence[Unspent]) -> Sequence[Unspent]:
        """Choose what to spend, see `drafting.choose`."""
        return choose(intent, available, await self._fees.rate(), self._prefixes)

    async def plan(self, intent: Intent, slot: Slot, previous: BitcoinPlan | None = None) -> BitcoinPlan:
        """Fix inputs, outputs and fee. Another plan is outbid with the same inputs, by as much as nodes want for it."""
        rate = Rate(await self._fees.rate(), (await self._chain.head()).latest.height)
        inputs = slot.unspent
        if previous is not None:
            assert previous.inputs == slot.unspent, "a slot's outputs never change"
            self._check_patience(previous, rate)
        plan = draft(intent, inputs, rate, self._prefixes, previous)
        if found := misfits(intent, plan, self._chain.network, self._asset if intent.payments else None):
            raise CannotPlan("; ".join(found))
        return plan

    def _check_patience(self, previous: BitcoinPlan, rate: Rate) -> None:
        """Outbid only what the network asks more for by now, or what it has passed over for some blocks."""
        size = vsize(len(previous.inputs), [KEY_SCRIPT_BYTES] * (len(previous.change) + 1))
        pays_enough = previous.fee_units >= fee_at(rate.sat_per_kvb, size)
        if pays_enough and rate.height < previous.height + PATIENCE_BLOCKS:
            raise CannotPlan("its fee is what the network asks for: it waits for a block")

    async def broadcast(self, signed: Signed) -> Broadcast:
        """Hand the bytes to every endpoint; taken is what one of them takes."""
        return most_hopeful(await asyncio.gather(*(_send(node, signed) for node in self._chain.nodes)))

    async def outcome(self, intent: Intent, plan: BitcoinPlan, signed: Signed) -> Outcome:
        """Say what became of it, also where it was mined under another id than it was signed with."""
        head = await self._chain.head()
        found = await self._tracker.find(plan, signed, head)
        if isinstance(found, bool):
            return Outcome(FateState.PENDING if found else FateState.UNKNOWN, signed.txid)
        is_final = found.block.height <= head.final.height
        return Outcome(
            state=FateState.FINAL if is_final else FateState.MINED,
            txid=found.transaction.txid,
            block=found.block,
            fee_units=plan.fee_units,
            delivered=(True,) * len(intent.payments) if is_final else (),
        )

    async def is_dead(self, intent: Intent, plan: BitcoinPlan, signed: Signed) -> bool:
        """Return True when a final block holds another transaction that spends one of its inputs."""
        del intent
        head = await self._chain.head()
        spender = await self._tracker.spender(plan, signed, head)
        return spender is not None and not is_same(spender, signed) and spender.block.height <= head.final.height

    def produced(self, plan: BitcoinPlan, signed: Signed) -> Sequence[Unspent]:
        """Return what the payer got: the last outputs of the transaction."""
        outputs = read_transaction(signed.raw).outputs
        first = len(outputs) - len(plan.change)
        return [Unspent(signed.txid, first + n, units, plan.payer) for n, units in enumerate(plan.change)]


async def _send(node: BitcoinNode, signed: Signed) -> Broadcast:
    try:
        await node.ask([Call("sendrawtransaction", (signed.raw.hex(),))], TEXT)
    except CallRefused as error:
        if error.code == _IN_CHAIN_CODE or _KNOWN.search(str(error)):
            return Broadcast(Sent.ACCEPTED)
        return Broadcast(Sent.REFUSED, str(error))
    except ChainError as error:
        return Broadcast(Sent.UNCLEAR, str(error))
    return Broadcast(Sent.ACCEPTED)
