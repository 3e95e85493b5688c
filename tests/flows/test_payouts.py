"""Payouts from the request to the callback, on simulated networks of all families."""

from datetime import timedelta

import pytest
from tests.flows.conftest import Start
from tests.flows.paying import STRANGERS, Cashier
from tests.support.clock import ManualClock

from bitlinkpay.chains.address import show_address
from bitlinkpay.core.errors import Problem
from bitlinkpay.payouts.model import BalanceTooLow, PayoutExistsDifferent, PayoutKind, PayoutTooLate
from bitlinkpay.signer.keyring import KeyRing

USDT = "usdt-tron"
GAS = {
    "tron": "trx-tron",
    "ton": "ton-ton",
    "ethereum": "eth-ethereum",
    "solana": "sol-solana",
    "bitcoin": "btc-bitcoin",
}


@pytest.fixture
async def cashier(start: Start, ring: KeyRing) -> Cashier:
    world = await start()
    return Cashier(world, ring, ManualClock())


async def earn(cashier: Cashier, asset_id: str, amount: str) -> None:
    """Give the merchant a balance the only way there is: an order is paid."""
    order = await cashier.world.open_order(asset_id, amount)
    await cashier.world.pay_and_finalize(order)


@pytest.mark.parametrize("asset_id", ["usdt-tron", "usdt-ton", "usdt-ethereum", "usdt-solana", "btc-bitcoin"])
async def test_a_payout_goes_out_once_and_the_books_follow_the_chain(cashier: Cashier, asset_id: str) -> None:
    world = cashier.world
    network = world.registry.assets[asset_id].network
    await earn(cashier, asset_id, "100")
    await cashier.fund(asset_id, "40")
    if GAS[network] != asset_id:
        await cashier.fund(GAS[network], "50")
    before = (await world.balance(asset_id)).available_units

    payout = await cashier.ask(asset_id, "20")

    assert (await world.balance(asset_id)).reserved_units == payout.reserved_units
    await cashier.finish(network)
    done = await cashier.show(payout)
    assert done.state == "completed"
    assert done.txid
    assert (await world.balance(asset_id)).available_units == before - payout.reserved_units
    assert (await world.balance(asset_id)).reserved_units == 0
    assert await cashier.received(payout.target, asset_id) == payout.units
    (callback,) = [body for body in world.inbox.bodies if body["order_id"] == payout.payout_id.hex]
    assert (callback["status"], callback["amount"], callback["hash"]) == (4, "20", done.txid)
    assert callback["gas_fee"] == callback["service_fee"]


async def test_PAY_04_the_same_request_again_is_one_payout(cashier: Cashier) -> None:
    await earn(cashier, USDT, "100")
    first = await cashier.ask(USDT, "20", source_id="w-1")
    again = await cashier.ask(USDT, "20", source_id="w-1")
    assert again == first
    with pytest.raises(PayoutExistsDifferent):
        await cashier.ask(USDT, "21", source_id="w-1")
    assert (await cashier.world.balance()).reserved_units == first.reserved_units


async def test_a_refused_request_uses_up_no_source_id(cashier: Cashier) -> None:
    await earn(cashier, USDT, "100")
    with pytest.raises(BalanceTooLow, match=r"balance holds 99\.7"):
        await cashier.ask(USDT, "5000", source_id="w-1")
    payout = await cashier.ask(USDT, "20", source_id="w-1")
    assert payout.units == 20_000_000


async def test_a_payout_can_be_called_back_until_it_is_taken_up(cashier: Cashier) -> None:
    world = cashier.world
    await earn(cashier, USDT, "100")
    payout = await cashier.ask(USDT, "20")
    before = (await world.balance()).available_units
    cancelled = await world.database.unit(
        lambda tx: cashier.payouts().cancel(tx, payout.merchant_id, PayoutKind.PAYOUT, payout.source_id)
    )
    assert cancelled.state == "cancelled"
    assert (await world.balance()).available_units == before + payout.reserved_units
    await world.settle()
    assert [body["status"] for body in world.inbox.bodies if body["order_id"] == payout.payout_id.hex] == [8]


async def test_PAY_44_a_signed_payout_cannot_be_called_back(cashier: Cashier) -> None:
    world = cashier.world
    await earn(cashier, USDT, "100")
    await cashier.fund(USDT, "1000")
    await cashier.fund("trx-tron", "50")
    payout = await cashier.ask(USDT, "20")
    await cashier.run("tron")
    with pytest.raises(PayoutTooLate):
        await world.database.unit(
            lambda tx: cashier.payouts().cancel(tx, payout.merchant_id, PayoutKind.PAYOUT, payout.source_id)
        )
    await cashier.finish("tron")
    assert await cashier.state(payout) == "completed"


async def test_PAY_31_an_empty_wallet_keeps_the_queue_and_goes_on_when_it_is_filled(cashier: Cashier) -> None:
    await earn(cashier, USDT, "100")
    await cashier.fund("trx-tron", "50")
    payout = await cashier.ask(USDT, "20")
    await cashier.finish("tron")
    assert await cashier.state(payout) == "approved"
    await cashier.fund(USDT, "1000")
    await cashier.pass_time(timedelta(minutes=2))
    await cashier.finish("tron")
    assert await cashier.state(payout) == "completed"


