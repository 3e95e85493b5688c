"""Real blocks and real answers, decoded as the adapter decodes them; Bitcoin Core's own parser is the second opinion."""

import msgspec
import pbk
import pytest
from tests.chains.bitcoin.published import Published, answers, as_sent, blocks

from bitlinkpay.chains.bitcoin.fees import ESTIMATE, PLAIN, _to_rate
from bitlinkpay.chains.bitcoin.node import UNSPENT
from bitlinkpay.chains.bitcoin.proof import Unproven, WorkRule, check_work, prove, target_of
from bitlinkpay.chains.bitcoin.script import address_of, script_of
from bitlinkpay.chains.bitcoin.transfers import read_transfers_of
from bitlinkpay.chains.bitcoin.unspent import SEARCH, units_of
from bitlinkpay.chains.bitcoin.wire import read_block, read_header, read_transaction
from bitlinkpay.chains.codec.bitcoin import MAIN, TEST

every_block = pytest.mark.parametrize("block", blocks(), ids=lambda block: block.name)


@every_block
def test_a_real_block_proves_itself(block: Published):
    found = read_block(block.raw)
    prove(found, block.hash, block.limit)
    assert read_header(block.raw[:80]) == found.header
    assert [tx.txid for tx in found.transactions[: len(block.txids)]] == list(block.txids)


@every_block
def test_bitcoin_core_reads_the_same_out_of_it(block: Published):
    core, ours = pbk.Block(block.raw), read_block(block.raw)
    assert str(core.block_hash) == ours.header.hash == block.hash
    assert ours.header.parent == str(core.block_header.prev_hash)
    assert len(core.transactions) == len(ours.transactions)
    for theirs, mine in zip(core.transactions, ours.transactions, strict=True):
        assert bytes(theirs.txid) == mine.hash
        assert [(o.amount, bytes(o.script_pubkey)) for o in theirs.outputs] == [
            (o.units, o.script) for o in mine.outputs
        ]
        spends = [bytes(i.out_point.txid) + i.out_point.index.to_bytes(4, "little") for i in theirs.inputs]
        assert spends == mine.spends
        assert read_transaction(bytes(theirs)) == mine


@every_block
def test_what_it_pays_is_what_its_source_says(block: Published):
    found = read_transfers_of(read_block(block.raw), 7, "btc", TEST if block.testnet else MAIN)
    assert (found.height, found.hash, found.parent) == (7, block.hash, read_header(block.raw[:80]).parent)
    if block.txids:
        assert [[t.txid, t.position, t.target, t.units, t.arrival] for t in found.transfers] == list(block.pays)


def test_a_full_block_of_the_main_chain_by_sums():
    large = blocks()[-1]
    found = read_transfers_of(read_block(large.raw), 277_647, "btc", MAIN)
    core = [o for tx in pbk.Block(large.raw).transactions for o in tx.outputs]
    named = [o for o in core if address_of(bytes(o.script_pubkey), MAIN) and o.amount]
    assert len(found.transfers) == len(named) > 500
    assert sum(t.units for t in found.transfers) == sum(o.amount for o in named)
    assert all(script_of(t.target, MAIN) == bytes(o.script_pubkey) for t, o in zip(found.transfers, named, strict=True))


def test_the_real_payment_of_block_170_has_no_address():
    """Satoshi paid Hal Finney to a bare key; none of ours are, so it is no transfer."""
    block = next(b for b in blocks() if b.name == "main 170")
    outputs = [o for tx in read_block(block.raw).transactions for o in tx.outputs]
    assert [o.units for o in outputs] == [50 * 10**8, 10 * 10**8, 40 * 10**8]
    assert block.pays == []


@every_block
def test_a_block_asked_for_by_another_hash_is_refused(block: Published):
    with pytest.raises(Unproven, match="for " + "ab" * 32):
        prove(read_block(block.raw), "ab" * 32, block.limit)


