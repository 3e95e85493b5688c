"""The treasury on the command line: wallets, plan, moves, levels, limits of gas, and refills from cold storage."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from tests.cli.deployment import ASSET, NETWORK, Deployment
from tests.flows.scripted import ScriptedChain, transfer_to

from bitlinkpay.app.networks import chains_of
from bitlinkpay.app.paying import lanes_of, treasuries_of
from bitlinkpay.app.platform import Platform
from bitlinkpay.chains.base import Head, NotEnoughAnswers
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.cli.treasury_views import _Sight
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import chart_outgoing as chart
from bitlinkpay.ledger import service as ledger
from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.signer.client import SignerClient
from bitlinkpay.treasury.service import ANYTHING
from bitlinkpay.treasury.sweeping import Sweeping

TRX = "trx-tron"
HOT = "0x" + "22" * 20


@pytest.fixture
def shop(sandbox: Deployment) -> Deployment:
    """A sandbox with a paid order of 10 USDT."""
    sandbox.merchant("Corner Shop")
    sandbox.order()
    sandbox.pay()
    return sandbox


def fund(shop: Deployment, asset: str, amount: str) -> str:
    """Let money come to the hot wallet; return the id of its deposit."""
    shop.json("sandbox", "fund", asset, amount)
    shop.mine()
    return next(row["id"] for row in shop.json("treasury", "unclaimed") if row["asset"] == asset)


def status(shop: Deployment, kind: str = "hot") -> dict[str, dict[str, str]]:
    return {row["asset"]: row for row in shop.json("treasury", "status") if row["kind"] == kind}


def test_the_plan_says_what_waits_and_why(shop: Deployment) -> None:
    (row,) = shop.json("treasury", "plan")
    assert row == {
        "network": NETWORK, "asset": ASSET, "decision": "wait", "addresses": 1, "amount": "10",
        "reason": "the hot wallet holds too little of the network's coin",
    }  # fmt: skip
    shop.json("treasury", "claim", fund(shop, TRX, "100"))
    (row,) = shop.json("treasury", "plan")
    assert (row["decision"], row["addresses"], row["amount"], row["reason"]) == ("sweep fuelled", 1, "10", "")
    assert shop.json("treasury", "moves") == []  # a plan is nothing but a plan


async def sweep(platform: Platform) -> None:
    chains = chains_of(platform.settings, platform.registry, platform.database, platform.ring)
    (parts,) = [one for one in treasuries_of(platform, chains) if one.network.id == NETWORK]
    await Sweeping(parts).step(ANYTHING)


def test_stake_is_lent_for_a_sweep_and_shown_until_it_is_back(shop: Deployment) -> None:
    shop.json("treasury", "claim", fund(shop, TRX, "100"))
    for words in (("ethereum", "1"), ("mars", "1"), (NETWORK, "0"), (NETWORK, "x")):
        shop.refusal("sandbox", "stake", *words)
    assert shop.json("sandbox", "stake", NETWORK, "2999.5")["staked"] == "2999.5"
    (row,) = shop.json("treasury", "plan")
    assert row["decision"] == "sweep fuelled", "half a TRX too little"
    assert shop.json("sandbox", "stake", NETWORK, "0.5") == {"wallet": status(shop)[TRX]["wallet"], "staked": "3000"}
    (row,) = shop.json("treasury", "plan")
    assert (row["decision"], row["addresses"], row["reason"]) == ("sweep lent", 1, "")
    assert status(shop)[TRX]["lent"] == "0"
    shop.act(sweep)
    (move,) = shop.json("treasury", "moves")
    assert (move["method"], move["state"], move["lent"], move["loan"]) == ("lent", "lending", "3000", "asked")
    shown = {asset: row["lent"] for asset, row in status(shop).items()}
    assert shown[TRX] == "3000"
    assert {units for asset, units in shown.items() if asset != TRX} == {"0"}


def test_what_moved_is_listed(shop: Deployment) -> None:
    shop.json("treasury", "claim", fund(shop, TRX, "100"))
    shop.act(sweep)
    (move,) = shop.json("treasury", "moves", "--network", NETWORK)
    order = shop.json("order", "show", "order-1")
    assert (move["kind"], move["method"], move["asset"], move["amount"]) == ("sweep", "fuelled", ASSET, "10")
    assert (move["from"], move["state"], move["reason"]) == (order["address"], "fuelling", "")
    assert (move["lent"], move["loan"]) == ("0", "")
    assert shop.json("treasury", "moves", "--network", "ton") == []
    shop.refusal("treasury", "moves", "--network", "mars")
    assert shop.json("treasury", "plan") == []  # it is under way


def test_levels_are_set_as_a_whole_and_in_order(shop: Deployment) -> None:
    assert shop.json("treasury", "levels", ASSET) == {"asset": ASSET, "floor": None, "target": None, "ceiling": None}
    wanted = {"asset": ASSET, "floor": "100", "target": "500.5", "ceiling": "1000"}
    words = ("--floor", "100", "--target", "500.5", "--ceiling", "1000")
    assert shop.json("treasury", "levels", ASSET, *words) == wanted
    assert shop.json("treasury", "levels", ASSET) == wanted
    assert "all three" in shop.refusal("treasury", "levels", ASSET, "--floor", "1")
    shop.refusal("treasury", "levels", ASSET, "--floor", "9", "--target", "8", "--ceiling", "10")
    shop.refusal("treasury", "levels", ASSET, "--floor", "x", "--target", "8", "--ceiling", "10")
    shop.refusal("treasury", "levels", "usdt-mars")
    row = status(shop)[ASSET]
    assert (row["floor"], row["target"], row["ceiling"]) == ("100", "500.5", "1000")
    assert status(shop)[TRX]["floor"] is None


def test_limits_of_gas_are_set_one_by_one(shop: Deployment) -> None:
    standard = shop.json("treasury", "gas", NETWORK)
    assert standard["tops"] == 2
    assert shop.json("treasury", "gas", NETWORK, "--day", "12.5") == standard | {"day": "12.5"}
    assert shop.json("treasury", "gas", NETWORK, "--tops", "0") == {"network": NETWORK, "day": "12.5", "tops": 0}
    for words in (("--tops", "-1"), ("--tops", "101"), ("--tops", "x"), ("--day", "-1")):
        shop.say("treasury", "gas", NETWORK, *words)
        assert shop.json("treasury", "gas", NETWORK)["tops"] == 0
    shop.refusal("treasury", "gas", "mars")


def test_when_outputs_are_joined_is_set_one_by_one_where_there_are_outputs(shop: Deployment) -> None:
    standard = {"network": "bitcoin", "low": "5", "least": 20, "keep": 10}
    assert shop.json("treasury", "consolidation", "bitcoin") == standard
    assert shop.json("treasury", "consolidation", "bitcoin", "--low", "2.5") == standard | {"low": "2.5"}
    changed = {"network": "bitcoin", "low": "0", "least": 2, "keep": 0}
    words = ("--low", "0", "--least", "2", "--keep", "0")
    assert shop.json("treasury", "consolidation", "bitcoin", *words) == changed
    for wrong, says in (
        (("--low", "1000.001"), "--low is a number of sat/vB from 0 to 1000"),
        (("--low", "1.0001"), "and 3 after it"),
        (("--least", "1"), "--least is a number from 2 to 200"),
        (("--least", "201"), "from 2 to 200"),
        (("--keep", "10001"), "--keep is a number from 0 to 10000"),
        (("--keep", "x"), "from 0 to 10000"),
    ):
        assert says in shop.refusal("treasury", "consolidation", "bitcoin", *wrong)
    assert shop.json("treasury", "consolidation", "bitcoin") == changed
    assert "nothing to join" in shop.refusal("treasury", "consolidation", NETWORK)
    shop.refusal("treasury", "consolidation", "mars")
    assert {row["outputs"] for row in shop.json("treasury", "status")} == {None}, "simulated networks count balances"


def test_every_kind_of_payment_has_an_owner_that_settles_it(shop: Deployment) -> None:
    async def look(platform: Platform) -> list[set[OwnerKind]]:
        chains = chains_of(platform.settings, platform.registry, platform.database, platform.ring)
        return [set(lane.owners) for lane in lanes_of(platform, chains, SignerClient(platform.settings.signer_dir))]

    owners = shop.act(look)
    assert len(owners) == len(load_registry().networks)
    assert all(kinds == set(OwnerKind) for kinds in owners)


def cool(shop: Deployment, asset: str, units: int) -> None:
    """Book money into cold storage, as a surplus that has arrived there."""

    async def book(platform: Platform) -> None:
        wallet = platform.ring.hot_wallet(platform.registry.networks[NETWORK]).address
        moved = chart.own_transfer(
            new_uuid7(),
            asset=asset,
            source=accounts.hot_custody(wallet),
            target=accounts.COLD,
            units=units,
            happened_at=platform.clock.now(),
        )
        async with platform.database.transaction() as tx:
            await ledger.post_all(tx, [moved])

    shop.act(book)


def test_a_refill_is_noted_when_it_is_sent_and_claimed_when_it_arrives(shop: Deployment) -> None:
    shop.json("treasury", "claim", fund(shop, ASSET, "500"))
    shop.json("treasury", "claim", fund(shop, TRX, "50"))
    cool(shop, ASSET, 300_000_000)
    cool(shop, TRX, 20_000_000)
    assert status(shop, "cold")[ASSET]["books"] == "300"
    assert "cold storage holds" in shop.refusal("treasury", "refill", ASSET, "300.000001")
    sent = shop.json("treasury", "refill", ASSET, "200", "--fee", "1.5")
    assert sent["id"].startswith("rfl_")
    assert (status(shop, "cold")[ASSET]["books"], status(shop, "cold")[TRX]["books"]) == ("100", "18.5")
    other = fund(shop, ASSET, "199")
    assert "another refill" in shop.refusal("treasury", "claim", other, "--refill", sent["id"])
    arrived = fund(shop, ASSET, "200")
    assert shop.json("treasury", "claim", arrived, "--refill", sent["id"])["state"] == "claimed"
    assert status(shop)[ASSET]["books"] == "400"
    again = fund(shop, ASSET, "200")
    assert "another refill" in shop.refusal("treasury", "claim", again, "--refill", sent["id"])
    assert shop.json("ledger", "check")["ok"]
    shop.refusal("treasury", "refill", "usdt-mars", "1")


@dataclass
class Rushing(ScriptedChain):
    """A chain that comes on between any two looks."""

    looks: int = 0

    async def head(self) -> Head:
        self.looks += 1
        if self.looks == 1:
            raise NotEnoughAnswers("1 of 2 endpoints agree")
        self.grow(1, transfer_to(HOT, 1_000_000, number=self.looks))
        return await super().head()


async def test_what_wallets_hold_is_read_at_one_block_for_which_a_chain_is_asked_once() -> None:
    registry = load_registry()
    chain = Rushing(registry.networks["ethereum"], datetime(2026, 3, 1, tzinfo=UTC), lag=0)
    sight = _Sight({"ethereum": chain})
    seen = [await sight.holds(asset, HOT) for asset in (registry.asset("usdt-ethereum"),) * 3]
    assert seen == ["unknown: 1 of 2 endpoints agree", "1", "1"]
    assert chain.looks == 2
