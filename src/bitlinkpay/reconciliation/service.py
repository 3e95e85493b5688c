"""Compare books with chains, run by run: a page of places of each asset, those that pay, and those in doubt."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bitlinkpay.chains.base import Chain, ChainError
from bitlinkpay.core.assets import Asset, Family
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.ids import show_id
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.journal import store as journal
from bitlinkpay.ledger import service as ledger
from bitlinkpay.reconciliation import store
from bitlinkpay.reconciliation.booking import posting_of
from bitlinkpay.reconciliation.differences import store as differences
from bitlinkpay.reconciliation.model import (
    COLD,
    DRIFT_UNITS,
    Books,
    Difference,
    DifferenceEvent,
    DifferenceState,
    Evidence,
    Place,
    Sight,
    explains,
    is_in_motion,
    judge,
)
from bitlinkpay.reconciliation.tracing import Tracer
from bitlinkpay.sending.stops import store as stops
from bitlinkpay.sending.stops.store import Scope, Stop

log = logging.getLogger(__name__)

PAGE: Final = 50
DOUBTS: Final = 200
_DAY: Final = timedelta(days=1)
EVERY: Final = timedelta(minutes=1)
EVERY_SEARCH: Final = timedelta(hours=1)
"""A Bitcoin node finds what an address holds by a search of minutes through all outputs."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What reconciliation of one network is made of; `hot` are the addresses of the wallets that pay there.

    `page` is how many accounts' places a run compares besides.
    """

    database: Database
    chain: Chain
    assets: Sequence[Asset]
    hot: Sequence[str]
    clock: Clock
    page: int = PAGE


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did with one asset.

    Attributes:
        height: the final height at which books and chain were compared.
        places: how many were compared.
        moving: how many of them differ by transactions of ours that the books settle any moment.
        differing: how many of them differ otherwise.
        unread: why the chain could not be read, "" if it could.
        is_last: whether the next run begins with the first places again.
    """

    network: str
    asset: str
    height: int
    places: int
    moving: int
    differing: int
    unread: str
    is_last: bool


@dataclass(frozen=True, slots=True)
class _Look:
    """What is read of one asset before the chain is asked.

    Attributes:
        refilling_units: on their way out of cold storage.
        drifted_units: gone within a day as `model.DRIFT_UNITS` tells.
    """

    height: int
    refilling_units: int
    drifted_units: int
    places: Sequence[Place]
    books: Mapping[str, Books]
    doubts: Mapping[str, Difference]
    next_page: int


@dataclass(frozen=True, slots=True)
class _Turn:
    """What a look means for one difference that stands already, with what was found out about it."""

    difference: Difference
    event: DifferenceEvent
    sight: Sight
    evidence: Sequence[Evidence]
    is_explained: bool

    @property
    def stops(self) -> bool:
        """Say whether nobody may pay out of this asset until a person has looked."""
        counts = self.event is DifferenceEvent.CONFIRMED or self.difference.state is DifferenceState.OPEN
        return counts and self.event is not DifferenceEvent.AGREED and not self.is_explained


