"""Who is swept on a loan: where it costs less, the largest first, as far as the stake goes; the others wait or burn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.treasury.test_weighing import HOT, NATIVE, TOKEN, Network, at, parts

from bitlinkpay.chains.outgoing import CannotPlan, FeeQuote, Intent, Loan, Purpose, Wallet
from bitlinkpay.core.errors import NotFound
from bitlinkpay.treasury.borrowing import (
    LOANS_MAX,
    WAITS,
    WAITS_FOR,
    Borrowing,
    Patience,
    Stake,
    cost_of,
    is_needed,
)
from bitlinkpay.treasury.model import Method, Move, MoveState, Sweepable
from bitlinkpay.treasury.service import ANYTHING
from bitlinkpay.treasury.weighing import Scales, Weighed

FREE = FeeQuote(0, 0)
OFFER = Loan(stake_units=100, lend=FeeQuote(3, 6), recall=FeeQuote(4, 8), own=FeeQuote(0, 500), opens=False)
GAS, SWEEP = FeeQuote(20, 50), FeeQuote(100, 150)


@dataclass
class Lending:
    """`chains.outgoing.Lending` whose offers the test writes; it keeps for whom it was asked."""

    offer: Callable[[Intent], Loan | CannotPlan]
    asked: list[int] = field(default_factory=list)

    async def lendable(self, lender: Wallet) -> int:
        raise AssertionError(lender)

    async def lent(self, lender: Wallet, borrower: str) -> int:
        raise AssertionError((lender, borrower))

    async def loan(self, intent: Intent, lender: Wallet) -> Loan:
        assert (intent.purpose, lender) == (Purpose.SWEEP, HOT)
        self.asked.append(intent.payer.index)
        offer = self.offer(intent)
        if isinstance(offer, CannotPlan):
            raise offer
        return offer


def burning(intent: Intent) -> FeeQuote:
    return GAS if intent.purpose is Purpose.GAS else SWEEP


async def borrow(
    lending: Lending, *found: Sweepable, free: int = 10_000, is_out: bool = False, answer: object = burning
) -> list[Weighed]:
    """Weigh addresses without a loan and then with one."""
    made = parts(Network(answer))  # type: ignore[arg-type]
    weighed = await Scales(made, TOKEN).weigh(found)
    return await Borrowing(made, lending, TOKEN).weigh(weighed, Stake(free, is_out))


def moved(weighed: list[Weighed]) -> list[Move]:
    return [one.move for one in weighed if one.move]


async def test_a_loan_that_costs_less_takes_the_place_of_burning() -> None:
    (only,) = await borrow(Lending(lambda _: OFFER), at(1, 5_000, native_units=7))
    (made,) = moved([only])
    assert (made.method, made.state, made.stake_units, made.gas_units) == (Method.LENT, MoveState.LENDING, 100, 0)
    assert (made.fee_max_units, made.covered_units, made.lend_fee_units) == (500, 500, 6)
    assert (made.payer, made.units, only.cost_units, only.hot_units) == (made.source, 5_000, 7, 12)


async def test_an_address_without_an_account_gets_one_unit_first_and_bytes_are_paid_for() -> None:
    opening = replace(OFFER, opens=True)
    (made,) = moved(await borrow(Lending(lambda _: opening), at(1, 5_000)))
    assert (made.method, made.state, made.gas_units) == (Method.LENT, MoveState.FUELLING, 1)
    paying = replace(OFFER, own=FeeQuote(30, 500))
    for native, lacking in ((0, 30), (29, 1), (30, 0), (99, 0)):
        (made,) = moved(await borrow(Lending(lambda _: paying), at(1, 5_000, native_units=native)))
        assert (made.gas_units, made.covered_units) == (lacking, 470)


async def test_energy_that_is_there_needs_no_loan() -> None:
    (only,) = await borrow(Lending(lambda _: replace(OFFER, stake_units=0)), at(1, 5_000, native_units=7))
    (made,) = moved([only])
    assert (made.method, made.state, made.stake_units, made.lend_fee_units) == (Method.ALONE, MoveState.MOVING, 0, 0)
    assert (only.cost_units, only.hot_units, made.covered_units) == (0, 0, 500)
    bytes_too = replace(OFFER, stake_units=0, own=FeeQuote(30, 500))
    (made,) = moved(await borrow(Lending(lambda _: bytes_too), at(1, 5_000), is_out=True))
    assert (made.method, made.gas_units, made.covered_units) == (Method.FUELLED, 30, 470), "no stake to wait for"


@pytest.mark.parametrize("fee", [171, 1_000])
async def test_a_loan_that_costs_as_much_as_burning_is_not_taken(fee: int) -> None:
    """Burning costs 170 here: 150 of gas, all of which counts, and 20 to hand it out."""
    dear = replace(OFFER, lend=FeeQuote(fee - 5, fee), recall=FeeQuote(5, 5))
    for cost, method in ((dear, Method.FUELLED), (replace(dear, lend=FeeQuote(164, 164)), Method.LENT)):
        (made,) = moved(await borrow(Lending(lambda _, cost=cost: cost), at(1, 5_000)))
        assert made.method is method


async def test_what_is_too_dear_to_burn_for_may_still_be_worth_a_loan() -> None:
    small = at(1, 100)
    (burnt,) = await Scales(parts(Network(burning)), TOKEN).weigh([small])
    assert "moving it costs" in burnt.reason
    (made,) = moved(await borrow(Lending(lambda _: OFFER), small))
    assert made.method is Method.LENT
    (still,) = await borrow(Lending(lambda _: OFFER), at(1, 60))
    assert still.reason == "moving it costs more than all of it, at most 10 % is paid"


async def test_the_largest_get_the_stake_and_the_others_wait_for_it() -> None:
    lending = Lending(lambda _: OFFER)
    weighed = await borrow(lending, *(at(number, 9_000 - number) for number in range(4)), free=250)
    assert [one.move.method if one.move else one.reason for one in weighed] == [Method.LENT] * 2 + [WAITS] * 2
    assert lending.asked == [0, 1, 2], "the third does not fit, and nobody asks for the fourth"


async def test_who_has_waited_for_half_an_hour_burns_coin_and_waits_anew_the_next_time() -> None:
    found = at(1, 9_000), at(2, 5_000)
    made = parts(Network(burning))
    burnt = await Scales(made, TOKEN).weigh(found)
    lent = await Borrowing(made, Lending(lambda _: OFFER), TOKEN).weigh(burnt, Stake(150, is_out=False))
    patience, start = Patience(), made.wall.now()

    def reasons(after: timedelta, weighed: Sequence[Weighed] = lent) -> list[str]:
        borne = patience.bear(burnt, weighed, start + after)
        return [one.move.method if one.move else one.reason for one in borne]

    moment = timedelta(microseconds=1)
    assert reasons(timedelta(0)) == reasons(WAITS_FOR - moment) == [Method.LENT, WAITS]
    assert reasons(WAITS_FOR) == [Method.LENT, Method.FUELLED]
    assert reasons(WAITS_FOR + moment, burnt) == [Method.FUELLED] * 2, "nothing is out: nobody waits"
    assert reasons(2 * WAITS_FOR) == [Method.LENT, WAITS]


async def test_where_nothing_is_out_and_none_fits_coin_is_burnt() -> None:
    lending = Lending(lambda _: OFFER)
    weighed = await borrow(lending, at(1, 5_000), at(2, 5_000), free=99)
    assert [one.method for one in moved(weighed)] == [Method.FUELLED] * 2
    assert lending.asked == [1]
    (without,) = moved(await borrow(lending, at(1, 5_000), free=0, is_out=False))
    assert (without.method, lending.asked) == (Method.FUELLED, [1])


async def test_while_stake_is_out_nobody_is_asked_without_any_and_who_has_coin_goes_on() -> None:
    lending = Lending(lambda _: OFFER)
    poor, rich = await borrow(lending, at(1, 5_000), at(2, 5_000, native_units=999), free=0, is_out=True)
    assert (poor.reason, lending.asked) == (WAITS, [])
    assert rich.move
    assert rich.move.method is Method.ALONE


async def test_an_address_that_cannot_be_swept_on_a_loan_holds_up_nobody() -> None:
    def offer(intent: Intent) -> Loan | CannotPlan:
        return CannotPlan("frozen") if intent.payer.index == 1 else OFFER

    weighed = await borrow(Lending(offer), at(1, 5_000), at(2, 5_000))
    assert weighed[0].reason == WAITS
    assert moved(weighed)[0].method is Method.LENT


async def test_gas_that_cannot_be_handed_out_is_no_loan() -> None:
    def answer(intent: Intent) -> FeeQuote | CannotPlan:
        return CannotPlan("no gas") if intent.purpose is Purpose.GAS else SWEEP

    (only,) = await borrow(Lending(lambda _: replace(OFFER, opens=True)), at(1, 5_000), answer=answer)
    assert (only.move, only.reason) == (None, "no gas")


async def test_one_plan_asks_for_so_many_loans_and_no_more() -> None:
    lending = Lending(lambda _: OFFER)
    weighed = await borrow(lending, *(at(number, 9_000) for number in range(LOANS_MAX + 2)))
    assert len(lending.asked) == LOANS_MAX
    assert [one.reason for one in weighed[LOANS_MAX:]] == [WAITS] * 2


async def test_without_a_price_nothing_is_weighed_anew() -> None:
    async def unpriced(base: str, quote: str) -> object:
        raise NotFound(f"no price of {base} in {quote}")

    made = replace(parts(Network(burning)), prices=unpriced)
    before = [Weighed(at(1), reason="there is no price")]
    assert await Borrowing(made, Lending(lambda _: OFFER), TOKEN).weigh(before, Stake(10_000, is_out=True)) == before


def test_lending_comes_into_question_where_code_runs_and_the_signer_does_both() -> None:
    assert is_needed(ANYTHING, TOKEN)
    assert not is_needed(ANYTHING, NATIVE)
    for missing in (Purpose.LEND, Purpose.RECALL):
        assert not is_needed(ANYTHING - {missing}, TOKEN)


@given(
    units=st.one_of(st.integers(1, 3_000), st.integers(1, 10**9)),
    native=st.one_of(st.integers(0, 60), st.integers(0, 10**6)),
    own=st.tuples(st.integers(0, 60), st.integers(0, 10**4)),
    fees=st.tuples(st.integers(0, 60), st.integers(0, 10**3)),
    stake=st.sampled_from([0, 100]),
)
async def test_SWP_04_whatever_a_loan_costs_the_sweep_never_costs_more_than_it_brings(
    units: int, native: int, own: tuple[int, int], fees: tuple[int, int], stake: int
) -> None:
    burnt, energy = own
    quote = FeeQuote(fees[0], fees[0] + fees[1])
    offer = Loan(stake, quote, quote, FeeQuote(burnt, burnt + energy), opens=False)
    (only,) = await borrow(Lending(lambda _: offer), at(1, units, native))
    made = only.move
    assume(made is not None and (made.method is Method.LENT or made.covered_units))  # and not burnt for as before
    assert made.covered_units <= energy
    held = native + made.gas_units
    assert held >= made.fee_max_units - made.covered_units, "what nothing covers is there"
    lost = max(made.gas_units, min(held, made.fee_max_units)) + only.gas_fee_units
    assert lost + (2 * quote.units_max if made.stake_units else 0) <= units
    assert cost_of(at(1, units, native), offer, FREE, 0).units >= burnt
