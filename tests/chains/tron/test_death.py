"""When a transaction of ours can never take effect any more, and every way to be wrong about it (THREATS PAY-20)."""

import pytest
from tests.chains.tron.desk import HOT, TRX, Desk, desk
from tests.chains.tron.rows import coin

from bitlinkpay.chains.base import ChainError, FateState, NotEnoughAnswers
from bitlinkpay.chains.outgoing import Intent, Signed
from bitlinkpay.chains.tron.plan import TronPlan
from bitlinkpay.chains.tron.proof import Unproven
from bitlinkpay.chains.tron.sender import LIFE_MS

LIFE_BLOCKS = LIFE_MS // 3_000
Sent3 = tuple[Intent, TronPlan, Signed]


@pytest.fixture
async def ours(net, chains) -> Desk:
    net.pay(HOT.address, 10_000 * TRX)
    await net.finalize()
    return desk(net, chains(*net.servers, quorum=2))


async def signed(ours: Desk) -> Sent3:
    intent = ours.intent(coin(), 5 * TRX)
    return (intent, *await ours.sign(intent))


def forgetful(path: str, _body: object, answer: object) -> object:
    """Know no transaction by its id, as a node does that keeps no history."""
    return {} if path.endswith("infobyid") else answer


async def test_PAY_20_it_is_dead_only_once_a_solid_block_is_as_late_as_its_expiration(ours) -> None:
    intent, plan, sent = await signed(ours)
    assert not await ours.sender.is_dead(intent, plan, sent)
    await ours.net.mine(LIFE_BLOCKS)
    assert ours.net.now_ms == plan.expiration_ms
    assert not await ours.sender.is_dead(intent, plan, sent), "expired at the newest block, which may still be undone"
    await ours.net.mine(17)
    assert not await ours.sender.is_dead(intent, plan, sent)
    await ours.net.mine(1)
    assert await ours.sender.is_dead(intent, plan, sent)
    assert (await ours.sender.broadcast(sent)).reason.startswith("TRANSACTION_EXPIRATION_ERROR")
    assert (await ours.carry(ours.intent(coin(), 5 * TRX))).delivered == (True,), "now a new one may be made"
    assert await ours.net.balance(coin(), intent.payments[0].target) == 5 * TRX


async def test_PAY_20_what_got_into_the_last_block_that_could_hold_it_lives(ours) -> None:
    intent, plan, sent = await signed(ours)
    await ours.net.mine(LIFE_BLOCKS - 1)
    ours.net.submit(sent.raw)
    await ours.net.mine(1)
    assert ours.net.outcome(sent.txid)
    assert ours.net.now_ms == plan.expiration_ms, "its block is as late as the expiration, the parent is not"
    await ours.net.mine(18)
    assert not await ours.sender.is_dead(intent, plan, sent)
    assert (await ours.sender.outcome(intent, plan, sent)).state is FateState.FINAL


async def test_PAY_20_nodes_that_forgot_it_do_not_kill_it(ours) -> None:
    intent, plan, sent = await signed(ours)
    await ours.net.mine(50)
    ours.net.submit(sent.raw)
    await ours.net.mine(LIFE_BLOCKS)
    for server in ours.net.servers:
        server.edit = forgetful
    assert (await ours.sender.outcome(intent, plan, sent)).state is FateState.UNKNOWN
    assert not await ours.sender.is_dead(intent, plan, sent), "the block that holds it was read"
    other = await signed(ours)
    await ours.net.mine(LIFE_BLOCKS + 20)
    assert await ours.sender.is_dead(*other)


