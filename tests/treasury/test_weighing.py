"""What is asked of a network before money is collected, and what comes of each of its answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.flows.harness import REGISTRY
from tests.support.clock import ManualClock

from bitlinkpay.chains.outgoing import (
    CannotPlan,
    FeeQuote,
    FeeTooHigh,
    Intent,
    KeyRole,
    LacksFunds,
    LacksGas,
    Lane,
    Payment,
    Purpose,
    Wallet,
)
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import NotFound, Unavailable
from bitlinkpay.treasury.model import Method, MoveKind, MoveState, Sweepable
from bitlinkpay.treasury.parts import TreasuryParts
from bitlinkpay.treasury.planning import SAME
from bitlinkpay.treasury.weighing import PROBES, Scales, Weighed, worth_of

HOT = Wallet(KeyRole.HOT, 0, "hot")
NATIVE, TOKEN = REGISTRY.assets["eth-ethereum"], REGISTRY.assets["usdt-ethereum"]
Answer = FeeQuote | CannotPlan
SHORT = LacksGas("lacks gas", 700)


def flat(units: int, units_max: int | None = None) -> Callable[[Intent], Answer]:
    return lambda _: FeeQuote(units, units if units_max is None else units_max)


@dataclass
class Network:
    """`treasury.parts.Pricing` whose answers the test writes; it keeps what it was asked."""

    answer: Callable[[Intent], Answer]
    most: int = 1
    is_ready: bool = True
    asked: list[Intent] = field(default_factory=list)

    def payments_max(self, asset: Asset, purpose: Purpose) -> int:
        del asset
        assert purpose is Purpose.SWEEP
        return self.most

    async def lane(self, payer: Wallet) -> Lane:
        assert payer == HOT
        return Lane(0, 0, is_ready=self.is_ready)

    async def quote(self, intent: Intent) -> FeeQuote:
        self.asked.append(intent)
        answer = self.answer(intent)
        if isinstance(answer, CannotPlan):
            raise answer
        return answer

    @property
    def purposes(self) -> list[Purpose]:
        return [intent.purpose for intent in self.asked]

    @property
    def sources(self) -> list[list[int]]:
        """Return per question whose money it was about."""
        return [[payment.source.index for payment in intent.payments] for intent in self.asked]


async def one_to_one(base: str, quote: str) -> Decimal:
    assert (base, quote) == (NATIVE.symbol, TOKEN.symbol)
    return Decimal(10) ** (NATIVE.decimals - TOKEN.decimals)


def parts(network: Network, prices: Callable[[str, str], object] = one_to_one) -> TreasuryParts:
    return TreasuryParts(
        database=None,  # type: ignore[arg-type] - weighing asks the network and the market only
        registry=REGISTRY,
        network=REGISTRY.networks["ethereum"],
        sender=network,
        prices=prices,  # type: ignore[arg-type]
        holds=None,  # type: ignore[arg-type]
        hot=HOT,
        clock=ManualClock(),
        wall=ManualClock(),
    )


def at(number: int, units: int = 10_000, native_units: int = 0, tops: int = 0) -> Sweepable:
    return Sweepable(Wallet(KeyRole.DEPOSIT, number, f"a{number}"), units, native_units, tops)


async def weigh(network: Network, found: Sequence[Sweepable], asset: Asset = TOKEN) -> list[Weighed]:
    return await Scales(parts(network), asset).weigh(found)


def reasons(weighed: Sequence[Weighed]) -> dict[int, str]:
    return {one.address.source.index: one.reason for one in weighed}


async def test_nothing_to_collect_asks_nobody_anything() -> None:
    network = Network(flat(1))
    assert await weigh(network, []) == []
    assert network.asked == []


async def test_coin_is_worth_itself_and_no_market_is_asked() -> None:
    async def no_market(base: str, quote: str) -> Decimal:
        raise AssertionError(f"{base} in {quote}")

    assert await worth_of(parts(Network(flat(1)), no_market), NATIVE) is SAME


@pytest.mark.parametrize("problem", [Unavailable("the market is closed"), NotFound("no such pair")])
async def test_without_a_price_all_wait_and_the_network_is_not_asked(problem: Exception) -> None:
    async def no_price(base: str, quote: str) -> Decimal:
        del base, quote
        raise problem

    network, found = Network(flat(1)), [at(1), at(2)]
    weighed = await Scales(parts(network, no_price), TOKEN).weigh(found)
    assert [one.address for one in weighed] == found
    assert {one.reason for one in weighed} == {f"there is no price to compare the cost with: {problem}"}
    assert network.asked == []


async def test_one_transaction_for_all_is_priced_with_what_each_address_holds() -> None:
    network = Network(flat(300, 900), most=50)
    weighed = await weigh(network, [at(1, 1_000), at(2, 5_000), at(3, 2_000)])
    (asked,) = network.asked
    assert (asked.purpose, asked.payer, asked.network, asked.fee_max_units) == (Purpose.SWEEP, HOT, "ethereum", 0)
    assert asked.expires_at == ManualClock().now() + timedelta(hours=1)
    assert asked.payments == (
        Payment(at(1).source, TOKEN.id, HOT.address, "", 1_000),
        Payment(at(2).source, TOKEN.id, HOT.address, "", 5_000),
        Payment(at(3).source, TOKEN.id, HOT.address, "", 2_000),
    )
    moves = [one.move for one in weighed if one.move]
    assert len({move.move_id for move in moves}) == 3
    for move, units in zip(moves, (1_000, 5_000, 2_000), strict=True):
        assert (move.kind, move.method, move.state) == (MoveKind.SWEEP, Method.TOGETHER, MoveState.MOVING)
        assert (move.payer, move.target, move.units, move.gas_units) == (HOT, HOT.address, units, 0)
        assert move.fee_max_units == 300


async def test_SWP_04_a_share_is_never_allowed_more_than_the_address_brings() -> None:
    (small, large) = await weigh(Network(flat(200, 40_000), most=50), [at(1, 1_000), at(2, 50_000)])
    assert small.move
    assert large.move
    assert (small.move.fee_max_units, large.move.fee_max_units) == (1_000, 20_000)


async def test_more_addresses_than_a_transaction_carries_are_priced_by_transactions() -> None:
    network = Network(flat(20), most=2)
    weighed = await weigh(network, [at(number) for number in range(5)])
    assert network.sources == [[0, 1], [2, 3], [4]]
    assert [one.move.fee_max_units for one in weighed if one.move] == [10, 10, 10, 10, 20]


async def test_SWP_04_without_the_small_ones_the_rest_is_weighed_anew() -> None:
    network = Network(lambda intent: FeeQuote(1_000 + 100 * len(intent.payments), 3_000), most=50)
    weighed = await weigh(network, [at(1, 20_000), at(2, 11_999), at(3, 4_000), at(4, 100)])
    # 1 400 / 4 = 350: 3 pays yet; 1 300 / 3 = 434: it does not; 1 200 / 2 = 600: both pay
    assert network.sources == [[1, 2, 3, 4], [1, 2, 3], [1, 2]]
    assert {one.address.source.index for one in weighed if one.move} == {1, 2}
    assert reasons(weighed) == {
        1: "",
        2: "",
        3: "moving it costs 11 % of it, at most 10 % is paid",
        4: "moving it costs more than all of it, at most 10 % is paid",
    }


async def test_SWP_04_where_none_pays_the_network_is_asked_once() -> None:
    network = Network(flat(10_000), most=50)
    weighed = await weigh(network, [at(1, 500), at(2, 400)])
    assert len(network.asked) == 1
    assert not any(one.move for one in weighed)
    assert set(reasons(weighed)) == {1, 2}


@pytest.mark.parametrize("bad", range(8))
async def test_one_address_that_nobody_can_move_does_not_make_the_others_wait(bad: int) -> None:
    def answer(intent: Intent) -> Answer:
        if any(payment.source.index == bad for payment in intent.payments):
            return LacksFunds("frozen by its issuer")
        return FeeQuote(10, 10)

    network, found = Network(answer, most=50), [at(number) for number in range(8)]
    weighed = await weigh(network, found)
    assert {one.address for one in weighed} == set(found)
    assert reasons(weighed) == {number: "frozen by its issuer" if number == bad else "" for number in range(8)}
    assert [one.address.source.index for one in weighed if not one.move] == [bad]
    assert len(network.asked) == 7, "it is found by halves"


@given(bad=st.sets(st.integers(0, 19)), most=st.integers(2, 20))
async def test_by_halves_every_address_gets_exactly_one_verdict(bad: set[int], most: int) -> None:
    def answer(intent: Intent) -> Answer:
        is_bad = any(payment.source.index in bad for payment in intent.payments)
        return CannotPlan("no") if is_bad else FeeQuote(10, 10)

    weighed = await weigh(Network(answer, most=most), [at(number) for number in range(20)])
    assert sorted(one.address.source.index for one in weighed) == list(range(20))
    assert {one.address.source.index for one in weighed if one.move is None} == bad


@pytest.mark.parametrize("obstacle", [FeeTooHigh("gas is dear"), LacksGas("hot is empty", 5)])
async def test_what_is_about_the_fee_is_no_reason_to_look_for_a_culprit(obstacle: CannotPlan) -> None:
    network = Network(lambda _: obstacle, most=50)
    weighed = await weigh(network, [at(number) for number in range(8)])
    assert len(network.asked) == 1
    assert reasons(weighed) == dict.fromkeys(range(8), obstacle.reason)


async def test_a_wallet_that_is_not_ready_asks_for_its_making_once_all_together_are_worth_it() -> None:
    network = Network(flat(1_000, 3_000), most=50, is_ready=False)
    weighed = await weigh(network, [at(1, 9_999), at(2, 1)])
    assert [(intent.purpose, intent.payments) for intent in network.asked] == [(Purpose.SETUP, ())]
    assert {(one.setup_units, one.reason, one.move) for one in weighed} == {
        (3_000, "the hot wallet is not ready for batches yet", None)
    }
    poorer = await weigh(network, [at(1, 9_998), at(2, 1)])
    assert {(one.setup_units, one.reason) for one in poorer} == {
        (0, "moving it costs 11 % of it, at most 10 % is paid")
    }


async def test_a_wallet_that_cannot_be_made_ready_says_why() -> None:
    network = Network(lambda _: CannotPlan("no delegate"), most=50, is_ready=False)
    (only,) = await weigh(network, [at(1)])
    assert only == Weighed(at(1), reason="the hot wallet is not ready for batches yet: no delegate")


async def test_where_each_pays_for_itself_a_wallet_need_not_be_ready() -> None:
    (only,) = await weigh(Network(flat(10), most=1, is_ready=False), [at(1, native_units=10)])
    assert only.move
    assert only.move.method is Method.ALONE


async def test_coin_pays_its_own_fee_out_of_what_it_brings() -> None:
    network = Network(flat(100, 300))
    weighed = await weigh(network, [at(1, 2_000), at(2, 1_300), at(3, 1_299), at(4, 300)], NATIVE)
    assert {asked.payer for asked in network.asked} == {at(1).source}
    assert [asked.payments for asked in network.asked] == [
        (Payment(at(1).source, NATIVE.id, HOT.address, "", units),) for units in (1_000, 1_700)
    ], "the whole could not be paid: half of it says what stays behind, and the rest what the rest costs"
    moves = {one.address.source.index: one.move for one in weighed if one.move}
    assert {number: (move.units, move.fee_max_units) for number, move in moves.items()} == {
        1: (1_700, 300),
        2: (1_000, 300),
    }
    assert all(move.payer == move.source and move.method is Method.ALONE for move in moves.values())
    assert reasons(weighed)[3] == "moving it costs 11 % of it, at most 10 % is paid"
    assert reasons(weighed)[4] == "it holds less than the fee"


async def test_coin_that_costs_more_to_move_the_more_it_is_leaves_the_fee_of_what_moves() -> None:
    """On TRON a larger amount may be a byte longer: at the fee of half of it, it could never be paid."""

    def answer(intent: Intent) -> Answer:
        (payment,) = intent.payments
        return FeeQuote(100, 100) if payment.units <= 1_024 else LacksGas("lacks gas for a byte more", 7)

    (large, small) = await weigh(Network(answer), [at(1, 2_000), at(2, 1_500)], NATIVE)
    assert large.move
    assert small.move
    assert (large.move.units, large.move.fee_max_units) == (2_000 - 107, 107)
    assert (small.move.units, small.move.fee_max_units) == (1_500 - 107, 107)
    (exact,) = await weigh(Network(answer), [at(1, 1_124)], NATIVE)
    assert exact.move
    assert (exact.move.units, exact.move.fee_max_units) == (1_024, 100)


async def test_coin_that_cannot_even_pay_the_fee_of_half_of_it_is_asked_about_once() -> None:
    network = Network(flat(100, 300))
    (only,) = await weigh(network, [at(1, 300)], NATIVE)
    assert [asked.payments[0].units for asked in network.asked] == [150]
    assert only.reason == "it holds less than the fee"


async def test_a_single_unit_of_coin_can_be_asked_about() -> None:
    network = Network(flat(1))
    (only,) = await weigh(network, [at(1, 1)], NATIVE)
    assert network.asked[0].payments[0].units == 1
    assert only.reason == "it holds less than the fee"


async def test_an_address_gets_the_gas_that_it_lacks_and_not_a_unit_more() -> None:
    def answer(intent: Intent) -> Answer:
        return FeeQuote(20, 50) if intent.purpose is Purpose.GAS else FeeQuote(100, 150)

    network = Network(answer)
    weighed = await weigh(network, [at(1), at(2, native_units=149), at(3, native_units=150), at(4, native_units=999)])
    assert network.purposes == [Purpose.SWEEP, Purpose.GAS]
    assert network.asked[1].payer == HOT
    assert network.asked[1].payments == (Payment(HOT, NATIVE.id, "a1", "", 150),)
    told = {
        one.address.source.index: (one.move.method, one.move.state, one.move.gas_units, one.gas_fee_units)
        for one in weighed
        if one.move
    }
    assert told == {
        1: (Method.FUELLED, MoveState.FUELLING, 150, 50),
        2: (Method.FUELLED, MoveState.FUELLING, 1, 50),
        3: (Method.ALONE, MoveState.MOVING, 0, 0),
        4: (Method.ALONE, MoveState.MOVING, 0, 0),
    }
    assert {(one.move.payer == one.move.source, one.move.fee_max_units) for one in weighed if one.move} == {(True, 150)}


@pytest.mark.parametrize(("quote", "fuel"), [((100, 900), 200), ((100, 150), 150), ((0, 0), 1), ((0, 900), 1)])
async def test_at_most_twice_the_gas_that_is_expected_is_sent_ahead(quote: tuple[int, int], fuel: int) -> None:
    (only,) = await weigh(Network(lambda one: FeeQuote(*(quote if one.purpose is Purpose.SWEEP else (0, 0)))), [at(1)])
    assert only.move
    assert only.move.gas_units == only.move.fee_max_units == fuel


async def test_SWP_04_all_gas_that_is_sent_ahead_counts_as_spent() -> None:
    def answer(intent: Intent) -> Answer:
        return FeeQuote(200, 300) if intent.purpose is Purpose.GAS else FeeQuote(400, 800)

    weighed = await weigh(Network(answer), [at(1, 10_000), at(2, 9_999), at(3, 4_000, native_units=800)])
    assert reasons(weighed) == {1: "", 2: "moving it costs 11 % of it, at most 10 % is paid", 3: ""}


async def test_a_network_that_looks_at_the_payers_coin_first_tells_the_fee_by_what_is_short() -> None:
    network = Network(lambda one: FeeQuote(0, 0) if one.purpose is Purpose.GAS else SHORT)
    weighed = await weigh(network, [at(1, 100_000, native_units=300), at(2, 100_000, native_units=2_000)])
    first, second = (one.move for one in weighed)
    assert first
    assert second
    assert (first.gas_units, first.fee_max_units) == (1_700, 2_000)  # the fee is 300 + 700, twice that is sent ahead
    assert (second.gas_units, second.method) == (0, Method.ALONE)


async def test_the_price_is_asked_of_the_first_few_until_one_can_tell_it() -> None:
    for bad in range(PROBES + 2):

        def answer(intent: Intent, bad: int = bad) -> Answer:
            if intent.purpose is Purpose.SWEEP and intent.payer.index < bad:
                return CannotPlan(f"no {intent.payer.index}")
            return FeeQuote(1, 1)

        network = Network(answer)
        weighed = await weigh(network, [at(number) for number in range(5)])
        sweeps = [intent.payer.index for intent in network.asked if intent.purpose is Purpose.SWEEP]
        assert sweeps == list(range(min(bad + 1, PROBES)))
        if bad < PROBES:
            assert all(one.move for one in weighed)
        else:
            assert reasons(weighed) == dict.fromkeys(range(5), f"no {PROBES - 1}")


async def test_gas_that_cannot_be_handed_out_makes_what_needs_it_wait() -> None:
    network = Network(lambda one: FeeTooHigh("dear") if one.purpose is Purpose.GAS else FeeQuote(1, 1))
    weighed = await weigh(network, [at(1), at(2)])
    assert network.purposes == [Purpose.SWEEP, Purpose.GAS] * 2
    assert reasons(weighed) == {1: "dear", 2: "dear"}


@given(
    units=st.integers(1, 10**12),
    native=st.integers(0, 10**8),
    sweep=st.tuples(st.integers(0, 10**8), st.integers(0, 10**8)),
    gas=st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
)
async def test_SWP_04_whatever_the_network_asks_a_sweep_of_its_own_never_costs_more_than_it_brings(
    units: int, native: int, sweep: tuple[int, int], gas: tuple[int, int]
) -> None:
    def answer(intent: Intent) -> Answer:
        expected, more = gas if intent.purpose is Purpose.GAS else sweep
        return FeeQuote(expected, expected + more)

    (only,) = await weigh(Network(answer), [at(1, units, native)])
    if only.move is None:
        assert only.reason
        assert only.hot_units == 0
        return
    assert native + only.move.gas_units >= only.move.fee_max_units
    assert only.move.fee_max_units + only.gas_fee_units <= units
    assert only.hot_units == (only.move.gas_units + only.gas_fee_units if only.move.gas_units else 0)
