"""Payments and sweeps of our own on the real Solana machine, from intent to outcome."""

from dataclasses import replace

import msgspec
import pytest
from solders.account import Account
from solders.pubkey import Pubkey
from solders.token.state import TokenAccount, TokenAccountState
from solders.transaction import VersionedTransaction
from tests.chains.solana import wallets
from tests.chains.solana.ledger import FAUCET, SYSTEM
from tests.chains.solana.network import SolanaNetwork, coin
from tests.chains.solana.test_arrivals import mint_of
from tests.chains.solana.treasury import HOT, Treasury, wallet
from tests.chains.solana.wallets import associated, person

from bitlinkpay.chains.base import FateState
from bitlinkpay.chains.outgoing import CannotPlan, FeeTooHigh, KeyRole, LacksGas, Payment, Purpose, Sent, Slot
from bitlinkpay.chains.solana.plan import SolanaPlan, fee_units
from bitlinkpay.chains.solana.programs import INCINERATOR
from bitlinkpay.core.assets import Asset

RENT = 890_880  # of a wallet
PEOPLE = [str(person(n).pubkey()) for n in range(300, 360)]


@pytest.fixture
async def usdt(network: SolanaNetwork) -> Asset:
    return await network.token()


@pytest.fixture
async def treasury(network: SolanaNetwork, chains, usdt: Asset) -> Treasury:
    return await Treasury.on(network, chains(assets=[usdt]), usdt)


async def deposit(network: SolanaNetwork, asset: Asset, index: int, units: int) -> object:
    """Return an order's wallet that holds something."""
    owner = wallet(index, KeyRole.DEPOSIT)
    await network.fund(owner.address, asset, units)
    return owner


async def test_a_payment_in_coins(treasury: Treasury) -> None:
    before = await treasury.network.balance(coin(), HOT.address)
    intent = treasury.payout(coin(), (PEOPLE[0], 10**9))
    quote = await treasury.sender.quote(intent)
    plan, signed, outcome = await treasury.carry_out(intent)
    assert outcome.state is FateState.FINAL
    assert (outcome.delivered, outcome.txid, outcome.returned_units) == ((True,), signed.txid, 0)
    assert outcome.block.height == treasury.network.outcome(signed.txid)[0].slot
    assert await treasury.network.balance(coin(), PEOPLE[0]) == 10**9
    assert await treasury.network.balance(coin(), HOT.address) == before - 10**9 - outcome.fee_units
    assert outcome.fee_units == fee_units(intent, plan) == quote.units <= quote.units_max


async def test_a_payment_in_tokens_to_one_who_has_an_account_and_to_one_who_has_none(treasury, network, usdt) -> None:
    await network.fund(PEOPLE[0], usdt, 1)
    await network.finalize()
    before = await network.balance(coin(), HOT.address)
    intent = treasury.payout(usdt, (PEOPLE[0], 5), (PEOPLE[1], 7), (PEOPLE[1], 8))
    plan, _, outcome = await treasury.carry_out(intent)
    assert (plan.creates, plan.closes, plan.is_checked) == ((False, True, False), (False,) * 3, True)
    assert outcome.delivered == (True, True, True)
    assert [await network.balance(usdt, address) for address in PEOPLE[:2]] == [6, 15]
    assert outcome.fee_units == wallets.ACCOUNT_RENT + fee_units(intent, replace(plan, rent_units=0))
    assert await network.balance(coin(), HOT.address) == before - outcome.fee_units
    assert await network.balance(usdt, HOT.address) == 10**12 - 20


async def test_twenty_token_payments_fit_into_one_transaction(treasury, network, usdt) -> None:
    for address in PEOPLE[:20]:
        await network.fund(address, usdt, 1)
    await network.finalize()
    assert treasury.sender.payments_max(usdt, Purpose.PAYOUT) == 20
    intent = treasury.payout(usdt, *((address, 10 + n) for n, address in enumerate(PEOPLE[:20])))
    plan, signed, outcome = await treasury.carry_out(intent)
    assert len(signed.raw) <= 1232
    assert (plan.is_checked, plan.price_micro > 0) == (False, True), "the mint is implied, the offer stays"
    assert outcome.delivered == (True,) * 20
    assert [await network.balance(usdt, address) for address in PEOPLE[:20]] == [11 + n for n in range(20)]


