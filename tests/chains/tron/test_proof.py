"""Blocks that prove themselves, and everything that makes one not."""

import json
from hashlib import sha256

import pytest
from tests.chains.tron.answers import block_json, info_json
from tests.chains.tron.network import TronNet
from tests.chains.tron.published import decoded, published
from tests.chains.tron.rows import coin
from tests.chains.tron.wallets import Payer

from bitlinkpay.chains.base import GapError
from bitlinkpay.chains.tron.proof import Unproven, tree_root
from bitlinkpay.chains.tron.sealed import Sealed, seal, stand
from bitlinkpay.chains.tron.transfers import Listing, read_block
from bitlinkpay.chains.tron.wire import BLOCK, INFOS, Malformed

BOB = Payer.named("bob")


@pytest.fixture
def answers() -> tuple[dict[str, object], list[dict[str, object]]]:
    """A block of seven transactions with their outcomes, as a node sends them."""
    net = TronNet()
    for units in range(1, 8):
        net.pay(BOB.address, units)
    net.mine_now()
    block = net.blocks[-1]
    return block_json(block, is_whole=True), [info_json(block, txid) for txid in block.outcomes]


def sealed(block: dict[str, object], infos: object) -> Sealed:
    return seal(BLOCK.decode(json.dumps(block)), INFOS.decode(json.dumps(infos)))


def test_a_block_made_by_another_protobuf_proves_itself(answers) -> None:
    whole = sealed(*answers)
    assert whole.is_proven
    assert [t.units for t in read_block(whole, Listing([coin()])).transfers] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("count", range(1, 18))
def test_every_size_of_tree_is_that_of_the_network(count: int) -> None:
    net = TronNet()
    for units in range(1, count + 1):
        net.pay(BOB.address, units)
    net.mine_now()
    block = net.blocks[-1]
    assert sealed(block_json(block, is_whole=True), [info_json(block, txid) for txid in block.outcomes]).is_proven


def test_the_tree_pairs_level_by_level_and_an_odd_one_goes_up_as_it_is() -> None:
    a, b, c = (sha256(bytes([i])).digest() for i in range(3))
    assert tree_root([]) == bytes(32)
    assert tree_root([a]) == a
    assert tree_root([a, b, c]) == sha256(sha256(a + b).digest() + c).digest()


@pytest.mark.parametrize("field", ["number", "timestamp", "parentHash", "txTrieRoot", "witness_address", "version"])
def test_no_field_of_a_header_can_be_altered(answers, field: str) -> None:
    block, infos = answers
    raw = block["block_header"]["raw_data"]
    raw[field] = (
        raw[field] + 1 if isinstance(raw[field], int) else raw[field][:-1] + ("0" if raw[field][-1] != "0" else "1")
    )
    with pytest.raises(Unproven):
        sealed(block, infos)
    with pytest.raises(Unproven):
        stand(BLOCK.decode(json.dumps(block)))


def test_a_transaction_whose_bytes_were_altered_has_another_id(answers) -> None:
    block, infos = answers
    raw = block["transactions"][3]["raw_data_hex"]
    block["transactions"][3]["raw_data_hex"] = raw.replace("1804", "1809")
    assert raw != block["transactions"][3]["raw_data_hex"]
    with pytest.raises(Unproven, match="has another id"):
        sealed(block, infos)


def forged(block, infos) -> None:
    """Alter the amount, and the id with it."""
    tx = block["transactions"][3]
    tx["raw_data_hex"] = tx["raw_data_hex"].replace("1804", "1809")
    tx["txID"] = infos[3]["id"] = sha256(bytes.fromhex(tx["raw_data_hex"])).hexdigest()


def dropped(block, infos) -> None:
    del block["transactions"][2], infos[2]


def swapped(block, infos) -> None:
    block["transactions"][0], block["transactions"][1] = block["transactions"][1], block["transactions"][0]


def doubled(block, infos) -> None:
    block["transactions"].append(block["transactions"][0])
    infos.append(infos[0])


def failed(block, infos) -> None:
    block["transactions"][0]["ret"][0]["contractRet"] = "REVERT"


def resigned(block, infos) -> None:
    block["transactions"][0]["signature"] = ["00" * 65]


def charged(block, infos) -> None:
    block["transactions"][0]["ret"][0]["fee"] = 5


@pytest.mark.parametrize("lie", [forged, dropped, swapped, failed, resigned, charged])
def test_what_was_altered_does_not_hash_to_the_root(answers, lie) -> None:
    lie(*answers)
    assert not sealed(*answers).is_proven


def test_a_transaction_sent_twice_has_not_one_outcome_each(answers) -> None:
    doubled(*answers)
    with pytest.raises(GapError, match="not one outcome for each"):
        sealed(*answers)


def test_a_missing_foreign_or_misplaced_outcome_is_a_gap(answers) -> None:
    block, infos = answers
    for wrong in (infos[:-1], [], [*infos[:-1], infos[0]], [*infos[:-1], {**infos[0], "id": "00" * 32}]):
        with pytest.raises(GapError):
            sealed(block, wrong)
    with pytest.raises(Malformed, match="is of block 9"):
        sealed(block, [*infos[:-1], {**infos[-1], "blockNumber": 9}])
    assert sealed(block, list(reversed(infos))).is_proven, "their order means nothing"


@pytest.mark.parametrize("item", [item for item in published()["blocks"] if not item["proven"]])
def test_part_of_a_published_block_does_not_pass_for_the_whole(item) -> None:
    block = decoded(item, BLOCK)
    infos = [{"id": tx.id, "blockNumber": block.header.raw_data.number} for tx in block.transactions]
    assert not seal(block, INFOS.decode(json.dumps(infos))).is_proven


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("block_header", "raw_data", "parentHash"), "zz" * 32),
        (("block_header", "raw_data", "parentHash"), "00" * 31),
        (("block_header", "raw_data", "parentHash"), "AB" * 32),
        (("block_header", "raw_data", "txTrieRoot"), " " * 64),
        (("transactions", 0, "raw_data_hex"), "0a0"),
        (("transactions", 0, "signature"), ["xx"]),
    ],
)
def test_what_is_no_hex_is_malformed(answers, path, value) -> None:
    block, infos = answers
    at = block
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    with pytest.raises(Malformed):
        sealed(block, infos)


def test_a_block_without_a_header_is_malformed_and_the_empty_answer_is_no_block() -> None:
    assert stand(BLOCK.decode("{}")) is None
    with pytest.raises(Malformed):
        seal(BLOCK.decode('{"blockID":"00"}'), [])
    with pytest.raises(Malformed):
        stand(BLOCK.decode('{"blockID":"00"}'))
