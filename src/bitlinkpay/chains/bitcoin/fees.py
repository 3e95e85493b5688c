"""What the network asks for a transaction now: the nodes' own estimates, none of them believed beyond a bound."""

import logging
from decimal import Decimal
from typing import Final

import msgspec

from bitlinkpay.chains.bitcoin.node import BitcoinNode, decode
from bitlinkpay.chains.bitcoin.unspent import units_of
from bitlinkpay.chains.bitcoin.weight import RATE_MAX, RELAY_RATE
from bitlinkpay.chains.bitcoin.wire import Malformed
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.rpc import Call, CallRefused

log = logging.getLogger(__name__)

RATE_UNKNOWN: Final = 10_000  # where no node has an estimate: 10 sat/vB, and a bump later where that is too little
TARGET_BLOCKS: Final = 3
_SATOSHI: Final = Decimal("0.00000001")


class _Estimate(msgspec.Struct, frozen=True):
    feerate: Decimal | None = None  # coins per 1,000 vB; nodes leave it out while they know too little


ESTIMATE: Final = msgspec.json.Decoder(_Estimate)
PLAIN: Final = msgspec.json.Decoder(Decimal)


class FeeRates:
    """Asks the endpoints of one network; the lower median counts, so that one liar among three moves nothing."""

    def __init__(self, quorum: Quorum[BitcoinNode], *, rate_max: int = RATE_MAX, unknown: int = RATE_UNKNOWN) -> None:
        self._quorum = quorum
        self._rate_max = rate_max
        self._unknown = unknown

    async def rate(self) -> int:
        """Return sat per 1,000 vB for one of the next blocks, never above `rate_max` (THREATS NODE-10, PAY-15)."""
        told = [rate for _, rate in await self._quorum.survey(_ask) if rate is not None]
        if not told:
            return self._unknown
        middle = sorted(told)[(len(told) - 1) // 2]
        if middle > self._rate_max:
            log.critical("the nodes ask for %d sat per 1,000 vB: held to %d", middle, self._rate_max)
        return min(max(middle, RELAY_RATE), self._rate_max)


async def _ask(node: BitcoinNode) -> int | None:
    """Return an endpoint's estimate, None where it has none: bitcoind's `estimatesmartfee`, btcd's `estimatefee`."""
    call = Call("estimatesmartfee", (TARGET_BLOCKS,))
    (answer,) = await node.answers([call])
    try:
        told = decode(answer, call, ESTIMATE).feerate
    except CallRefused as error:
        if not error.is_unsupported:
            return None
        call = Call("estimatefee", (TARGET_BLOCKS,))
        (answer,) = await node.answers([call])
        told = None if answer.error is not None else decode(answer, call, PLAIN)
    return None if told is None or told <= 0 else _to_rate(told)


def _to_rate(told: Decimal) -> int:
    """Return a rate in sat per 1,000 vB; btcd tells more digits than there are satoshi."""
    try:
        return units_of(told.quantize(_SATOSHI))
    except ArithmeticError:
        raise Malformed("a node sent a fee that is no amount") from None
