"""Who is asking: merchants by certificate key and by broker id, from memory at most a few seconds old.

Asked at every request, so that a revocation works on open connections too (THREATS, API-05): it arrives by NOTIFY,
and within the entries' life where the notification is lost. When the database can't be asked, nobody is let in on an
entry past its life.
"""

import time
from collections.abc import Callable
from uuid import UUID

from bitlinkpay.core.clock import Clock, SystemClock
from bitlinkpay.core.ids import MerchantId
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.merchants import store
from bitlinkpay.merchants.certificates import PUBLISHED
from bitlinkpay.merchants.model import Certificate, Identity, Merchant, MerchantState
from bitlinkpay.merchants.shelf import Shelf

_SPKI_BYTES = 32
_LONGEST_BROKER = 64


class Directory:
    """Cached look-ups; safe to share between all tasks of a process."""

    def __init__(
        self,
        database: Database,
        *,
        wall: Clock | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
        denied: frozenset[bytes] = PUBLISHED,
    ) -> None:
        self._database = database
        self._wall = wall or SystemClock()
        self._denied = denied
        self._by_spki = Shelf[bytes, tuple[Merchant, Certificate]](
            self._load_spki, lambda f: f[0].merchant_id, monotonic_s
        )
        self._by_broker = Shelf[str, Merchant](self._load_broker, lambda f: f.merchant_id, monotonic_s)

    async def start(self) -> None:
        """Hear of changes at once; without it they are seen within 5 s."""
        await self._database.listen(store.CHANNEL, self.forget)

    async def find_by_spki(self, spki: bytes) -> Identity | None:
        """Return whose certificate this is, or None: unknown, or a key pair that the SDKs publish (THREATS, API-03).

        Raises:
            Unavailable: the database can't be asked.
        """
        if spki in self._denied or len(spki) != _SPKI_BYTES:
            return None
        found = await self._by_spki.find(spki)
        if found is None:
            return None
        merchant, certificate = found
        is_valid = certificate.is_valid(self._wall.now()) and merchant.state is not MerchantState.REVOKED
        return Identity(merchant, is_revoked=not is_valid)

    async def find_by_broker(self, broker: str) -> Merchant | None:
        """Return the merchant with this broker id, or None. For the sandbox's plain mode: it proves nothing.

        Raises:
            Unavailable: the database can't be asked.
        """
        return await self._by_broker.find(broker) if 0 < len(broker) <= _LONGEST_BROKER else None

    def forget(self, merchant: str = "") -> None:
        """Drop what is known of a merchant (hex id), or everything for "" (notifications may have been lost)."""
        merchant_id = MerchantId(UUID(hex=merchant)) if merchant else None
        self._by_spki.forget(merchant_id)
        self._by_broker.forget(merchant_id)

    async def _load_spki(self, spki: bytes) -> tuple[Merchant, Certificate] | None:
        async def read(tx: Tx) -> tuple[Merchant, Certificate] | None:
            return await store.find_by_spki(tx, spki)

        return await self._database.unit(read)

    async def _load_broker(self, broker: str) -> Merchant | None:
        async def read(tx: Tx) -> Merchant | None:
            return await store.find_by_broker(tx, broker)

        return await self._database.unit(read)