async def test_ten_token_payments_with_new_accounts_fit_and_eleven_do_not(treasury, network, usdt) -> None:
    intent = treasury.payout(usdt, *((address, 10 + n) for n, address in enumerate(PEOPLE[:10])))
    plan, signed, outcome = await treasury.carry_out(intent)
    assert len(signed.raw) <= 1232
    assert sum(plan.creates) == 10
    assert outcome.delivered == (True,) * 10
    assert outcome.fee_units == 10 * wallets.ACCOUNT_RENT + fee_units(intent, replace(plan, rent_units=0))
    more = treasury.payout(usdt, *((address, 1) for address in PEOPLE[20:31]))
    with pytest.raises(CannotPlan, match="fewer together"):
        await treasury.sender.plan(more, Slot(1))


async def test_twenty_payments_in_coins_fit_into_one_transaction(treasury, network) -> None:
    intent = treasury.payout(coin(), *((address, 10**6 + n) for n, address in enumerate(PEOPLE[:20])))
    plan, signed, outcome = await treasury.carry_out(intent)
    assert len(signed.raw) <= 1232
    assert plan.price_micro > 0
    assert outcome.delivered == (True,) * 20
    assert [await network.balance(coin(), address) for address in PEOPLE[:20]] == [10**6 + n for n in range(20)]


async def test_six_orders_are_swept_at_once_and_their_rent_comes_back(treasury, network, usdt) -> None:
    owners = [await deposit(network, usdt, n, 100 + n) for n in range(6)]
    await network.finalize()
    before = await network.balance(coin(), HOT.address)
    intent = treasury.sweep(usdt, *((owner, 100 + n) for n, owner in enumerate(owners)))
    assert len(intent.payments) == treasury.sender.payments_max(usdt, Purpose.SWEEP)
    plan, signed, outcome = await treasury.carry_out(intent)
    assert len(signed.raw) <= 1232
    assert plan.closes == (True,) * 6
    assert outcome.delivered == (True,) * 6
    assert outcome.returned_units == 6 * wallets.ACCOUNT_RENT
    assert outcome.fee_units == fee_units(intent, plan)
    assert await network.balance(coin(), HOT.address) == before - outcome.fee_units + outcome.returned_units
    assert await network.balance(usdt, HOT.address) == 10**12 + sum(100 + n for n in range(6))
    assert not [o for o in owners if await network.balance(coin(), o.address)], "they never held any coin"


async def test_a_partial_sweep_leaves_the_account_open(treasury, network, usdt) -> None:
    owner = await deposit(network, usdt, 1, 100)
    await network.finalize()
    plan, _, outcome = await treasury.carry_out(treasury.sweep(usdt, (owner, 60)))
    assert (plan.closes, outcome.returned_units) == ((False,), 0)
    assert await network.balance(usdt, owner.address) == 40
    plan, _, outcome = await treasury.carry_out(treasury.sweep(usdt, (owner, 40)))
    assert (plan.closes, outcome.returned_units) == ((True,), wallets.ACCOUNT_RENT)


async def test_money_that_comes_between_plan_and_block_fails_the_sweep_and_takes_nothing_but_the_fee(
    treasury, network, usdt
) -> None:
    owner = await deposit(network, usdt, 1, 100)
    await network.finalize()
    intent = treasury.sweep(usdt, (owner, 100))
    plan, signed = await treasury.prepare(intent)
    await network.fund(owner.address, usdt, 1)
    await network.mine()
    await treasury.sender.broadcast(signed)
    await network.finalize()
    outcome = await treasury.sender.outcome(intent, plan, signed)
    assert (outcome.state, outcome.delivered, outcome.returned_units) == (FateState.FAILED, (False,), 0)
    assert outcome.fee_units == fee_units(intent, plan)
    assert await network.balance(usdt, owner.address) == 101
    _, _, outcome = await treasury.carry_out(treasury.sweep(usdt, (owner, 101)))
    assert outcome.delivered == (True,)


async def test_eight_orders_in_coins_are_swept_at_once(treasury, network) -> None:
    owners = [await deposit(network, coin(), n, 10**7 + n) for n in range(8)]
    await network.finalize()
    before = await network.balance(coin(), HOT.address)
    intent = treasury.sweep(coin(), *((owner, 10**7 + n) for n, owner in enumerate(owners)))
    assert len(intent.payments) == treasury.sender.payments_max(coin(), Purpose.SWEEP)
    plan, signed, outcome = await treasury.carry_out(intent)
    assert len(signed.raw) <= 1232
    assert outcome.fee_units == fee_units(intent, plan)
    swept = sum(10**7 + n for n in range(8))
    assert await network.balance(coin(), HOT.address) == before + swept - outcome.fee_units
    assert not [o for o in owners if await network.balance(coin(), o.address)]


