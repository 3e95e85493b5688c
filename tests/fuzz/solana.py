"""Altered real answers: no crash but a refusal, and no transfer that the balances of the same answer do not show."""

import copy
import json
from collections import Counter
from random import Random

import msgspec
from tests.chains.solana.network import asset_row, coin
from tests.chains.solana.test_published import PUMP, USDT, published

from bitlinkpay.chains.base import ChainError, Transfer
from bitlinkpay.chains.solana.transfers import Listing, read_transaction
from bitlinkpay.chains.solana.wire import FOUND

LISTING = Listing(
    [coin(), asset_row("usdt-solana", "USDT", USDT, "SPL", 6), asset_row("pump-solana", "PUMP", PUMP, "Token-2022", 9)]
)
ODD = (None, 0, 1, -1, 2**63, 2**64, "", "x", "0", "-1", "1" * 32, "1" * 44, [], {}, [[]], True, 1.5, "é", "9" * 30)


def fuzz(runs: int, seed: int) -> str:
    """Alter and read; return what became of the altered transactions."""
    random = Random(seed)
    originals = [item["answer"] for item in published()["transactions"] if item["answer"]]
    originals += [tx for item in published()["blocks"] for tx in item["answer"].get("transactions", ())]
    seen: Counter[str] = Counter()
    for _ in range(runs):
        answer = copy.deepcopy(random.choice(originals))
        for _ in range(random.randint(0, 3)):
            alter(answer, random)
        seen[_one(json.dumps(answer).encode())] += 1
    return ", ".join(f"{count:,} {what}" for what, count in seen.most_common())


def alter(value: object, random: Random) -> None:
    """Change, drop or repeat one place of a JSON value, anywhere in it."""
    while keys := list(value) if isinstance(value, dict) else list(range(len(value))):
        key = random.choice(keys)
        inner = value[key]
        if isinstance(inner, dict | list) and inner and random.randrange(5):
            value = inner
            continue
        match random.randrange(4):
            case 0 if isinstance(value, dict):
                del value[key]
            case 0:
                value.insert(key, copy.deepcopy(inner))
            case 1 if isinstance(inner, int):
                value[key] = inner + random.choice((-1, 1, 1000))
            case _:
                value[key] = copy.deepcopy(random.choice(ODD))
        return


def _one(raw: bytes) -> str:
    try:
        tx = FOUND.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return "of another form"
    if tx is None:
        return "nothing"
    try:
        found = read_transaction(tx, LISTING)
    except ChainError:
        return "refused"
    if not found:
        return "without a transfer"
    assert tx.meta.is_success, raw
    for transfer in found:
        _check(json.loads(raw), transfer)
    return "with transfers that its balances show"


def _check(answer: dict[str, object], transfer: Transfer) -> None:
    """Hold one transfer against the answer's own balances, read in another way."""
    meta = answer["meta"]
    kind, index = transfer.position.split(":")[0], int(transfer.position.split(":")[1])
    assert transfer.units > 0
    if kind == "lamports":
        assert transfer.units <= meta["postBalances"][index] - meta["preBalances"][index]
        return
    (token,) = [token for token in LISTING.by_mint.values() if token.asset.id == transfer.asset]
    wanted = (token.asset.contract, transfer.target, token.program)
    before, after = (_held(meta[name], wanted) for name in ("preTokenBalances", "postTokenBalances"))
    assert transfer.units == after - before, transfer


def _held(balances: list[dict[str, object]], wanted: tuple[str, str, str]) -> int:
    """Sum what an owner holds; of two entries for one account the later one counts."""
    by_account = {balance["accountIndex"]: balance for balance in balances if _is_listed(balance)}
    return sum(
        int(balance["uiTokenAmount"]["amount"])
        for balance in by_account.values()
        if (balance["mint"], balance["owner"], balance["programId"]) == wanted
    )


def _is_listed(balance: dict[str, object]) -> bool:
    token = LISTING.by_mint.get(balance["mint"])
    return token is not None and token.program == balance.get("programId")
