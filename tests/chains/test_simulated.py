"""The conformance suite over every network row, on the simulated chain."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.sandbox.world import REGISTRY, World, address_of, check_chain, internal, transfers_of
from tests.support.clock import ManualClock

from bitlinkpay.chains.address import parse_address, show_address
from bitlinkpay.chains.base import (
    Arrival,
    ChainError,
    FateState,
    ForkedBlock,
    GapError,
)
from bitlinkpay.chains.simulated import SimulatedChain, Stretch, height_after, height_before, is_skipped
from bitlinkpay.chains.simulated_format import read_txid, spell_txid
from bitlinkpay.core.assets import Asset, Family
from bitlinkpay.db.pool import Database
from bitlinkpay.sandbox.model import Fork
from bitlinkpay.sandbox.service import Sandbox
from bitlinkpay.sandbox.store import SandboxState

NETWORKS = pytest.mark.parametrize("network", REGISTRY.networks.values(), ids=lambda network: network.id)
SPELLING = {  # PROTOCOL.md, "Spelling": transaction ids, and block hashes likewise
    Family.EVM: (r"0x[0-9a-f]{64}", r"0x[0-9a-f]{64}"),
    Family.TRON: (r"[0-9a-f]{64}", r"0{8}[0-9a-f]{56}"),
    Family.BITCOIN: (r"[0-9a-f]{64}", r"0{20}[0-9a-f]{44}"),
    Family.SOLANA: (r"[1-9A-HJ-NP-Za-km-z]{80,90}", r"[1-9A-HJ-NP-Za-km-z]{40,44}"),
    Family.TON: (r"[0-9A-Za-z+/]{43}=", r"[0-9A-Za-z+/]{43}="),
}


@pytest.fixture
async def world(database: Database, clock: ManualClock) -> World:
    return await World.start(database, clock)


def some_assets(network_id: str) -> tuple[Asset, ...]:
    return REGISTRY.assets_of(network_id)


@NETWORKS
async def test_a_payment_travels_from_mempool_to_finality(world: World, network) -> None:
    chain = world.chain(network.id)
    tag = "10028849" if network.id == "ton" else ""
    for asset in some_assets(network.id):
        target = address_of(network, 7)
        payment = world.payment(asset.id, 7, 12_345_678, tag=tag)
        (txid,) = await world.pay(payment)
        assert re.fullmatch(SPELLING[network.family][0], txid)
        fate = await chain.fate(txid)
        assert (fate.state, fate.block) == (FateState.PENDING, None)  # DEP-01: broadcast is not mined
        assert transfers_of(await world.all_blocks(network.id)) == []

        mined = await world.mine(network.id)
        (block,) = await chain.scan(mined.height, mined.height)
        assert block.time == world.clock.now()
        assert block.hash == mined.hash
        assert re.fullmatch(SPELLING[network.family][1], block.hash)
        (transfer,) = block.transfers
        assert (transfer.asset, transfer.txid, transfer.units, transfer.tag) == (asset.id, txid, 12_345_678, tag)
        assert transfer.target == target
        assert parse_address(network, show_address(network, transfer.source)) == transfer.source
        assert transfer.arrival is Arrival.DIRECT

        for _ in range(network.sandbox_lag):
            fate = await chain.fate(txid)
            assert fate.state is FateState.MINED  # DEP-02: final only by the network's own rule
            await world.mine(network.id)
        fate = await chain.fate(txid)
        assert fate.state is FateState.FINAL
        assert fate.block is not None
        assert (fate.block.height, fate.block.hash, fate.transfers) == (block.height, block.hash, (transfer,))
        await world.reorg(network.id, network.sandbox_lag + 1, Fork.DROP)


@NETWORKS
async def test_scans_are_contiguous_and_the_same_every_time(world: World, network) -> None:
    asset = REGISTRY.native(network.id)
    for number in range(1, 12):
        if number > 1:
            await world.pay(*(world.payment(asset.id, number, unit) for unit in range(1, number)))
        world.clock.advance(timedelta(seconds=1))
        await world.mine(network.id, number % 3 + 1)
    chain = world.chain(network.id)
    blocks = await world.all_blocks(network.id)
    check_chain(network, blocks)
    assert len(transfers_of(blocks)) == sum(range(1, 11))
    head = await chain.head()
    assert blocks[-1].hash == head.latest.hash
    for first in range(1, head.latest.height + 1, 7):  # any cut of the range gives the same blocks (DEP-06)
        part = await chain.scan(first, first + 9)
        assert list(part) == [block for block in blocks if first <= block.height <= first + 9]
    by_height = {block.height: block for block in blocks}
    for height in range(1, head.latest.height + 3):
        expected = by_height[height].hash if height in by_height else None
        assert await chain.block_hash(height) == expected
    assert await chain.scan(head.latest.height + 1, head.latest.height + 100) == ()


@NETWORKS
async def test_finality_lags_by_the_network_row(world: World, network) -> None:
    chain = world.chain(network.id)
    last_final = 0
    for _ in range(10):
        await world.mine(network.id)
        head = await chain.head()
        assert head.latest.height - head.final.height in {network.sandbox_lag, network.sandbox_lag + 1}
        assert head.final.hash == await chain.block_hash(head.final.height)
        assert head.final.height >= last_final
        last_final = head.final.height
        if network.confirmations:
            assert head.latest.height - head.final.height + 1 == network.confirmations


@NETWORKS
async def test_DEP_03_a_reorg_takes_a_transfer_away(world: World, network) -> None:
    chain = world.chain(network.id)
    asset = REGISTRY.native(network.id)
    (txid,) = await world.pay(world.payment(asset.id, 7, 500))
    mined = await world.mine(network.id)
    before = await chain.head()
    await world.reorg(network.id, 1, Fork.DROP)
    after = await chain.head()
    assert after.latest.height > before.latest.height, "the better chain is the longer one"
    assert after.final.height >= before.final.height, "final never goes backwards"
    assert await chain.block_hash(mined.height) != mined.hash
    assert (await chain.fate(txid)).state is FateState.UNKNOWN
    blocks = await world.all_blocks(network.id)
    check_chain(network, blocks)
    assert transfers_of(blocks) == []
    assert list(await chain.balances(asset, [address_of(network, 7)], after.latest.height)) == [0]


@NETWORKS
async def test_DEP_05_a_reorg_brings_a_transfer_back_in_another_block(world: World, network) -> None:
    chain = world.chain(network.id)
    asset = some_assets(network.id)[0]
    (txid,) = await world.pay(world.payment(asset.id, 7, 500))
    mined = await world.mine(network.id, 2)
    (old,) = transfers_of(await chain.scan(1, mined.height))
    old_block = (await chain.fate(txid)).block
    await world.reorg(network.id, 2, Fork.KEEP)
    blocks = await world.all_blocks(network.id)
    check_chain(network, blocks)
    assert transfers_of(blocks) == [old], "the same transaction, once"
    new_block = (await chain.fate(txid)).block
    assert old_block is not None
    assert new_block is not None
    assert new_block.height > old_block.height
    assert new_block.hash != old_block.hash


@NETWORKS
async def test_DEP_04_a_reorg_may_go_deeper_than_final(world: World, network) -> None:
    chain = world.chain(network.id)
    asset = REGISTRY.native(network.id)
    (txid,) = await world.pay(world.payment(asset.id, 7, 500))
    await world.mine(network.id, network.sandbox_lag + 2)
    assert (await chain.fate(txid)).state is FateState.FINAL
    head = await chain.head()
    await world.reorg(network.id, network.sandbox_lag + 3, Fork.DROP)
    assert (await chain.fate(txid)).state is FateState.UNKNOWN
    assert (await chain.head()).final.height >= head.final.height
    check_chain(network, await world.all_blocks(network.id))


@NETWORKS
async def test_balances_are_those_of_a_height(world: World, network) -> None:
    chain = world.chain(network.id)
    token, native = some_assets(network.id)[0], REGISTRY.native(network.id)
    ours, theirs, empty = (address_of(network, number) for number in (1, 2, 3))
    heights = []
    for payment in (
        world.payment(token.id, 1, 10),
        world.payment(token.id, 1, 5),
        replace(world.payment(token.id, 2, 4), source=ours),
    ):
        await world.pay(payment)
        heights.append((await world.mine(network.id)).height)
    seen = [list(await chain.balances(token, [ours, theirs, empty], height)) for height in (1, *heights)]
    fee = 0
    if token == native:  # the payer's own coin also paid the fee: nothing is left
        fee = 11
    assert seen == [[0, 0, 0], [10, 0, 0], [15, 0, 0], [11 - fee, 4, 0]]


async def test_solana_skips_slots_and_a_skipped_slot_is_no_gap(world: World) -> None:
    chain = world.chain("solana")
    await world.mine("solana", 30)
    blocks = await world.all_blocks("solana")
    check_chain(chain.network, blocks)
    heights = [block.height for block in blocks]
    assert all(height % 8 != 7 for height in heights)
    assert len(heights) < heights[-1]
    assert await chain.block_hash(15) is None
    assert [block.height for block in await chain.scan(14, 17)] == [14, 16, 17]
    assert [block.height for block in await chain.scan(15, 17)] == [16, 17]
    assert await chain.scan(15, 15) == ()


@pytest.mark.parametrize("cycle", [0, 3, 8])
def test_heights_walk_forth_and_back(cycle: int) -> None:
    for start in range(1, 40):
        if is_skipped(start, cycle):
            continue
        for blocks in range(12):
            there = height_after(start, blocks, cycle)
            assert not is_skipped(there, cycle)
            assert height_before(there, blocks, cycle) == start


async def test_long_ranges_come_in_parts_without_gaps(world: World) -> None:
    await world.mine("tron", 1000)
    await world.mine("tron", 1000)
    chain = world.chain("tron")
    assert len(await chain.scan(1, 10**9)) == 1000
    check_chain(chain.network, await world.all_blocks("tron"))


class Lossy(SandboxState):
    """A state that answers like a node with holes: leaves out runs or transfers."""

    lost_run = -1
    lost_transfer = -1
    forged_parent = -1

    async def stretch(self, network: str, first: int, last: int) -> Stretch:
        found = await super().stretch(network, first, last)
        runs = [run for place, run in enumerate(found.runs) if place != self.lost_run]
        if self.forged_parent >= 0:
            runs[self.forged_parent] = replace(runs[self.forged_parent], parent=bytes(32))
        sent = [s for place, s in enumerate(found.sent) if place != self.lost_transfer]
        return Stretch(found.head, runs, sent)


@pytest.fixture
async def lossy(world: World) -> tuple[SimulatedChain, Lossy, int]:
    for number in range(4):
        await world.pay(world.payment("usdt-tron", number, 5), world.payment("trx-tron", number, 6))
        await world.mine("tron", 3)
    state = Lossy(world.database)
    chain = world.chain("tron", state)
    return chain, state, (await chain.head()).latest.height


@pytest.mark.parametrize("place", [0, 1, 2, 3, 4])
async def test_DEP_08_a_missing_block_is_a_gap_never_silence(lossy, place: int) -> None:
    chain, state, head = lossy
    assert len(await chain.scan(1, head)) == head
    state.lost_run = place
    with pytest.raises(GapError):
        await chain.scan(1, head)


@pytest.mark.parametrize("place", range(8))
async def test_DEP_08_a_missing_transfer_is_a_gap_never_an_empty_block(lossy, place: int) -> None:
    chain, state, head = lossy
    state.lost_transfer = place
    with pytest.raises(GapError):
        await chain.scan(1, head)


async def test_EVM_18_blocks_that_do_not_link_are_thrown_away(lossy) -> None:
    chain, state, head = lossy
    state.forged_parent = 2
    with pytest.raises(ForkedBlock):
        await chain.scan(1, head)


async def test_a_network_never_started_cannot_be_read(database: Database) -> None:
    network = REGISTRY.network("tron")
    chain = SimulatedChain(network, REGISTRY.assets_of("tron"), SandboxState(database))
    for read in (chain.head(), chain.scan(1, 2), chain.block_hash(1)):
        with pytest.raises(ChainError):
            await read
    (status,) = await chain.endpoints()
    assert not status.is_healthy
    assert "never started" in status.error
    await chain.aclose()


async def test_endpoint_is_healthy_and_names_its_height(world: World) -> None:
    mined = await world.mine("ton")
    (status,) = await world.chain("ton").endpoints()
    assert (status.url, status.is_healthy, status.height, status.error) == ("simulated:ton", True, mined.height, "")


async def test_EVM_14_several_transfers_in_one_transaction_each_have_a_place(world: World) -> None:
    txid = await world.pay_together(*(world.payment("usdt-bsc", number, number + 1) for number in range(5)))
    mined = await world.mine("bsc")
    (block,) = await world.chain("bsc").scan(mined.height, mined.height)
    assert {t.txid for t in block.transfers} == {txid}
    assert [t.position for t in block.transfers] == [f"log:{n}" for n in range(5)]
    assert len({t.source for t in block.transfers}) == 1
    assert [t.units for t in block.transfers] == [1, 2, 3, 4, 5]


async def test_BTC_04_several_outputs_to_us_in_one_transaction(world: World) -> None:
    await world.pay_together(*(world.payment("btc-bitcoin", 7, units) for units in (1000, 2000, 3000)))
    mined = await world.mine("bitcoin")
    transfers = transfers_of(await world.chain("bitcoin").scan(mined.height, mined.height))
    assert [(t.position, t.units) for t in transfers] == [("vout:0", 1000), ("vout:1", 2000), ("vout:2", 3000)]


@pytest.mark.parametrize(
    ("asset_id", "position"),
    [
        ("eth-ethereum", "value"),
        ("usdt-ethereum", "log:0"),
        ("trx-tron", "value"),
        ("usdt-tron", "log:0"),
        ("btc-bitcoin", "vout:0"),
        ("sol-solana", "account:0"),
        ("usdt-ton", "message:0"),
    ],
)
async def test_positions_are_those_of_the_family(world: World, asset_id: str, position: str) -> None:
    network_id = REGISTRY.asset(asset_id).network
    await world.pay(world.payment(asset_id, 1, 5))
    mined = await world.mine(network_id)
    (transfer,) = transfers_of(await world.chain(network_id).scan(mined.height, mined.height))
    assert transfer.position == position


async def test_internal_transfers_are_found_by_balance_and_located(world: World) -> None:
    chain, coin = world.chain("ethereum"), REGISTRY.asset("eth-ethereum")
    target = address_of(chain.network, 9)
    await world.pay(internal(coin, target, 10**18), replace(internal(coin, target, 7), arrival=Arrival.SYSTEM))
    mined = await world.mine("ethereum")
    assert transfers_of(await chain.scan(mined.height, mined.height)) == []
    assert list(await chain.balances(coin, [target], mined.height)) == [10**18 + 7]
    found = await chain.locate(coin, target, 1, mined.height)
    assert [(b.height, b.hash, b.transfers) for b, _ in found] == [(mined.height, mined.hash, ())] * 2
    assert [(t.units, t.arrival, t.position) for _, t in found] == [
        (10**18, Arrival.INTERNAL, "internal:0"),
        (7, Arrival.SYSTEM, "system:0"),
    ]
    assert found[1][1].source == "", "the system names no payer (EVM-10)"
    assert await chain.locate(coin, target, 1, mined.height - 1) == []
    assert await chain.locate(coin, address_of(chain.network, 10), 1, mined.height) == []


async def test_EVM_01_a_reverted_transaction_pays_nobody(world: World) -> None:
    chain = world.chain("polygon")
    token = REGISTRY.asset("usdt-polygon")
    (txid,) = await world.pay(replace(world.payment(token.id, 3, 50), has_failed=True))
    mined = await world.mine("polygon")
    assert transfers_of(await chain.scan(mined.height, mined.height)) == []
    assert (await chain.fate(txid)).state is FateState.MINED
    await world.mine("polygon", 2)
    fate = await chain.fate(txid)
    assert (fate.state, fate.transfers) == (FateState.FAILED, ())
    assert list(await chain.balances(token, [address_of(chain.network, 3)], mined.height)) == [0]


async def test_DEP_15_an_unlisted_token_is_not_on_the_chain_that_we_see(world: World) -> None:
    chain = world.chain("bsc")
    fake = replace(REGISTRY.asset("usdt-bsc"), id="usdt-fake", contract="0x" + "11" * 20)
    (txid,) = await world.pay(replace(world.payment("usdt-bsc", 3, 50), asset=fake))
    mined = await world.mine("bsc", 3)
    assert transfers_of(await chain.scan(mined.height - 2, mined.height)) == []
    fate = await chain.fate(txid)
    assert (fate.state, fate.transfers) == (FateState.FINAL, ()), "asked for by its hash, it can be named a sighting"


@NETWORKS
def test_transaction_ids_read_back_and_nothing_else_does(network) -> None:
    digest = bytes(range(32))
    text = spell_txid(network.family, digest)
    assert read_txid(network.family, text) == digest
    for wrong in ("", "0x", text[:-1], text + "0", text.swapcase(), " " + text, text[:-2] + "٣٣", "'; DROP TABLE"):
        found = read_txid(network.family, wrong)
        assert found is None or spell_txid(network.family, found) == wrong


@NETWORKS
async def test_fate_of_what_is_no_transaction_is_unknown(world: World, network) -> None:
    for text in ("", "abc", spell_txid(network.family, b"\x01" * 32), "0" * 10_000, "\0"):
        assert (await world.chain(network.id).fate(text)).state is FateState.UNKNOWN


async def test_DEP_23_amounts_up_to_the_largest_come_through_exactly(world: World) -> None:
    await world.pay(world.payment("usdt-ethereum", 1, 2**256 - 1), world.payment("usdt-ethereum", 2, 1))
    mined = await world.mine("ethereum")
    transfers = transfers_of(await world.chain("ethereum").scan(mined.height, mined.height))
    assert [t.units for t in transfers] == [2**256 - 1, 1]


async def test_a_block_of_many_transfers_comes_whole_and_in_order(world: World) -> None:
    payments = [world.payment("usdt-tron", number, number + 1) for number in range(500)]
    txids = await world.pay(*payments)
    mined = await world.mine("tron")
    (block,) = await world.chain("tron").scan(mined.height, mined.height)
    assert [t.txid for t in block.transfers] == txids
    assert [t.units for t in block.transfers] == list(range(1, 501))


async def test_prepare_starts_each_network_once(world: World) -> None:
    async with world.database.transaction() as tx:
        assert await Sandbox(REGISTRY).prepare(tx, world.clock.now()) == []
    head = await world.chain("tron").head()
    assert head.latest.height == 64
    assert head.final.height == 61
