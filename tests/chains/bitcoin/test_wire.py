"""The strict reader against everything that is not exactly one block; no mutation of a real one pays anybody (fuzz)."""

from decimal import Decimal
from random import Random

import pbk
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.chains.bitcoin.published import blocks, mutate
from tests.chains.bitcoin.serialize import MadeBlock, Tx, TxIn, TxOut, coinbase, merkle, sha256d, size

from bitlinkpay.chains.bitcoin.node import unhex
from bitlinkpay.chains.bitcoin.proof import Unproven, merkle_root, prove, target_of
from bitlinkpay.chains.bitcoin.script import address_of, script_of
from bitlinkpay.chains.bitcoin.unspent import units_of
from bitlinkpay.chains.bitcoin.wire import UNITS_MAX, Malformed, read_block, read_header, read_transaction
from bitlinkpay.chains.codec.bitcoin import MAIN, TEST

LIMIT = target_of(0x207FFFFF)
PAY = TxOut(5_000, b"\x00\x14" + b"\x07" * 20)
SPEND = TxIn("aa" * 32, 1, witness=(b"\x01" * 71, b"\x02" * 33))
PLAIN = Tx((TxIn("aa" * 32, 1, script=b"\x51"),), (PAY,))
SEGWIT = Tx((SPEND, TxIn("bb" * 32, 0)), (PAY, PAY))

txs = st.builds(
    lambda inputs, outputs, lock: Tx(tuple(inputs), tuple(outputs), lock),
    st.lists(
        st.builds(
            lambda t, n, s, w: TxIn(t.hex(), n, s, witness=tuple(w)),
            st.binary(min_size=32, max_size=32), st.integers(0, 2**32 - 1), st.binary(max_size=300),
            st.lists(st.binary(max_size=300), max_size=3),
        ),
        min_size=1, max_size=4,
    ),
    st.lists(st.builds(TxOut, st.integers(0, UNITS_MAX), st.binary(max_size=300)), min_size=1, max_size=4),
    st.integers(0, 2**32 - 1),
)  # fmt: skip


@given(txs)
def test_any_transaction_is_read_as_it_was_made(tx):
    found = read_transaction(tx.raw())
    assert found.txid == tx.txid
    assert [(o.units, o.script) for o in found.outputs] == [(o.units, o.script) for o in tx.outputs]
    assert [s[:32][::-1].hex() for s in found.spends] == [i.txid for i in tx.inputs]


@given(txs, st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
def test_what_is_cut_short_or_goes_on_is_no_transaction(tx, cut, more):
    raw = tx.raw()
    with pytest.raises(Malformed):
        read_transaction(raw[: cut % len(raw)])
    with pytest.raises(Malformed):
        read_transaction(raw + more)


@given(st.binary(max_size=400))
def test_noise_is_refused_and_never_crashes(noise):
    for read in (read_block, read_transaction, read_header):
        try:
            read(noise)
        except Malformed:
            continue


@pytest.mark.parametrize(
    "raw",
    [
        PLAIN.plain()[:4] + b"\0" + PLAIN.plain()[5:],  # no inputs
        PLAIN.plain()[:4] + b"\0\2" + PLAIN.plain()[4:],  # an unknown flag
        PLAIN.plain()[:4] + b"\0\1" + PLAIN.plain()[4:-4] + b"\0" + PLAIN.plain()[-4:],  # witnesses, all of them empty
        PLAIN.plain()[:4] + b"\xfd\1\0" + PLAIN.plain()[5:],  # a count that could be shorter
        PLAIN.plain()[:4] + b"\xff" + b"\xff" * 8 + PLAIN.plain()[5:],  # a count beyond reason
        PLAIN.plain().replace(PAY.units.to_bytes(8, "little"), (UNITS_MAX + 1).to_bytes(8, "little")),
        PLAIN.plain().replace(PAY.units.to_bytes(8, "little"), b"\xff" * 8),  # -1
        Tx(PLAIN.inputs, ()).plain(),
        b"",
    ],
    ids=[
        "no inputs",
        "flag",
        "empty witness",
        "long count",
        "huge count",
        "too many coins",
        "negative",
        "no outputs",
        "nothing",
    ],
)
def test_transactions_that_bitcoin_core_refuses_are_refused(raw):
    with pytest.raises(Malformed):
        read_transaction(raw)


def test_a_witness_is_no_part_of_the_id():
    assert read_transaction(SEGWIT.raw()).hash == sha256d(SEGWIT.plain())
    assert read_transaction(SEGWIT.raw()) == read_transaction(SEGWIT.plain())


def made(*others: Tx) -> MadeBlock:
    return MadeBlock("11" * 32, 1_700_000_000, (coinbase(9, PAY.script, 50, others=others), *others)).mined()


def test_a_made_block_proves_itself_and_core_agrees():
    block = made(PLAIN, SEGWIT)
    prove(read_block(block.raw()), block.hash, LIMIT)
    assert str(pbk.Block(block.raw()).block_hash) == block.hash


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40, unique=True))
def test_merkle_roots_are_those_of_the_tests_own_code(hashes):
    assert merkle_root(hashes) == merkle(hashes)


