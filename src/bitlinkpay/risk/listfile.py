"""The provider that reads a list file, takes in each good new version and keeps the last good one against a bad one."""

import asyncio
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.risk import store
from bitlinkpay.risk.lists import BYTES_MAX, AddressList, BadList, must_replace, parse_list
from bitlinkpay.risk.model import Finding, ProviderDown, VerdictKind

_log = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 1.0

_Signature = tuple[int, int, int]


class ListFile:
    """Addresses in a text file that the operator replaces at will; looked at once a second.

    Accepted versions are kept in the database, so that a damaged file found at a start is refused as well. A refusal
    is logged as critical once per file and stays in `trouble`.
    """

    def __init__(self, database: Database, path: Path, clock: Clock, *, name: str = "") -> None:
        self.name = name or f"list:{path.stem}"
        self.trouble = ""
        self._database = database
        self._path = path
        self._clock = clock
        self._current: AddressList | None = None
        self._seen: _Signature | None = None
        self._looked_at = -_LOOK_EVERY_S
        self._looking = asyncio.Lock()

    async def look_up(self, network: str, addresses: Sequence[str]) -> Sequence[Finding]:
        """Return a finding per address by the version that is good now.

        Raises:
            ProviderDown: no version was ever good.
        """
        await self._refresh()
        current = self._current
        if current is None:
            raise ProviderDown(f"{self.name}: {self.trouble}")
        return [self._finding(current, network, address) for address in addresses]

    def _finding(self, current: AddressList, network: str, address: str) -> Finding:
        line = current.find(address)
        return Finding(
            network=network,
            address=address,
            provider=self.name,
            list_version=current.version,
            kind=VerdictKind.CLEAR if line is None else VerdictKind.LISTED,
            rule="not_on_list" if line is None else "on_list",
            raw={"line": line, "rows": current.rows},
        )

    async def _refresh(self) -> None:
        async with self._looking:
            if time.monotonic() - self._looked_at < _LOOK_EVERY_S:
                return
            if self._current is None:
                await self._recall()
            await self._read_if_changed()
            self._looked_at = time.monotonic()

    async def _recall(self) -> None:
        """Load the version accepted last, whatever the file says now."""
        async with self._database.reader() as tx:
            content = await store.find_latest_list(tx, self.name)
        if content is None:
            return
        try:
            self._current = await asyncio.to_thread(parse_list, self.name, content)
        except BadList as error:  # it was good by the rules of an older release
            self._refuse(f"the kept version: {error}")

    async def _read_if_changed(self) -> None:
        try:
            status = self._path.stat()
            signature = (status.st_mtime_ns, status.st_size, status.st_ino)
            if signature == self._seen:
                return
            fresh = await asyncio.to_thread(self._read)
            if self._current is not None:
                must_replace(fresh, self._current)
            await self._accept(fresh)
        except Unavailable as error:
            _log.warning("%s: not taken in yet: %s", self.name, error)
            return
        except (OSError, BadList) as error:
            self._refuse(str(error))
            self._seen = signature if isinstance(error, BadList) else None
            return
        self._seen, self.trouble = signature, ""

    def _read(self) -> AddressList:
        with self._path.open("rb") as file:
            return parse_list(self.name, file.read(BYTES_MAX + 1))

    async def _accept(self, fresh: AddressList) -> None:
        if self._current is not None and fresh.version == self._current.version:
            return

        async def keep(tx: Tx) -> None:
            await store.keep_list(tx, fresh, self._clock.now())

        await self._database.unit(keep)
        self._current = fresh
        _log.info("%s: version %s with %d addresses", self.name, fresh.version[:16], fresh.rows)

    def _refuse(self, reason: str) -> None:
        if reason != self.trouble:
            kept = f"version {self._current.version[:16]} stays" if self._current else "nothing can be screened"
            _log.critical("%s: %s is refused (%s); %s", self.name, self._path.name, reason, kept)
        self.trouble = reason
