"""What a process remembers for seconds: asked once, kept to the second, bounded, and never what a change overtook."""

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.core.ids import MerchantId
from bitlinkpay.merchants import shelf as module
from bitlinkpay.merchants.shelf import ABSENT_LIFE_S, LIFE_S, Shelf

TEA, COFFEE = MerchantId(UUID(int=1)), MerchantId(UUID(int=2))


@dataclass
class Source:
    """What the database would say, and how often it was asked; it answers once `open` is set."""

    answers: dict[str, MerchantId] = field(default_factory=lambda: {"tea": TEA, "tea 2": TEA, "coffee": COFFEE})
    asked: list[str] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    failure: Exception | None = None
    seconds: float = 100.0

    def __post_init__(self) -> None:
        self.open.set()

    async def load(self, key: str) -> MerchantId | None:
        self.asked.append(key)
        answer, failure = self.answers.get(key), self.failure
        await self.open.wait()
        if failure:
            raise failure
        return answer

    def shelf(self) -> Shelf[str, MerchantId]:
        return Shelf(self.load, lambda owner: owner, lambda: self.seconds)


async def reach(source: Source, count: int) -> None:
    """Let tasks run until the source was asked so often."""
    while len(source.asked) < count:
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("key", "after", "questions"),
    [
        ("tea", LIFE_S - 0.001, 1),
        ("tea", LIFE_S, 2),
        ("nobody", ABSENT_LIFE_S - 0.001, 1),
        ("nobody", ABSENT_LIFE_S, 2),
    ],
)
async def test_an_answer_lives_to_the_second_and_an_absence_shorter(key: str, after: float, questions: int) -> None:
    source = Source()
    shelf = source.shelf()
    first = await shelf.find(key)
    source.seconds += after
    assert await shelf.find(key) == first == source.answers.get(key)
    assert len(source.asked) == questions


async def test_the_life_of_an_answer_begins_with_the_question_and_not_with_the_answer() -> None:
    source = Source()
    shelf = source.shelf()
    source.open.clear()
    asking = asyncio.create_task(shelf.find("tea"))
    await reach(source, 1)
    source.seconds += LIFE_S
    source.open.set()
    assert await asking == TEA
    assert await shelf.find("tea") == TEA
    assert source.asked == ["tea", "tea"], "what was read five seconds ago is too old when it comes"


async def test_many_that_want_one_key_ask_once_and_those_of_other_keys_beside_them() -> None:
    source = Source()
    shelf = source.shelf()
    found = await asyncio.gather(*(shelf.find(key) for key in ["tea", "coffee", "nobody"] * 50))
    assert found == [TEA, COFFEE, None] * 50
    assert sorted(source.asked) == ["coffee", "nobody", "tea"]


async def test_who_gives_up_waiting_does_not_stop_the_others() -> None:
    source = Source()
    shelf = source.shelf()
    source.open.clear()
    impatient, patient = (asyncio.create_task(shelf.find("tea")) for _ in range(2))
    await reach(source, 1)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    source.open.set()
    assert await patient == TEA
    assert source.asked == ["tea"]


async def test_a_failed_question_reaches_everyone_who_waits_and_is_not_remembered() -> None:
    source = Source(failure=Unavailable("the database is away"))
    shelf = source.shelf()
    found = await asyncio.gather(*(shelf.find("tea") for _ in range(3)), return_exceptions=True)
    assert [str(one) for one in found] == ["the database is away"] * 3
    assert source.asked == ["tea"]
    source.failure = None
    assert await shelf.find("tea") == TEA


async def test_a_failure_does_not_take_an_old_answer_for_a_new_one() -> None:
    source = Source()
    shelf = source.shelf()
    await shelf.find("tea")
    source.seconds += LIFE_S
    source.failure = Unavailable("the database is away")
    with pytest.raises(Unavailable):
        await shelf.find("tea")