async def test_a_sweep_to_a_hot_wallet_without_an_account_creates_it(network, chains, usdt) -> None:
    treasury = await Treasury.on(network, chains(assets=[usdt]))
    treasury = Treasury(network, treasury.chain, (coin(), usdt))
    owners = [await deposit(network, usdt, n, 50) for n in range(2)]
    await network.finalize()
    plan, _, outcome = await treasury.carry_out(treasury.sweep(usdt, *((owner, 50) for owner in owners)))
    assert (plan.creates, plan.closes) == ((True, False), (True, True))
    assert outcome.returned_units == 2 * wallets.ACCOUNT_RENT
    assert await network.balance(usdt, HOT.address) == 100


async def test_equal_payments_are_never_the_same_bytes(treasury, network) -> None:
    intents = [treasury.payout(coin(), (PEOPLE[0], 10**6)) for _ in range(3)]
    made = [await treasury.prepare(intent) for intent in intents]
    plans = [plan for plan, _ in made]
    assert len({plan.blockhash for plan in plans}) == 1, "prepared on one block"
    assert len({signed.txid for _, signed in made}) == 3
    for _, signed in made:
        await treasury.sender.broadcast(signed)
    await network.finalize()
    assert await network.balance(coin(), PEOPLE[0]) == 3 * 10**6
    again = await treasury.sender.plan(intents[0], Slot(1))
    assert again.compute_units == plans[0].compute_units, "the same slot has the same mark"


async def test_a_plan_survives_its_way_through_the_database(treasury, usdt) -> None:
    plan = await treasury.sender.plan(treasury.payout(usdt, (PEOPLE[0], 5)), Slot(3))
    assert msgspec.json.decode(msgspec.json.encode(plan), type=SolanaPlan) == plan


async def test_nothing_is_outbid(treasury) -> None:
    intent = treasury.payout(coin(), (PEOPLE[0], 10**6))
    plan, _ = await treasury.prepare(intent)
    with pytest.raises(CannotPlan, match="outbid"):
        await treasury.sender.plan(intent, Slot(1), plan)


async def test_no_durable_nonce_is_ever_used(treasury, usdt) -> None:
    for intent in (treasury.payout(coin(), (PEOPLE[0], 10**6)), treasury.payout(usdt, (PEOPLE[0], 5))):
        _, signed = await treasury.prepare(intent)
        message = VersionedTransaction.from_bytes(signed.raw).message
        programs = {str(message.account_keys[call.program_id_index]) for call in message.instructions}
        assert programs <= {
            "ComputeBudget111111111111111111111111111111",
            str(SYSTEM),
            str(wallets.TOKEN),
            str(wallets.ASSOCIATED),
        }
        for call in message.instructions:
            if message.account_keys[call.program_id_index] == SYSTEM:
                assert bytes(call.data)[:4] == b"\2\0\0\0", "a plain transfer, no advance of a nonce"


async def test_a_payout_goes_at_the_price_that_it_may_when_places_became_dearer_than_quoted(
    treasury, network, usdt
) -> None:
    """Its price was exactly that of the quote: a payout rested until the market came back below it."""
    network.nodes[0].priority_fees = [50_000] * 20
    wanted = treasury.payout(usdt, (PEOPLE[0], 5))
    quote = await treasury.sender.quote(wanted)
    intent = replace(wanted, fee_max_units=quote.units_max)
    assert (await treasury.sender.plan(intent, Slot(1023))).price_micro == 50_000, "the mark of a slot costs, too"
    network.nodes[0].priority_fees = [90_000] * 20
    assert (await treasury.sender.plan(intent, Slot(1))).price_micro == 90_000
    network.nodes[0].priority_fees = [900_000] * 20
    plan = await treasury.sender.plan(intent, Slot(1))
    assert 100_000 <= plan.price_micro < 900_000
    assert quote.units < fee_units(intent, plan) <= quote.units_max


