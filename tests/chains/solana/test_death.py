"""What becomes of a transaction of ours: in flight, dropped, on a dead fork, expired, dead beyond doubt (PAY-05, PAY-12, PAY-17)."""

import pytest
from tests.chains.solana.network import SolanaNetwork, coin
from tests.chains.solana.treasury import HOT, Treasury
from tests.chains.solana.wallets import person
from tests.nodes.proxy import Mode, Proxy, RpcError

from bitlinkpay.chains.base import ChainError, FateState, GapError
from bitlinkpay.chains.outgoing import Sent
from bitlinkpay.chains.solana.chain import SolanaChain, SolanaOptions
from bitlinkpay.chains.solana.death import VALID_BLOCKS
from bitlinkpay.chains.transport import Endpoint

BOB = str(person(0xB0).pubkey())
Three = tuple[Proxy, Proxy, Proxy]


@pytest.fixture
async def treasury(network: SolanaNetwork, chains) -> Treasury:
    return await Treasury.on(network, chains())


async def until_height(network: SolanaNetwork, height: int) -> None:
    """Make blocks until one of this height is final."""
    while network.ledger.final.height < height:
        await network.mine()


async def test_PAY_17_unseen_and_expired_is_dead_only_after_the_last_valid_height_is_final(treasury, network) -> None:
    intent = treasury.payout(coin(), (BOB, 10**7))
    plan, signed = await treasury.prepare(intent)
    assert plan.valid_height == network.ledger.final.height + VALID_BLOCKS
    await treasury.sender.broadcast(signed)
    await network.drop_pending()
    assert (await treasury.sender.outcome(intent, plan, signed)).state is FateState.UNKNOWN
    assert not await treasury.sender.is_dead(intent, plan, signed)
    while network.ledger.newest.height <= plan.valid_height:
        await network.mine()
    assert not await treasury.sender.is_dead(intent, plan, signed), "expired, but not at finality"
    await until_height(network, plan.valid_height)
    assert not await treasury.sender.is_dead(intent, plan, signed), "the last block that may hold it is just final"
    await until_height(network, plan.valid_height + 1)
    assert await treasury.sender.is_dead(intent, plan, signed)
    await treasury.sender.broadcast(signed)
    await network.finalize()
    assert (await treasury.sender.outcome(intent, plan, signed)).state is FateState.UNKNOWN, "no block takes it"
    _, _, outcome = await treasury.carry_out(intent)
    assert outcome.delivered == (True,)
    assert await network.balance(coin(), BOB) == 10**7, "paid once"


async def test_PAY_17_one_that_lands_in_the_last_valid_block_is_not_dead(treasury, network) -> None:
    intent = treasury.payout(coin(), (BOB, 10**7))
    plan, signed = await treasury.prepare(intent)
    while network.ledger.newest.height < plan.valid_height - 1:
        await network.mine()
    await treasury.sender.broadcast(signed)
    await network.mine()
    assert network.outcome(signed.txid)[0].height == plan.valid_height, "the machine takes it to the very last block"
    await until_height(network, plan.valid_height + 5)
    assert not await treasury.sender.is_dead(intent, plan, signed)
    assert (await treasury.sender.outcome(intent, plan, signed)).delivered == (True,)


async def test_PAY_17_a_block_later_the_machine_refuses_it(treasury, network) -> None:
    intent = treasury.payout(coin(), (BOB, 10**7))
    plan, signed = await treasury.prepare(intent)
    while network.ledger.newest.height < plan.valid_height:
        await network.mine()
    await treasury.sender.broadcast(signed)
    await network.mine()
    assert network.outcome(signed.txid) is None
    await until_height(network, plan.valid_height + 1)
    assert await treasury.sender.is_dead(intent, plan, signed)


@pytest.mark.parametrize("loss", ["statuses", "everything"])
async def test_PAY_17_a_node_that_forgot_the_transaction_is_no_proof(
    network, chains, proxies: Three, loss: str
) -> None:
    """The transaction stands in a block; the only node says that it knows nothing of it, and no pruned node proves more."""
    treasury = await Treasury.on(network, chains(proxies[0]))
    intent = treasury.payout(coin(), (BOB, 10**7))
    plan, signed = await treasury.prepare(intent)
    await treasury.sender.broadcast(signed)
    await until_height(network, plan.valid_height + 2)

    def forgetful(method: str, _params: list[object], result: object) -> object:
        if method == "getSignatureStatuses":
            return result | {"value": [None]}
        return None if method == "getTransaction" else result

    proxies[0].edit = forgetful
    assert (await treasury.sender.outcome(intent, plan, signed)).state is FateState.UNKNOWN
    if loss == "statuses":
        assert not await treasury.sender.is_dead(intent, plan, signed)
    else:
        network.nodes[0].first = network.outcome(signed.txid)[0].slot + 1
        with pytest.raises(GapError):
            await treasury.sender.is_dead(intent, plan, signed)
    assert await network.balance(coin(), BOB) == 10**7


@pytest.mark.parametrize("method", ["getBlocksWithLimit", "getBlock"])
async def test_PAY_17_blocks_left_out_or_altered_prove_nothing(network, chains, proxies: Three, method: str) -> None:
    treasury = await Treasury.on(network, chains(proxies[0]))
    intent = treasury.payout(coin(), (BOB, 10**7))
    plan, signed = await treasury.prepare(intent)
    await treasury.sender.broadcast(signed)
    await until_height(network, plan.valid_height + 2)
    slot = network.outcome(signed.txid)[0].slot

    def hiding(called: str, params: list[object], result: object) -> object:
        if called == method == "getBlocksWithLimit":
            return [each for each in result if each != slot]
        if called == method == "getBlock" and params[0] == slot and params[1]["transactionDetails"] == "signatures":
            return result | {"blockhash": BOB, "signatures": []}
        return result

    proxies[0].edit = hiding
    with pytest.raises(GapError):
        await treasury.sender.is_dead(intent, plan, signed)


