"""Judges a jetton by its newest transfers on the chain, where none can be tried: ordered, sent on, and credited."""

from collections.abc import Sequence
from typing import Final

import msgspec

from bitlinkpay.chains.findings import Findings
from bitlinkpay.chains.ton.body import TRANSFER, op_of
from bitlinkpay.chains.ton.cell import BadCell, Slice
from bitlinkpay.chains.ton.history import is_committed
from bitlinkpay.chains.ton.node import PAGE, TonNode
from bitlinkpay.chains.ton.state import find_jetton_wallet
from bitlinkpay.chains.ton.token import jetton_wallet
from bitlinkpay.chains.ton.transfers import jetton_change
from bitlinkpay.chains.ton.trial import is_money, said_units
from bitlinkpay.chains.ton.wire import (
    RawMessage,
    RawTransaction,
    body_of,
    canonical_address,
    canonical_hash,
    decoder_of,
)
from bitlinkpay.core.assets import Asset

WATCHED: Final = 4
FELL: Final = "it did not arrive"


class _RawOrder(msgspec.Struct, frozen=True):
    transaction_hash: str


class _Orders(msgspec.Struct, frozen=True):
    jetton_transfers: list[_RawOrder]


_ORDERS: Final = decoder_of(_Orders)


async def newest_orders(node: TonNode, asset: Asset) -> list[str]:
    """Return the ids of the transactions in which jetton wallets took the newest orders to transfer.

    Raises:
        ChainError: the endpoint does not tell.
    """
    query = (("jetton_master", asset.contract), ("limit", str(WATCHED)), ("sort", "desc"))
    found = (await node.get("/jetton/transfers", query, _ORDERS)).jetton_transfers
    return list(dict.fromkeys(canonical_hash(order.transaction_hash) for order in found))


async def watch(node: TonNode, asset: Asset, txid: str) -> str | None:
    """Return what is wrong with a transfer, "" for nothing, None where it is none of this jetton's or not over yet.

    Raises:
        ChainError: the endpoint does not tell.
    """
    order = await node.find_transaction(txid)
    read = _read(order) if order is not None and is_committed(order) else None
    if order is None or read is None:
        return None
    payer, units, target = read
    source, goal = [await jetton_wallet(node, asset.contract, owner) for owner in (payer, target)]
    if source != canonical_address(order.account):
        return None
    onward = [one for one in order.out_msgs if is_money(one) and canonical_address(one.destination) == goal]
    if not onward:
        return FELL
    return await _arrival(node, asset, onward[0], units, target)


async def _arrival(node: TonNode, asset: Asset, sent: RawMessage, units: int, target: str) -> str | None:
    taken = await node.find_taker(canonical_hash(sent.hash))
    if taken is None or not is_committed(taken):
        return None
    if not taken.description.is_whole:
        return FELL
    if (said := said_units(sent)) != units:
        return f"a transfer of {units} units brought {said}: it takes a fee, or moves nothing"
    return await _shortfall(node, asset, target)


def sum_up(said: Sequence[str]) -> Findings:
    """Return what transfers that were watched tell of a jetton; one that fell among others is somebody's mistake."""
    if not said:
        return Findings(notes=("none of its transfers on the chain could be looked at either",))
    faults = tuple(dict.fromkeys(text for text in said if text not in {"", FELL}))
    fell = said.count(FELL)
    if fell == len(said):
        faults = (f"none of its {fell} newest transfers on the chain arrived",)
    whole = said.count("")
    return Findings(faults, (f"{whole} of its {len(said)} newest transfers on the chain brought what they say",))


def _read(order: RawTransaction) -> tuple[str, int, str] | None:
    """Return who ordered how much to whom."""
    message = order.in_msg
    body = body_of(message) if message is not None and message.bounced is False else None
    if message is None or body is None or op_of(body) != TRANSFER:
        return None
    fields = Slice(body)
    try:
        fields.uint(32 + 64)  # op and query id
        read = canonical_address(message.source), fields.coins(), fields.address()
    except BadCell:
        return None
    return read if read[0] and read[2] else None


async def _shortfall(node: TonNode, asset: Asset, owner: str) -> str:
    """Say that a jetton wallet holds less than its whole history brought, "" where that is not so, or not shown.

    More is no fault: some jettons are credited by a proof that the first order brings along.
    """
    wallet = await find_jetton_wallet(node, asset, owner)
    if wallet is None:
        return ""
    account = canonical_address(wallet.address)
    past = await node.transactions(
        (("account", account), ("end_lt", str(wallet.last_transaction_lt)), ("sort", "desc")), limit=PAGE
    )
    if not past or past[0].lt != wallet.last_transaction_lt or past[-1].prev_trans_lt:
        return ""
    if (brought := sum(map(jetton_change, past))) <= wallet.balance:
        return ""
    return (
        f"{account} holds {wallet.balance} units of {brought} that came: it takes a fee, or changes balances by itself"
    )
