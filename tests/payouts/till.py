"""Payouts on a real database, with a balance that was given, and networks and a market that answer at once."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Self
from uuid import UUID

from tests.authorizations.people import stored_merchant
from tests.flows.faults import Crash, FaultyTx, Fuse
from tests.flows.harness import REGISTRY
from tests.flows.paying import STRANGERS
from tests.payouts.test_drafting import HOT, NEW, Desk
from tests.support.clock import ManualClock

from bitlinkpay.app.platform import check_books
from bitlinkpay.core.ids import PayoutId, new_uuid7
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import LedgerEvent, Move, Posting
from bitlinkpay.merchants.model import Merchant
from bitlinkpay.payouts import store
from bitlinkpay.payouts.model import NewPayout, Payout, PayoutState, Terms
from bitlinkpay.payouts.service import Payouts

ASSET, UNIT = "usdt-tron", 10**6
TABLES = ("payouts", "payout_events", "sendings", "ledger_accounts", "ledger_postings", "outbox", "deposits")


@dataclass
class Till:
    """A merchant with money, and what pays it out."""

    database: Database
    merchant: Merchant
    desk: Desk = field(default_factory=Desk)

    @classmethod
    async def start(cls, database: Database, units: int = 1_000 * UNIT) -> Self:
        till = cls(database, await stored_merchant(database))
        await till.give(ASSET, units)
        return till

    @property
    def clock(self) -> ManualClock:
        return self.desk.clock

    async def give(self, asset: str, units: int, custody: str = accounts.hot_custody(HOT.address)) -> None:
        """Put a balance into the books, as the company's gift."""
        gift = Posting(
            key=f"gift:{new_uuid7().hex}",
            event=LedgerEvent.HOT_WALLET_FUNDED,
            asset=asset,
            moves=(Move(custody, accounts.available(self.merchant.merchant_id), units),),
            merchant_id=self.merchant.merchant_id,
            happened_at=self.clock.now(),
        )
        await self.database.unit(lambda tx: ledger.post_all(tx, [gift]))

    async def terms(self, **changed: int) -> None:
        merchant_id = self.merchant.merchant_id
        await self.database.unit(lambda tx: store.save_terms(tx, merchant_id, NEW.kind, ASSET, Terms(**changed)))

    def payouts(self) -> Payouts:
        return Payouts(
            registry=REGISTRY,
            quotes=self.desk.quotes,
            prices=self.desk.prices,
            providers=self.desk.providers,
            hot_wallet=lambda network: HOT,
            clock=self.clock,
        )

    def new(self, source_id: str, amount: str = "20", **changed: object) -> NewPayout:
        fields: dict[str, object] = {"target": STRANGERS["tron"]} | changed
        return replace(
            NEW, merchant=self.merchant, source_id=source_id, amount=Decimal(amount), **fields  # type: ignore[arg-type]
        )  # fmt: skip

    async def ask(self, source_id: str, amount: str = "20", **changed: object) -> Payout:
        payouts = self.payouts()
        draft = await payouts.prepare(self.new(source_id, amount, **changed))
        return await self.database.unit(lambda tx: payouts.request(tx, draft))

    async def put(self, payout: Payout, state: PayoutState) -> None:
        """Put a payout into a state by hand, whatever its money and its payment say."""
        async with self.database.transaction() as tx:
            await tx.execute(
                "update payouts set state = $2, ended_at = $3 where payout_id = $1",
                payout.payout_id,
                state,
                self.clock.now() if replace(payout, state=state).has_ended else None,
            )

    async def show(self, payout_id: PayoutId) -> Payout:
        async with self.database.reader() as tx:
            found = await store.find(tx, payout_id)
        assert found is not None
        return found

    async def queued(self, payout_id: UUID) -> list[tuple[object, ...]]:
        """Return owner, state and reason of a payout's payment."""
        async with self.database.reader() as tx:
            rows = await tx.fetch("select owner, state, reason from sendings where owner_id = $1", payout_id)
        return [tuple(row) for row in rows]

    async def events(self, payout_id: UUID) -> list[tuple[object, ...]]:
        """Return event, state after it and cause of everything that happened to a payout."""
        query = "select event, to_state, cause from payout_events where payout_id = $1 order by seq"
        async with self.database.reader() as tx:
            return [tuple(row) for row in await tx.fetch(query, payout_id)]

    async def money(self) -> tuple[int, int]:
        """Return what is available and what is reserved."""
        async with self.database.reader() as tx:
            (balance,) = [b for b in await ledger.balances(tx, self.merchant.merchant_id) if b.asset == ASSET]
        return balance.available_units, balance.reserved_units

    async def everything(self) -> dict[str, object]:
        """Return all rows of all tables that a payout may write to."""
        async with self.database.reader() as tx:
            query = "select coalesce(string_agg(t::text, chr(10) order by t::text), '') from {} t"
            return {table: await tx.fetchval(query.format(table)) for table in TABLES}

    async def check(self) -> None:
        assert not [check for check in await check_books(self.database) if not check.ok]

    async def crash_at_each_statement(self, work: Callable[[Tx], Awaitable[object]]) -> int:
        """Let work crash before and after every statement of it, and then be done; return how often it crashed."""
        before, fuse = await self.everything(), Fuse(at=1)
        while True:
            try:
                async with self.database.transaction() as tx:
                    await work(FaultyTx(tx, fuse))
            except Crash:
                assert await self.everything() == before, f"what was done before step {fuse.at} stayed"
                fuse = Fuse(at=fuse.at + 1)
            else:
                assert await self.everything() != before
                return fuse.at - 1
