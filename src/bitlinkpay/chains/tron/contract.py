"""What a transaction asks for, out of the very bytes that its id is the hash of, never out of a node's rendering.

A sender chooses these bytes, so nothing in them may stop the reading of a block: what java-tron could not have carried
out either is a contract without content, which moves nothing.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from bitlinkpay.chains.codec.tron import from_bytes
from bitlinkpay.chains.tron.kinds import Kind
from bitlinkpay.chains.tron.proof import is_address
from bitlinkpay.chains.tron.protobuf import Message, NotProtobuf
from bitlinkpay.chains.tron.wire import Malformed

_CONTRACT_FIELD = 11


_OWNER_FIELD: Final[dict[int, int]] = {
    Kind.TRANSFER_ASSET: 2,
    Kind.ACCOUNT_UPDATE: 2,
    Kind.SET_ACCOUNT_ID: 2,
}  # the first elsewhere
_NAMES: Final[dict[int, bytes]] = {
    Kind.TRANSFER: b"protocol.TransferContract",
    Kind.TRIGGER_CONTRACT: b"protocol.TriggerSmartContract",
    Kind.FREEZE_V2: b"protocol.FreezeBalanceV2Contract",
}


@dataclass(frozen=True, slots=True)
class Payment:
    """Sun that a transaction itself carries from one account to another."""

    source: str
    target: str
    units: int


@dataclass(frozen=True, slots=True)
class Contract:
    """The one contract of a transaction.

    Attributes:
        kind: its type, also one that `Kind` does not know.
        type_url: the message type that its sender named.
        value: the message's bytes.
    """

    kind: int
    type_url: bytes
    value: bytes

    def owner(self) -> str:
        """Return the canonical address of who sent it, "" where there is none to read."""
        message = self._message(b"")
        return "" if message is None else address(message.data(_OWNER_FIELD.get(self.kind, 1)))

    def payment(self) -> Payment | None:
        """Return the sun that a `TransferContract` moves, or a `TriggerSmartContract` hands to its contract."""
        if self.kind not in {Kind.TRANSFER, Kind.TRIGGER_CONTRACT}:
            return None
        message = self._message(_NAMES[self.kind])
        if message is None:
            return None
        source, target, units = address(message.data(1)), address(message.data(2)), message.number(3)
        return Payment(source, target, units) if source and target and units > 0 else None

    def frozen(self) -> int:
        """Return the sun that a `FreezeBalanceV2Contract` takes out of its owner's balance."""
        message = self._message(_NAMES[Kind.FREEZE_V2]) if self.kind == Kind.FREEZE_V2 else None
        return 0 if message is None else message.number(2)

    def _message(self, name: bytes) -> Message | None:
        """Return the contract's message if it is of the type `name`, as java-tron checks it; of every type for b""."""
        if name and self.type_url.rpartition(b"/")[2] != name:
            return None
        try:
            return Message(self.value)
        except NotProtobuf:
            return None


def read_contract(signed: bytes) -> Contract:
    """Return the contract of a transaction's signed bytes.

    Raises:
        Malformed: no transaction of exactly one contract: no block can hold it.
    """
    try:
        contracts = Message(signed).all(_CONTRACT_FIELD)
        if len(contracts) != 1:
            raise Malformed(f"a node sent a transaction of {len(contracts)} contracts")
        contract = Message(contracts[0])
        parameter = contract.message(2)
    except NotProtobuf as error:
        raise Malformed(f"a node sent a transaction that is none: {error}") from None
    return Contract(contract.number(1), parameter.data(1), parameter.data(2))


@lru_cache(maxsize=16_384)
def address(raw: bytes) -> str:
    """Return the canonical form of 21 bytes, "" where they are no account's address."""
    return from_bytes(raw) if is_address(raw) else ""
