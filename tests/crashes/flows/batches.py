"""Payouts by the file: a result a line, and where one was lost the same file again, which pays nothing twice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.crashes.faults import Fuse
from tests.crashes.flow import Act, Loop
from tests.crashes.flows.payouts import AMOUNTS, Payouts, Wish, payouts_on
from tests.crashes.stage import Process, Stage, text_of
from tests.flows.harness import REGISTRY

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.pool import Database
from bitlinkpay.payouts.batch_file import parse_batch
from bitlinkpay.payouts.batches import Batches as Service
from bitlinkpay.payouts.batches import LineResult, Verdict
from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.sending.service import Owner

HEADING = "source_id,asset,address,amount"
BAD = "1e3"
LINES = (1, 2)


@dataclass
class Sheet:
    """A file as its person has it: lines that are payouts, whose wishes the payouts' own accounts cover, and one that is none."""

    content: bytes
    wishes: Mapping[str, Wish]
    bad: str  # the source_id of a line that can't be a payout
    is_answered: bool = False  # every line of it

    def take(self, results: Sequence[LineResult]) -> str:
        """Hold an answer against those before: a result a line, in the file's order, and each payout the same for ever."""
        assert [result.source_id for result in results] == [*self.wishes, self.bad], "another file's answer"
        self.is_answered = True
        for result in results[:-1]:
            wish = self.wishes[result.source_id]
            assert (result.payout is None) == (result.problem is not None), "a line without an answer, or with two"
            if result.payout:
                assert result.verdict is not Verdict.ACCEPTED or wish.payout is None, "asked for twice"
                wish.accept(result.payout)
            elif isinstance(result.problem, Unavailable):
                self.is_answered = False
            elif result.problem:
                wish.refuse(text_of(result.problem))
        assert results[-1].verdict is Verdict.REFUSED, "a line that is no payout"
        return ", ".join(result.verdict for result in results)


class Batches:
    """`Flow` of files of payouts."""

    WEIGHTS: Mapping[str, int] = {"file": 2}

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.sheets: list[Sheet] = []
        self.repeated = 0  # how many of them were sent again at the end

    def owners(self) -> Mapping[OwnerKind, Owner]:
        return {}

    def loops(self, process: Process) -> Mapping[str, Loop]:
        del process
        return {}

    async def file(self, act: Act) -> str:
        """A person sends a file, or the last one again: because no answer came, or just to be sure."""
        dice = act.dice()
        if not self.sheets or dice.randrange(4):
            self.sheets.append(self._sheet([dice.choice(AMOUNTS) for _ in range(dice.randint(*LINES))]))
        sheet = self.sheets[-1]
        found, outcome = await self.stage.serve(act, lambda fuse: self._send(sheet, fuse))
        return found or outcome

    async def settle(self) -> None:
        """Every file is sent once more, whatever came of it before, and until each of its lines has its answer."""
        for number, sheet in enumerate(self.sheets):
            if number >= self.repeated or not sheet.is_answered:
                await self._send(sheet, Fuse())
                assert sheet.is_answered, "a line that gets no answer"
        self.repeated = len(self.sheets)

    async def account(self) -> int:
        """Each line that was taken is one payout, which the payouts' accounts hold to its end; the bad ones are none."""
        bad = [sheet.bad for sheet in self.sheets]
        assert await self.stage.world.rows("select from payouts where source_id = any($1::text[])", bad) == []
        return 0

    # --- parts -------------------------------------------------------------------------------------------------------

    def _sheet(self, amounts: Sequence[str]) -> Sheet:
        bad = f"{self.stage.seed}-bad-{len(self.sheets)}"
        wishes = [self.stage.flow(Payouts).wish(amount) for amount in amounts]
        rows = [(wish.new.source_id, wish.new.target, str(wish.new.amount)) for wish in wishes]
        rows.append((bad, wishes[0].new.target, BAD))
        lines = [f"{source_id},{self.stage.asset},{target},{amount}" for source_id, target, amount in rows]
        content = "\r\n".join([HEADING, *lines]).encode()
        return Sheet(content, {wish.new.source_id: wish for wish in wishes}, bad)

    async def _send(self, sheet: Sheet, fuse: Fuse) -> str:
        payouts, faulty = payouts_on(self.stage, fuse)
        database: Database = faulty  # type: ignore[assignment]
        service = Service(database, payouts, REGISTRY)
        return sheet.take(await service.run(self.stage.world.merchant, parse_batch(sheet.content)))
