"""Published answers of real nodes (`published.json` names the source of each), read as the adapter reads them, and fuzz.

Adapter and test network were written by one hand; these were not.
"""

import copy
import functools
import json
from base64 import b64encode
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.chains.solana.network import asset_row, coin

from bitlinkpay.chains.base import Arrival, ChainError, GapError
from bitlinkpay.chains.solana import wire
from bitlinkpay.chains.solana.accounts import read_mint, read_token_account
from bitlinkpay.chains.solana.programs import STANDARDS, TOKEN, associated
from bitlinkpay.chains.solana.transfers import Listing, block_ref, read_block, read_transaction

USDT = "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB"
PUMP = "EWV6bjhKF5zkXANCdWPvDs7dofRVk4pKyVTitqgEWj8E"
NEON = "3vxj94fSd3jrhaGAwaEKGDPEwn5Yqs81Ay5j1BcdMqSZ"
SOL, TETHER = Listing([coin()]), Listing([asset_row("usdt-solana", "USDT", USDT, "SPL", 6)])


@functools.cache
def published() -> dict[str, list[dict[str, object]]]:
    return json.loads(Path(__file__).with_name("published.json").read_text())


def sources(kind: str) -> list[str]:
    return [str(item["source"]) for item in published()[kind]]


def raw(kind: str, part: str) -> bytes:
    """Return the answer whose source ends so, as JSON."""
    (item,) = [
        item for item in published()[kind] if str(item["source"]).endswith((f", {part}", f"/{part}", f": {part}"))
    ]
    return json.dumps(item["answer"]).encode()


def test_there_are_at_least_five_of_each() -> None:
    for kind in ("blocks", "transactions", "statuses", "accounts", "mentions"):
        assert len(sources(kind)) >= 5


def test_a_mainnet_block_of_2021() -> None:
    block = wire.BLOCK.decode(raw("blocks", "block.json"))
    ref = block_ref(100_000_000, block)
    assert (ref.hash, ref.time.isoformat()) == (
        "GdY1gj7F8vq1nCy4dgCZK42WV19bkfQ4cp2e9evK18ry",
        "2021-10-06T07:18:25+00:00",
    )
    found = read_block(100_000_000, block, SOL)
    assert (found.parent, found.transfers) == ("7KpgQJdgXdPhzj69gCnyvyBiw9s6DZ5gmfNrhQr3XW1t", ())
    assert [tx.meta.is_success for tx in block.transactions] == [True, True, False, True]


def test_a_block_from_before_owners_were_kept_is_a_gap_for_its_token() -> None:
    block = wire.BLOCK.decode(raw("blocks", "block.json"))
    with pytest.raises(GapError, match="whose"):
        read_block(100_000_000, block, TETHER)


def test_errors_are_texts_or_objects() -> None:
    block = wire.BLOCK.decode(raw("blocks", "transaction_err.json"))
    assert [tx.meta.is_success for tx in block.transactions] == [True, False, False]
    assert read_block(100_000_000, block, SOL).transfers == ()


def test_a_versioned_block_resolves_its_tables_and_lacks_inner_calls() -> None:
    block = wire.BLOCK.decode(raw("blocks", "block_with_versioned_tx.json"))
    assert read_block(154_808_473, block, SOL).transfers == ()
    with pytest.raises(GapError, match="inner calls"):
        read_block(154_808_473, block, TETHER)
    (tx,) = block.transactions
    assert len(tx.meta.pre_balances) == 41
    tx.meta.inner_instructions = msgspec.Raw(b"[]")
    (found,) = read_block(154_808_473, block, TETHER).transfers
    assert (found.position, found.target, found.units) == (
        "token:15",
        "3qgS5KYBTFJ6Lt8GujDEQLcgfLPSnFZ5VFMrxoes7rXs",
        11_149,
    )
    assert found.source == "5C1k9yV7y4CjMnKv8eGYDgWND8P89Pdfj79Trk2qmfGo", "whose tokens became fewer"
    assert found.arrival is Arrival.DIRECT, "into its owner's associated account"


def test_a_validator_s_block_in_three_depths() -> None:
    block = wire.BLOCK.decode(raw("blocks", "in full"))
    assert read_block(33, block, SOL).transfers == ()
    signed = wire.SIGNED_BLOCK.decode(raw("blocks", "signatures"))
    assert signed.signatures == [block.transactions[0].transaction.signatures[0]]
    header = wire.HEADER.decode(raw("blocks", "none"))
    assert (header.blockhash, header.block_height, header.parent_slot) == (block.blockhash, 33, 32)
    for other in ("signatures", "none", "base64"):
        with pytest.raises(msgspec.ValidationError):
            wire.BLOCK.decode(raw("blocks", other))


