"""Balances after a block, from nodes that keep only the newest state."""

import pytest
from tests.chains.solana import wallets
from tests.chains.solana.ledger import FAUCET
from tests.chains.solana.network import SolanaNetwork, coin
from tests.chains.solana.test_arrivals import mint_of
from tests.chains.solana.wallets import associated, person
from tests.nodes.proxy import Proxy

from bitlinkpay.chains.base import ChainError, GapError
from bitlinkpay.chains.solana.chain import SolanaChain, SolanaOptions
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.core.assets import Asset

OURS = person(0xA1)
SHOP = str(OURS.pubkey())
Three = tuple[Proxy, Proxy, Proxy]


async def step(network: SolanaNetwork, token: Asset, units: int) -> int:
    """Pay the shop in tokens and coins in one block; return its slot once it is final."""
    txid = await network.fund(SHOP, token, units)
    await network.fund(SHOP, coin(), units * 1000)
    await network.finalize()
    return network.outcome(txid)[0].slot


async def sweep(network: SolanaNetwork, token: Asset, units: int) -> int:
    """Move tokens and coins of the shop away, the faucet paying the fee; return the slot once it is final."""
    account, back = (associated(owner, mint_of(token)) for owner in (OURS.pubkey(), FAUCET.pubkey()))
    moves = [wallets.transfer_token(account, back, OURS, units), wallets.transfer(OURS, FAUCET.pubkey(), units * 1000)]
    txid = await network.send(moves, FAUCET, OURS)
    await network.finalize()
    assert network.outcome(txid)[1].err is None
    return network.outcome(txid)[0].slot


async def test_a_balance_is_that_of_the_block_whatever_happened_since(network, chains) -> None:
    token = await network.token()
    slots = [await step(network, token, 5_000), await step(network, token, 7_000), await sweep(network, token, 4_000)]
    await network.finalize()
    chain = chains(assets=[token])
    expected = [5_000, 12_000, 8_000]
    for slot, units in zip(slots, expected, strict=True):
        assert await chain.balances(token, [SHOP], slot) == [units]
        assert await chain.balances(coin(), [SHOP], slot) == [units * 1000]
        assert await chain.balances(token, [SHOP], slot + 1) == [units]
    assert await chain.balances(token, [SHOP], slots[0] - 1) == [0]
    assert await chain.balances(coin(), [SHOP], slots[0] - 1) == [0]


async def test_an_account_that_was_closed_since_still_held_its_units_then(network, chains) -> None:
    token = await network.token()
    slot = await step(network, token, 5_000)
    account = associated(OURS.pubkey(), mint_of(token))
    back = associated(FAUCET.pubkey(), mint_of(token))
    moves = [wallets.transfer_token(account, back, OURS, 5_000), wallets.close(account, FAUCET.pubkey(), OURS)]
    closed = await network.send(moves, FAUCET, OURS)
    final = await network.finalize()
    assert network.outcome(closed)[1].err is None
    chain = chains(assets=[token])
    assert await chain.balances(token, [SHOP], slot) == [5_000]
    assert await chain.balances(token, [SHOP], final) == [0]


async def test_every_account_of_the_owner_counts(network, chains) -> None:
    token = await network.token()
    slot = await step(network, token, 5_000)
    other = person(0x71)
    moves = [
        wallets.create(FAUCET, other.pubkey(), 165, wallets.ACCOUNT_RENT, wallets.TOKEN),
        wallets.initialize_account(other.pubkey(), mint_of(token), OURS.pubkey()),
        wallets.transfer_token(associated(FAUCET.pubkey(), mint_of(token)), other.pubkey(), FAUCET, 30),
    ]
    await network.send(moves, FAUCET, other)
    final = await network.finalize()
    chain = chains(assets=[token])
    assert await chain.balances(token, [SHOP], final) == [5_030]
    assert await chain.balances(token, [SHOP], slot) == [5_000]


async def test_a_failed_transaction_costs_its_payer_the_fee(network, chains) -> None:
    token = await network.token()
    await step(network, token, 5_000_000)
    slot = await network.finalize()
    before = (await chains().balances(coin(), [SHOP], slot))[0]
    await network.send([wallets.transfer(OURS, FAUCET.pubkey(), 10**15)], OURS)
    final = await network.finalize()
    assert await chains().balances(coin(), [SHOP], final) == [before - 5_000]
    assert await chains().balances(coin(), [SHOP], slot) == [before]


async def test_many_addresses_in_order(network, chains) -> None:
    people = [str(person(n).pubkey()) for n in range(10, 140)]
    for n, address in enumerate(people[:40]):
        await network.fund(address, coin(), 1_000_000 + n)
    final = await network.finalize()
    expected = [1_000_000 + n for n in range(40)] + [0] * 90
    assert await chains().balances(coin(), people, final) == expected
    assert await chains().balances(coin(), people[::-1], final) == expected[::-1]
    assert await chains().balances(coin(), [], final) == []


async def test_nodes_some_slots_apart_agree() -> None:
    async with SolanaNetwork.start(nodes=2) as network:
        token = await network.token()
        slot = await step(network, token, 5_000)
        await step(network, token, 7_000)
        network.nodes[1].behind = 4
        options = SolanaOptions()
        ends = [Endpoint(url) for url in network.urls]
        chain = SolanaChain(network.row(), [coin(), token], ends, quorum=2, options=options)
        assert await chain.balances(token, [SHOP], slot) == [5_000]
        assert await chain.balances(coin(), [SHOP], slot) == [5_000_000]
        await chain.aclose()


async def test_a_node_that_has_not_reached_the_block_is_refused(network, chains) -> None:
    token = await network.token()
    slot = await step(network, token, 5_000)
    network.nodes[0].behind = 10
    for asset in (token, coin()):
        with pytest.raises(GapError):
            await chains(assets=[token]).balances(asset, [SHOP], slot)
    with pytest.raises(GapError):
        await chains(assets=[token]).balances(coin(), [SHOP], slot + 1000)


@pytest.mark.parametrize("lie", ["hidden", "none", "elsewhere", "another"])
async def test_a_history_that_does_not_fit_the_state_is_refused(network, chains, proxies: Three, lie: str) -> None:
    token = await network.token()
    slot = await step(network, token, 5_000)
    await step(network, token, 7_000)
    await sweep(network, token, 12_000)

    def edit(method: str, _params: list[object], result: object) -> object:
        if method == "getSignaturesForAddress" and lie == "hidden":
            return result[1:]
        if method == "getTransaction":
            changes = {"none": None, "elsewhere": result | {"slot": 10**6}}
            if lie in changes:
                return changes[lie]
            if lie == "another":
                keys = result["transaction"]["message"]["accountKeys"]
                keys[:] = [str(person(0xBAD + n).pubkey()) for n in range(len(keys))]
        return result

    proxies[0].edit = edit
    chain = chains(proxies[0], assets=[token])
    with pytest.raises(ChainError):
        await chain.balances(token, [SHOP], slot)
    proxies[0].edit = None
    assert await chain.balances(token, [SHOP], slot) == [5_000]


async def test_a_flood_since_the_block_is_no_answer(network, chains, proxies: Three) -> None:
    token = await network.token()
    slot = await step(network, token, 5_000)
    await network.finalize()
    page = [{"signature": "1" * 64, "slot": slot + 1}] * 1000
    proxies[0].edit = lambda method, _params, result: page if method == "getSignaturesForAddress" else result
    with pytest.raises(GapError, match="too much"):
        await chains(proxies[0], assets=[token]).balances(token, [SHOP], slot)
