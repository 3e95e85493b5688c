"""Screening against list files and other providers, verdicts on a real database."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.support.clock import ManualClock

from bitlinkpay.core.ids import DepositId, new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.risk.listfile import ListFile
from bitlinkpay.risk.model import Arrived, Finding, Provider, ProviderDown, Verdict, VerdictKind
from bitlinkpay.risk.service import NoLists, Screening, keep, list_findings

BAD = "0x7F367cC41522cE07553e823bf3be79A889DEbe1B"
GOOD = "0x00000000000000000000000000000000000000A1"
OTHER = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"


def _item(source: str = GOOD, *, network: str = "ethereum", **more: object) -> Arrived:
    return Arrived(DepositId(new_uuid7()), network, f"0x{new_uuid7().hex}", source, **more)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Kept:
    """Screening whose verdicts are kept at once, as the transaction does that acts on them."""

    database: Database
    screening: Screening

    async def screen(self, items: Sequence[Arrived]) -> Sequence[Verdict]:
        verdicts = await self.screening.screen(items)
        await self.database.unit(lambda tx: keep(tx, verdicts))
        return verdicts


class Desk:
    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.clock = ManualClock()
        self.path = folder / "ofac.txt"

    def write(self, *lines: str, end: str = "\n") -> None:
        """Replace the list as an operator should: a new file under the old name."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text("\n".join(lines) + end)
        fresh.replace(self.path)

    def provider(self) -> ListFile:
        return ListFile(self.database, self.path, self.clock)

    def screening(self, *providers: Provider, **options: object) -> "Kept":
        return Kept(self.database, Screening(providers, self.clock, **options))  # type: ignore[arg-type]

    async def findings(self, item: Arrived) -> Sequence[Finding]:
        async with self.database.reader() as tx:
            return await list_findings(tx, item.deposit_id)


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Desk:
    return Desk(database, tmp_path)


def _look_again(provider: ListFile) -> None:
    """As if the second between two looks at the file had passed."""
    provider._looked_at -= 10


@dataclass
class Service:
    """A remote provider with the manners of remote providers."""

    name: str = "remote"
    kind: VerdictKind = VerdictKind.CLEAR
    trouble: Exception | None = None
    delay_s: float = 0
    about: str = ""
    drop: int = 0
    asked: list[str] = field(default_factory=list)

    async def look_up(self, network: str, addresses: Sequence[str]) -> Sequence[Finding]:
        self.asked += addresses
        await asyncio.sleep(self.delay_s)
        if self.trouble is not None:
            raise self.trouble
        found = [Finding(network, self.about or a, self.name, "7", self.kind, "score", {"score": 1}) for a in addresses]
        return found[self.drop :]


async def test_AML_01_a_listed_sender_is_never_clear(desk: Desk):
    desk.write(f"ethereum:{BAD.lower()}", OTHER.upper())
    screening = desk.screening(desk.provider())
    items = [_item(BAD), _item(GOOD), _item(OTHER, network="bitcoin"), _item(BAD, network="bsc")]
    verdicts = await screening.screen(items)
    assert [verdict.kind.value for verdict in verdicts] == ["listed", "clear", "listed", "listed"]
    assert verdicts[0].reason == f"on_list: {BAD} (list:ofac)"
    assert verdicts[1].reason == ""


async def test_verdicts_are_stored_with_version_provider_answer_and_time(desk: Desk):
    desk.write(f"ethereum:{BAD}")
    item = _item(BAD)
    (verdict,) = await desk.screening(desk.provider()).screen([item])
    (finding,) = await desk.findings(item)
    assert finding == verdict.findings[0]
    assert len(finding.list_version) == 64
    assert finding.raw == {"line": f"ethereum:{BAD}", "rows": 1}
    async with desk.database.reader() as tx:
        row = await tx.fetchrow("select deposit_id, screened_at from verdicts")
    assert row is not None
    assert (row["deposit_id"], row["screened_at"]) == (item.deposit_id, desk.clock.now())


async def test_verdicts_cannot_be_changed_by_the_application(desk: Desk):
    await desk.screening(NoLists()).screen([_item()])
    for statement in ("update verdicts set result = 'clear'", "delete from verdicts", "delete from risk_lists"):
        with pytest.raises(Exception, match="permission denied"):
            async with desk.database.transaction() as tx:
                await tx.execute(statement)


