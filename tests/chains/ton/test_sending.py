"""Our wallet pays on the real virtual machine: once, exactly, followed to the last hop (PAY-24 to PAY-26, TON-02)."""

from dataclasses import replace
from datetime import timedelta

import pytest
from pytoniq_core import Cell as OracleCell
from pytoniq_core import begin_cell
from tests.chains.ton.conftest import KEY, OURS, WALLET, ChainMaker, Desk, HeldKeys, arrived, keys_of, payment
from tests.chains.ton.network import PAYER, THROWS, TON, Jetton, TonNetwork, coin, row
from tests.chains.ton.proxy import TonProxy

from bitlinkpay.chains.base import ChainError, FateState, GapError
from bitlinkpay.chains.outgoing import CannotPlan, FeeTooHigh, KeyRole, Payment, Purpose, Sent, Signed, Slot, Wallet
from bitlinkpay.chains.ton.highload import QUERIES, TIMEOUT_S, query_id
from bitlinkpay.chains.ton.plan import PAYMENTS_MAX
from bitlinkpay.chains.ton.sender import TonSender
from bitlinkpay.core.assets import Asset
from bitlinkpay.signer.families.ton import sign

Three = tuple[TonProxy, TonProxy, TonProxy]


def stranger(number: int) -> str:
    return f"0:{10**50 + number:064x}"


async def balance(desk: Desk, asset: str, address: str = OURS) -> int:
    return await desk.network.balance(desk.assets[asset], address)


async def memo_at(desk: Desk, address: str) -> dict:
    return (await desk.network.api("/transactions", account=address, limit="1", sort="desc"))["transactions"][0]


async def test_the_first_request_brings_the_wallet_to_the_chain(network: TonNetwork, chains: ChainMaker) -> None:
    desk = Desk(network, chains(), sender := TonSender(chains(), [coin()]), {"ton-ton": coin()})
    await network.pay(OURS, TON)
    await network.mine()
    assert not (await sender.lane(WALLET)).is_ready
    done = await desk.send(purpose=Purpose.SETUP)
    assert (done.state, done.delivered) == (FateState.FINAL, ())
    assert (await sender.lane(WALLET)).is_ready
    assert await network.balance(coin(), OURS) == TON - done.fee_units
    assert 0 < done.fee_units < TON // 100


async def test_one_payment_of_coins_with_a_memo(desk: Desk) -> None:
    before = await balance(desk, "ton-ton")
    done = await desk.send(payment("ton-ton", stranger(1), 3 * TON, "invoice 7"))
    assert (done.state, done.delivered) == (FateState.FINAL, (True,))
    assert await balance(desk, "ton-ton", stranger(1)) == 3 * TON
    assert await balance(desk, "ton-ton") == before - 3 * TON - done.fee_units
    body = OracleCell.one_from_boc(
        (await memo_at(desk, stranger(1)))["in_msg"]["message_content"]["body"]
    ).begin_parse()
    assert (body.load_uint(32), body.load_snake_string()) == (0, "invoice 7")


