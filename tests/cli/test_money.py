"""An order and its money on the command line: order, sandbox, balance, unassigned, webhook, ledger, chains."""

import getpass

import pytest
from tests.cli.deployment import ASSET, NETWORK, Deployment, DownInbox, EveryAddress
from tests.cli.test_money_out import TARGET

ORDER = {
    "order_id", "source_id", "merchant", "state", "labels", "asset", "amount", "address", "tag", "expires_at", "url",
    "deposits", "callbacks", "history",
}  # fmt: skip
BALANCE = {"asset", "available", "reserved", "pending", "unassigned", "quarantined", "debt"}
PUT_ASIDE = {
    "id", "state", "label", "asset", "amount", "fee", "merchant", "order_id", "sender", "tag", "txid", "seen_at",
}  # fmt: skip
CALLBACK_URL = "http://127.0.0.1:9000/callback"


@pytest.fixture
def shop(sandbox: Deployment) -> Deployment:
    """A sandbox with a merchant and one open order of 10 USDT."""
    sandbox.merchant("Corner Shop", "--callback-url", CALLBACK_URL)
    sandbox.order()
    return sandbox


def balance(shop: Deployment) -> dict:
    rows = shop.json("balance", "Corner Shop")
    if not rows:
        return {}
    [row] = rows
    assert row.keys() == BALANCE
    return {key: value for key, value in row.items() if key != "asset" and set(value) - set("0.")}


def put_aside(shop: Deployment) -> dict:
    [row] = shop.json("unassigned", "list")
    assert row.keys() == PUT_ASIDE
    return row


def test_an_open_order_shows_the_promised_shape_by_either_id(shop):
    shown = shop.json("order", "show", "order-1")
    assert shown.keys() == ORDER
    assert (shown["state"], shown["asset"], shown["amount"]) == ("created", ASSET, "10")
    assert shown["url"] == f"https://pay.example/pay/{shown['order_id']}"
    assert shown["labels"] == shown["deposits"] == shown["callbacks"] == []
    assert shown == shop.json("order", "show", shown["order_id"])
    assert shown == shop.json("order", "show", "order-1", "--merchant", "Corner Shop")


def test_orders_that_are_not_there_are_one_line(shop):
    for words in (("order-2",), ("pay_x",), ("0" * 32,), ("order-1", "--merchant", "Nobody")):
        shop.refusal("order", "show", *words)


def test_a_source_id_of_two_merchants_needs_the_merchant(shop):
    shop.merchant("Other Shop")
    other = shop.order(merchant="Other Shop")
    assert "--merchant" in shop.refusal("order", "show", "order-1")
    assert "--merchant" in shop.refusal("sandbox", "pay", "order-1")
    shown = shop.json("order", "show", "order-1", "--merchant", "Other Shop")
    assert (shown["order_id"], shown["merchant"]) == (other.payin_id.hex, "Other Shop")
    assert shop.json("order", "show", other.payin_id.hex) == shown
    shop.refusal("order", "show", other.payin_id.hex, "--merchant", "Corner Shop")


def test_a_source_id_that_repeats_an_order_id_hides_no_order(shop):
    first = shop.json("order", "show", "order-1")
    shop.merchant("Other Shop")
    second = shop.order(first["order_id"], merchant="Other Shop")
    assert shop.json("order", "show", first["order_id"]) == first
    shown = shop.json("order", "show", first["order_id"], "--merchant", "Other Shop")
    assert shown["order_id"] == second.payin_id.hex


def test_a_paid_order_shows_its_deposit_its_callback_and_its_history(shop):
    paid = shop.pay()
    shown = shop.json("order", "show", "order-1")
    assert (shown["state"], shown["order_id"]) == ("paid", paid["order_id"])
    [deposit] = shown["deposits"]
    assert deposit.keys() == {"deposit_id", "asset", "amount", "state", "label", "confirmations", "txid"}
    assert (deposit["asset"], deposit["amount"], deposit["txid"]) == (ASSET, "10", paid["txid"])
    [callback] = shown["callbacks"]
    assert callback.keys() == {"delivery_id", "state", "url", "attempts", "last_answer"}
    assert (callback["url"], callback["attempts"], callback["last_answer"]) == (CALLBACK_URL, 1, 200)
    assert [step["to"] for step in shown["history"]][-1] == "paid"
    assert balance(shop) == {"available": "9.97"}
    assert "order-1" in shop.say("order", "show", "order-1").out


