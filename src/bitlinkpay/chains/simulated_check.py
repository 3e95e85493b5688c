"""What a simulated node checks before it takes a transaction."""

import msgspec
import wallycore
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bitlinkpay.chains.address import deposit_address
from bitlinkpay.chains.simulated_plan import ED25519, SimulatedTransaction, Witness, digest, encode, parties
from bitlinkpay.core.assets import Family, Network


class BadTransaction(Exception):
    """Bytes that a simulated node would not relay; the text says why."""


_TRANSACTION = msgspec.json.Decoder(SimulatedTransaction)


def decode(network: Network, raw: bytes) -> SimulatedTransaction:
    """Read broadcast bytes and check every key and signature, as a node would.

    A key of TON is not compared with its address, which follows from the wallet's code too.

    Raises:
        BadTransaction: not a transaction, or a wallet has not signed it.
    """
    try:
        found = _TRANSACTION.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, AssertionError) as error:
        raise BadTransaction(f"not a simulated transaction: {error}") from None
    if encode(found) != raw:
        raise BadTransaction("not in canonical form")
    if [witness.address for witness in found.witnesses] != [wallet.address for wallet in parties(found.intent)]:
        raise BadTransaction("not signed by exactly the wallets whose money moves")
    message = digest(found.intent, found.plan)
    for witness in found.witnesses:
        if not _has_signed(network, witness, message):
            raise BadTransaction(f"the signature of {witness.address} is wrong")
    return found


def _has_signed(network: Network, witness: Witness, message: bytes) -> bool:
    try:
        if network.family in ED25519:
            Ed25519PublicKey.from_public_bytes(witness.key).verify(witness.signature, message)
        else:
            wallycore.ec_sig_verify(witness.key, message, wallycore.EC_FLAG_ECDSA, witness.signature)
        return network.family is Family.TON or witness.address == _address(network, witness.key)
    except (InvalidSignature, ValueError):
        return False


def _address(network: Network, key: bytes) -> str:
    return deposit_address(network.family, network.testnet, key)
