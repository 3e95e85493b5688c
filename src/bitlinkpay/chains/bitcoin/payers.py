"""Whose money a transaction spent: the scripts of the outputs behind its inputs, proven where a node can show them.

A transaction names the outputs that it spends by transaction id and index, and a transaction id is the hash of a whole
transaction. So an endpoint with a transaction index (`txindex=1`) proves every script by the earlier transactions
themselves: one call for the transaction, one for each input, in two HTTP requests. A bitcoind without an index (version
25 or later) can only say them (`getrawtransaction` with verbosity 2 and the block); then the quorum has to agree.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import wallycore

from bitlinkpay.chains.base import GapError
from bitlinkpay.chains.bitcoin.node import TEXT, BitcoinNode, decode, unhex
from bitlinkpay.chains.bitcoin.proof import Unproven
from bitlinkpay.chains.bitcoin.script import address_of, key_hash_script
from bitlinkpay.chains.bitcoin.wire import HASH_BYTES, Malformed, Transaction, outpoint, read_transaction
from bitlinkpay.chains.codec.bitcoin import Prefixes, from_key_hash
from bitlinkpay.chains.outputs import Place
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.rpc import Call, CallRefused

_WITH_PREVOUTS: Final = 2
_KEY_SIZES: Final = frozenset({33, 65})
_CHECKSIG, _CHECKMULTISIG = b"\xac", b"\xae"
_OP_1, _OP_16 = 0x51, 0x60


class _Script(msgspec.Struct, frozen=True):
    hex: str


class _Prevout(msgspec.Struct, frozen=True, rename="camel"):
    script_pub_key: _Script


class _Input(msgspec.Struct, frozen=True):
    txid: str
    vout: int
    prevout: _Prevout


class _WithInputs(msgspec.Struct, frozen=True):
    vin: list[_Input]


PREVOUTS: Final = msgspec.json.Decoder(_WithInputs)


class PayerReader:
    """Names the payers of transactions of one network."""

    def __init__(self, quorum: Quorum[BitcoinNode], prefixes: Prefixes) -> None:
        self._quorum = quorum
        self._prefixes = prefixes

    async def payers(self, place: Place) -> tuple[str, ...]:
        """Return every payer's address once, sorted, "" for a script without one; none for new coins.

        Raises:
            GapError, ChainError: too few endpoints can show it.
        """
        return await self._quorum.agree(lambda node: self._ask(node, place))

    async def _ask(self, node: BitcoinNode, place: Place) -> tuple[str, ...]:
        transaction = await _transaction(node, place)
        if transaction.is_coinbase:
            return ()
        try:
            scripts = await _proven_scripts(node, transaction.spends)
        except GapError:
            scripts = await _told_scripts(node, place, transaction.spends)
        return tuple(sorted({name for script in scripts for name in _names(script, self._prefixes)}))


async def _transaction(node: BitcoinNode, place: Place) -> Transaction:
    """Return a transaction of a block, proven by its id; btcd takes no block, and needs none with an index."""
    for params in ((place.txid, 0, place.block_hash), (place.txid, 0)):
        call = Call("getrawtransaction", params)
        (answer,) = await node.answers([call])
        if answer.error is None:
            return _proven(decode(answer, call, TEXT), place.txid)
    raise GapError(f"{node.label} cannot show transaction {place.txid}: it needs txindex=1")


def _proven(text: str, txid: str) -> Transaction:
    transaction = read_transaction(unhex(text))
    if transaction.txid != txid:
        raise Unproven(f"a node sent transaction {transaction.txid} for {txid}")
    return transaction


async def _proven_scripts(node: BitcoinNode, spends: Sequence[bytes]) -> list[bytes]:
    """Return the scripts behind outpoints out of the transactions that made them.

    Raises:
        GapError: the endpoint keeps no index of transactions.
    """
    txids = [spent[:HASH_BYTES][::-1].hex() for spent in spends]
    calls = [Call("getrawtransaction", (txid, 0)) for txid in dict.fromkeys(txids)]
    made: dict[str, Transaction] = {}
    for call, answer in zip(calls, await node.answers(calls), strict=True):
        if answer.error is not None:
            raise GapError(f"{node.label} keeps no index of transactions")
        txid = str(call.params[0])
        made[txid] = _proven(decode(answer, call, TEXT), txid)
    return [_script_at(made[txid], spent) for txid, spent in zip(txids, spends, strict=True)]


def _script_at(made: Transaction, spent: bytes) -> bytes:
    vout = int.from_bytes(spent[HASH_BYTES:], "little")
    if vout >= len(made.outputs):
        raise Malformed(f"transaction {made.txid} has no output {vout}")
    return made.outputs[vout].script


async def _told_scripts(node: BitcoinNode, place: Place, spends: Sequence[bytes]) -> list[bytes]:
    """Return the scripts behind outpoints as a node without an index tells them, in the order of the inputs."""
    call = Call("getrawtransaction", (place.txid, _WITH_PREVOUTS, place.block_hash))
    try:
        (told,) = await node.ask([call], PREVOUTS)
    except (CallRefused, Malformed) as error:
        text = f"{node.label} cannot tell who paid: it needs txindex=1, or to be bitcoind 25 or later ({error})"
        raise GapError(text) from error
    if [outpoint(spent.txid, spent.vout) for spent in told.vin] != list(spends):
        raise Unproven(f"{node.label} tells other inputs of {place.txid} than it has")
    return [unhex(spent.prevout.script_pub_key.hex) for spent in told.vin]


def _names(script: bytes, prefixes: Prefixes) -> Iterator[str]:
    """Yield the address of a script; for bare keys the addresses by which lists know them; "" if nothing names it."""
    if address := address_of(script, prefixes):
        yield address
        return
    keys = list(_bare_keys(script))
    for key in keys:
        key_hash = bytes(wallycore.hash160(key))
        yield address_of(key_hash_script(key_hash), prefixes)
        if len(key) == min(_KEY_SIZES):
            yield from_key_hash(key_hash, prefixes)
    if not keys:
        yield ""


def _bare_keys(script: bytes) -> Iterator[bytes]:
    """Yield the keys of `<key> CHECKSIG` and `m <key>… n CHECKMULTISIG`, nothing of any other script."""
    if script.endswith(_CHECKSIG) and script[0] in _KEY_SIZES and len(script) == script[0] + 2:
        yield script[1:-1]
    elif script.endswith(_CHECKMULTISIG) and _OP_1 <= script[0] <= _OP_16:
        keys, rest = [], script[1:-2]
        while rest and rest[0] in _KEY_SIZES:
            keys.append(rest[1 : rest[0] + 1])
            rest = rest[rest[0] + 1 :]
        if not rest:
            yield from keys
