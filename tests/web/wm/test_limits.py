"""Token buckets without timers, envelopes opened a few to a turn, and body limits."""

import asyncio
from itertools import pairwise

import pytest
from tests.wm.vectors import encrypted, envelope_key

from bitlinkpay.core.errors import Conflict, Invalid, Kind, NotFound, Problem, Unavailable
from bitlinkpay.db.pool import OutcomeUnknown
from bitlinkpay.web.errors import HTTP_STATUS, WM_CODE, http_status, problem_body, public_message, wm_code, wm_message
from bitlinkpay.web.wm import limits
from bitlinkpay.web.wm.asgi import Received
from bitlinkpay.web.wm.body import BodyLimits, Unread, read_body
from bitlinkpay.web.wm.limits import Buckets, Rate, steady
from bitlinkpay.web.wm.opener import PER_TURN, Opener
from bitlinkpay.wm.envelope import Opened

SECOND = 1_000_000_000


class Ticks:
    def __init__(self) -> None:
        self.now = 50 * SECOND

    def __call__(self) -> int:
        return self.now


def spend(buckets: Buckets[str], rate: Rate, key: str = "a") -> int:
    count = 0
    while not buckets.wait_s(key, rate) and count < 10_000:
        buckets.take(key, rate)
        count += 1
    return count


