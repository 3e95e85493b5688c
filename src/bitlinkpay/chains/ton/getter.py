"""Get-methods: questions that a contract's own code answers."""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Final

import msgspec

from bitlinkpay.chains.ton.boc import parse_boc, serialize_boc
from bitlinkpay.chains.ton.cell import BadCell, Builder, Cell, Slice
from bitlinkpay.chains.ton.node import TonNode
from bitlinkpay.chains.ton.wire import Malformed, decoder_of

_SUCCEEDED = frozenset({0, 1})  # TVM, "exit codes"


class StackEntry(msgspec.Struct, frozen=True):
    """One value on the stack, going in or coming out; numbers are hexadecimal texts."""

    type: str
    value: str


class _Question(msgspec.Struct, frozen=True):
    address: str
    method: str
    stack: Sequence[StackEntry]


class _RawEntry(msgspec.Struct, frozen=True):
    type: str
    value: msgspec.Raw = msgspec.Raw()


class _Answer(msgspec.Struct, frozen=True):
    exit_code: int
    stack: list[_RawEntry] = []


_ANSWER: Final = decoder_of(_Answer)
_TEXT: Final = msgspec.json.Decoder(str)


class Stack:
    """The values that a get-method left, the first one first."""

    def __init__(self, entries: Sequence[_RawEntry]) -> None:
        self._entries = entries

    def number(self, index: int) -> int:
        """Return a number."""
        text = self._text(index, "num")
        try:
            return int(text, 16)
        except ValueError:
            raise Malformed("a get-method's number that is none") from None

    def cell(self, index: int) -> Cell:
        """Return a cell, or a slice as the cell of what is left of it."""
        text = self._text(index, "cell", "slice")
        try:
            return parse_boc(b64decode(text, validate=True))
        except ValueError:
            raise Malformed("a get-method's cell that is none") from None

    def address(self, index: int) -> str:
        """Return an address in canonical form, "" for none."""
        try:
            return Slice(self.cell(index)).address()
        except BadCell:
            raise Malformed("a get-method's address that is none") from None

    def _text(self, index: int, *kinds: str) -> str:
        if index >= len(self._entries) or self._entries[index].type not in kinds:
            raise Malformed("a get-method left other values than expected")
        try:
            return _TEXT.decode(self._entries[index].value)
        except msgspec.DecodeError:
            raise Malformed("a get-method's value of another form") from None


async def run(node: TonNode, address: str, method: str, *arguments: StackEntry) -> Stack | None:
    """Return what a get-method of a contract leaves, None where the contract has none such or its code refuses."""
    answer = await node.post("/runGetMethod", _Question(address, method, arguments), _ANSWER)
    return Stack(answer.stack) if answer.exit_code in _SUCCEEDED else None


def of_address(address: str) -> StackEntry:
    """Return an address as an argument."""
    return StackEntry("slice", b64encode(serialize_boc(Builder().address(address).end())).decode())
