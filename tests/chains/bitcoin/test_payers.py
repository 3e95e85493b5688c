"""Whose money a transaction spent, by every kind of lock and every kind of node; what the nodes' own state bears out."""

from dataclasses import replace
from decimal import Decimal

import pytest
import wallycore
from tests.chains.bitcoin.conftest import coin
from tests.chains.bitcoin.keys import Lock, TestKey
from tests.chains.bitcoin.network import BitcoinNetwork, alter, refuse
from tests.chains.bitcoin.serialize import Tx, TxOut

from bitlinkpay.chains.base import Arrival, ChainError, GapError
from bitlinkpay.chains.bitcoin.script import address_of
from bitlinkpay.chains.codec.bitcoin import TEST
from bitlinkpay.chains.outputs import OutputChain, Place
from bitlinkpay.core.assets import Depth

ANN, BEA = TestKey.of("ann"), TestKey.of("bea")
TARGET = address_of(TestKey.of("shop").script(), TEST)


def known_as(key: TestKey, lock: Lock) -> set[str]:
    """Return the addresses that name who could spend such an output."""
    own = address_of(key.script(lock), TEST)
    bare = {wallycore.base58check_from_bytes(b"\x6f" + key.key_hash), address_of(key.script(), TEST)}
    return {own} if own else bare


async def spend(net: BitcoinNetwork, *spends: tuple[TestKey, Lock]) -> Place:
    """Pay the shop with one output of each; return where."""
    given = [await net.give(key, 100_000, lock) for key, lock in spends]
    outs = [out for _, out in given]
    tx = Tx(tuple(start for start, _ in given), (TxOut(50_000, TestKey.of("shop").script()),))
    for index, (key, lock) in enumerate(spends):
        tx = key.sign(tx, index, outs, lock)
    return Place(await net.mine(txs=[tx]), tx.txid, "vout:0", TARGET, 50_000)


@pytest.mark.parametrize("lock", Lock, ids=lambda lock: lock.value)
async def test_the_payer_behind_each_kind_of_lock(net, chains, lock):
    place = await spend(net, (ANN, lock))
    assert set(await chains(net).payers(place)) == known_as(ANN, lock)


async def test_AML_06_every_input_names_a_payer(net, chains):
    place = await spend(net, (ANN, Lock.P2WPKH), (BEA, Lock.P2TR), (ANN, Lock.P2WPKH), (BEA, Lock.P2PKH))
    wanted = known_as(ANN, Lock.P2WPKH) | known_as(BEA, Lock.P2TR) | known_as(BEA, Lock.P2PKH)
    assert list(await chains(net).payers(place)) == sorted(wanted)


@pytest.mark.parametrize(("has_index", "version"), [(True, 24), (True, 30), (False, 25), (False, 30)])
async def test_a_node_with_an_index_or_of_version_25_can_tell(kernel, chains, has_index, version):
    kernel.rpc.has_index, kernel.rpc.version = has_index, version
    place = await spend(kernel, (ANN, Lock.P2WPKH), (BEA, Lock.P2TR))
    assert set(await chains(kernel).payers(place)) == known_as(ANN, Lock.P2WPKH) | known_as(BEA, Lock.P2TR)


async def test_an_old_node_without_an_index_says_what_it_needs(kernel, chains):
    kernel.rpc.has_index, kernel.rpc.version = False, 24
    place = await spend(kernel, (ANN, Lock.P2WPKH))
    with pytest.raises(GapError, match="txindex=1, or to be bitcoind 25"):
        await chains(kernel).payers(place)


async def test_new_coins_have_no_payer(net, chains):
    block_hash = await net.mine()
    (first, *_) = await net.block(await net.height())
    assert await chains(net).payers(Place(block_hash, first.txid, "vout:0", TARGET, 50 * 10**8)) == ()


async def test_a_node_cannot_name_another_payer_where_the_transaction_proves_him(kernel, chains):
    place = await spend(kernel, (ANN, Lock.P2WPKH))
    thief, own = TestKey.of("thief").script().hex(), ANN.script().hex()
    kernel.edit = alter("getrawtransaction", lambda raw: raw.replace(own, thief) if isinstance(raw, str) else raw)
    with pytest.raises(ChainError):
        await chains(kernel).payers(place)
    kernel.edit = None
    assert set(await chains(kernel).payers(place)) == known_as(ANN, Lock.P2WPKH)


async def test_told_inputs_must_be_those_of_the_transaction(kernel, chains):
    kernel.rpc.has_index = False
    place = await spend(kernel, (ANN, Lock.P2WPKH), (BEA, Lock.P2WPKH))

    def reordered(answer: object) -> object:
        return answer | {"vin": answer["vin"][::-1]} if isinstance(answer, dict) else answer

    kernel.edit = alter("getrawtransaction", reordered)
    with pytest.raises(ChainError, match="other inputs"):
        await chains(kernel).payers(place)