def test_the_example_of_the_documentation_has_no_time() -> None:
    block = wire.BLOCK.decode(raw("blocks", "_getBlock.mdx"))
    with pytest.raises(GapError, match="time"):
        read_block(430, block, SOL)


def test_a_transaction_that_makes_an_account_pays_nobody() -> None:
    found = wire.FOUND.decode(raw("transactions", "get_transaction_test.go"))
    assert (found.slot, found.version) == (80_218_681, "legacy")
    assert read_transaction(found, SOL) == [], "the rent of a token account is no payment to a wallet"
    assert wire.FOUND.decode(raw("transactions", "unknown")) is None


def test_a_swap_of_a_newer_token_on_mainnet_in_2025() -> None:
    """Inner transfers of Token-2022 to a pool and to a fee wallet; wrapped coin closed to the seller."""
    found = wire.FOUND.decode(raw("transactions", "JSON2"))
    seller = "95rVs91daKmzom4SM41dg4MRmy5M7rMEHPerenZwWaCq"
    listing = Listing([coin(), asset_row("pump-solana", "PUMP", PUMP, "Token-2022", 9)])
    pool, fee, coins = read_transaction(found, listing)
    assert [(t.target[:4], t.units, t.source, t.arrival) for t in (pool, fee)] == [
        ("CW64", 468_700_510_855_632, seller, Arrival.DIRECT),
        ("JCRG", 233_765_840_826, seller, Arrival.DIRECT),
    ]
    assert (coins.target, coins.units, coins.arrival) == (seller, 201_687_493, Arrival.SYSTEM)
    assert pool.units + fee.units == 944_780_237_596_635 - 475_845_960_900_177
    classic = Listing([asset_row("pump-solana", "PUMP", PUMP, "SPL", 9)])
    assert read_transaction(found, classic) == [], "another token program's accounts"


def test_devnet_transactions_of_2021() -> None:
    airdrop = wire.FOUND.decode(raw("transactions", "pre_token_airdrop_trx"))
    with pytest.raises(GapError, match="whose"):
        read_transaction(airdrop, Listing([asset_row("neon-solana", "NEON", NEON, "SPL", 6)]))
    (rent,) = read_transaction(airdrop, SOL)
    assert (rent.units, rent.arrival, rent.position) == (2_672_640, Arrival.SYSTEM, "lamports:1:rest"), "a new account"
    (made,) = read_transaction(wire.FOUND.decode(raw("transactions", "create_sol_acc_and_airdrop_trx")), SOL)
    assert (made.units, made.arrival) == (1_461_600, Arrival.SYSTEM)


def test_a_devnet_transfer_credits_the_owner_once_the_program_is_known() -> None:
    airdrop = wire.FOUND.decode(raw("transactions", "pre_token_airdrop_trx"))
    for balance in (*airdrop.meta.pre_token_balances, *airdrop.meta.post_token_balances):
        balance.program_id = TOKEN
    (found,) = read_transaction(airdrop, Listing([asset_row("neon-solana", "NEON", NEON, "SPL", 6)]))
    assert (found.target, found.units) == ("8utQrai6so3pWtJhyCYafWhWJ3wJmi2eSurnMPZis4Aw", 1_000_000)
    assert found.source == "CVAimMqtcmSUCV4RLZSJAreDpEd7JEZmrvCVj85yaRzZ"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("1 signature", [(86_136_524, True, True)]),
        ("2 signatures", [(86_136_524, True, True), (86_136_551, True, False)]),
        ("failed", [(85_500_622, False, True)]),
        ("not found", [None]),
        ("not found 2", [None, (86_142_617, True, True)]),
    ],
)
def test_statuses(part: str, expected: list[object]) -> None:
    found = wire.STATUSES.decode(raw("statuses", part)).value
    assert [status and (status.slot, status.is_success, status.is_final) for status in found] == expected


def test_accounts() -> None:
    (mint,) = wire.ACCOUNTS.decode(raw("accounts", "a mint")).value
    facts = read_mint(mint)
    assert (facts.decimals, facts.authority, facts.freezer, facts.extensions) == (
        9, "RNfp4xTbBb4C3kcv2KqtAj8mu4YhMHxqm1Skg9uchZ7", "", ()
    )  # fmt: skip
    assert read_token_account(mint, TOKEN) is None
    (part,) = wire.ACCOUNTS.decode(raw("accounts", "a part of a mint")).value
    assert (read_mint(part), read_token_account(part, TOKEN)) == (None, None)
    assert wire.ACCOUNTS.decode(raw("accounts", "nothing")).value == [None]
    with pytest.raises(msgspec.ValidationError):
        wire.ACCOUNTS.decode(raw("accounts", "Base58"))


