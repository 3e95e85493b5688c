"""What Solana nodes answer, as typed structs (solana.com/docs/rpc/http), in the encodings `json` and `base64`.

Only the fields that are used are decoded. Instructions stay undecoded JSON until a transaction brings somebody money,
since most of a block's text is instructions. A missing or mistyped field refuses the whole answer.
"""

import binascii
import re
from typing import Annotated, Generic, TypeVar

import msgspec

from bitlinkpay.chains.base import EndpointFailed
from bitlinkpay.chains.codec.solana import unbase58

Natural = Annotated[int, msgspec.Meta(ge=0)]
Slot = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]

_AMOUNT = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)
_HASH = re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,44}", re.ASCII)
_SIGNATURE = re.compile(r"[1-9A-HJ-NP-Za-km-z]{64,88}", re.ASCII)
_HASH_BYTES, _SIGNATURE_BYTES = 32, 64
_NULL = b"null"

T = TypeVar("T")


class Malformed(EndpointFailed):
    """A node's answer does not have the form that the RPC interface promises."""


class _Wire(msgspec.Struct, rename="camel", gc=False):
    """Fields travel in camelCase."""


class TokenAmount(_Wire):
    """A quantity of a token; the `ui…` fields beside it are for people and are never read (THREATS SOL-14)."""

    amount: str


class TokenBalance(_Wire):
    """What one token account held before or after a transaction."""

    account_index: int
    mint: str
    ui_token_amount: TokenAmount
    owner: str | None = None
    program_id: str | None = None

    @property
    def units(self) -> int:
        """Return the raw integer amount.

        Raises:
            Malformed: not a number of base units.
        """
        if not _AMOUNT.fullmatch(self.ui_token_amount.amount):
            raise Malformed("a node sent a token amount that is not a number of base units")
        return int(self.ui_token_amount.amount)


class Loaded(_Wire):
    """Addresses that a transaction took from lookup tables, in the order of its account indexes."""

    writable: list[str]
    readonly: list[str]


class Meta(_Wire):
    """What executing a transaction did."""

    err: msgspec.Raw
    fee: Natural
    pre_balances: list[Natural]
    post_balances: list[Natural]
    pre_token_balances: list[TokenBalance]
    post_token_balances: list[TokenBalance]
    inner_instructions: msgspec.Raw = msgspec.Raw(_NULL)
    loaded_addresses: Loaded | None = None

    @property
    def is_success(self) -> bool:
        """Say whether the transaction took effect; one that failed stands in its block all the same."""
        return bytes(self.err) == _NULL


class Instruction(_Wire):
    """A call of one program; `data` is Base58."""

    program_id_index: int
    accounts: list[int]
    data: str


class Inner(_Wire):
    """The calls that programs made while the top-level instruction `index` ran."""

    index: int
    instructions: list[Instruction]


class Message(_Wire):
    """What was signed."""

    account_keys: list[str]
    instructions: msgspec.Raw


class Envelope(_Wire):
    """A message and its signatures; the first one is the transaction's id."""

    signatures: list[str]
    message: Message


class Transaction(_Wire):
    """A transaction as it stands in a block. `meta` is null where the node did not keep what it did."""

    transaction: Envelope
    meta: Meta | None
    version: str | int = "legacy"


class Header(_Wire):
    """A block without its content."""

    blockhash: str
    previous_blockhash: str
    parent_slot: Slot
    block_time: int | None
    block_height: Natural | None


class RawBlock(Header):
    """A block with its transactions in full."""

    transactions: list[Transaction]


class SignedBlock(Header):
    """A block with the ids of its transactions only."""

    signatures: list[str]


class Found(Transaction):
    """A transaction that was asked for by its id."""

    slot: Slot = msgspec.field(default=0)


class Context(_Wire):
    """At which slot a node read its state."""

    slot: Slot


class Stateful(_Wire, Generic[T]):
    """An answer from a node's state."""

    context: Context
    value: T


class Account(_Wire):
    """An account; `data` is base64 and the name of that encoding."""

    lamports: Natural
    owner: str
    data: tuple[str, str]
    executable: bool

    @property
    def raw(self) -> bytes:
        """Return the account's bytes.

        Raises:
            Malformed: not base64.
        """
        try:
            return binascii.a2b_base64(self.data[0], strict_mode=True)
        except ValueError:
            raise Malformed("a node sent account data that is not base64") from None


