"""Looks at the contracts of a network's tokens and holds the money of those that are not what was accepted."""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from math import inf
from typing import Final

from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.token import TokenProbe
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Conflict, NotFound
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.assets import store
from bitlinkpay.deposits.assets.model import Review, ReviewState, accept, judge

log = logging.getLogger(__name__)

LIFE_S: Final = 2
_WATCHER: Final = "watcher"


class AssetGuard:
    """The guard of one network's tokens (THREATS DEP-21, DEP-22). The chain is asked outside of transactions."""

    def __init__(self, *, database: Database, chain: TokenProbe, assets: Sequence[Asset], clock: Clock) -> None:
        self._database = database
        self._chain = chain
        self._tokens = {asset.id: asset for asset in assets if not asset.is_native}
        self._clock = clock

    async def check(self) -> None:
        """Look at every token once; one that can't be read stays as it is."""
        for asset in self._tokens.values():
            await self._look(asset)

    async def waiting(self, assets: Collection[str]) -> set[str]:
        """Return those of the assets whose money has to wait: on hold, or never looked at with success.

        An asset that was never looked at is looked at now, so that its first money does not wait for the schedule.
        """
        tokens = self._tokens.keys() & assets
        if not tokens:
            return set()
        async with self._database.reader() as tx:
            waiting = tokens - await store.list_accepted(tx, tokens)
            unseen = [asset for asset in sorted(waiting) if await store.find(tx, asset) is None]
        for asset in unseen:
            if await self._look(self._tokens[asset]):
                waiting.discard(asset)
        return waiting

    async def _look(self, asset: Asset) -> bool:
        """Look at one contract; say whether its money may go on."""
        async with self._database.reader() as tx:
            known = await store.find(tx, asset.id)
        try:
            facts = await self._chain.probe(asset)
        except ChainError as error:
            log.warning("%s: its contract can't be read: %s", asset.id, error)
            return known is not None and known.state is ReviewState.ACCEPTED
        turn = judge(asset, known, facts)
        if turn is None:
            return known is not None and known.state is ReviewState.ACCEPTED
        now = self._clock.now()
        is_written = await self._database.unit(lambda tx: store.save(tx, turn, actor=_WATCHER, now=now))
        if is_written and turn.after.reason:
            log.critical("%s is on hold: %s", asset.id, turn.after.reason)
        return is_written and turn.after.state is ReviewState.ACCEPTED


class Holds:
    """Which assets are on hold, from memory at most `LIFE_S` old: asked for every new order."""

    def __init__(self, database: Database, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._monotonic_s = monotonic_s
        self._held: Mapping[str, str] = {}
        self._until = -inf

    async def list_held(self) -> Mapping[str, str]:
        """Return why assets are on hold, by asset id."""
        if self._monotonic_s() >= self._until:
            async with self._database.reader() as tx:
                self._held = await store.list_held(tx)
            self._until = self._monotonic_s() + LIFE_S
        return self._held


async def accept_asset(tx: Tx, clock: Clock, asset: Asset, *, actor: str) -> Review:
    """Take an asset's contract as it was seen last and end the hold.

    Args:
        tx: the open transaction.
        clock: business time.
        asset: the registry row.
        actor: who decided.

    Raises:
        NotFound: nothing is known of this asset's contract.
        Conflict: it is not on hold, its row or contract is wrong, or the contract has changed once more meanwhile.
    """
    known = await store.find(tx, asset.id)
    if known is None:
        raise NotFound(f"nothing is known of {asset.id}'s contract: no worker has read it yet", param="asset")
    turn = accept(asset, known)
    if not await store.save(tx, turn, actor=actor, now=clock.now()):
        raise Conflict(f"{asset.id}'s contract has just changed again; look at `bitlinkpay chains status`")
    return turn.after