async def test_the_fee_stays_within_the_intent_and_within_bounds(treasury, network, usdt) -> None:
    intent = treasury.payout(usdt, (PEOPLE[0], 5))
    fee = (await treasury.sender.quote(intent)).units
    assert (await treasury.sender.plan(replace(intent, fee_max_units=fee), Slot(0))).rent_units == wallets.ACCOUNT_RENT
    with pytest.raises(FeeTooHigh, match="lamports"):
        await treasury.sender.plan(replace(intent, fee_max_units=fee - 1), Slot(0))
    network.nodes[0].priority_fees = [10**12] * 20
    plan = await treasury.sender.plan(intent, Slot(0))
    assert plan.price_micro == 1_000_000, "NODE-10: an endpoint that names a thousandfold price is not followed"
    network.nodes[0].priority_fees = []
    assert (await treasury.sender.plan(intent, Slot(0))).price_micro == 1_000


def planted(owner: Pubkey, mint: Pubkey, *, frozen: bool = False) -> Account:
    state = TokenAccountState.Frozen if frozen else TokenAccountState.Initialized
    return Account(wallets.ACCOUNT_RENT, bytes(TokenAccount(mint, owner, 0, None, state, None, 0)), wallets.TOKEN)


async def test_PAY_18_only_wallets_are_paid(treasury, network, usdt) -> None:
    mint = mint_of(usdt)
    await network.fund(PEOPLE[0], usdt, 5)
    nonce, program_data = person(0x99), person(0x98)
    network.ledger.plant(nonce.pubkey(), Account(2_000_000, bytes(80), SYSTEM))
    network.ledger.plant(program_data.pubkey(), Account(2_000_000, b"", wallets.ASSOCIATED))
    await network.finalize()
    token_account = str(associated(Pubkey.from_string(PEOPLE[0]), mint))
    bad = {
        token_account: "token account",
        str(associated(Pubkey.from_string(PEOPLE[1]), mint)): "no key",  # off the curve and not there yet
        usdt.contract: "mint",
        str(wallets.TOKEN): "program",
        str(nonce.pubkey()): "program",
        str(program_data.pubkey()): "program",
        str(SYSTEM): "lost",
        INCINERATOR: "lost",
    }
    for target, reason in bad.items():
        for asset, units in ((usdt, 5), (coin(), 10**7)):
            with pytest.raises(CannotPlan, match=reason):
                await treasury.sender.plan(treasury.payout(asset, (target, units)), Slot(0))
            with pytest.raises(CannotPlan, match=target):
                await treasury.sender.quote(treasury.payout(asset, (PEOPLE[2], units), (target, units)))
    for asset, units in ((usdt, 5), (coin(), 10**7)):
        _, _, outcome = await treasury.carry_out(treasury.payout(asset, (PEOPLE[0], units)))
        assert outcome.delivered == (True,)


async def test_PAY_18_a_token_account_that_is_frozen_or_another_s_is_not_paid_into(treasury, network, usdt) -> None:
    mint = mint_of(usdt)
    frozen, taken = (Pubkey.from_string(address) for address in PEOPLE[:2])
    network.ledger.plant(associated(frozen, mint), planted(frozen, mint, frozen=True))
    network.ledger.plant(associated(taken, mint), planted(person(0xE7).pubkey(), mint))
    for target, reason in ((PEOPLE[0], "frozen"), (PEOPLE[1], "somebody else")):
        with pytest.raises(CannotPlan, match=reason):
            await treasury.sender.plan(treasury.payout(usdt, (target, 5)), Slot(0))