def test_money_is_pending_until_it_is_final(shop):
    shop.json("sandbox", "pay", "order-1")
    shop.mine(1)
    assert balance(shop) == {"pending": "10"}
    assert shop.json("order", "show", "order-1")["state"] == "confirming"


def test_a_reorganisation_takes_unsettled_money_back(shop):
    shop.json("sandbox", "pay", "order-1")
    shop.mine(1)
    reorged = shop.json("sandbox", "reorg", NETWORK, "1")
    assert reorged.keys() == {"network", "height"}
    shop.mine(1)
    shop.mine()
    assert balance(shop) == {}
    assert shop.json("order", "show", "order-1")["state"] == "created"
    assert shop.json("ledger", "check")["ok"]


def test_odd_money_is_listed_and_accepted_as_payment(shop):
    shop.pay("order-1", "--amount", "4")
    found = put_aside(shop)
    assert (found["amount"], found["asset"]) == ("4", ASSET)
    assert balance(shop) == {"unassigned": "4"}
    assert shop.json("unassigned", "list", "--merchant", "Corner Shop") == [found]
    decided = shop.json("unassigned", "accept", found["id"])
    assert (decided.keys(), decided["id"]) == (PUT_ASIDE, found["id"])
    shown = shop.json("order", "show", "order-1")
    assert (shown["state"], shown["history"][-1]["cause"]) == ("paid", f"{getpass.getuser()}: {found['txid']}")
    assert shop.json("unassigned", "list") == []
    shop.refusal("unassigned", "accept", found["id"])
    assert shop.json("ledger", "check")["ok"]


def test_odd_money_is_credited_while_the_order_stays_as_it_is(shop):
    shop.pay("order-1", "--amount", "4")
    before = shop.json("order", "show", "order-1")["state"]
    credited = shop.json("unassigned", "credit", put_aside(shop)["id"])
    assert credited["fee"] == "0.012"
    assert balance(shop) == {"available": "3.988"}
    assert shop.json("order", "show", "order-1")["state"] == before
    shop.refusal("unassigned", "credit", credited["id"])
    assert balance(shop) == {"available": "3.988"}


def test_quarantined_money_has_to_be_released_before_it_counts(shop):
    shop.lists.listed = EveryAddress()
    shop.pay()
    found = put_aside(shop)
    assert balance(shop) == {"quarantined": "10"}
    shop.refusal("unassigned", "credit", found["id"])
    shop.json("unassigned", "release", found["id"])
    assert balance(shop) == {"unassigned": "10"}
    shop.json("unassigned", "credit", found["id"])
    assert balance(shop) == {"available": "9.97"}


def test_TON_07_money_without_a_tag_is_listed_assigned_and_accepted(shop):
    """The company's TON comes to the same wallet: what is sent there by `fund` has no tag either."""
    order = shop.order("ton-order", asset_id="usdt-ton")
    shop.follow("ton")  # places the cursor
    shop.json("sandbox", "fund", "usdt-ton", "10")
    shop.mine(5, "ton")
    found = put_aside(shop)
    assert (found["merchant"], found["order_id"], found["tag"], found["state"]) == (None, None, "", "unassigned")
    assert found["sender"].startswith("UQ")
    for decision in ("credit", "accept"):
        assert "nobody knows yet whose money this is" in shop.refusal("unassigned", decision, found["id"])
    assert "--sender" in shop.refusal("treasury", "claim", found["id"])
    given = shop.json("unassigned", "assign", found["id"], "--order", "ton-order", "--merchant", "Corner Shop")
    assert (given["order_id"], given["label"]) == (order.payin_id.hex, "untagged")
    assert "owner already" in shop.refusal("unassigned", "assign", found["id"], "--merchant", "Corner Shop")
    shop.json("unassigned", "accept", found["id"])
    assert shop.json("order", "show", "ton-order")["state"] == "paid"
    assert balance(shop) == {"available": "9.97"}
    assert shop.json("ledger", "check")["ok"]


