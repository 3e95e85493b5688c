"""What a person may decide about settlements and refunds in each of their states, and by whom."""

import json

import pytest
from tests.cli import test_settlement
from tests.cli.deployment import ASSET, Deployment
from tests.cli.test_money_out import TARGET, ask
from tests.cli.test_settlement import HOME, OTHER, SHOP, proof

shop = test_settlement.shop
"""A fixture: a merchant with 9.97 USDT that is set up for the checks."""

SETTLEMENTS = {
    "approved": {"approve": "too late", "reject": "too late", "cancel": "cancelled"},
    "in_review": {"approve": "approved", "reject": "rejected", "cancel": "cancelled"},
    "rejected": {"approve": "too late", "reject": "too late", "cancel": "too late"},
    "cancelled": {"approve": "too late", "reject": "too late", "cancel": "too late"},
}
KEPT = ("id", "cause", "asset", "amount", "fee", "network_fee", "address", "tag", "txid", "created_at")
WAY = {"approved": (), "in_review": (), "rejected": ("reject",), "cancelled": ("cancel",)}


def decide(shop: Deployment, action: str, settlement_id: str) -> str:
    """Return the state that a decision led to, or why it was refused."""
    reason = ("--reason", "not today") if action == "reject" else ()
    said = shop.say("settlement", action, settlement_id, *reason, "--json")
    assert said.code == (1 if said.err else 0), said
    return said.err.strip() if said.err else json.loads(said.out)["state"]


