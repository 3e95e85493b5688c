"""One merchant's money on a real node, from the first order to the last unit, through the shipped processes and doors alone.

An order is paid and swept, a part is withdrawn, the rest goes home by a schedule and by a threshold, the surplus goes
cold and comes back; one payment too many is refunded, and one payout reverts in its block. Each test goes on where the
one before stopped; in the end statement, books and chain agree to the unit.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

import pytest
import pytest_asyncio
from tests.nodes.anvil import Anvil, Contract
from tests.support.live import Devnet, Live, eventually
from tests.support.person import NO_REST, Person

from bitlinkpay.client.rest import RestClient, walk
from bitlinkpay.client.wm import WmRefused
from bitlinkpay.web.api.home_shapes import StatementQuery
from bitlinkpay.web.api.shapes import EntryQuery
from bitlinkpay.wm.bodies import Withdraw

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

T = TypeVar("T")
USDT, ETH = "usdt-ethereum", "eth-ethereum"
POLICY = """
mode = "live"
registry_files = [{{registry}}]
purposes = ["payout", "setup", "cancel", "sweep", "gas", "cold"]

[caps]
usdt-ethereum = {{{{ payment = "1000", hour = "5000", day = "5000" }}}}

[fees]
ethereum = {{{{ most = "0.5", day = "50" }}}}

[cold]
serial = 1
addresses = {{{{ usdt-ethereum = "{cold}" }}}}
"""
CUSTOMER, PAYER, HOME = (f"0x{number:040x}" for number in (0xABC001, 0xABC002, 0xABC003))
SUCCESS, FAILED = 4, 8
EPS = Decimal("0.000001")


@dataclass
class World:
    live: Live
    node: Anvil
    token: Contract
    cold: str
    person: Person
    told: dict[str, int] = field(default_factory=dict)  # by source id, the status that the merchant has to hear

    async def hot(self, asset: str = USDT) -> dict:
        rows = await self.live.command("treasury", "status")
        return next(row for row in rows if (row["asset"], row["kind"]) == (asset, "hot"))

    async def held(self, address: str) -> Decimal:
        return Decimal(str(await self.token.view("balanceOf(address)", address))) * EPS

    async def send(self, target: str, amount: str, *, sender: str = "") -> str:
        """Pay somebody tokens, in a block that becomes final."""
        txid = await self.token.send("transfer(address,uint256)", target, int(Decimal(amount) / EPS), sender=sender)
        await self.node.mine(5)
        return txid

    async def claim(self, count: int, *words: str) -> None:
        """Claim what came to the hot wallet."""

        async def unclaimed() -> list[dict]:
            return await self.live.command("treasury", "unclaimed")

        for row in await eventually(unclaimed, lambda rows: len(rows) == count):
            await self.live.command("treasury", "claim", row["id"], *words)

    async def withdraw(self, source_id: str, amount: str) -> None:
        async with self.live.client() as client:
            await client.withdraw(Withdraw(source_id, 3, 1, CUSTOMER, Decimal(amount)))

    async def payout(self, source_id: str) -> dict:
        rows = await self.live.command("payout", "list", "--merchant", "Shop")
        return next(row for row in rows if row["source_id"] == source_id)

    async def ended(self, source_id: str, status: int = SUCCESS) -> dict:
        """Mine until the merchant is told that a payout of any kind has its end; return it."""
        (callback,) = await self.mined_until(lambda: self.heard(lambda one: one == source_id))
        done = await self.payout(source_id)
        assert (callback["status"], callback["hash"]) == (status, done["txid"])
        self.told[source_id] = status
        return done

    async def settled(self, cause: str) -> dict:
        """Mine until the merchant is told that the run of a rule came home; return it."""
        (callback,) = await self.mined_until(lambda: self.heard(lambda one: one not in self.told))
        (run,) = [
            row for row in await self.live.command("settlement", "list", "--merchant", "Shop") if row["cause"] == cause
        ]
        assert run["id"] == f"set_{callback['source_id']}"
        assert (callback["status"], callback["address"], run["state"]) == (SUCCESS, run["address"], "completed")
        assert Decimal(callback["amount"]) == Decimal(run["amount"])
        self.told[callback["source_id"]] = SUCCESS
        return run

    async def heard(self, wanted: Callable[[str], bool]) -> list[dict]:
        return [got for got in self.live.receiver.got if wanted(got["source_id"])]

    async def mined_until(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Mine until there is an answer."""

        async def look() -> T:
            await self.node.mine()
            return await ask()

        return await eventually(look, bool, seconds=120)

    async def available(self) -> Decimal:
        row = (await self.live.balances())[USDT]
        assert Decimal(row["reserved"]) == 0
        return Decimal(row["available"])

    async def moved(self, kind: str, source: str, left: str = "0") -> dict:
        """Mine until an address has no more than that left and the move is booked; return it."""

        async def look() -> list[dict]:
            if await self.held(source) != Decimal(left):
                return []
            moves = await self.live.command("treasury", "moves")
            assert moves
            return [moves[0]] if (moves[0]["kind"], moves[0]["state"]) == (kind, "done") else []

        return (await self.mined_until(look))[0]

    async def in_balance(self) -> None:
        """Every wallet's books say what the chain says, and every invariant holds."""
        for row in await self.live.command("treasury", "status"):
            assert row["books"] == row["chain"], row
        await self.live.books_hold()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(open_module_folder):
    async with Anvil.start(chain_id=31337) as node:
        token, cold = await node.deploy("DollarToken"), node.accounts[5]
        devnet = Devnet("ethereum", 31337, node.genesis, [node.url], token.address)
        policy = POLICY.format(cold=cold)
        async with Live.start(open_module_folder / "data", [devnet], policy=policy, config=NO_REST) as live:
            await live.command("merchant", "set-policy", "Shop", "--payout-networks", "127.0.0.0/8")
            world = World(live, node, token, cold, await Person.enrol(live))
            wallet = (await world.hot())["wallet"]
            await node.transfer(wallet, 2 * 10**18)
            await world.send(wallet, "500")
            await world.claim(2)
            yield world


