"""Payouts over the REST API: one, many, repeated, quoted, called back; and the balance behind them."""

import msgspec
from tests.web.api.platform import Rest, Signer
from tests.web.api.test_orders import refusal
from tests.web.wm.test_withdrawals import TARGET

from bitlinkpay.client.rest import RestClient, walk
from bitlinkpay.web.api.shapes import (
    CreatePayout,
    CreatePayoutBatch,
    Money,
    PayoutQuery,
    QuoteFees,
    ValidateAddress,
)

USDT = "usdt-tron"


def payout(source_id: str = "W-1", **changed: object) -> CreatePayout:
    fields: dict[str, object] = {"asset": USDT, "address": TARGET, "amount": "20"}
    return CreatePayout(source_id=source_id, **(fields | changed))


async def available(client: RestClient) -> str:
    return next((one.available for one in await client.balances() if one.asset == USDT), "0")


async def test_a_payout_is_reserved_shown_and_called_back(rest: Rest, signer: Signer, client: RestClient) -> None:
    await rest.give(signer.merchant, USDT, 100_000_000)
    quoted = await client.quote_fees(QuoteFees(asset=USDT, address=TARGET, amount="20"))
    made = await client.create_payout(payout())
    assert made.id.startswith("out_")
    assert (made.kind, made.state, made.amount, made.address) == (
        "payout",
        "approved",
        Money(amount="20", asset=USDT),
        TARGET,
    )
    assert (made.fee, made.network_fee) == (quoted.fee, quoted.network_fee)
    assert float(quoted.total.amount) == 20 + float(made.network_fee.amount)
    (balance,) = await client.balances()
    assert balance.reserved == quoted.total.amount
    assert await client.payout(made.id) == made
    gone = await client.cancel_payout(made.id)
    assert (gone.state, gone.reason) == ("cancelled", "cancelled by the merchant")
    assert await available(client) == "100"
    refused = await refusal(client.cancel_payout(made.id))
    assert (refused.status, refused.error.code) == (409, "payout.too_late")


async def test_PAY_04_a_source_id_pays_once(rest: Rest, signer: Signer, client: RestClient) -> None:
    await rest.give(signer.merchant, USDT, 100_000_000)
    first = await client.create_payout(payout())
    assert await client.create_payout(payout()) == first
    refused = await refusal(client.create_payout(payout(amount="21")))
    assert (refused.status, refused.error.code) == (409, "payout.exists_different")
    assert await rest.count("sendings") == 1


async def test_what_cannot_be_paid_is_refused_and_reserves_nothing(
    rest: Rest, signer: Signer, client: RestClient
) -> None:
    await rest.give(signer.merchant, USDT, 100_000_000)
    for changed, status, code in (
        ({"amount": "1000"}, 409, "payout.balance_too_low"),
        ({"amount": "0.0000001"}, 422, "payout.amount_refused"),
        ({"amount": "0"}, 422, "request.invalid"),
        ({"address": "T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb"}, 422, "payout.address_refused"),
        ({"address": "0x0000000000000000000000000000000000000001"}, 422, "payout.address_refused"),
        ({"tag": "7"}, 422, "request.invalid"),
        ({"asset": "usdt-mars"}, 422, "asset.not_offered"),
        ({"callback_url": "javascript:1"}, 422, "callback_url.forbidden"),
    ):
        refused = await refusal(client.create_payout(payout(**changed)))
        assert (refused.status, refused.error.code) == (status, code), changed
    assert await available(client) == "100"
    assert await rest.count("payouts") == 0