async def test_a_hundred_payments_of_coins_in_one_request_cost_little(desk: Desk) -> None:
    before = await balance(desk, "ton-ton")
    wanted = [payment("ton-ton", stranger(n), TON // 10 + n, f"order {n}") for n in range(PAYMENTS_MAX)]
    done = await desk.send(*wanted)
    assert done.delivered == (True,) * 100
    assert [await balance(desk, "ton-ton", paid.target) for paid in wanted] == [paid.units for paid in wanted]
    assert await balance(desk, "ton-ton") == before - sum(paid.units for paid in wanted) - done.fee_units
    assert done.fee_units / 100 <= 1_500_000  # 0.0015 TON each


async def test_a_hundred_payments_of_jettons_in_one_request(desk: Desk) -> None:
    before = await balance(desk, "ton-ton"), await balance(desk, "usdt-ton")
    wanted = [payment("usdt-ton", stranger(n), 10**6 + n, f"order {n}") for n in range(PAYMENTS_MAX)]
    done = await desk.send(*wanted)
    assert (done.state, done.delivered) == (FateState.FINAL, (True,) * 100)
    assert [await balance(desk, "usdt-ton", paid.target) for paid in wanted] == [paid.units for paid in wanted]
    assert await balance(desk, "usdt-ton") == before[1] - sum(paid.units for paid in wanted)
    assert await balance(desk, "ton-ton") == before[0] - done.fee_units
    told = await memo_at(desk, stranger(42))  # the recipient is told, memo and all
    assert told["in_msg"]["opcode"] == "0x7362d09c"
    body = OracleCell.one_from_boc(told["in_msg"]["message_content"]["body"]).begin_parse()
    assert (body.load_uint(32), body.load_uint(64) & 0xFF, body.load_coins()) == (0x7362D09C, 42, 10**6 + 42)
    assert body.load_address().hash_part.hex() == OURS[2:]
    assert (body.load_bit(), body.load_ref().begin_parse().skip_bits(32).load_snake_string()) == (1, "order 42")


async def test_coins_and_jettons_go_together(desk: Desk) -> None:
    done = await desk.send(
        payment("usdt-ton", stranger(1), 5),
        payment("ton-ton", stranger(3), 7),
        payment("usdt-ton", stranger(2), 6, "m"),
    )
    assert done.delivered == (True, True, True)
    assert await balance(desk, "ton-ton", stranger(3)) == 7
    assert [await balance(desk, "usdt-ton", stranger(n)) for n in (1, 2)] == [5, 6]


async def test_two_equal_payments_are_both_made(desk: Desk) -> None:
    done = await desk.send(payment("ton-ton", stranger(1), 7), payment("ton-ton", stranger(1), 7))
    assert done.delivered == (True, True)
    assert await balance(desk, "ton-ton", stranger(1)) == 14


async def test_PAY_24_an_address_without_a_contract_keeps_what_it_gets(desk: Desk) -> None:
    intent = desk.intent(payment("ton-ton", stranger(1), 5))
    plan, _ = await desk.prepare(intent)
    assert plan.bounces == (False,)
    assert (await desk.send(*intent.payments)).delivered == (True,)
    assert await balance(desk, "ton-ton", stranger(1)) == 5


async def test_PAY_24_a_contract_that_refuses_sends_it_back_once(desk: Desk) -> None:
    target = await desk.network.deploy(THROWS, begin_cell().end_cell())
    before = await balance(desk, "ton-ton")
    first = await desk.network.mine()
    plan, _ = await desk.prepare(desk.intent(payment("ton-ton", target, TON)))
    assert plan.bounces == (True,)
    done = await desk.send(payment("ton-ton", target, TON), payment("ton-ton", stranger(1), 5))
    assert (done.state, done.delivered) == (FateState.FINAL, (False, True))
    assert await balance(desk, "ton-ton") == before - 5 - done.fee_units
    assert done.fee_units < TON // 50  # what came back is no fee
    assert await arrived(desk.chain, first) == []  # and no deposit (TON-02)


async def test_PAY_25_jettons_that_the_recipients_wallet_refuses_come_back_and_are_not_delivered(desk: Desk) -> None:
    """The issuer has locked the recipient's wallet: our transfer succeeds, the next hop does not."""
    usdt = desk.assets["usdt-ton"]
    made = Jetton(desk.network, usdt.contract)
    await desk.send(payment("usdt-ton", stranger(1), 5))
    await desk.network.lock(await made.wallet_of(stranger(1)))
    before = await balance(desk, "ton-ton"), await balance(desk, "usdt-ton")
    done = await desk.send(payment("usdt-ton", stranger(1), 7), payment("usdt-ton", stranger(2), 9))
    assert (done.state, done.delivered) == (FateState.FINAL, (False, True))
    assert await balance(desk, "usdt-ton") == before[1] - 9
    assert await balance(desk, "ton-ton") == before[0] - done.fee_units


async def test_PAY_25_nothing_is_decided_before_the_last_hop(desk: Desk) -> None:
    intent = desk.intent(payment("usdt-ton", stranger(1), 5, "m"))
    plan, signed = await desk.prepare(intent)
    seen = [(await desk.sender.outcome(intent, plan, signed)).state]
    await desk.sender.broadcast(signed)
    for _ in range(8):
        await desk.network.mine(hops=1)
        outcome = await desk.sender.outcome(intent, plan, signed)
        assert outcome.delivered == ((True,) if outcome.state is FateState.FINAL else ())
        seen.append(outcome.state)
    assert seen[0] is FateState.UNKNOWN
    assert seen[1] is FateState.MINED
    assert seen.count(FateState.MINED) == 4  # request, batch, our jetton wallet, the recipient's; then the excesses
    assert seen[-1] is FateState.FINAL


async def test_PAY_25_more_than_the_jetton_wallet_has_fails_at_the_first_hop(desk: Desk) -> None:
    """The plan was made when there was enough; our own jetton wallet refuses and sends the coins back."""
    intent = desk.intent(payment("usdt-ton", stranger(1), 10**12))
    plan, signed = await desk.prepare(intent)
    await desk.send(payment("usdt-ton", stranger(2), 1))
    before = await balance(desk, "ton-ton")
    await desk.sender.broadcast(signed)
    await desk.network.mine()
    done = await desk.sender.outcome(intent, plan, signed)
    assert (done.state, done.delivered) == (FateState.FINAL, (False,))
    assert await balance(desk, "ton-ton") == before - done.fee_units
    assert await balance(desk, "usdt-ton") == 10**12 - 1


async def test_a_batch_that_the_balance_does_not_cover_is_paid_as_far_as_it_goes(desk: Desk) -> None:
    """Money left between plan and block: what was skipped is known payment by payment."""
    half = await balance(desk, "ton-ton") // 2
    wanted = [
        payment("ton-ton", stranger(1), half - TON),
        payment("ton-ton", stranger(2), half - TON),
        payment("ton-ton", stranger(3), 5),
    ]
    intent = desk.intent(*wanted)
    plan, signed = await desk.prepare(intent)
    await desk.send(payment("ton-ton", stranger(4), half - TON))
    await desk.sender.broadcast(signed)
    await desk.network.mine()
    done = await desk.sender.outcome(intent, plan, signed)
    assert (done.state, done.delivered) == (FateState.FINAL, (True, False, True))
    assert [await balance(desk, "ton-ton", paid.target) for paid in wanted] == [half - TON, 0, 5]


async def test_PAY_26_the_same_bytes_sent_again_and_again_pay_once(desk: Desk) -> None:
    intent = desk.intent(payment("ton-ton", stranger(1), 5))
    plan, signed = await desk.prepare(intent)
    for _ in range(3):
        assert (await desk.sender.broadcast(signed)).sent is Sent.ACCEPTED
    await desk.network.mine()
    again = await desk.sender.broadcast(signed)
    assert (again.sent, "exitcode=36" in again.reason) == (Sent.REFUSED, True)
    await desk.network.mine()
    assert (await desk.sender.outcome(intent, plan, signed)).delivered == (True,)
    assert await balance(desk, "ton-ton", stranger(1)) == 5


async def test_PAY_26_another_request_with_the_same_query_id_is_refused(desk: Desk) -> None:
    first, second = desk.intent(payment("ton-ton", stranger(1), 5)), desk.intent(payment("ton-ton", stranger(2), 5))
    plan, signed = await desk.prepare(first)
    await desk.sender.broadcast(signed)
    await desk.network.mine()
    rival = sign(second, await desk.sender.plan(second, Slot(desk.number)), HeldKeys(row(), desk.assets))
    assert "exitcode=36" in (await desk.sender.broadcast(rival)).reason
    other = sign(second, await desk.sender.plan(second, Slot(desk.number + 1)), HeldKeys(row(), desk.assets))
    assert (await desk.sender.broadcast(other)).sent is Sent.ACCEPTED
    assert plan.number == desk.number


async def test_PAY_26_two_requests_of_one_block_are_both_taken_whatever_their_order(desk: Desk) -> None:
    made = []
    for n in (1, 2):
        intent = desk.intent(payment("ton-ton", stranger(n), n))
        made.append((intent, *await desk.prepare(intent)))
    for _, _, signed in reversed(made):
        await desk.sender.broadcast(signed)
    await desk.network.mine()
    assert [(await desk.sender.outcome(*parts)).delivered for parts in made] == [(True,), (True,)]


async def test_PAY_26_a_request_made_in_the_future_is_refused_and_may_be_taken_later(desk: Desk) -> None:
    intent = desk.intent(payment("ton-ton", stranger(1), 5))
    plan = replace(
        await desk.sender.plan(intent, Slot(500)), created_at=(await desk.prepare(intent))[0].created_at + 600
    )
    signed = sign(intent, plan, HeldKeys(row(), desk.assets))
    assert "exitcode=35" in (await desk.sender.broadcast(signed)).reason
    assert not await desk.sender.is_dead(intent, plan, signed)
    late = replace(plan, created_at=int(intent.expires_at.timestamp()) + 1)
    with pytest.raises(Exception, match="out of range"):
        sign(intent, late, HeldKeys(row(), desk.assets))
    await desk.network.advance(700)
    await desk.network.mine()
    assert (await desk.sender.broadcast(signed)).sent is Sent.ACCEPTED


async def test_PAY_26_every_query_id_has_its_turn_before_one_comes_again() -> None:
    assert query_id(0) == 0
    assert query_id(1022) == 1022
    assert query_id(1023) == 1 << 10
    assert query_id(QUERIES) == query_id(0)
    assert query_id(QUERIES - 1) == (8191 << 10 | 1021)
    assert len({query_id(n) for n in range(0, QUERIES, 997)}) == len(range(0, QUERIES, 997))
    assert all(query_id(n) & 1023 <= 1022 for n in range(3000))


async def test_a_request_that_nobody_took_is_dead_when_its_time_has_passed_and_no_sooner(desk: Desk) -> None:
    intent = desk.intent(payment("ton-ton", stranger(1), 5))
    plan, signed = await desk.prepare(intent)
    await desk.sender.broadcast(signed)
    assert await desk.network.drop_pending() == 1
    await desk.network.mine()
    assert (await desk.sender.outcome(intent, plan, signed)).state is FateState.UNKNOWN
    assert not await desk.sender.is_dead(intent, plan, signed)
    await desk.network.advance(TIMEOUT_S)
    await desk.network.mine()
    assert not await desk.sender.is_dead(intent, plan, signed)  # clocks of shards may differ by a little
    await desk.network.advance(90)
    await desk.network.mine()
    assert await desk.sender.is_dead(intent, plan, signed)
    assert "exitcode=35" in (await desk.sender.broadcast(signed)).reason
    fresh, again = await desk.prepare(intent)
    await desk.sender.broadcast(again)
    await desk.network.mine()
    assert (await desk.sender.outcome(intent, fresh, again)).delivered == (True,)
    assert await balance(desk, "ton-ton", stranger(1)) == 5


async def test_a_request_that_was_taken_is_never_dead(desk: Desk) -> None:
    intent = desk.intent(payment("ton-ton", stranger(1), 5))
    plan, signed = await desk.prepare(intent)
    await desk.sender.broadcast(signed)
    await desk.network.mine()
    await desk.network.advance(3 * TIMEOUT_S)
    await desk.network.mine()
    assert not await desk.sender.is_dead(intent, plan, signed)
    await desk.network.pay(OURS, 1)
    await desk.network.mine()
    assert not await desk.sender.is_dead(intent, plan, signed)


async def test_a_request_is_not_dead_because_one_node_hides_it(desk: Desk, proxies: Three, chains: ChainMaker) -> None:
    intent = desk.intent(payment("ton-ton", stranger(1), 5))
    plan, signed = await desk.prepare(intent)
    await desk.sender.broadcast(signed)
    await desk.network.mine()
    await desk.network.advance(2 * TIMEOUT_S)
    await desk.network.pay(OURS, 1)
    await desk.network.mine()

    def hide(path: str, query: dict, answer: dict) -> dict:
        if path == "/transactionsByMessage":
            return {"transactions": []}
        if path == "/transactions":
            return {"transactions": [t for t in answer["transactions"] if t["in_msg"]["source"] is not None]}
        return answer

    proxies[0].edit = hide
    usdt = desk.assets["usdt-ton"]
    blind = TonSender(chains(proxies[0].url, assets=[usdt]), [coin(), usdt])
    with pytest.raises(ChainError):
        await blind.is_dead(intent, plan, signed)


@pytest.mark.parametrize("hidden", ["/transactionsByMessage", "/transactions"])
async def test_a_request_is_not_dead_while_its_message_or_the_wallets_history_shows_it(
    desk: Desk, proxies: Three, chains: ChainMaker, hidden: str
) -> None:
    intent = desk.intent(payment("ton-ton", stranger(1), 5))
    plan, signed = await desk.prepare(intent)
    await desk.sender.broadcast(signed)
    await desk.network.mine()
    await desk.network.advance(2 * TIMEOUT_S)
    await desk.network.mine()
    proxies[0].edit = lambda path, query, answer: {"transactions": []} if path == hidden else answer
    assert not await TonSender(chains(proxies[0].url), [coin()]).is_dead(intent, plan, signed)


async def test_a_request_is_not_dead_where_an_endpoint_shows_nothing_of_the_wallets_history(
    desk: Desk, proxies: Three, chains: ChainMaker
) -> None:
    """Pruned, with an index of messages that is behind: both say "never seen" of a request that was taken."""
    intent = desk.intent(payment("ton-ton", stranger(1), 5))
    plan, signed = await desk.prepare(intent)
    await desk.sender.broadcast(signed)
    await desk.network.mine()
    await desk.network.advance(2 * TIMEOUT_S)
    await desk.network.mine()
    proxies[0].edit = lambda path, query, answer: {"transactions": []} if "/transactions" in path else answer
    with pytest.raises(GapError, match="shows nothing of the history"):
        await TonSender(chains(proxies[0].url), [coin()]).is_dead(intent, plan, signed)


async def test_a_plan_is_not_outbid(desk: Desk) -> None:
    intent = desk.intent(payment("ton-ton", stranger(1), 5))
    plan, _ = await desk.prepare(intent)
    assert await desk.sender.plan(intent, Slot(desk.number), plan) is plan
    assert (await desk.sender.choose(intent, ()), desk.sender.produced(plan, Signed("", b""))) == ((), ())


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ([payment("ton-ton", stranger(n), 1) for n in range(101)], "at most 100"),
        ([payment("eth-ethereum", stranger(1), 1)], "no asset of ton"),
        ([Payment(Wallet(KeyRole.HOT, 0, PAYER), "ton-ton", stranger(1), "", 1)], "only the paying wallet"),
        ([payment("ton-ton", stranger(1), 10**6 * TON)], "holds .* base units of ton-ton"),
        ([payment("usdt-ton", stranger(1), 10**13)], "holds 1000000000000 base units of usdt-ton"),
    ],
)
async def test_what_cannot_be_paid_is_said_before_anything_is_sent(
    desk: Desk, wanted: list[Payment], reason: str
) -> None:
    intent = desk.intent(*wanted)
    for ask in (desk.sender.quote(intent), desk.sender.plan(intent, Slot(9))):
        with pytest.raises(CannotPlan, match=reason):
            await ask


