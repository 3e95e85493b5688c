"""Orders in BTC are paid, and withdrawals in BTC paid out, by a running deployment on Bitcoin Core's own validation."""

from dataclasses import dataclass
from decimal import Decimal

import pytest
import pytest_asyncio
from tests.chains.bitcoin.btcd import PASSWORD
from tests.chains.bitcoin.keys import Lock, TestKey
from tests.chains.bitcoin.network import GENESIS, BitcoinNetwork
from tests.chains.bitcoin.serialize import TxOut
from tests.flows.bitcoin import ROWS
from tests.support.live import Live, eventually, kill

from bitlinkpay.chains.bitcoin.script import address_of, script_of
from bitlinkpay.chains.codec.bitcoin import TEST
from bitlinkpay.wm.bodies import Withdraw

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

CHAIN, COIN = 8, 6
POLICY = """
mode = "live"
registry_files = [{registry}]
purposes = ["payout"]

[caps]
btc-bitcoin = {{ payment = "1", hour = "10", day = "50" }}

[fees]
bitcoin = {{ most = "0.01", day = "1" }}
"""


@dataclass
class BitcoinDevnet:
    """The test network under the registry's own name."""

    net: BitcoinNetwork

    def row(self) -> str:
        return ROWS.format(genesis=GENESIS, url=self.net.url)


@dataclass
class World:
    live: Live
    net: BitcoinNetwork

    async def order(self, source_id: str) -> tuple[str, int]:
        """Create an order of 7,200 CNY; return where and how much to pay."""
        order = await self.live.order(source_id, coin="BTC", fiat="7200", chain_id=CHAIN)
        return (await self.live.detail(source_id))["address"], int(order.amount * 10**8)

    async def settled(self, source_id: str) -> object:
        """Mine until a withdrawal has its end."""

        async def look() -> object:
            await self.net.mine()
            async with self.live.client() as client:
                return await client.withdraw_detail(source_id)

        return await eventually(look, lambda seen: seen.status != 0, seconds=150)  # a lane looks again in a minute


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(open_module_folder):
    async with BitcoinNetwork.start("kernel") as net:
        async with Live.start(open_module_folder / "data", [BitcoinDevnet(net)], policy=POLICY) as live:
            await live.command("merchant", "set-policy", "Shop", "--payout-networks", "127.0.0.0/8")
            yield World(live, net)


async def test_an_order_is_paid_at_its_third_confirmation(world: World) -> None:
    live, net = world.live, world.net
    address, units = await world.order("btc-1")
    assert address.startswith("tb1q")
    txid = await net.pay(address, units)
    await net.mine()
    await live.until("btc-1", state="confirming")
    await net.mine()
    tip = await net.height()

    async def cursor() -> int:
        return (await live.command("chains", "status"))[0]["cursor"]

    await eventually(cursor, lambda height: height == tip)
    assert (await live.shown("btc-1"))["state"] == "confirming", "two confirmations are not three"
    await net.mine()
    await live.until("btc-1", state="paid")
    (callback,) = await live.callback("btc-1")
    assert (callback["status"], callback["hash"]) == (8, txid)
    assert int(Decimal(callback["amount"]) * 10**8) == units
    await live.books_hold()


async def test_a_reorganisation_takes_the_payment_back_and_another_one_pays(world: World) -> None:
    live, net = world.live, world.net
    address, units = await world.order("reorg-1")
    lost = await net.build_payment(TxOut(units, script_of(address, TEST)))
    await net.mine(txs=[lost])
    await live.until("reorg-1", state="confirming")
    await net.reorg(1)
    await net.drop_pending()
    await live.until("reorg-1", state="created", deposits=[])
    await net.pay(address, units)
    await net.mine(3)
    await live.until("reorg-1", state="paid")
    await live.callback("reorg-1")
    await live.books_hold()


@pytest.mark.parametrize("confirmations", [0, 1, 2])
async def test_killed_at_any_confirmation_it_credits_once_after_the_restart(world: World, confirmations: int) -> None:
    live, net = world.live, world.net
    source_id = f"kill-{confirmations}"
    address, units = await world.order(source_id)
    await net.pay(address, units)
    await net.mine(confirmations)
    kill(live.pids()["worker"])
    await net.mine(3)
    await live.until(source_id, state="paid")
    assert [d["state"] for d in (await live.shown(source_id))["deposits"]] == ["credited"]
    assert len(await live.callback(source_id)) == 1
    await live.books_hold()


async def test_withdrawals_leave_together_and_arrive_once(world: World) -> None:
    live, net = world.live, world.net
    (hot,) = [row for row in await live.command("treasury", "status") if row["asset"] == "btc-bitcoin"]
    await net.pay(hot["wallet"], 15_000_000)
    await net.mine(3)

    async def unclaimed() -> list[dict]:
        return await live.command("treasury", "unclaimed")

    for row in await eventually(unclaimed, lambda rows: len(rows) == 1):
        await live.command("treasury", "claim", row["id"])
    address, _ = await world.order("fill-1")
    await net.pay(address, (await _asked(live, "fill-1")))
    await net.mine(3)
    await live.until("fill-1", state="paid")
    targets = [address_of(TestKey.of("payee").script(lock), TEST) for lock in (Lock.P2WPKH, Lock.P2TR, Lock.P2PKH)]
    for n, target in enumerate(targets):
        async with live.client() as client:
            await client.withdraw(Withdraw(f"out-{n}", CHAIN, COIN, target, Decimal("0.0005")))
    done = [await world.settled(f"out-{n}") for n in range(3)]
    assert [seen.status for seen in done] == [4, 4, 4]
    assert [await net.balance("btc", target) for target in targets] == [50_000] * 3
    await live.books_hold()
    for row in await live.command("treasury", "status"):
        assert row["books"] == row["chain"], row


async def _asked(live: Live, source_id: str) -> int:
    return int(Decimal((await live.detail(source_id))["amount"]) * 10**8)


async def test_an_operator_sees_the_endpoint_and_nobody_its_password(world: World) -> None:
    (status,) = await world.live.command("chains", "status")
    (endpoint,) = status["endpoints"]
    assert (endpoint["ok"], endpoint["url"]) == (True, "http://" + world.net.url.partition("@")[2].rstrip("/"))
    log = (world.live.folder / "serve.log").read_text()
    for secret in (PASSWORD, "p%40ss"):
        assert secret not in str(status)
        assert secret not in log


async def test_books_and_chain_agree_to_the_unit_in_the_end(world) -> None:
    await world.live.chain_agrees()
