"""`/v1/settlements` and `/v1/settlement-rules`: the merchant's own money on its way home.

What moves it asks for the four checks of a person, with every key. Their answers are accepted once, and the body is
never kept, not even as a hash: a settlement's own id makes it happen once.
"""

from dataclasses import dataclass
from datetime import time

from bitlinkpay.chains.address import show_address
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.ids import new_uuid7, parse_id, show_id
from bitlinkpay.core.money import parse_decimal, to_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants.api_keys.model import Scope
from bitlinkpay.settlements.model import Ask, Listed, SettlementId, SettlementNotFound
from bitlinkpay.settlements.rules import store as rules_store
from bitlinkpay.settlements.rules.model import Rule, RuleNotFound, Terms
from bitlinkpay.settlements.rules.schedule import Schedule
from bitlinkpay.settlements.rules.service import Rules
from bitlinkpay.settlements.service import Settlements
from bitlinkpay.settlements.store import SettlementFilter
from bitlinkpay.web.api.call import Call
from bitlinkpay.web.api.cursors import page_of, read_id, write_cursor
from bitlinkpay.web.api.deeds import Deed, Deeds
from bitlinkpay.web.api.figures import money
from bitlinkpay.web.api.home_shapes import (
    AddRule,
    QuoteSettlement,
    RequestSettlement,
    RuleBody,
    RulesBody,
    ScheduleBody,
    SettlementBody,
    SettlementQuery,
)
from bitlinkpay.web.api.operations import Nothing, Operation, asking, doing, reading
from bitlinkpay.web.api.reading import asset_of, id_of, optional, shown_of, span_of
from bitlinkpay.web.api.shapes import Page, QuoteBody