class OwnedAccount(_Wire):
    """An account of a list, with its address."""

    pubkey: str
    account: Account


class Status(_Wire):
    """What a node knows of a transaction id."""

    slot: Slot
    err: msgspec.Raw
    confirmation_status: str | None = None

    @property
    def is_success(self) -> bool:
        """Say whether the transaction took effect."""
        return bytes(self.err) == _NULL

    @property
    def is_final(self) -> bool:
        """Say whether it stands in a final block."""
        return self.confirmation_status == "finalized"


class Mention(_Wire):
    """A transaction that names an address."""

    signature: str
    slot: Slot


class Simulated(_Wire):
    """What a transaction would do now; `accounts` are those that were asked for, as it would leave them."""

    err: msgspec.Raw
    units_consumed: Natural = 0
    logs: list[str] | None = None
    accounts: list[Account | None] | None = None

    @property
    def is_success(self) -> bool:
        """Say whether it would take effect."""
        return bytes(self.err) == _NULL


class PriorityFee(_Wire):
    """What a recent block took at least for a place before others, in millionths of a lamport a compute unit."""

    slot: Slot
    prioritization_fee: Natural


BLOCK: msgspec.json.Decoder[RawBlock | None] = msgspec.json.Decoder(RawBlock | None)
SIGNED_BLOCK: msgspec.json.Decoder[SignedBlock | None] = msgspec.json.Decoder(SignedBlock | None)
HEADER: msgspec.json.Decoder[Header | None] = msgspec.json.Decoder(Header | None)
SLOT: msgspec.json.Decoder[Slot] = msgspec.json.Decoder(Slot)
SLOTS: msgspec.json.Decoder[list[Slot]] = msgspec.json.Decoder(list[Slot])
TEXT: msgspec.json.Decoder[str] = msgspec.json.Decoder(str)
NUMBER: msgspec.json.Decoder[Natural] = msgspec.json.Decoder(Natural)
FOUND: msgspec.json.Decoder[Found | None] = msgspec.json.Decoder(Found | None)
ACCOUNT: msgspec.json.Decoder[Stateful[Account | None]] = msgspec.json.Decoder(Stateful[Account | None])
ACCOUNTS: msgspec.json.Decoder[Stateful[list[Account | None]]] = msgspec.json.Decoder(Stateful[list[Account | None]])
OWNED: msgspec.json.Decoder[Stateful[list[OwnedAccount]]] = msgspec.json.Decoder(Stateful[list[OwnedAccount]])
STATUSES: msgspec.json.Decoder[Stateful[list[Status | None]]] = msgspec.json.Decoder(Stateful[list[Status | None]])
MENTIONS: msgspec.json.Decoder[list[Mention]] = msgspec.json.Decoder(list[Mention])
SIMULATED: msgspec.json.Decoder[Stateful[Simulated]] = msgspec.json.Decoder(Stateful[Simulated])
BEFORE_AND_SIMULATED: msgspec.json.Decoder[Stateful[list[Account | None] | Simulated]] = msgspec.json.Decoder(
    Stateful[list[Account | None] | Simulated]
)
ADDRESSES: msgspec.json.Decoder[list[str]] = msgspec.json.Decoder(list[str])
PRIORITY_FEES: msgspec.json.Decoder[list[PriorityFee]] = msgspec.json.Decoder(list[PriorityFee])
INSTRUCTIONS: msgspec.json.Decoder[list[Instruction]] = msgspec.json.Decoder(list[Instruction])
INNER: msgspec.json.Decoder[list[Inner] | None] = msgspec.json.Decoder(list[Inner] | None)


def checked_hash(text: str) -> str:
    """Return a block hash or an address as it came.

    Raises:
        Malformed: not 32 bytes in Base58.
    """
    if not _HASH.fullmatch(text) or len(unbase58(text)) != _HASH_BYTES:
        raise Malformed("a node sent a hash or address that is not 32 bytes in Base58")
    return text


def is_signature(text: str) -> bool:
    """Say whether a text is 64 bytes in Base58, as transaction ids are written."""
    return bool(_SIGNATURE.fullmatch(text)) and len(unbase58(text)) == _SIGNATURE_BYTES
