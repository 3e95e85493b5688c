"""Odd money of a merchant, with its place in the books."""

from datetime import UTC, datetime

from tests.deposits.test_store import deposit
from tests.flows.paying import STRANGERS
from tests.web.api.platform import Rest

from bitlinkpay.core.ids import parse_id
from bitlinkpay.deposits.changes import store as changes
from bitlinkpay.deposits.model import Deposit, DepositChange, DepositEvent, DepositState
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import LedgerEvent, Move, Posting
from bitlinkpay.merchants.model import Merchant

UNITS = 9_500_000


async def put_aside(
    rest: Rest,
    merchant: Merchant,
    *,
    order_id: str = "",
    number: int = 1,
    state: DepositState = DepositState.UNASSIGNED,
    **changed: object,
) -> Deposit:
    """Put a transfer of 9.5 USDT aside, for an order or for none."""
    fields: dict[str, object] = {"units": UNITS, "label": "short", "source": STRANGERS["tron"], "seen_at": now()}
    made = deposit(
        number,
        merchant_id=merchant.merchant_id,
        payin_id=parse_id("pay", order_id) if order_id else None,
        state=state,
        target=STRANGERS["tron"],
        **(fields | changed),
    )
    seen = DepositChange(made.deposit_id, DepositEvent.SEEN, made.state, made.state, made.label)
    place = accounts.quarantined if state is DepositState.QUARANTINED else accounts.unassigned
    booked = Posting(
        key=f"odd:{made.deposit_id.hex}",
        event=LedgerEvent.HOT_WALLET_FUNDED,
        asset=made.asset,
        moves=(Move(accounts.hot_custody("hot"), place(merchant.merchant_id, made.deposit_id), made.units),),
        merchant_id=merchant.merchant_id,
        happened_at=now(),
    )
    async with rest.database.transaction() as tx:
        await changes.insert(tx, [made], [seen], now())
        await ledger.post_all(tx, [booked])
    return made


def now() -> datetime:
    return datetime.now(UTC)
