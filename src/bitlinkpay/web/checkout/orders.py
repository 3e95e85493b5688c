"""The platform behind the hosted page: orders from the database, changes from its notifications."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from bitlinkpay.chains.address import parse_address
from bitlinkpay.chains.base import Chain, ChainError, Fate, FateState
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.errors import Problem
from bitlinkpay.core.ids import PayinId
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits import store as deposits_store
from bitlinkpay.deposits.journal import store as journal
from bitlinkpay.deposits.model import Deposit, DepositState
from bitlinkpay.merchants import service as merchants
from bitlinkpay.payins import store
from bitlinkpay.payins.model import Label, OrderNotFound, Payin
from bitlinkpay.payins.service import Payins
from bitlinkpay.payins.view import PayinView, find_view
from bitlinkpay.web.checkout.port import Lookup, LookupKind

_POLL: Final = timedelta(seconds=15)
_OF_LABEL: Final[Mapping[str, LookupKind]] = {
    Label.SHORT: LookupKind.OTHER_AMOUNT,
    Label.OVER: LookupKind.OTHER_AMOUNT,
    Label.WRONG_ASSET: LookupKind.OTHER_ASSET,
    Label.WRONG_NETWORK: LookupKind.OTHER_NETWORK,
    Label.LATE: LookupKind.LATE,
    Label.AFTER_CANCEL: LookupKind.LATE,
}
_GONE: Final = frozenset({DepositState.DROPPED, DepositState.REVERSED})


@dataclass(slots=True)
class Changes:
    """Wakes every open page of an order when the database says that the order changed."""

    waiting: dict[str, set[asyncio.Event]] = field(default_factory=lambda: defaultdict(set))

    async def follow(self, database: Database) -> None:
        """Listen for changed orders from now on."""
        await database.listen("payins", self._wake)

    def _wake(self, payload: str) -> None:
        # An empty payload follows a reconnect: anything may have been missed.
        ids = payload.split(",") if payload else list(self.waiting)
        for order in ids:
            for event in self.waiting.get(order, ()):
                event.set()

    async def of(self, payin_id: PayinId) -> AsyncIterator[None]:
        """Yield at each change of one order and, to be safe, every 15 seconds."""
        event = asyncio.Event()
        self.waiting[payin_id.hex].add(event)
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_POLL.total_seconds()):
                        await event.wait()
                event.clear()
                yield
        finally:
            self.waiting[payin_id.hex].discard(event)
            if not self.waiting[payin_id.hex]:
                del self.waiting[payin_id.hex]


@dataclass(frozen=True, slots=True)
class Orders:
    """`CheckoutPort` on the real platform."""

    database: Database
    registry: Registry
    payins: Payins
    chains: Mapping[str, Chain]
    watched: Changes

    async def find_view(self, payin_id: PayinId) -> PayinView:
        """Return everything that the page shows of one order.

        Raises:
            OrderNotFound: no order has this id.
        """
        async with self.database.reader() as tx:
            return await find_view(tx, self.registry, payin_id)

    async def pick_network(self, payin_id: PayinId, asset_id: str) -> None:
        """Fix network, rate, amount and a fresh life of a pre-order.

        Raises:
            Problem: picked before, ended, not offered, or no rate now.
        """
        async with self.database.reader() as tx:
            payin = await store.find(tx, payin_id)
            if payin is None:
                raise OrderNotFound
            merchant = await merchants.get(tx, payin.merchant_id)
        pick = await self.payins.prepare_pick(payin, merchant, asset_id)
        await self.database.unit(lambda tx: self.payins.pick(tx, pick))

    async def look_up(self, payin_id: PayinId, text: str) -> Lookup:
        """Say what is known of a transaction hash, or of the newest transfer from the payer's own address."""
        async with self.database.reader() as tx:
            payin = await store.find(tx, payin_id)
            if payin is None:
                raise OrderNotFound
            deposits = await deposits_store.list_of_payins(tx, [payin_id])
            cursors = {cursor.network: cursor.height for cursor in await journal.list_cursors(tx)}
        wanted = {text.lower(), *self._spellings(text)}
        mine = [d for d in deposits if d.state not in _GONE and {d.txid.lower(), d.source.lower()} & wanted]
        if mine:
            return self._known(mine[-1], cursors.get(mine[-1].network, 0))
        return await self._ask_chain(payin, text)

    def changes(self, payin_id: PayinId) -> AsyncIterator[None]:
        """Yield each time something of the order may have changed, until closed."""
        return self.watched.of(payin_id)

    def _spellings(self, text: str) -> set[str]:
        found: set[str] = set()
        for network in self.registry.networks.values():
            with suppress(Problem):
                found.add(parse_address(network, text).lower())
        return found

    def _known(self, deposit: Deposit, height: int) -> Lookup:
        kind = _OF_LABEL.get(deposit.label)
        if kind is None:
            kind = LookupKind.SEEN if deposit.state is DepositState.SEEN else LookupKind.COUNTED
        return Lookup(
            kind,
            confirmations=max(0, height - deposit.height + 1),
            asset=self.registry.assets[deposit.asset],
            network=self.registry.networks[deposit.network],
            units=deposit.units,
        )

    async def _ask_chain(self, payin: Payin, text: str) -> Lookup:
        if self._spellings(text):
            return Lookup(LookupKind.NOT_SEEN)
        if payin.asset is None:
            return Lookup(LookupKind.UNREADABLE)
        network = self.registry.networks[self.registry.assets[payin.asset].network]
        chain = self.chains.get(network.id)
        if chain is None:
            return Lookup(LookupKind.UNKNOWN)
        try:
            return _of_fate(await chain.fate(text), payin)
        except ChainError:
            return Lookup(LookupKind.UNKNOWN)


def _of_fate(fate: Fate, payin: Payin) -> Lookup:
    match fate.state:
        case FateState.UNKNOWN:
            return Lookup(LookupKind.NOT_SEEN)
        case FateState.FAILED:
            return Lookup(LookupKind.FAILED)
        case _:
            is_ours = any(transfer.target == payin.address and transfer.tag == payin.tag for transfer in fate.transfers)
            if not is_ours:
                return Lookup(LookupKind.OTHER_ADDRESS)
            return Lookup(LookupKind.PENDING if fate.state is FateState.PENDING else LookupKind.SEEN)
