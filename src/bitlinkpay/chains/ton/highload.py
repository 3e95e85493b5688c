"""The platform's one TON wallet: a highload wallet v3, and the message by which it pays up to 254 times at once.

The contract is `highload-wallet-v3`, tag v3.00 of github.com/ton-blockchain/highload-wallet-contract-v3 (MIT licence,
audited); its compiled code is below as published there. The address of a contract is the hash of its first state
(docs.ton.org, "State init"). Subwallet and timeout are part of that state and therefore fixed for ever.

A request is an external message: a signature over a cell with subwallet, the message to send, query id, time of making
and timeout. The wallet takes a query id once within its timeout (error 36 the second time), and takes no request made
in the future or longer ago than the timeout (35). To pay many times the message goes to the wallet itself and carries
the list of actions; the wallet sends what fits its balance and skips what does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bitlinkpay.chains.ton.boc import parse_boc
from bitlinkpay.chains.ton.cell import Builder, Cell

SUBWALLET_ID: Final = 0x10AD  # what the contract's authors recommend, apart from ordinary wallets of the same key
TIMEOUT_S: Final = 3600  # life of one request

CODE_BOC = bytes.fromhex(
    "b5ee9c7201021001000228000114ff00f4a413f4bcf2c80b01020120020d02014803040078d020d74bc00101c060b0915be1"
    "01d0d3030171b0915be0fa4030f828c705b39130e0d31f018210ae42e5a4ba9d8040d721d74cf82a01ed55fb04e030020120"
    "050a02027306070011adce76a2686b85ffc00201200809001aabb6ed44d0810122d721d70b3f0018aa3bed44d08307d721d7"
    "0b1f0201200b0c001bb9a6eed44d0810162d721d70b15800e5b8bf2eda2edfb21ab09028409b0ed44d0810120d721f404f40"
    "4d33fd315d1058e1bf82325a15210b99f326df82305aa0015a112b992306dde923033e2923033e25230800df40f6fa19ed02"
    "1d721d70a00955f037fdb31e09130e259800df40f6fa19cd001d721d70a00937fdb31e0915be270801f6f2d48308d718d121"
    "f900ed44d0d3ffd31ff404f404d33fd315d1f82321a15220b98e12336df82324aa00a112b9926d32de58f82301de541675f9"
    "10f2a106d0d31fd4d307d30cd309d33fd315d15168baf2a2515abaf2a6f8232aa15250bcf2a304f823bbf2a35304800df40f"
    "6fa199d024d721d70a00f2649130e20e01fe5309800df40f6fa18e13d05004d718d20001f264c858cf16cf8301cf168e1030"
    "c824cf40cf8384095005a1a514cf40e2f800c94039800df41704c8cbff13cb1ff40012f40012cb3f12cb15c9ed54f80f21d0"
    "d30001f265d3020171b0925f03e0fa4001d70b01c000f2a5fa4031fa0031f401fa0031fa00318060d721d300010f0020f265"
    "d2000193d431d19130e272b1fb00"
)
CODE: Final = parse_boc(CODE_BOC)

BITS_OF_QUERY: Final = 1023  # query ids of one shift: the contract marks them in the bits of one cell
QUERIES: Final = 8192 * BITS_OF_QUERY - 1  # how many there are; the very last one is never used
SELF_UNITS: Final = 50_000_000  # nanotons that a list of actions travels with: they stay in the wallet

_KEY_BYTES = 32
_PAY_FEES_APART, _SKIP_WHAT_FAILS = 1, 2
_INTERNAL_TRANSFER = 0xAE42E5A4
_SEND_ACTION = 0x0EC3C86D


def state_init(public_key: bytes) -> Cell:
    """Return the wallet's first state for an Ed25519 public key: code and data, nothing else."""
    assert len(public_key) == _KEY_BYTES
    data = Builder().bytes(public_key).uint(SUBWALLET_ID, 32).uint(0, 2 + 64).uint(TIMEOUT_S, 22).end()
    return Builder().uint(0b00110, 5).ref(CODE).ref(data).end()


def wallet_address(public_key: bytes) -> str:
    """Return the raw address (`0:` and 64 hex digits, base workchain) of the wallet of an Ed25519 public key."""
    return "0:" + state_init(public_key).hash.hex()


def query_id(number: int) -> int:
    """Return the query id of a running number: every id has its turn once before any comes again.

    8,380,415 requests within twice the timeout would be needed for one to come again too early; each pays 100 times.
    """
    shift, bit = divmod(number % QUERIES, BITS_OF_QUERY)
    return shift << 10 | bit


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One internal message that the wallet sends.

    Attributes:
        target: canonical address.
        units: nanotons that travel with it; the fee for its way is paid apart.
        bounce: whether it comes back when nobody takes it.
        body: what it says, None for nothing.
    """

    target: str
    units: int
    bounce: bool
    body: Cell | None = None

    def cell(self) -> Cell:
        """Return the message as the wallet sends it (`MessageRelaxed`): source, fees and times are filled in later."""
        fields = Builder().bit(0).bit(1).bit(self.bounce).bit(0).address("").address(self.target).coins(self.units)
        fields.bit(0).uint(0, 4 + 4 + 64 + 32).bit(0)
        return (fields.bit(1).ref(self.body) if self.body else fields.bit(0)).end()


def batch(wallet: str, messages: Sequence[Outgoing], query: int) -> Outgoing:
    """Return the message to the wallet itself that makes it send all the others, in their order."""
    actions = Builder().end()
    for message in messages:
        mode = _PAY_FEES_APART | _SKIP_WHAT_FAILS
        actions = Builder().uint(_SEND_ACTION, 32).uint(mode, 8).ref(actions).ref(message.cell()).end()
    body = Builder().uint(_INTERNAL_TRANSFER, 32).uint(query, 64).ref(actions).end()
    return Outgoing(wallet, SELF_UNITS, bounce=False, body=body)


def request(message: Outgoing, query: int, created_at: int) -> Cell:
    """Return what is to be signed: the wallet shall send this message, once."""
    fields = Builder().uint(SUBWALLET_ID, 32).uint(_PAY_FEES_APART, 8).uint(query, 23)
    return fields.uint(created_at, 64).uint(TIMEOUT_S, 22).ref(message.cell()).end()


def external(wallet: str, signed: Cell, signature: bytes, init: Cell | None = None) -> Cell:
    """Return the external message that brings a signed request, with the first state where the wallet has none.

    Without that state it is in the normal form by whose hash it is looked up, whatever its form on the way (TEP-467).
    """
    head = Builder().uint(0b10, 2).address("").address(wallet).coins(0)
    head = head.bit(0) if init is None else head.bit(1).bit(1).ref(init)
    return head.bit(1).ref(Builder().bytes(signature).ref(signed).end()).end()
