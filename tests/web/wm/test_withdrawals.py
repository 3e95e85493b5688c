"""Withdrawals through the encrypted API: what is reserved, what is refused, and what repeats."""

import asyncio
from decimal import Decimal

import pytest
from tests.web.wm.platform import MerchantApi, TestMerchant
from tests.web.wm.test_orders import refusal

from bitlinkpay.chains.outgoing import Wallet
from bitlinkpay.ledger import service as ledger
from bitlinkpay.wm.bodies import Withdraw

TARGET = "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL"
USDT = "usdt-tron"


def withdrawal(source_id: str = "w-1", **changed: object) -> Withdraw:
    fields: dict[str, object] = {"chain_id": 1, "coin_id": 1, "address": TARGET, "amount": Decimal(20)}
    return Withdraw(source_id=source_id, **(fields | changed))


async def rich(api: MerchantApi, **terms: object) -> TestMerchant:
    merchant = await api.merchant(**terms)
    await api.give(merchant, USDT, 100_000_000)
    return merchant


async def units(api: MerchantApi, merchant: TestMerchant) -> tuple[int, int]:
    """Return what is available and what is reserved."""
    async with api.database.reader() as tx:
        found = await ledger.balances(tx, merchant.merchant.merchant_id)
    return next(((b.available_units, b.reserved_units) for b in found if b.asset == USDT), (0, 0))


@pytest.mark.parametrize("mode", ["encrypted", "plain"])
async def test_a_withdrawal_is_reserved_and_told(api: MerchantApi, mode: str) -> None:
    merchant = await rich(api)
    async with api.client(merchant) if mode == "encrypted" else api.plain(merchant) as client:
        made = await client.withdraw(withdrawal())
        assert made.source_id == "w-1"
        seen = await client.withdraw_detail("w-1")
    assert (seen.order_id, seen.status, seen.status_desc) == (made.order_id, 0, "Withdraw Doing")
    assert (seen.address, seen.amount, seen.hash, seen.tag) == (TARGET, Decimal(20), "", "")
    fee = int(seen.gas_fee * 10**6)
    assert fee > 0
    assert seen.gas_fee == seen.service_fee
    assert await units(api, merchant) == (80_000_000 - fee, 20_000_000 + fee)


async def test_PAY_04_two_hundred_parallel_withdrawals_of_one_source_id_are_one(api: MerchantApi) -> None:
    merchant = await rich(api, rate_per_minute=1_000_000)
    async with api.client(merchant) as client:
        made = await asyncio.gather(*(client.withdraw(withdrawal()) for _ in range(200)))
    assert len({answer.order_id for answer in made}) == 1
    assert sum(await units(api, merchant)) == 100_000_000
    async with api.database.reader() as tx:
        assert await tx.fetchval("select count(*) from payouts") == 1
        assert await tx.fetchval("select count(*) from sendings") == 1


async def test_LED_04_a_hundred_parallel_withdrawals_of_everything_leave_one(api: MerchantApi) -> None:
    merchant = await rich(api, rate_per_minute=1_000_000)
    async with api.client(merchant) as client:
        asked = [client.withdraw(withdrawal(f"w-{n}", amount=Decimal(90))) for n in range(100)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
    available, reserved = await units(api, merchant)
    assert available + reserved == 100_000_000
    assert reserved > 90_000_000


async def test_other_parameters_under_a_used_source_id_are_refused(api: MerchantApi) -> None:
    merchant = await rich(api)
    async with api.client(merchant) as client:
        await client.withdraw(withdrawal())
        for changed in ({"amount": Decimal(21)}, {"address": "TLyqzVGLV1srkB7dToTAEqgDSfPtXRJZYH"}):
            refused = await refusal(client.withdraw(withdrawal(**changed)))
            assert refused.message.startswith("payout.exists_different")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"amount": Decimal("0.0000001")}, "payout.amount_refused"),
        ({"amount": Decimal(5000)}, "payout.balance_too_low: the balance holds 100 usdt-tron"),
        ({"address": "0x52908400098527886E0F7030069857D2E4169EE7"}, "payout.address_refused"),
        ({"address": "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeM"}, "payout.address_refused"),
        ({"address": "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"}, "payout.address_refused"),
        ({"address": "T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb"}, "payout.address_refused"),
        ({"tag": "42"}, "request.invalid: this network knows no tags"),
        ({"chain_id": 99}, "request.invalid: chain_id 99"),
        ({"callback_url": "http://169.254.169.254/"}, ""),
    ],
)
async def test_PAY_27_bad_input_is_told_what_to_change_and_reserves_nothing(
    api: MerchantApi, changed: dict[str, object], says: str
) -> None:
    merchant = await rich(api)
    async with api.client(merchant) as client:
        refused = await refusal(client.withdraw(withdrawal(**changed)))
        assert refused.message.startswith(says)
        assert (await refusal(client.withdraw_detail("w-1"))).code == 404
        await client.withdraw(withdrawal())  # the source_id is still free
    assert (await units(api, merchant))[1] > 0


async def test_PAY_27_our_own_hot_wallet_is_refused(api: MerchantApi, hot: Wallet) -> None:
    merchant = await rich(api)
    async with api.client(merchant) as client:
        refused = await refusal(client.withdraw(withdrawal(address=hot.address)))
        assert "a wallet of this platform" in refused.message


async def test_API_45_a_withdrawal_from_an_unlisted_address_is_refused(api: MerchantApi) -> None:
    abroad = await rich(api, payout_networks=("203.0.113.0/24",))
    home = await rich(api, payout_networks=("127.0.0.0/8", "::1/128"))
    async with api.client(abroad) as client:
        refused = await refusal(client.withdraw(withdrawal()))
        assert refused.message.startswith("withdraw.not_from_here")
    assert await units(api, abroad) == (100_000_000, 0)
    async with api.client(home) as client:
        await client.withdraw(withdrawal())


async def test_another_merchants_withdrawal_reads_as_missing(api: MerchantApi) -> None:
    owner, other = await rich(api), await rich(api)
    async with api.client(owner) as client:
        await client.withdraw(withdrawal("theirs"))
    async with api.client(other) as client:
        theirs = await refusal(client.withdraw_detail("theirs"))
        missing = await refusal(client.withdraw_detail("missing"))
        assert (theirs.code, theirs.message) == (missing.code, missing.message)
        await client.withdraw(withdrawal("theirs"))


async def test_a_live_deployment_lets_nobody_withdraw_from_an_empty_list(live_api: MerchantApi) -> None:
    merchant = await rich(live_api)
    async with live_api.client(merchant) as client:
        refused = await refusal(client.withdraw(withdrawal()))
    assert refused.message.startswith("withdraw.not_from_here")