@pytest.mark.parametrize(
    ("bits", "target"),
    [  # bitcoinjs-lib (MIT), test/fixtures/block.json, "targets"
        ("1d00ffff", "00000000ffff0000000000000000000000000000000000000000000000000000"),
        ("1b0404cb", "00000000000404cb000000000000000000000000000000000000000000000000"),
        ("1814dd04", "000000000000000014dd04000000000000000000000000000000000000000000"),
        ("0cffca00", "00000000000000000000000000000000000000007fca00000000000000000000"),
        ("207fffff", "7fffff0000000000000000000000000000000000000000000000000000000000"),
    ],
)
def test_targets_are_those_of_another_library(bits, target):
    if int(bits, 16) >> 23 & 1:
        with pytest.raises(Unproven):
            target_of(int(bits, 16))
    else:
        assert f"{target_of(int(bits, 16)):064x}" == target


@pytest.mark.parametrize("bits", [0, 0x1D000000, 0x1D80FFFF, 0xFF7FFFFF, 0x22000100, 0x01003456])
def test_impossible_targets_are_refused(bits):
    with pytest.raises(Unproven):
        target_of(bits)


def test_a_header_that_does_not_meet_its_target_is_refused():
    """bitcoinjs-lib (MIT), test/fixtures/block.json: the header of block 370,090 with another nonce."""
    good = "03000000af7b8278e9c67a6d6b3453239d83406a1b21aaed2bfeb10e0000000000000000a4a4dda66b46547ff41d668543f1f20a5974488257a1f35a07c1815187b30ab9913dd05504dd14189f370acd"
    check_work(read_header(bytes.fromhex(good)), target_of(0x1D00FFFF))
    with pytest.raises(Unproven, match="own target"):
        check_work(read_header(bytes.fromhex(good[:-8] + "00000000")), target_of(0x1D00FFFF))


def test_an_early_block_s_work_does_not_do_for_a_late_one_of_the_main_chain():
    main, other = WorkRule(target_of(0x1D00FFFF), is_main=True), WorkRule(target_of(0x1D00FFFF), is_main=False)
    cheap = read_header(blocks()[1].raw[:80])
    check_work(cheap, main.target_max(839_999))
    check_work(cheap, other.target_max(900_000))
    with pytest.raises(Unproven, match="easier"):
        check_work(cheap, main.target_max(840_000))
    real = read_header(blocks()[-1].raw[:80])
    assert target_of(real.bits) > main.target_max(900_000), "2014 was easy, too"
    assert main.target_max(900_000) > target_of(0x17034219), "a drop of difficulty stops nobody"


@pytest.mark.parametrize("item", answers("unspent"), ids=lambda item: item["source"][:30])
def test_BTC_12_published_unspent_outputs_hold_exactly_what_they_say(item):
    output = UNSPENT.decode(as_sent(item["answer"]))
    assert units_of(output.value) == item["units"]
    assert output.script_pub_key.hex == item["answer"]["scriptPubKey"]["hex"]
    assert (output.confirmations, output.bestblock) == (item["answer"]["confirmations"], item["answer"]["bestblock"])


def test_a_spent_output_is_null():
    assert UNSPENT.decode(b"null") is None


@pytest.mark.parametrize("item", answers("estimates"), ids=lambda item: item["source"][:30])
def test_published_estimates(item):
    sent = as_sent(item["answer"])
    told = PLAIN.decode(sent) if item["source"].startswith("ScaleChain") else ESTIMATE.decode(sent).feerate
    assert (None if told is None or told <= 0 else _to_rate(told)) == item["rate"]


def test_a_published_search():
    (item,) = answers("searches")
    found = SEARCH.decode(as_sent(item["answer"]))
    assert (found.success, found.height, found.unspents) == (True, 1_514_263, [])
    with pytest.raises(msgspec.ValidationError):
        SEARCH.decode(b'{"success": 1, "searched_items": 35037, "unspents": []}')  # bitcoind 0.17
