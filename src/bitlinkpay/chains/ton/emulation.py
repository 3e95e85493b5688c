"""What would follow from a message that somebody's wallet sent now: an endpoint executes it, and nothing of it stays.

The form is that of TON Center's Emulation API v1 (docs.ton.org/api/emulate), which stands beside API v3. It composes
the wallet's request itself and takes its signature as right, for the wallets that people use.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from bitlinkpay.chains.ton.boc import parse_boc, serialize_boc
from bitlinkpay.chains.ton.cell import Cell
from bitlinkpay.chains.ton.highload import Outgoing
from bitlinkpay.chains.ton.node import TonNode
from bitlinkpay.chains.ton.wire import (
    Malformed,
    Natural,
    RawDescription,
    RawMessage,
    canonical_address,
    canonical_hash,
    decoder_of,
)

WALLETS: Final = frozenset(
    {
        "thBBpYp5gLlG6PueGY48kE0keZ/6NldOpCUcQaVm9YE=",  # v3r1
        "hNr6RJ+Ypph3ibojI1gHK8D3bcRSQAKl0JGLmnXS1Zk=",  # v3r2
        "ZN1UgFUixb6KnbWc6gEFzPDQh4bKeb64y3nogKjXMi0=",  # v4r1
        "/rX/aCDi/w2Ug+fg1iyBfYRniftK5YDIeIZtlZ2r1cA=",  # v4r2
        "IINLe3KxEhR+Gy+0V7hOdNGjDwT3N9T2KmaOlVLSty8=",  # v5r1
    }
)
"""Hashes of the code of the wallets in whose name the API composes a request (docs.ton.org, "Wallet contracts")."""


class _Sent(msgspec.Struct, frozen=True):
    address: str
    amount: str
    payload: str


class _Request(msgspec.Struct, frozen=True, rename={"source": "from"}):
    source: str
    messages: list[_Sent]
    include_code_data: bool = True


class _RawState(msgspec.Struct, frozen=True):
    data_hash: str | None = None


class RawEmulated(msgspec.Struct, frozen=True):
    """A transaction that would be."""

    account: str
    description: RawDescription
    in_msg: RawMessage | None = None
    out_msgs: list[RawMessage] = []
    prev_trans_lt: Natural | None = None
    account_state_after: _RawState | None = None


class _RawTrace(msgspec.Struct, frozen=True):
    transactions: dict[str, RawEmulated]
    data_cells: dict[str, str] = {}
    is_incomplete: bool = False


_TRACE: Final = decoder_of(_RawTrace)


@dataclass(frozen=True, slots=True)
class Emulated:
    """What would follow: transactions by the message that each takes, and contracts' data after them by its hash."""

    root: RawEmulated
    taken: Mapping[str, RawEmulated]
    cells: Mapping[str, str]

    def next(self, message: RawMessage) -> RawEmulated:
        """Return the transaction that takes a message."""
        taken = self.taken.get(canonical_hash(message.hash))
        if taken is None:
            raise Malformed("an emulation that leaves a message on its way")
        return taken

    def data_after(self, transaction: RawEmulated) -> Cell | None:
        """Return the contract's data after a transaction, None where the endpoint does not show it.

        Raises:
            Malformed: it shows something else.
        """
        state = transaction.account_state_after
        text = self.cells.get(state.data_hash) if state is not None and state.data_hash else None
        if state is None or text is None:
            return None
        try:
            data = parse_boc(b64decode(text, validate=True))
        except ValueError:
            raise Malformed("a contract's data that is no cell") from None
        if b64encode(data.hash).decode() != canonical_hash(state.data_hash):
            raise Malformed("a contract's data that does not have its hash")
        return data


async def emulate(node: TonNode, source: str, message: Outgoing) -> Emulated:
    """Let a wallet send one message, without consequences.

    Raises:
        CannotTry: the endpoint does not emulate.
        ChainError: it does not do it for this wallet, or it gives up before the end.
    """
    assert message.body is not None, "a message that says nothing"
    payload = b64encode(serialize_boc(message.body)).decode()
    asked = _Request(source, [_Sent(message.target, str(message.units), payload)])
    trace = await node.emulate("/emulateTonConnect", asked, _TRACE)
    taken = {canonical_hash(tx.in_msg.hash): tx for tx in trace.transactions.values() if tx.in_msg is not None}
    roots = [tx for tx in taken.values() if tx.in_msg is not None and not tx.in_msg.source]
    if trace.is_incomplete or len(roots) != 1 or canonical_address(roots[0].account) != source:
        raise Malformed(f"{node.label} does not show all that would follow from a message of {source}")
    return Emulated(roots[0], taken, trace.data_cells)