def test_the_companys_own_ton_is_claimed_by_who_sent_it(shop):
    shop.follow("ton")
    shop.json("sandbox", "fund", "ton-ton", "3")
    shop.mine(5, "ton")
    [row] = shop.json("treasury", "unclaimed")
    assert "48 letters" in shop.refusal("treasury", "claim", row["id"], "--sender", "nobody")
    assert shop.json("treasury", "claim", row["id"], "--sender", row["sender"])["state"] == "claimed"


def test_an_owner_has_to_be_named(shop):
    with pytest.raises(SystemExit) as ended:
        shop.say("unassigned", "assign", "dep_" + "0" * 32)
    assert ended.value.code == 2


@pytest.mark.parametrize("action", ["accept", "credit", "release"])
@pytest.mark.parametrize("name", ["dep_x", "x", "", "dep_" + "0" * 26, "pay_" + "0" * 26])
def test_decisions_about_nothing_are_one_line(sandbox, action, name):
    sandbox.refusal("unassigned", action, name)


def test_callbacks_are_listed_shown_and_resent(shop):
    shop.pay()
    [row] = shop.json("webhook", "list")
    keys = {"id", "kind", "state", "attempts", "order_id", "url", "next_at", "delivered_at"}
    assert row.keys() == keys
    assert (row["state"], row["attempts"], row["url"]) == ("delivered", 1, CALLBACK_URL)
    assert shop.json("webhook", "list", "--merchant", "Corner Shop", "--state", "delivered") == [row]
    shown = shop.json("webhook", "show", row["id"])
    assert shown.keys() == keys | {"body", "tries"}
    assert '"source_id":"order-1"' in shown["body"]
    [first] = shown["tries"]
    assert first.keys() == {"attempt", "at", "outcome", "status", "answer", "error", "sent_headers"}
    assert (first["status"], first["sent_headers"]["webhook-id"]) == (200, row["id"])
    assert shop.json("webhook", "resend", row["id"])["state"] != "delivered"
    shop.follow()
    assert len(shop.inbox.bodies) == 2
    assert len(shop.json("webhook", "show", row["id"])["tries"]) == 2


def test_a_callback_that_fails_shows_why(shop):
    shop.inbox = DownInbox()
    shop.pay()
    [row] = shop.json("webhook", "list")
    assert (row["attempts"], row["delivered_at"]) == (1, None)
    [attempt] = shop.json("webhook", "show", row["id"])["tries"]
    assert (attempt["status"], attempt["answer"]) == (500, "down")
    for name in ("evt_x", "", "evt_" + "0" * 26):
        shop.refusal("webhook", "resend", name)
        shop.refusal("webhook", "show", name)


def test_sound_books_are_exit_code_0_and_every_check_is_named(shop):
    shop.pay()
    books = shop.json("ledger", "check")
    assert books.keys() == {"ok", "checks"}
    assert books["ok"] is True
    assert all(check.keys() == {"name", "ok", "detail"} and check["ok"] for check in books["checks"])
    assert {"zero_sum", "equation", "sealed"} <= {check["name"] for check in books["checks"]}
    assert shop.say("ledger", "check").out.endswith("the books hold\n")


def test_broken_books_are_exit_code_1_and_name_the_broken_check(shop):
    shop.pay()
    damage = "UPDATE ledger_accounts SET balance_units = balance_units + 1 WHERE name LIKE 'merchant:%:available'"
    shop.sql(damage_past_guards(damage))
    said = shop.say("ledger", "check", "--json")
    assert (said.code, said.err) == (1, "")
    assert '"ok":false' in said.out
    said = shop.say("ledger", "check")
    assert said.code == 1
    assert said.out.endswith("THE BOOKS DO NOT HOLD\n")
    assert "cache_equals_entries" in said.out


def damage_past_guards(words: str) -> str:
    table = "ledger_accounts"
    return f"ALTER TABLE {table} DISABLE TRIGGER USER; {words}; ALTER TABLE {table} ENABLE TRIGGER USER"


