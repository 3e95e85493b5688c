"""Solana switched on by configuration alone: orders paid on the real virtual machine, through forks, odd money and crashes."""

import asyncio
import contextlib
import json
import signal
from dataclasses import dataclass
from decimal import Decimal

import pytest
import pytest_asyncio
from solders.pubkey import Pubkey
from tests.chains.solana import wallets
from tests.chains.solana.ledger import FAUCET
from tests.chains.solana.network import SolanaNetwork, coin
from tests.chains.solana.test_arrivals import MALLORY, mint_of, seized
from tests.chains.solana.wallets import associated, person
from tests.support.live import Live, eventually, kill

from bitlinkpay.core.assets import Asset

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(400),
]

ROW = """
[networks.solana]
genesis = "{genesis}"
final_after_s = 2
endpoints = {endpoints}
quorum = 2

[assets.sol-solana]
payable = true

[assets.usdt-solana]
symbol = "USDT"
network = "solana"
standard = "SPL"
contract = "{mint}"
decimals = 6
payable_decimals = 6
wm_coin_id = 1
minimum = "0.01"
sanity = "10000000"
"""
CHAIN_ID = 7
USDT = 10_000_000  # 72 CNY at 7.2, base units


@dataclass(frozen=True)
class SolanaDevnet:
    genesis: str
    endpoints: list[str]
    mint: str

    def row(self) -> str:
        return ROW.format(genesis=self.genesis, endpoints=json.dumps(self.endpoints), mint=self.mint)


@dataclass
class World:
    live: Live
    network: SolanaNetwork
    usdt: Asset

    async def address(self, source_id: str) -> str:
        return (await self.live.detail(source_id))["address"]

    async def pay(self, source_id: str, units: int = USDT) -> str:
        txid = await self.network.fund(await self.address(source_id), self.usdt, units)
        await self.network.mine()
        return txid

    async def read_on(self) -> None:
        """Make blocks and wait until the deployment has read them all."""
        await self.network.finalize()
        final = self.network.ledger.final.slot

        async def cursor() -> int:
            (status,) = await self.live.command("chains", "status")
            return status["cursor"]

        await eventually(cursor, lambda height: height >= final)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(open_module_folder):
    async with SolanaNetwork.start(nodes=2) as network:
        usdt = await network.token()
        await network.fund(str(MALLORY.pubkey()), coin(), 10**10)
        await network.fund(str(MALLORY.pubkey()), usdt, 10**9)
        await network.finalize()
        devnet = SolanaDevnet(network.ledger.genesis_hash, network.urls, usdt.contract)
        async with Live.start(open_module_folder / "data", [devnet]) as live:
            yield World(live, network, usdt)


async def test_SOL_02_a_token_pays_an_order_once_it_is_final_and_not_before(world):
    live = world.live
    order = await live.order("usdt-1", chain_id=CHAIN_ID)
    assert order.amount == Decimal(10)
    txid = await world.pay("usdt-1")
    await world.network.mine(2)
    await asyncio.sleep(2)
    assert (await live.shown("usdt-1"))["state"] == "created", "it stands in a block that is not final"
    await world.network.finalize()
    await live.until("usdt-1", state="paid")
    (callback,) = await live.callback("usdt-1")
    assert (callback["hash"], Decimal(callback["amount"])) == (txid, 10)
    assert (await live.balances())["usdt-solana"]["available"] == "9.97"
    (status,) = await live.command("chains", "status")
    assert (status["network"], status["error"], status["on_hold"]) == ("solana", "", [])
    assert [endpoint["ok"] for endpoint in status["endpoints"]] == [True, True]
    await live.books_hold()


async def test_coins_pay_an_order(world):
    live = world.live
    await live.order("sol-1", coin="SOL", chain_id=CHAIN_ID)
    due = int(Decimal((await live.detail("sol-1"))["amount"]) * 10**9)
    await world.network.fund(await world.address("sol-1"), coin(), due)
    await world.network.finalize()
    await live.until("sol-1", state="paid")
    (callback,) = await live.callback("sol-1")
    assert int(Decimal(callback["amount"]) * 10**9) == due
    await live.books_hold()


async def test_a_payment_on_a_dead_fork_was_never_there_and_another_one_pays(world):
    live = world.live
    await live.order("fork-1", chain_id=CHAIN_ID)
    await world.pay("fork-1")
    await world.network.mine()
    await world.network.reorg(2)
    await world.read_on()
    assert (await live.shown("fork-1"))["deposits"] == []
    await world.pay("fork-1")
    await world.network.mine()
    await world.network.reorg(2, keep=True)
    await world.read_on()
    seen = await live.until("fork-1", state="paid")
    assert [d["state"] for d in seen["deposits"]] == ["credited"]
    await live.books_hold()