async def test_a_batch_has_a_result_for_each_and_one_answer(rest: Rest, signer: Signer, client: RestClient) -> None:
    await rest.give(signer.merchant, USDT, 100_000_000)
    await rest.give(signer.merchant, "trx-tron", 100_000_000)
    batch = CreatePayoutBatch(
        payouts=[
            payout("B-1"),
            payout("B-2", amount="500"),
            payout("B-3", asset="usdt-mars"),
            payout("B-4", asset="trx-tron"),
            payout("B-5", address="nowhere"),
            payout("B-1"),
            payout("B-1", amount="21"),
            payout("B-6", amount="30"),
        ]
    )
    told = await client.create_payouts(batch, idempotency_key="batch-1")
    codes = [one.error.code if one.error else one.payout.state for one in told.results]
    assert codes == [
        "approved",
        "payout.balance_too_low",
        "asset.not_offered",
        "approved",
        "payout.address_refused",
        "approved",
        "payout.exists_different",
        "approved",
    ]
    assert [one.source_id for one in told.results] == [one.source_id for one in batch.payouts]
    assert told.results[0].payout == told.results[5].payout
    assert await rest.count("payouts") == await rest.count("sendings") == 3
    assert await client.create_payouts(batch, idempotency_key="batch-1") == told
    assert await rest.count("payouts") == 3


async def test_a_batch_is_bounded(client: RestClient) -> None:
    for count in (0, 101):
        batch = CreatePayoutBatch(payouts=[payout(f"B-{n}") for n in range(count)])
        refused = await refusal(client.create_payouts(batch))
        assert (refused.status, refused.error.param) == (422, "payouts")


async def test_API_31_another_merchants_payout_reads_as_missing(rest: Rest, signer: Signer, client: RestClient) -> None:
    await rest.give(signer.merchant, USDT, 100_000_000)
    made = await client.create_payout(payout())
    async with rest.client(await rest.signer()) as stranger:
        told = []
        for payout_id in (made.id, "out_" + "0" * 32, "x"):
            for call in (stranger.payout(payout_id), stranger.cancel_payout(payout_id)):
                told.append(await refusal(call))
        assert {(one.status, msgspec.structs.replace(one.error, request_id="").code) for one in told} == {
            (404, "payout.not_found")
        }
        assert len({one.error.message for one in told}) == 1
        assert (await stranger.list_payouts()).data == []
        assert (await stranger.list_payouts(PayoutQuery(source_id="W-1"))).data == []
    assert (await client.payout(made.id)).state == "approved"


async def test_payouts_are_listed_newest_first(rest: Rest, signer: Signer, client: RestClient) -> None:
    await rest.give(signer.merchant, USDT, 100_000_000)
    made = [(await client.create_payout(payout(f"W-{n}", amount="1"))).id for n in range(5)]
    found = [one.id async for one in walk(lambda cursor: client.list_payouts(PayoutQuery(limit=2, cursor=cursor)))]
    assert found == made[::-1]
    assert [one.id for one in (await client.list_payouts(PayoutQuery(source_id="W-2"))).data] == [made[2]]


async def test_addresses_are_looked_at_before_anything_is_paid(client: RestClient) -> None:
    good = await client.validate_address(ValidateAddress(network="tron", address=TARGET))
    assert (good.is_payable, good.address, good.reason) == (True, TARGET, "")
    for network, address, tag, says in (
        ("tron", TARGET[:-1] + "Z", "", "checksum"),
        ("tron", "T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb", "", "nobody has its key"),
        ("tron", TARGET, "7", "tags"),
        ("ethereum", "0xdAC17F958D2ee523a2206206994597C13D831ec7", "", "contract"),
        ("ethereum", TARGET, "", ""),
    ):
        found = await client.validate_address(ValidateAddress(network=network, address=address, tag=tag))
        assert not found.is_payable, address
        assert says in found.reason, found.reason
    refused = await refusal(client.validate_address(ValidateAddress(network="mars", address=TARGET)))
    assert (refused.status, refused.error.code) == (422, "network.not_offered")


async def test_an_order_s_own_address_is_told_apart_from_a_wallet(rest: Rest, client: RestClient) -> None:
    async with rest.database.transaction() as tx:
        wallet = await tx.fetchval(
            "select address from addresses where key_family = 'tron' and purpose = 'wallet' limit 1"
        )
    found = await client.validate_address(ValidateAddress(network="tron", address=wallet))
    assert (found.is_payable, "wallet of this platform" in found.reason) == (False, True)
