"""Deliveries, secrets and relays for tests."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from uuid import UUID

import pytest
from tests.support.clock import ManualClock
from tests.webhooks.receiver import Receiver, open_receiver

from bitlinkpay.core.ids import DeliveryId, MerchantId, new_uuid7
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.webhooks import service
from bitlinkpay.webhooks.model import Attempt, Delivery, NewDelivery
from bitlinkpay.webhooks.policy import sandbox_policy
from bitlinkpay.webhooks.relay import Relay
from bitlinkpay.webhooks.sender import Sender
from bitlinkpay.webhooks.signature import new_secret

PATIENCE_S = 60


class Desk:
    """A merchant's side and the platform's side of callbacks, on a real database and real sockets."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self.database = database
        self.clock = clock
        self.merchant = MerchantId(new_uuid7())
        self.secrets: dict[MerchantId, list[str]] = {self.merchant: [new_secret()]}
        self.stack = AsyncExitStack()

    @property
    def secret(self) -> str:
        return self.secrets[self.merchant][0]

    async def secrets_of(self, tx: Tx, merchants: Sequence[MerchantId]) -> Mapping[MerchantId, Sequence[str]]:
        del tx
        return {merchant: self.secrets[merchant] for merchant in merchants if merchant in self.secrets}

    def new(
        self,
        url: str,
        body: bytes = b'{"status":8}',
        *,
        merchant: MerchantId | None = None,
        subject: UUID | None = None,
        at: datetime | None = None,
    ) -> NewDelivery:
        return NewDelivery(
            delivery_id=DeliveryId(new_uuid7()),
            merchant_id=merchant or self.merchant,
            subject_id=subject or new_uuid7(),
            kind="payin.paid",
            url=url,
            body=body,
            created_at=at or self.clock.now(),
        )

    async def enqueue(self, *deliveries: NewDelivery) -> None:
        async with self.database.transaction() as tx:
            await service.enqueue(tx, deliveries)

    async def owe(self, url: str, body: bytes = b'{"status":8}', *, subject: UUID | None = None) -> NewDelivery:
        delivery = self.new(url, body, subject=subject)
        await self.enqueue(delivery)
        return delivery

    def relay(
        self,
        *,
        total_s: int = PATIENCE_S,
        window: int = 512,
        jitter: Callable[[], int] = lambda: 0,
        monotonic_s: Callable[[], float] = lambda: 0.0,
    ) -> Relay:
        """A relay whose time stands still unless told otherwise: no endpoint rests because the machine was slow."""
        sender = Sender(sandbox_policy(), total_s=total_s)
        self.stack.push_async_callback(sender.aclose)
        return Relay(
            self.database,
            sender,
            self.secrets_of,
            clock=self.clock,
            window=window,
            jitter=jitter,
            monotonic_s=monotonic_s,
        )

    async def receiver(self, *args: object, **named: object) -> Receiver:
        return await self.stack.enter_async_context(open_receiver(*args, **named))  # type: ignore[arg-type]

    async def show(self, delivery: NewDelivery) -> tuple[Delivery, list[Attempt]]:
        async with self.database.reader() as tx:
            return await service.get_delivery(tx, delivery.delivery_id)

    async def state(self, delivery: NewDelivery) -> str:
        return (await self.show(delivery))[0].state.value

    async def expire_leases(self) -> None:
        """Let every lease run out, as a minute of waiting would."""
        async with self.database.transaction() as tx:
            await tx.execute(
                "update deliveries set lease_until = now() - interval '1 second' where lease_until is not null"
            )


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    made = Desk(database, ManualClock())
    async with made.stack:
        yield made
