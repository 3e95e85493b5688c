"""Payouts and the platform's own wallets on the command line: payout, treasury, sandbox fund."""

from collections.abc import Sequence
from decimal import Decimal

import pytest
from tests.cli.deployment import ASSET, NETWORK, Deployment

from bitlinkpay.app.networks import chains_of
from bitlinkpay.app.paying import payouts_of
from bitlinkpay.app.platform import Platform
from bitlinkpay.cli.naming import find_merchant
from bitlinkpay.merchants import service as merchants
from bitlinkpay.merchants.model import Note
from bitlinkpay.payouts import store
from bitlinkpay.payouts.model import NewPayout, Payout, PayoutKind, Terms

PAYOUT = {
    "id", "kind", "source_id", "state", "asset", "amount", "fees", "address", "tag", "txid", "reason",
    "waits_for", "created_at",
}  # fmt: skip
TARGET = "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL"
REVIEW_ABOVE = 1_000_000


@pytest.fixture
def shop(sandbox: Deployment) -> Deployment:
    """A sandbox with a merchant that has earned 9.97 USDT, and whose payouts above 1 USDT wait for a person."""
    sandbox.merchant("Corner Shop")
    sandbox.order()
    sandbox.pay()

    async def limit(platform: Platform) -> None:
        async with platform.database.transaction() as tx:
            owner = await find_merchant(tx, "Corner Shop")
            await store.save_terms(
                tx, owner.merchant_id, PayoutKind.PAYOUT, ASSET, Terms(review_above_units=REVIEW_ABOVE)
            )

    sandbox.act(limit)
    return sandbox


def ask(shop: Deployment, source_id: str, amount: str) -> Payout:
    """Ask for a payout as the merchant API does."""

    async def work(platform: Platform) -> Payout:
        async with platform.database.reader() as tx:
            owner = await find_merchant(tx, "Corner Shop")
        chains = chains_of(platform.settings, platform.registry, platform.database, platform.ring)
        payouts = payouts_of(platform, chains)
        asset = platform.registry.assets[ASSET]
        draft = await payouts.prepare(
            NewPayout(owner, PayoutKind.PAYOUT, source_id, asset, TARGET, "", Decimal(amount))
        )
        return await platform.database.unit(lambda tx: payouts.request(tx, draft))

    return shop.act(work)


async def history(platform: Platform) -> Sequence[Note]:
    async with platform.database.reader() as tx:
        return await merchants.list_events(tx, (await find_merchant(tx, "Corner Shop")).merchant_id)


def available(shop: Deployment) -> tuple[str, str]:
    (row,) = shop.json("balance", "Corner Shop")
    return row["available"], row["reserved"]


def test_a_large_payout_waits_for_a_person_who_lets_it_go(shop: Deployment) -> None:
    ask(shop, "small", "0.5")
    ask(shop, "large", "5")
    (waiting,) = shop.json("payout", "list")
    assert waiting.keys() == PAYOUT
    assert (waiting["source_id"], waiting["state"], waiting["amount"]) == ("large", "in_review", "5")
    assert "without a review" in waiting["reason"]
    approved = shop.json("payout", "approve", waiting["id"])
    assert approved["state"] == "approved"
    assert shop.json("payout", "list") == []
    assert shop.json("payout", "show", waiting["id"]) == approved
    assert "too late" in shop.refusal("payout", "approve", waiting["id"])
    rows = shop.json("payout", "list", "--merchant", "Corner Shop")
    assert [row["source_id"] for row in rows] == ["large", "small"]


def test_a_rejected_payout_gives_everything_back(shop: Deployment) -> None:
    before = available(shop)
    ask(shop, "large", "5")
    assert available(shop) != before
    (waiting,) = shop.json("payout", "list")
    rejected = shop.json("payout", "reject", waiting["id"], "--reason", "unknown recipient")
    assert (rejected["state"], rejected["reason"]) == ("rejected", "unknown recipient")
    assert available(shop) == before
    assert "too late" in shop.refusal("payout", "reject", waiting["id"], "--reason", "again")
    assert shop.json("ledger", "check")["ok"]