async def test_an_order_is_paid_and_swept(world: World) -> None:
    order = await world.live.order("in-1", fiat="7200")
    address = (await world.live.detail("in-1"))["address"]
    await world.send(address, str(order.amount))
    await world.live.until("in-1", state="paid")
    (callback,) = await world.live.callback("in-1")
    assert (callback["status"], callback["amount"]) == (8, "1000")
    world.told["in-1"] = 8
    assert (await world.moved("sweep", address))["amount"] == "1000"
    assert await world.held(address) == 0
    assert ((await world.hot())["books"], await world.available()) == ("1500", Decimal(997))
    await world.in_balance()


async def test_a_part_is_withdrawn(world: World) -> None:
    await world.withdraw("out-1", "20")
    done = await world.ended("out-1")
    assert await world.held(CUSTOMER) == 20
    assert await world.available() == 997 - 20 - Decimal(done["fees"])
    await world.in_balance()


async def test_a_schedule_of_the_next_minute_is_put_into_force(world: World) -> None:
    await world.person.prove("bind", "ethereum", HOME)
    while True:
        due = datetime.now(UTC) + timedelta(minutes=1)
        words = ("--every", "daily", "--at", due.strftime("%H:%M"), "--reserve", "300")
        rule = await world.person.prove("add-rule", USDT, *words)
        if datetime.fromisoformat(rule["next_due_at"]) - due < timedelta(minutes=1):
            return
        await world.live.command("settlement", "remove-rule", "Shop", rule["id"])  # that minute began meanwhile


async def test_a_payment_too_many_is_refunded_to_the_address_that_the_merchant_confirmed(world: World) -> None:
    address = (await world.live.detail("in-1"))["address"]
    await world.send(address, "30")

    async def unassigned() -> list[dict]:
        return await world.live.command("unassigned", "list")

    (odd,) = await eventually(unassigned, bool)
    asked = await world.live.command("unassigned", "refund", odd["id"], PAYER)
    assert asked["state"] == "in_review"
    await world.live.command("unassigned", "confirm", asked["id"], PAYER, environment={"LOGNAME": "another"})
    done = await world.ended(asked["source_id"])
    assert await world.held(PAYER) == Decimal(done["amount"]) == 30 - Decimal(done["fees"])
    assert (await world.moved("sweep", address))["amount"] == "30"


async def test_the_schedule_takes_home_all_but_its_reserve(world: World) -> None:
    run = await world.settled("schedule")
    assert await world.held(HOME) == Decimal(run["amount"])
    withdrawn = 20 + Decimal((await world.payout("out-1"))["fees"])
    taken = Decimal(run["amount"]) + Decimal(run["fee"]) + Decimal(run["network_fee"])
    assert (await world.available(), taken) == (300, 997 - withdrawn - 300)
    await world.in_balance()


async def test_a_threshold_takes_home_what_is_above_it(world: World) -> None:
    before = await world.held(HOME)
    await world.person.prove("add-rule", USDT, "--threshold", "250", "--reserve", "100")
    run = await world.settled("threshold")
    assert await world.held(HOME) - before == Decimal(run["amount"])
    assert await world.available() == 100
    await world.in_balance()


async def test_the_surplus_goes_cold(world: World) -> None:
    wallet = (await world.hot())["wallet"]
    before = await world.held(wallet)
    await world.live.command("treasury", "levels", USDT, "--floor", "5", "--target", "10", "--ceiling", "20")
    move = await world.moved("cold", wallet, "10")
    assert await world.held(world.cold) == Decimal(move["amount"]) == before - 10
    rows = await world.live.command("treasury", "status")
    assert next(row["books"] for row in rows if row["kind"] == "cold") == move["amount"]
    await world.in_balance()


