"""Handing signed bytes to nodes, and what their answers mean. None is proof: nodes err, forget and lie."""

import asyncio
import re
from collections.abc import Sequence

from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.evm.lookup import place_of
from bitlinkpay.chains.evm.node import EvmNode
from bitlinkpay.chains.evm.wire import TEXT
from bitlinkpay.chains.outgoing import Broadcast, Sent, Signed, most_hopeful
from bitlinkpay.chains.rpc import Call, CallRefused

# geth, Erigon, reth: "already known"; Nethermind: "AlreadyKnown"; Besu: "Known transaction"; anvil: "already imported"
_KNOWN = re.compile(r"already.?known|known.?transaction|already.{0,12}imported|already.?exists", re.IGNORECASE)
_PASSED = re.compile(r"nonce.{0,5}too.?low|old.?nonce|invalid.?nonce", re.IGNORECASE)


async def broadcast(nodes: Sequence[EvmNode], signed: Signed) -> Broadcast:
    """Send the same bytes to every endpoint and return the most hopeful answer."""
    return most_hopeful(await asyncio.gather(*(_send(node, signed) for node in nodes)))


async def _send(node: EvmNode, signed: Signed) -> Broadcast:
    try:
        (txid,) = await node.ask([Call("eth_sendRawTransaction", ("0x" + signed.raw.hex(),))], TEXT)
    except CallRefused as error:
        return await _refusal(node, signed, str(error))
    except ChainError as error:
        return Broadcast(Sent.UNCLEAR, str(error))
    if txid.lower() != signed.txid:
        return Broadcast(Sent.UNCLEAR, f"{node.label} answers with another transaction id")
    return Broadcast(Sent.ACCEPTED)


async def _refusal(node: EvmNode, signed: Signed, reason: str) -> Broadcast:
    """Judge a refusal; where the nonce is used up, look for our own transaction first (THREATS PAY-06)."""
    if _KNOWN.search(reason):
        return Broadcast(Sent.ACCEPTED)
    if not _PASSED.search(reason):
        return Broadcast(Sent.REFUSED, reason)
    try:
        is_ours = await place_of(node, signed.txid) is not None
    except ChainError as error:
        return Broadcast(Sent.UNCLEAR, str(error))
    return Broadcast(Sent.ACCEPTED) if is_ours else Broadcast(Sent.REFUSED, reason)
