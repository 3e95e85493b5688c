"""Mutated blocks, traces and receipts: no crash but a refusal, and what proves itself pays as the real block does."""

import copy
import json
from collections import Counter
from random import Random

import msgspec
from eth_account import Account
from tests.chains.evm.ours import HOT, deposit, payout
from tests.chains.evm.published import published
from tests.chains.evm.rows import coin, token

from bitlinkpay.chains.base import Block, ChainError
from bitlinkpay.chains.codec.evm import keccak256
from bitlinkpay.chains.evm.delegates import EXECUTED_TOPIC
from bitlinkpay.chains.evm.delivery import delivered
from bitlinkpay.chains.evm.fees import read_market
from bitlinkpay.chains.evm.internal import read_flows, read_trace
from bitlinkpay.chains.evm.node import decode
from bitlinkpay.chains.evm.plan import EvmPlan, Shape
from bitlinkpay.chains.evm.proof import check_shape, encode_header, encode_receipt, encode_transaction, prove
from bitlinkpay.chains.evm.reader import Sealed, check_signers
from bitlinkpay.chains.evm.transfers import TRANSFER_TOPIC, Listing, read_block
from bitlinkpay.chains.evm.trie import list_root
from bitlinkpay.chains.evm.wire import BLOCK, FEE_HISTORY, RECEIPTS, TRACE, RawBlock, Receipt, Transaction
from bitlinkpay.chains.rpc import Answer, Call

USDT = token("0x" + "da" * 20)
LISTING = Listing([coin(), USDT])
PAYEES = [deposit(i).address for i in range(1, 5)]
BATCH = EvmPlan(Shape.BATCH, 31337, nonce=0, gas_limit=1, max_fee=1, priority_fee=0, item_gas=1)
WANTED = payout(USDT, *((address, 5 + i) for i, address in enumerate(PAYEES)))
ZERO = "0x" + "00" * 32
ODD = [
    "",
    "0x",
    "0x0",
    "0xg0",
    "0x" + "f" * 65,
    "-0x1",
    "0x1_0",
    " 0x1",
    7,
    -1,
    1.5,
    True,
    None,
    [],
    {},
    "\x00",
    "é" * 9,
]


def fuzz(runs: int, seed: int) -> str:
    """Mutate and read; return what became of the mutated answers."""
    random = Random(seed)
    blocks = [(item["answer"], item["receipts"]) for item in published()["blocks"]] + [own_block(), own_block()]
    traces = [item["answer"] for item in published()["traces"]]
    fees = [item["answer"] for item in published()["fees"]]
    seen: Counter[str] = Counter()
    for _ in range(runs):
        kind = random.randrange(10)
        if kind == 0:
            seen[_trace(mutated(random.choice(traces), random))] += 1
        elif kind == 1:
            seen[_fees(mutated(random.choice(fees), random))] += 1
        else:
            block, receipts = random.choice(blocks)
            seen[_block(block, receipts, random)] += 1
    return ", ".join(f"{count:,} {what}" for what, count in seen.most_common())


def _block(block: object, receipts: object, random: Random) -> str:
    changed, changed_receipts = block, receipts
    if random.random() < 0.5:
        changed = mutated(block, random)
    else:
        changed_receipts = mutated(receipts, random)
    try:
        whole, found = (
            _decoded(changed, BLOCK, "eth_getBlockByNumber"),
            _decoded(changed_receipts, RECEIPTS, "receipts"),
        )
        if whole is None or found is None or None in found:
            return "a gap"
        for receipt in found:
            assert len(delivered(WANTED, BATCH, receipt, USDT)) == len(PAYEES)
        check_shape(whole, found)
        read_flows(Sealed(whole, found), PAYEES[0])
        loose = read_block(whole, found, LISTING)
        prove(whole, found)
        check_signers(whole, found)
    except ChainError:
        return "refused"
    assert _paid(loose) == _paid(_original(block, receipts)), json.dumps([changed, changed_receipts])
    return "what the block's hash does not cover"


def _trace(answer: object) -> str:
    try:
        items = _decoded(answer, TRACE, "debug_traceBlockByHash")
        read_trace(items, ["0x" + "ee" * 32] * len(items))
    except ChainError:
        return "traces refused"
    return "traces read"


def _fees(answer: object) -> str:
    try:
        market = read_market(_decoded(answer, FEE_HISTORY, "eth_feeHistory"))
    except ChainError:
        return "fees refused"
    assert market.base >= 0 <= market.tip
    return "fees read"


def _decoded(answer: object, decoder: msgspec.json.Decoder, method: str) -> object:
    return decode(Answer(1, msgspec.Raw(json.dumps(answer).encode())), Call(method), decoder)


