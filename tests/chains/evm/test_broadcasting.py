"""What a node's answer to our bytes means, and how much room a plan leaves them."""

from collections.abc import Callable

import pytest
from tests.chains.evm.desk import Desk
from tests.chains.evm.network import EvmNetwork
from tests.chains.evm.ours import deposit, payout
from tests.nodes.proxy import Proxy, RpcError

from bitlinkpay.chains.outgoing import Sent

PASSED = RpcError(-32000, "nonce too low: next nonce 7, tx nonce 3")
Answer = Callable[[str, list[object], object], object]


def answers(**by_method: object) -> Answer:
    """Return what a proxy says instead of the node: a value, or an error to raise, by method."""

    def edit(method: str, _: list[object], result: object) -> object:
        found = by_method.get(method, result)
        if isinstance(found, Exception):
            raise found
        return found

    return edit


@pytest.mark.parametrize(
    ("looked_up", "sent"),
    [
        (None, Sent.REFUSED),  # the number is used up by another one
        (RpcError(-32603, "internal error"), Sent.UNCLEAR),  # nobody can say by whom
    ],
)
async def test_PAY_06_a_used_up_number_is_judged_by_looking_for_our_own_id(
    net: EvmNetwork, looked_up: object, sent: Sent
) -> None:
    async with Proxy.start(net.node.url) as proxy, Desk.on(net, urls=[proxy.url]) as desk:
        await desk.fund()
        attempt = await desk.prepare(payout(net.usdt, (deposit(1).address, 5)))
        proxy.edit = answers(eth_sendRawTransaction=PASSED, eth_getTransactionByHash=looked_up)
        assert (await desk.broadcast(attempt)).sent is sent
        proxy.edit = None
        await desk.settle()  # the node took it all the same
        assert (await desk.broadcast(attempt)).sent is Sent.ACCEPTED  # used up by this very transaction


async def test_a_node_that_names_another_transaction_has_accepted_nothing(net: EvmNetwork) -> None:
    async with Proxy.start(net.node.url) as proxy, Desk.on(net, urls=[proxy.url]) as desk:
        await desk.fund()
        attempt = await desk.prepare(payout(net.usdt, (deposit(1).address, 5)))
        proxy.edit = answers(eth_sendRawTransaction="0x" + "ab" * 32)
        answer = await desk.broadcast(attempt)
        assert (answer.sent, "another transaction id" in answer.reason) == (Sent.UNCLEAR, True)
        proxy.edit = None
        assert (await desk.broadcast(attempt)).sent is Sent.ACCEPTED


async def test_a_limit_of_gas_leaves_half_as_much_again_for_what_changes_until_it_is_mined(net: EvmNetwork) -> None:
    """A holder's balance that falls to zero meanwhile makes the same transfer dearer: it must not run out of gas."""
    async with Desk.on(net) as desk:
        await desk.fund()
        attempt = await desk.send(payout(net.usdt, (deposit(1).address, 5)))
        await desk.settle()
        used = await desk.gas_used(attempt)
    assert used * 145 // 100 <= attempt.plan.gas_limit <= used * 2
