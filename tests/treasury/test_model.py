"""Moves of our own money, levels of hot wallets, and what a plan may use."""

from dataclasses import replace
from uuid import uuid4

import pytest

from bitlinkpay.chains.outgoing import KeyRole, Purpose, Wallet
from bitlinkpay.core.fsm import IllegalMove
from bitlinkpay.treasury.model import MOVE, Levels, Method, Move, MoveEvent, MoveKind, MoveState, Sweepable
from bitlinkpay.treasury.service import ANYTHING
from bitlinkpay.treasury.sweeping import Budget, afford
from bitlinkpay.treasury.weighing import Weighed

HOT, ADDRESS = Wallet(KeyRole.HOT, 0, "0xhot"), Wallet(KeyRole.DEPOSIT, 7, "0xaddress")


def move(**changes: object) -> Move:
    fields: dict[str, object] = {
        "move_id": uuid4(),
        "kind": MoveKind.SWEEP,
        "method": Method.TOGETHER,
        "network": "ethereum",
        "asset": "usdt-ethereum",
        "source": ADDRESS,
        "payer": HOT,
        "target": HOT.address,
        "units": 100,
        "fee_max_units": 5,
    }
    return Move(**(fields | changes))  # type: ignore[arg-type]


def fuelled(gas_units: int = 10) -> Move:
    return move(method=Method.FUELLED, gas_units=gas_units, state=MoveState.FUELLING)


def lent(**changes: object) -> Move:
    fields: dict[str, object] = {"method": Method.LENT, "payer": ADDRESS, "stake_units": 70, "lend_fee_units": 2}
    return move(**(fields | {"covered_units": 5, "state": MoveState.LENDING} | changes))


def weighed(made: Move | None, *, tops: int = 0, gas_fee_units: int = 0, reason: str = "") -> Weighed:
    return Weighed(Sweepable(ADDRESS, 100, 0, tops), made, gas_fee_units=gas_fee_units, reason=reason)


@pytest.mark.parametrize("state", MoveState)
@pytest.mark.parametrize("event", MoveEvent)
def test_a_move_goes_along_its_table_only(state: MoveState, event: MoveEvent) -> None:
    allowed = {
        (MoveState.FUELLING, MoveEvent.FUELLED): MoveState.MOVING,
        (MoveState.FUELLING, MoveEvent.OPENED): MoveState.LENDING,
        (MoveState.FUELLING, MoveEvent.FAILED): MoveState.FAILED,
        (MoveState.LENDING, MoveEvent.LENT): MoveState.MOVING,
        (MoveState.LENDING, MoveEvent.FAILED): MoveState.FAILED,
        (MoveState.MOVING, MoveEvent.ARRIVED): MoveState.DONE,
        (MoveState.MOVING, MoveEvent.FAILED): MoveState.FAILED,
    }
    if (state, event) in allowed:
        assert MOVE.next(state, event) is allowed[state, event]
    else:
        with pytest.raises(IllegalMove):
            MOVE.next(state, event)


def test_gas_goes_ahead_of_moves_that_need_it_only() -> None:
    with pytest.raises(AssertionError, match="gas"):
        move(gas_units=1)
    with pytest.raises(AssertionError, match="gas"):
        move(method=Method.FUELLED)
    with pytest.raises(AssertionError, match="a wallet that pays"):
        move(source=HOT)
    assert move(kind=MoveKind.COLD, source=HOT).source is HOT
    assert move(kind=MoveKind.CONSOLIDATION, source=HOT).target == HOT.address
    with pytest.raises(AssertionError, match="joined elsewhere"):
        move(kind=MoveKind.CONSOLIDATION, source=HOT, target="0xcold")


def test_stake_goes_ahead_of_moves_that_are_lent_it_and_of_no_others() -> None:
    for changes in ({"stake_units": 1}, {"method": Method.LENT}, {"method": Method.LENT, "gas_units": 1}):
        with pytest.raises(AssertionError, match="stake for a move"):
            move(**changes)
    with pytest.raises(AssertionError, match="more is covered"):
        lent(covered_units=6)
    assert lent(gas_units=1).covered_units == lent().covered_units == 5


@pytest.mark.parametrize(("free", "surplus"), [(0, 0), (50, 0), (100, 0), (101, 61), (1_000, 960)])
def test_SWP_08_above_the_ceiling_all_above_the_target_is_too_much(free: int, surplus: int) -> None:
    assert Levels(10, 40, 100).surplus(free) == surplus


def test_what_pays_takes_turns_until_the_hot_wallets_coin_is_used_up() -> None:
    three = [weighed(move()), weighed(move(fee_max_units=6)), weighed(move(fee_max_units=4))]
    done = afford(three, Budget(9, 0, 2, ANYTHING))
    assert [one.move for one in done] == [three[0].move, None, three[2].move]
    assert done[1].reason == "the hot wallet holds too little of the network's coin"
    assert all(one.move for one in afford(three, Budget(15, 0, 2, ANYTHING)))


def test_SWP_05_gas_for_addresses_has_a_limit_per_day_and_per_address() -> None:
    budget = Budget(1_000, 25, 2, ANYTHING)
    wanted = [weighed(fuelled(), gas_fee_units=3) for _ in range(3)]
    done = afford(wanted, budget)
    assert [one.reason for one in done] == ["", "", "the day's limit of gas for addresses is reached"]
    assert afford([weighed(fuelled(), tops=1)], budget)[0].move
    (stopped,) = afford([weighed(fuelled(), tops=2)], budget)
    assert stopped.reason == "it got gas 2 times within a day, which is the limit"
    assert afford([weighed(move(), tops=2)], budget)[0].move  # what needs no gas is not held up
    (barred,) = afford([weighed(fuelled())], replace(budget, purposes=ANYTHING - {Purpose.GAS}))
    assert "not among the purposes of the signer's policy" in barred.reason


def test_gas_and_its_fee_are_the_hot_wallets_own() -> None:
    assert weighed(move()).hot_units == 5
    assert weighed(fuelled(), gas_fee_units=3).hot_units == 13
    assert weighed(move(method=Method.ALONE, payer=ADDRESS)).hot_units == 0
    assert weighed(lent(gas_units=1), gas_fee_units=3).hot_units == 8  # a unit of gas, its fee, lending, taking back
    assert weighed(None).hot_units == 0
    covered = weighed(move(fee_max_units=5, covered_units=5))
    assert covered.hot_units == 0
    assert afford([covered], Budget(-3, 0, 2, ANYTHING)) == [covered], "what asks for nothing is never refused for it"
    assert Budget(20, 20, 2, ANYTHING).less(weighed(fuelled(), gas_fee_units=3)) == Budget(7, 10, 2, ANYTHING)


def test_what_waits_for_another_reason_keeps_it() -> None:
    waiting = Weighed(Sweepable(ADDRESS, 100, 0, 0), setup_units=7, reason="not ready")
    assert afford([waiting], Budget(0, 0, 0, ANYTHING)) == [waiting]
