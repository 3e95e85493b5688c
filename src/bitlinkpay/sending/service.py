"""Ask for payments, call them back, stop and release lanes: everything works inside the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from bitlinkpay.chains.outgoing import KeyRole, Wallet
from bitlinkpay.core.assets import Family, Network
from bitlinkpay.core.errors import NotFound
from bitlinkpay.db.driver import Tx
from bitlinkpay.ledger import accounts
from bitlinkpay.sending import store
from bitlinkpay.sending.model import SENDING, OwnerKind, Sending, SendingEvent, SendingExists, SendingState, TooLate
from bitlinkpay.sending.store import SendingChange


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of one payment.

    Attributes:
        sending: the payment, in its last state.
        txid: the transaction, "" if there never was one.
        height: the final block, None if there never was one.
        reason: why nothing arrived, "" if it did.
    """

    sending: Sending
    txid: str
    height: int | None
    reason: str

    @property
    def is_delivered(self) -> bool:
        """Say whether the recipient has the money."""
        return self.sending.state is SendingState.DELIVERED


class Stage(StrEnum):
    """How far a payment is for whom asked for it, before its end."""

    QUEUED = "queued"  # again, after its transaction came to nothing
    HELD = "held"  # out of the queue: a person has to look, `Sending.reason` says why
    SIGNED = "signed"
    BROADCAST = "broadcast"
    UNCERTAIN = "uncertain"
    CONFIRMING = "confirming"


class Owner(Protocol):
    """The package above that asked for payments of one kind; called inside the transaction that moves them."""

    async def progressed(self, tx: Tx, sendings: Sequence[Sending], stage: Stage, txid: str, now: datetime) -> None:
        """Take note of payments that moved on without ending; `txid` is "" when they went back into the queue."""
        ...

    async def ended(self, tx: Tx, endings: Sequence[Ending], now: datetime) -> None:
        """Settle payments that ended: books, states and events of the owner."""
        ...


def custody(network: Network, wallet: Wallet) -> str:
    """Return the account that holds what stands at a wallet of ours; TON has one wallet for deposits and payments."""
    if wallet.role is KeyRole.DEPOSIT or network.family is Family.TON:
        return accounts.deposit_custody(wallet.address)
    return accounts.hot_custody(wallet.address)


async def queue(tx: Tx, sendings: Sequence[Sending], now: datetime) -> None:
    """Queue payments; the same one again changes nothing.

    Raises:
        SendingExists: an owner asked for other content before.
    """
    fresh = await store.insert(tx, sendings, now)
    repeated = [s for s in sendings if s.sending_id not in fresh]
    for owner in {s.owner for s in repeated}:
        mine = [s for s in repeated if s.owner is owner]
        stored = await store.find_by_owner(tx, owner, [s.owner_id for s in mine])
        for sending in mine:
            if _content(stored[sending.owner_id]) != _content(sending):
                raise SendingExists(f"{owner} {sending.owner_id.hex} was asked for with other content")


def _content(sending: Sending) -> tuple[object, ...]:
    return sending.network, sending.purpose, sending.payer, sending.payment, sending.merchant_id


async def cancel(tx: Tx, owner: OwnerKind, owner_id: UUID, now: datetime) -> None:
    """Call a payment back that still waits, in the queue or for a person.

    Raises:
        TooLate: it is part of a transaction already, or has ended.
        NotFound: nobody asked for it.
    """
    await _move(tx, owner, owner_id, SendingEvent.CANCELLED, reason="", now=now)


async def waits(tx: Tx, owners: Sequence[OwnerKind], owner_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return by owner why payments have not left yet, of those that wait for anything but their turn."""
    return await store.waits(tx, owners, owner_ids)


async def has_waiting(tx: Tx, network: str, payer: str) -> bool:
    """Say whether anything waits in a lane that may leave, the joining of its own outputs aside."""
    return await store.has_waiting(tx, network, payer)


async def hold(tx: Tx, owner: OwnerKind, owner_id: UUID, *, reason: str, now: datetime) -> None:
    """Take a payment out of the queue until `resume`. Raises as `cancel`."""
    await _move(tx, owner, owner_id, SendingEvent.HELD, reason=reason, now=now)


async def resume(tx: Tx, owner: OwnerKind, owner_id: UUID, now: datetime) -> None:
    """Put a held payment back into the queue, at its old place.

    Raises:
        TooLate: it is not held.
        NotFound: nobody asked for it.
    """
    await _move(tx, owner, owner_id, SendingEvent.RESUMED, reason="", now=now)


async def _move(tx: Tx, owner: OwnerKind, owner_id: UUID, event: SendingEvent, *, reason: str, now: datetime) -> None:
    sending = await store.lock_by_owner(tx, owner, owner_id)
    if sending is None:
        raise NotFound(f"no {owner} {owner_id.hex} was ever queued")
    if not SENDING.allows(sending.state, event):
        raise TooLate(sending.state)
    await store.save(tx, [SendingChange(sending, event, SENDING.next(sending.state, event), None, reason=reason)], now)
