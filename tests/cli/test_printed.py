"""What the commands about outgoing money print: tables and records for people, files, and what cannot be asked."""

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO

import pytest
from tests.cli.deployment import ASSET, NETWORK, Deployment, say
from tests.cli.test_money_out import ask
from tests.cli.test_switched_off import TOKEN

from bitlinkpay.cli.registry import NATIVE, NO_DEPLOYMENT, SIMULATED
from bitlinkpay.core.mode import Mode

SHOP = "Corner Shop"
TARGET = "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL"
HEAD = "source_id,asset,address,amount,tag\n"
NOBODY_HOME = '\n[networks.tron]\nendpoints = ["http://127.0.0.1:9"]\n'


@pytest.fixture
def shop(sandbox: Deployment) -> Deployment:
    """A sandbox with a merchant that has earned 9.97 USDT."""
    sandbox.merchant(SHOP)
    sandbox.order()
    sandbox.pay()
    return sandbox


def lines(shop: Deployment, *words: str) -> list[str]:
    said = shop.say(*words)
    assert (said.code, said.err) == (0, ""), said
    return said.out.splitlines()


def record(shop: Deployment, *words: str) -> dict[str, str]:
    """Read a record as it is printed for people."""
    found = [line.partition("  ") for line in lines(shop, *words)]
    return {name.strip(): value.strip() for name, _, value in found}


def test_lists_without_anything_in_them_say_so(sandbox: Deployment) -> None:
    sandbox.merchant(SHOP)
    for words in (
        ("payout", "list"), ("payout", "list", "--merchant", SHOP), ("payout", "stops"), ("lane", "list"),
        ("settlement", "list"), ("settlement", "runs", SHOP), ("settlement", "rules", SHOP),
        ("settlement", "addresses", SHOP), ("treasury", "moves"), ("treasury", "plan"), ("treasury", "unclaimed"),
        ("unassigned", "list"), ("reconcile", "show"), ("merchant", "api-key", "list", SHOP), ("statement", "show", SHOP),
        ("balance", SHOP),
    ):  # fmt: skip
        assert lines(sandbox, *words) == ["(none)"], words
        assert sandbox.json(*words) == [], words


def test_records_show_what_is_not_set_as_a_dash(shop: Deployment) -> None:
    terms = ("payout", "terms", SHOP, ASSET)
    assert record(shop, *terms) == {
        "kind": "payout", "asset": ASSET, "fee_percent": "0", "fee_flat": "0", "payment_max": "-", "day_max": "-",
        "review_above": "-", "fresh_max": "-",
    }  # fmt: skip
    shop.json(*terms, "--fee", "20", "--payment-max", "0", "--fresh-max", "0.000001")
    shown = record(shop, *terms)
    assert (shown["fee_percent"], shown["payment_max"], shown["fresh_max"]) == ("20", "0", "0.000001")
    assert record(shop, *terms, "--settlement")["fee_percent"] == "0", "of another kind"
    assert record(shop, "payout", "terms", SHOP, "trx-tron")["fee_percent"] == "0", "of another asset"
    shop.json(*terms, "--payment-max", "", "--fresh-max", "")
    assert (record(shop, *terms)["payment_max"], record(shop, *terms)["fee_percent"]) == ("-", "20")
    assert record(shop, "treasury", "levels", ASSET) == {"asset": ASSET, "floor": "-", "target": "-", "ceiling": "-"}
    zero = ("--floor", "0", "--target", "0", "--ceiling", "0")
    assert record(shop, "treasury", "levels", ASSET, *zero) == dict.fromkeys(("floor", "target", "ceiling"), "0") | {
        "asset": ASSET
    }
    assert record(shop, "treasury", "gas", NETWORK, "--day", "0.5", "--tops", "100") == {
        "network": NETWORK, "day": "0.5", "tops": "100",
    }  # fmt: skip
    assert record(shop, "treasury", "gas", NETWORK, "--tops", "0") == {"network": NETWORK, "day": "0.5", "tops": "0"}
    assert record(shop, "treasury", "gas", NETWORK, "--day", "0") == {"network": NETWORK, "day": "0", "tops": "0"}


