"""Agreement: never fewer equal answers than asked for, never more questions than needed (THREATS rules 12 and 13)."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlinkpay.chains.base import ChainError, GapError, NotEnoughAnswers
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.core.errors import Invalid

SECOND = 1_000_000_000


@dataclass(eq=False)
class Source:
    """An endpoint that gives prepared answers."""

    label: str
    answer: object = "yes"
    party: str = ""
    delay: int = 0
    is_resting: bool = False
    asked: int = field(default=0)

    def __post_init__(self) -> None:
        self.party = self.party or self.label

    async def ask(self) -> object:
        self.asked += 1
        await asyncio.sleep(self.delay / 1000)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def quorum_of(size: int, *sources: Source, patience: int = 60_000) -> Quorum[Source]:
    return Quorum(sources, size, patience=timedelta(milliseconds=patience))


async def agree(quorum: Quorum[Source]) -> object:
    return await quorum.agree(lambda source: source.ask())


async def test_agreement_asks_no_more_than_it_needs() -> None:
    a, b, c = Source("a"), Source("b"), Source("c")
    assert await agree(quorum_of(2, a, b, c)) == "yes"
    assert (a.asked, b.asked, c.asked) == (1, 1, 0)


async def test_a_failure_is_replaced_and_lowers_nothing() -> None:
    a, b, c = Source("a", ChainError("down")), Source("b"), Source("c")
    assert await agree(quorum_of(2, a, b, c)) == "yes"
    assert c.asked == 1
    with pytest.raises(NotEnoughAnswers, match="1 of 2"):
        await agree(quorum_of(2, a, b))


async def test_NODE_03_honest_ones_down_and_one_answer_left_is_no_agreement() -> None:
    liar = Source("liar", "lie")
    with pytest.raises(NotEnoughAnswers, match="1 of 2"):
        await agree(quorum_of(2, liar, Source("b", ChainError("flooded")), Source("c", ChainError("flooded"))))


async def test_two_of_three_outvote_one_and_doubt_it() -> None:
    a, b, c = Source("a", "lie"), Source("b"), Source("c")
    quorum = quorum_of(2, a, b, c)
    assert await agree(quorum) == "yes"
    assert quorum.doubt_about(a) == "disagrees with the quorum"
    assert quorum.doubt_about(b) == ""
    assert [source.label for source in quorum.ordered()] == ["b", "c", "a"]
    assert await agree(quorum) == "yes"
    assert a.asked == 1


async def test_a_doubt_ends_after_a_minute() -> None:
    now = [0]
    a, b = Source("a"), Source("b")
    quorum = Quorum([a, b], 1, now_ns=lambda: now[0])
    quorum.doubt(a, "lied")
    now[0] = 59 * SECOND
    assert quorum.doubt_about(a) == "lied"
    now[0] = 61 * SECOND
    assert quorum.doubt_about(a) == ""


async def test_different_answers_all_around_are_no_agreement() -> None:
    with pytest.raises(NotEnoughAnswers, match="their answers differ"):
        await agree(quorum_of(2, Source("a", 1), Source("b", 2), Source("c", 3)))


async def test_NODE_02_one_operator_has_one_vote() -> None:
    a, b = Source("a", "lie", party="one"), Source("b", "lie", party="one")
    honest = Source("c", "yes", party="two")
    with pytest.raises(NotEnoughAnswers):
        await agree(quorum_of(2, a, b, honest))
    assert await agree(quorum_of(2, a, Source("d", "yes", party="three"), honest)) == "yes"


async def test_NODE_02_a_second_endpoint_of_an_operator_stands_in_for_its_failed_first() -> None:
    a, b = Source("a", ChainError("down"), party="one"), Source("b", party="one")
    assert await agree(quorum_of(2, a, b, Source("c"))) == "yes"


def test_NODE_02_a_quorum_beyond_the_operators_is_refused() -> None:
    one = [Source("a", party="one"), Source("b", party="one")]
    with pytest.raises(Invalid):
        Quorum(one, 2)
    with pytest.raises(Invalid):
        Quorum(one, 0)
    with pytest.raises(Invalid):
        Quorum([], 1)
    assert Quorum(one, 1).size == 1


async def test_the_same_failure_everywhere_keeps_its_name() -> None:
    with pytest.raises(GapError, match="no block 7"):
        await agree(quorum_of(1, Source("a", GapError("no block 7")), Source("b", GapError("no block 7 here"))))
    with pytest.raises(NotEnoughAnswers, match=r"no block.*down"):
        await agree(quorum_of(1, Source("a", GapError("no block")), Source("b", ChainError("down"))))


async def test_whoever_failed_is_named_and_named_once() -> None:
    """Of several endpoints one had to guess which answered in another form."""
    a, b = (
        Source("http://a", GapError("the answer has another form")),
        Source("http://b", GapError("http://b: HTTP 500")),
    )
    with pytest.raises(GapError, match=r"^http://a: the answer has another form$"):
        await agree(quorum_of(1, a, b))
    a.answer = GapError("the answer has another form")
    with pytest.raises(NotEnoughAnswers) as told:
        await agree(quorum_of(2, a, b, Source("http://c")))
    reasons = str(told.value).removeprefix("1 of 2 endpoints agree: ").split("; ")
    assert sorted(reasons) == ["http://a: the answer has another form", "http://b: HTTP 500"]


async def test_none_and_empty_are_answers_like_others() -> None:
    assert await agree(quorum_of(2, Source("a", None), Source("b", None))) is None
    assert await agree(quorum_of(2, Source("a", []), Source("b", []))) == []
    assert await agree(quorum_of(2, Source("a", None), Source("b", "yes"), Source("c", "yes"))) == "yes"


async def test_a_known_vote_counts_and_is_not_asked_again() -> None:
    a, b = Source("a"), Source("b")
    quorum = quorum_of(2, a, b)
    assert await quorum.agree(lambda source: source.ask(), first=(a, "yes")) == "yes"
    assert (a.asked, b.asked) == (0, 1)
    alone = quorum_of(1, a, b)
    assert await alone.agree(lambda source: source.ask(), first=(a, "mine")) == "mine"
    assert (a.asked, b.asked) == (0, 1)


async def test_who_is_slow_gets_a_rival_and_is_asked_last_from_then_on() -> None:
    slow, quick = Source("slow", "late", delay=300_000), Source("quick")
    quorum = quorum_of(1, slow, quick, patience=50)
    assert await agree(quorum) == "yes"
    assert quorum.doubt_about(slow) == "slow"
    await agree(quorum)
    assert slow.asked == 1


async def test_a_resting_endpoint_is_asked_after_the_others() -> None:
    a, b = Source("a", is_resting=True), Source("b")
    await agree(quorum_of(1, a, b))
    assert (a.asked, b.asked) == (0, 1)


async def test_first_takes_any_one_answer_in_order_of_preference() -> None:
    a, b, c = Source("a", ChainError("down")), Source("b", "second"), Source("c", "third")
    assert await quorum_of(3, a, b, c).first(lambda source: source.ask()) == "second"
    assert c.asked == 0


async def test_a_survey_returns_everyone_who_answers_in_time() -> None:
    a, b, slow = Source("a", 1), Source("b", 2), Source("slow", 3, delay=300_000)
    down = Source("down", ChainError("down"))
    quorum = quorum_of(2, a, b, slow, down, patience=500)
    found = await quorum.survey(lambda source: source.ask())
    assert {(source.label, fact) for source, fact in found} == {("a", 1), ("b", 2)}
    assert quorum.doubt_about(slow) == "slow"
    with pytest.raises(NotEnoughAnswers):
        await quorum_of(2, a, down).survey(lambda source: source.ask())


async def test_a_survey_takes_one_answer_an_operator() -> None:
    a, b, c = Source("a", 1, party="one"), Source("b", 2, party="one"), Source("c", 3)
    found = await quorum_of(2, a, b, c).survey(lambda source: source.ask())
    assert sorted(fact for _, fact in found) == [1, 3]


async def test_an_error_that_is_no_refusal_of_a_chain_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        await agree(quorum_of(1, Source("a", ZeroDivisionError("a bug"))))


ANSWERS = st.one_of(st.sampled_from(["yes", "no", "lie"]), st.just(ChainError("down")))


@settings(deadline=None)
@given(st.lists(st.tuples(ANSWERS, st.sampled_from("pqrst")), min_size=1, max_size=7), st.integers(1, 4))
def test_whatever_the_answers_agreement_has_the_support_it_claims(rows: list[tuple[object, str]], size: int) -> None:
    sources = [Source(str(i), answer, party=party) for i, (answer, party) in enumerate(rows)]
    if size > len({source.party for source in sources}):
        with pytest.raises(Invalid):
            quorum_of(size, *sources)
        return
    try:
        agreed = asyncio.run(agree(quorum_of(size, *sources)))
    except ChainError:
        return
    supporters = {source.party for source in sources if source.answer == agreed and source.asked}
    assert len(supporters) >= size