async def test_PAY_23_an_address_that_loses_what_has_no_memo_is_not_paid_without_one(desk: Desk) -> None:
    usdt = desk.assets["usdt-ton"]
    careful = TonSender(desk.chain, [coin(), usdt], memo_required=[stranger(1)])
    for asset in ("ton-ton", "usdt-ton"):
        with pytest.raises(CannotPlan, match="needs a memo"):
            await careful.quote(desk.intent(payment(asset, stranger(1), 5)))
        await careful.quote(desk.intent(payment(asset, stranger(1), 5, "7")))
        await careful.quote(desk.intent(payment(asset, stranger(2), 5)))


async def test_a_fee_above_the_intents_is_too_high(desk: Desk) -> None:
    intent = desk.intent(payment("usdt-ton", stranger(1), 5))
    quote = await desk.sender.quote(intent)
    assert quote.units < quote.units_max
    assert (
        await desk.sender.plan(replace(intent, fee_max_units=quote.units_max), Slot(1))
    ).fee_units == quote.units_max
    with pytest.raises(FeeTooHigh):
        await desk.sender.plan(replace(intent, fee_max_units=quote.units_max - 1), Slot(1))


@pytest.mark.parametrize("count", [1, 7, 100])
@pytest.mark.parametrize("asset", ["ton-ton", "usdt-ton"])
async def test_what_is_quoted_at_most_is_never_exceeded(desk: Desk, asset: str, count: int) -> None:
    wanted = [payment(asset, stranger(n), 5, "memo" * (n % 60)) for n in range(count)]
    quote = await desk.sender.quote(desk.intent(*wanted))
    done = await desk.send(*wanted)
    assert done.fee_units <= quote.units_max
    assert done.fee_units >= quote.units // 2