async def test_PAY_32_without_gas_a_token_payout_waits(cashier: Cashier) -> None:
    await earn(cashier, USDT, "100")
    await cashier.fund(USDT, "1000")
    payout = await cashier.ask(USDT, "20")
    await cashier.finish("tron")
    assert await cashier.state(payout) == "approved"
    assert await cashier.transactions("tron") == []
    await cashier.fund("trx-tron", "50")
    await cashier.pass_time(timedelta(minutes=2))
    await cashier.finish("tron")
    assert await cashier.state(payout) == "completed"


async def test_a_batch_carries_many_payments_in_one_transaction(cashier: Cashier) -> None:
    world = cashier.world
    await earn(cashier, "usdt-ethereum", "1000")
    await cashier.fund("usdt-ethereum", "1000")
    await cashier.fund("eth-ethereum", "5")
    payouts = [await cashier.ask("usdt-ethereum", "1") for _ in range(60)]
    await cashier.finish("ethereum")
    assert [await cashier.state(payout) for payout in payouts] == ["completed"] * 60
    assert await cashier.transactions("ethereum") == [(0, "final"), (1, "final")]
    assert await cashier.received(STRANGERS["evm"], "usdt-ethereum") == 60 * 10**6
    assert await world.account("expense:gas", "eth-ethereum") > 0


async def test_PAY_27_addresses_that_must_not_be_paid_are_refused(cashier: Cashier) -> None:
    await earn(cashier, "usdt-ethereum", "100")
    hot = cashier.hot("ethereum").address
    for target in (
        "0x0000000000000000000000000000000000000000",
        "0x0000000000000000000000000000000000000001",
        "0xdAC17F958D2ee523a2206206994597C13D831ec7",
        hot,
        "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL",
        "0x52908400098527886E0F7030069857D2E4169Ee7",
    ):
        with pytest.raises(Problem, match="address"):
            await cashier.ask("usdt-ethereum", "5", target=target)
    cashier.world.lists.listed.add(STRANGERS["evm"])
    with pytest.raises(Problem, match="sanctions"):
        await cashier.ask("usdt-ethereum", "5")


@pytest.mark.parametrize("asset_id", ["usdt-tron", "usdt-ton", "btc-bitcoin"])
async def test_DEP_20_a_payout_to_another_merchants_order_pays_it_and_is_screened(
    cashier: Cashier, asset_id: str
) -> None:
    """Both legs stand in the books: the payer's payout is completed, the payee's order is paid, our wallets are even."""
    world = cashier.world
    network = world.registry.assets[asset_id].network
    await earn(cashier, asset_id, "100")
    await cashier.fund(asset_id, "40")
    if GAS[network] != asset_id:
        await cashier.fund(GAS[network], "50")
    payee = await world.another()
    order = await world.open_order(asset_id, "20", merchant=payee)
    asked = world.lists.asked
    address = show_address(world.registry.networks[network], order.address)
    payout = await cashier.ask(asset_id, "20", target=address, tag=order.tag if network == "ton" else "")
    await cashier.finish(network)
    await cashier.finish(network)
    assert await cashier.state(payout) == "completed"
    assert (await world.state(order), await world.states(order)) == ("paid", [("credited", "")])
    assert (await world.balance(asset_id, payee)).available_units == order.units - order.units * 3 // 1000
    assert world.lists.asked >= asked + 3  # before the reserve, before the signature, and when it arrived
    assert world.inbox.statuses(order) == [8]


@pytest.mark.parametrize(("asset_id", "paid_id"), [("usdt-ton", "usdt-ton"), ("ton-ton", "usdt-ton")])
async def test_a_payment_to_the_wallet_that_just_paid_waits_until_that_is_booked(
    cashier: Cashier, asset_id: str, paid_id: str
) -> None:
    """On TON one wallet takes and pays: the chain shows what left before the books do, whoever looks first."""
    world = cashier.world
    await earn(cashier, "usdt-ton", "100")
    await cashier.fund("usdt-ton", "40")
    await cashier.fund("ton-ton", "50")
    payout = await cashier.ask(paid_id, "20")
    order = await world.open_order(asset_id, "5")
    await cashier.run("ton")
    await world.broadcast(world.payment(order))
    await world.mine("ton", world.registry.networks["ton"].sandbox_lag + 1)
    await world.run("ton")
    assert (await cashier.state(payout), await world.states(order)) == ("broadcast", [("final", "")])
    await cashier.finish("ton")
    assert await cashier.state(payout) == "completed"
    assert (await world.state(order), await world.states(order)) == ("paid", [("credited", "")])


async def test_DEP_20_what_a_listed_wallet_of_ours_sends_is_held_like_anybodys(cashier: Cashier) -> None:
    world = cashier.world
    await earn(cashier, USDT, "100")
    await cashier.fund(USDT, "40")
    await cashier.fund("trx-tron", "50")
    order = await world.open_order(USDT, "20", merchant=await world.another())
    await cashier.ask(USDT, "20", target=order.address)
    world.lists.listed.add(cashier.hot("tron").address)
    await cashier.finish("tron")
    await cashier.finish("tron")
    assert (await world.state(order), await world.states(order)) == ("created", [("quarantined", "")])
