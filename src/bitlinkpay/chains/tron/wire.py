"""What java-tron's HTTP API answers, as typed structs, and its strict grammar: lower-case hex, numbers of 64 bits.

Protobuf leaves zeros out, so a missing number is 0 and a missing text is empty (THREATS TRX-15); whether an answer may
lack it is decided where it is used. An answer of another type refuses the whole. Requests say `visible: false`, so that
addresses are 21 bytes in hex, 0x41 first, and those of logs 20.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec

from bitlinkpay.chains.base import BlockRef, EndpointFailed

HASH_BYTES: Final = 32
ADDRESS_BYTES: Final = 21
_EPOCH = datetime.fromtimestamp(0, UTC)

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Malformed(EndpointFailed):
    """A node's answer does not have the form that java-tron's API promises."""


class _Wire(msgspec.Struct, gc=False):
    """Fields travel under java-tron's own names."""


class Answer(_Wire):
    """What a node answers as an object; `error` is what went wrong in it, with HTTP status 200 all the same."""

    error: str = msgspec.field(default="", name="Error")


class HeaderData(_Wire):
    """`BlockHeader.raw` of core/Tron.proto, whole: what the block's id is the hash of."""

    number: Count = 0
    timestamp: Count = 0
    tx_trie_root: str = msgspec.field(default="", name="txTrieRoot")
    parent_hash: str = msgspec.field(default="", name="parentHash")
    witness_id: Count = 0
    witness_address: str = ""
    version: Count = 0
    account_state_root: str = msgspec.field(default="", name="accountStateRoot")


class Header(_Wire):
    """A block's header."""

    raw_data: HeaderData


class Result(_Wire):
    """`Transaction.Result`: what the block itself says that became of a transaction."""

    contract_ret: str = msgspec.field(default="DEFAULT", name="contractRet")
    ret: str = "SUCESS"  # spelt so in the protocol
    fee: Count = 0


class RawTransaction(_Wire):
    """A transaction in a block."""

    id: str = msgspec.field(name="txID")
    raw_data_hex: str
    signature: list[str] = msgspec.field(default_factory=list)
    ret: list[Result] = msgspec.field(default_factory=list)


class RawBlock(Answer):
    """A block or its header alone; all empty where the node has none."""

    id: str = msgspec.field(default="", name="blockID")
    header: Header | None = msgspec.field(default=None, name="block_header")
    transactions: list[RawTransaction] = msgspec.field(default_factory=list)


class Log(_Wire):
    """An event; `address` has 20 bytes."""

    address: str = ""
    topics: list[str] = msgspec.field(default_factory=list)
    data: str = ""


class CallValue(_Wire):
    """What an inner call carried: sun, or units of the TRC-10 token named."""

    units: Count = msgspec.field(default=0, name="callValue")
    token: str = msgspec.field(default="", name="tokenId")


class Inner(_Wire):
    """One `InternalTransaction`: an inner call, or what a contract did with resources."""

    caller: str = msgspec.field(default="", name="caller_address")
    target: str = msgspec.field(default="", name="transferTo_address")
    values: list[CallValue] = msgspec.field(default_factory=list, name="callValueInfo")
    note: str = ""
    rejected: bool = False


class Receipt(_Wire):
    """For contract calls how they ended."""

    result: str = "DEFAULT"


class Info(Answer):
    """`TransactionInfo`: what executing a transaction did."""

    id: str = ""
    height: Count = msgspec.field(default=0, name="blockNumber")
    fee: Count = 0
    result: str = "SUCESS"
    receipt: Receipt = msgspec.field(default_factory=Receipt)
    log: list[Log] = msgspec.field(default_factory=list)
    internal_transactions: list[Inner] = msgspec.field(default_factory=list)
    withdraw_amount: Count = 0
    unfreeze_amount: Count = 0
    withdraw_expire_amount: Count = 0


class Key(_Wire):
    """One key of a permission."""

    address: str = ""
    weight: Int64 = 0


class Permission(_Wire):
    """Whose signatures an account takes."""

    keys: list[Key] = msgspec.field(default_factory=list)


class Account(Answer):
    """An account; all empty where none was ever activated."""

    address: str = ""
    type: str = "Normal"
    balance: Count = 0
    owner_permission: Permission | None = None
    active_permission: list[Permission] = msgspec.field(default_factory=list)