@dataclass(frozen=True, slots=True)
class SettlementDesk:
    """Settlements and rules as the API makes and shows them."""

    database: Database
    registry: Registry
    settlements: Settlements
    rules: Rules
    deeds: Deeds

    def operations(self) -> list[Operation]:
        """Return what may be asked about settlements."""
        return [*self._moving(), *self._looking(), *self._ruling()]

    def _moving(self) -> list[Operation]:
        return [
            asking(
                "requestSettlement",
                "/v1/settlements",
                "Settle now, under all four checks",
                scopes={Scope.PAYOUT},
                answer=SettlementBody,
                body=RequestSettlement,
                do=self.request,
            ),
            asking(
                "quoteSettlement",
                "/v1/settlements/quote",
                "Say what a settlement would bring and cost now",
                scopes={Scope.PAYOUT, Scope.READ},
                answer=QuoteBody,
                body=QuoteSettlement,
                do=self.quote,
            ),
            doing(
                "cancelSettlement",
                "/v1/settlements/{settlement_id}/cancel",
                "Call a settlement back that is not signed yet",
                scopes={Scope.PAYOUT},
                answer=SettlementBody,
                body=Nothing,
                deeds=self.deeds,
                prepare=self.cancel,
            ),
        ]

    def _looking(self) -> list[Operation]:
        return [
            reading(
                "listSettlements",
                "/v1/settlements",
                "List settlements, or the runs of a rule, the newest first",
                scopes={Scope.PAYOUT},
                answer=Page[SettlementBody],
                query=SettlementQuery,
                do=self.list_page,
            ),
            reading(
                "getSettlement",
                "/v1/settlements/{settlement_id}",
                "Show a settlement",
                scopes={Scope.PAYOUT},
                answer=SettlementBody,
                query=Nothing,
                do=self.get,
            ),
        ]

    def _ruling(self) -> list[Operation]:
        return [
            asking(
                "addSettlementRule",
                "/v1/settlement-rules",
                "Put a rule into force, under all four checks",
                scopes={Scope.PAYOUT},
                answer=RuleBody,
                body=AddRule,
                do=self.add_rule,
            ),
            reading(
                "listSettlementRules",
                "/v1/settlement-rules",
                "List the rules that are in force",
                scopes={Scope.PAYOUT},
                answer=RulesBody,
                query=Nothing,
                do=self.list_rules,
            ),
            doing(
                "removeSettlementRule",
                "/v1/settlement-rules/{rule_id}/remove",
                "Take a rule out of force at once",
                scopes={Scope.PAYOUT},
                answer=RuleBody,
                body=Nothing,
                deeds=self.deeds,
                prepare=self.remove_rule,
            ),
        ]

    async def request(self, call: Call, body: RequestSettlement) -> SettlementBody:
        """Settle, or answer with the settlement that this id is already."""
        settlement_id = SettlementId(parse_id("set", body.id))
        ask = Ask(
            settlement_id=settlement_id,
            merchant=call.merchant,
            asset=asset_of(self.registry, body.asset),
            target=body.address,
            tag=body.tag,
            amount=optional(body.amount, "amount"),
        )
        await self.settlements.request(ask, shown_of(call, body.proof))
        return await self._show(call, settlement_id)

    async def quote(self, call: Call, body: QuoteSettlement) -> QuoteBody:
        """Say what a settlement would come to."""
        asset = asset_of(self.registry, body.asset)
        ask = Ask(
            settlement_id=SettlementId(new_uuid7()),
            merchant=call.merchant,
            asset=asset,
            target=body.address,
            tag=body.tag,
            amount=optional(body.amount, "amount"),
        )
        quote = await self.settlements.quote(ask)
        return QuoteBody(
            amount=money(quote.units, asset),
            fee=money(quote.fee_units, asset),
            network_fee=money(quote.network_fee_units, asset),
            total=money(quote.units + quote.charged_units, asset),
        )

    async def list_page(self, call: Call, query: SettlementQuery) -> Page[SettlementBody]:
        """List settlements."""
        before = read_id("settlements", query.cursor)
        which = SettlementFilter(
            rule_id=parse_id("rul", query.rule_id) if query.rule_id else None,
            state=query.state or None,
            asset=query.asset or None,
            span=span_of(query),
        )
        found = await self.database.unit(
            lambda tx: self.settlements.list_page(
                tx, call.merchant_id, before=before, limit=query.limit + 1, which=which
            )
        )
        return page_of(
            found, query.limit, self._body, lambda one: write_cursor("settlements", id_=one.settlement.settlement_id)
        )

    async def get(self, call: Call, _: Nothing) -> SettlementBody:
        """Show a settlement."""
        return await self._show(call, _id_of(call))

    async def cancel(self, call: Call, _: Nothing) -> Deed:
        """Call a settlement back."""
        settlement_id = _id_of(call)

        async def deed(tx: Tx) -> SettlementBody:
            return self._body(await self.settlements.cancel(tx, call.merchant_id, settlement_id))

        return deed

    async def add_rule(self, call: Call, body: AddRule) -> RuleBody:
        """Put a rule into force."""
        asset = asset_of(self.registry, body.asset)
        terms = Terms(
            schedule=_schedule(body.schedule) if body.schedule else None,
            threshold_units=_units(body.threshold, asset, "threshold"),
            reserve_units=_units(body.reserve, asset, "reserve") or 0,
            fee_max_units=_units(body.fee_max, asset, "fee_max"),
        )
        return self._rule(await self.rules.add(call.merchant, asset, terms, shown_of(call, body.proof)))

    async def list_rules(self, call: Call, _: Nothing) -> RulesBody:
        """List rules."""
        found = await self.database.unit(lambda tx: rules_store.list_of_merchant(tx, call.merchant_id))
        return RulesBody(data=[self._rule(rule) for rule in found])

    async def remove_rule(self, call: Call, _: Nothing) -> Deed:
        """Take a rule out of force."""
        rule_id = id_of("rul", call.ids[0], RuleNotFound())

        async def deed(tx: Tx) -> RuleBody:
            await self.rules.remove(tx, call.merchant_id, rule_id)
            rule = await rules_store.find(tx, rule_id)
            assert rule is not None, "a rule that was removed is gone"
            return self._rule(rule)

        return deed

    async def _show(self, call: Call, settlement_id: SettlementId) -> SettlementBody:
        return self._body(
            await self.database.unit(lambda tx: self.settlements.get(tx, call.merchant_id, settlement_id))
        )

    def _body(self, listed: Listed) -> SettlementBody:
        settlement, outcome = listed.settlement, listed.outcome
        asset = self.registry.assets[settlement.asset]
        network = self.registry.networks[asset.network]
        return SettlementBody(
            id=show_id("set", settlement.settlement_id),
            cause=settlement.cause,
            state=outcome.state if outcome else settlement.state,
            rule_id=show_id("rul", settlement.rule_id) if settlement.rule_id else "",
            trigger=settlement.trigger,
            asset=settlement.asset,
            amount=money(outcome.units, asset) if outcome else None,
            fee=money(outcome.fee_units, asset) if outcome else None,
            network_fee=money(outcome.network_fee_units, asset) if outcome else None,
            address=show_address(network, outcome.target) if outcome else "",
            tag=outcome.tag if outcome else "",
            txid=outcome.txid if outcome else "",
            reason=outcome.reason if outcome else settlement.reason,
            detail=settlement.detail,
            created_at=settlement.created_at,
            ended_at=outcome.ended_at if outcome else None,
        )

    def _rule(self, rule: Rule) -> RuleBody:
        asset, terms = self.registry.assets[rule.asset], rule.terms
        plan = terms.schedule
        return RuleBody(
            id=show_id("rul", rule.rule_id),
            asset=rule.asset,
            schedule=ScheduleBody(cadence=plan.cadence, at=plan.at.isoformat("minutes"), zone=plan.zone, day=plan.day)
            if plan
            else None,
            threshold=money(terms.threshold_units, asset) if terms.threshold_units is not None else None,
            reserve=money(terms.reserve_units, asset),
            fee_max=money(terms.fee_max_units, asset) if terms.fee_max_units is not None else None,
            next_due_at=rule.next_due_at,
            created_at=rule.created_at,
            ended_at=rule.ended_at,
        )


def _id_of(call: Call) -> SettlementId:
    return SettlementId(id_of("set", call.ids[0], SettlementNotFound()))


def _schedule(body: ScheduleBody) -> Schedule:
    try:
        at = time.fromisoformat(body.at)
    except ValueError:  # the pattern's `$` takes a line's end behind it
        raise Invalid("write the time as HH:MM, such as 08:00", param="schedule.at") from None
    return Schedule(body.cadence, at, body.zone, body.day)


def _units(text: str | None, asset: Asset, param: str) -> int | None:
    return None if text is None else to_units(parse_decimal(text, param=param), asset.decimals, param=param)
