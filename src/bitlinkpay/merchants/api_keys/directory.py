"""Whose key signs: keys with their merchants, from memory at most a few seconds old.

As in `merchants.directory`: a revocation arrives by NOTIFY, and within the entries' life where that is lost.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from bitlinkpay.core.ids import ApiKeyId, MerchantId
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.merchants import store as merchants_store
from bitlinkpay.merchants.api_keys import store
from bitlinkpay.merchants.api_keys.model import ApiKey
from bitlinkpay.merchants.model import Merchant
from bitlinkpay.merchants.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Holder:
    """A key, and the merchant that it is of."""

    key: ApiKey
    merchant: Merchant


class ApiKeys:
    """Cached look-ups; safe to share between all tasks of a process."""

    def __init__(self, database: Database, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._holders = Shelf[ApiKeyId, Holder](self._load, lambda holder: holder.merchant.merchant_id, monotonic_s)

    async def start(self) -> None:
        """Hear of changes at once; without it they are seen within 5 s."""
        await self._database.listen(merchants_store.CHANNEL, self._forget)

    async def find(self, key_id: ApiKeyId) -> Holder | None:
        """Return a key with its merchant, revoked or not, or None.

        Raises:
            Unavailable: the database can't be asked.
        """
        return await self._holders.find(key_id)

    def _forget(self, merchant: str) -> None:
        self._holders.forget(MerchantId(UUID(hex=merchant)) if merchant else None)

    async def _load(self, key_id: ApiKeyId) -> Holder | None:
        async def read(tx: Tx) -> Holder | None:
            key = await store.find(tx, key_id)
            merchant = await merchants_store.find(tx, key.merchant_id) if key else None
            return Holder(key, merchant) if key and merchant else None

        return await self._database.unit(read)