def test_what_is_left_and_when_it_is_full_again_agree_with_what_is_let_in() -> None:
    ticks, rate = Ticks(), Rate(per_minute=60, burst=5)
    buckets = Buckets[str](ticks)
    assert (buckets.left("a", rate), buckets.full_s("a")) == (5, 0)
    for left in (4, 3, 2, 1, 0):
        assert not buckets.wait_s("a", rate)
        buckets.take("a", rate)
        assert buckets.left("a", rate) == left
        assert buckets.full_s("a") == 5 - left
    assert buckets.wait_s("a", rate) == 1
    for half_seconds in range(1, 13):
        ticks.now += SECOND // 2
        assert buckets.left("a", rate) == min(5, half_seconds // 2)
        assert (buckets.left("a", rate) > 0) == (buckets.wait_s("a", rate) == 0)
    assert buckets.full_s("a") == 0
    buckets.take("a", rate)
    buckets.take("a", rate)
    assert buckets.left("b", rate) == 5


def test_a_bucket_gives_its_burst_then_waits_and_refills_steadily() -> None:
    ticks, rate = Ticks(), Rate(per_minute=60, burst=5)
    buckets = Buckets[str](ticks)
    assert spend(buckets, rate) == 5
    assert buckets.wait_s("a", rate) == 1
    ticks.now += SECOND - 1
    assert buckets.wait_s("a", rate) == 1
    ticks.now += 1
    assert spend(buckets, rate) == 1
    ticks.now += 3600 * SECOND
    assert spend(buckets, rate) == 5


def test_buckets_are_apart() -> None:
    ticks, rate = Ticks(), Rate(per_minute=60, burst=2)
    buckets = Buckets[str](ticks)
    assert spend(buckets, rate) == 2
    assert spend(buckets, rate, "b") == 2


def test_a_token_given_back_can_be_taken_again() -> None:
    ticks, rate = Ticks(), Rate(per_minute=60, burst=1)
    buckets = Buckets[str](ticks)
    buckets.take("a", rate)
    assert buckets.wait_s("a", rate) == 1
    buckets.give_back("a", rate)
    assert spend(buckets, rate) == 1


def test_the_wait_is_in_whole_seconds_rounded_up() -> None:
    ticks, rate = Ticks(), Rate(per_minute=1, burst=1)
    buckets = Buckets[str](ticks)
    buckets.take("a", rate)
    assert buckets.wait_s("a", rate) == 60
    ticks.now += 59 * SECOND + SECOND // 2
    assert buckets.wait_s("a", rate) == 1


def test_full_buckets_are_forgotten_when_the_table_grows() -> None:
    ticks, rate = Ticks(), Rate(per_minute=60, burst=3)
    buckets = Buckets[str](ticks)
    for number in range(limits._KEYS_MAX):
        buckets.take(f"k{number}", rate)
    ticks.now += 10 * SECOND
    buckets.take("one more", rate)
    assert len(buckets._full_at) == 1


def test_a_merchants_rate_lets_ten_seconds_worth_come_at_once() -> None:
    assert steady(6000) == Rate(6000, 1000)
    assert steady(1) == Rate(1, 20)


async def test_the_opener_opens_in_the_order_of_arrival() -> None:
    opener = Opener(envelope_key())
    rows = encrypted()
    opened = await asyncio.gather(*(opener.open(row.headers, row.body) for row in rows * 5))
    assert [answer.plaintext for answer in opened if isinstance(answer, Opened)] == [row.plaintext for row in rows] * 5
    await opener.close()


async def test_everything_else_has_its_turn_after_every_few_envelopes() -> None:
    opener = Opener(envelope_key())
    opened = 0
    seen = [0]

    async def beat() -> None:
        while True:
            seen.append(opened)
            await asyncio.sleep(0)

    async def ask() -> None:
        nonlocal opened
        await opener.open(row.headers, row.body)
        opened += 1

    heart = asyncio.create_task(beat())
    row = encrypted()[0]
    await asyncio.gather(*(ask() for _ in range(5 * PER_TURN)))
    heart.cancel()
    assert max(after - before for before, after in pairwise([*seen, opened])) == PER_TURN
    await opener.close()


def messages(*parts: bytes, ends: bool = True):
    queue: list[Received] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if ends:
        queue[-1]["more_body"] = False

    async def receive() -> Received:
        if queue:
            return queue.pop(0)
        await asyncio.sleep(60)
        raise AssertionError

    return receive


async def test_a_body_in_pieces_is_put_together() -> None:
    assert await read_body(messages(b"a", b"", b"bc"), BodyLimits()) == b"abc"
    assert await read_body(messages(b""), BodyLimits()) == b""


async def test_a_body_is_limited_in_size_and_the_rest_is_drained_up_to_a_point() -> None:
    limits = BodyLimits(size=4, drain=10)
    assert await read_body(messages(b"abcd"), limits) == b"abcd"
    assert await read_body(messages(b"abc", b"de"), limits) is Unread.TOO_LARGE
    assert await read_body(messages(b"abcde", b"fghijk", ends=False), limits) is Unread.TOO_LARGE


async def test_a_body_is_limited_in_time() -> None:
    assert await read_body(messages(b"a", ends=False), BodyLimits(time_s=0)) is Unread.TOO_SLOW


async def test_a_client_that_hangs_up_has_no_body() -> None:
    async def receive() -> Received:
        return {"type": "http.disconnect"}

    assert await read_body(receive, BodyLimits()) is Unread.GONE


def test_every_kind_of_problem_has_a_status_and_a_code() -> None:
    assert set(HTTP_STATUS) == set(WM_CODE) == set(Kind)
    assert all(400 <= status < 600 for status in HTTP_STATUS.values())
    assert 0 not in WM_CODE.values()


@pytest.mark.parametrize(("problem", "status"), [(Invalid("x"), 422), (NotFound("x"), 404), (Conflict("x"), 409)])
def test_a_problem_says_its_code_and_its_sentence(problem: Problem, status: int) -> None:
    assert http_status(problem) == status
    assert wm_code(problem) != 0
    assert wm_message(problem) == f"{problem.code}: x"
    body = problem_body(problem, "req_1")
    assert (body["type"], body["code"], body["message"], body["request_id"]) == (
        problem.kind,
        problem.code,
        "x",
        "req_1",
    )


def test_what_the_database_said_stays_inside() -> None:
    for problem in (Unavailable("could not connect to 10.1.2.3:5432"), OutcomeUnknown("lost at COMMIT: relation x")):
        assert "10.1.2.3" not in wm_message(problem)
        assert "relation" not in public_message(problem)
        assert str(problem_body(problem, "r")["message"]).startswith("the platform cannot answer now")
