"""Published transactions of TON, mutated: none crashes the reader, and none is credited for what it does not say."""

import base64
import contextlib
import copy
import functools
import json
import random
from collections import Counter
from pathlib import Path

import msgspec
from pytoniq_core import Cell as OracleCell
from tests.chains.ton.network import coin, jetton, text
from ton_core.contrib.contracts.jetton.tlb import JettonInternalTransferBody

from bitlinkpay.chains.base import ChainError, Transfer
from bitlinkpay.chains.ton.transfers import Holdings, jetton_change
from bitlinkpay.chains.ton.wire import RawTransaction, canonical_address, decoder_of

PUBLISHED = Path(__file__).parent.parent / "chains" / "ton" / "published.json"
TAG = "123456789"
_DECODER = decoder_of(RawTransaction)
_ODD = (
    None,
    True,
    False,
    "",
    "0",
    "-1",
    0,
    -1,
    2**300,
    "1e3",
    [],
    {},
    "A" * 44,
    "0:" + "0" * 64,
    "\x00",
    "0x0",
    0.5,
    "NaN",
)


@functools.cache
def published() -> dict[str, list[dict]]:
    """Return the answers of `published.json`, by kind, each with its source."""
    return json.loads(PUBLISHED.read_text())


def fuzz(runs: int, seed: int) -> str:
    """Return how many of `runs` mutated answers were refused, brought nothing, or brought money that they name."""
    chance = random.Random(seed)
    seeds = list(_seeds())
    found: Counter[str] = Counter()
    for _ in range(runs):
        account, told = chance.choice(seeds)
        mutated = _mutated(chance, told)
        found[_read(account, mutated)] += 1
    return ", ".join(f"{found[kind]:,} {kind}" for kind in ("refused", "brought nothing", "credited as they say"))


def _seeds() -> list[tuple[str, dict]]:
    """Return published transactions, and some of them with bodies that pay an order."""
    genuine = [(canonical_address(item["account"]), item["answer"]) for item in published()["transactions"]]
    paying = []
    for account, told in genuine:
        if told["in_msg"]["source"] is None:
            continue
        paying.append((account, _with_body(told, text(TAG))))
        came = JettonInternalTransferBody(jetton_amount=10**7, forward_amount=1, forward_payload=text(TAG)).serialize()
        whole = {"type": "ord", "aborted": False, "compute_ph": {"skipped": False, "success": True}}
        paying.append((account, _with_body(told, came) | {"description": whole}))
    return genuine + paying


def _with_body(told: dict, body: OracleCell) -> dict:
    told = copy.deepcopy(told)
    hashed, encoded = base64.b64encode(body.hash).decode(), base64.b64encode(body.to_boc()).decode()
    told["in_msg"]["message_content"] = {"hash": hashed, "body": encoded, "decoded": None}
    return told


def _mutated(chance: random.Random, told: dict) -> bytes:
    told = copy.deepcopy(told)
    for _ in range(chance.randrange(1, 4)):
        match chance.randrange(4):
            case 0:
                _change_field(chance, told)
            case 1:
                _change_body(chance, told)
            case 2:
                raw = bytearray(json.dumps(told).encode())
                raw[chance.randrange(len(raw))] = chance.randrange(256)
                return bytes(raw)
            case _:
                raw = json.dumps(told).encode()
                at = chance.randrange(len(raw))
                return raw[:at] + raw[at + chance.randrange(40) :]
    return json.dumps(told).encode()


def _change_field(chance: random.Random, told: dict) -> None:
    """Give one field, at any depth, an odd value, or take it away."""
    place: object = told
    while True:
        key = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
        inner = place[key]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.7:
            place = inner
            continue
        if isinstance(place, dict) and chance.random() < 0.2:
            del place[key]
        else:
            place[key] = chance.choice(_ODD)
        return


def _change_body(chance: random.Random, told: dict) -> None:
    """Change bytes of the message's body; the hash that stands beside it is left out, as some indexers do."""
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
        raw = bytearray(base64.b64decode(told["in_msg"]["message_content"]["body"]))
        raw[4] &= ~0x40  # without checksum, so that a change gets as far as it can
        raw = raw[:-4]
        for _ in range(chance.randrange(1, 4)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        told["in_msg"]["message_content"] = {"hash": None, "body": base64.b64encode(bytes(raw)).decode()}


def _read(account: str, answer: bytes) -> str:
    ours = "0:" + "99" * 32
    try:
        told = _DECODER.decode(answer)
        jetton_change(told)
        found = [
            Holdings(account, [coin()]).transfer_of(told),
            Holdings(ours, [coin(), jetton("0:" + "98" * 32, account)]).transfer_of(told),
        ]
    except (msgspec.DecodeError, ChainError, UnicodeDecodeError, RecursionError):
        return "refused"
    except Exception as error:
        raise AssertionError(f"{type(error).__name__} ({error}) at {answer!r}") from error
    for transfer in found:
        if transfer is not None:
            _check(transfer, json.loads(answer.decode(errors="replace")), answer)
    return "credited as they say" if any(found) else "brought nothing"


def _check(transfer: Transfer, told: dict, answer: bytes) -> None:
    """Hold what was credited to the answer, read here by other means."""
    message, how = told["in_msg"], told["description"]
    assert message["bounced"] is False, answer
    assert transfer.units > 0, answer
    if transfer.asset == "ton-ton":
        assert transfer.units == int(message["value"]), answer
        assert how.get("bounce") is None, answer
    else:
        assert (how["aborted"], how["compute_ph"]["success"]) == (False, True), answer
    if transfer.tag == TAG:
        body = OracleCell.one_from_boc(message["message_content"]["body"])
        assert TAG.encode() in b"".join(cell.bits.tobytes() for cell in _cells(body)) or transfer.asset != "ton-ton", (
            answer
        )


def _cells(root: OracleCell) -> list[OracleCell]:
    return [root, *(cell for ref in root.refs for cell in _cells(ref))]
