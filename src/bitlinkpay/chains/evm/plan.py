"""What one EVM transaction of ours looks like but for its signature."""

from dataclasses import dataclass
from enum import StrEnum

from bitlinkpay.chains.outgoing import Intent


class Shape(StrEnum):
    """How the payments of an intent are made."""

    NATIVE = "native"  # one payment of native coin: the transaction's own value
    TOKEN = "token"  # noqa: S105 - one payment of a token: a call of its `transfer`
    BATCH = "batch"  # the wallet calls itself; its executor pays many
    SWEEP = "sweep"  # the wallet calls itself; its executor calls the sweeper of each deposit address
    DELEGATION = "delegation"  # the wallet delegates to its executor; the call deploys it where it is missing
    CANCEL = "cancel"  # nothing, to oneself


BATCHES = frozenset({Shape.BATCH, Shape.SWEEP})


@dataclass(frozen=True, slots=True)
class Authorization:
    """The leave of one of our accounts to run our code (EIP-7702), for the plan's chain id and no other.

    Attributes:
        account: canonical address; its own key signs.
        nonce: the account's; with any other nonce the authorization is skipped in silence.
    """

    account: str
    nonce: int


@dataclass(frozen=True, slots=True)
class EvmPlan:
    """Everything but the signatures, with the intent.

    Attributes:
        shape: how the payments are made.
        chain_id: EIP-155 id; never 0, which EIP-7702 takes on every chain.
        nonce: of the payer.
        gas_limit: most gas.
        max_fee: most wei per gas, tip included (EIP-1559).
        priority_fee: tip in wei per gas.
        item_gas: most gas that one item of a batch may use; 0 without a batch.
        authorizations: of accounts that do not run our code yet.
        deploys: whether a delegation's call deploys the executor.
    """

    shape: Shape
    chain_id: int
    nonce: int
    gas_limit: int
    max_fee: int
    priority_fee: int
    item_gas: int = 0
    authorizations: tuple[Authorization, ...] = ()
    deploys: bool = False

    @property
    def fee_max_units(self) -> int:
        """Return the most wei that the network may take."""
        return self.gas_limit * self.max_fee


def asset_id_of(intent: Intent) -> str:
    """Return the asset of an intent's first payment, "" without any; that all have the same is for `fit` to check."""
    return intent.payments[0].asset if intent.payments else ""