async def test_PAY_17_a_quorum_has_to_agree_that_it_is_dead() -> None:
    async with SolanaNetwork.start(nodes=2) as network:
        options = SolanaOptions()
        chain = SolanaChain(network.row(), [coin()], [Endpoint(u) for u in network.urls], quorum=2, options=options)
        treasury = await Treasury.on(network, chain)
        intent = treasury.payout(coin(), (BOB, 10**7))
        plan, signed = await treasury.prepare(intent)
        await until_height(network, plan.valid_height + 1)
        network.nodes[1].behind = 5
        assert not await treasury.sender.is_dead(intent, plan, signed)
        network.nodes[1].behind = 0
        assert await treasury.sender.is_dead(intent, plan, signed)
        network.nodes[1].first = plan.reference_slot + 1
        with pytest.raises(ChainError):
            await treasury.sender.is_dead(intent, plan, signed)
        await chain.aclose()


async def test_PAY_12_a_payment_on_a_dead_fork_is_sent_again_and_paid_once(treasury, network) -> None:
    intent = treasury.payout(coin(), (BOB, 10**7))
    plan, signed = await treasury.prepare(intent)
    await treasury.sender.broadcast(signed)
    await network.mine(2)
    assert (await treasury.sender.outcome(intent, plan, signed)).state is FateState.PENDING
    await network.reorg(2)
    assert (await treasury.sender.outcome(intent, plan, signed)).state is FateState.UNKNOWN
    assert await network.balance(coin(), BOB) == 0
    await treasury.sender.broadcast(signed)
    await network.finalize()
    outcome = await treasury.sender.outcome(intent, plan, signed)
    assert (outcome.state, outcome.delivered) == (FateState.FINAL, (True,))
    assert await network.balance(coin(), BOB) == 10**7


async def test_a_failed_payment_costs_the_fee_and_delivers_nothing(treasury, network) -> None:
    """What was promised at planning is gone when it lands: the machine carries out all of it or nothing."""
    held = await network.balance(coin(), HOT.address)
    first = treasury.payout(coin(), (BOB, held // 2))
    second = treasury.payout(coin(), (BOB, held // 2), (str(person(0xB1).pubkey()), 10**7))
    made = [(intent, *await treasury.prepare(intent)) for intent in (first, second)]
    for _, _, signed in made:
        await treasury.sender.broadcast(signed)
    await network.finalize()
    outcomes = [await treasury.sender.outcome(*each) for each in made]
    assert [outcome.state for outcome in outcomes] == [FateState.FINAL, FateState.FAILED]
    assert [outcome.delivered for outcome in outcomes] == [(True,), (False, False)]
    paid = held // 2 + sum(outcome.fee_units for outcome in outcomes)
    assert await network.balance(coin(), HOT.address) == held - paid


async def test_PAY_06_what_nodes_say_to_a_broadcast_is_no_verdict(network, chains, proxies: Three) -> None:
    a, b, c = proxies
    treasury = await Treasury.on(network, chains(a, b, c))
    intent = treasury.payout(coin(), (BOB, 10**7))
    plan, signed = await treasury.prepare(intent)
    a.mode = b.mode = Mode.RESET
    c.edit = refusing("Transaction simulation failed: This transaction has already been processed")
    assert (await treasury.sender.broadcast(signed)).sent is Sent.ACCEPTED
    c.edit = refusing("Transaction simulation failed: Blockhash not found")
    answer = await treasury.sender.broadcast(signed)
    assert answer.sent is Sent.UNCLEAR, "two of three said nothing: it may have got through there"
    a.mode = b.mode = Mode.HONEST
    a.edit = b.edit = c.edit
    for node in treasury.chain.nodes:
        node.rpc.breaker.succeeded()
    answer = await treasury.sender.broadcast(signed)
    assert (answer.sent, "Blockhash" in answer.reason) == (Sent.REFUSED, True)
    a.edit = b.edit = None
    a.mode = b.mode = Mode.RESET
    c.edit, c.mode = None, Mode.RESET
    assert (await treasury.sender.broadcast(signed)).sent is Sent.UNCLEAR
    for each in proxies:
        each.mode = Mode.HONEST
    for node in treasury.chain.nodes:
        node.rpc.breaker.succeeded()
    b.edit = c.edit = refusing("Node is behind")
    assert (await treasury.sender.broadcast(signed)).sent is Sent.ACCEPTED, "one of three took it"
    b.edit = c.edit = None
    await network.finalize()
    assert (await treasury.sender.outcome(intent, plan, signed)).delivered == (True,)


def refusing(text: str) -> object:
    def edit(method: str, _params: list[object], result: object) -> object:
        if method == "sendTransaction":
            raise RpcError(-32002, text)
        return result

    return edit


async def test_outcomes_of_several_nodes_are_agreed(network, chains, proxies: Three) -> None:
    a, b, c = proxies
    treasury = await Treasury.on(network, chains(a, b, c, quorum=2))
    intent = treasury.payout(coin(), (BOB, 10**7))
    plan, signed, _ = await treasury.carry_out(intent)

    def failed(method: str, _params: list[object], result: object) -> object:
        if method == "getSignatureStatuses":
            result["value"][0]["err"] = {"InstructionError": [0, {"Custom": 1}]}
        return result

    a.edit = failed
    assert (await treasury.sender.outcome(intent, plan, signed)).state is FateState.FINAL
