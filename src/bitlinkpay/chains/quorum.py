"""Agreement of independent endpoints: as many equal answers as the quorum asks for, or none at all.

A failed endpoint is replaced by the next one; the number of equal answers asked for never shrinks (THREATS rule 13).
Endpoints of one operator count once, since they may lie together.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

from bitlinkpay.chains.base import ChainError, EndpointStatus, NotEnoughAnswers
from bitlinkpay.core.errors import Invalid

_SECOND_NS = 1_000_000_000
_DOUBT_NS = 60 * _SECOND_NS
_MOMENT_NS = _SECOND_NS // 5
_LOG = logging.getLogger(__name__)


class Voter(Protocol):
    """What a quorum needs to know of an endpoint."""

    @property
    def label(self) -> str:
        """Its name without credentials."""
        ...

    @property
    def party(self) -> str:
        """Who runs it."""
        ...

    @property
    def is_resting(self) -> bool:
        """Whether it refuses to be asked for now."""
        ...


V = TypeVar("V", bound=Voter)
F = TypeVar("F")


@dataclass(slots=True)
class _Ballot(Generic[V, F]):
    """The votes of one question."""

    votes: list[tuple[V, F]] = field(default_factory=list)
    failures: list[ChainError] = field(default_factory=list)

    def parties_of(self, fact: F) -> set[str]:
        return {voter.party for voter, other in self.votes if other == fact}

    @property
    def most(self) -> int:
        return max((len(self.parties_of(fact)) for _, fact in self.votes), default=0)

    def has_voted(self, party: str) -> bool:
        return any(voter.party == party for voter, _ in self.votes)


class Quorum(Generic[V]):
    """The endpoints of one network and how many independent ones must agree."""

    def __init__(
        self,
        voters: Sequence[V],
        size: int,
        *,
        patience: timedelta = timedelta(seconds=2),
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Take the endpoints in order of preference.

        Args:
            voters: all endpoints of the network.
            size: how many operators must agree.
            patience: how long to wait for those asked before the next one is asked as well.
            now_ns: monotonic time.

        Raises:
            Invalid: fewer independent operators than `size`, or `size` is not positive.
        """
        if not 1 <= size <= len({voter.party for voter in voters}):
            raise Invalid(f"a quorum of {size} needs at least as many endpoints of different operators")
        self.voters = tuple(voters)
        self.size = size
        self._now_ns = now_ns
        self._patience_ns = patience // timedelta(microseconds=1) * 1000
        self._doubts: dict[V, tuple[int, str]] = {}

    def doubt(self, voter: V, reason: str) -> None:
        """Set an endpoint aside for a minute: asked last, and shown as unhealthy with the reason."""
        _LOG.warning("endpoint %s set aside: %s", voter.label, reason)
        self._doubts[voter] = (self._now_ns() + _DOUBT_NS, reason)

    def doubt_about(self, voter: V) -> str:
        """Return why an endpoint is set aside, "" if it is not."""
        until, reason = self._doubts.get(voter, (0, ""))
        return reason if self._now_ns() < until else ""

    def ordered(self) -> list[V]:
        """Return the endpoints in the order to ask them: trusted and awake first."""
        return sorted(self.voters, key=lambda voter: (bool(self.doubt_about(voter)), voter.is_resting))

    async def agree(self, ask: Callable[[V], Awaitable[F]], *, first: tuple[V, F] | None = None) -> F:
        """Ask endpoints until `size` operators gave equal answers, and return that answer.

        It asks no more of them at a time than agreement still needs. Endpoints that answered otherwise are doubted.

        Args:
            ask: reads one fact from one endpoint; its `ChainError` is a missing vote.
            first: a vote that is already known.

        Raises:
            NotEnoughAnswers: no answer found `size` supporters.
            ChainError: every endpoint failed in the same way; the first failure as it was.
        """
        ballot: _Ballot[V, F] = _Ballot([first] if first else [])
        await self._poll(ask, ballot, self.size)
        agreed = next(fact for _, fact in ballot.votes if len(ballot.parties_of(fact)) >= self.size)
        for voter, fact in ballot.votes:
            if fact != agreed:
                self.doubt(voter, "disagrees with the quorum")
        return agreed

    async def first(self, ask: Callable[[V], Awaitable[F]]) -> F:
        """Return the first answer that any endpoint gives; for what `ask` itself has confirmed by the quorum.

        Raises:
            ChainError: none answered, as in `agree`.
        """
        ballot: _Ballot[V, F] = _Ballot()
        await self._poll(ask, ballot, 1)
        return ballot.votes[0][1]

    async def survey(self, ask: Callable[[V], Awaitable[F]]) -> list[tuple[V, F]]:
        """Ask every endpoint, and return the answers, one an operator.

        Once `size` operators have answered, the rest get a moment more, and those in doubt none.

        Raises:
            ChainError: fewer than `size` operators answered, as in `agree`.
        """
        ballot: _Ballot[V, F] = _Ballot()
        running = {asyncio.ensure_future(ask(voter)): voter for voter in self.voters}
        enough_at: int | None = None
        try:
            while running:
                wait_ns = self._patience_ns if enough_at is None else enough_at + _MOMENT_NS - self._now_ns()
                if enough_at is not None and (wait_ns <= 0 or all(map(self.doubt_about, running.values()))):
                    break
                done, _ = await asyncio.wait(running, timeout=wait_ns / _SECOND_NS, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    _count(ballot, running.pop(task), task)
                if enough_at is None and len({voter.party for voter, _ in ballot.votes}) >= self.size:
                    enough_at = self._now_ns()
        finally:
            await _abandon(running)
        for voter in running.values():
            if not self.doubt_about(voter):
                self.doubt(voter, "slow")
        by_preference = sorted(ballot.votes, key=lambda vote: self.voters.index(vote[0]), reverse=True)
        by_party = {voter.party: (voter, fact) for voter, fact in by_preference}
        if len(by_party) < self.size:
            raise self._verdict(ballot, self.size)
        return list(by_party.values())

    async def statuses(self, ask: Callable[[V], Awaitable[tuple[int | None, str]]]) -> list[EndpointStatus]:
        """Return the health of every endpoint; `ask` tells its height, and what is wrong with it, "" for nothing."""
        return await asyncio.gather(*(self._status(voter, ask) for voter in self.voters))

    async def _status(self, voter: V, ask: Callable[[V], Awaitable[tuple[int | None, str]]]) -> EndpointStatus:
        doubt = self.doubt_about(voter)
        try:
            height, fault = await ask(voter)
        except ChainError as error:
            return EndpointStatus(voter.label, is_healthy=False, height=None, error=str(error))
        return EndpointStatus(voter.label, is_healthy=not (doubt or fault), height=height, error=doubt or fault)

    async def _poll(self, ask: Callable[[V], Awaitable[F]], ballot: _Ballot[V, F], needed: int) -> None:
        """Fill the ballot until one answer has `needed` supporters; whoever is slow gets a rival."""
        known = {voter for voter, _ in ballot.votes}
        waiting = [voter for voter in self.ordered() if voter not in known]
        running: dict[asyncio.Task[F], V] = {}
        slow: set[V] = set()
        rivals = 0
        try:
            while ballot.most < needed:
                busy = {voter.party for voter in running.values()}
                while len(running) < needed - ballot.most + rivals and (voter := _next(waiting, ballot, busy)):
                    running[asyncio.ensure_future(ask(voter))] = voter
                    busy.add(voter.party)
                if not running:
                    raise self._verdict(ballot, needed)
                done, _ = await asyncio.wait(
                    running, timeout=self._patience_ns / _SECOND_NS, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    rivals += 1
                    slow.update(running.values())
                for task in done:
                    _count(ballot, running.pop(task), task)
        finally:
            await _abandon(running)
        for voter in slow.intersection(running.values()):
            self.doubt(voter, "slow")

    def _verdict(self, ballot: _Ballot[V, F], needed: int) -> ChainError:
        if not ballot.votes and len({type(error) for error in ballot.failures}) == 1:
            return ballot.failures[0]
        reasons = "; ".join(str(error) for error in ballot.failures) or "their answers differ"
        return NotEnoughAnswers(f"{ballot.most} of {needed} endpoints agree: {reasons}")


def _next(waiting: list[V], ballot: _Ballot[V, F], busy: set[str]) -> V | None:
    """Take the next endpoint whose operator has not voted and is not being asked."""
    for i, voter in enumerate(waiting):
        if voter.party not in busy and not ballot.has_voted(voter.party):
            return waiting.pop(i)
    return None


def _count(ballot: _Ballot[V, F], voter: V, task: "asyncio.Task[F]") -> None:
    try:
        ballot.votes.append((voter, task.result()))
    except ChainError as error:
        if voter.label not in str(error):  # who reads of it has to know which of several it is
            error.args = (f"{voter.label}: {error}",)
        ballot.failures.append(error)


async def _abandon(running: dict["asyncio.Task[F]", V]) -> None:
    for task in running:
        task.cancel()
    if running:
        await asyncio.gather(*running, return_exceptions=True)