@pytest.mark.parametrize(
    "service",
    [
        Service(trouble=ProviderDown("HTTP 500")),
        Service(trouble=ProviderDown("not JSON")),
        Service(trouble=TimeoutError()),
        Service(delay_s=30),
        Service(about=OTHER),
        Service(drop=1),
    ],
    ids=["down", "malformed", "timed out", "slow", "about another address", "too few answers"],
)
async def test_AML_03_a_provider_without_a_good_answer_makes_no_verdict(desk: Desk, service: Service):
    desk.write(BAD)
    provider = desk.provider()
    await provider.look_up("ethereum", [GOOD])  # from here on it answers from memory, however short its time
    screening = desk.screening(service, provider, timeout_s=1)
    item = _item(GOOD)
    assert await screening.screen([item]) == []
    assert await desk.findings(item) == []
    (verdict,) = await screening.screen([_item(BAD)])
    assert verdict.kind is VerdictKind.LISTED, "what one provider lists needs no second opinion"
    service.trouble, service.delay_s, service.about, service.drop = None, 0, "", 0
    (verdict,) = await screening.screen([item])
    assert verdict.kind is VerdictKind.CLEAR


async def test_AML_03_unknown_is_not_clear(desk: Desk):
    (verdict,) = await desk.screening(Service(kind=VerdictKind.UNKNOWN), NoLists()).screen([_item()])
    assert verdict.kind is VerdictKind.UNKNOWN


async def test_AML_03_without_any_good_list_there_is_no_verdict(desk: Desk):
    screening = desk.screening(desk.provider())
    assert await screening.screen([_item()]) == []
    desk.write("")
    assert await desk.screening(desk.provider()).screen([_item()]) == []


async def test_AML_04_a_new_version_is_taken_in_and_open_items_are_judged_by_it(desk: Desk):
    desk.write(OTHER)
    provider = desk.provider()
    screening = desk.screening(provider)
    item = _item(BAD)
    (before,) = await screening.screen([item])
    desk.write(OTHER, BAD)
    provider._looked_at += 60  # however long it took to get here
    assert (await screening.screen([item]))[0].kind is VerdictKind.CLEAR, "looked at once a second"
    provider._looked_at -= 60
    _look_again(provider)
    (after,) = await screening.screen([item])
    assert (before.kind, after.kind) == (VerdictKind.CLEAR, VerdictKind.LISTED)
    first, second = await desk.findings(item)
    assert (first.kind, second.kind) == (VerdictKind.CLEAR, VerdictKind.LISTED)
    assert first.list_version != second.list_version
    async with desk.database.reader() as tx:
        versions = await tx.fetch("select version, rows from risk_lists order by rows")
    assert [row["rows"] for row in versions] == [1, 2]
    assert [row["version"] for row in versions] == [first.list_version, second.list_version]


@pytest.mark.parametrize(
    "damage",
    [
        lambda desk: desk.write("", end=""),
        lambda desk: desk.write("# gone"),
        lambda desk: desk.write(*(f"0x{number:040x}" for number in range(94))),
        lambda desk: desk.write(*(f"0x{number:040x}" for number in range(200)), "0x12", end=""),
        lambda desk: desk.write("<html>404 Not Found</html>"),
        lambda desk: desk.path.unlink(),
    ],
    ids=["empty", "no rows", "6 % fewer", "cut off", "not a list", "gone"],
)
async def test_AML_05_a_bad_file_leaves_the_old_list_and_raises_an_alarm(
    desk: Desk, damage, caplog: pytest.LogCaptureFixture
):
    desk.write(*(f"0x{number:040x}" for number in range(99)), BAD)
    provider = desk.provider()
    screening = desk.screening(provider)
    (good,) = await screening.screen([_item(BAD)])
    damage(desk)
    _look_again(provider)
    (verdict,) = await screening.screen([_item(BAD)])
    assert verdict.kind is VerdictKind.LISTED
    assert verdict.findings[0].list_version == good.findings[0].list_version
    assert provider.trouble
    alarms = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert len(alarms) == 1
    _look_again(provider)
    await screening.screen([_item(BAD)])
    assert len([record for record in caplog.records if record.levelname == "CRITICAL"]) == 1, "once per file"

    restarted = desk.screening(desk.provider())
    (verdict,) = await restarted.screen([_item(BAD)])
    assert verdict.findings[0].list_version == good.findings[0].list_version, "a restart does not forget"

    desk.write(*(f"0x{number:040x}" for number in range(120)), BAD)
    _look_again(provider)
    (verdict,) = await screening.screen([_item(BAD)])
    assert verdict.findings[0].list_version != good.findings[0].list_version
    assert provider.trouble == ""


