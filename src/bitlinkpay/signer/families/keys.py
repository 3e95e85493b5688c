"""The door to private keys that a family's signing gets."""

from typing import Protocol

from bitlinkpay.chains.outgoing import Wallet


class Keys(Protocol):
    """Private keys of one network's family, by wallet."""

    def private_key(self, wallet: Wallet) -> bytes:
        """Return the 32-byte private key of a wallet of ours; let it go as soon as it has signed.

        Raises:
            ForeignWallet: the key at the wallet's place does not give the wallet's address.
        """
        ...
