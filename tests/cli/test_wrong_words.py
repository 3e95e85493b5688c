"""What an operator types wrongly: usage is exit code 2, everything else one line, and nothing has changed."""

import json

import pytest
from tests.cli.deployment import ASSET, NETWORK, Deployment, EveryAddress, say
from tests.cli.test_money_out import ask

from bitlinkpay.cli.merchant_security import PASSWORD_VARIABLE

SHOP = "Corner Shop"
TARGET = "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL"
TRX = "trx-tron"
NOBODY = {prefix: f"{prefix}_" + "0" * 32 for prefix in ("out", "dep", "set", "rul", "dif", "rfl", "key", "evt")}
PROOF = ("--code", "000000")


@pytest.fixture
def shop(sandbox: Deployment) -> Deployment:
    """A sandbox with a merchant that has earned 9.97 USDT."""
    sandbox.merchant(SHOP)
    sandbox.order()
    sandbox.pay()
    return sandbox


USAGE = (
    ("lane",),
    ("lane", "melt"),
    ("lane", "thaw"),
    ("payout",),
    ("payout", "hold", "out_1"),
    ("payout", "reject", "out_1"),
    ("payout", "approve"),
    ("payout", "batch", SHOP),
    ("payout", "terms", SHOP),
    ("payout", "stop", "moon"),
    ("payout", "start"),
    ("treasury",),
    ("treasury", "claim"),
    ("treasury", "refill", ASSET),
    ("treasury", "levels"),
    ("treasury", "gas"),
    ("settlement", "quote", SHOP, ASSET),
    ("settlement", "request", SHOP, ASSET, "1"),
    ("settlement", "reject", "set_1"),
    ("settlement", "bind", SHOP, NETWORK, TARGET),
    ("settlement", "add-rule", SHOP, ASSET, "--every", "hour", *PROOF),
    ("settlement", "add-rule", SHOP, ASSET, "--every", "weekly", "--day", "monday", *PROOF),
    ("statement", "show"),
    ("statement", "show", SHOP, "--day", "yesterday"),
    ("statement", "show", SHOP, "--day", "20260101"),
    ("statement", "export", SHOP, "--to", "2026-W05-6"),
    ("statement", "export", SHOP, "--format", "xml"),
    ("statement", "export", SHOP, "--to", "31.01.2026"),
    ("reconcile",),
    ("reconcile", "resolve", "dif_1"),
    ("unassigned", "assign", "dep_1"),
    ("unassigned", "refund", "dep_1"),
    ("unassigned", "confirm", "out_1"),
    ("merchant", "api-key"),
    ("merchant", "api-key", "create", SHOP, "--name", "till"),
    ("merchant", "api-key", "create", SHOP, "--scopes", "read"),
    ("merchant", "api-key", "revoke", SHOP),
    ("authority",),
    ("authority", "burn"),
    ("registry",),
    ("registry", "accept"),
)


def test_wrong_usage_is_exit_code_2_and_prints_nothing_to_stdout(sandbox: Deployment) -> None:
    for words in USAGE:
        placed = (*words, "--data-dir", str(sandbox.folder)) if words == ("unassigned", "assign", "dep_1") else words
        with pytest.raises(SystemExit) as stopped:
            say(sandbox.capsys, *placed)
        out, err = sandbox.capsys.readouterr()
        assert (stopped.value.code, out) == (2, ""), words
        assert f"bitlinkpay {words[0]}" in err.splitlines()[-1], words


