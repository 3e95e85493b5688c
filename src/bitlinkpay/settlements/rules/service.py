"""Add a rule under all four checks, remove it at once."""

from collections.abc import Sequence
from uuid import UUID

from bitlinkpay.authorizations.model import Action, AnswerSpent, Shown
from bitlinkpay.authorizations.service import Checks
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.ids import MerchantId, new_uuid7
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants.model import Merchant
from bitlinkpay.settlements import events
from bitlinkpay.settlements.rules import store
from bitlinkpay.settlements.rules.model import MOST_RULES, Rule, RuleNotFound, Terms, TooManyRules, check_rule
from bitlinkpay.settlements.rules.schedule import next_due


def action_of(merchant: Merchant, asset: Asset, terms: Terms) -> Action:
    """Return what an authorization to add a rule is bound to."""
    return Action(merchant.merchant_id, "settlement.add_rule", (asset.id, *terms.words()))


class Rules:
    """The rules of a deployment's merchants."""

    def __init__(self, database: Database, checks: Checks, clock: Clock) -> None:
        self._database = database
        self._checks = checks
        self._clock = clock

    async def add(self, merchant: Merchant, asset: Asset, terms: Terms, shown: Shown) -> Rule:
        """Put a rule into force, or return the one in force that settles the same by the same terms.

        Such a repeat asks for no proof, so that a lost answer may be asked for once more.

        Raises:
            Invalid: it could never settle anything, or its time zone is unknown.
            TooManyRules: 50 are in force.
            Problem: what the checks refuse, see `authorizations.service.Checks.authorize`.
        """
        check_rule(asset, terms)
        action = action_of(merchant, asset, terms)
        if standing := await self._look_up(merchant, asset, terms):
            return standing
        try:
            given = await self._checks.authorize(merchant, action, shown)
        except AnswerSpent:
            if standing := await self._look_up(merchant, asset, terms):  # by this very request, sent twice
                return standing
            raise
        now = self._clock.now()
        rule = Rule(
            rule_id=new_uuid7(),
            merchant_id=merchant.merchant_id,
            asset=asset.id,
            terms=terms,
            next_due_at=next_due(terms.schedule, now) if terms.schedule else None,
            authorization_id=given.authorization_id,
            created_at=now,
        )

        async def work(tx: Tx) -> Rule:
            await self._checks.use(tx, given.authorization_id, action)
            return await self._put(tx, rule)

        return await self._database.unit(work, resolve=lambda tx: store.find(tx, rule.rule_id))

    async def _look_up(self, merchant: Merchant, asset: Asset, terms: Terms) -> Rule | None:
        async with self._database.reader() as tx:
            return _twin(await store.list_of_merchant(tx, merchant.merchant_id), asset.id, terms)

    async def _put(self, tx: Tx, rule: Rule) -> Rule:
        await store.lock_merchant(tx, rule.merchant_id)
        in_force = await store.list_of_merchant(tx, rule.merchant_id)
        if twin := _twin(in_force, rule.asset, rule.terms):
            return twin
        if len(in_force) >= MOST_RULES:
            raise TooManyRules
        await store.insert(tx, rule)
        await events.tell_rule(tx, rule, "added", rule.created_at)
        return rule

    async def remove(self, tx: Tx, merchant_id: MerchantId, rule_id: UUID) -> None:
        """Take a rule out of force at once; runs that it triggered and nobody carried out are skipped.

        Raises:
            RuleNotFound: the merchant has no such rule in force.
        """
        now = self._clock.now()
        if not await store.end(tx, merchant_id, rule_id, now):
            raise RuleNotFound
        rule = await store.find(tx, rule_id)
        assert rule is not None
        await events.tell_rule(tx, rule, "removed", now)


def _twin(rules: Sequence[Rule], asset_id: str, terms: Terms) -> Rule | None:
    return next((rule for rule in rules if (rule.asset, rule.terms) == (asset_id, terms)), None)
