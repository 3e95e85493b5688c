"""Tries a jetton's transfer on one endpoint: it is emulated from a holder's wallet to an owner who is nobody.

A transfer is two executions of the jetton's own code: in the payer's jetton wallet and in the recipient's, which the
first one makes. What each holds after it stands in its data, in the form of TEP-74's reference or of the stablecoin.
"""

from hashlib import sha256
from typing import Final

import msgspec

from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.ton.body import INTERNAL_TRANSFER, JettonTransfer, op_of, read_internal_transfer
from bitlinkpay.chains.ton.cell import BadCell, Cell, Slice
from bitlinkpay.chains.ton.emulation import WALLETS, Emulated, RawEmulated, emulate
from bitlinkpay.chains.ton.highload import Outgoing
from bitlinkpay.chains.ton.node import TonNode
from bitlinkpay.chains.ton.state import RawJettonWallet, find_jetton_wallet
from bitlinkpay.chains.ton.token import jetton_wallet
from bitlinkpay.chains.ton.wire import Malformed, RawMessage, RawState, body_of, canonical_address, decoder_of
from bitlinkpay.chains.trial import CannotTry, Trial
from bitlinkpay.core.assets import Asset

TARGET: Final = "0:" + sha256(b"bitlinkpay: target of transfers that are only tried").hexdigest()
GAS_UNITS: Final = 100_000_000  # nanotons that travel with the order: what wallets send, most of which comes back
COINS_MIN: Final = 2 * GAS_UNITS
_MOVED_MAX: Final = 64  # transfers that are looked at for holders
_HOLDERS: Final = 6
_READINGS: Final = 3
_STATUS_BITS: Final = (0, 4)  # what stands before the balance: nothing, or the stablecoin's lock


class _RawMoved(msgspec.Struct, frozen=True):
    source: str | None = None
    destination: str | None = None


class _Moved(msgspec.Struct, frozen=True):
    jetton_transfers: list[_RawMoved]


_MOVED: Final = decoder_of(_Moved)


async def find_holders(node: TonNode, asset: Asset) -> list[str]:
    """Return some who took part in the newest transfers of a jetton and whose wallets can be tried.

    Raises:
        ChainError: the endpoint does not tell.
    """
    query = (("jetton_master", asset.contract), ("limit", str(_MOVED_MAX)), ("sort", "desc"))
    moved = (await node.get("/jetton/transfers", query, _MOVED)).jetton_transfers
    parties = (canonical_address(who) for each in moved for who in (each.source, each.destination))
    met = list(dict.fromkeys(filter(None, parties)))
    states = await node.states(met)
    return [who for who in met if who in states and not _lacking(states[who])][:_HOLDERS]


def _lacking(state: RawState) -> str:
    """Return why no transfer of a wallet's owner can be tried, "" if it can."""
    if state.code_hash not in WALLETS:
        return "it is no wallet of version 3, 4 or 5"
    if (state.balance or 0) < COINS_MIN:
        return f"it has less than {COINS_MIN} nanotons for the gas"
    return ""


async def try_transfer(node: TonNode, asset: Asset, holder: str, units: int) -> Trial:
    """Return what a transfer of `units` would do now.

    Raises:
        CannotTry: the endpoint emulates nothing, or nothing of this holder's wallet.
        ChainError: the endpoint can't say.
    """
    state = (await node.states([holder])).get(holder, RawState(holder))
    if why := _lacking(state):
        raise CannotTry(f"{holder}: {why}, name another one with --holder")
    for _ in range(_READINGS):
        payer = await find_jetton_wallet(node, asset, holder)
        if payer is None:
            return Trial(units, failure=f"{holder} has no jetton wallet")
        trial = await _Try(node, asset, holder, units).carry_out(payer)
        if trial is not None:
            return trial
    raise ChainError(f"{holder} moves it too often: name another one with --holder")


class _Try:
    """One emulated transfer."""

    def __init__(self, node: TonNode, asset: Asset, holder: str, units: int) -> None:
        self._node = node
        self._asset = asset
        self._holder = holder
        self._units = units

    async def carry_out(self, payer: RawJettonWallet) -> Trial | None:
        """Return what it does, None if the payer's jetton wallet was another one meanwhile than it was read."""
        master = self._asset.contract
        source, goal = [await jetton_wallet(self._node, master, owner) for owner in (self._holder, TARGET)]
        if canonical_address(payer.address) != source:
            raise Malformed(f"{self._node.label} names another jetton wallet of {self._holder} than the master does")
        recipient = await find_jetton_wallet(self._node, self._asset, TARGET)
        order = JettonTransfer(
            query_id=0, units=self._units, target=TARGET, answer_to=self._holder, forwarded_units=0, memo=""
        )
        message = Outgoing(source, GAS_UNITS, bounce=True, body=order.body())
        found = await emulate(self._node, self._holder, message)
        sent = [one for one in found.root.out_msgs if canonical_address(one.destination) == source]
        if not sent:
            raise CannotTry(f"{self._holder}: its wallet would not send the order, name another one with --holder")
        first = found.next(sent[0])
        if first.prev_trans_lt != payer.last_transaction_lt:
            return None
        return self._judge(found, first, goal, held=payer.balance, had=recipient.balance if recipient else 0)

    def _judge(self, found: Emulated, first: RawEmulated, goal: str, *, held: int, had: int) -> Trial:
        if not first.description.is_whole:
            return Trial(self._units, failure=f"the payer's jetton wallet refuses the order{_code(first)}")
        onward = [one for one in first.out_msgs if is_money(one) and canonical_address(one.destination) == goal]
        if not onward:
            return Trial(self._units, failure="the payer's jetton wallet sends nothing to the recipient's")
        last = found.next(onward[0])
        if not last.description.is_whole:
            return Trial(self._units, failure=f"the recipient's jetton wallet sends it back{_code(last)}")
        holds, has = self._holding(found, first, self._holder), self._holding(found, last, TARGET)
        said = said_units(onward[0])
        came = has - had if has is not None else said if said != self._units else None
        return Trial(self._units, left=held - holds if holds is not None else None, came=came)

    def _holding(self, found: Emulated, transaction: RawEmulated, owner: str) -> int | None:
        data = found.data_after(transaction)
        return read_balance(data, owner, self._asset.contract) if data is not None else None


def is_money(message: RawMessage) -> bool:
    """Say whether a message carries jettons from one jetton wallet to another."""
    return op_of(body_of(message)) == INTERNAL_TRANSFER


def said_units(message: RawMessage) -> int:
    """Return how many jettons such a message says that it brings."""
    body = body_of(message)
    assert body is not None, "chosen by what it says"
    try:
        return read_internal_transfer(body).units
    except BadCell:
        return 0


def _code(transaction: RawEmulated) -> str:
    how = transaction.description.compute_ph
    return f" (exit code {how.exit_code})" if how is not None and how.exit_code else ""


def read_balance(data: Cell, owner: str, master: str) -> int | None:
    """Return how much a jetton wallet's data says that it holds, None where it is in a form of its own.

    The form is known by what follows the balance: the wallet's owner, and the jetton's master.
    """
    for bits in _STATUS_BITS:
        try:
            fields = Slice(data)
            fields.uint(bits)
            units = fields.coins()
            if (fields.address(), fields.address()) == (owner, master):
                return units
        except BadCell:
            continue
    return None