async def test_how_many_payments_fit(desk: Desk) -> None:
    usdt: Asset = desk.assets["usdt-ton"]
    assert [desk.sender.payments_max(usdt, purpose) for purpose in Purpose] == [
        100 if purpose in {Purpose.PAYOUT, Purpose.COLD} else 0 for purpose in Purpose
    ]


SAID = [
    (None, 500, Sent.REFUSED),
    (b"{}", 0, Sent.UNCLEAR),
    (b"<html>", 0, Sent.UNCLEAR),
    (b'{"message_hash":"x"}', 0, Sent.ACCEPTED),
]


@pytest.mark.parametrize(("raw", "status", "sent"), SAID)
async def test_what_a_node_says_to_the_bytes(proxies: Three, chains: ChainMaker, raw, status, sent) -> None:
    proxies[0].raw, proxies[0].status = raw, status
    sender = TonSender(chains(proxies[0].url), [coin()])
    assert (await sender.broadcast(Signed("", b"bytes"))).sent is sent


async def test_one_node_that_takes_the_bytes_is_enough(desk: Desk, proxies: Three, chains: ChainMaker) -> None:
    intent = desk.intent(payment("ton-ton", stranger(1), 5))
    plan, signed = await desk.prepare(intent)
    proxies[0].status, proxies[1].raw = 500, b"<html>"
    sender = TonSender(chains(*(proxy.url for proxy in proxies)), [coin()])
    assert (await sender.broadcast(signed)).sent is Sent.ACCEPTED
    await desk.network.mine()
    assert (await desk.sender.outcome(intent, plan, signed)).delivered == (True,)


