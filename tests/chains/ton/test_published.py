"""Answers of real indexers as others published them (`published.json` names the source of each), read as the adapter reads."""

import msgspec
import pytest
from pytoniq_core import Cell as OracleCell
from tests.chains.ton.network import coin, jetton
from tests.fuzz.ton import fuzz, published

from bitlinkpay.chains.registry import load_registry
from bitlinkpay.chains.ton.boc import parse_boc
from bitlinkpay.chains.ton.history import BEGINNING, Stretch, height_of, link_before, link_of
from bitlinkpay.chains.ton.node import TonNode, tip_of
from bitlinkpay.chains.ton.reader import block_ref
from bitlinkpay.chains.ton.transfers import Holdings
from bitlinkpay.chains.ton.wire import (
    Malformed,
    RawBlock,
    RawMessage,
    RawState,
    RawTransaction,
    body_of,
    canonical_address,
    canonical_hash,
    decoder_of,
)
from bitlinkpay.chains.transport import Endpoint


def each(kind: str) -> object:
    return pytest.mark.parametrize("item", published()[kind], ids=[item["source"] for item in published()[kind]])


def decoded(item: dict, kind: type) -> object:
    return decoder_of(kind).decode(msgspec.json.encode(item["answer"]))


@each("transactions")
def test_a_published_transaction_is_read_as_what_it_brought(item: dict) -> None:
    told = decoded(item, RawTransaction)
    account = canonical_address(item["account"])
    found = Holdings(account, [coin()]).transfer_of(told)
    if item["arrived"] is None:
        assert found is None
        return
    _, source, units, memo = item["arrived"]
    assert (found.source, found.target, found.units, found.tag) == (canonical_address(source), account, units, memo)
    assert found.txid == item["answer"]["hash"]


@each("transactions")
def test_a_published_transaction_stands_in_its_chain(item: dict) -> None:
    told = decoded(item, RawTransaction)
    assert height_of(told) == item["answer"]["mc_block_seqno"]
    before = link_before(told)
    assert (before == BEGINNING) == (item["answer"]["prev_trans_lt"] == "0")
    assert Stretch((), before).follow(canonical_address(item["account"]), [told]).end == link_of(told)


@each("transactions")
def test_the_bodies_of_published_messages_have_the_hashes_that_were_published_with_them(item: dict) -> None:
    answer = item["answer"]
    for message in [answer["in_msg"], *answer["out_msgs"]]:
        content = message["message_content"]
        body = body_of(decoder_of(RawMessage).decode(msgspec.json.encode(message)))
        assert body is not None
        assert body.hash == OracleCell.one_from_boc(content["body"]).hash
        assert parse_boc(OracleCell.one_from_boc(content["body"]).to_boc()) == body
        message["message_content"] = content | {"hash": answer["hash"]}
        with pytest.raises(Malformed):
            body_of(decoder_of(RawMessage).decode(msgspec.json.encode(message)))
        message["message_content"] = content


@each("transactions")
def test_a_published_transaction_of_another_account_is_not_taken(item: dict) -> None:
    told = decoded(item, RawTransaction)
    with pytest.raises(Malformed):
        Holdings("0:" + "99" * 32, [coin()]).transfer_of(told)
    pinned = jetton("0:" + "98" * 32, canonical_address(item["account"]))
    assert Holdings("0:" + "99" * 32, [coin(), pinned]).transfer_of(told) is None


@each("blocks")
def test_a_published_header_is_read(item: dict) -> None:
    ref = block_ref(decoded(item, RawBlock))
    assert (ref.height, ref.hash) == (item["answer"]["seqno"], item["answer"]["root_hash"])
    assert str(int(ref.time.timestamp())) == item["answer"]["gen_utime"]


@each("states")
def test_a_published_account_is_read(item: dict) -> None:
    state = decoded(item, RawState)
    tip = tip_of(state)
    assert (str(tip.lt), tip.hash) == (
        item["answer"].get("last_transaction_lt", "0"),
        item["answer"].get("last_transaction_hash", ""),
    )
    assert state.status == "active"


@each("zero_states")
def test_the_published_zero_state_is_that_of_the_registry(item: dict) -> None:
    registry = load_registry()
    assert canonical_hash(item["answer"]["result"]["init"]["root_hash"]) == registry.network("ton").genesis
    assert TonNode(Endpoint("https://x.example/api/v3"), registry.network("ton")).label == "https://x.example"


@each("masters")
def test_a_published_master_is_read(item: dict) -> None:
    assert canonical_address(item["answer"]["address"])
    assert item["answer"]["jetton_content"]["decimals"] in {"6", "9"}


def test_the_registrys_usdt_is_the_master_of_others_data() -> None:
    """`0:B113…` in a Rust and a Python client's test data, `EQCxE6…` in the issuer's announcement."""
    assert load_registry().asset("usdt-ton").contract == canonical_address(
        published()["masters"][0]["answer"]["address"]
    )


@pytest.mark.parametrize("text", ["", "x", "A" * 43, "A" * 44, "%" * 43 + "=", None, "A" * 42 + "=="])
def test_what_is_no_hash_is_refused(text: str | None) -> None:
    assert canonical_hash("A" * 43 + "=")
    with pytest.raises(Malformed):
        canonical_hash(text)


@pytest.mark.parametrize(
    "text", ["0:12", "1:" + "ab" * 32, "EQ" + "A" * 46, "0:" + "xy" * 32, "0x" + "ab" * 32, " 0:" + "ab" * 32]
)
def test_what_is_no_raw_address_is_refused(text: str) -> None:
    assert canonical_address("0:" + "AB" * 32) == "0:" + "ab" * 32
    assert canonical_address(None) == canonical_address("") == ""
    with pytest.raises(Malformed):
        canonical_address(text)


def test_a_block_of_the_year_ten_thousand_is_refused() -> None:
    raw = decoder_of(RawBlock).decode(
        msgspec.json.encode(published()["blocks"][0]["answer"] | {"gen_utime": str(10**15)})
    )
    with pytest.raises(Malformed):
        block_ref(raw)


def test_a_body_that_is_not_base64_is_refused_and_one_that_is_no_cell_is_none() -> None:
    def message(body: str) -> RawMessage:
        told = {"hash": "A" * 43 + "=", "message_content": {"hash": None, "body": body}}
        return msgspec.json.decode(msgspec.json.encode(told), type=RawMessage)

    assert body_of(message("")) is None
    assert body_of(message("AAAA")) is None
    with pytest.raises(Malformed):
        body_of(message("%%%"))


def test_mutated_answers_never_crash_and_are_never_credited_for_what_they_do_not_say() -> None:
    """A little of what `make fuzz` does by the hundred thousand."""
    line = fuzz(3_000, 20)
    assert all(int(part.split()[0].replace(",", "")) > 0 for part in line.split(", "))
