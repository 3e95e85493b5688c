"""What a transaction costs: energy for code, bandwidth for bytes, and the activation of a recipient (THREATS PAY-22).

The rules are java-tron's `BandwidthProcessor` and `TransferActuator`; every price is read from the chain, since all
are voted on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from bitlinkpay.chains.tron.wire import Parameters, Resources

RESULT_BYTES: Final = 64
"""What the network counts for a transaction's result, whatever it is (`MAX_RESULT_SIZE_IN_TX`)."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Voted prices in sun.

    Attributes:
        energy: of one unit of energy that is burnt.
        byte: of one byte of bandwidth that is burnt.
        account: of a new account, beside the next.
        account_bandwidth: of the bytes of a transaction that activates an account.
    """

    energy: int
    byte: int
    account: int
    account_bandwidth: int


def prices_of(parameters: Parameters) -> Prices | None:
    """Return the prices among the chain's parameters, None if one is missing or nonsense."""
    named: Mapping[str, int] = {parameter.key: parameter.value for parameter in parameters.chain_parameter}
    keys = ("getEnergyFee", "getTransactionFee", "getCreateNewAccountFeeInSystemContract", "getCreateAccountFee")
    found = [named.get(key, -1) for key in keys]
    return Prices(*found) if min(found) >= 0 and found[0] and found[1] else None


@dataclass(frozen=True, slots=True)
class Cost:
    """What one transaction takes.

    Attributes:
        energy: units that its code used in a simulation.
        penalty: how much more the network may count for a busy contract.
        size: bytes of the signed transaction.
        activates: whether its recipient has no account yet.
    """

    energy: int
    penalty: int
    size: int
    activates: bool = False

    @property
    def energy_limit(self) -> int:
        """Return the energy to allow it: all that it uses, and a fifth more, for the state moves on."""
        return (self.energy + self.penalty) * 6 // 5

    def fee_limit(self, prices: Prices) -> int:
        """Return the limit to set: the worth of all its energy, also of what is not burnt."""
        return self.energy_limit * prices.energy

    def fee_limit_least(self, prices: Prices) -> int:
        """Return the lowest limit that is still set where an intent allows no more: with a tenth more than it uses."""
        return (self.energy + self.penalty) * 11 // 10 * prices.energy

    def burnt_most(self, prices: Prices) -> int:
        """Return the sun that it burns beside energy where its sender has nothing left that it may use for nothing."""
        return self.burnt(prices, Resources())

    def burnt(self, prices: Prices, resources: Resources) -> int:
        """Return the sun that it burns beside energy, given what its sender may use for nothing.

        Bytes are paid by staked bandwidth or by the free allowance, whichever has room for all of them.
        """
        bandwidth = self.size + RESULT_BYTES
        staked = resources.net_limit - resources.net_used
        if self.activates:
            return prices.account + (0 if staked >= bandwidth else prices.account_bandwidth)
        free = resources.free_net_limit - resources.free_net_used
        return 0 if max(staked, free) >= bandwidth else bandwidth * prices.byte

    def burnt_for_energy(self, prices: Prices, resources: Resources) -> int:
        """Return the sun that its energy is expected to burn: what its sender's own and lent energy does not cover."""
        return max(0, self.energy - (resources.energy_limit - resources.energy_used)) * prices.energy

    def after(self, resources: Resources) -> Resources:
        """Return what its sender may use for nothing once it has used its bandwidth: staked first, then free."""
        bandwidth = self.size + RESULT_BYTES
        if resources.net_limit - resources.net_used >= bandwidth:
            return replace(resources, net_used=resources.net_used + bandwidth)
        if resources.free_net_limit - resources.free_net_used >= bandwidth:
            return replace(resources, free_net_used=resources.free_net_used + bandwidth)
        return resources


def stake_for(energy: int, resources: Resources) -> int:
    """Return the sun of stake whose energy covers `energy`, by how much the whole network has staked, 0 if unknown.

    `EnergyProcessor.calculateGlobalEnergyLimit`: whole TRX count, each for an equal part of the network's limit.
    """
    if not resources.total_energy_limit or not resources.total_energy_weight:
        return 0
    return -(-energy * resources.total_energy_weight // resources.total_energy_limit) * 1_000_000
