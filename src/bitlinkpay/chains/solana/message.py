"""Legacy messages and transactions as bytes. Pure.

Form: solana.com/docs/core/transactions; order of the accounts: `CompiledKeys` of solana-message. The payer stands
first, then writable signers, other signers, other writable accounts, all others, each group by the accounts' bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bitlinkpay.chains.codec.solana import to_bytes

TRANSACTION_BYTES_MAX: Final = 1232  # what fits into one packet (agave, `PACKET_DATA_SIZE`)
_SIGNATURE_BYTES = 64
_SEVEN_BITS, _MORE = 0x7F, 0x80


@dataclass(frozen=True, slots=True)
class Party:
    """An account that an instruction names."""

    address: str
    is_signer: bool = False
    is_writable: bool = False


@dataclass(frozen=True, slots=True)
class Instruction:
    """A call of one program."""

    program: str
    parties: tuple[Party, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """What is signed.

    Attributes:
        raw: its bytes.
        signers: who must sign them, in the order of the signatures; the first one pays.
        writable: accounts that it may change, for asking what a place in a block costs.
    """

    raw: bytes
    signers: tuple[str, ...]
    writable: tuple[str, ...]

    @property
    def size(self) -> int:
        """Return how long the transaction is once it is signed."""
        return len(compact(len(self.signers))) + _SIGNATURE_BYTES * len(self.signers) + len(self.raw)


def compose(payer: str, instructions: Sequence[Instruction], blockhash: str) -> Message:
    """Return the message that makes the calls in order, at the cost of `payer`."""
    signing: dict[str, bool] = {payer: True}
    writable: dict[str, bool] = {payer: True}
    for instruction in instructions:
        for party in (*instruction.parties, Party(instruction.program)):
            signing[party.address] = signing.get(party.address, False) or party.is_signer
            writable[party.address] = writable.get(party.address, False) or party.is_writable
    keys = sorted(signing, key=lambda key: (key != payer, not signing[key], not writable[key], to_bytes(key)))
    signers = tuple(key for key in keys if signing[key])
    header = bytes(
        [
            len(signers),
            sum(not writable[key] for key in signers),
            sum(not writable[key] for key in keys if not signing[key]),
        ]
    )
    places = {key: place for place, key in enumerate(keys)}
    raw = header + compact(len(keys)) + b"".join(map(to_bytes, keys)) + to_bytes(blockhash)
    raw += compact(len(instructions)) + b"".join(_encode(instruction, places) for instruction in instructions)
    return Message(raw, signers, tuple(key for key in keys if writable[key]))


def _encode(instruction: Instruction, places: dict[str, int]) -> bytes:
    accounts = bytes(places[party.address] for party in instruction.parties)
    head = bytes([places[instruction.program]]) + compact(len(accounts)) + accounts
    return head + compact(len(instruction.data)) + instruction.data


def serialize(message: Message, signatures: Sequence[bytes]) -> bytes:
    """Return the transaction's bytes; one signature a signer, in their order."""
    assert len(signatures) == len(message.signers), "a signature for each signer"
    assert all(len(signature) == _SIGNATURE_BYTES for signature in signatures), "a signature has 64 bytes"
    return compact(len(signatures)) + b"".join(signatures) + message.raw


def compact(number: int) -> bytes:
    """Return a `compact-u16`: seven bits a byte, the lowest first, the top bit set where another one follows."""
    assert 0 <= number < 1 << 16, f"no compact-u16: {number}"
    parts = bytearray()
    while number > _SEVEN_BITS:
        parts.append(number & _SEVEN_BITS | _MORE)
        number >>= 7
    return bytes([*parts, number])
