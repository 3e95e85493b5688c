"""What a transaction of ours costs, from its own cells.

The prices are those of the base chain's configuration before they were cut in 2026 (parameters 21 and 25 of the main
network): the network takes no more than that, and an indexer does not tell the present ones.
"""

from typing import Final

from bitlinkpay.chains.outgoing import FeeQuote, Intent
from bitlinkpay.chains.ton.cell import Cell
from bitlinkpay.chains.ton.highload import batch, external, query_id, request, state_init
from bitlinkpay.chains.ton.plan import AssetOf, TonPlan, messages

GAS_UNITS: Final = 400  # nanotons for one unit of gas
EXTERNAL_GAS: Final = 10_000  # of the request itself; grows a little with the marks of used query ids
BATCH_GAS: Final = 2_000
JETTON_UNITS: Final = 50_000_000  # travels with a transfer of jettons, enough to deploy the recipient's jetton wallet
JETTON_USUAL_UNITS: Final = 25_000_000

_LUMP_UNITS, _BIT_PRICE, _CELL_PRICE = 400_000, 26_214_400, 2_621_440_000  # the latter two by 2^16
_SIGNATURE = bytes(64)
_KEY = bytes(32)


def forward_fee(message: Cell) -> int:
    """Return what it costs to bring a message to its target: its own bits and all that it refers to, each cell once."""
    bits, cells = _size(message)
    return _LUMP_UNITS + -(-(_BIT_PRICE * bits + _CELL_PRICE * cells) >> 16)


def quote(intent: Intent, plan: TonPlan, asset_of: AssetOf) -> FeeQuote:
    """Return the cost of a plan: what is usual, and the most."""
    outgoing = messages(intent, plan, asset_of)
    query = query_id(plan.number)
    whole = batch(intent.payer.address, outgoing, query)
    init = state_init(_KEY) if plan.is_deploying else None
    brought = external(intent.payer.address, request(whole, query, plan.created_at), _SIGNATURE, init)
    fees = (EXTERNAL_GAS + BATCH_GAS) * GAS_UNITS + forward_fee(brought) + forward_fee(whole.cell())
    fees += sum(forward_fee(message.cell()) for message in outgoing)
    jettons = sum(not asset_of(payment.asset).is_native for payment in intent.payments)
    return FeeQuote(units=fees + jettons * JETTON_USUAL_UNITS, units_max=fees + jettons * plan.jetton_units)


def _size(root: Cell) -> tuple[int, int]:
    seen: dict[bytes, Cell] = {}
    waiting = list(root.refs)
    while waiting:
        cell = waiting.pop()
        if cell.hash not in seen:
            seen[cell.hash] = cell
            waiting += cell.refs
    return sum(cell.size for cell in seen.values()), len(seen)