@pytest.mark.parametrize("count", [2, 3, 5, 6, 7, 11])
def test_CVE_2012_2459_a_list_with_repetitions_has_the_root_and_is_refused(count):
    hashes = [bytes((n,)) * 32 for n in range(count)]
    doubled = [*hashes, hashes[-1]] if count % 2 else [*hashes, *hashes[-2:]]
    if merkle(doubled) == merkle(hashes):
        with pytest.raises(Unproven, match="repeated"):
            merkle_root(doubled)
    assert merkle_root(hashes) == merkle(hashes)


def test_a_block_with_its_last_transaction_twice_is_refused():
    block = made(PLAIN, SEGWIT)
    twice = block.header() + size(4) + b"".join(tx.raw() for tx in (*block.txs, block.txs[-1]))
    assert str(pbk.Block(twice).block_hash) == block.hash
    with pytest.raises(Unproven, match="repeated"):
        prove(read_block(twice), block.hash, LIMIT)


def test_a_block_must_begin_with_its_only_coinbase():
    """Else inner nodes of the tree could pass for transactions of 64 bytes (CVE-2017-12842): the root fits."""
    for txs_ in ((PLAIN,), (PLAIN, made().txs[0]), (made().txs[0], made(PLAIN).txs[0]), ()):
        root = merkle([sha256d(tx.plain()) for tx in txs_]) if txs_ else bytes(32)
        block = MadeBlock("11" * 32, 1_700_000_000, txs_, root=root).mined()
        with pytest.raises(Unproven, match="coinbase"):
            prove(read_block(block.raw()), block.hash, LIMIT)


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.name)
def test_no_mutation_of_a_real_block_pays_anybody(block):
    """The short form of `make fuzz`: what still proves itself pays exactly what the real block pays."""
    random = Random(block.hash)
    real = [(tx.hash, tx.outputs) for tx in read_block(block.raw).transactions]
    for _ in range(30 if len(block.raw) > 10_000 else 400):
        mutated = mutate(block.raw, random)
        try:
            found = read_block(mutated)
            prove(found, block.hash, block.limit)
        except Malformed:
            continue
        assert [(tx.hash, tx.outputs) for tx in found.transactions] == real


@pytest.mark.parametrize("text", ["0", "zz", "0x00", " 00", "00 ", "0 0", "０0"])
def test_text_that_is_not_plain_hex_is_refused(text):
    with pytest.raises(Malformed):
        unhex(text)


@pytest.mark.parametrize(
    ("text", "units"),
    [("0.00000001", 1), ("20999999.99999999", 2_099_999_999_999_999), ("1e-8", 1), ("0", 0), ("5E+1", 5 * 10**9)],
)
def test_BTC_12_coins_become_satoshi_exactly(text, units):
    assert units_of(Decimal(text)) == units


@pytest.mark.parametrize("text", ["0.000000001", "-1", "NaN", "Infinity", "-0.00000001", "1e80"])
def test_BTC_12_what_is_no_amount_of_satoshi_is_refused(text):
    with pytest.raises(Malformed):
        units_of(Decimal(text))


@given(st.sampled_from([MAIN, TEST]), st.binary(min_size=32, max_size=32))
def test_every_standard_script_has_one_address_and_back(prefixes, data):
    scripts = [
        b"\x76\xa9\x14" + data[:20] + b"\x88\xac", b"\xa9\x14" + data[:20] + b"\x87", b"\x00\x14" + data[:20],
        b"\x00\x20" + data, b"\x51\x20" + data,
    ]  # fmt: skip
    addresses = [address_of(script, prefixes) for script in scripts]
    assert len(set(addresses)) == 5
    assert [script_of(address, prefixes) for address in addresses] == scripts
    for script in scripts:
        for odd in (script[:-1], script + b"\0", b"\x52" + script[1:], script[:1] + b"\x4c" + script[1:]):
            assert address_of(odd, prefixes) == ""