def test_tables_have_a_head_and_a_line_for_each(shop: Deployment) -> None:
    payout = ask(shop, "small", "0.5")
    shop.json("payout", "hold", "out_" + payout.payout_id.hex, "--reason", "a call from the bank")
    head, row = lines(shop, "payout", "list")
    assert head.split() == [
        "id", "kind", "source_id", "state", "asset", "amount", "fees", "address", "tag", "txid", "reason", "waits_for",
        "created_at",
    ]  # fmt: skip
    assert row.split()[:6] == ["out_" + payout.payout_id.hex, "payout", "small", "in_review", ASSET, "0.5"]
    assert row.count("a call from the bank") == 2
    assert record(shop, "payout", "show", "out_" + payout.payout_id.hex)["address"] == TARGET
    shop.json("payout", "stop", "network", NETWORK, "--reason", "node trouble")
    shop.json("payout", "stop", "all")
    head, *rows = lines(shop, "payout", "stops")
    assert head.split() == ["scope", "subject", "reason", "since"]
    assert {row.split()[0]: "node trouble" in row for row in rows} == {"all": False, "network": True}
    stops = {(one["scope"], one["subject"]): one["reason"] for one in shop.json("payout", "stops")}
    assert stops == {("all", ""): "stopped by an operator", ("network", NETWORK): "node trouble"}
    assert [one["scope"] for one in shop.json("payout", "start", "all")] == ["network"]
    assert shop.json("payout", "stop", "network", NETWORK, "--reason", "again")[0]["reason"] in {
        "node trouble",
        "again",
    }
    assert shop.json("payout", "start", "network", NETWORK) == []
    head, row = lines(shop, "treasury", "plan")
    assert head.split() == ["network", "asset", "decision", "addresses", "amount", "reason"]
    assert row.split()[:5] == [NETWORK, ASSET, "wait", "1", "10"]
    head, *rows = lines(shop, "reconcile", "run", "--network", NETWORK)
    assert head.split() == ["network", "asset", "height", "places", "moving", "differing", "unread"]
    assert {row.split()[1] for row in rows} == {ASSET, "trx-tron"}


def test_keys_of_the_api_are_told_apart_in_lists_and_shown_once(shop: Deployment) -> None:
    words = ("merchant", "api-key", "create", SHOP, "--name", "till", "--scopes", "read, payin,read,")
    made = record(shop, *words, "--networks", "203.0.113.0/24")
    assert (made["algorithm"], made["scopes"], made["networks"]) == ("hmac-sha256", "payin, read", "203.0.113.0/24")
    assert (made["revoked_at"], len(made["secret"])) == ("-", 43)
    other = shop.json("merchant", "api-key", "create", SHOP, "--name", "till", "--scopes", "payout")
    listed = lines(shop, "merchant", "api-key", "list", SHOP)
    assert len(listed) == 3
    assert made["secret"] not in "\n".join(listed)
    revoked = shop.json("merchant", "api-key", "revoke", SHOP, other["key_id"])
    assert {one["key_id"]: bool(one["revoked_at"]) for one in revoked} == {made["key_id"]: False, other["key_id"]: True}


def test_fingerprints_that_agree_are_told_as_such(shop: Deployment) -> None:
    shown = record(shop, "authority", "show")
    assert shown.keys() == {"deployment", "here", "agree"}
    assert shown["agree"] == "yes"
    assert shown["deployment"] == shown["here"]
    assert [part.partition("=")[0] for part in shown["here"].split(", ")] == ["ca", "envelope", "sealing"]
    assert record(shop, "authority", "adopt") == shown, "nothing to adopt"


# --- files


WRONG_FILES = (
    (b"", "the file is empty"),
    (b"\xff\xfe", "UTF-8"),
    (b"source_id,asset\na,b\n", ""),
    (b"source_id,asset,address,amount,colour\n", ""),
    (b"source_id,source_id,asset,address,amount\n", ""),
)


