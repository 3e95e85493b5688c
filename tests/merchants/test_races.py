"""Operators who act at the same moment: one order of events, no lost change, no limit passed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.merchants.conftest import HOSTS, NOW
from tests.support.news import until_heard
from tests.support.sealing import SEALER

from bitlinkpay.core.errors import Conflict
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.merchants import service, store
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.merchants.directory import Directory
from bitlinkpay.merchants.model import MERCHANT, MerchantEvent, MerchantState, Policy, TooMany
from bitlinkpay.merchants.service import Created
from bitlinkpay.merchants.store import CHANNEL

Work = Callable[[Tx], Awaitable[object]]


async def at_once(database: Database, works: Sequence[Work]) -> list[object]:
    """Run each in a transaction of its own, all at the same time; return results and refusals in order."""

    async def run(work: Work) -> object:
        async with database.transaction() as tx:
            return await work(tx)

    return list(await asyncio.gather(*map(run, works), return_exceptions=True))


async def test_one_of_many_equal_suspensions_wins(database: Database, created: Created) -> None:
    key = created.merchant.merchant_id
    outcomes = await at_once(database, [lambda tx: service.suspend(tx, key, now=NOW)] * 8)
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 7
    async with database.reader() as tx:
        events = [note.event for note in await service.list_events(tx, key)]
    assert events.count(MerchantEvent.SUSPENDED) == 1


async def test_suspend_resume_and_revoke_at_once_follow_the_table(database: Database, created: Created) -> None:
    key = created.merchant.merchant_id
    works: list[Work] = [
        lambda tx: service.suspend(tx, key, now=NOW),
        lambda tx: service.resume(tx, key, now=NOW),
        lambda tx: service.set_fee(tx, key, 1, now=NOW),
        lambda tx: service.revoke(tx, key, now=NOW),
        lambda tx: service.suspend(tx, key, now=NOW),
    ]
    outcomes = await at_once(database, works)
    assert all(not isinstance(outcome, Exception) or isinstance(outcome, Conflict) for outcome in outcomes)
    async with database.reader() as tx:
        assert (await service.get(tx, key)).state is MerchantState.REVOKED
        notes = await service.list_events(tx, key)
    for note in notes[1:]:
        assert MERCHANT.next(MerchantState(note.from_state), note.event) == note.to_state
    assert notes[-1].event is MerchantEvent.REVOKED


async def test_changes_of_different_terms_are_all_kept(database: Database, created: Created) -> None:
    key = created.merchant.merchant_id
    await at_once(
        database,
        [
            lambda tx: service.set_fee(tx, key, 1234, now=NOW),
            lambda tx: service.change(tx, key, lambda m: replace(m, policy=Policy(is_summing=True)), now=NOW),
            lambda tx: service.change(tx, key, lambda m: replace(m, accent="#0b57d0"), now=NOW),
            lambda tx: service.change(tx, key, lambda m: replace(m, support="@tea"), now=NOW),
        ],
    )
    async with database.reader() as tx:
        merchant = await service.get(tx, key)
    assert (merchant.fee_ppm, merchant.policy.is_summing, merchant.accent, merchant.support) == (
        1234,
        True,
        "#0b57d0",
        "@tea",
    )


async def test_WHK_12_rotations_at_once_lose_no_secret_and_pass_no_limit(database: Database, created: Created) -> None:
    key = created.merchant.merchant_id
    outcomes = await at_once(database, [lambda tx: service.rotate_webhook_secret(tx, SEALER, key, now=NOW)] * 7)
    made = {outcome for outcome in outcomes if isinstance(outcome, str)}
    assert sum(isinstance(outcome, TooMany) for outcome in outcomes) == 7 - len(made)
    async with database.reader() as tx:
        live = (await service.webhook_secrets(tx, [key], sealer=SEALER))[key]
    assert set(live) == made | {created.webhook_secret}
    assert len(live) == service.MOST_SECRETS


async def test_certificates_issued_at_once_pass_no_limit(
    database: Database, authority: Authority, created: Created
) -> None:
    key = created.merchant.merchant_id
    async with database.transaction() as tx:
        first = (await service.list_certificates(tx, key))[0]
        for n in range(service.MOST_CERTIFICATES - 2):
            await store.insert_certificate(tx, replace(first, spki=bytes([n]) * 32))
    outcomes = await at_once(database, [lambda tx: service.issue_certificate(tx, authority, key, now=NOW)] * 3)
    assert sum(isinstance(outcome, TooMany) for outcome in outcomes) == 2
    async with database.reader() as tx:
        held = await service.list_certificates(tx, key)
    assert len([one for one in held if one.is_valid(NOW)]) == service.MOST_CERTIFICATES


@pytest.mark.parametrize("ends", ["certificate", "merchant"])
async def test_API_05_under_load_nobody_is_let_in_after_the_notification(
    database: Database, created: Created, ends: str
) -> None:
    """Requests ask without pause while the revocation commits; once one is refused, all later ones are."""
    directory = Directory(database)
    await directory.start()
    await until_heard(database, CHANNEL)
    key, spki = created.merchant.merchant_id, created.credentials.spki
    answers: list[bool] = []

    async def ask_on() -> None:
        while not answers or answers[-1] or len(answers) < 50:
            found = await directory.find_by_spki(spki)
            assert found is not None
            answers.append(not found.is_revoked)
            await asyncio.sleep(0.001)

    asking = asyncio.create_task(ask_on())
    while not answers:
        await asyncio.sleep(0.001)
    async with database.transaction() as tx:
        if ends == "certificate":
            await service.revoke_certificate(tx, key, spki, now=datetime.now(UTC) - timedelta(seconds=1))
        else:
            await service.revoke(tx, key, now=datetime.now(UTC) - timedelta(seconds=1))
    async with asyncio.timeout(60):
        await asking
    assert answers == sorted(answers, reverse=True)
    assert answers[0]
    assert not answers[-1]


async def test_creating_many_at_once_gives_each_its_own_name_and_key(database: Database, tmp_path: Path) -> None:
    authority = Authority.open(tmp_path / "keys", HOSTS, now=NOW)
    outcomes = await at_once(database, [lambda tx: service.create(tx, authority, SEALER, "Tea", now=NOW)] * 5)
    created = [outcome for outcome in outcomes if isinstance(outcome, Created)]
    assert len(created) == 5
    assert len({one.merchant.broker for one in created}) == 5
    assert len({one.credentials.spki for one in created}) == 5
    assert len({one.webhook_secret for one in created}) == 5