async def test_two_nodes_that_tell_different_payers_agree_on_none(kernel, chains):
    async with BitcoinNetwork.start("kernel", blocks=0) as other:
        place = await spend(kernel, (ANN, Lock.P2WPKH))
        await other.copy(kernel)
        kernel.rpc.has_index = other.rpc.has_index = False
        assert set(await chains(kernel, other, quorum=2).payers(place)) == known_as(ANN, Lock.P2WPKH)
        own, thief = ANN.script().hex(), TestKey.of("thief").script().hex()

        def renamed(answer: object) -> object:
            if isinstance(answer, dict):
                answer["vin"][0]["prevout"]["scriptPubKey"]["hex"] = thief
            return answer

        assert own != thief
        other.edit = alter("getrawtransaction", renamed)
        with pytest.raises(ChainError):
            await chains(kernel, other, quorum=2).payers(place)


# --- the nodes' own state -------------------------------------------------------------------------------------------------


async def test_an_output_is_borne_out_until_it_is_spent(net, chains):
    chain = chains(net)
    start, out = await net.give(ANN, 100_000)
    place = Place("", start.txid, "vout:0", address_of(ANN.script(), TEST), 100_000)
    wrong = [
        replace(place, units=100_001),
        replace(place, target=TARGET),
        replace(place, position="vout:9"),
        replace(place, txid="ab" * 32),
    ]
    assert list(await chain.are_unspent([place, *wrong])) == [True, False, False, False, False]
    assert list(await chain.are_unspent([])) == []
    tx = ANN.sign(Tx((start,), (TxOut(90_000, BEA.script()),)), 0, [out], Lock.P2WPKH)
    await net.send(tx)
    assert list(await chain.are_unspent([place])) == [True], "the mempool proves nothing"
    await net.mine()
    assert list(await chain.are_unspent([place])) == [False]


@pytest.mark.parametrize("value", [Decimal("0.001000001"), "0.001x", None, {"a": 1}, Decimal(-1), Decimal("0.0010000")])
async def test_BTC_12_an_odd_value_is_refused_and_a_plain_one_taken(kernel, chains, value):
    start, _ = await kernel.give(ANN, 100_000)
    place = Place("", start.txid, "vout:0", address_of(ANN.script(), TEST), 100_000)
    kernel.edit = alter("gettxout", lambda answer: answer | {"value": value})
    if value == Decimal("0.001"):
        assert list(await chains(kernel).are_unspent([place])) == [True]
    else:
        with pytest.raises(ChainError):
            await chains(kernel).are_unspent([place])


async def test_balances_are_those_after_the_asked_block_whatever_was_spent_since(kernel, chains):
    chain = chains(kernel)
    addresses = [address_of(key.script(), TEST) for key in (ANN, BEA, TestKey.of("nobody"))]
    first, out = await kernel.give(ANN, 100_000)
    await kernel.give(ANN, 5_000)
    height = await kernel.height()
    tx = ANN.sign(Tx((first,), (TxOut(90_000, BEA.script()),)), 0, [out], Lock.P2WPKH)
    await kernel.mine(txs=[tx])
    await kernel.mine(2)
    assert list(await chain.balances(coin(), addresses, height)) == [105_000, 0, 0]
    assert list(await chain.balances(coin(), addresses, height + 1)) == [5_000, 90_000, 0]
    assert list(await chain.balances(coin(), [], height)) == []
    with pytest.raises(GapError):
        await chain.balances(coin(), addresses, height + 9)


async def test_btcd_cannot_search_and_that_is_said(net, chains):
    chain = chains(net)
    if net.btcd:
        with pytest.raises(ChainError, match="scantxoutset"):
            await chain.balances(coin(), [TARGET], 5)
    else:
        assert list(await chain.balances(coin(), [TARGET], 5)) == [0]
        net.edit = refuse("scantxoutset", -8, 'Scan already in progress, use action "abort" or "status"')
        with pytest.raises(ChainError, match="in progress"):
            await chain.balances(coin(), [TARGET], 5)


@pytest.mark.parametrize(
    ("units", "arrival", "needed"),
    [(1, Arrival.DIRECT, 3), (99_999_999, Arrival.DIRECT, 3), (10**8, Arrival.DIRECT, 6), (1, Arrival.SYSTEM, 101)],
)
async def test_how_deep_money_must_lie(kernel, chains, units, arrival, needed):
    chain = chains(kernel)
    assert isinstance(chain, OutputChain)
    assert chain.confirmations(coin(), units, arrival) == needed
    shallow = replace(coin(), depths=(Depth(1, 2),))
    assert chain.confirmations(shallow, units, Arrival.DIRECT) == 3, "never less than the network's own count"


async def test_nothing_hides_on_bitcoin(kernel, chains):
    assert await chains(kernel).locate(coin(), TARGET, 1, 100) == ()
