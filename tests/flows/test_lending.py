"""Deposits on TRON are swept with lent energy, on the test network: what it costs, and that every loan comes back."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.chains.tron.network import TronNet
from tests.flows.lending import COIN, Lender
from tests.flows.tron import NETWORK, TRX, USDT, TronWorld

from bitlinkpay.chains.base import NotEnoughAnswers
from bitlinkpay.chains.outgoing import Purpose, Wallet
from bitlinkpay.chains.tron.lending import TronLending
from bitlinkpay.treasury.borrowing import WAITS, WAITS_FOR
from bitlinkpay.treasury.loans.returning import GONE_AFTER
from bitlinkpay.treasury.service import Treasury
from bitlinkpay.treasury.stale import PATIENCE

P = Purpose
OPENING = 1_100_000  # sun: what the first coin costs its payer
WHOLE = [P.GAS, P.LEND, P.SWEEP, P.RECALL]


@pytest.fixture
async def net(clock) -> AsyncIterator[TronNet]:
    async with TronNet.start(nodes=3, genesis_ms=int(clock.now().timestamp()) * 1000) as running:
        yield running


@pytest.fixture
async def lender(net, database, clock, ring, tmp_path) -> AsyncIterator[Lender]:
    """A hot wallet with 1,000 TRX beside a stake that suffices for one sweep at a time, and not for two."""
    token = await net.token()
    await net.finalize()
    async with TronWorld.on(net, token, database, clock, ring, folder=tmp_path) as world:
        lender = Lender(world, ring)
        await lender.fund(coin=1_000, stake=5_000)
        yield lender
        await lender.agrees()


async def spent(lender: Lender) -> int:
    return await lender.world.account("expense:gas", TRX)


async def test_an_address_that_nobody_opened_is_swept_on_a_loan_and_the_stake_comes_back(lender) -> None:
    order = await lender.paid_order()
    seen: list[tuple[str, str]] = []
    for _ in range(4):
        await lender.step()
        ((_, _, move),), ((loan, stake),) = await lender.moves(), await lender.loans()
        seen.append((move, loan))
    assert seen == [("lending", "asked"), ("moving", "lent"), ("done", "lent"), ("done", "returned")]
    assert lender.pen.signed == WHOLE
    assert stake > 3_000 * COIN
    assert lender.lent() == 0
    assert await lender.at(order.address, USDT) == 0
    assert await lender.at(lender.hot.address, USDT) == order.units
    assert await lender.at(order.address, TRX) == 1
    assert await spent(lender) == OPENING, "and not a sun of energy"


async def test_an_address_that_has_an_account_needs_no_coin_and_is_not_planned_while_it_has_our_stake(lender) -> None:
    order = await lender.paid_order()
    await lender.rounds(4)
    lender.world.pay(order, 70 * COIN)  # late money, which stays its payer's question and is collected all the same
    await lender.pass_day()
    lender.pen.signed.clear()
    await lender.step()
    lender.world.pay(order, 30 * COIN)
    await lender.finish()
    await lender.world.finish()
    assert await lender.moves() == [("lent", USDT, "done")] * 2
    async with lender.world.database.reader() as tx:
        assert await lender.sweepable(tx) == [], "it has our stake"
    await lender.step()
    async with lender.world.database.reader() as tx:
        assert await lender.sweepable(tx) == [(order.address, 30 * COIN)]
    assert lender.pen.signed == [P.LEND, P.SWEEP, P.RECALL]
    assert await spent(lender) == OPENING


async def test_stake_that_is_out_is_waited_for_and_the_next_address_gets_it(lender) -> None:
    large, small = await lender.paid_order("100"), await lender.paid_order("90")
    assert [one.reason for one in await lender.plan()] == ["", WAITS]
    await lender.step()
    assert [one.reason for one in await lender.plan()] == [WAITS]
    await lender.rounds(4)
    assert await lender.at(large.address, USDT) == 0
    await lender.rounds(4)
    assert await lender.at(small.address, USDT) == 0
    assert lender.pen.signed.count(P.SWEEP) == 2
    assert [state for state, _ in await lender.loans()] == ["returned"] * 2


async def test_without_enough_stake_or_leave_to_lend_coin_is_burnt_as_before(lender) -> None:
    lender.permit = replace(lender.permit, purposes=lender.permit.purposes - {P.RECALL})
    await lender.paid_order()
    await lender.rounds(2)
    lender.permit = replace(lender.permit, purposes=frozenset(P))
    lender.stake(-4_900)
    await lender.paid_order()
    await lender.rounds(2)
    assert [move for move in await lender.moves() if move[1] == USDT] == [("fuelled", USDT, "done")] * 2
    assert await lender.loans() == []
    assert not {P.LEND, P.RECALL} & set(lender.pen.signed)


async def test_a_sweep_that_fails_after_the_loan_gives_the_stake_back_and_is_planned_anew(lender) -> None:
    order = await lender.paid_order()
    lender.pen.refused = {P.SWEEP}
    await lender.rounds(3)
    assert (await lender.moves(), lender.lent() > 0) == ([("lent", USDT, "moving")], True)
    await lender.pass_time(PATIENCE)
    await lender.step()
    ((state, _),) = await lender.loans()
    assert (await lender.moves(), state, lender.lent()) == ([("lent", USDT, "failed")], "returned", 0)
    lender.pen.refused = set()
    await lender.rounds(4)
    assert [state for *_, state in await lender.moves()] == ["failed", "done"]
    assert await lender.at(order.address, USDT) == 0


async def test_a_loan_that_was_never_made_is_owed_by_nobody(lender) -> None:
    await lender.paid_order()
    lender.pen.refused = {P.LEND}
    await lender.rounds(2)
    assert [state for state, _ in await lender.loans()] == ["asked"]
    await lender.pass_time(PATIENCE)
    await lender.treasury.step(replace(lender.permit, purposes=frozenset({P.RECALL})))
    assert [state for state, _ in await lender.loans()] == ["failed"]
    assert [state for *_, state in await lender.moves()] == ["failed"]
    assert P.RECALL not in lender.pen.signed


async def test_what_the_signer_does_not_take_back_stays_lent_until_it_does(lender) -> None:
    await lender.paid_order()
    await lender.rounds(3)
    await lender.treasury.step(replace(lender.permit, purposes=lender.permit.purposes - {P.RECALL}))
    ((state, stake),) = await lender.loans()
    assert (state, lender.lent(), await lender.recalls()) == ("lent", stake, []), "it signs no such thing"
    lender.pen.refused = {P.RECALL}
    await lender.step()
    assert (await lender.loans(), lender.lent()) == ([("returning", stake)], stake)
    await lender.pass_time(timedelta(hours=2))
    lender.restart()
    await lender.step()
    assert await lender.loans() == [("returning", stake)], "asked for anew, at the price of now"
    assert len(await lender.recalls()) == 2
    lender.pen.refused = set()
    await lender.pass_time(timedelta(minutes=2))
    await lender.step()
    assert (await lender.loans(), lender.lent()) == ([("returned", stake)], 0)


async def test_a_loan_that_somebody_took_back_without_us_ends_once_the_chain_has_shown_so_for_an_hour(lender) -> None:
    order = await lender.paid_order()
    await lender.rounds(3)
    lender.forget_loans(order.address)
    await lender.step()
    assert [state for state, _ in await lender.loans()] == ["lent"], "a node may be late"
    await lender.pass_time(GONE_AFTER)
    await lender.step()
    assert [state for state, _ in await lender.loans()] == ["returned"]
    assert P.RECALL not in lender.pen.signed


class Silent(TronLending):
    """Endpoints that do not agree on what is lent, or do not serve the question."""

    async def lent(self, lender: Wallet, borrower: str) -> int:
        raise NotEnoughAnswers(f"endpoints disagree on what {lender.address} has lent {borrower}")


async def test_a_loan_that_nodes_do_not_tell_of_stays_out_and_sweeps_go_on(lender) -> None:
    await lender.paid_order()
    await lender.rounds(3)
    await lender.paid_order("90")
    await lender.pass_time(WAITS_FOR)
    silent = Silent(lender.world.chain(NETWORK).access)
    await Treasury(replace(lender.parts, lending=silent)).step(lender.permit)
    assert [state for state, _ in await lender.loans()] == ["lent", "asked"]
    assert await lender.moves() == [("lent", USDT, "done"), ("lent", USDT, "fuelling")]
    await lender.rounds(4)
    assert ([state for state, _ in await lender.loans()], lender.lent()) == (["returned"] * 2, 0)


async def test_processes_that_die_after_every_step_forget_no_loan(lender) -> None:
    order = await lender.paid_order()
    for _ in range(40):
        lender.restart()
        await lender.pass_time(timedelta(minutes=2))
        await lender.treasury.step(lender.permit)
        lender.restart()
        await lender.payer.step()
        await lender.net.mine(9)
        await lender.world.run()
        if await lender.loans() and (await lender.loans())[0][0] == "returned":
            break
    assert lender.pen.signed == WHOLE
    assert lender.lent() == 0
    assert await lender.at(order.address, USDT) == 0
    await lender.finish()
