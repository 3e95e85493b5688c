"""Published answers of real nodes (`published.json` names the source of each), decoded as the adapter decodes them."""

import functools
import json
from pathlib import Path

import msgspec

from bitlinkpay.chains.evm.wire import Header, RawBlock, Receipt, TraceItem, Transaction


@functools.cache
def published() -> dict[str, list[dict[str, object]]]:
    text = Path(__file__).with_name("published.json").read_text()
    return json.loads(text.replace("bloom:0", "0x" + "00" * 256))


def names(kind: str) -> list[str]:
    return [str(item["source"]) for item in published()[kind]]


def _decode(kind: str, source: str, into: type, field: str = "answer") -> object:
    item = next(item for item in published()[kind] if item["source"] == source)
    return msgspec.json.decode(json.dumps(item[field]), type=into)


def block(source: str) -> tuple[RawBlock, list[Receipt]]:
    return _decode("blocks", source, RawBlock), _decode("blocks", source, list[Receipt], "receipts")


def header(source: str) -> Header:
    return _decode("headers", source, Header)


def transaction(source: str) -> Transaction:
    return _decode("transactions", source, Transaction)


def receipt(source: str) -> Receipt:
    return _decode("receipts", source, Receipt)


def trace(source: str) -> list[TraceItem]:
    return _decode("traces", source, list[TraceItem])


def expected(kind: str, source: str, field: str) -> list[list[object]]:
    return next(item for item in published()[kind] if item["source"] == source)[field]