async def test_a_merchants_change_forgets_what_is_its_own_and_all_absences() -> None:
    source = Source()
    shelf = source.shelf()
    for key in ("tea", "tea 2", "coffee", "nobody"):
        await shelf.find(key)
    source.answers |= {"nobody": TEA}
    del source.asked[:]
    shelf.forget(TEA)
    assert [await shelf.find(key) for key in ("tea", "tea 2", "coffee", "nobody")] == [TEA, TEA, COFFEE, TEA]
    assert source.asked == ["tea", "tea 2", "nobody"]


async def test_a_lost_connection_forgets_everything() -> None:
    source = Source()
    shelf = source.shelf()
    for key in ("tea", "coffee", "nobody"):
        await shelf.find(key)
    del source.asked[:]
    shelf.forget(None)
    for key in ("tea", "coffee", "nobody"):
        await shelf.find(key)
    assert source.asked == ["tea", "coffee", "nobody"]


async def test_API_05_an_answer_that_a_change_overtook_is_given_to_no_later_question() -> None:
    source = Source()
    shelf = source.shelf()
    source.open.clear()
    before = asyncio.create_task(shelf.find("tea"))
    await reach(source, 1)
    del source.answers["tea"]
    shelf.forget(TEA)
    after = asyncio.create_task(shelf.find("tea"))
    await reach(source, 2)
    source.open.set()
    assert (await before, await after) == (TEA, None), "who asked before the change may hear of before"
    assert await shelf.find("tea") is None
    assert source.asked == ["tea", "tea"], "and the newer answer is the one that is kept"


async def test_an_absence_gives_way_to_an_answer_and_an_answer_to_an_absence() -> None:
    source = Source()
    shelf = source.shelf()
    for owner in (None, TEA, None):
        source.answers.pop("new", None)
        if owner:
            source.answers["new"] = owner
        source.seconds += LIFE_S
        assert await shelf.find("new") == owner
        assert await shelf.find("new") == owner
    assert source.asked == ["new"] * 3


async def test_the_oldest_go_first_and_absences_push_no_answer_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KNOWN", 2)
    monkeypatch.setattr(module, "MOST_ABSENT", 3)
    source = Source()
    shelf = source.shelf()
    for key in ("tea", "coffee", "n1", "n2", "n3", "n4"):
        await shelf.find(key)
    del source.asked[:]
    for key in ("tea", "coffee", "n2", "n3", "n4"):
        await shelf.find(key)
    assert source.asked == []
    assert await shelf.find("tea 2") == TEA
    await shelf.find("n1")
    assert source.asked == ["tea 2", "n1"]
    del source.asked[:]
    for key in ("coffee", "tea 2", "n3", "n4", "n1", "tea", "n2"):
        await shelf.find(key)
    assert source.asked == ["tea", "n2"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("find"), st.sampled_from(["tea", "coffee", "new"])),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 1.0, 2.0, 5.0])),
        st.tuples(st.just("change"), st.sampled_from(["tea", "coffee", "new"])),
        st.tuples(st.just("quiet change"), st.sampled_from(["tea", "coffee", "new"])),
    ),
    max_size=30,
)


@given(STEPS)
def test_API_05_whatever_happens_no_answer_is_older_than_five_seconds(steps: list[tuple[str, float | str]]) -> None:
    """A change that is heard of holds at once, one whose notification was lost after the life of an answer."""

    async def run() -> None:
        source = Source({"tea": TEA, "coffee": COFFEE})
        shelf = source.shelf()
        past: dict[str, list[tuple[float, MerchantId | None]]] = {
            key: [(0.0, source.answers.get(key))] for key in ("tea", "coffee", "new")
        }
        for step, what in steps:
            if step == "wait":
                assert isinstance(what, float)
                source.seconds += what
                continue
            key = str(what)
            if step == "find":
                found = await shelf.find(key)
                *before, last = past[key]
                until = [at for at, _ in [*before, last]][1:]
                old = {owner for (_, owner), end in zip(before, until, strict=True) if end > source.seconds - LIFE_S}
                assert found in old | {last[1]}
                continue
            now = None if source.answers.pop(key, None) else TEA
            if now:
                source.answers[key] = now
            past[key].append((source.seconds, now))
            if step == "change":
                shelf.forget(None)
                past[key] = [(source.seconds, now)]

    asyncio.run(run())