class Verdict(Answer):
    """`Return`: whether the node took a request; `message` is hex or text, by endpoint and version."""

    result: bool = False
    code: str = "SUCCESS"
    message: str = ""


class CallResult(_Wire):
    """The `ret` of a simulated call."""

    ret: str = "SUCESS"


class CalledTransaction(_Wire):
    """The transaction that a simulated call was."""

    ret: list[CallResult] = msgspec.field(default_factory=list)


class Called(Answer):
    """What a constant call answered."""

    result: Verdict = msgspec.field(default_factory=Verdict)
    constant_result: list[str] = msgspec.field(default_factory=list)
    energy_used: Count = 0
    energy_penalty: Count = 0
    transaction: CalledTransaction = msgspec.field(default_factory=CalledTransaction)


class Parameter(_Wire):
    """One price or switch that the network voted on."""

    key: str = ""
    value: Int64 = 0


class Parameters(Answer):
    """All of them."""

    chain_parameter: list[Parameter] = msgspec.field(default_factory=list, name="chainParameter")


class Resources(Answer):
    """What an account may use without burning coin; all empty where it was never activated."""

    free_net_used: Count = msgspec.field(default=0, name="freeNetUsed")
    free_net_limit: Count = msgspec.field(default=0, name="freeNetLimit")
    net_used: Count = msgspec.field(default=0, name="NetUsed")
    net_limit: Count = msgspec.field(default=0, name="NetLimit")
    energy_used: Count = msgspec.field(default=0, name="EnergyUsed")
    energy_limit: Count = msgspec.field(default=0, name="EnergyLimit")
    total_energy_limit: Count = msgspec.field(default=0, name="TotalEnergyLimit")
    total_energy_weight: Count = msgspec.field(default=0, name="TotalEnergyWeight")


class Lendable(Answer):
    """How much of its stake an account may lend now, in sun."""

    units: Count = msgspec.field(default=0, name="max_size")


class LoanRecord(_Wire):
    """Stake that one account has lent another, in sun: locked, or free to be taken back."""

    energy_units: Count = msgspec.field(default=0, name="frozen_balance_for_energy")


class Lent(Answer):
    """All that one account has lent another; empty where that is nothing."""

    loans: list[LoanRecord] = msgspec.field(default_factory=list, name="delegatedResource")


class ContractCode(Answer):
    """A contract's code as it runs; empty where there is none."""

    runtimecode: str = ""


class Pending(Answer):
    """A transaction of the pool, its id alone; empty where the node has none."""

    id: str = msgspec.field(default="", name="txID")


class Refusal(Answer):
    """An answer that is no list."""


BLOCK: Final = msgspec.json.Decoder(RawBlock)
INFO: Final = msgspec.json.Decoder(Info)
INFOS: Final = msgspec.json.Decoder(list[Info] | Refusal)
ACCOUNT: Final = msgspec.json.Decoder(Account)
CALLED: Final = msgspec.json.Decoder(Called)
BROADCASTED: Final = msgspec.json.Decoder(Verdict)
PARAMETERS: Final = msgspec.json.Decoder(Parameters)
RESOURCES: Final = msgspec.json.Decoder(Resources)
LENDABLE: Final = msgspec.json.Decoder(Lendable)
LENT: Final = msgspec.json.Decoder(Lent)
CODE: Final = msgspec.json.Decoder(ContractCode)
PENDING: Final = msgspec.json.Decoder(Pending)


def unhex(text: str, size: int | None = None) -> bytes:
    """Return the bytes of a lower-case hex text, of exactly `size` bytes if given.

    Raises:
        Malformed: anything else (`bytes.fromhex` alone would skip white space).
    """
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raise Malformed("a node sent data that is not hex") from None
    if raw.hex() != text or (size is not None and len(raw) != size):
        raise Malformed("a node sent data that is not plain hex, or of another size")
    return raw


def moment(milliseconds: int) -> datetime:
    """Return the time of a block.

    Raises:
        Malformed: a time that cannot be.
    """
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise Malformed("a node sent a block time that is no time") from None


def milliseconds(ref: BlockRef) -> int:
    """Return a block's time in Unix milliseconds."""
    return (ref.time - _EPOCH) // timedelta(milliseconds=1)