NOT_THERE = (
    (("payout", "show", "out_x"), "not an id of the form out_"),
    (("payout", "show", NOBODY["out"]), "no withdrawal with this id"),
    (("payout", "hold", NOBODY["dep"], "--reason", "x"), "not an id of the form out_"),
    (("payout", "hold", NOBODY["out"], "--reason", "x"), "no withdrawal with this id"),
    (("payout", "approve", "x"), "not an id of the form out_"),
    (("payout", "terms", "Nobody", ASSET), "no merchant 'Nobody'"),
    (("payout", "terms", SHOP, "usdt-mars"), "no asset 'usdt-mars'"),
    (("payout", "terms", SHOP, ASSET, "--fee", "20.0001"), "at most 20 percent"),
    (("payout", "terms", SHOP, ASSET, "--fee", "0.00001"), "at most 4 digits"),
    (("payout", "terms", SHOP, ASSET, "--payment-max", "0.0000001"), "--payment-max: at most 6 digits"),
    (("payout", "terms", SHOP, ASSET, "--day-max", "9" * 23), "--day-max: at most 22 digits"),
    (("payout", "terms", SHOP, ASSET, "--review-above", "x"), "--review-above: write the number"),
    (("payout", "terms", SHOP, ASSET, "--fee", "1", "--fresh-max", "1e1"), "--fresh-max: write the number"),
    (("payout", "stop", "network"), "no network ''"),
    (("payout", "stop", "asset", NETWORK), f"no asset '{NETWORK}'"),
    (("payout", "stop", "merchant"), "no merchant ''"),
    (("payout", "start", "all"), "not stopped"),
    (("payout", "stop", "all", NETWORK), f"`all` takes nothing after it; name what '{NETWORK}' is"),
    (("payout", "start", "all", SHOP), "`all` takes nothing after it"),
    (("payout", "start", "network", NETWORK), "not stopped"),
    (("treasury", "claim", "x"), "not an id of the form dep_"),
    (("treasury", "claim", NOBODY["dep"]), f"no deposit {NOBODY['dep']}; see"),
    (("treasury", "claim", NOBODY["dep"], "--sender", "nobody"), "no deposit"),
    (("treasury", "claim", NOBODY["dep"], "--refill", NOBODY["dep"]), "not an id of the form rfl_"),
    (("treasury", "refill", "usdt-mars", "1"), "no asset 'usdt-mars'"),
    (("treasury", "refill", ASSET, "0"), "above zero"),
    (("treasury", "refill", ASSET, "0.0000001"), "at most 22 digits before the point and 6 after it"),
    (("treasury", "refill", ASSET, "1"), f"cold storage holds 0 {ASSET} by the books, not 1 {ASSET}"),
    (("treasury", "refill", ASSET, "1", "--fee", "x"), "plain digits"),
    (("treasury", "levels", ASSET, "--floor", "1", "--target", "2"), "all three at once"),
    (("treasury", "levels", ASSET, "--floor", "3", "--target", "2", "--ceiling", "4"), "floor <= target <= ceiling"),
    (("treasury", "levels", ASSET, "--floor", "1", "--target", "5", "--ceiling", "4"), "floor <= target <= ceiling"),
    (("treasury", "levels", "usdt-mars"), "no asset 'usdt-mars'"),
    (("treasury", "gas", "mars", "--day", "1"), "no network 'mars'"),
    (("treasury", "gas", NETWORK, "--day", "1", "--tops", "101"), "--tops is a number from 0 to 100"),
    (("treasury", "gas", NETWORK, "--tops", "٣"), "--tops is a number"),
    (("treasury", "gas", NETWORK, "--tops", ""), "--tops is a number"),
    (("treasury", "gas", NETWORK, "--tops", "9" * 5_000), "--tops is a number from 0 to 100"),
    (("treasury", "gas", NETWORK, "--day", "1e1"), "plain digits"),
    (("treasury", "moves", "--network", "mars"), "no network 'mars'"),
    (("settlement", "show", "out_x"), "not an id of the form set_"),
    (("settlement", "cancel", NOBODY["set"]), "no settlement"),
    (("settlement", "reject", NOBODY["set"], "--reason", "x"), "no settlement"),
    (("settlement", "list", "--merchant", "Nobody"), "no merchant 'Nobody'"),
    (("settlement", "runs", "Nobody"), "no merchant 'Nobody'"),
    (("settlement", "runs", SHOP, "--rule", "x"), "not an id of the form rul_"),
    (("settlement", "remove-rule", SHOP, NOBODY["rul"]), "no such settlement rule"),
    (("settlement", "remove-rule", SHOP, "rul_x"), "not an id of the form rul_"),
    (("settlement", "rules", "Nobody"), "no merchant 'Nobody'"),
    (("settlement", "addresses", "Nobody"), "no merchant 'Nobody'"),
    (("settlement", "unbind", SHOP, "mars"), "no network 'mars'"),
    (("settlement", "bind", SHOP, "mars", TARGET, *PROOF), "no network 'mars'"),
    (("settlement", "bind", "Nobody", NETWORK, TARGET, *PROOF), "no merchant 'Nobody'"),
    (("settlement", "request", SHOP, ASSET, "1", "--address", TARGET, "--id", "x", *PROOF), "of the form set_"),
    (("settlement", "quote", SHOP, ASSET, "0", "--address", TARGET), "smallest withdrawal is 0.01"),
    (("settlement", "quote", SHOP, ASSET, "1", "--address", TARGET, "--tag", "7"), "tag"),
    (("settlement", "add-rule", SHOP, ASSET, "--every", "daily", "--at", "08:00+02:00", *PROOF), "HH:MM"),
    (("settlement", "add-rule", SHOP, ASSET, "--every", "daily", "--at", "08:00:30", *PROOF), "HH:MM"),
    (("settlement", "add-rule", SHOP, ASSET, "--every", "daily", "--at", "24:00", *PROOF), "HH:MM"),
    (("settlement", "add-rule", SHOP, ASSET, "--every", "monthly", "--day", "32", *PROOF), "monthly takes 1 to 31"),
    (("settlement", "add-rule", SHOP, ASSET, "--every", "daily", "--threshold", "5", *PROOF), "either"),
    (("settlement", "add-rule", SHOP, ASSET, "--threshold", "5", "--reserve", "5", *PROOF), "or more"),
    (("settlement", "add-rule", SHOP, ASSET, "--threshold", "5", "--fee-max", "-", *PROOF), "plain digits"),
    (("reconcile", "show", NOBODY["dif"]), "no such difference"),
    (("reconcile", "resolve", NOBODY["dif"], "--reason", "x", "--book"), "no such difference"),
    (("reconcile", "run", "--network", "mars"), "no network 'mars'"),
    (("merchant", "api-key", "list", "Nobody"), "no merchant 'Nobody'"),
    (("merchant", "api-key", "revoke", SHOP, NOBODY["key"]), "no working API key"),
    (("merchant", "api-key", "revoke", SHOP, "key_x"), "not an id of the form key_"),
    (("merchant", "api-key", "create", "Nobody", "--name", "x", "--scopes", "read"), "no merchant 'Nobody'"),
    (("merchant", "api-key", "create", SHOP, "--name", "", "--scopes", "read"), "1 to 80 visible characters"),
    (("merchant", "api-key", "create", SHOP, "--name", "a\nb", "--scopes", "read"), "1 to 80 visible characters"),
    (("merchant", "api-key", "create", SHOP, "--name", "x" * 81, "--scopes", "read"), "1 to 80 visible characters"),
    (("merchant", "api-key", "create", SHOP, "--name", "x", "--scopes", "READ"), "payin,payout,read"),
    (("unassigned", "list", "--merchant", "Nobody"), "no merchant 'Nobody'"),
    (("unassigned", "refund", "x", TARGET), "not an id of the form dep_"),
    (("unassigned", "refund", NOBODY["dep"], TARGET), "no merchant's unassigned money"),
    (("unassigned", "confirm", NOBODY["dep"], TARGET), "not an id of the form out_"),
    (("unassigned", "confirm", NOBODY["out"], TARGET), "no withdrawal with this id"),
    (("unassigned", "assign", NOBODY["dep"], "--order", "order-9"), "no order 'order-9'"),
    (("unassigned", "assign", NOBODY["dep"], "--order", "order-1"), "no money with this id"),
    (("unassigned", "assign", NOBODY["dep"], "--merchant", SHOP), "no money with this id"),
    (("unassigned", "assign", "dep_x", "--merchant", SHOP), "not an id of the form dep_"),
    (("unassigned", "credit", NOBODY["dep"]), "no unassigned money"),
    (("unassigned", "accept", NOBODY["dep"]), "no unassigned money"),
    (("unassigned", "release", NOBODY["dep"]), "no quarantined money"),
    (("webhook", "show", NOBODY["evt"]), f"no callback {NOBODY['evt']}"),
    (("webhook", "resend", NOBODY["evt"]), f"no callback {NOBODY['evt']}"),
    (("lane", "thaw", NETWORK), "is not frozen"),
    (("lane", "thaw", NETWORK, TARGET), "no lane of this wallet"),
    (("lane", "thaw", NETWORK, "nobody"), "wallet: a TRON address"),
    (("lane", "thaw", "mars", TARGET), "no network 'mars'"),
    (("registry", "accept", "usdt-mars"), "no asset 'usdt-mars'"),
    (("registry", "accept", ASSET), "no worker has read it yet"),
    (("registry", "check", "/nowhere.toml"), "/nowhere.toml: can't be read"),
    (("statement", "show", SHOP, "--day", "9999-12-31"), "up to today"),
    (("statement", "show", SHOP, "--asset", "usdt-mars"), "no asset 'usdt-mars'"),
    (("statement", "export", SHOP, "--day", "2020-01-01", "--to", "2021-01-01"), "1 to 366 days"),
    (("statement", "export", SHOP, "--out", "/nowhere/day.csv"), "/nowhere/day.csv can't be written"),
)


