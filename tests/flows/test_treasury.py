"""The company's own money: who may claim what, and what the books say stands where."""

import asyncio

import pytest
from tests.flows.conftest import Start
from tests.flows.paying import Cashier
from tests.flows.test_payouts import earn
from tests.support.clock import ManualClock

from bitlinkpay.core.errors import NotFound
from bitlinkpay.core.ids import DepositId, new_uuid7
from bitlinkpay.deposits.model import Deposit
from bitlinkpay.sandbox.model import Payment
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.treasury import funding, store
from bitlinkpay.treasury.funding import NotClaimable
from bitlinkpay.treasury.store import Held

ASSET, NETWORK, GAS = "usdt-ethereum", "ethereum", "eth-ethereum"
UNIT = 10**6


@pytest.fixture
async def cashier(start: Start, ring: KeyRing) -> Cashier:
    return Cashier(await start(), ring, ManualClock())


async def arrive(cashier: Cashier, asset_id: str, units: int, target: str = "") -> DepositId:
    """Let money come straight to the hot wallet and become final; nobody claims it."""
    world = cashier.world
    asset = world.registry.assets[asset_id]
    await world.watch(asset.network)
    (txid,) = await world.broadcast(Payment(asset, target or cashier.hot(asset.network).address, units))
    await world.finalize(asset.network)
    ((found,),) = await world.rows("select deposit_id from deposits where txid = $1", txid)
    return DepositId(found)  # type: ignore[arg-type]


async def claim(cashier: Cashier, deposit_id: DepositId, sender: str = "") -> Deposit:
    world = cashier.world
    return await world.database.unit(
        lambda tx: funding.claim(tx, world.registry, deposit_id, sender=sender, by="operator", now=world.clock.now())
    )


async def sender_of(cashier: Cashier, deposit_id: DepositId) -> str:
    ((source,),) = await cashier.world.rows("select source from deposits where deposit_id = $1", deposit_id)
    return str(source)


async def unclaimed(cashier: Cashier, limit: int = 100) -> list[tuple[str, str, str, int]]:
    async with cashier.world.database.reader() as tx:
        found = await store.list_unclaimed(tx, limit)
    assert all(source for _, _, source, _, _ in found)
    return [(deposit_id, asset, wallet, units) for deposit_id, asset, _, wallet, units in found]


async def held(cashier: Cashier, *addresses: str) -> list[Held]:
    async with cashier.world.database.reader() as tx:
        return await store.list_custody(tx, addresses)


@pytest.mark.parametrize(
    ("asset_id", "kind"),
    [("usdt-ethereum", "hot"), ("usdt-tron", "hot"), ("usdt-ton", "deposits"), ("btc-bitcoin", "hot")],
)
async def test_claimed_money_is_the_companys_equity_and_stands_in_the_wallet(
    cashier: Cashier, asset_id: str, kind: str
) -> None:
    world = cashier.world
    network = world.registry.assets[asset_id].network
    wallet = cashier.hot(network).address
    deposit_id = await arrive(cashier, asset_id, 5 * UNIT)
    assert await world.account("equity", asset_id) == 0
    assert await world.account(f"platform:unattributed:{deposit_id.hex}", asset_id) == 5 * UNIT
    claimed = await claim(cashier, deposit_id, await sender_of(cashier, deposit_id))
    assert claimed.state == "claimed"
    assert await world.account("equity", asset_id) == 5 * UNIT
    assert await world.account(f"platform:unattributed:{deposit_id.hex}", asset_id) == 0
    assert await held(cashier, wallet) == [Held(f"custody:{kind}:{wallet}", asset_id, 5 * UNIT, 0)]
    await world.settle()


@pytest.mark.parametrize("asset_id", ["usdt-ton", "ton-ton"])
async def test_TON_07_a_payers_money_without_a_tag_is_not_claimed_unasked(cashier: Cashier, asset_id: str) -> None:
    deposit_id, other = await arrive(cashier, asset_id, UNIT), await arrive(cashier, asset_id, UNIT)
    for sender in ("", await sender_of(cashier, other)):
        with pytest.raises(NotClaimable, match="--sender"):
            await claim(cashier, deposit_id, sender)
    assert await cashier.world.account("equity", asset_id) == 0
    assert (await claim(cashier, deposit_id, await sender_of(cashier, deposit_id))).state == "claimed"