async def test_PAY_20_a_node_that_hides_it_in_its_blocks_does_not_agree(ours) -> None:
    intent, plan, sent = await signed(ours)
    ours.net.submit(sent.raw)
    await ours.net.mine(LIFE_BLOCKS + 20)

    def hides(path: str, _body: object, answer: object) -> object:
        if path.endswith("infobyid"):
            return {}
        if path.endswith("getblockbynum") and "transactions" in answer:
            return {name: value for name, value in answer.items() if name != "transactions"}
        return answer

    for server in ours.net.servers[:2]:
        server.edit = forgetful
    ours.net.servers[2].edit = hides
    assert not await ours.sender.is_dead(intent, plan, sent)
    ours.net.servers[1].status = 503
    with pytest.raises((NotEnoughAnswers, ChainError)):
        await ours.sender.is_dead(intent, plan, sent)


async def test_PAY_20_one_endpoint_alone_cannot_hide_a_transaction(net, chains) -> None:
    net.pay(HOT.address, 10_000 * TRX)
    await net.finalize()
    ours = desk(net, chains())
    intent, plan, sent = await signed(ours)
    net.submit(sent.raw)
    await net.mine(LIFE_BLOCKS + 20)

    def hides(path: str, _body: object, answer: object) -> object:
        if path.endswith("infobyid"):
            return {}
        if path.endswith("getblockbynum") and "transactions" in answer:
            return {name: value for name, value in answer.items() if name != "transactions"}
        return answer

    for server in net.servers[:2]:
        server.edit = hides
    with pytest.raises(Unproven, match="one endpoint is not believed"):
        await ours.sender.is_dead(intent, plan, sent)
    with pytest.raises(Unproven, match="one endpoint is not believed"):
        await desk(net, chains(egress=net.servers[1].url, quorum=2)).sender.is_dead(intent, plan, sent)


async def test_PAY_20_while_finality_stalls_nothing_is_dead(ours) -> None:
    intent, plan, sent = await signed(ours)
    ours.net.solid_at = ours.net.solid_height
    await ours.net.mine(3 * LIFE_BLOCKS)
    assert not await ours.sender.is_dead(intent, plan, sent)
    ours.net.solid_at = None
    await ours.net.mine()
    assert await ours.sender.is_dead(intent, plan, sent)


async def test_PAY_20_missing_blocks_prove_nothing(ours) -> None:
    intent, plan, sent = await signed(ours)
    await ours.net.mine(LIFE_BLOCKS + 20)
    gap = plan.ref_height + 40

    def lacks(path: str, body: dict[str, object], answer: object) -> object:
        return {} if path.endswith("getblockbynum") and body["num"] == gap else answer

    for server in ours.net.servers:
        server.edit = lacks
    with pytest.raises(ChainError, match=f"no block {gap}"):
        await ours.sender.is_dead(intent, plan, sent)
    for server in ours.net.servers:
        server.edit = None
    assert await ours.sender.is_dead(intent, plan, sent)


async def test_PAY_20_a_chain_that_does_not_hold_the_block_referred_to_proves_nothing(ours) -> None:
    intent, plan, sent = await signed(ours)
    await ours.net.mine(LIFE_BLOCKS + 20)
    foreign = TronPlan(
        ref_height=plan.ref_height,
        ref_id=plan.ref_id[:8] + bytes(24),
        timestamp_ms=plan.timestamp_ms,
        expiration_ms=plan.expiration_ms,
        fee_limit=0,
        burnt_units=0,
    )
    with pytest.raises(ChainError, match="does not follow"):
        await ours.sender.is_dead(intent, foreign, sent)


async def test_PAY_20_a_gap_in_block_production_does_not_matter(ours) -> None:
    """The first block after the pause may still hold it, for its parent is early enough."""
    intent, plan, sent = await signed(ours)
    await ours.net.mine(3)
    ours.net.submit(sent.raw)
    ours.net.mine_now(after_ms=2 * LIFE_MS)
    assert ours.net.outcome(sent.txid)
    for server in ours.net.servers:
        server.edit = forgetful
    await ours.net.mine(30)
    assert not await ours.sender.is_dead(intent, plan, sent)
    other = await signed(ours)
    await ours.net.mine(2)
    ours.net.mine_now(after_ms=2 * LIFE_MS)
    await ours.net.mine(30)
    assert await ours.sender.is_dead(*other)
