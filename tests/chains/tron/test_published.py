"""Every decoder on published answers of real nodes: adapter and test network by one hand agree too easily."""

import msgspec
import pytest
from tests.chains.tron.published import all_of, decoded
from tests.chains.tron.rows import coin, token

from bitlinkpay.chains.base import Arrival
from bitlinkpay.chains.codec.tron import from_bytes
from bitlinkpay.chains.outgoing import Sent
from bitlinkpay.chains.tron.contract import Contract
from bitlinkpay.chains.tron.fees import prices_of, stake_for
from bitlinkpay.chains.tron.node import CallReverted, NodeRefused, legible, taken
from bitlinkpay.chains.tron.sealed import Executed, seal, stand
from bitlinkpay.chains.tron.sender import verdict_on
from bitlinkpay.chains.tron.state import is_own
from bitlinkpay.chains.tron.transfers import Listing, read_block, read_transaction
from bitlinkpay.chains.tron.wire import (
    ACCOUNT,
    BLOCK,
    BROADCASTED,
    CALLED,
    INFO,
    INFOS,
    PARAMETERS,
    RESOURCES,
    Info,
    RawBlock,
    Receipt,
)

Item = dict[str, object]


def canonical(digits: object) -> str:
    return from_bytes(bytes.fromhex(str(digits)))


def outcomes(block: RawBlock) -> list[Info]:
    """The outcomes that go with a published block whose own were not published."""
    height = block.header.raw_data.number
    return [Info(id=tx.id, height=height, receipt=Receipt(result=tx.ret[0].contract_ret)) for tx in block.transactions]


@pytest.mark.parametrize("item", all_of("headers"))
def test_a_published_header_hashes_to_its_own_id(item: Item) -> None:
    block = decoded(item, BLOCK)
    ref = stand(block)
    assert ref.hash == item["answer"]["blockID"]
    assert ref.height == int(ref.hash[:16], 16)
    assert ref.time.timestamp() * 1000 == block.header.raw_data.timestamp


@pytest.mark.parametrize("item", all_of("blocks"))
def test_a_published_block_is_read_and_proves_itself_where_it_is_whole(item: Item) -> None:
    block = decoded(item, BLOCK)
    sealed = seal(block, outcomes(block))
    assert sealed.is_proven is item["proven"]
    transfers = read_block(sealed, Listing([coin()])).transfers
    assert [(t.source, t.target, t.units) for t in transfers] == [
        (canonical(source), canonical(target), units) for source, target, units in item["transfers"]
    ]


@pytest.mark.parametrize("item", all_of("infos"))
def test_a_published_outcome_is_read(item: Item) -> None:
    info = decoded(item, INFO)
    assert info.fee == item["fee"]
    assert (info.result == "SUCESS" and info.receipt.result in {"SUCCESS", "DEFAULT"}) is item["success"]
    contracts = [token(canonical(log[0])) for log in item["logs"]]
    executed = Executed(info.id, Contract(31, b"", b""), info, "SUCCESS", is_success=bool(item["success"]))
    transfers = list(read_transaction(executed, Listing([coin(), *contracts])))
    native = [(t.source, t.target, t.units) for t in transfers if t.arrival is Arrival.INTERNAL]
    assert native == [(canonical(source), canonical(target), units) for source, target, units in item["inner"]]
    tokens = [(t.source, t.target, t.units) for t in transfers if t.arrival is Arrival.DIRECT]
    assert tokens == [(canonical(source), canonical(target), units) for _, source, target, units in item["logs"]]


def test_outcomes_travel_as_a_list_and_an_error_as_an_object() -> None:
    (first, *_) = all_of("infos")
    raw = msgspec.json.encode([first.values[0]["answer"]] * 2)
    assert [info.height for info in INFOS.decode(raw)] == [156, 156]
    assert INFOS.decode(b"[]") == []
    assert INFOS.decode(b"{}").error == ""
    assert "limit" in INFOS.decode(b'{"Error":"class java.lang.Exception : the limit is 5"}').error


@pytest.mark.parametrize("item", all_of("accounts"))
def test_a_published_account_is_read(item: Item) -> None:
    account = decoded(item, ACCOUNT)
    assert account.balance == item["balance"]
    address = str(item["address"])
    own = canonical(address) if len(address) == 42 else canonical("41" + "00" * 20)
    assert is_own(account, own) is item["own"]


@pytest.mark.parametrize("item", all_of("called"))
def test_a_published_simulation_is_read(item: Item) -> None:
    called = decoded(item, CALLED)
    match item["said"]:
        case "ok":
            assert taken(called, "a node", "f()").energy_used == item["energy"]
        case "reverted":
            with pytest.raises(CallReverted, match="REVERT opcode executed"):
                taken(called, "a node", "f()")
        case _:
            with pytest.raises(NodeRefused, match="CONTRACT_VALIDATE_ERROR"):
                taken(called, "a node", "f()")


def test_messages_are_legible_in_hex_and_as_text() -> None:
    assert legible("6163636f756e74206465732076616c6964617465206572726f72") == "account des validate error"
    assert legible("REVERT opcode executed") == "REVERT opcode executed"
    assert legible("a\r\nb") == "a??b"
    assert legible("ff") == "ff"


@pytest.mark.parametrize("item", all_of("broadcasts"))
def test_a_published_answer_to_a_broadcast_is_read(item: Item) -> None:
    said = decoded(item, BROADCASTED)
    sent = Sent.UNCLEAR if said.error else verdict_on(said).sent
    assert sent.value == item["sent"]


@pytest.mark.parametrize("item", all_of("resources"))
def test_published_resources_are_read(item: Item) -> None:
    resources = decoded(item, RESOURCES)
    assert resources.free_net_limit - resources.free_net_used == item["free"]
    assert resources.energy_limit - resources.energy_used == item["energy"]
    assert (stake_for(64_285, resources) > 0) is bool(item["answer"])


@pytest.mark.parametrize("item", all_of("parameters"))
def test_published_prices_are_read(item: Item) -> None:
    prices = prices_of(decoded(item, PARAMETERS))
    assert (prices.energy, prices.byte, prices.account, prices.account_bandwidth) == (
        item["energy"], item["byte"], 1_000_000, 100_000,
    )  # fmt: skip


def test_at_least_five_published_answers_for_each_decoder_of_money() -> None:
    for kind in ("blocks", "headers", "infos", "accounts", "called", "broadcasts", "resources"):
        assert len(all_of(kind)) >= 5, kind
