"""TRON's messages for Google's own protobuf runtime: the judge of what the adapter reads and the signer writes.

Field names and numbers are those of java-tron's core/Tron.proto and core/contract/*.proto, as much as the network needs.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

_INT64, _INT32, _STRING, _BYTES, _MESSAGE = 3, 5, 9, 12, 11
_KINDS = {"int64": _INT64, "int32": _INT32, "string": _STRING, "bytes": _BYTES}
_SHAPES = {
    "Any": "1 type_url string, 2 value bytes",
    "Contract": "1 type int32, 2 parameter Any, 3 provider bytes, 4 ContractName bytes, 5 Permission_id int32",
    "Result": "1 fee int64, 2 ret int32, 3 contractRet int32",
    "Raw": (
        "1 ref_block_bytes bytes, 3 ref_block_num int64, 4 ref_block_hash bytes, 8 expiration int64, 10 data bytes,"
        " 11 contract Contract*, 12 scripts bytes, 14 timestamp int64, 18 fee_limit int64"
    ),
    "Transaction": "1 raw_data Raw, 2 signature bytes*, 5 ret Result*",
    "HeaderRaw": (
        "1 timestamp int64, 2 txTrieRoot bytes, 3 parentHash bytes, 7 number int64, 8 witness_id int64,"
        " 9 witness_address bytes, 10 version int32, 11 accountStateRoot bytes"
    ),
    "AccountCreateContract": "1 owner_address bytes, 2 account_address bytes, 3 type int32",
    "TransferContract": "1 owner_address bytes, 2 to_address bytes, 3 amount int64",
    "TransferAssetContract": "1 asset_name bytes, 2 owner_address bytes, 3 to_address bytes, 4 amount int64",
    "ParticipateAssetIssueContract": "1 owner_address bytes, 2 to_address bytes, 3 asset_name bytes, 4 amount int64",
    "VoteWitnessContract": "1 owner_address bytes",
    "WithdrawBalanceContract": "1 owner_address bytes",
    "FreezeBalanceV2Contract": "1 owner_address bytes, 2 frozen_balance int64, 3 resource int32",
    "UnfreezeBalanceV2Contract": "1 owner_address bytes, 2 unfreeze_balance int64, 3 resource int32",
    "DelegateResourceContract": (
        "1 owner_address bytes, 2 resource int32, 3 balance int64, 4 receiver_address bytes, 5 lock int32,"
        " 6 lock_period int64"
    ),
    "UnDelegateResourceContract": (
        "1 owner_address bytes, 2 resource int32, 3 balance int64, 4 receiver_address bytes"
    ),
    "Key": "1 address bytes, 2 weight int64",
    "Permission": (
        "1 type int32, 2 id int32, 3 permission_name string, 4 threshold int64, 6 operations bytes, 7 keys Key*"
    ),
    "AccountPermissionUpdateContract": (
        "1 owner_address bytes, 2 owner Permission, 3 witness Permission, 4 actives Permission*"
    ),
    "SmartContract": "1 origin_address bytes, 2 contract_address bytes, 4 bytecode bytes, 5 call_value int64, 7 name string",
    "CreateSmartContract": "1 owner_address bytes, 2 new_contract SmartContract",
    "TriggerSmartContract": (
        "1 owner_address bytes, 2 contract_address bytes, 3 call_value int64, 4 data bytes, 5 call_token_value int64,"
        " 6 token_id int64"
    ),
}
TYPES = {
    "AccountCreateContract": 0, "TransferContract": 1, "TransferAssetContract": 2, "VoteWitnessContract": 4,
    "ParticipateAssetIssueContract": 9,
    "WithdrawBalanceContract": 13, "CreateSmartContract": 30, "TriggerSmartContract": 31,
    "AccountPermissionUpdateContract": 46, "FreezeBalanceV2Contract": 54, "UnfreezeBalanceV2Contract": 55,
    "DelegateResourceContract": 57, "UnDelegateResourceContract": 58,
}  # fmt: skip
NAMES = {number: name for name, number in TYPES.items()}


def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="tron.proto", package="protocol", syntax="proto3")
    for name, shape in _SHAPES.items():
        message = file.message_type.add(name=name)
        for field in shape.split(","):
            number, title, kind = field.split()
            repeated = kind.endswith("*")
            kind = kind.rstrip("*")
            added = message.field.add(name=title, number=int(number), label=3 if repeated else 1)
            added.type = _KINDS.get(kind, _MESSAGE)
            if kind not in _KINDS:
                added.type_name = f".protocol.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


_POOL = _pool()


def new(name: str, /, **values: object) -> Message:
    """Return a message by its name."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"protocol.{name}"))(**values)


def parse(name: str, raw: bytes) -> Message:
    """Return the message that bytes are.

    Raises:
        DecodeError: they are none.
    """
    message = new(name)
    message.ParseFromString(raw)
    return message


def contract(name: str, body: Message, *, kind: int | None = None) -> Message:
    """Return a contract as a transaction holds it."""
    wrapped = new("Any", type_url=f"type.googleapis.com/protocol.{name}", value=body.SerializeToString())
    return new("Contract", type=TYPES[name] if kind is None else kind, parameter=wrapped)