def test_compressed_account_data_is_nothing_that_we_asked_for() -> None:
    (packed,) = wire.ACCOUNTS.decode(raw("accounts", "base64+zstd")).value
    assert (read_mint(packed), read_token_account(packed, TOKEN)) == (None, None)


def test_a_token_account_by_its_owner() -> None:
    (owned,) = wire.OWNED.decode(raw("owned", "base64")).value
    token = read_token_account(owned.account, TOKEN)
    assert (token.owner, token.mint, token.units, token.is_frozen) == (
        "27kVX7JpPZ1bsrSckbR76mV6GeRqtrjoddubfg2zBpHZ",
        "4UyUTBdhPkFiu7ZE8zfxnE6hbbzf8LKo1uR5wSi5MYE3",
        10_000_000_000,
        False,
    )
    assert owned.pubkey == associated(token.owner, token.mint, TOKEN)
    with pytest.raises(msgspec.ValidationError):
        wire.OWNED.decode(raw("owned", "Base58"))


def test_histories_and_fees() -> None:
    for source in sources("mentions"):
        found = wire.MENTIONS.decode(raw("mentions", source.rpartition(", ")[2]))
        assert all(wire.is_signature(mention.signature) for mention in found)
        assert [mention.slot for mention in found] == sorted((m.slot for m in found), reverse=True)
    assert [
        fee.prioritization_fee
        for fee in wire.PRIORITY_FEES.decode(raw("fees", "get_recent_prioritization_fees_test.go"))
    ] == [0, 1000, 500, 0, 1234]


DECODERS = (
    wire.BLOCK, wire.SIGNED_BLOCK, wire.HEADER, wire.FOUND, wire.ACCOUNT, wire.ACCOUNTS, wire.OWNED, wire.STATUSES,
    wire.MENTIONS, wire.SIMULATED, wire.PRIORITY_FEES, wire.SLOTS, wire.INSTRUCTIONS, wire.INNER,
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just("1" * 32),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        ["blockhash", "previousBlockhash", "parentSlot", "blockTime", "blockHeight", "transactions", "transaction", "meta",
         "err", "fee", "preBalances", "context", "slot", "value", "data", "lamports", "owner", "signatures", "message"]
    ), inner, max_size=6),
    max_leaves=25,
)  # fmt: skip


@settings(deadline=None)
@given(JSON)
def test_fuzz_no_json_breaks_a_decoder_with_anything_but_a_refusal(value: object) -> None:
    text = json.dumps(value).encode()
    for decoder in DECODERS:
        try:
            decoder.decode(text)
        except (msgspec.DecodeError, ValueError):
            continue


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_fuzz_no_bytes_break_a_decoder_or_an_account(data: bytes) -> None:
    for decoder in DECODERS:
        try:
            decoder.decode(data)
        except (msgspec.DecodeError, ValueError):
            continue


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=400), st.sampled_from(["SPL", "Token-2022"]))
def test_fuzz_no_account_breaks_the_readers(data: bytes, standard: str) -> None:
    account = wire.Account(
        lamports=1, owner=STANDARDS[standard], data=(b64encode(data).decode(), "base64"), executable=False
    )
    mint, token = read_mint(account), read_token_account(account, STANDARDS[standard])
    assert mint is None or token is None, "nothing is both"


ODD = (
    st.sampled_from([None, 0, -1, 2**64, "", "x", "1" * 32, [], {}, [[]], True, 1.5])
    | st.integers()
    | st.text(max_size=50)
)


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_fuzz_an_altered_published_transaction_is_read_or_refused(data: st.DataObject) -> None:
    """One to three places of a real transaction changed: a refusal or transfers, never a crash, never more than was there."""
    kind, part = data.draw(st.sampled_from([("transactions", "JSON2"), ("transactions", "pre_token_airdrop_trx")]))
    answer = copy.deepcopy(json.loads(raw(kind, part)))
    for _ in range(data.draw(st.integers(1, 3))):
        alter(answer, data)
    listing = Listing([coin(), asset_row("pump-solana", "PUMP", PUMP, "Token-2022", 9)])
    try:
        found = read_transaction(wire.FOUND.decode(json.dumps(answer).encode()), listing)
    except (ChainError, msgspec.DecodeError, ValueError) as error:
        assert not isinstance(error, ValueError) or isinstance(error, msgspec.DecodeError)
        return
    assert all(transfer.units > 0 for transfer in found)


def alter(value: object, data: st.DataObject) -> None:
    """Change one place of a JSON value, anywhere."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        inner = value[key]
        if isinstance(inner, dict | list) and inner and data.draw(st.integers(0, 4)):
            value = inner
            continue
        if data.draw(st.booleans()):
            value[key] = data.draw(ODD)
        elif isinstance(value, dict):
            del value[key]
        else:
            value.insert(key, inner)
        return
