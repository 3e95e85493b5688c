"""Whose key signs: keys with their merchants, from memory at most a few seconds old.

As in `merchants.directory`: a revocation arrives by NOTIFY, and within the entries' life where that is lost.
Anybody may name a key, so look-ups travel together: a flood of keys that nobody has costs one connection.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from bitlinkpay.core.errors import Problem
from bitlinkpay.core.ids import ApiKeyId, MerchantId
from bitlinkpay.db.batch import MicroBatch
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.merchants import store as merchants_store
from bitlinkpay.merchants.api_keys import store
from bitlinkpay.merchants.api_keys.model import ApiKey
from bitlinkpay.merchants.model import Merchant
from bitlinkpay.merchants.shelf import Shelf

BATCH: Final = 256


@dataclass(frozen=True, slots=True)
class Holder:
    """A key, and the merchant that it is of."""

    key: ApiKey
    merchant: Merchant


class ApiKeys:
    """Cached look-ups; safe to share between all tasks of a process."""

    def __init__(self, database: Database, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._lookups = MicroBatch[ApiKeyId, Holder | None](self._load_many, limit=BATCH)
        self._holders = Shelf[ApiKeyId, Holder](
            self._lookups.submit, lambda holder: holder.merchant.merchant_id, monotonic_s
        )

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

    async def _load_many(self, key_ids: Sequence[ApiKeyId]) -> Sequence[Holder | Problem | None]:
        async def read(tx: Tx) -> list[Holder | Problem | None]:
            keys = {key.key_id: key for key in await store.find_keys(tx, key_ids)}
            merchants = await merchants_store.find_many(tx, {key.merchant_id for key in keys.values()})
            return [_holder(keys.get(key_id), merchants) for key_id in key_ids]

        return await self._database.unit(read)


def _holder(key: ApiKey | None, merchants: Mapping[MerchantId, Merchant]) -> Holder | None:
    merchant = merchants.get(key.merchant_id) if key else None
    return Holder(key, merchant) if key and merchant else None