async def test_short_double_and_wrong_money_is_put_aside(world):
    live = world.live
    await live.order("odd-1", chain_id=CHAIN_ID)
    fake = await world.network.token(symbol="USDT")
    await world.network.fund(await world.address("odd-1"), fake, USDT)
    await world.network.fund(await world.address("odd-1"), coin(), 10**9)
    await world.pay("odd-1", USDT - 1)
    await world.read_on()
    seen = await live.until("odd-1", labels=["short", "wrong_asset"])
    assert seen["state"] == "created"
    await world.pay("odd-1")
    await world.pay("odd-1", USDT)
    await world.read_on()
    seen = await live.until("odd-1", state="paid")
    labels = sorted(d["label"] for d in seen["deposits"])
    assert labels == ["", "double", "short", "wrong_asset"], "the fake token is nowhere"
    await live.books_hold()


async def test_SOL_04_an_account_that_was_handed_over_pays_no_order(world):
    live = world.live
    await live.order("handed-1", chain_id=CHAIN_ID)
    owner = Pubkey.from_string(await world.address("handed-1"))
    account = person(0x51)
    steps = seized(world.usdt, account, USDT, owner)
    await world.network.send(steps, MALLORY, account)
    await world.read_on()
    seen = await live.until("handed-1", labels=["system"])
    assert (seen["state"], [d["state"] for d in seen["deposits"]]) == ("created", ["unassigned"])
    await world.pay("handed-1")
    await world.read_on()
    await live.until("handed-1", state="paid")
    await live.books_hold()


async def test_SOL_15_money_that_the_issuer_has_frozen_is_held(world):
    live = world.live
    for name in ("frozen-1", "frozen-2"):
        await live.order(name, chain_id=CHAIN_ID)
        await world.pay(name)
    owner = Pubkey.from_string(await world.address("frozen-1"))
    account = associated(owner, mint_of(world.usdt))
    await world.network.send([wallets.freeze(account, mint_of(world.usdt), FAUCET)], FAUCET)
    await world.network.mine()
    await world.network.finalize()
    await live.until("frozen-2", state="paid")
    seen = await live.until("frozen-1", labels=["quarantined"])
    assert [d["state"] for d in seen["deposits"]] == ["quarantined"]
    await live.books_hold()


async def test_a_worker_that_is_killed_again_and_again_finds_each_payment_once(world):
    live = world.live
    names = [f"killed-{n}" for n in range(5)]
    for name in names:
        await live.order(name, chain_id=CHAIN_ID)
        await world.pay(name)
        await world.network.finalize()
        with contextlib.suppress(KeyError):
            kill(live.pids()["worker"])
        await asyncio.sleep(0.5)
    for name in names:
        seen = await live.until(name, state="paid")
        assert [d["state"] for d in seen["deposits"]] == ["credited"]
    await live.books_hold()


async def test_a_restart_in_the_middle_and_a_second_look_find_nothing_twice(world):
    live = world.live
    await live.order("restart-1", chain_id=CHAIN_ID)
    await world.pay("restart-1")
    live.server.send_signal(signal.SIGTERM)
    await asyncio.to_thread(live.server.wait, 30)
    await world.network.mine(40)
    await live.serve()
    await live.until("restart-1", state="paid")
    live.server.send_signal(signal.SIGTERM)
    await asyncio.to_thread(live.server.wait, 30)
    await live.serve()
    await world.read_on()
    assert [d["state"] for d in (await live.shown("restart-1"))["deposits"]] == ["credited"]
    assert len([got for got in live.receiver.got if got["source_id"] == "restart-1"]) == 1
    await live.books_hold()


async def test_SOL_15_what_the_issuer_has_frozen_is_the_one_difference_between_books_and_chain(world):
    """It stands there and can never be paid out: missing, until a person has decided about it."""
    live = world.live
    await world.network.mine()
    await world.network.finalize()

    async def look() -> list[dict]:
        await live.command("reconcile", "run", code=1)
        await world.network.mine()
        await world.network.finalize()
        return await live.command("reconcile", "show", code=1)

    (found,) = await eventually(look, lambda rows: [row["state"] for row in rows] == ["open"])
    assert (found["asset"], found["place"], found["chain"]) == ("usdt-solana", await world.address("frozen-1"), "0")
    (stop,) = await live.command("payout", "stops")
    assert (stop["subject"], found["id"] in stop["reason"]) == ("usdt-solana", True)
    await live.command("reconcile", "resolve", found["id"], "--reason", "frozen by the issuer", "--book")
    assert await live.command("payout", "stops") == []
    await live.books_hold()
    await live.chain_agrees()
