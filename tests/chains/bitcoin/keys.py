"""Keys of payers in tests, one for each way to lock money, signed with wallycore; the nodes judge the result."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import wallycore
from tests.chains.bitcoin.serialize import Tx, TxOut, sized

_ALL = wallycore.WALLY_SIGHASH_ALL


class Lock(StrEnum):
    """How an output is locked."""

    P2PK = "p2pk"
    P2PKH = "p2pkh"
    MULTISIG = "bare multisig"
    P2SH_P2WPKH = "p2sh-p2wpkh"
    P2WPKH = "p2wpkh"
    P2WSH = "p2wsh"
    P2TR = "p2tr"


@dataclass(frozen=True)
class TestKey:
    """One private key."""

    __test__ = False
    secret: bytes

    @classmethod
    def of(cls, name: str) -> "TestKey":
        return cls(hashlib.sha256(b"bitlinkpay test key " + name.encode()).digest())

    @property
    def public(self) -> bytes:
        return bytes(wallycore.ec_public_key_from_private_key(self.secret))

    @property
    def key_hash(self) -> bytes:
        return bytes(wallycore.hash160(self.public))

    @property
    def _tweaked(self) -> bytes:
        return bytes(wallycore.ec_private_key_bip341_tweak(self.secret, None, 0))

    def witness_script(self) -> bytes:
        """Return 1-of-1 multisig, which stands in a P2WSH and, bare, in an output."""
        return b"\x51" + sized(self.public) + b"\x51\xae"

    def script(self, lock: Lock = Lock.P2WPKH) -> bytes:
        taproot = bytes(wallycore.ec_public_key_from_private_key(self._tweaked))[1:]
        return {
            Lock.P2PK: sized(self.public) + b"\xac",
            Lock.P2PKH: b"\x76\xa9\x14" + self.key_hash + b"\x88\xac",
            Lock.MULTISIG: self.witness_script(),
            Lock.P2SH_P2WPKH: b"\xa9\x14" + bytes(wallycore.hash160(b"\x00\x14" + self.key_hash)) + b"\x87",
            Lock.P2WPKH: b"\x00\x14" + self.key_hash,
            Lock.P2WSH: b"\x00\x20" + hashlib.sha256(self.witness_script()).digest(),
            Lock.P2TR: b"\x51\x20" + taproot,
        }[lock]

    def sign(self, tx: Tx, index: int, spent: Sequence[TxOut], lock: Lock) -> Tx:
        """Sign one input that spends `spent[index]`, an output of this key."""
        script, witness = self._unlock(tx, index, spent, lock)
        signed = replace(tx.inputs[index], script=script, witness=witness)
        return replace(tx, inputs=(*tx.inputs[:index], signed, *tx.inputs[index + 1 :]))

    def _unlock(self, tx: Tx, index: int, spent: Sequence[TxOut], lock: Lock) -> tuple[bytes, tuple[bytes, ...]]:
        is_old = lock in {Lock.P2PK, Lock.P2PKH, Lock.MULTISIG}
        plain = Lock.P2PKH if lock in {Lock.P2SH_P2WPKH, Lock.P2WPKH} else lock
        code = self.witness_script() if lock is Lock.P2WSH else self.script(plain)
        if lock is Lock.P2TR:
            return b"", (self._schnorr(tx, index, spent),)
        signature = self._ecdsa(tx, index, code, 0 if is_old else spent[index].units)
        scripts = {
            Lock.P2PK: sized(signature),
            Lock.P2PKH: sized(signature) + sized(self.public),
            Lock.MULTISIG: b"\0" + sized(signature),
            Lock.P2SH_P2WPKH: sized(self.script(Lock.P2WPKH)),
        }
        witness = (b"", signature, code) if lock is Lock.P2WSH else (signature, self.public)
        return scripts.get(lock, b""), () if is_old else witness

    def _ecdsa(self, tx: Tx, index: int, code: bytes, units: int) -> bytes:
        """Return a signature over all of the transaction; by BIP-143 where there are units, else the old way."""
        parsed = wallycore.tx_from_bytes(tx.plain(), 0)
        flags = wallycore.WALLY_TX_FLAG_USE_WITNESS if units else 0
        digest = wallycore.tx_get_btc_signature_hash(parsed, index, code, units, _ALL, flags)
        flags = wallycore.EC_FLAG_ECDSA | wallycore.EC_FLAG_GRIND_R
        compact = wallycore.ec_sig_from_bytes(self.secret, digest, flags)
        return bytes(wallycore.ec_sig_to_der(compact)) + bytes((_ALL,))

    def _schnorr(self, tx: Tx, index: int, spent: Sequence[TxOut]) -> bytes:
        parsed = wallycore.tx_from_bytes(tx.plain(), 0)
        scripts = wallycore.map_init(len(spent), None)
        for i, output in enumerate(spent):
            wallycore.map_add_integer(scripts, i, output.script)
        values = [output.units for output in spent]
        digest = wallycore.tx_get_btc_taproot_signature_hash(
            parsed, index, scripts, values, None, 0, 0xFFFFFFFF, None, wallycore.WALLY_SIGHASH_DEFAULT, 0
        )
        return bytes(wallycore.ec_sig_from_bytes(self._tweaked, digest, wallycore.EC_FLAG_SCHNORR))