def test_a_payout_says_what_it_waits_for(shop: Deployment) -> None:
    ask(shop, "small", "0.5")
    (row,) = shop.json("payout", "list", "--merchant", "Corner Shop")
    assert (row["state"], row["waits_for"]) == ("approved", "")
    shop.json("merchant", "suspend", "Corner Shop")
    assert shop.json("payout", "show", row["id"])["waits_for"] == "the merchant is suspended"
    shop.json("merchant", "resume", "Corner Shop")
    shop.json("payout", "stop", "all", "--reason", "node trouble")
    assert shop.json("payout", "show", row["id"])["waits_for"] == "payments are stopped: node trouble"
    shop.json("payout", "start", "all")
    shop.sql("update sendings set reason = 'above the cap of one payment'")
    assert shop.json("payout", "show", row["id"])["waits_for"] == "above the cap of one payment"
    held = shop.json("payout", "hold", row["id"], "--reason", "a call from the bank")
    assert (held["state"], held["reason"], held["waits_for"]) == ("in_review", *["a call from the bank"] * 2)
    assert shop.json("payout", "list") == [held]
    assert shop.json("payout", "approve", row["id"])["waits_for"] == ""
    shop.json("payout", "hold", row["id"], "--reason", "another call")
    assert shop.json("payout", "reject", row["id"], "--reason", "no")["state"] == "rejected"
    assert shop.json("ledger", "check")["ok"]


def test_payout_terms_are_set_shown_and_kept_in_the_merchants_history(shop: Deployment) -> None:
    words = ("payout", "terms", "Corner Shop", ASSET)
    assert shop.json(*words) == {
        "kind": "payout", "asset": ASSET, "fee_percent": "0", "fee_flat": "0", "payment_max": None, "day_max": None,
        "review_above": "1", "fresh_max": None,
    }  # fmt: skip
    options = ("--fee", "0.25", "--fee-flat", "0.1", "--payment-max", "5", "--day-max", "8.5", "--fresh-max", "2")
    changed = shop.json(*words, *options, "--review-above", "")
    assert changed == shop.json(*words)
    assert changed == {
        "kind": "payout", "asset": ASSET, "fee_percent": "0.25", "fee_flat": "0.1", "payment_max": "5",
        "day_max": "8.5", "review_above": None, "fresh_max": "2",
    }  # fmt: skip
    assert shop.json(*words, "--settlement")["payment_max"] is None
    assert ask(shop, "charged", "4").charge.fee_units == 110_000
    with pytest.raises(Exception, match="largest single withdrawal is 5 USDT"):
        ask(shop, "dear", "5.5")
    (noted,) = [note for note in shop.act(history) if note.event == "changed"]
    assert noted.detail[f"payout terms of {ASSET}"]["payment_max_units"] == {"from": None, "to": "5000000"}
    for wrong in (("--fee", "21"), ("--fee", "1e1"), ("--fee-flat", "0.0000001"), ("--day-max", "-1")):
        shop.refusal(*words, *wrong)
    shop.refusal("payout", "terms", "Nobody", ASSET)
    shop.refusal("payout", "terms", "Corner Shop", "usdt-mars")


def test_PAY_10_a_frozen_lane_is_shown_and_put_back_to_work(shop: Deployment) -> None:
    assert shop.json("lane", "list") == []
    ask(shop, "small", "0.5")
    wallet = shop.json("sandbox", "fund", ASSET, "1")["wallet"]
    shop.sql(
        f"insert into lanes (network, payer, role, key_index, next_number, frozen_reason)"
        f" values ('{NETWORK}', '{wallet}', 'hot', 0, 0, 'the key is used elsewhere')"
    )
    (row,) = shop.json("lane", "list")
    assert row == {
        "network": NETWORK, "wallet": wallet, "next_number": 0, "waiting": 1, "running": 0,
        "frozen": "the key is used elsewhere",
    }  # fmt: skip
    assert shop.json("lane", "thaw", NETWORK, wallet)["frozen"] == ""
    assert "not frozen" in shop.refusal("lane", "thaw", NETWORK)
    assert "no lane of this wallet" in shop.refusal("lane", "thaw", NETWORK, TARGET)
    shop.refusal("lane", "thaw", NETWORK, "nobody")
    shop.refusal("lane", "thaw", "mars")


def test_payouts_that_are_not_there_are_one_line(shop: Deployment) -> None:
    for words in (("show", "out_x"), ("show", "out_" + "0" * 32), ("approve", "out_" + "0" * 32)):
        shop.refusal("payout", *words)
    shop.refusal("payout", "reject", "out_" + "0" * 32, "--reason", "none")
    shop.refusal("payout", "list", "--merchant", "Nobody")


def test_OPS_17_one_person_stops_payments_and_lets_them_go_on(shop: Deployment) -> None:
    for words in (("network", NETWORK), ("asset", ASSET), ("merchant", "Corner Shop"), ("all",)):
        (stop,) = shop.json("payout", "stop", *words, "--reason", "trouble")
        assert (stop["scope"], stop["reason"]) == (words[0], "trouble")
        with pytest.raises(Exception, match="stopped for now"):
            ask(shop, "stopped", "0.5")
        assert shop.json("payout", "stops") == [stop]
        assert shop.json("payout", "start", *words) == []
        assert "not stopped" in shop.refusal("payout", "start", *words)
    assert ask(shop, "stopped", "0.5").state == "approved"
    for words in (("network", "mars"), ("asset", "usdt-mars"), ("merchant", "Nobody")):
        shop.refusal("payout", "stop", *words)


