"""At least five published answers of real nodes for every kind that sending reads (see `published.json` for sources)."""

import json

import msgspec
import pytest
from tests.chains.evm.desk import Desk
from tests.chains.evm.network import EvmNetwork
from tests.chains.evm.ours import deposit, payout
from tests.chains.evm.published import names, published
from tests.nodes.proxy import Proxy, RpcError

from bitlinkpay.chains.codec.evm import parse
from bitlinkpay.chains.evm.delegates import delegate_of
from bitlinkpay.chains.evm.fees import Market, read_market
from bitlinkpay.chains.evm.proof import encode_transaction, signer_of
from bitlinkpay.chains.evm.rehearsal import is_failure
from bitlinkpay.chains.evm.trie import list_root
from bitlinkpay.chains.evm.wire import FEE_HISTORY, TX_PLACE, RawBlock, quantity, unhex
from bitlinkpay.chains.outgoing import Sent
from bitlinkpay.chains.rpc import CallRefused


def rows(kind: str) -> list[object]:
    return [pytest.param(item, id=item["source"][-60:]) for item in published()[kind]]


def test_each_kind_has_five() -> None:
    counts = {kind: len(items) for kind, items in published().items() if isinstance(items, list)}
    assert counts.pop("bodies") + counts["blocks"] == 5
    assert counts.pop("codes") + counts["numbers"] >= 5, "both are texts of hex"
    assert counts.pop("blocks") + 1 == min(counts.values()) == 5


@pytest.mark.parametrize("item", rows("fees"))
def test_a_fee_history_gives_the_market(item: dict[str, object]) -> None:
    base, tip = item["market"]
    assert read_market(FEE_HISTORY.decode(json.dumps(item["answer"]))) == Market(int(base, 16), int(tip, 16))


@pytest.mark.parametrize("item", rows("bodies"))
def test_a_block_of_four_types_of_transactions_gives_the_root_of_its_header(item: dict[str, object]) -> None:
    block = msgspec.json.decode(json.dumps(item["answer"]), type=RawBlock)
    assert {tx.type for tx in block.transactions} == {"0x0", "0x1", "0x2", "0x3"}
    root = list_root([encode_transaction(tx) for tx in block.transactions])
    assert "0x" + root.hex() == block.transactions_root
    assert all("0x" + signer_of(tx).hex() == tx.sender for tx in block.transactions)


@pytest.mark.parametrize("item", rows("transactions"))
def test_a_transaction_tells_its_place(item: dict[str, object]) -> None:
    answer = item["answer"]
    placed = TX_PLACE.decode(json.dumps(answer))
    assert (placed.hash, placed.block_hash) == (answer["hash"], answer["blockHash"])
    assert quantity(placed.block_number) == int(answer["blockNumber"], 16)
    waiting = TX_PLACE.decode(json.dumps(answer | {"blockHash": None, "blockNumber": None}))
    assert waiting.block_hash is None


@pytest.mark.parametrize("item", rows("numbers"))
def test_a_number_is_read(item: dict[str, object]) -> None:
    assert quantity(item["answer"]) == item["value"]


@pytest.mark.parametrize("item", rows("codes"))
def test_an_accounts_code_tells_whom_it_delegates_to(item: dict[str, object]) -> None:
    delegate = item["delegate"]
    assert delegate_of(unhex(item["answer"])) == (parse(delegate) if delegate else "")


@pytest.mark.parametrize("item", rows("refusals"))
def test_a_refused_call_is_a_failing_call_or_a_node_that_cannot_say(item: dict[str, object]) -> None:
    assert is_failure(CallRefused("eth_call", item["code"], item["message"])) is item.get("fails", False)


async def test_PAY_06_published_answers_to_a_broadcast_mean_what_they_mean(net: EvmNetwork) -> None:
    async with Proxy.start(net.node.url) as proxy, Desk.on(net, urls=[proxy.url]) as desk:
        await desk.fund()
        for item in published()["refusals"]:
            if "sent" not in item:
                continue

            def refuse(method: str, _: list[object], result: object, item: dict = item) -> object:
                if method == "eth_sendRawTransaction":
                    raise RpcError(item["code"], item["message"])
                if method == "eth_getTransactionByHash":
                    return None
                return result

            proxy.edit = None
            await net.drop_pending()
            attempt = await desk.prepare(payout(net.usdt, (deposit(1).address, 5)))
            proxy.edit = refuse
            assert (await desk.broadcast(attempt)).sent is Sent(item["sent"]), item["message"]
    assert len(names("refusals")) == 12