async def test_an_empty_hot_wallet_pays_once_it_is_refilled_from_cold_storage(world: World) -> None:
    with pytest.raises(WmRefused, match="liquidity"):
        await world.withdraw("out-2", "50")
    await world.live.command("treasury", "levels", USDT, "--floor", "5", "--target", "500", "--ceiling", "500")
    refill = await world.live.command("treasury", "refill", USDT, "200")
    cold = await world.held(world.cold)
    await world.send((await world.hot())["wallet"], "200", sender=world.cold)
    await world.claim(1, "--refill", refill["id"])
    assert await world.held(world.cold) == cold - 200
    await world.withdraw("out-2", "50")
    await world.ended("out-2")
    assert await world.held(CUSTOMER) == 70
    await world.in_balance()


async def test_PAY_11_a_payout_that_reverts_in_its_block_comes_back_whole_and_the_gas_is_ours(world: World) -> None:
    before, coins = await world.available(), Decimal((await world.hot(ETH))["books"])
    wallet = (await world.hot())["wallet"]
    await world.withdraw("out-3", "5")

    async def waiting() -> list[str]:
        pool = await world.node.rpc("txpool_content")
        return [one["hash"] for some in pool["pending"].values() for one in some.values()]

    (txid,) = await eventually(waiting, bool)
    await block(world, wallet, is_blocked=True)
    await world.node.mine()
    assert (await world.node.rpc("eth_getTransactionReceipt", txid))["status"] == "0x0"
    await block(world, wallet, is_blocked=False)
    await world.ended("out-3", FAILED)
    assert await world.held(CUSTOMER) == 70
    assert await world.available() == before
    assert Decimal((await world.hot(ETH))["books"]) < coins
    await world.in_balance()


async def block(world: World, wallet: str, *, is_blocked: bool) -> None:
    """Let the token's owner block a wallet, or let it go, in front of all that waits for the next block."""
    data = world.token.data("setBlackListed(address,bool)", wallet, is_blocked)
    call = {"from": world.node.accounts[0], "to": world.token.address, "data": data, "gas": hex(100_000)}
    await world.node.rpc("eth_sendTransaction", call | {"gasPrice": hex(10**12)})


async def test_every_callback_came_once_and_verified(world: World) -> None:
    """The receiver lets in only what the `standardwebhooks` library verifies."""
    stories = {(got["source_id"], got["status"]) for got in world.live.receiver.got}
    assert stories == set(world.told.items())
    assert len(world.told) == 7, "an order, three withdrawals, a refund, two settlements"
    rows = await world.live.command("webhook", "list", "--merchant", "Shop")
    assert {row["state"] for row in rows} == {"delivered"}
    assert len(rows) == len(world.told)


async def test_statement_entries_books_and_chain_agree_to_the_unit(world: World) -> None:
    created = await world.live.command("merchant", "api-key", "create", "Shop", "--name", "books", "--scopes", "read")
    today = datetime.now(UTC).date()
    async with RestClient.hmac(
        f"http://127.0.0.1:{world.live.ports[1]}", created["key_id"], created["secret"]
    ) as client:
        (statement,) = await client.statements(StatementQuery(day=today))
        entries = [one async for one in walk(lambda cursor: client.list_entries(EntryQuery(cursor=cursor)))]
    moved: Mapping[str, Decimal] = defaultdict(Decimal)
    for one in entries:
        if one.account == "available" and one.recorded_at.date() == today:
            moved[one.event] += Decimal(one.amount.amount) * (1 if one.direction == "credit" else -1)
    shown = {one.event: Decimal(one.change.available) for one in statement.movements}
    assert {event: sum_ for event, sum_ in shown.items() if sum_} == {e: s for e, s in moved.items() if s}
    assert Decimal(statement.opening.available) + sum(shown.values()) == Decimal(statement.closing.available)
    assert Decimal(statement.closing.available) == await world.available()
    (printed,) = await world.live.command("statement", "show", "Shop", "--day", today.isoformat())
    assert printed["closing"]["available"] == statement.closing.available
    await world.live.chain_agrees()
    await world.in_balance()


async def test_every_clearing_account_is_at_zero(world: World) -> None:
    """Whatever is kept for one deposit, payout, transfer or refill; and nobody owes anything."""
    rows = await world.live.rows(
        "select a.name, a.asset, a.balance_units from ledger_accounts a join ledger_kinds k using (kind)"
        " where (k.is_itemised or k.keeper is not null or a.kind = 'merchant:debt') and a.balance_units <> 0"
    )
    assert rows == []
    ((seen,),) = await world.live.rows(
        "select count(*) from ledger_accounts a join ledger_kinds k using (kind) where k.is_itemised"
    )
    assert seen >= len(world.told), "accounts that were used and are empty again"