def test_the_companys_money_is_claimed_by_a_person(shop: Deployment) -> None:
    sent = shop.json("sandbox", "fund", ASSET, "250.5")
    shop.mine()
    (row,) = shop.json("treasury", "unclaimed")
    assert (row["asset"], row["wallet"], row["amount"]) == (ASSET, sent["wallet"], "250.5")
    claimed = shop.json("treasury", "claim", row["id"])
    assert (claimed["state"], claimed["amount"]) == ("claimed", "250.5")
    assert shop.json("treasury", "unclaimed") == []
    assert "only final money" in shop.refusal("treasury", "claim", row["id"])
    status = {wallet["asset"]: wallet for wallet in shop.json("treasury", "status")}
    assert (status[ASSET]["books"], status[ASSET]["promised"], status[ASSET]["chain"]) == ("250.5", "0", "250.5")
    assert {wallet["network"] for wallet in status.values()} >= {"tron", "ton", "bitcoin", "solana", "ethereum"}
    assert shop.json("ledger", "check")["ok"]


def test_a_merchants_money_is_never_the_companys(shop: Deployment) -> None:
    (deposit,) = shop.json("order", "show", "order-1")["deposits"]
    assert "a merchant's address" in shop.refusal("treasury", "claim", deposit["deposit_id"])
    shop.refusal("treasury", "claim", "dep_" + "0" * 32)


def test_a_faucet_takes_plain_amounts_of_known_assets(shop: Deployment) -> None:
    for words in ((ASSET, "-1"), (ASSET, "1e3"), (ASSET, "0.0000001"), ("usdt-mars", "1")):
        shop.say("sandbox", "fund", *words)
        assert shop.json("treasury", "unclaimed") == []


def test_where_withdrawals_may_come_from_is_a_term_of_the_merchant(shop: Deployment) -> None:
    shown = shop.json("merchant", "set-policy", "Corner Shop", "--payout-networks", "203.0.113.0/24,2001:db8::/48")
    assert shown["payout_networks"] == ["203.0.113.0/24", "2001:db8::/48"]
    refused = shop.refusal("merchant", "set-policy", "Corner Shop", "--payout-networks", "203.0.113.7/24")
    assert "payout_networks" in refused
    assert shop.json("merchant", "set-policy", "Corner Shop", "--payout-networks", "")["payout_networks"] == []


def test_PAY_42_a_file_of_payouts_is_answered_line_by_line(shop: Deployment) -> None:
    shop.json("sandbox", "fund", ASSET, "100")
    shop.json("sandbox", "fund", "trx-tron", "100")
    shop.mine()
    file, out = shop.folder / "salaries.csv", shop.folder / "results.csv"
    file.write_text(
        f"source_id;asset;address;amount\na;{ASSET};{TARGET};0.5\nb;{ASSET};{TARGET};0,5\nc;{ASSET};{TARGET};2\n"
    )
    rows, told = shop.partly("payout", "batch", "Corner Shop", str(file), "--out", str(out))
    assert told == "1 of 3 lines have no payout: their results say why"
    assert [(row["line"], row["result"], row["state"]) for row in rows] == [
        (2, "accepted", "approved"),
        (3, "refused", ""),
        (4, "accepted", "in_review"),
    ]
    assert "decimal point" in rows[1]["message"]
    assert out.read_text().splitlines()[0] == "line,source_id,result,id,state,code,message"
    assert len(out.read_text().splitlines()) == 4, "what was refused is written too"
    again, _ = shop.partly("payout", "batch", "Corner Shop", str(file))
    assert [row["result"] for row in again] == ["repeated", "refused", "repeated"]
    file.write_text(f"source_id;asset;address;amount\na;{ASSET};{TARGET};0.5\nc;{ASSET};{TARGET};2\n")
    assert [row["result"] for row in shop.json("payout", "batch", "Corner Shop", str(file))] == ["repeated"] * 2
    assert "another person" in shop.refusal("payout", "approve", rows[2]["id"])
    assert "can't be read" in shop.refusal("payout", "batch", "Corner Shop", str(shop.folder / "none.csv"))
    file.write_bytes(b"")
    assert "the file is empty" in shop.refusal("payout", "batch", "Corner Shop", str(file))
