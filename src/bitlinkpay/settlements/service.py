"""Settlements by hand: quote, request under all four checks, decide, call back; and the list of all of them.

The edges (REST, command line, pages) need this module, `addresses.service` and `rules.service`.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final
from uuid import UUID

from bitlinkpay.authorizations.model import Action, AnswerSpent, NotAuthorized, Shown
from bitlinkpay.authorizations.service import Checks
from bitlinkpay.chains.address import parse_address
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Problem
from bitlinkpay.core.ids import MerchantId, PayoutId
from bitlinkpay.core.money import format_decimal, from_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import service as ledger
from bitlinkpay.merchants.model import MerchantState
from bitlinkpay.payouts import store as payouts_store
from bitlinkpay.payouts.checks import check_amount
from bitlinkpay.payouts.drafting import Draft, Repeat
from bitlinkpay.payouts.model import AddressRefused, NewPayout, Payout, PayoutKind, Terms
from bitlinkpay.payouts.service import Payouts
from bitlinkpay.settlements import events, store
from bitlinkpay.settlements.amounts import everything
from bitlinkpay.settlements.model import (
    Ask,
    Cause,
    InDebt,
    Listed,
    MerchantInactive,
    NothingToSettle,
    Quote,
    Settlement,
    SettlementEvent,
    SettlementExistsDifferent,
    SettlementId,
    SettlementNotFound,
    SettlementState,
)
from bitlinkpay.settlements.store import ALL_SETTLEMENTS, SettlementFilter

LARGEST_PAGE: Final = 200
_ALL: Final = "all"


class Settlements:
    """The settlements of a deployment."""

    def __init__(
        self, *, database: Database, registry: Registry, payouts: Payouts, checks: Checks, clock: Clock
    ) -> None:
        """Build the service.

        Args:
            database: where settlements are.
            registry: networks and assets.
            payouts: what carries them.
            checks: the four checks.
            clock: business time.
        """
        self._database = database
        self._registry = registry
        self._payouts = payouts
        self._checks = checks
        self._clock = clock

    def action_of(self, ask: Ask) -> Action:
        """Return what an authorization of this settlement is bound to; a passkey signs its digest.

        Raises:
            AddressRefused: the network has no such address.
        """
        try:
            target = parse_address(self._registry.networks[ask.asset.network], ask.target)
        except Problem as problem:
            raise AddressRefused(problem.message) from None
        amount = _ALL if ask.amount is None else format_decimal(ask.amount)
        fields = (ask.settlement_id.hex, ask.asset.id, target, ask.tag, amount)
        return Action(ask.merchant.merchant_id, "settlement.request", fields)

    async def quote(self, ask: Ask) -> Quote:
        """Return what would arrive and what it would cost now; nothing is reserved.

        Raises:
            Problem: what `request` would refuse: it is reserved as there, and thrown away.
        """
        draft = await self._prepare(ask)

        async def work(tx: Tx) -> None:
            raise _OnlyAsked(await self._reserve(tx, ask, draft))

        try:
            await self._database.unit(work)
        except _OnlyAsked as asked:
            charge = asked.payout.charge
            return Quote(asked.payout.units, charge.fee_units, charge.network_fee_units)
        raise AssertionError("reserved what was only asked for")

    async def request(self, ask: Ask, shown: Shown) -> Settlement:
        """Check, reserve and queue a settlement, or return the one that this request repeats.

        A wrong address or amount is refused before a one-time code is spent on it.

        Raises:
            SettlementExistsDifferent: the id was used for something else.
            MerchantInactive, InDebt, NothingToSettle: nothing was reserved.
            Problem: what the checks refuse (`authorizations.service.Checks.authorize`) or what payouts do
                (`payouts.service.Payouts.request`); nothing was reserved.
        """
        action = self.action_of(ask)
        earlier = await self._look_up(ask, action)
        if earlier is not None:
            return earlier
        draft = await self._prepare(ask)
        try:
            given = await self._checks.authorize(ask.merchant, action, shown)
        except AnswerSpent:
            earlier = await self._look_up(ask, action)  # perhaps by this very request, sent twice
            if earlier is None:
                raise
            return earlier

        async def work(tx: Tx) -> Settlement:
            try:
                await self._checks.use(tx, given.authorization_id, action)
            except NotAuthorized:
                done = await self._find(tx, ask, action)  # the same request was faster by another way
                if done is None:
                    raise
                return done
            return await self._open(tx, ask, draft, action, given.authorization_id)

        return await self._database.unit(work, resolve=lambda tx: self._find(tx, ask, action))

    async def get(self, tx: Tx, merchant_id: MerchantId | None, settlement_id: SettlementId) -> Listed:
        """Return a settlement of a merchant, or of any for None (operator's view), with what became of it.

        Raises:
            SettlementNotFound: there is none.
        """
        found = await store.find_listed(tx, merchant_id, settlement_id)
        if found is None:
            raise SettlementNotFound
        return found

    async def list_page(
        self,
        tx: Tx,
        merchant_id: MerchantId,
        *,
        before: UUID | None = None,
        limit: int = LARGEST_PAGE,
        which: SettlementFilter = ALL_SETTLEMENTS,
    ) -> Sequence[Listed]:
        """Return a merchant's settlements, the newest first, at most 200."""
        return await store.list_of_merchant(tx, merchant_id, before=before, limit=min(limit, LARGEST_PAGE), which=which)

    async def approve(self, tx: Tx, settlement_id: SettlementId, *, by: str) -> Listed:
        """Let a settlement go that waited for a person.

        Raises:
            SettlementNotFound: there is none, or it was skipped.
            PayoutTooLate: it does not wait for one.
        """
        payout_id = await self._payout_of(tx, None, settlement_id)
        await self._payouts.approve(tx, payout_id, by=by)
        return await self.get(tx, None, settlement_id)

    async def reject(self, tx: Tx, settlement_id: SettlementId, *, reason: str, by: str) -> Listed:
        """Refuse a settlement that waited for a person; everything goes back. Raises as `approve`."""
        payout_id = await self._payout_of(tx, None, settlement_id)
        await self._payouts.reject(tx, payout_id, reason=reason, by=by)
        return await self.get(tx, None, settlement_id)

    async def cancel(self, tx: Tx, merchant_id: MerchantId, settlement_id: SettlementId) -> Listed:
        """Call a settlement back that nothing was signed for; everything goes back. Raises as `approve`."""
        await self._payout_of(tx, merchant_id, settlement_id)
        await self._payouts.cancel(tx, merchant_id, PayoutKind.SETTLEMENT, settlement_id.hex)
        return await self.get(tx, merchant_id, settlement_id)

    async def _payout_of(self, tx: Tx, merchant_id: MerchantId | None, settlement_id: SettlementId) -> PayoutId:
        payout_id = (await self.get(tx, merchant_id, settlement_id)).settlement.payout_id
        if payout_id is None:
            raise SettlementNotFound
        return payout_id

    async def _look_up(self, ask: Ask, action: Action) -> Settlement | None:
        async with self._database.reader() as tx:
            return await self._find(tx, ask, action)

    async def _find(self, tx: Tx, ask: Ask, action: Action) -> Settlement | None:
        stored = await store.find(tx, ask.settlement_id)
        if stored is None:
            return None
        if stored.digest != action.digest:  # which covers the merchant too
            raise SettlementExistsDifferent
        return stored

    async def _prepare(self, ask: Ask) -> Draft:
        """Check and quote; for everything, at the amount that the balance would yield without the network's fee."""
        if ask.merchant.state is not MerchantState.ACTIVE:
            raise MerchantInactive
        amount = ask.amount
        if amount is None:
            async with self._database.reader() as tx:
                terms, available = await self._standing(tx, ask)
            amount = from_units(_largest(ask, terms, available, network_fee_units=0), ask.asset.decimals)
        draft = await self._payouts.prepare(self._new(ask, amount))
        if isinstance(draft, Repeat):
            raise draft.problem
        return draft

    def _new(self, ask: Ask, amount: Decimal) -> NewPayout:
        return NewPayout(
            merchant=ask.merchant,
            kind=PayoutKind.SETTLEMENT,
            source_id=ask.settlement_id.hex,
            asset=ask.asset,
            target=ask.target,
            tag=ask.tag,
            amount=amount,
            maker=ask.maker,
        )

    async def _standing(self, tx: Tx, ask: Ask) -> tuple[Terms, int]:
        merchant_id, asset = ask.merchant.merchant_id, ask.asset.id
        terms = await payouts_store.find_terms(tx, merchant_id, PayoutKind.SETTLEMENT, asset)
        return terms, await ledger.balance(tx, accounts.available(merchant_id), asset)

    async def _open(self, tx: Tx, ask: Ask, draft: Draft, action: Action, authorization_id: UUID) -> Settlement:
        payout = await self._reserve(tx, ask, draft)
        now = self._clock.now()
        settlement = Settlement(
            settlement_id=ask.settlement_id,
            merchant_id=payout.merchant_id,
            cause=Cause.MANUAL,
            rule_id=None,
            trigger="",
            state=SettlementState.REQUESTED,
            asset=payout.asset,
            not_before=now,
            created_at=now,
            payout_id=payout.payout_id,
            digest=action.digest,
            authorization_id=authorization_id,
            decided_at=now,
        )
        await store.insert(tx, settlement, SettlementEvent.REQUESTED)
        await events.tell_decided(tx, settlement, now)
        return settlement

    async def _reserve(self, tx: Tx, ask: Ask, draft: Draft) -> Payout:
        merchant_id, asset = ask.merchant.merchant_id, ask.asset
        names = [(account(merchant_id), asset.id) for account in (accounts.available, accounts.debt)]
        await ledger.lock(tx, names)  # before the balance is read: no other request comes between
        owed = await ledger.balance(tx, accounts.debt(merchant_id), asset.id)
        if owed:
            raise InDebt(asset, owed)
        terms, available = await self._standing(tx, ask)
        units = _units(ask, draft, terms, available)
        exact = replace(draft, new=replace(draft.new, amount=from_units(units, asset.decimals)))
        return await self._payouts.request(tx, exact)


class _OnlyAsked(Exception):
    """Ends the transaction of a quote with what it would have reserved."""

    def __init__(self, payout: Payout) -> None:
        super().__init__(payout)
        self.payout = payout


def _units(ask: Ask, draft: Draft, terms: Terms, available_units: int) -> int:
    if ask.amount is not None:
        return check_amount(ask.asset, ask.amount, terms, today_units=0)
    return _largest(ask, terms, available_units, network_fee_units=draft.network_fee_units)


def _largest(ask: Ask, terms: Terms, available_units: int, *, network_fee_units: int) -> int:
    units = everything(available_units, terms, network_fee_units=network_fee_units)
    if units < max(1, ask.asset.minimum_units):
        raise NothingToSettle(ask.asset)
    return units
