"""Message bodies that are not plain text: what jetton wallets say to each other and to us (TEP-74)."""

from dataclasses import dataclass
from typing import Final

from bitlinkpay.chains.ton.cell import BadCell, Builder, Cell, Slice
from bitlinkpay.chains.ton.memo import comment, memo_of

TRANSFER: Final = 0x0F8A7EA5  # owner to own jetton wallet
INTERNAL_TRANSFER: Final = 0x178D4519  # jetton wallet to jetton wallet: the money itself
NOTIFICATION: Final = 0x7362D09C  # jetton wallet to owner: says what came
EXCESSES: Final = 0xD53276DB  # what is left of the gas, sent back
BURN: Final = 0x595F07BC
BURN_NOTIFICATION: Final = 0x7BDD97DE
BOUNCED: Final = 0xFFFFFFFF  # stands before the first 256 bits of a message that came back
OWNERSHIP_ASSIGNED: Final = 0x05138D91  # an NFT (TEP-62)

_OP_BITS = 32


@dataclass(frozen=True, slots=True)
class InternalTransfer:
    """Jettons on their way into a jetton wallet.

    Attributes:
        units: base units of the jetton.
        source: who sent them, "" where the message names nobody (minted).
        notifies: whether the recipient hears of it; a memo without notice is none that the payer sent to us.
        memo: as `memo_of` reads it from the forward payload.
    """

    units: int
    source: str
    notifies: bool
    memo: str


def op_of(body: Cell | None) -> int | None:
    """Return the first 32 bits of a body, None where it is shorter."""
    return None if body is None or body.size < _OP_BITS or body.is_library else Slice(body).uint(_OP_BITS)


def read_internal_transfer(body: Cell) -> InternalTransfer:
    """Read the body of an `INTERNAL_TRANSFER`.

    Raises:
        BadCell: it is none. What a jetton wallet has taken as one never fails here: every form of address and of
            forward payload is read, since the payer chooses them.
    """
    fields = Slice(body)
    if fields.uint(_OP_BITS) != INTERNAL_TRANSFER:
        raise BadCell("no internal transfer")
    fields.uint(64)  # query id
    units = fields.coins()
    source = fields.address()
    fields.address()  # who gets the excesses
    forwarded = fields.coins()
    return InternalTransfer(units, source, forwarded > 0, memo_of(_payload(fields)) if forwarded else "")


def _payload(fields: Slice) -> Cell | None:
    """Take a forward payload (`Either Cell ^Cell`); a sender may have left it out or broken it off."""
    if not fields.bits_left:
        return None
    if not fields.uint(1):
        return fields.rest()
    return fields.ref() if fields.refs_left else None


@dataclass(frozen=True, slots=True)
class JettonTransfer:
    """An order to our jetton wallet.

    Attributes:
        query_id: tells this one from every other of ours.
        units: base units of the jetton.
        target: the owner who shall have them, canonical.
        answer_to: who gets what is left of the gas.
        forwarded_units: nanotons that go on to `target` with the notice.
        memo: text for `target`, "" for none.
    """

    query_id: int
    units: int
    target: str
    answer_to: str
    forwarded_units: int
    memo: str

    def body(self) -> Cell:
        """Return the message body."""
        fields = Builder().uint(TRANSFER, _OP_BITS).uint(self.query_id, 64).coins(self.units)
        fields.address(self.target).address(self.answer_to).bit(0).coins(self.forwarded_units)
        return (fields.bit(1).ref(comment(self.memo)) if self.memo else fields.bit(0)).end()
