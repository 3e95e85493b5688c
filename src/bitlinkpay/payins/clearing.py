"""From final to settled: prove the money against the chain, screen its source, then write the end of it."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from bitlinkpay.chains.base import Chain, ChainError
from bitlinkpay.chains.outputs import OutputChain
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.core.ids import DepositId
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits import store as deposits_store
from bitlinkpay.deposits.assets.service import AssetGuard
from bitlinkpay.deposits.model import Deposit, DepositState
from bitlinkpay.deposits.own import store as own_store
from bitlinkpay.payins import books, settling
from bitlinkpay.payins.confirming import Confirming, Stricter
from bitlinkpay.payins.outputs import OutputProof
from bitlinkpay.risk import service as risk
from bitlinkpay.risk.model import Arrived, Screener, Verdict, VerdictKind

log = logging.getLogger(__name__)

CLEARING_BATCH: Final = 256
NOT_COVERED: Final = "the balance on the chain does not cover it"
DOUBT: Final = timedelta(minutes=1)
"""How long the chain has to go on not bearing a deposit out until a person must look: endpoints lag and hiccup."""
ABOVE_SANITY: Final = "larger than the asset's sanity limit"


class Clearing:
    """Moves a network's final deposits to their end. Nothing is open in the database while the chain is asked."""

    def __init__(
        self,
        *,
        database: Database,
        registry: Registry,
        chain: Chain,
        screener: Screener,
        clock: Clock,
        guard: AssetGuard | None = None,
        stricter: Stricter = MappingProxyType({}),
    ) -> None:
        """Settle what `chain` brings; where there is a `guard`, money of assets that it holds waits.

        Large money waits until `stricter` readers of the same network bear it out, see `Confirming`.
        """
        self._database = database
        self._registry = registry
        self._chain = chain
        self._screener = screener
        self._clock = clock
        self._guard = guard
        self._confirming = Confirming(stricter, registry)
        self._outputs = OutputProof(chain, registry) if isinstance(chain, OutputChain) else None
        self._announced: set[str] = set()
        self._doubted: dict[DepositId, datetime] = {}
        self._after: Deposit | None = None

    async def at_sight(self, sighted: Sequence[Deposit], height: int) -> list[Verdict]:
        """Return verdicts on what may be settled in the very transaction that records it: final, covered, clear.

        Whatever speaks against a deposit, or cannot be told now, leaves it to `settle`.

        Args:
            sighted: arrivals in final blocks that are not recorded yet.
            height: a final height not below theirs, at which balances are compared.
        """
        try:
            deposits = await self._free(sighted[:CLEARING_BATCH], height)
            concerns, unread = await self._concerns(deposits, height)
            fine = [d for d in deposits if d.asset not in unread and d.deposit_id not in concerns]
            verdicts = await self._screener.screen(await self._arrived(fine))
        except (ChainError, Unavailable) as error:
            log.warning("nothing can be settled at sight: %s", error)
            return []
        except Exception:  # what is wrong here must not stop the reading; `settle` meets it again
            log.exception("nothing can be settled at sight")
            return []
        return [verdict for verdict in verdicts if verdict.kind is VerdictKind.CLEAR]

    async def settle(self, network: str, height: int) -> int:
        """Settle up to `CLEARING_BATCH` final deposits; return how many got their end.

        Args:
            network: id of the network.
            height: a final height, at which balances are compared.
        """
        async with self._database.reader() as tx:
            deposits = await deposits_store.list_final(tx, network, after=self._after, limit=CLEARING_BATCH)
        # What has to wait (no verdict, asset on hold) must not hold up what stands behind it: go round, page by page.
        self._after = deposits[-1] if len(deposits) == CLEARING_BATCH else None
        deposits = await self._free(deposits, height)
        if not deposits:
            return 0
        concerns, unread = await self._concerns(deposits, height)
        deposits = self._beyond_doubt([deposit for deposit in deposits if deposit.asset not in unread], concerns)
        # Everything is screened, also what is held for another reason; what gets no verdict stays final for now.
        verdicts = await self._screener.screen(await self._arrived(deposits))
        if not verdicts:
            return 0
        passed, held = _judge(verdicts, concerns)
        now = self._clock.now()

        async def work(tx: Tx) -> int:
            settled = await settling.settle(tx, self._registry, passed=passed, held=held, now=now)
            await risk.keep(tx, verdicts)
            return settled

        return await self._database.unit(work)

    async def _free(self, deposits: Sequence[Deposit], height: int) -> list[Deposit]:
        """Leave out what is not deep, not borne out, or comes to an address in motion; and assets on hold (DEP-21)."""
        deposits = self._outputs.ripe(deposits, height) if self._outputs else await self._at_rest(deposits)
        deposits = await self._confirming.confirmed(deposits)
        if self._guard is None:
            return list(deposits)
        assets = {deposit.asset for deposit in deposits}
        waiting = await self._guard.waiting(assets)
        for asset in sorted(waiting - self._announced):
            log.critical("%s is on hold or not yet reviewed: its final deposits wait", asset)
        self._announced = self._announced - assets | waiting
        return [deposit for deposit in deposits if deposit.asset not in waiting]

    async def _at_rest(self, deposits: Sequence[Deposit]) -> list[Deposit]:
        """Leave out deposits whose address a payment of ours is at: its balance is compared once that has ended."""
        if not deposits:
            return []
        async with self._database.reader() as tx:
            moving = await own_store.moving(tx, deposits[0].network, sorted({deposit.target for deposit in deposits}))
        return [deposit for deposit in deposits if deposit.target not in moving]

    async def _concerns(self, deposits: Sequence[Deposit], height: int) -> tuple[dict[DepositId, str], frozenset[str]]:
        """Return what speaks against deposits, and the assets whose balances tell nothing now: only theirs wait."""
        unread: set[str] = set()
        concerns = {
            d.deposit_id: ABOVE_SANITY for d in deposits if d.units > self._registry.assets[d.asset].sanity_units
        }
        by_asset: dict[str, list[Deposit]] = defaultdict(list)
        for deposit in deposits:
            by_asset[deposit.asset].append(deposit)
        for asset, group in by_asset.items():
            try:
                uncovered = await self._uncovered(asset, group, height)
            except ChainError as error:
                log.warning("%s: balances cannot be read, its deposits wait: %s", asset, error)
                uncovered = None
            if uncovered is None:
                unread.add(asset)
                continue
            for deposit_id in uncovered:
                concerns[deposit_id] = _and(concerns.get(deposit_id, ""), NOT_COVERED)
        return concerns, frozenset(unread)

    def _beyond_doubt(self, deposits: Sequence[Deposit], concerns: Mapping[DepositId, str]) -> list[Deposit]:
        """Leave out deposits that the chain has not borne out for less than `DOUBT`; tell of each twice at most."""
        now = self._clock.now()
        before, settled = self._doubted, []
        self._doubted = {k: since for k, since in before.items() if k not in {d.deposit_id for d in deposits}}
        for deposit in deposits:
            name = (deposit.asset, deposit.target, deposit.txid, deposit.position)
            since = before.get(deposit.deposit_id, now)
            if NOT_COVERED not in concerns.get(deposit.deposit_id, ""):
                settled.append(deposit)
            elif now - since >= DOUBT:
                log.critical("%s at %s: the chain holds less than the books: %s %s is held", *name)
                settled.append(deposit)
            else:
                self._doubted[deposit.deposit_id] = since
                if deposit.deposit_id not in before:
                    log.warning("%s at %s: the chain does not bear out %s %s; it is looked at again", *name)
        return settled

    async def _uncovered(self, asset_id: str, deposits: Sequence[Deposit], height: int) -> list[DepositId] | None:
        """Return the deposits that the chain's own state does not bear out, None where nobody can tell now.

        A wallet that takes orders' payments and pays as well (TON) may hold less than the books until what it just
        paid is booked.
        """
        if self._outputs is not None:
            return await self._outputs.list_missing(deposits)
        asset = self._registry.assets[asset_id]
        targets = sorted({deposit.target for deposit in deposits})
        async with self._database.reader() as tx:
            expected = await books.held_at(tx, asset, targets, height)
            paying = await own_store.paying(tx, asset.network, targets)
        if deposits[0].state is DepositState.SEEN:  # at sight it comes on top
            for deposit in deposits:
                expected[deposit.target] += deposit.units
        balances = await self._chain.balances(asset, targets, height)
        short = {target for target, units in zip(targets, balances, strict=True) if units < expected[target]}
        if short & paying:
            return None
        return [deposit.deposit_id for deposit in deposits if deposit.target in short]

    async def _arrived(self, deposits: Sequence[Deposit]) -> list[Arrived]:
        """Return what is to be screened; on a chain of outputs everyone whose money a transaction spent."""
        if self._outputs is None:
            return [_arrived(deposit) for deposit in deposits]
        payers = await self._outputs.payers(deposits)
        return [_arrived(d, payers[d.deposit_id]) for d in deposits if d.deposit_id in payers]


def _judge(
    verdicts: Sequence[Verdict], concerns: Mapping[DepositId, str]
) -> tuple[list[DepositId], dict[DepositId, str]]:
    """Return what passes and, with the reasons, what is held."""
    passed: list[DepositId] = []
    held: dict[DepositId, str] = {}
    for verdict in verdicts:
        finding = "" if verdict.kind is VerdictKind.CLEAR else verdict.reason or verdict.kind.value
        reasons = _and(concerns.get(verdict.deposit_id, ""), finding)
        if reasons:
            held[verdict.deposit_id] = reasons
        else:
            passed.append(verdict.deposit_id)
    return passed, held


def _and(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))


def _arrived(deposit: Deposit, payers: tuple[str, ...] = ()) -> Arrived:
    return Arrived(
        deposit_id=deposit.deposit_id,
        network=deposit.network,
        txid=deposit.txid,
        source=deposit.source,
        sources=payers,
        asset=deposit.asset,
        units=deposit.units,
    )
