"""Room per endpoint: growth, halving and rest."""

from bitlinkpay.webhooks.lanes import FAILURES_MAX, FIRST_ROOM, REST_FACTOR, REST_MAX_S, ROOM_MAX, Lanes

A, B = "https://a.example:443", "https://b.example:443"


def _fail(lanes: Lanes, times: int, *, took_s: float, now_s: float = 0.0) -> None:
    for _ in range(times):
        lanes.start(A)
        lanes.fail(A, took_s=took_s, now_s=now_s)


def test_room_grows_with_success_up_to_a_bound():
    lanes = Lanes()
    for expected in (FIRST_ROOM + 1, FIRST_ROOM + 2):
        lanes.start(A)
        lanes.succeed(A, took_s=0.1)
        assert lanes.rooms(0)[A] == expected
    for _ in range(200):
        lanes.start(A)
        lanes.succeed(A, took_s=0.1)
    assert lanes.rooms(0)[A] == ROOM_MAX


def test_a_slow_one_gets_less_room():
    lanes = Lanes()
    for _ in range(5):
        lanes.start(A)
        lanes.succeed(A, took_s=14.9)
    assert lanes.rooms(0)[A] == 1


def test_what_is_in_flight_takes_room():
    lanes = Lanes()
    for _ in range(FIRST_ROOM):
        lanes.start(A)
    assert lanes.rooms(0) == {A: 0}
    lanes.succeed(A, took_s=0.1)
    assert lanes.rooms(0)[A] == 2


def test_WHK_08_a_dead_endpoint_holds_one_place_a_twentieth_of_the_time():
    lanes = Lanes()
    _fail(lanes, FAILURES_MAX, took_s=15, now_s=100)
    assert lanes.rooms(100)[A] == 0
    assert lanes.rooms(100 + REST_FACTOR * 15 - 1)[A] == 0
    assert lanes.rooms(100 + REST_FACTOR * 15)[A] == 1
    _fail(lanes, 1, took_s=1000, now_s=1000)
    assert lanes.rooms(1000 + REST_MAX_S)[A] == 1


def test_one_that_fails_fast_hardly_rests():
    lanes = Lanes()
    _fail(lanes, 20, took_s=0.001, now_s=5)
    assert lanes.rooms(5.03)[A] == 1


def test_one_success_ends_the_rest():
    lanes = Lanes()
    _fail(lanes, FAILURES_MAX, took_s=15)
    lanes.start(A)
    lanes.succeed(A, took_s=0.1)
    _fail(lanes, 1, took_s=15, now_s=1000)
    assert lanes.rooms(1000)[A] == 1


def test_a_full_endpoint_asks_for_a_claim_when_half_of_it_is_free():
    lanes = Lanes()
    for _ in range(FIRST_ROOM):
        lanes.start(A)
    lanes.claimed(A, count=FIRST_ROOM, room=FIRST_ROOM)
    asked = [lanes.succeed(A, took_s=0.1) for _ in range(FIRST_ROOM)]
    assert not asked[0]
    assert asked[-1]
    lanes.start(B)
    lanes.claimed(B, count=1, room=FIRST_ROOM)
    assert not lanes.succeed(B, took_s=0.1)


def test_an_endpoint_whose_claim_used_all_its_room_is_full_although_places_became_free_meanwhile():
    lanes = Lanes()
    for _ in range(FIRST_ROOM):
        lanes.start(A)
    room = 2
    for _ in range(FIRST_ROOM):
        lanes.succeed(A, took_s=0.1)  # all of them end while the claim is under way
    for _ in range(room):
        lanes.start(A)
    lanes.claimed(A, count=room, room=room)
    assert lanes.succeed(A, took_s=0.1), "more may be due: nobody else would ask for it"


def test_a_resting_endpoint_asks_again_when_it_may():
    lanes = Lanes()
    lanes.start(A)
    lanes.claimed(A, count=1, room=FIRST_ROOM)
    assert A in lanes.rooms(0)
    lanes.fail(A, took_s=1, now_s=0)
    assert lanes.rooms(0)[A] == FIRST_ROOM // 2


def test_lanes_are_bounded():
    lanes = Lanes()
    for number in range(20_050):
        lanes.start(f"https://{number}.example:443")
        lanes.succeed(f"https://{number}.example:443", took_s=0.1)
    lanes.forget_idle(0)
    assert len(lanes.rooms(0)) == 20_000