def test_each_decision_about_a_settlement_in_each_of_its_states(
    shop: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.json("payout", "terms", SHOP, ASSET, "--settlement", "--review-above", "1")
    made = 0
    for state, decisions in SETTLEMENTS.items():
        shown = {"state": "none yet"}
        for action, expected in decisions.items():
            if shown["state"] != state:
                shown, made = settlement_in(shop, state, monkeypatch), made + 1
            told = decide(shop, action, shown["id"])
            assert expected in told, (state, action)
            before, shown = shown, shop.json("settlement", "show", shown["id"])
            assert shown["state"] == (told if told in SETTLEMENTS else state), (state, action)
            assert [shown[name] for name in KEPT] == [before[name] for name in KEPT]
    rows = shop.json("settlement", "list", "--merchant", SHOP)
    assert len(rows) == made == 6
    kept = [row for row in rows if row["state"] == "approved"]
    assert [row["amount"] for row in kept] == ["1.1"]
    (balance,) = shop.json("balance", SHOP)
    held = sum(units(row["amount"]) + units(row["fee"]) + units(row["network_fee"]) for row in kept)
    assert (units(balance["reserved"]), units(balance["available"])) == (held, 9_970_000 - held)
    assert shop.json("ledger", "check")["ok"]


def settlement_in(shop: Deployment, state: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Let Alice ask for a settlement, and Bob bring it into a state."""
    monkeypatch.setenv("LOGNAME", "alice")
    amount = "0.5" if state == "approved" else "1.1"
    asked = shop.json("settlement", "request", SHOP, ASSET, amount, "--address", HOME, *proof(shop))
    assert asked["state"] == ("approved" if state == "approved" else "in_review")
    monkeypatch.setenv("LOGNAME", "bob")
    for step in WAY[state]:
        assert decide(shop, step, asked["id"]) == state
    return shop.json("settlement", "show", asked["id"])


def units(text: str) -> int:
    whole, _, parts = text.partition(".")
    return int(whole) * 1_000_000 + int(parts.ljust(6, "0"))


def test_the_same_id_settles_the_same_thing_once(shop: Deployment) -> None:
    words = ("settlement", "request", SHOP, ASSET, "1", "--id", "set_" + "2" * 32)
    asked = shop.json(*words, "--address", HOME, *proof(shop))
    for other in (
        ("settlement", "request", SHOP, ASSET, "2", "--id", "set_" + "2" * 32, "--address", HOME),
        ("settlement", "request", SHOP, ASSET, "all", "--id", "set_" + "2" * 32, "--address", HOME),
        (*words, "--address", OTHER),
    ):
        shop.refusal(*other, *proof(shop))
    assert shop.json("settlement", "list", "--merchant", SHOP) == [asked]
    assert shop.json("settlement", "cancel", asked["id"])["state"] == "cancelled"
    assert shop.json(*words, "--address", HOME, *proof(shop))["state"] == "cancelled", "it happened already"
    assert shop.json("balance", SHOP)[0]["reserved"] == "0"


@pytest.fixture
def odd(sandbox: Deployment, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """A merchant with 4 USDT too little for its order, which Anna is about to send back."""
    monkeypatch.setenv("LOGNAME", "anna")
    sandbox.merchant(SHOP)
    sandbox.order()
    sandbox.pay("order-1", "--amount", "4")
    for asset in (ASSET, "trx-tron"):
        sandbox.json("sandbox", "fund", asset, "100")
    sandbox.mine()
    return sandbox


def deposit(odd: Deployment) -> dict[str, str]:
    (found,) = odd.json("unassigned", "list", "--merchant", SHOP)
    return found


def test_a_refund_that_is_rejected_gives_the_money_back_to_be_decided_about_again(
    odd: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = deposit(odd)
    assert "tag" in odd.refusal("unassigned", "refund", found["id"], TARGET, "--tag", "7")
    first = odd.json("unassigned", "refund", found["id"], TARGET)
    assert (first["state"], first["address"], first["txid"]) == ("in_review", TARGET, "")
    for action, more in (("accept", ()), ("credit", ()), ("release", ()), ("refund", (OTHER,))):
        odd.refusal("unassigned", action, found["id"], *more)
    assert odd.json("unassigned", "refund", found["id"], TARGET) == first, "the same one again"
    monkeypatch.setenv("LOGNAME", "boris")
    assert "unassigned confirm" in odd.refusal("payout", "approve", first["id"])
    assert odd.json("payout", "reject", first["id"], "--reason", "wrong address")["state"] == "rejected"
    odd.refusal("unassigned", "confirm", first["id"], TARGET)
    again = deposit(odd)
    assert (again["id"], again["state"], again["amount"]) == (found["id"], "unassigned", "4")
    assert odd.json("unassigned", "credit", found["id"])["state"] == "credited"
    odd.refusal("unassigned", "refund", found["id"], TARGET)
    assert odd.json("ledger", "check")["ok"]


def test_only_a_refund_is_confirmed_and_only_once_by_another_person_to_its_own_address(
    odd: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = odd.json("unassigned", "refund", deposit(odd)["id"], TARGET)
    assert "another person" in odd.refusal("unassigned", "confirm", asked["id"], TARGET)
    monkeypatch.setenv("LOGNAME", "boris")
    for wrong in (OTHER, TARGET[:-1], TARGET.lower(), ""):
        odd.refusal("unassigned", "confirm", asked["id"], wrong)
        assert odd.json("payout", "show", asked["id"])["state"] == "in_review", wrong
    confirmed = odd.json("unassigned", "confirm", asked["id"], TARGET)
    assert (confirmed["state"], confirmed["kind"], confirmed["reason"]) == ("approved", "refund", "")
    odd.refusal("unassigned", "confirm", asked["id"], TARGET)
    assert odd.json("payout", "show", asked["id"]) == confirmed
    odd.order("order-2")
    odd.pay("order-2")
    payout = ask(odd, "w-1", "0.5")
    odd.json("payout", "hold", "out_" + payout.payout_id.hex, "--reason", "wait")
    odd.refusal("unassigned", "confirm", "out_" + payout.payout_id.hex, TARGET)
    assert odd.json("payout", "show", "out_" + payout.payout_id.hex)["state"] == "in_review"
    assert odd.json("ledger", "check")["ok"]
