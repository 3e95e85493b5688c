"""`bitlinkpay reconcile`: compare now, look at a difference, resolve it, and payments go on."""

import pytest
from tests.cli.deployment import ASSET, NETWORK, Deployment

ROW = {"id", "state", "asset", "place", "height", "books", "chain", "difference", "explained", "seen_at"}


@pytest.fixture
def shop(sandbox: Deployment) -> Deployment:
    """A merchant whose order was paid: 10 USDT stand at its address."""
    sandbox.merchant("Corner Shop")
    sandbox.order()
    sandbox.pay()
    return sandbox


def compare(shop: Deployment) -> int:
    shop.mine(1)
    return shop.say("reconcile", "run", "--network", NETWORK, "--json").code


def rob(shop: Deployment) -> None:
    """Take 4 of the 10 USDT away on the chain, by nobody's transaction."""
    shop.sql("update sim_transfers set units = units - 4000000 where asset = 'usdt-tron' and height is not null")


def test_books_and_chain_that_agree_are_exit_code_0(shop: Deployment) -> None:
    rows = shop.json("reconcile", "run")
    [found] = [row for row in rows if row["asset"] == ASSET]
    assert found.keys() == {"network", "asset", "height", "places", "moving", "differing", "unread"}
    assert (found["moving"], found["differing"], found["unread"]) == (0, 0, "")
    assert found["places"] >= 2, "the order's address and the hot wallet"
    assert shop.json("reconcile", "show") == []
    assert {row["network"] for row in shop.json("reconcile", "run", "--network", NETWORK)} == {NETWORK}


def test_a_difference_is_shown_stops_its_asset_and_is_resolved(shop: Deployment) -> None:
    rob(shop)
    assert [compare(shop), compare(shop)] == [1, 1]
    said = shop.say("reconcile", "show")
    assert said.code == 1
    assert "open" in said.out
    said = shop.say("reconcile", "show", "--json")
    assert said.code == 1
    [stop] = shop.json("payout", "stops")
    assert (stop["scope"], stop["subject"]) == ("asset", ASSET)
    name = stop["reason"].removesuffix("`").split(" ")[-1]
    assert name.startswith("dif_")
    shown = shop.json("reconcile", "show", name)
    assert shown.keys() == ROW | {"transactions", "history"}
    assert (shown["books"], shown["chain"], shown["difference"]) == ("10", "6", "-4")
    assert (shown["state"], shown["explained"]) == ("open", False)
    assert [step["event"] for step in shown["history"]] == ["seen", "confirmed"]
    assert "--book" in shop.refusal("reconcile", "resolve", name, "--reason", "stolen")
    resolved = shop.json("reconcile", "resolve", name, "--reason", "stolen", "--book")
    assert (resolved.keys(), resolved["state"]) == (ROW, "resolved")
    assert shop.json("payout", "stops") == []
    assert compare(shop) == 0
    assert shop.json("ledger", "check")["ok"]


@pytest.mark.parametrize("name", ["dif_x", "x", "", "dif_" + "0" * 32])
def test_differences_that_are_not_there_are_one_line(sandbox: Deployment, name: str) -> None:
    sandbox.refusal("reconcile", "show", name)
    sandbox.refusal("reconcile", "resolve", name, "--reason", "none")


def test_networks_that_are_not_there_are_one_line(sandbox: Deployment) -> None:
    sandbox.refusal("reconcile", "run", "--network", "dogecoin")