async def test_a_refused_message_does_not_keep_anyone_from_reading(desk: Desk) -> None:
    intent = desk.intent(payment("ton-ton", stranger(1), 5))
    _, signed = await desk.prepare(intent)
    await desk.sender.broadcast(signed)
    await desk.network.mine()
    for _ in range(5):
        assert (await desk.sender.broadcast(signed)).sent is Sent.REFUSED
    await desk.chain.head()


async def test_outcomes_need_the_quorum(desk: Desk, proxies: Three, chains: ChainMaker) -> None:
    intent = desk.intent(payment("ton-ton", stranger(1), 5))
    plan, signed = await desk.prepare(intent)
    await desk.sender.broadcast(signed)
    await desk.network.mine()
    proxies[0].edit = lambda path, query, answer: {"transactions": []} if path == "/transactionsByMessage" else answer
    usdt = desk.assets["usdt-ton"]
    both = TonSender(chains(proxies[0].url, proxies[1].url, assets=[usdt], quorum=2), [coin(), usdt])
    with pytest.raises(ChainError):
        await both.outcome(intent, plan, signed)
    three = TonSender(chains(*(proxy.url for proxy in proxies), assets=[usdt], quorum=2), [coin(), usdt])
    assert (await three.outcome(intent, plan, signed)).delivered == (True,)


async def test_another_wallets_transaction_under_our_id_is_not_believed(
    desk: Desk, proxies: Three, chains: ChainMaker
) -> None:
    intent = desk.intent(payment("ton-ton", stranger(1), 5))
    plan, signed = await desk.prepare(intent)
    await desk.sender.broadcast(signed)
    await desk.network.mine()

    def swap(path: str, query: dict, answer: dict) -> dict:
        for told in answer.get("transactions", []) if path == "/transactionsByMessage" else []:
            told["account"] = PAYER.upper()
        return answer

    proxies[0].edit = swap
    sender = TonSender(chains(proxies[0].url), [coin()])
    with pytest.raises(ChainError, match="another wallet"):
        await sender.outcome(intent, plan, signed)
    assert keys_of(coin()).private_key(WALLET) == KEY
    assert timedelta(seconds=TIMEOUT_S) == timedelta(hours=1)