def everything(shop: Deployment) -> list[object]:
    """Return what a refused command must leave as it is."""
    asked = (
        ("balance", SHOP), ("payout", "list", "--merchant", SHOP), ("payout", "stops"), ("payout", "terms", SHOP, ASSET),
        ("treasury", "levels", ASSET), ("treasury", "gas", NETWORK), ("treasury", "moves"), ("treasury", "status"),
        ("settlement", "list", "--merchant", SHOP), ("settlement", "rules", SHOP), ("settlement", "addresses", SHOP),
        ("merchant", "api-key", "list", SHOP), ("unassigned", "list"), ("lane", "list"), ("reconcile", "show"),
    )  # fmt: skip
    return [shop.json(*words) for words in asked]


def test_what_is_not_there_or_makes_no_sense_is_one_line_and_changes_nothing(
    shop: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "correct horse battery")
    before = everything(shop)
    told = {words: shop.refusal(*words) for words, _ in NOT_THERE}
    assert {words: told[words] for words, says in NOT_THERE if says not in told[words]} == {}
    assert everything(shop) == before
    assert shop.json("ledger", "check")["ok"]


def test_a_command_without_a_deployment_says_how_to_name_one(capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    for words in (
        ("lane", "list"), ("payout", "stops"), ("treasury", "status"), ("settlement", "list"), ("reconcile", "show"),
        ("statement", "show", SHOP), ("merchant", "api-key", "list", SHOP), ("unassigned", "list"), ("authority", "show"),
        ("registry", "accept", ASSET),
    ):  # fmt: skip
        said = say(capsys, *words)
        assert (said.code, said.out) == (1, ""), words
        assert "name the deployment: --data-dir DIR" in said.err, words
        said = say(capsys, *words, "--data-dir", str(tmp_path / "nowhere"))
        assert (said.code, said.out) == (1, ""), words
        assert "no deployment in" in said.err, words


# --- wrong states


PAYOUTS = {
    "approved": {"approve": "too late", "hold": "in_review", "reject": "too late"},
    "in_review": {"approve": "approved", "hold": "in_review", "reject": "rejected"},
    "rejected": {"approve": "too late", "hold": "too late", "reject": "too late"},
}


def decide(shop: Deployment, action: str, payout_id: str) -> str:
    """Return the state that a decision led to, or why it was refused."""
    words = ("payout", action, payout_id, *(() if action == "approve" else ("--reason", "because")))
    said = shop.say(*words, "--json")
    assert said.code == (1 if said.err else 0)
    return said.err.strip() if said.err else json.loads(said.out)["state"]


def test_each_decision_about_a_payout_in_each_of_its_states(shop: Deployment) -> None:
    for number, (state, decisions) in enumerate(PAYOUTS.items()):
        for action, expected in decisions.items():
            ask(shop, f"{number}-{action}", "0.5")
            (payout_id,) = [
                row["id"]
                for row in shop.json("payout", "list", "--merchant", SHOP)
                if row["source_id"] == f"{number}-{action}"
            ]
            if state != "approved":
                assert decide(shop, "hold", payout_id) == "in_review"
            if state == "rejected":
                assert decide(shop, "reject", payout_id) == "rejected"
            told = decide(shop, action, payout_id)
            assert expected in told, (state, action)
            shown = shop.json("payout", "show", payout_id)["state"]
            assert shown == (told if told in PAYOUTS else state), (state, action)
    assert shop.json("ledger", "check")["ok"]


ACTIONS = {
    "accept": (),
    "credit": (),
    "release": (),
    "refund": (TARGET,),
    "assign": ("--merchant", SHOP),
}
ODD_MONEY = {
    "quarantined": {
        "accept": "no unassigned money",
        "credit": "no unassigned money",
        "refund": "no unassigned money",
        "assign": "has an owner already",
    },
    "unassigned": {"release": "no quarantined money", "assign": "has an owner already"},
    "credited": {
        "accept": "no unassigned money",
        "credit": "no unassigned money",
        "release": "no quarantined money",
        "refund": "no unassigned money",
        "assign": "has an owner already",
    },
    "unclaimed": {
        "accept": "or `bitlinkpay treasury claim`",
        "credit": "nobody knows yet whose",
        "release": "no quarantined money",
        "refund": "no merchant's unassigned money",
        "assign": "straight to a wallet that pays",
    },
}


def refused(shop: Deployment, state: str, deposit_id: str) -> None:
    for action, says in ODD_MONEY[state].items():
        told = shop.refusal("unassigned", action, deposit_id, *ACTIONS[action])
        assert says in told, (state, action, told)


def test_odd_money_is_decided_about_once_and_in_its_turn(sandbox: Deployment) -> None:
    shop = sandbox
    shop.merchant(SHOP)
    shop.order()
    shop.lists.listed = EveryAddress()
    shop.pay()
    (held,) = shop.json("unassigned", "list")
    assert held["state"] == "quarantined"
    refused(shop, "quarantined", held["id"])
    assert shop.json("unassigned", "list") == [held]
    assert shop.json("unassigned", "release", held["id"])["state"] == "unassigned"
    refused(shop, "unassigned", held["id"])
    assert shop.json("unassigned", "credit", held["id"])["state"] == "credited"
    refused(shop, "credited", held["id"])
    shop.lists.listed = set()
    shop.json("sandbox", "fund", ASSET, "5")
    shop.mine()
    (found,) = shop.json("treasury", "unclaimed")
    refused(shop, "unclaimed", found["id"])
    assert shop.json("treasury", "unclaimed") == [found]
    assert [(row["id"], row["merchant"]) for row in shop.json("unassigned", "list")] == [(found["id"], None)]
    assert shop.json("ledger", "check")["ok"]