async def test_LED_09_money_is_claimed_once(cashier: Cashier) -> None:
    deposit_id = await arrive(cashier, ASSET, UNIT)
    await claim(cashier, deposit_id)
    with pytest.raises(NotClaimable, match="this money is claimed"):
        await claim(cashier, deposit_id)
    assert await cashier.world.account("equity", ASSET) == UNIT


async def test_of_two_who_claim_at_once_one_gets_it(cashier: Cashier) -> None:
    deposit_id = await arrive(cashier, ASSET, UNIT)
    answers = await asyncio.gather(*(claim(cashier, deposit_id) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(answer, Deposit) for answer in answers) == 1
    assert sum(isinstance(answer, NotClaimable) for answer in answers) == 3
    assert await cashier.world.account("equity", ASSET) == UNIT
    await cashier.world.check()


async def test_a_merchants_money_is_never_the_companys(cashier: Cashier) -> None:
    world = cashier.world
    order = await world.open_order(ASSET, "10")
    await world.pay_and_finalize(order)
    again = await world.pay_and_finalize(order, "3")  # a second payment, which somebody has to decide about
    for deposit in await world.deposits(order):
        with pytest.raises(NotClaimable, match="came to a merchant's address"):
            await claim(cashier, deposit.deposit_id)
    assert (await world.deposit(order, again)).merchant_id == world.merchant.merchant_id
    assert await world.account("equity", ASSET) == 0
    assert await unclaimed(cashier) == []


async def test_money_that_is_not_final_cannot_be_claimed(cashier: Cashier) -> None:
    world = cashier.world
    await world.watch(NETWORK)
    asset = world.registry.assets[ASSET]
    (txid,) = await world.broadcast(Payment(asset, cashier.hot(NETWORK).address, UNIT))
    await world.mine(NETWORK, 1)
    await world.run()
    ((found,),) = await world.rows("select deposit_id from deposits where txid = $1", txid)
    with pytest.raises(NotClaimable, match="this money is seen: only final money"):
        await claim(cashier, DepositId(found))  # type: ignore[arg-type]
    await world.finalize(NETWORK)
    assert (await claim(cashier, DepositId(found))).state == "claimed"  # type: ignore[arg-type]


async def test_nothing_is_claimed_that_never_came(cashier: Cashier) -> None:
    with pytest.raises(NotFound, match="no deposit"):
        await claim(cashier, DepositId(new_uuid7()))


async def test_unclaimed_money_is_listed_the_newest_first_until_it_is_claimed(cashier: Cashier) -> None:
    wallet = cashier.hot(NETWORK).address
    made = [await arrive(cashier, ASSET, n * UNIT) for n in (1, 2, 3)]
    listed = [(str(one), ASSET, wallet, n * UNIT) for n, one in enumerate(made, 1)]
    assert await unclaimed(cashier) == listed[::-1]
    assert await unclaimed(cashier, 2) == [listed[2], listed[1]]
    await claim(cashier, made[1])
    assert await unclaimed(cashier) == [listed[2], listed[0]]
    for one in (made[0], made[2]):
        await claim(cashier, one)
    assert await unclaimed(cashier) == []
    assert await cashier.world.account("equity", ASSET) == 6 * UNIT


async def test_what_a_wallet_holds_is_told_with_what_is_promised(cashier: Cashier) -> None:
    await earn(cashier, ASSET, "100")
    await cashier.fund(ASSET, "50")
    await cashier.fund(GAS, "1")
    wallet = cashier.hot(NETWORK).address
    account = f"custody:hot:{wallet}"
    coins = Held(account, GAS, 10**18, 0)
    await cashier.ask(ASSET, "20")
    await cashier.ask(ASSET, "5")
    assert await held(cashier, wallet) == [coins, Held(account, ASSET, 50 * UNIT, 0)]  # queued is not promised yet
    await cashier.run(NETWORK)
    assert await held(cashier, wallet) == [coins, Held(account, ASSET, 50 * UNIT, 25 * UNIT)]
    await cashier.finish(NETWORK)
    coin, token = await held(cashier, wallet)
    assert token == Held(account, ASSET, 25 * UNIT, 0)
    assert coin.units == 10**18 - await cashier.world.account("expense:gas", GAS)
    assert await held(cashier) == []
    assert await held(cashier, "0x0000000000000000000000000000000000000001") == []
