"""`/v1/statements`: a merchant's days."""

from dataclasses import dataclass

import msgspec

from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.money import format_units
from bitlinkpay.db.pool import Database
from bitlinkpay.statements import service
from bitlinkpay.statements.export import show_pots
from bitlinkpay.statements.model import Movement, Statement, is_worth_showing
from bitlinkpay.web.api.call import Call
from bitlinkpay.web.api.home_shapes import (
    ChangesBody,
    MovementBody,
    PotsBody,
    StatementBody,
    StatementQuery,
    StatementsBody,
)
from bitlinkpay.web.api.operations import Operation, reading
from bitlinkpay.web.api.reading import asset_of


@dataclass(frozen=True, slots=True)
class Statements:
    """Statements as the API shows them."""

    database: Database
    registry: Registry

    def operations(self) -> list[Operation]:
        """Return what may be asked about days."""
        return [
            reading(
                "listStatements",
                "/v1/statements",
                "Show what a day opened with, what moved in it, what it cost and what it closed with",
                scopes=set(),
                answer=StatementsBody,
                query=StatementQuery,
                do=self.of_day,
            )
        ]

    async def of_day(self, call: Call, query: StatementQuery) -> StatementsBody:
        """Show a day."""
        wanted = [asset_of(self.registry, query.asset).id] if query.asset else list(self.registry.assets)
        async with self.database.reader() as tx:
            found = await service.list_of_day(tx, call.merchant_id, wanted, query.day)
        return StatementsBody(data=[self._body(one) for one in found if is_worth_showing(one)])

    def _body(self, statement: Statement) -> StatementBody:
        asset = self.registry.assets[statement.asset]
        return StatementBody(
            asset=statement.asset,
            day=statement.day,
            is_closed=statement.is_closed,
            opening=msgspec.convert(show_pots(statement.opening, asset), PotsBody),
            movements=[_movement(movement, asset) for movement in statement.movements],
            fees=format_units(statement.fee_units, asset.decimals),
            closing=msgspec.convert(show_pots(statement.closing, asset), PotsBody),
        )


def _movement(movement: Movement, asset: Asset) -> MovementBody:
    return MovementBody(
        event=movement.event,
        postings=movement.postings,
        change=msgspec.convert(show_pots(movement.change, asset), ChangesBody),
        fees=format_units(movement.fee_units, asset.decimals),
    )
