"""Which payments of a mined transaction arrived: by its events, never by its status alone. Pure."""

from collections.abc import Sequence

from bitlinkpay.chains.base import ChainError, Transfer
from bitlinkpay.chains.evm.delegates import EXECUTED_TOPIC
from bitlinkpay.chains.evm.plan import BATCHES, EvmPlan, Shape
from bitlinkpay.chains.evm.transfers import Listing, canonical_address, is_success, read_logs
from bitlinkpay.chains.evm.wire import HASH_BYTES, Receipt, unhex
from bitlinkpay.chains.outgoing import Intent, Payment
from bitlinkpay.core.assets import Asset


class Contradiction(ChainError):
    """What a receipt says of our own payments does not fit together: a person must look before anything is paid."""


def delivered(intent: Intent, plan: EvmPlan, receipt: Receipt, asset: Asset | None) -> tuple[bool, ...]:
    """Return for each payment of the intent whether it was made.

    A batch's executor says which of its items failed, and the asset's events, where it has any, must say the same. A
    single payment of a token is made if its event is there, of native coin if it did not revert.

    Raises:
        Contradiction: executor and token contradict each other.
    """
    if not is_success(receipt):
        return (False,) * len(intent.payments)
    if plan.shape is Shape.NATIVE:
        return (True,)
    has_events = asset is not None and not asset.is_native
    events = list(read_logs(receipt, Listing([asset]))) if asset is not None and has_events else []
    if plan.shape not in BATCHES:
        return _take(events, intent.payments)
    failures = failed_items(intent, receipt)
    made = tuple(failures is not None and not failures >> i & 1 for i in range(len(intent.payments)))
    if has_events:
        _confirm(intent.payments, made, events)
    return made


def _confirm(payments: Sequence[Payment], made: Sequence[bool], events: list[Transfer]) -> None:
    """Check that there is an event for each payment that was made, and none left for those that failed."""
    done = _take(events, [payment for payment, is_made in zip(payments, made, strict=True) if is_made])
    left = _take(events, [payment for payment, is_made in zip(payments, made, strict=True) if not is_made])
    if not all(done) or any(left):
        raise Contradiction("the executor and the token's events tell of different payments")


def failed_items(intent: Intent, receipt: Receipt) -> int | None:
    """Return the executor's set of failed items, None where it did not run (the wallet was not delegated to it)."""
    payer = intent.payer.address
    said = [
        int.from_bytes(unhex(log.data, HASH_BYTES), "big")
        for log in receipt.logs
        if [topic.lower() for topic in log.topics] == [EXECUTED_TOPIC] and canonical_address(log.address) == payer
    ]
    if len(said) > 1:
        raise Contradiction(f"the executor ran {len(said)} times in one transaction")
    return said[0] if said else None


def _take(events: list[Transfer], payments: Sequence[Payment]) -> tuple[bool, ...]:
    """Take the event of each payment out of `events`; say which have one.

    A token that took a fee out of what left us has paid, too: what counts is that our money is gone.
    """
    arrived = [False] * len(payments)
    for is_match in (_exactly, _less_a_fee):
        for i, payment in enumerate(payments):
            event = None if arrived[i] else next((event for event in events if is_match(payment, event)), None)
            if event is not None:
                events.remove(event)
                arrived[i] = True
    return tuple(arrived)


def _exactly(payment: Payment, event: Transfer) -> bool:
    return (event.source, event.target, event.units) == (payment.source.address, payment.target, payment.units)


def _less_a_fee(payment: Payment, event: Transfer) -> bool:
    return (event.source, event.target) == (payment.source.address, payment.target) and event.units < payment.units