def test_every_network_has_its_status(shop):
    shop.pay()
    rows = {row["network"]: row for row in shop.json("chains", "status")}
    assert len(rows) == 8
    keys = {"network", "head", "final", "cursor", "lag_s", "quorum", "large", "endpoints", "on_hold", "error"}
    assert all(row.keys() == keys for row in rows.values())
    tron = rows[NETWORK]
    assert tron["final"] <= tron["cursor"] <= tron["head"]
    assert isinstance(tron["lag_s"], int)
    assert all(endpoint.keys() == {"url", "ok", "height", "error"} for endpoint in tron["endpoints"])
    assert tron["quorum"] == "", "a simulated network has no endpoints"
    assert "usdt-tron from 10000: 2 endpoints" in tron["large"]
    assert "healthy" in shop.say("chains", "status").out


def test_the_sandboxes_network_and_clock_answer_what_became_of_them(sandbox):
    first = sandbox.json("sandbox", "mine", NETWORK)
    assert first.keys() == {"network", "height"}
    assert sandbox.json("sandbox", "mine", NETWORK, "5")["height"] == first["height"] + 5
    before, after = (sandbox.json("sandbox", "clock", step)["now"] for step in ("1s", "+72h"))
    assert before < after


@pytest.mark.parametrize(
    "words",
    [
        ("mine", "dogecoin"), ("mine", NETWORK, "0"), ("mine", NETWORK, "1001"), ("reorg", NETWORK, "0"),
        ("reorg", NETWORK, "501"), ("clock", "later"), ("clock", "+1y"), ("clock", "30"), ("clock", "+9999999d"),
        ("clock", "+٣m"), ("pay", "order-9"),
    ],
)  # fmt: skip
def test_what_a_sandbox_cannot_do_is_one_line(sandbox, words):
    sandbox.refusal("sandbox", *words)


@pytest.mark.parametrize(
    "words", [("--amount", "x"), ("--amount", "0.0000001"), ("--asset", "btc-bitcoin"), ("--asset", "x")]
)
def test_payments_that_cannot_be_made_are_one_line(shop, words):
    shop.refusal("sandbox", "pay", "order-1", *words)


@pytest.mark.parametrize("words", [("mine", NETWORK), ("pay", "order-1"), ("reorg", NETWORK, "1"), ("clock", "+1m")])
def test_a_live_deployment_refuses_the_sandboxes_commands(live, words):
    assert "live" in live.refusal("sandbox", *words)


def test_what_is_new_in_the_books_is_audited_on_request(shop):
    shop.pay()
    audited = shop.json("ledger", "audit")
    assert audited.keys() == {"ok", "postings", "findings"}
    assert (audited["ok"], audited["findings"]) == (True, [])
    assert "postings" in shop.say("ledger", "audit").out


def test_odd_money_is_refunded_to_an_address_that_its_merchant_confirmed(shop: Deployment, monkeypatch) -> None:
    monkeypatch.setenv("LOGNAME", "anna")
    shop.pay("order-1", "--amount", "4")
    found = put_aside(shop)
    for asset in (ASSET, "trx-tron"):
        shop.json("sandbox", "fund", asset, "100")
    shop.mine()
    shop.refusal("unassigned", "refund", "dep_" + "0" * 32, TARGET)
    assert "can't be paid" in shop.refusal("unassigned", "refund", found["id"], "nobody")
    asked = shop.json("unassigned", "refund", found["id"], TARGET)
    assert (asked["kind"], asked["state"], asked["source_id"]) == ("refund", "in_review", found["id"])
    assert asked["reason"] == "the merchant has to confirm the address"
    assert shop.json("unassigned", "list", "--merchant", "Corner Shop") == []
    assert "unassigned confirm" in shop.refusal("payout", "approve", asked["id"])
    assert "another person" in shop.refusal("unassigned", "confirm", asked["id"], TARGET)
    monkeypatch.setenv("LOGNAME", "boris")
    assert f"goes to {TARGET}" in shop.refusal("unassigned", "confirm", asked["id"], found_address(shop))
    assert shop.json("unassigned", "confirm", asked["id"], TARGET)["state"] == "approved"
    assert shop.json("ledger", "check")["ok"]


def found_address(shop: Deployment) -> str:
    return shop.json("order", "show", "order-1")["address"]