def test_a_file_of_payouts_that_cannot_be_read_as_a_whole_pays_nothing(shop: Deployment) -> None:
    file = shop.folder / "salaries.csv"
    for content, says in WRONG_FILES:
        file.write_bytes(content)
        assert says in shop.refusal("payout", "batch", SHOP, str(file)), content
    file.write_text(HEAD + f"a,{ASSET},{TARGET},0.5,\n")
    assert "no merchant 'Nobody'" in shop.refusal("payout", "batch", "Nobody", str(file))
    assert "Is a directory" in shop.refusal("payout", "batch", SHOP, str(shop.folder))
    for out in (shop.folder, shop.folder / "nowhere" / "results.csv"):
        assert f"{out} can't be written" in shop.refusal("payout", "batch", SHOP, str(file), "--out", str(out))
    assert shop.json("payout", "list", "--merchant", SHOP) == []
    out = shop.folder / "results.csv"
    (row,) = shop.json("payout", "batch", SHOP, str(file), "--out", str(out))
    assert (row["line"], row["source_id"], row["result"], row["state"]) == (2, "a", "accepted", "approved")
    (written,) = csv.DictReader(StringIO(out.read_text()))
    assert written == {name: str(value) for name, value in row.items()}


def test_each_wrong_line_of_a_file_is_told_and_the_others_are_paid(shop: Deployment) -> None:
    file = shop.folder / "salaries.csv"
    file.write_text(
        HEAD
        + f"a,{ASSET},{TARGET},0.5,\n"
        + f"b,usdt-mars,{TARGET},0.5,\n"
        + f"c,{ASSET},nowhere,0.5,\n"
        + f"d,{ASSET},{TARGET},0,\n"
        + f"e,{ASSET},{TARGET},1000,\n"
        + f"f,{ASSET},{TARGET},0.5,7\n"
        + f",{ASSET},{TARGET},0.5,\n"
        + f"a,{ASSET},{TARGET},0.6,\n"
        + f"g,{ASSET},{TARGET},0.25,\n"
    )
    rows, told = shop.partly("payout", "batch", SHOP, str(file))
    assert told.startswith("7 of 9 lines")
    assert [row["line"] for row in rows] == list(range(2, 11))
    assert [row["line"] for row in rows if row["result"] == "accepted"] == [2, 10]
    assert all(row["code"] and row["message"] and not row["id"] for row in rows if row["result"] == "refused")
    paid = shop.json("payout", "list", "--merchant", SHOP)
    assert [(row["source_id"], row["amount"]) for row in paid] == [("g", "0.25"), ("a", "0.5")]
    assert shop.json("ledger", "check")["ok"]


def test_a_statement_goes_to_a_new_file_that_can_be_written(shop: Deployment) -> None:
    words = ("statement", "export", SHOP, "--out")
    today = datetime.now(UTC).date().isoformat()
    for wrong, says in (
        (shop.folder, "exists already"),
        (shop.folder / "nowhere" / "day.csv", "can't be written: No such file or directory"),
        (shop.folder / "bitlinkpay.toml" / "day.csv", "can't be written: Not a directory"),
    ):
        assert says in shop.refusal(*words, str(wrong)), wrong
    out = shop.folder / "day.json"
    assert lines(shop, *words, str(out), "--format", "json", "--postings", "--day", today, "--to", today) == []
    (found,) = json.loads(out.read_text())
    assert found["day"] == today
    assert len(found["postings"]) == sum(one["postings"] for one in found["movements"])
    assert "exists already" in shop.refusal(*words, str(out))
    assert json.loads(out.read_text()) == [found]
    head, *rows = lines(shop, "statement", "show", SHOP, "--asset", ASSET)
    assert {"merchant_id", "merchant", "day"}.isdisjoint(head.split())
    assert "9.97" in rows[-1]


# --- what the chain says


