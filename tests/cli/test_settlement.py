"""`bitlinkpay settlement`: from the four checks to the list of runs, as an operator types it."""

import pytest
from tests.authorizations.people import key_of
from tests.cli.deployment import ASSET, NETWORK, Deployment

from bitlinkpay.app.networks import chains_of
from bitlinkpay.app.paying import payouts_of
from bitlinkpay.app.platform import Platform
from bitlinkpay.app.settling import automatic_of
from bitlinkpay.authorizations import onetime
from bitlinkpay.cli.merchant_security import PASSWORD_VARIABLE
from bitlinkpay.cli.naming import find_merchant
from bitlinkpay.cli.proof import DEVICE_VARIABLE
from bitlinkpay.core.clock import SystemClock
from bitlinkpay.payouts import store as payouts_store
from bitlinkpay.payouts.model import PayoutKind, Terms
from bitlinkpay.workers.duties import settle_by_rules

SHOP = "Corner Shop"
HOME, OTHER = "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL", "TLa2f6VPqDgRE67v1736s7bJ8Ray5wYjU7"
ROW = {
    "id", "cause", "state", "asset", "amount", "fee", "network_fee", "address", "tag", "txid", "reason", "created_at",
}  # fmt: skip
RULE = {"id", "asset", "every", "day", "at", "zone", "threshold", "reserve", "fee_max", "next_due_at"}


class Counter:
    """The merchant's authenticator: a fresh code each time, although no time passes; each step is spent once."""

    def __init__(self, shop: Deployment, key: bytes) -> None:
        self.shop, self.key = shop, key

    def proof(self) -> tuple[str, ...]:
        self.shop.sql("update authenticators set last_step = 0; delete from authorizations where used_at is null")
        self.shop.sql("update authorizations set mark = authorization_id::text")  # as if another half minute had begun
        return ("--code", onetime.code_at(self.key, onetime.step_of(SystemClock().now())))


