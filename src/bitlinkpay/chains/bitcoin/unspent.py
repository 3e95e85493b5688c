"""What the nodes' own state of unspent outputs says: of single outputs at once, of addresses by a long search.

A node's set of unspent outputs is kept by its own consensus code, by outpoint: whether one output is unspent is a
look-up (`gettxout`); what an address holds is a pass through the whole set (`scantxoutset` of bitcoind, minutes on
the main chain; btcd has none). Deposits are therefore proven output by output, and the search is for audits.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Final

import msgspec

from bitlinkpay.chains.base import GapError
from bitlinkpay.chains.bitcoin.node import UNSPENT, BitcoinNode, UnspentOutput, unhex
from bitlinkpay.chains.bitcoin.script import script_of
from bitlinkpay.chains.bitcoin.transfers import vout_of
from bitlinkpay.chains.bitcoin.wire import Malformed
from bitlinkpay.chains.codec.bitcoin import Prefixes
from bitlinkpay.chains.outputs import Place
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.rpc import Call, JsonRpc
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.core.assets import Network
from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.money import to_units

DECIMALS: Final = 8
_WITH_PREVOUTS: Final = 3
_SEARCH_TIMEOUT: Final = timedelta(minutes=10)


class _Found(msgspec.Struct, frozen=True, rename="camel"):
    script_pub_key: str
    amount: Decimal
    height: int


class _Search(msgspec.Struct, frozen=True):
    success: bool
    height: int
    bestblock: str
    unspents: list[_Found]


class _Script(msgspec.Struct, frozen=True):
    hex: str


class _Prevout(msgspec.Struct, frozen=True, rename="camel"):
    value: Decimal
    height: int
    script_pub_key: _Script


class _Input(msgspec.Struct, frozen=True):
    prevout: _Prevout | None = None


class _Transaction(msgspec.Struct, frozen=True):
    vin: list[_Input]


class _Block(msgspec.Struct, frozen=True):
    tx: list[_Transaction]
    previousblockhash: str = ""


SEARCH: Final = msgspec.json.Decoder(_Search)
SPENDING_BLOCK: Final = msgspec.json.Decoder(_Block)


def units_of(value: Decimal) -> int:
    """Return the base units of an amount in coins, exactly (THREATS BTC-12).

    Raises:
        Malformed: more than 8 decimals, negative, or no number.
    """
    try:
        units = to_units(value, DECIMALS)
    except (Invalid, ArithmeticError, ValueError):
        raise Malformed("a node sent an amount that is not a number of satoshi") from None
    if units < 0:
        raise Malformed("a node sent a negative amount")
    return units


async def read_unspent(
    node: BitcoinNode, outpoints: Sequence[tuple[str, int]], *, with_mempool: bool = False
) -> list[UnspentOutput | None]:
    """Return unspent outputs, None where the node's state has none: spent, or never there."""
    return await node.ask([Call("gettxout", (txid, vout, with_mempool)) for txid, vout in outpoints], UNSPENT)


async def are_unspent(node: BitcoinNode, places: Sequence[Place], prefixes: Prefixes) -> tuple[bool, ...]:
    """Say of each output whether the node's state holds it as it was seen: one call each."""
    found = await read_unspent(node, [(place.txid, vout_of(place.position)) for place in places])
    return tuple(
        output is not None
        and units_of(output.value) == place.units
        and unhex(output.script_pub_key.hex) == script_of(place.target, prefixes)
        for place, output in zip(places, found, strict=True)
    )


class Search:
    """Balances of addresses, by a pass through the whole set of unspent outputs. One at a time runs in a node."""

    def __init__(self, network: Network, endpoints: Sequence[Endpoint], quorum: int, prefixes: Prefixes) -> None:
        patient = [replace(endpoint, timeout=_SEARCH_TIMEOUT) for endpoint in endpoints]
        self._nodes = [BitcoinNode(JsonRpc(endpoint), network) for endpoint in patient]
        self._quorum = Quorum(self._nodes, quorum, patience=_SEARCH_TIMEOUT)
        self._prefixes = prefixes

    async def balances(self, addresses: Sequence[str], height: int) -> list[int]:
        """Return base units held by each address after the block at `height`.

        Raises:
            GapError, NotEnoughAnswers, ChainError: too few endpoints are a bitcoind (24 or later) that can search.
        """
        if not addresses:
            return []
        scripts = [script_of(address, self._prefixes) for address in addresses]
        return list(await self._quorum.agree(lambda node: _search(node, scripts, height)))

    async def aclose(self) -> None:
        """Close all connections."""
        for node in self._nodes:
            await node.rpc.aclose()


async def _search(node: BitcoinNode, scripts: Sequence[bytes], height: int) -> tuple[int, ...]:
    """Add up what is unspent at the newest block and what the blocks after `height` have spent since."""
    descriptors = [f"raw({script.hex()})" for script in scripts]
    (search,) = await node.ask([Call("scantxoutset", ("start", descriptors))], SEARCH)
    if not search.success or search.height < height:
        raise GapError(f"{node.label} cannot tell what addresses hold at {height}")
    held = dict.fromkeys(scripts, 0)
    for found in search.unspents:
        _add(held, unhex(found.script_pub_key), found.amount, found.height, height)
    block_hash = search.bestblock
    for _ in range(search.height - height):
        (block,) = await node.ask([Call("getblock", (block_hash, _WITH_PREVOUTS))], SPENDING_BLOCK)
        for spent in (spent.prevout for transaction in block.tx for spent in transaction.vin):
            if spent is not None:
                _add(held, unhex(spent.script_pub_key.hex), spent.value, spent.height, height)
        block_hash = block.previousblockhash
    return tuple(held[script] for script in scripts)


def _add(held: dict[bytes, int], script: bytes, value: Decimal, made_at: int, height: int) -> None:
    if script in held and made_at <= height:
        held[script] += units_of(value)