def test_a_registry_file_is_checked_with_and_without_a_deployment(
    sandbox: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    file = sandbox.folder / "tokens.toml"
    file.write_text(TOKEN)
    said = say(capsys, "registry", "check", str(file), "--json")
    assert (said.code, said.err) == (0, "")
    rows = {row["asset"]: row for row in json.loads(said.out)}
    assert rows["usdx-tron"] == {
        "asset": "usdx-tron", "network": "tron", "standard": "TRC20", "contract": "TXYZopYRdj2D9XRtbG411XZZ3kM5VkAeBf",
        "decimals": 6, "payable": True, "chain_id": 1, "coin_id": 77, "chain": NO_DEPLOYMENT,
    }  # fmt: skip
    assert (rows["trx-tron"]["standard"], rows["trx-tron"]["contract"], rows["trx-tron"]["chain"]) == (
        "native",
        "",
        NATIVE,
    )
    simulated = {row["asset"]: row["chain"] for row in sandbox.json("registry", "check", str(file))}
    assert simulated == {asset: NATIVE if row["chain"] == NATIVE else SIMULATED for asset, row in rows.items()}
    assert "usdx-tron" not in {row["asset"] for row in sandbox.json("registry", "check")}, "a check adds nothing"
    for wrong, says in (
        (TOKEN.replace("wm_coin_id = 77", "wm_coin_id = 1"), "usdx-tron"),
        (TOKEN.replace('network = "tron"', 'network = "mars"'), "mars"),
        (TOKEN.replace("decimals = 6\npay", "decimals = -1\npay"), "decimals"),
        (TOKEN.replace("TXYZopYRdj2D9XRtbG411XZZ3kM5VkAeBf", "TXYZ"), "usdx-tron"),
        (TOKEN + "colour = 1\n", "colour"),
        ("[", "tokens.toml"),
    ):
        file.write_text(wrong)
        assert says in sandbox.refusal("registry", "check", str(file)), wrong


@pytest.fixture
def dark(make: Callable[[Mode], Deployment]) -> Deployment:
    """A live deployment whose only network does not answer."""
    made = make(Mode.LIVE)
    toml = made.folder / "bitlinkpay.toml"
    toml.write_text(toml.read_text() + NOBODY_HOME)
    return made


def test_a_chain_that_cannot_be_asked_is_told_and_nothing_is_thawed_or_taken(dark: Deployment) -> None:
    assert "usdt-tron: the chain can't be asked" in dark.refusal("registry", "check", "--asset", ASSET)
    assert "it has no contract to ask" in dark.refusal("registry", "check", "--asset", "trx-tron")
    assert "--holder goes with the one --asset" in dark.refusal("registry", "check", "--holder", TARGET)
    assert "TRON address" in dark.refusal("registry", "check", "--asset", ASSET, "--holder", "nobody")
    assert "no asset 'usdt-mars'" in dark.refusal("registry", "check", "--asset", "usdt-mars")
    dark.sql(
        "insert into lanes (network, payer, role, key_index, next_number, frozen_reason)"
        f" values ('{NETWORK}', '{hot_wallet(dark)}', 'hot', 0, 3, 'the key is used elsewhere')"
    )
    assert "can't be asked where the wallet stands" in dark.refusal("lane", "thaw", NETWORK)
    (row,) = dark.json("lane", "list")
    assert (row["next_number"], row["frozen"]) == (3, "the key is used elsewhere")
    assert dark.json("reconcile", "run") == [], "nothing was read yet that books could be compared with"
    dark.sql(
        "insert into cursors (network, height, hash, block_at, final_height, updated_at)"
        f" values ('{NETWORK}', 100, 'aa', now(), 90, now())"
    )
    said = dark.say("reconcile", "run", "--json")
    assert (said.code, [bool(row["unread"]) for row in json.loads(said.out)]) == (1, [True, True])


def hot_wallet(shop: Deployment) -> str:
    async def work(platform: object) -> str:
        return platform.ring.hot_wallet(platform.registry.networks[NETWORK]).address

    return shop.act(work)
