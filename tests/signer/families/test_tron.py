"""The signer on TRON: the very bytes of another library, and nothing but what an intent says."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from tests.chains import tron as folder
from tests.chains.tron import messages
from tests.chains.tron.rows import coin, network, token
from tests.chains.tron.wallets import HeldKeys, Payer, deposit, hot, signer_of

from bitlinkpay.chains.outgoing import Intent, Payment, Purpose
from bitlinkpay.chains.tron.plan import TronPlan
from bitlinkpay.signer.families.tron import sign
from bitlinkpay.signer.problems import ForeignAsset, ForeignWallet, PlanMismatch

HOT, ORDER, BOB = Payer.named("hot"), Payer.named("order"), Payer.named("bob")
USDT = token("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t")
VECTORS = json.loads(Path(folder.__path__[0], "vectors.json").read_text())["transactions"]
REF = bytes.fromhex(VECTORS[0]["ref_id"])
PLAN = TronPlan(
    ref_height=int.from_bytes(REF[:8], "big"), ref_id=REF, timestamp_ms=1_777_445_121_000,
    expiration_ms=1_777_445_421_000, fee_limit=0, burnt_units=267_000,
)  # fmt: skip


def keys(*payers: Payer) -> HeldKeys:
    return HeldKeys(network(), {coin().id: coin(), USDT.id: USDT}, {p.address: p for p in payers or (HOT, ORDER)})


def intent(asset: str = "trx-tron", units: int = 5, target: str = BOB.address, **fields: object) -> Intent:
    payer = fields.get("payer", hot(HOT))
    plain = {
        "intent_id": uuid4(),
        "network": "tron",
        "purpose": Purpose.PAYOUT,
        "payer": payer,
        "payments": (Payment(payer, asset, target, "", units),),
        "fee_max_units": 10**8,
        "expires_at": datetime.now(UTC) + timedelta(minutes=5),
    }
    return Intent(**{**plain, **fields})


@pytest.mark.parametrize(
    "vector", VECTORS, ids=lambda vector: f"{vector['units'][:12]} {vector['contract'][:6] or 'sun'}"
)
def test_ids_and_signatures_are_those_of_tronpy(vector) -> None:
    payer = Payer(bytes.fromhex(vector["key"]))
    asset = "usdt-tron" if vector["contract"] else "trx-tron"
    plan = TronPlan(
        ref_height=int(vector["ref_id"][:16], 16),
        ref_id=bytes.fromhex(vector["ref_id"]),
        timestamp_ms=vector["timestamp_ms"],
        expiration_ms=vector["expiration_ms"],
        fee_limit=vector["fee_limit"],
        burnt_units=0,
    )
    wanted = intent(asset, int(vector["units"]), vector["target"], payer=hot(payer), fee_max_units=10**12)
    signed = sign(wanted, plan, keys(payer))
    assert payer.address == vector["source"]
    assert signed.txid == vector["txid"]
    transaction = messages.parse("Transaction", signed.raw)
    assert transaction.signature[0].hex() == vector["signature"]
    assert signer_of(bytes.fromhex(signed.txid), transaction.signature[0]) == payer.account


def test_sizes_are_those_that_the_network_charges() -> None:
    """NETWORKS.md, section 5: 203 bytes and 281, with 64 for the result 267 and 345."""
    assert len(sign(intent(units=2**21), PLAN, keys()).raw) + 64 == 267 + 1
    limited = replace(PLAN, fee_limit=2**26)
    assert len(sign(intent("usdt-tron", 10**6), limited, keys()).raw) + 64 == 345


def test_signing_again_gives_the_same_bytes_and_never_a_high_s() -> None:
    half = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
    seen = set()
    for n in range(50):
        wanted = intent(units=n + 1)
        first, second = sign(wanted, PLAN, keys()), sign(wanted, PLAN, keys())
        assert first == second
        signature = messages.parse("Transaction", first.raw).signature[0]
        assert int.from_bytes(signature[32:64], "big") <= half
        seen.add(signature[:32])
    assert len(seen) == 50, "no nonce twice"


@pytest.mark.parametrize(
    ("purpose", "name", "kind"),
    [(Purpose.LEND, "DelegateResourceContract", 57), (Purpose.RECALL, "UnDelegateResourceContract", 58)],
)
def test_loans_are_contracts_of_their_own(purpose: Purpose, name: str, kind: int) -> None:
    signed = sign(intent(units=7, target=ORDER.address, purpose=purpose), PLAN, keys())
    contract = messages.parse("Transaction", signed.raw).raw_data.contract[0]
    body = messages.parse(name, contract.parameter.value)
    assert (contract.type, contract.parameter.type_url) == (kind, f"type.googleapis.com/protocol.{name}")
    assert (body.owner_address, body.receiver_address) == (HOT.owner, ORDER.owner)
    assert (body.balance, body.resource) == (7, 1)


PAYER = hot(HOT)
PAYMENT = Payment(PAYER, "trx-tron", BOB.address, "", 5)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"network": "tron-nile"}, "another network"),
        ({"purpose": Purpose.CANCEL}, "no way to do a cancel"),
        ({"purpose": Purpose.SETUP}, "no way to do a setup"),
        ({"purpose": Purpose.CONSOLIDATION}, "no way to do a consolidation"),
        ({"payments": (PAYMENT, PAYMENT)}, "makes one payment"),
        ({"payments": (replace(PAYMENT, source=deposit(ORDER)),)}, "out of another wallet"),
        ({"payments": (replace(PAYMENT, tag="12345678"),)}, "a memo"),
        ({"payments": (replace(PAYMENT, target=HOT.address),)}, "to oneself"),
        ({"payments": (replace(PAYMENT, units=2**63),)}, "more than there can be"),
        ({"fee_max_units": 266_999}, "a higher fee"),
        (
            {"purpose": Purpose.LEND, "payer": deposit(ORDER), "payments": (replace(PAYMENT, source=deposit(ORDER)),)},
            "a loan",
        ),
    ],
)
def test_an_intent_that_the_plan_does_not_fit_is_not_signed(changed, why: str) -> None:
    assert sign(intent(), PLAN, keys())
    with pytest.raises(PlanMismatch, match=why):
        sign(intent(**changed), PLAN, keys())


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"ref_height": PLAN.ref_height + 1}, "not that of the height"),
        ({"ref_id": bytes(32)}, "not that of the height"),
        ({"ref_id": REF[:31]}, "not that of the height"),
        ({"expiration_ms": PLAN.timestamp_ms}, "a life of not more than 600 seconds"),
        ({"expiration_ms": PLAN.timestamp_ms + 600_001}, "a life of not more than 600 seconds"),
        ({"timestamp_ms": 0}, "a life of not more than 600 seconds"),
        ({"fee_limit": 1}, "a limit for energy that nothing uses"),
        ({"fee_limit": -1}, "a fee that cannot be"),
        ({"burnt_units": -1}, "a fee that cannot be"),
        ({"burnt_units": 10**8 + 1}, "a higher fee"),
    ],
)
def test_a_plan_that_does_not_fit_its_intent_is_not_signed(changed, why: str) -> None:
    with pytest.raises(PlanMismatch, match=why):
        sign(intent(), replace(PLAN, **changed), keys())


def test_a_token_needs_a_limit_within_what_the_intent_allows() -> None:
    with pytest.raises(PlanMismatch, match="none for code"):
        sign(intent("usdt-tron"), PLAN, keys())
    with pytest.raises(PlanMismatch, match="a higher fee"):
        sign(intent("usdt-tron"), replace(PLAN, fee_limit=10**8), keys())
    assert sign(intent("usdt-tron"), replace(PLAN, fee_limit=10**7), keys())


def test_foreign_wallets_and_assets_are_refused() -> None:
    with pytest.raises(ForeignWallet):
        sign(intent(), PLAN, keys(ORDER))
    with pytest.raises(ForeignAsset):
        sign(intent("usdc-tron"), PLAN, keys())
    with pytest.raises(ForeignAsset):
        sign(intent(purpose=Purpose.SETUP, payments=()), PLAN, keys())
