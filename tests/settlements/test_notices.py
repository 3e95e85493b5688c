"""What the feed of events says of settlements, addresses and rules: every field, and never where money went."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

import pytest
from tests.flows.settling import HOME, Office, units

from bitlinkpay.core.ids import MerchantId, PayoutId
from bitlinkpay.db.pool import Database
from bitlinkpay.settlements import events
from bitlinkpay.settlements.addresses.model import BOUND, HomeAddress, HomeNotFound
from bitlinkpay.settlements.model import Cause, Reason, Settlement, SettlementId, SettlementState
from bitlinkpay.settlements.rules.model import Rule, RuleNotFound, Terms
from bitlinkpay.settlements.rules.schedule import Cadence, Schedule

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
MERCHANT_ID = MerchantId(UUID(int=0xA))
RULE_ID, PAYOUT_ID, AUTHORIZATION_ID = UUID(int=0xB), PayoutId(UUID(int=0xC)), UUID(int=0xD)
DUE = Settlement(
    settlement_id=SettlementId(UUID(int=0xE)),
    merchant_id=MERCHANT_ID,
    cause=Cause.THRESHOLD,
    rule_id=RULE_ID,
    trigger="7.0",
    state=SettlementState.DUE,
    asset="usdt-tron",
    not_before=NOW,
    created_at=NOW,
)
REQUESTED = replace(DUE, state=SettlementState.REQUESTED, payout_id=PAYOUT_ID, decided_at=NOW)
MANUAL = replace(
    REQUESTED, cause=Cause.MANUAL, rule_id=None, trigger="", digest=bytes(32), authorization_id=AUTHORIZATION_ID
)
SKIPPED = replace(DUE, state=SettlementState.SKIPPED, reason=Reason.IN_DEBT.value, detail="5 USDT are owed")
ADDRESS = HomeAddress(
    address_id=UUID(int=0xF),
    merchant_id=MERCHANT_ID,
    network="ton",
    label="safe",
    target="0:" + "1" * 64,
    tag="44218",
    authorization_id=AUTHORIZATION_ID,
    bound_at=NOW,
    usable_at=NOW + timedelta(hours=24),
)
RULE = Rule(
    rule_id=RULE_ID,
    merchant_id=MERCHANT_ID,
    asset="usdt-tron",
    terms=Terms(threshold_units=10**8, reserve_units=5, fee_max_units=7),
    next_due_at=None,
    authorization_id=AUTHORIZATION_ID,
    created_at=NOW,
)
DAILY = Terms(schedule=Schedule(Cadence.DAILY, time(8), "UTC"))


async def told(database: Database) -> list[tuple[object, ...]]:
    async with database.reader() as tx:
        rows = await tx.fetch("select kind, merchant_id, subject_id, payload, happened_at from outbox order by seq")
    return [tuple(row.values()) for row in rows]


@pytest.mark.parametrize(
    ("settlement", "kind", "changed"),
    [
        (
            REQUESTED,
            "settlement.requested",
            {"cause": "threshold", "rule_id": RULE_ID.hex, "order_id": PAYOUT_ID.hex, "reason": "", "detail": ""},
        ),
        (
            MANUAL,
            "settlement.requested",
            {"cause": "manual", "rule_id": "", "order_id": PAYOUT_ID.hex, "reason": "", "detail": ""},
        ),
        (
            SKIPPED,
            "settlement.skipped",
            {
                "cause": "threshold",
                "rule_id": RULE_ID.hex,
                "order_id": "",
                "reason": "in_debt",
                "detail": "5 USDT are owed",
            },
        ),
    ],
)
async def test_a_decision_is_told_in_full(
    database: Database, settlement: Settlement, kind: str, changed: dict[str, str]
) -> None:
    await database.unit(lambda tx: events.tell_decided(tx, settlement, NOW))
    payload = {"settlement_id": settlement.settlement_id.hex, "asset": "usdt-tron"} | changed
    assert await told(database) == [(kind, MERCHANT_ID, settlement.settlement_id, payload, NOW)]


@pytest.mark.parametrize("change", ["added", "changed", "removed"])
async def test_a_change_of_an_address_says_where_and_when_money_may_follow(database: Database, change: str) -> None:
    await database.unit(lambda tx: events.tell_address(tx, ADDRESS, change, NOW))
    payload = {
        "change": change,
        "network": "ton",
        "label": "safe",
        "address": "0:" + "1" * 64,
        "tag": "44218",
        "usable_at": "2026-03-02T12:00:00.123456+00:00",
    }
    assert await told(database) == [
        ("settlement.address_changed", MERCHANT_ID, ADDRESS.address_id, payload, NOW),
    ]


@pytest.mark.parametrize(("terms", "kind"), [(RULE.terms, "threshold"), (DAILY, "schedule")])
async def test_a_change_of_a_rule_says_what_kind_it_is_and_no_figure(
    database: Database, terms: Terms, kind: str
) -> None:
    rule = replace(RULE, terms=terms)
    await database.unit(lambda tx: events.tell_rule(tx, rule, "added", NOW))
    payload = {"change": "added", "asset": "usdt-tron", "kind": kind}
    assert await told(database) == [("settlement.rule_changed", MERCHANT_ID, RULE_ID, payload, NOW)]


async def test_what_is_rolled_back_was_never_told(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            await events.tell_decided(tx, REQUESTED, NOW)
            await events.tell_address(tx, ADDRESS, "added", NOW)
            await events.tell_rule(tx, RULE, "added", NOW)
            raise ZeroDivisionError
    assert await told(database) == []


# --- each change of the services, told once and only if there was one


async def changes(office: Office, kind: str) -> list[str]:
    return [notice["change"] for notice in await office.notices(kind)]


async def test_an_address_is_told_when_it_comes_changes_and_goes_and_not_otherwise(office: Office) -> None:
    merchant_id, kind = office.world.merchant.merchant_id, "settlement.address_changed"
    await office.bind()
    await office.bind()  # the same again
    await office.bind(label="safe")
    await office.bind("TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL", label="safe")
    assert await changes(office, kind) == ["added", "added", "changed"]
    await office.world.database.unit(lambda tx: office.homes.remove(tx, merchant_id, "tron", "safe"))
    with pytest.raises(HomeNotFound, match="no address 'safe' is saved on tron"):
        await office.world.database.unit(lambda tx: office.homes.remove(tx, merchant_id, "tron", "safe"))
    with pytest.raises(HomeNotFound, match="no address is bound on ethereum"):
        await office.world.database.unit(lambda tx: office.homes.remove(tx, merchant_id, "ethereum", BOUND))
    assert await changes(office, kind) == ["added", "added", "changed", "removed"]
    (*_, removed) = await office.notices(kind)
    assert (removed["label"], removed["address"]) == ("safe", "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL")


async def test_a_rule_is_told_when_it_comes_and_goes_and_not_otherwise(office: Office) -> None:
    merchant_id, kind = office.world.merchant.merchant_id, "settlement.rule_changed"
    rule = await office.rule(Terms(threshold_units=units("100")))
    await office.world.database.unit(lambda tx: office.rules.remove(tx, merchant_id, rule.rule_id))
    with pytest.raises(RuleNotFound, match="or it was removed already"):
        await office.world.database.unit(lambda tx: office.rules.remove(tx, merchant_id, rule.rule_id))
    assert await changes(office, kind) == ["added", "removed"]


async def test_a_run_that_is_put_off_is_told_of_when_it_is_decided_and_not_before(office: Office) -> None:
    await office.bind_and_rest()
    await office.rule(Terms(threshold_units=units("50")))
    assert await office.automatic.trigger() == 1
    kinds = "settlement.requested", "settlement.skipped", "settlement.due"
    assert [await office.notices(kind) for kind in kinds] == [[], [], []]
    assert await office.automatic.carry_out() == 1
    (notice,) = await office.notices("settlement.requested")
    assert (notice["cause"], notice["reason"], notice["detail"]) == ("threshold", "", "")
    assert HOME not in str(notice)
    assert [await office.notices(kind) for kind in kinds[1:]] == [[], []]