@pytest.fixture
def shop(sandbox: Deployment, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """A sandbox with a merchant that has earned 9.97 USDT and is set up for the checks."""
    sandbox.merchant(SHOP)
    monkeypatch.setenv(PASSWORD_VARIABLE, "correct horse battery")
    sandbox.json("merchant", "set-payment-password", SHOP)
    key = key_of(sandbox.json("merchant", "totp", SHOP)["uri"])
    code = onetime.code_at(key, onetime.step_of(SystemClock().now()) - 1)
    sandbox.json("merchant", "totp", SHOP, "--confirm", code)
    monkeypatch.setenv(DEVICE_VARIABLE, sandbox.json("merchant", "devices", SHOP, "--add", "office")["token"])
    sandbox.order()
    sandbox.pay()
    sandbox.counter = Counter(sandbox, key)  # type: ignore[attr-defined]
    return sandbox


def proof(shop: Deployment) -> tuple[str, ...]:
    return shop.counter.proof()  # type: ignore[attr-defined]


def settle_by_worker(shop: Deployment) -> None:
    async def work(platform: Platform) -> None:
        chains = chains_of(platform.settings, platform.registry, platform.database, platform.ring)
        automatic = automatic_of(platform, payouts_of(platform, chains))
        assert await settle_by_rules(automatic)
        assert not await settle_by_rules(automatic)

    shop.act(work)


def test_what_it_costs_is_shown_and_then_it_is_requested(shop: Deployment) -> None:
    quote = shop.json("settlement", "quote", SHOP, ASSET, "all", "--address", HOME)
    assert quote.keys() == {"asset", "amount", "fee", "network_fee", "taken"}
    assert quote["taken"] == "9.97"
    words = ("settlement", "request", SHOP, ASSET, "all", "--address", HOME)
    assert "not known" in _without_device(shop, words)
    assert "password or the one-time code is wrong" in shop.refusal(*words, "--code", "000000")
    asked = shop.json(*words, "--id", "set_" + "1" * 32, *proof(shop))
    assert asked.keys() == ROW
    assert (asked["id"], asked["cause"], asked["state"]) == ("set_" + "1" * 32, "manual", "approved")
    assert (asked["amount"], asked["network_fee"], asked["address"]) == (quote["amount"], quote["network_fee"], HOME)
    again = shop.json(*words, "--id", "set_" + "1" * 32, *proof(shop))
    assert again == asked
    assert shop.json("settlement", "show", asked["id"]) == asked
    assert shop.json("settlement", "list", "--merchant", SHOP) == [asked]
    cancelled = shop.json("settlement", "cancel", asked["id"])
    assert (cancelled["state"], cancelled["reason"]) == ("cancelled", "cancelled by the merchant")
    (balance,) = shop.json("balance", SHOP)
    assert (balance["available"], balance["reserved"]) == ("9.97", "0")


def _without_device(shop: Deployment, words: tuple[str, ...]) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(DEVICE_VARIABLE)
        return shop.refusal(*words, *proof(shop))


def test_a_large_one_waits_for_another_person_than_the_one_who_typed_it(
    shop: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def limit(platform: Platform) -> None:
        async with platform.database.transaction() as tx:
            owner = await find_merchant(tx, SHOP)
            await payouts_store.save_terms(
                tx, owner.merchant_id, PayoutKind.SETTLEMENT, ASSET, Terms(review_above_units=1_000_000)
            )

    shop.act(limit)
    monkeypatch.setenv("LOGNAME", "alice")
    asked = [shop.json("settlement", "request", SHOP, ASSET, "2", "--address", HOME, *proof(shop)) for _ in range(2)]
    assert [one["state"] for one in asked] == ["in_review"] * 2
    assert [one["id"] for one in shop.json("settlement", "list")] == [one["id"] for one in asked]
    assert "another person" in shop.refusal("settlement", "approve", asked[0]["id"])
    monkeypatch.setenv("LOGNAME", "bob")
    assert shop.json("settlement", "approve", asked[0]["id"])["state"] == "approved"
    rejected = shop.json("settlement", "reject", asked[1]["id"], "--reason", "not today")
    assert (rejected["state"], rejected["reason"]) == ("rejected", "not today")
    assert shop.json("settlement", "list") == []
    assert "too late" in shop.refusal("settlement", "reject", asked[1]["id"], "--reason", "again")
    assert shop.json("ledger", "check")["ok"]


def test_a_bound_address_rests_and_then_rules_settle_there(shop: Deployment) -> None:
    bound = shop.json("settlement", "bind", SHOP, NETWORK, HOME, *proof(shop))
    assert bound.keys() == {"network", "label", "address", "tag", "state", "usable_at"}
    assert (bound["address"], bound["state"]) == (HOME, "resting")
    daily = shop.json(
        "settlement", "add-rule", SHOP, ASSET, "--every", "daily", "--at", "08:00", "--zone", "Asia/Shanghai",
        "--reserve", "1", "--fee-max", "5", *proof(shop),
    )  # fmt: skip
    assert daily.keys() == RULE
    assert (daily["every"], daily["at"], daily["zone"], daily["reserve"], daily["fee_max"]) == (
        "daily", "08:00", "Asia/Shanghai", "1", "5",
    )  # fmt: skip
    reached = shop.json("settlement", "add-rule", SHOP, ASSET, "--threshold", "9", *proof(shop))
    assert (reached["threshold"], reached["every"], reached["next_due_at"]) == ("9", None, None)
    assert shop.json("settlement", "rules", SHOP) == [daily, reached]
    settle_by_worker(shop)
    (skipped,) = shop.json("settlement", "runs", SHOP)
    assert skipped.keys() == ROW | {"rule", "trigger", "detail"}
    assert (skipped["rule"], skipped["state"], skipped["reason"]) == (reached["id"], "skipped", "address_on_hold")
    assert "rests until" in skipped["detail"]
    shop.json("sandbox", "clock", "+25h")
    assert shop.json("settlement", "addresses", SHOP)[0]["state"] == "usable"
    settle_by_worker(shop)
    (latest, *_) = shop.json("settlement", "runs", SHOP, "--rule", daily["id"])
    assert (latest["cause"], latest["state"], latest["address"]) == ("schedule", "approved", HOME)
    assert shop.json("balance", SHOP)[0]["available"] == "1"
    assert shop.json("settlement", "remove-rule", SHOP, daily["id"]) == [reached]
    assert "removed already" in shop.refusal("settlement", "remove-rule", SHOP, daily["id"])
    assert shop.json("settlement", "unbind", SHOP, NETWORK)[0]["state"] == "ended"
    assert "no address is bound" in shop.refusal("settlement", "unbind", SHOP, NETWORK)
    assert shop.json("ledger", "check")["ok"]


def test_a_saved_address_is_named_instead_of_typed_once_it_has_rested(shop: Deployment) -> None:
    shop.json("settlement", "bind", SHOP, NETWORK, OTHER, "--label", "safe", *proof(shop))
    words = ("settlement", "quote", SHOP, ASSET, "2", "--to", "safe")
    assert "rests until" in shop.refusal(*words)
    shop.json("sandbox", "clock", "+24h")
    shop.json(*words)
    asked = shop.json("settlement", "request", SHOP, ASSET, "2", "--to", "safe", *proof(shop))
    assert asked["address"] == OTHER
    assert "is saved on" in shop.refusal("settlement", "quote", SHOP, ASSET, "2", "--to", "nowhere")


MISTAKES = (
    (("quote", SHOP, ASSET, "2"), "say where to"),
    (("quote", SHOP, ASSET, "2", "--to", "a", "--address", HOME), "say where to"),
    (("quote", SHOP, ASSET, "two", "--address", HOME), "plain digits"),
    (("quote", SHOP, "usdt-mars", "2", "--address", HOME), "usdt-mars"),
    (("quote", "Nobody", ASSET, "2", "--address", HOME), "no merchant"),
    (("show", "set_" + "0" * 32), "no settlement"),
    (("approve", "set_" + "0" * 32), "no settlement"),
    (("cancel", "set_x"), "set_"),
    (("bind", SHOP, NETWORK, "nowhere", "--code", "000000"), "can't be paid"),
    (("add-rule", SHOP, ASSET, "--code", "000000"), "either a schedule or a threshold"),
    (("add-rule", SHOP, ASSET, "--every", "daily", "--at", "8 o'clock", "--code", "000000"), "HH:MM"),
    (("add-rule", SHOP, ASSET, "--every", "daily", "--zone", "Mars", "--code", "000000"), "no time zone"),
    (("add-rule", SHOP, ASSET, "--every", "weekly", "--code", "000000"), "weekly takes 1 to 7"),
    (("add-rule", SHOP, ASSET, "--threshold", "0", "--code", "000000"), "or more"),
)


def test_what_is_wrong_is_one_line_that_says_what_to_change(shop: Deployment) -> None:
    told = [shop.refusal("settlement", *words) for words, _ in MISTAKES]
    assert [text for text, (_, expected) in zip(told, MISTAKES, strict=True) if expected not in text] == []