def _original(block: object, receipts: object) -> Block:
    return read_block(BLOCK.decode(json.dumps(block)), RECEIPTS.decode(json.dumps(receipts)), LISTING)


def _paid(block: Block) -> list[object]:
    return [block.height, block.hash, block.parent, block.time, *block.transfers]


def mutated(answer: object, random: Random) -> object:
    """Return a copy with one to three places changed: a digit, a value, a key, an item."""
    changed = [copy.deepcopy(answer)]
    for _ in range(random.randint(1, 3)):
        _mutate(changed, random)
    return changed[0] if changed else None  # the whole answer may have gone


def _mutate(node: object, random: Random) -> None:
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    if not keys:
        return
    key = random.choice(keys)
    value = node[key]
    if isinstance(value, (dict, list)) and value and random.random() < 0.9:
        _mutate(value, random)
    elif isinstance(value, str) and value and random.random() < 0.7:
        at = random.randrange(len(value))
        node[key] = value[:at] + random.choice("0123456789abcdefABCDEFx ") + value[at + random.randrange(2) :]
    elif isinstance(node, list) and random.random() < 0.5:
        random.choice([lambda: node.pop(key), lambda: node.append(copy.deepcopy(value)), node.reverse])()
    elif isinstance(node, dict) and random.random() < 0.3:
        del node[key]
    else:
        node[key] = copy.deepcopy(random.choice(ODD))


def own_block() -> tuple[object, object]:
    """Return a block of our own making that proves itself: native payments and a batch of token transfers."""
    key = Account.from_key(b"\x31" * 32)
    txs, receipts = [], []
    for nonce, target in enumerate([*PAYEES, HOT.address]):
        fields = {
            "chainId": 31337, "nonce": nonce, "gas": 90_000, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9,
            "to": target, "value": nonce, "data": b"", "type": 2,
        }  # fmt: skip
        signed = key.sign_transaction(fields)
        txs.append({
            "hash": "0x" + signed.hash.hex(), "nonce": hex(nonce), "gas": hex(90_000), "value": hex(nonce), "input": "0x",
            "from": key.address.lower(), "to": target.lower(), "type": "0x2", "chainId": hex(31337), "accessList": [],
            "maxFeePerGas": hex(10**10), "maxPriorityFeePerGas": hex(10**9), "gasPrice": hex(10**10),
            "v": hex(signed.v), "r": hex(signed.r), "s": hex(signed.s), "yParity": hex(signed.v),
        })  # fmt: skip
        receipts.append({
            "transactionHash": txs[-1]["hash"], "blockHash": "", "status": "0x1", "type": "0x2", "gasUsed": "0x5208",
            "cumulativeGasUsed": hex(21_000 * (nonce + 1)), "effectiveGasPrice": hex(10**10), "logsBloom": "0x" + "00" * 256,
            "logs": _batch_logs() if target == HOT.address else [],
        })  # fmt: skip
    header = {
        "number": "0x10", "hash": "", "timestamp": "0x6565", "parentHash": "0x" + "12" * 32, "sha3Uncles": ZERO,
        "miner": "0x" + "00" * 20, "stateRoot": ZERO, "logsBloom": "0x" + "00" * 256, "difficulty": "0x0",
        "gasLimit": "0x1c9c380", "gasUsed": hex(21_000 * 5), "extraData": "0x", "mixHash": ZERO,
        "nonce": "0x0000000000000000", "baseFeePerGas": "0x7",
        "transactionsRoot": _root(encode_transaction(tx) for tx in msgspec.convert(txs, list[Transaction])),
        "receiptsRoot": _root(encode_receipt(receipt) for receipt in msgspec.convert(receipts, list[Receipt])),
        "transactions": txs,
    }  # fmt: skip
    header["hash"] = "0x" + keccak256(encode_header(msgspec.convert(header, RawBlock))).hex()
    return header, [receipt | {"blockHash": header["hash"]} for receipt in receipts]


def _root(values: object) -> str:
    return "0x" + list_root(list(values)).hex()


def _topic(address: str) -> str:
    return "0x" + address[2:].lower().rjust(64, "0")


def _batch_logs() -> list[dict[str, object]]:
    logs = [
        {
            "address": USDT.contract.lower(),
            "topics": [TRANSFER_TOPIC, _topic(HOT.address), _topic(address)],
            "data": "0x" + (5 + i).to_bytes(32, "big").hex(),
            "removed": False,
        }
        for i, address in enumerate(PAYEES)
    ]
    executed = {"address": HOT.address.lower(), "topics": [EXECUTED_TOPIC], "data": "0x" + bytes(32).hex()}
    return [*logs, executed]
