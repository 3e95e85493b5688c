"""Signing over the socket of a running signer: answers, refusals by kind, and what a kill leaves."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from tests.signer.asking import COLD, POLICY, REGISTRY, USDT, stranger
from tests.signer.test_server import launch

from bitlinkpay.chains.outgoing import Intent, Payment, Purpose
from bitlinkpay.chains.simulated_check import decode
from bitlinkpay.chains.simulated_plan import SimulatedPlan
from bitlinkpay.signer.client import SignerClient
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.problems import ApprovalNeeded, CapReached, SignerRefused

PLAN = SimulatedPlan(1, 0)
Start = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def start(folder: Path, ring: KeyRing, tmp_path: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []
    (folder / "policy.toml").write_text(POLICY)
    (folder / "policy.toml").chmod(0o600)

    def begin() -> "subprocess.Popen[str]":
        process = launch(folder, "--key-file", str(tmp_path / "signer.key"))
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def payout(ring: KeyRing, units: int = USDT, **more: object) -> Intent:
    payer = ring.hot_wallet(REGISTRY.networks["tron"])
    fields: dict[str, object] = {
        "intent_id": uuid4(),
        "network": "tron",
        "purpose": Purpose.PAYOUT,
        "payer": payer,
        "payments": (Payment(payer, "usdt-tron", stranger(), "", units),),
        "fee_max_units": 1,
        "expires_at": datetime.now(UTC) + timedelta(hours=1),
    }
    return Intent(**(fields | more))  # type: ignore[arg-type]


async def test_a_payout_is_signed_by_a_running_signer(start: Start, folder: Path, ring: KeyRing) -> None:
    start()
    intent = payout(ring)
    signed = await SignerClient(folder).sign(intent, PLAN)
    assert decode(REGISTRY.networks["tron"], signed.raw).intent == intent
    assert await SignerClient(folder).sign(intent, PLAN) == signed


async def test_amounts_of_more_than_64_bits_cross_the_socket(start: Start, folder: Path, ring: KeyRing) -> None:
    start()
    huge = payout(ring, 10**40)
    cold = replace(huge, purpose=Purpose.COLD, payments=(replace(huge.payments[0], target=COLD),))
    signed = await SignerClient(folder).sign(cold, PLAN)
    assert decode(REGISTRY.networks["tron"], signed.raw).intent.payments[0].units == 10**40


async def test_refusals_arrive_as_what_they_are(start: Start, folder: Path, ring: KeyRing) -> None:
    start()
    client = SignerClient(folder)
    with pytest.raises(ApprovalNeeded, match="above the cap of 1000 usdt-tron") as needed:
        await client.sign(payout(ring, 1001 * USDT), PLAN)
    assert needed.value.payments == (0,)
    for _ in range(3):
        await client.sign(payout(ring, 1000 * USDT), PLAN)
    with pytest.raises(CapReached) as reached:
        await client.sign(payout(ring, 1), PLAN)
    assert reached.value.payments == (0,)
    with pytest.raises(SignerRefused, match="expired") as refused:
        await client.sign(payout(ring, expires_at=datetime.now(UTC)), PLAN)
    assert type(refused.value) is SignerRefused
    with pytest.raises(SignerRefused, match="not a plan for tron"):
        await client.sign(payout(ring), {"nonce": 1})


async def test_PAY_36_a_killed_signer_has_forgotten_nothing(start: Start, folder: Path, ring: KeyRing) -> None:
    """The caps hold over `kill -9` between any two answers: what was answered is on the disk."""
    client, spent = SignerClient(folder), 0
    intents = [payout(ring, 600 * USDT) for _ in range(8)]
    signed = {}
    for intent in intents:
        process = start()
        try:
            signed[intent.intent_id] = await client.sign(intent, PLAN)
            spent += 600 * USDT
        except CapReached:
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert spent == 3000 * USDT
    start()
    for intent in intents:
        if intent.intent_id in signed:
            assert await client.sign(intent, PLAN) == signed[intent.intent_id]


async def test_a_policy_that_is_not_there_allows_nothing(start: Start, folder: Path, ring: KeyRing) -> None:
    (folder / "policy.toml").unlink()
    start()
    with pytest.raises(SignerRefused, match="not a plan for tron"):
        await SignerClient(folder).sign(payout(ring), PLAN)
    standing = await SignerClient(folder).standing()
    assert (standing.mode, standing.operators, standing.cold) == ("live", (), {})


@pytest.mark.parametrize(
    "policy", ["mode = 1", "unknown = 1", "[caps]\nusdt-tron = 5", 'purposes = ["everything"]', "\xff"]
)
def test_a_wrong_policy_stops_the_start_with_one_line(folder: Path, ring: KeyRing, tmp_path: Path, policy: str) -> None:
    (folder / "policy.toml").write_bytes(policy.encode("latin-1"))
    (folder / "policy.toml").chmod(0o600)
    process = launch(folder, "--key-file", str(tmp_path / "signer.key"))
    out, error = process.communicate(timeout=90)
    assert (process.returncode, out, error.count("\n")) == (1, "", 1)
    assert str(folder / "policy.toml") in error
