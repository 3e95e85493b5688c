"""Mutated blocks, outcomes and signed bytes: no crash but a `ChainError`, and nothing that proves itself pays otherwise."""

import json
from collections import Counter
from random import Random

import msgspec
from tests.chains.tron.answers import block_json, info_json
from tests.chains.tron.network import TronNet
from tests.chains.tron.published import published
from tests.chains.tron.rows import coin, token
from tests.chains.tron.wallets import Payer

from bitlinkpay.chains.base import ChainError, Transfer
from bitlinkpay.chains.tron.contract import read_contract
from bitlinkpay.chains.tron.sealed import seal
from bitlinkpay.chains.tron.transfers import Listing, read_block
from bitlinkpay.chains.tron.wire import BLOCK, INFOS

LISTING = Listing([coin(), token("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t")])
Pair = tuple[bytes, bytes]


def fuzz(runs: int, seed: int) -> str:
    """Mutate and read; return what became of the mutated answers."""
    random = Random(seed)
    pairs = _pairs()
    wanted = {pair: _read(*pair)[1] for pair in pairs}
    seen: Counter[str] = Counter()
    for n in range(runs):
        pair = random.choice(pairs)
        seen[_signed(pair, random) if n % 3 == 0 else _one(pair, random, wanted[pair])] += 1
    return ", ".join(f"{count:,} {what}" for what, count in seen.most_common())


def _pairs() -> list[Pair]:
    """Published blocks with the outcomes that go with them, and one of every kind of payment."""
    pairs: list[Pair] = []
    for item in published()["blocks"]:
        block = item["answer"]
        height = block["block_header"]["raw_data"]["number"]
        infos = [
            {"id": tx["txID"], "blockNumber": height, "receipt": {"result": "SUCCESS"}}
            for tx in block.get("transactions", [])
        ]
        pairs.append((json.dumps(block).encode(), json.dumps(infos).encode()))
    net = TronNet()
    for n in range(1, 6):
        net.pay(Payer.named(f"payee {n}").address, n)
    net.mine_now()
    mined = net.blocks[-1]
    infos = [info_json(mined, txid) for txid in mined.outcomes]
    return [*pairs, (json.dumps(block_json(mined, is_whole=True)).encode(), json.dumps(infos).encode())]


def _read(block: bytes, infos: bytes) -> tuple[bool, tuple[Transfer, ...]]:
    outcomes = INFOS.decode(infos)
    sealed = seal(BLOCK.decode(block), outcomes if isinstance(outcomes, list) else [])
    return sealed.is_proven, read_block(sealed, LISTING).transfers


def _one(pair: Pair, random: Random, wanted: tuple[Transfer, ...]) -> str:
    """Mutate the block: what still hashes to its id and its root pays what the block paid, or less."""
    try:
        is_proven, paid = _read(_mutate(pair[0], random), pair[1])
    except (ChainError, msgspec.DecodeError, ValueError, RecursionError):
        return "refused"
    if not is_proven:
        return "not what its root says"
    assert paid == wanted, "a block that proves itself pays otherwise"
    return "the same block"


def _signed(pair: Pair, random: Random) -> str:
    """Mutate the bytes of one transaction: a sender may send any, and none may stop the reading."""
    transactions = json.loads(pair[0]).get("transactions") or [{"raw_data_hex": "0a02"}]
    raw = _mutate(bytes.fromhex(random.choice(transactions)["raw_data_hex"]), random)
    try:
        contract = read_contract(raw)
    except ChainError:
        return "no transaction"
    payment = contract.payment()
    assert contract.owner() is not None
    assert payment is None or payment.units > 0
    return "another transaction"


def _mutate(raw: bytes, random: Random) -> bytes:
    data = bytearray(raw)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        at = random.randrange(len(data))
        match random.randrange(4):
            case 0:
                data[at] ^= 1 << random.randrange(8)
            case 1:
                data[at : at + random.randrange(1, 9)] = b""
            case 2:
                data[at:at] = random.randbytes(random.randrange(1, 9))
            case _:
                data[at] = random.choice(b'0123456789abcdef"{}[],:')
        if not data:
            return b"\0"
    return bytes(data)
