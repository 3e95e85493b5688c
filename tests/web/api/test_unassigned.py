"""Odd money over the REST API: seen, and accepted, credited or refunded by its merchant's own word, once."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from tests.flows.paying import STRANGERS
from tests.web.api.odd import put_aside
from tests.web.api.platform import Rest, Signer
from tests.web.api.test_orders import order, refusal
from tests.web.wm.test_withdrawals import TARGET

from bitlinkpay.client.rest import RestClient, walk
from bitlinkpay.core.ids import show_id
from bitlinkpay.deposits.model import Deposit, DepositState
from bitlinkpay.merchants.api_keys.model import Scope
from bitlinkpay.payins.model import Label
from bitlinkpay.payouts.model import PayoutState
from bitlinkpay.payouts.refunds import Refunds
from bitlinkpay.web.api.odd_shapes import ConfirmRefund, RefundUnassigned, UnassignedQuery
from bitlinkpay.web.api.shapes import BalanceBody, Money, PayoutBody, PayoutQuery

USDT = "usdt-tron"
REFUND = RefundUnassigned(address=TARGET)


@pytest.fixture
async def odd(rest: Rest, signer: Signer, client: RestClient) -> AsyncIterator[Deposit]:
    """9.5 of the 10 USDT that an order asks for."""
    made = await client.create_order(order())
    yield await put_aside(rest, signer.merchant, order_id=made.id)


def dep(of: Deposit) -> str:
    return show_id("dep", of.deposit_id)


async def balance(client: RestClient) -> BalanceBody:
    return next(one for one in await client.balances() if one.asset == USDT)


# --- seen


async def test_odd_money_is_listed_with_all_that_a_decision_needs(client: RestClient, odd: Deposit) -> None:
    (found,) = (await client.list_unassigned()).data
    (made,) = (await client.list_orders()).data
    assert (found.id, found.state, found.label, found.order_id) == (dep(odd), "unassigned", "short", made.id)
    assert (found.amount, found.fee, found.refunds) == (Money(amount="9.5", asset=USDT), None, [])
    assert (found.network, found.txid, found.sender) == ("tron", odd.txid, STRANGERS["tron"])
    assert await client.unassigned(found.id) == found
    (in_order,) = made.deposits
    assert (in_order.id, in_order.amount, in_order.label) == (found.id, found.amount, found.label)


async def test_odd_money_is_listed_by_state_label_asset_and_time_page_by_page(
    rest: Rest, signer: Signer, client: RestClient
) -> None:
    made = [
        await put_aside(rest, signer.merchant, number=1),
        await put_aside(rest, signer.merchant, number=2, label="late"),
        await put_aside(rest, signer.merchant, number=3, asset="trx-tron"),
        await put_aside(rest, signer.merchant, number=4, state=DepositState.QUARANTINED, label=""),
    ]
    await put_aside(rest, await rest.merchant(), number=5)
    ids = [dep(one) for one in made]

    async def listed(**fields: object) -> list[int]:
        query = UnassignedQuery(limit=1, **fields)
        pages = walk(lambda at: client.list_unassigned(msgspec.structs.replace(query, cursor=at)))
        return [ids.index(one.id) for one in [found async for found in pages]]

    assert await listed() == [3, 2, 1, 0]
    assert await listed(state="quarantined") == [3]
    assert await listed(state="unassigned", asset=USDT) == [1, 0]
    assert await listed(label=Label.LATE) == [1]
    assert await listed(asset="btc-bitcoin") == []
    assert await listed(since=made[1].seen_at, until=made[3].seen_at) == [2, 1]


# --- kept


async def test_accepted_it_pays_its_order_and_the_callback_goes_out(
    rest: Rest, signer: Signer, client: RestClient, odd: Deposit
) -> None:
    async with rest.database.transaction() as tx:
        await tx.execute("update payins set callback_url = 'https://shop.example/callback'")
    answer = await client.accept_unassigned(dep(odd), idempotency_key="a")
    assert (answer.state, answer.label) == ("credited", "")
    (paid,) = (await client.list_orders()).data
    assert (paid.state, paid.accepted, paid.txid) == ("paid", Money(amount="9.5", asset=USDT), odd.txid)
    assert answer.fee == paid.fee == Money(amount="0.0285", asset=USDT)
    assert ((await balance(client)).available, (await balance(client)).unassigned) == ("9.4715", "0")
    assert len((await client.list_callbacks()).data) == 1
    async with rest.database.reader() as tx:
        causes = await tx.fetch("select cause from payin_events where event = 'accepted'")
    assert ["the merchant" in row["cause"] for row in causes] == [True]
    assert await client.accept_unassigned(dep(odd), idempotency_key="a") == answer
    refused = await refusal(client.accept_unassigned(dep(odd)))
    assert (refused.status, refused.error.code) == (409, "deposit.not_unassigned")
    assert "credited" in refused.error.message


async def test_credited_it_is_balance_less_the_order_fee_and_the_order_stays(client: RestClient, odd: Deposit) -> None:
    answer = await client.credit_unassigned(dep(odd))
    assert (answer.state, answer.fee) == ("credited", Money(amount="0.0285", asset=USDT))
    assert (await balance(client)).available == "9.4715"
    assert [one.state for one in (await client.list_orders()).data] == ["created"]
    assert (await client.list_unassigned()).data == []
    for call in (
        client.credit_unassigned(dep(odd)),
        client.refund_unassigned(dep(odd), REFUND),
        client.quote_refund(dep(odd), REFUND),
    ):
        refused = await refusal(call)
        assert (refused.status, refused.error.code) == (409, "deposit.not_unassigned")
    assert await client.unassigned(dep(odd)) == answer


async def test_only_money_of_the_orders_own_asset_can_be_its_payment(
    rest: Rest, signer: Signer, client: RestClient
) -> None:
    made = await client.create_order(order())
    for of in (
        await put_aside(rest, signer.merchant, number=1, order_id=made.id, asset="trx-tron", label="wrong_asset"),
        await put_aside(rest, signer.merchant, number=2),
    ):
        refused = await refusal(client.accept_unassigned(dep(of)))
        assert (refused.status, refused.error.code) == (409, "deposit.not_acceptable")
        assert "credit it instead" in refused.error.message
        assert (await client.credit_unassigned(dep(of))).state == "credited"


# --- sent back


async def test_refunded_it_goes_whole_less_the_fees_to_the_address_that_the_request_names(
    rest: Rest, client: RestClient, odd: Deposit
) -> None:
    quoted = await client.quote_refund(dep(odd), REFUND)
    assert (await client.unassigned(dep(odd))).state == "unassigned"
    made = await client.refund_unassigned(dep(odd), REFUND, idempotency_key="r")
    assert (made.kind, made.state, made.source_id, made.address) == ("refund", "approved", dep(odd), TARGET)
    assert (quoted.amount, quoted.fee, quoted.network_fee) == (made.amount, made.fee, made.network_fee)
    assert quoted.total == Money(amount="9.5", asset=USDT)
    shown = await client.unassigned(dep(odd))
    assert (shown.state, shown.refunds) == ("refunded", [made])
    assert ((await balance(client)).reserved, (await balance(client)).unassigned) == ("9.5", "0")
    assert (await client.list_payouts(PayoutQuery(kind="refund"))).data == [made]
    gone = await client.cancel_payout(made.id)
    assert (gone.state, (await client.unassigned(dep(odd))).state) == ("cancelled", "unassigned")
    again = await client.refund_unassigned(dep(odd), REFUND)
    assert [one.id for one in (await client.unassigned(dep(odd))).refunds] == [made.id, again.id]
    assert await client.refund_unassigned(dep(odd), REFUND, idempotency_key="r") == made, "the key's first answer"


async def test_PAY_04_of_decisions_at_once_about_one_deposit_one_is_taken(
    rest: Rest, signer: Signer, client: RestClient, odd: Deposit
) -> None:
    calls = [client.refund_unassigned(dep(odd), REFUND) for _ in range(4)]
    calls += [client.credit_unassigned(dep(odd)) for _ in range(4)] + [client.accept_unassigned(dep(odd))]
    told = await asyncio.gather(*calls, return_exceptions=True)
    taken = [one for one in told if not isinstance(one, Exception)]
    refunds = {one.id for one in taken if isinstance(one, PayoutBody)}
    assert len(refunds) == 1 or (len(taken), refunds) == (1, set())
    assert {one.error.code for one in told if isinstance(one, Exception)} == {"deposit.not_unassigned"}
    found = await balance(client)
    assert [found.unassigned, found.pending, found.quarantined] == ["0", "0", "0"]
    assert (found.reserved, found.available) in {("9.5", "0"), ("0", "9.4715")}


async def test_what_is_refunded_already_answers_with_its_refund_or_says_that_it_goes_elsewhere(
    client: RestClient, odd: Deposit
) -> None:
    made = await client.refund_unassigned(dep(odd), REFUND)
    assert await client.refund_unassigned(dep(odd), REFUND) == made
    refused = await refusal(client.refund_unassigned(dep(odd), RefundUnassigned(address=STRANGERS["tron"])))
    assert (refused.status, refused.error.code) == (409, "payout.exists_different")
    for address in ("nowhere", "T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb"):
        refused = await refusal(client.quote_refund(dep(odd), RefundUnassigned(address=address)))
        assert (refused.status, refused.error.code) == (409, "deposit.not_unassigned")


async def test_PAY_27_a_refund_to_where_nobody_may_be_paid_leaves_the_money_where_it_is(
    client: RestClient, odd: Deposit
) -> None:
    for address in ("nowhere", "T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb"):
        for ask in (client.refund_unassigned, client.quote_refund):
            refused = await refusal(ask(dep(odd), RefundUnassigned(address=address)))
            assert (refused.status, refused.error.code, refused.error.param) == (
                422,
                "payout.address_refused",
                "address",
            )
    assert (await client.unassigned(dep(odd))).state == "unassigned"


# --- confirmed


async def by_people(rest: Rest, of: Deposit, signer: Signer) -> PayoutBody:
    """Have one of our people ask for a refund, as `bitlinkpay unassigned refund` does."""
    refunds: Refunds = rest.services.payouts.refunds
    draft = await refunds.prepare(signer.merchant, of, target=TARGET, maker="operator")
    made = await rest.database.unit(lambda tx: refunds.request(tx, draft, of.deposit_id))
    async with rest.client(signer) as client:
        return await client.payout(show_id("out", made.payout_id))


async def test_PAY_43_a_refund_that_our_people_asked_for_waits_for_its_merchants_word(
    rest: Rest, signer: Signer, client: RestClient, odd: Deposit
) -> None:
    made = await by_people(rest, odd, signer)
    assert (made.state, made.reason) == ("in_review", "the merchant has to confirm the address")
    refused = await refusal(client.confirm_refund(made.id, ConfirmRefund(address=STRANGERS["tron"])))
    assert (refused.status, refused.error.code) == (422, "payout.address_refused")
    assert TARGET in refused.error.message
    confirmed = await client.confirm_refund(made.id, ConfirmRefund(address=TARGET), idempotency_key="c")
    assert (confirmed.state, confirmed.reason) == ("approved", "")
    assert await client.confirm_refund(made.id, ConfirmRefund(address=TARGET), idempotency_key="c") == confirmed
    async with rest.database.reader() as tx:
        checker = await tx.fetchval("select checker from payouts")
    assert checker == f"merchant {signer.merchant.broker}"
    refused = await refusal(client.confirm_refund(made.id, ConfirmRefund(address=TARGET)))
    assert (refused.status, refused.error.code) == (409, "payout.nothing_to_confirm")


@pytest.mark.parametrize("held", ["its own, held by screening", "confirmed, and held again"])
async def test_PAY_43_a_merchant_lets_nothing_go_that_waits_for_our_people(
    rest: Rest, signer: Signer, client: RestClient, odd: Deposit, held: str
) -> None:
    if held.startswith("its own"):
        made = await client.refund_unassigned(dep(odd), REFUND)
    else:
        made = await by_people(rest, odd, signer)
        await client.confirm_refund(made.id, ConfirmRefund(address=TARGET))
    async with rest.database.reader() as tx:
        payout_id = await tx.fetchval("select payout_id from payouts")
    await rest.database.unit(lambda tx: rest.services.payouts.hold(tx, payout_id, reason="look", by="another"))
    refused = await refusal(client.confirm_refund(made.id, ConfirmRefund(address=TARGET)))
    assert (refused.status, refused.error.code) == (409, "payout.nothing_to_confirm")
    assert (await client.payout(made.id)).state == PayoutState.IN_REVIEW


# --- nobody else's


async def test_API_31_another_merchants_odd_money_and_refunds_read_as_missing(
    rest: Rest, signer: Signer, client: RestClient, odd: Deposit
) -> None:
    made = await by_people(rest, odd, signer)
    async with rest.client(await rest.signer()) as stranger:
        for deposit_id in (dep(odd), "dep_" + "0" * 32, "x"):
            for call in (
                stranger.unassigned(deposit_id),
                stranger.accept_unassigned(deposit_id),
                stranger.credit_unassigned(deposit_id),
                stranger.refund_unassigned(deposit_id, REFUND),
                stranger.quote_refund(deposit_id, REFUND),
            ):
                refused = await refusal(call)
                assert (refused.status, refused.error.code) == (404, "deposit.not_found")
        refused = await refusal(stranger.confirm_refund(made.id, ConfirmRefund(address=TARGET)))
        assert (refused.status, refused.error.code) == (404, "payout.not_found")
        assert (await stranger.list_unassigned()).data == []
    assert (await client.payout(made.id)).state == "in_review"


async def test_API_45_odd_money_leaves_by_a_payout_key_from_a_listed_network_only(live_rest: Rest) -> None:
    signer = await live_rest.signer(scopes=frozenset({Scope.PAYOUT}))
    of = await put_aside(live_rest, signer.merchant)
    refund = await by_people(live_rest, await put_aside(live_rest, signer.merchant, number=2), signer)
    async with live_rest.client(signer) as client:
        for call in (
            client.refund_unassigned(dep(of), REFUND),
            client.confirm_refund(refund.id, ConfirmRefund(address=TARGET)),
        ):
            refused = await refusal(call)
            assert (refused.status, refused.error.code) == (403, "withdraw.not_from_here")
        for call in (client.accept_unassigned(dep(of)), client.credit_unassigned(dep(of))):
            refused = await refusal(call)
            assert (refused.status, refused.error.code) == (403, "api_key.missing_scope")
    listed = await live_rest.signer(signer.merchant, networks=("127.0.0.1/32",), scopes=frozenset({Scope.PAYOUT}))
    async with live_rest.client(listed) as client:
        assert (await client.refund_unassigned(dep(of), REFUND)).state == "approved"
        assert (await client.confirm_refund(refund.id, ConfirmRefund(address=TARGET))).state == "approved"
    reader = await live_rest.signer(signer.merchant, scopes=frozenset({Scope.READ, Scope.PAYIN}))
    async with live_rest.client(reader) as client:
        refused = await refusal(client.refund_unassigned(dep(of), REFUND))
        assert (refused.status, refused.error.code) == (403, "api_key.missing_scope")
