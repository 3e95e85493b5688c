"""What an indexer answers: toncenter's API v3, and the few fields of it that count.

The form is that of "TON Index (Go)" 1.1 to 1.2 (its OpenAPI document; docs.ton.org, "toncenter API v3"): 64-bit numbers
are texts, hashes Base64, addresses raw with upper-case digits.
"""

import re
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec

from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.ton.boc import parse_boc
from bitlinkpay.chains.ton.cell import BadCell, Cell

T = TypeVar("T")

MASTERCHAIN: Final = -1
HASH_BYTES: Final = 32
_DIGITS = re.compile(r"[0-9]{1,78}", re.ASCII)
_ADDRESS = re.compile(r"(0|-1):([0-9A-Fa-f]{64})", re.ASCII)


class Natural(int):
    """A number of an answer, which travels as text where it may exceed 53 bits: digits alone, never negative."""


class Malformed(ChainError):
    """A node's answer has another form than its API's."""


class RawBlock(msgspec.Struct, frozen=True):
    """The header of a block."""

    workchain: int
    seqno: Natural
    root_hash: str
    global_id: int
    gen_utime: Natural
    start_lt: Natural


class RawBlocks(msgspec.Struct, frozen=True):
    """Answer of `/blocks`."""

    blocks: list[RawBlock]


class RawInfo(msgspec.Struct, frozen=True):
    """Answer of `/masterchainInfo`."""

    last: RawBlock


class RawState(msgspec.Struct, frozen=True):
    """An account as it is now."""

    address: str
    balance: Natural | None = None
    status: str = ""
    last_transaction_hash: str | None = None
    last_transaction_lt: Natural | None = None
    code_hash: str | None = None


class RawStates(msgspec.Struct, frozen=True):
    """Answer of `/accountStates`."""

    accounts: list[RawState]


class RawContent(msgspec.Struct, frozen=True):
    """The body of a message."""

    hash: str | None = None
    body: str | None = None


class RawMessage(msgspec.Struct, frozen=True):
    """A message; an external one has no source, one to the outside no destination."""

    hash: str
    hash_norm: str | None = None
    source: str | None = None
    destination: str | None = None
    value: Natural | None = None
    bounced: bool | None = None
    message_content: RawContent | None = None


class RawCompute(msgspec.Struct, frozen=True):
    """How the contract's code ran."""

    skipped: bool | None = None
    success: bool | None = None
    exit_code: int | None = None


class RawAction(msgspec.Struct, frozen=True):
    """How what the code asked for was carried out."""

    success: bool | None = None


class RawBounce(msgspec.Struct, frozen=True):
    """That the message was, or would have been, sent back."""

    type: str | None = None


class RawDescription(msgspec.Struct, frozen=True):
    """How a transaction went."""

    type: str = ""
    aborted: bool | None = None
    compute_ph: RawCompute | None = None
    action: RawAction | None = None
    bounce: RawBounce | None = None

    @property
    def is_whole(self) -> bool:
        """Say whether a contract's code ran and all that it asked for was done; else its state is as it was."""
        return self.aborted is False and self.compute_ph is not None and self.compute_ph.success is True


class RawBalance(msgspec.Struct, frozen=True):
    """An account before or after a transaction."""

    balance: Natural | None = None


class RawTransaction(msgspec.Struct, frozen=True):
    """A transaction of one account."""

    account: str
    hash: str
    lt: Natural
    now: Natural
    prev_trans_hash: str
    prev_trans_lt: Natural
    description: RawDescription
    in_msg: RawMessage | None = None
    out_msgs: list[RawMessage] = []
    mc_block_seqno: Natural | None = None
    account_state_before: RawBalance | None = None
    account_state_after: RawBalance | None = None
    emulated: bool = False
    finality: str = "finalized"


class RawTransactions(msgspec.Struct, frozen=True):
    """Answer of `/transactions`."""

    transactions: list[RawTransaction]


def decoder_of(kind: type[T]) -> "msgspec.json.Decoder[T]":
    """Return the decoder of an answer."""
    return msgspec.json.Decoder(kind, dec_hook=_natural)


def _natural(kind: type, found: object) -> Natural:
    assert kind is Natural
    if isinstance(found, str) and _DIGITS.fullmatch(found):
        return Natural(found)
    if isinstance(found, int) and not isinstance(found, bool) and found >= 0:
        return Natural(found)
    raise ValueError("not a number")


def block_time(block: RawBlock) -> datetime:
    """Return the time in a block's header."""
    try:
        return datetime.fromtimestamp(block.gen_utime, UTC)
    except (ValueError, OverflowError, OSError):
        raise Malformed(f"a block of the year {block.gen_utime}") from None


def canonical_hash(text: str | None) -> str:
    """Return a hash in the one spelling, standard Base64.

    Raises:
        Malformed: not 32 bytes of Base64.
    """
    try:
        data = b64decode(text or "", validate=True)
    except ValueError:
        raise Malformed("a hash that is not Base64") from None
    if len(data) != HASH_BYTES:
        raise Malformed("a hash that is not 32 bytes")
    return b64encode(data).decode()


def canonical_address(text: str | None) -> str:
    """Return the canonical form of a raw address, "" for none.

    Raises:
        Malformed: another form.
    """
    if not text:
        return ""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise Malformed("an address that is not raw")
    return f"{found[1]}:{found[2].lower()}"


def body_of(message: RawMessage) -> Cell | None:
    """Return a message's body, None where it has none or one that is no ordinary cell (anyone may send that).

    Raises:
        Malformed: not Base64, or not the body that its hash names.
    """
    content = message.message_content
    if content is None or not content.body:
        return None
    try:
        body = parse_boc(b64decode(content.body, validate=True))
    except BadCell:
        return None
    except ValueError:
        raise Malformed("a message body that is not Base64") from None
    if content.hash is not None and canonical_hash(content.hash) != b64encode(body.hash).decode():
        raise Malformed("a message body that does not have its hash")
    return body