async def test_PAY_19_nobody_is_left_under_the_rent_exempt_minimum(treasury, network) -> None:
    with pytest.raises(CannotPlan, match=str(RENT)):
        await treasury.sender.plan(treasury.payout(coin(), (PEOPLE[0], RENT - 1)), Slot(0))
    assert (await treasury.carry_out(treasury.payout(coin(), (PEOPLE[0], RENT))))[2].delivered == (True,)
    assert (await treasury.carry_out(treasury.payout(coin(), (PEOPLE[0], 1))))[2].delivered == (True,)
    two = treasury.payout(coin(), (PEOPLE[1], RENT // 2), (PEOPLE[1], RENT // 2))
    assert (await treasury.carry_out(two))[2].delivered == (True, True)
    held = await network.balance(coin(), HOT.address)
    fee = (await treasury.sender.quote(treasury.payout(coin(), (PEOPLE[2], 10**7)))).units
    with pytest.raises(LacksGas) as lacking:
        await treasury.sender.plan(treasury.payout(coin(), (PEOPLE[2], held - fee - RENT + 1)), Slot(0))
    assert lacking.value.units == 1
    _, _, outcome = await treasury.carry_out(treasury.payout(coin(), (PEOPLE[2], held - outcome_room(fee))))
    assert outcome.delivered == (True,)
    assert await network.balance(coin(), HOT.address) >= RENT


def outcome_room(fee: int) -> int:
    return fee + RENT + 1_000


async def test_PAY_19_a_deposit_address_is_emptied_or_stays_alive(treasury, network) -> None:
    owner = await deposit(network, coin(), 1, 5 * RENT)
    await network.finalize()
    with pytest.raises(CannotPlan, match=owner.address):
        await treasury.sender.plan(treasury.sweep(coin(), (owner, 5 * RENT - 1)), Slot(0))
    with pytest.raises(CannotPlan, match=owner.address):
        await treasury.sender.plan(treasury.sweep(coin(), (owner, 5 * RENT + 1)), Slot(0))
    assert (await treasury.carry_out(treasury.sweep(coin(), (owner, 4 * RENT))))[2].delivered == (True,)
    assert (await treasury.carry_out(treasury.sweep(coin(), (owner, RENT))))[2].delivered == (True,)


async def test_money_that_is_not_there_is_not_planned(treasury, network, chains, usdt) -> None:
    with pytest.raises(CannotPlan, match="can move"):
        await treasury.sender.plan(treasury.payout(usdt, (PEOPLE[0], 10**12 + 1)), Slot(0))
    with pytest.raises(CannotPlan, match="can move 0"):
        await treasury.sender.plan(treasury.sweep(usdt, (wallet(7, KeyRole.DEPOSIT), 1)), Slot(0))
    account = associated(Pubkey.from_string(HOT.address), mint_of(usdt))
    await network.send([wallets.freeze(account, mint_of(usdt), FAUCET)], FAUCET)
    await network.finalize()
    with pytest.raises(CannotPlan, match="can move 0"):
        await treasury.sender.plan(treasury.payout(usdt, (PEOPLE[0], 5)), Slot(0))


async def test_what_solana_cannot_do_is_refused(treasury, usdt) -> None:
    pay = Payment(HOT, usdt.id, PEOPLE[0], "", 5)
    memo = Payment(HOT, usdt.id, PEOPLE[0], "42", 5)
    mixed = Payment(HOT, coin().id, PEOPLE[0], "", 10**7)
    foreign = Payment(HOT, "usdt-tron", PEOPLE[0], "", 5)
    for purpose, payments in (
        (Purpose.PAYOUT, [memo]),
        (Purpose.PAYOUT, [pay, mixed]),
        (Purpose.PAYOUT, [foreign]),
        (Purpose.PAYOUT, []),
        (Purpose.SETUP, [pay]),
        (Purpose.CANCEL, [pay]),
        (Purpose.CONSOLIDATION, [pay]),
    ):
        with pytest.raises(CannotPlan):
            await treasury.sender.plan(treasury.intent(purpose, payments), Slot(0))
        assert treasury.sender.payments_max(usdt, purpose) == (20 if purpose is Purpose.PAYOUT else 0)
    lane = await treasury.sender.lane(HOT)
    assert (lane.final_number, lane.next_number, lane.is_ready) == (0, 0, True)
    assert await treasury.sender.choose(treasury.payout(usdt, (PEOPLE[0], 5)), []) == ()


async def test_a_failing_simulation_is_told_before_anything_is_signed(treasury, network, usdt) -> None:
    """The issuer froze the source between reading and simulating; here the machine says so by itself."""
    owner = await deposit(network, usdt, 1, 100)
    await network.finalize()
    account = associated(Pubkey.from_string(owner.address), mint_of(usdt))
    network.ledger.vm.set_account(account, planted(Pubkey.from_string(owner.address), mint_of(usdt), frozen=True))
    with pytest.raises(CannotPlan, match="it would fail"):
        await treasury.sender.plan(treasury.sweep(usdt, (owner, 100)), Slot(0))


async def test_PAY_05_the_same_bytes_may_be_sent_for_ever(treasury, network) -> None:
    intent = treasury.payout(coin(), (PEOPLE[0], 10**7))
    plan, signed = await treasury.prepare(intent)
    for _ in range(3):
        assert (await treasury.sender.broadcast(signed)).sent is Sent.ACCEPTED
    await network.mine()
    assert (await treasury.sender.broadcast(signed)).sent is Sent.ACCEPTED
    await network.finalize()
    await treasury.sender.broadcast(signed)
    await network.finalize()
    assert await network.balance(coin(), PEOPLE[0]) == 10**7
    assert (await treasury.sender.outcome(intent, plan, signed)).delivered == (True,)