async def test_a_file_written_in_place_is_noticed(desk: Desk):
    desk.write(OTHER)
    provider = desk.provider()
    screening = desk.screening(provider)
    await screening.screen([_item()])
    with desk.path.open("a") as file:
        file.write(f"{BAD}\n")
    os.utime(desk.path, ns=(1, 1))
    _look_again(provider)
    assert (await screening.screen([_item(BAD)]))[0].kind is VerdictKind.LISTED


async def test_AML_06_every_input_is_screened(desk: Desk):
    desk.write(BAD)
    service = Service()
    item = _item(GOOD, network="bitcoin", sources=(GOOD, OTHER, BAD))
    (verdict,) = await desk.screening(desk.provider(), service).screen([item])
    assert verdict.kind is VerdictKind.LISTED
    assert BAD in verdict.reason
    assert service.asked == [GOOD, OTHER, BAD]
    assert len(await desk.findings(item)) == 6


@pytest.mark.parametrize(
    ("units", "limits", "kind"),
    [
        (None, {}, VerdictKind.UNKNOWN),
        (1, {}, VerdictKind.UNKNOWN),
        (None, {"btc-bitcoin": 1000}, VerdictKind.UNKNOWN),
        (1001, {"btc-bitcoin": 1000}, VerdictKind.UNKNOWN),
        (1000, {"btc-bitcoin": 1000}, VerdictKind.CLEAR),
        (1000, {"eth-ethereum": 1000}, VerdictKind.UNKNOWN),
    ],
)
async def test_AML_07_money_without_a_sender_is_a_class_of_its_own(
    desk: Desk, units: int | None, limits: dict[str, int], kind: VerdictKind
):
    item = _item("", network="bitcoin", asset="btc-bitcoin", units=units)
    service = Service()
    (verdict,) = await desk.screening(service, unnamed_limits=limits).screen([item])
    assert verdict.kind is kind
    assert [finding.rule for finding in verdict.findings] == ["no_sender"]
    assert service.asked == []


async def test_AML_14_a_verdict_counts_for_its_deposit_only(desk: Desk):
    desk.write(BAD)
    provider = desk.provider()
    screening = desk.screening(provider)
    first = _item(GOOD)
    second = replace(first, deposit_id=DepositId(new_uuid7()))
    (verdict,) = await screening.screen([first])
    assert verdict.deposit_id == first.deposit_id
    assert await desk.findings(second) == [], "the same address in another deposit was not screened by that"
    await screening.screen([second])
    assert len(await desk.findings(second)) == len(await desk.findings(first)) == 1


async def test_AML_14_the_same_question_again_is_the_same_row(desk: Desk):
    desk.write(BAD)
    screening = desk.screening(desk.provider())
    item = _item()
    for _ in range(3):
        assert len(await screening.screen([item])) == 1
    assert len(await desk.findings(item)) == 1


async def test_without_lists_the_verdict_says_that_nobody_looked(desk: Desk):
    (verdict,) = await desk.screening(NoLists()).screen([_item()])
    assert verdict.kind is VerdictKind.CLEAR
    assert verdict.findings[0].rule == "not_screened"
    assert verdict.findings[0].provider == "none"


async def test_many_items_are_one_question_per_network_and_address(desk: Desk):
    service = Service()
    items = [_item(GOOD) for _ in range(50)] + [_item(OTHER, network="bitcoin") for _ in range(50)]
    verdicts: Sequence[Verdict] = await desk.screening(service).screen(items)
    assert [verdict.deposit_id for verdict in verdicts] == [item.deposit_id for item in items]
    assert service.asked == [GOOD, OTHER]
    assert await desk.screening(service).screen([]) == []


async def test_an_empty_list_of_providers_is_a_broken_belief(desk: Desk):
    with pytest.raises(AssertionError, match="fail closed"):
        desk.screening()


async def test_two_processes_take_in_one_version_together(desk: Desk):
    desk.write(BAD)
    verdicts = await asyncio.gather(*(desk.screening(desk.provider()).screen([_item(BAD)]) for _ in range(4)))
    assert {verdict.kind for (verdict,) in verdicts} == {VerdictKind.LISTED}