class Reconciler:
    """Compares one network's places. Nothing is open in the database while the chain is asked."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._tracer = Tracer(parts.database, parts.chain)
        self._network = parts.chain.network

    @property
    def network(self) -> str:
        """Return the network's id."""
        return self._network.id

    @property
    def every(self) -> timedelta:
        """Return how often a run is due."""
        return EVERY_SEARCH if self._network.family is Family.BITCOIN else EVERY

    async def is_due(self) -> bool:
        """Say whether the caller shall run now; of several that ask only one is told so, once in `every`."""
        return await self._parts.database.unit(lambda tx: store.claim_run(tx, self._network.id, self.every))

    async def run(self) -> list[Report]:
        """Compare the next page of each asset; an asset that cannot be read does not hold up the others."""
        return [report for asset in self._parts.assets if (report := await self._compare(asset))]

    async def run_all(self) -> list[Report]:
        """Compare every place of each asset, from the first page to the last."""
        return [report for asset in self._parts.assets for report in await self._all(asset)]

    async def _all(self, asset: Asset) -> list[Report]:
        await self._parts.database.unit(lambda tx: store.turn_page(tx, asset.id, 0))
        reports: list[Report] = []
        while report := await self._compare(asset):
            reports.append(report)
            if report.is_last or report.unread:
                break
        return reports

    async def _compare(self, asset: Asset) -> Report | None:
        look = await self._look(asset)
        if look is None or not look.places:
            return None
        try:
            sights = await self._sights(asset, look)
            moving = await self._moving(sights, look)
            turns = await self._turns(asset, [one for one in sights if one.place not in moving], look)
        except ChainError as error:
            log.warning("%s: books and chain cannot be compared now: %s", asset.id, error)
            return self._report(asset, look, 0, 0, str(error))
        await self._write(asset, [one for one in sights if one.place not in moving], turns, look)
        differing = sum(1 for one in sights if one.difference_units and one.place not in moving)
        return self._report(asset, look, len(moving), differing, "")

    def _report(self, asset: Asset, look: _Look, moving: int, differing: int, unread: str) -> Report:
        return Report(
            network=self._network.id,
            asset=asset.id,
            height=look.height,
            places=len(look.places),
            moving=moving,
            differing=differing,
            unread=unread,
            is_last=not look.next_page,
        )

    async def _look(self, asset: Asset) -> _Look | None:
        """Read one moment: the final height that the books have reached, the places to compare, and their books."""
        async with self._parts.database.reader() as tx:
            cursor = await journal.find_cursor(tx, self._network.id)
            if cursor is None:
                return None
            page = await store.read_page(tx, asset.id, await store.find_page_start(tx, asset.id), self._parts.page)
            doubts = await differences.list_living(tx, asset.id, DOUBTS)
            cold = await store.list_cold(tx, asset.id)
            names = dict.fromkeys([*self._parts.hot, *doubts, *page.names])
            places = [Place(name, (name,)) for name in names if name != COLD]
            if cold:
                places.append(Place(COLD, tuple(cold)))
            books = await store.read_books(tx, asset, places, cursor.final_height)
            refilling = await store.in_transit(tx, asset.id)
            drifted = 0
            if doubts and self._drift(asset):
                drifted = await differences.drifted_units(tx, asset.id, self._parts.clock.now() - _DAY)
        return _Look(cursor.final_height, refilling, drifted, places, books, doubts, page.last)

    async def _sights(self, asset: Asset, look: _Look) -> list[Sight]:
        addresses = [address for place in look.places for address in place.addresses]
        units = iter(await self._parts.chain.balances(asset, addresses, look.height))
        return [
            Sight(
                network=self._network.id,
                asset=asset.id,
                place=place.name,
                height=look.height,
                books_units=look.books[place.name].units,
                chain_units=sum(next(units) for _ in place.addresses),
            )
            for place in look.places
        ]

    async def _moving(self, sights: Sequence[Sight], look: _Look) -> set[str]:
        """Return the places that differ by what is in flight."""
        found: set[str] = set()
        for sight in sights:
            books = look.books[sight.place]
            if sight.place == COLD and 0 < sight.difference_units <= look.refilling_units:
                found.add(sight.place)  # noted by an operator, and in no final block yet
            elif sight.difference_units and books.running:
                stands = await self._tracer.standing(books.running, look.height)
                if is_in_motion(books, stands, sight.chain_units):
                    found.add(sight.place)
        return found

    async def _turns(self, asset: Asset, sights: Sequence[Sight], look: _Look) -> list[_Turn]:
        places = {place.name: place for place in look.places}
        turns: list[_Turn] = []
        for sight in sights:
            doubt = look.doubts.get(sight.place)
            event = judge(doubt, sight, drift_units=self._drift(asset), drifted_units=look.drifted_units)
            if doubt is None or event is None:
                continue
            evidence: Sequence[Evidence] = doubt.evidence
            if sight.difference_units and (event is DifferenceEvent.CONFIRMED or doubt.state is DifferenceState.OPEN):
                agreed = look.books[sight.place].agreed_height
                evidence = await self._tracer.trace(asset, places[sight.place], sight, agreed)
            turns.append(_Turn(doubt, event, sight, evidence, explains(evidence, sight)))
        return turns

    def _drift(self, asset: Asset) -> int:
        return DRIFT_UNITS if asset.is_native and self._network.family is Family.TON else 0

    async def _write(self, asset: Asset, sights: Sequence[Sight], turns: Sequence[_Turn], look: _Look) -> None:
        now = self._parts.clock.now()
        agreed = [sight.place for sight in sights if not sight.difference_units]
        fresh = [sight for sight in sights if sight.difference_units and sight.place not in look.doubts]

        async def work(tx: Tx) -> list[_Turn]:
            await store.note_agreement(tx, asset.id, agreed, look.height, now)
            for sight in fresh:
                await differences.suspect(tx, sight, now)
            done = [turn for turn in turns if await _take(tx, turn, now)]
            await store.turn_page(tx, asset.id, look.next_page)
            return done

        for turn in await self._parts.database.unit(work):
            _tell(turn)


async def _take(tx: Tx, turn: _Turn, now: datetime) -> bool:
    """Move a difference on, and stop payments of its asset where it counts; False where another run came before."""
    if await differences.lock(tx, turn.difference.difference_id) != turn.difference:
        return False
    await differences.save(
        tx,
        turn.difference,
        turn.event,
        sight=turn.sight,
        evidence=turn.evidence,
        is_explained=turn.is_explained,
        cause="",
        now=now,
    )
    if turn.event is DifferenceEvent.DRIFTED:
        await ledger.post_all(tx, [await posting_of(tx, turn.difference, turn.sight, turn.event, now)])
    if turn.stops:
        asset = turn.sight.asset
        await stops.add(tx, Stop(Scope.ASSET, asset, stop_reason(turn.difference), now))
    return True


def stop_reason(difference: Difference) -> str:
    """Return what the kill switch of an asset says that a difference has thrown."""
    return f"books and chain differ, see `bitlinkpay reconcile show {show_id('dif', difference.difference_id)}`"


def _tell(turn: _Turn) -> None:
    sight, name = turn.sight, show_id("dif", turn.difference.difference_id)
    if turn.stops:
        log.critical(
            "%s at %s: the chain holds %d units, the books say %d (%s): payments of %s are stopped",
            sight.asset,
            sight.place,
            sight.chain_units,
            sight.books_units,
            name,
            sight.asset,
        )
    elif turn.event is DifferenceEvent.DRIFTED:
        units = sight.difference_units
        log.info("%s at %s: %d units came or went with messages (%s)", sight.asset, sight.place, units, name)
    elif turn.is_explained and turn.event is not DifferenceEvent.AGREED:
        log.warning("%s at %s: money came that the books do not know (%s)", sight.asset, sight.place, name)
