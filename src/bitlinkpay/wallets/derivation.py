"""From a key ring and an index to the address it stands for; pure."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from bitlinkpay.chains.address import deposit_address
from bitlinkpay.core.assets import Family
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.public import DepositNode
from bitlinkpay.wallets.tags import tag_of


class Derivation:
    """Deposit addresses of one key ring. The parent nodes are read once, so that an address costs one child key."""

    def __init__(self, ring: KeyRing) -> None:
        self._wallet = ring.ton_wallet
        self._tag_secret = ring.tag_secret()
        self._address: Mapping[tuple[Family, bool], Callable[[int], str]] = MappingProxyType(
            {
                (Family.EVM, False): partial(_child, DepositNode(ring.evm), Family.EVM, False),
                (Family.TRON, False): partial(_child, DepositNode(ring.tron), Family.TRON, False),
                (Family.BITCOIN, False): partial(_child, DepositNode(ring.bitcoin), Family.BITCOIN, False),
                (Family.BITCOIN, True): partial(_child, DepositNode(ring.bitcoin_testnet), Family.BITCOIN, True),
            }
        )

    def address(self, family: Family, index: int, *, testnet: bool) -> str:
        """Return the canonical address of an index of an EVM, TRON or Bitcoin family."""
        return self._address[family, testnet and family is Family.BITCOIN](index)

    def place(self, number: int) -> tuple[str, str]:
        """Return our TON wallet and the tag of a number."""
        return self._wallet, tag_of(self._tag_secret, number)


def _child(node: DepositNode, family: Family, testnet: bool, index: int) -> str:  # noqa: FBT001 - bound by position above
    return deposit_address(family, testnet, node.child(index))
