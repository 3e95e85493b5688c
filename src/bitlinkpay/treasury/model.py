"""Moves of our own money between our own wallets: their values and the one table of their states."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from bitlinkpay.chains.outgoing import KeyRole, Purpose, Wallet
from bitlinkpay.core.fsm import Machine


class MoveKind(StrEnum):
    """Where the money goes."""

    SWEEP = "sweep"  # from an order's address to the hot wallet
    COLD = "cold"  # from the hot wallet to the cold address that the signer has pinned
    CONSOLIDATION = "consolidation"  # nowhere: many outputs of the hot wallet become one of it


class Method(StrEnum):
    """How a network carries it."""

    TOGETHER = "together"  # the hot wallet pays the fee of one transaction for many addresses, which consent to it
    ALONE = "alone"  # the source pays the fee of a transaction of its own
    FUELLED = "fuelled"  # the source gets native coin first, then as above
    LENT = "lent"  # the hot wallet lends the source what its transaction would burn (TRON), then as `ALONE`


class MoveState(StrEnum):
    """How far a move is."""

    FUELLING = "fuelling"  # native coin is on its way to the source
    LENDING = "lending"  # stake is being lent to the source
    MOVING = "moving"  # the money itself is queued or on its way
    DONE = "done"
    FAILED = "failed"  # the money is where it was; it is planned anew


class MoveEvent(StrEnum):
    """What happened to a move."""

    FUELLED = "fuelled"
    OPENED = "opened"  # the source has the coin without which nothing can be lent to it
    LENT = "lent"
    ARRIVED = "arrived"
    FAILED = "failed"


_S, _E = MoveState, MoveEvent

MOVE: Final = Machine[MoveState, MoveEvent](
    "move",
    MappingProxyType(
        {
            (_S.FUELLING, _E.FUELLED): _S.MOVING,
            (_S.FUELLING, _E.OPENED): _S.LENDING,
            (_S.FUELLING, _E.FAILED): _S.FAILED,
            (_S.LENDING, _E.LENT): _S.MOVING,
            (_S.LENDING, _E.FAILED): _S.FAILED,
            (_S.MOVING, _E.ARRIVED): _S.DONE,
            (_S.MOVING, _E.FAILED): _S.FAILED,
        }
    ),
)


@dataclass(frozen=True, slots=True)
class Move:
    """One move of one asset from one wallet of ours.

    Attributes:
        move_id: the owner's id of the payments that carry it: one of money, and before it one of gas or of stake lent,
            or one of each.
        kind: where it goes.
        method: how.
        network: id of the network.
        asset: id of the asset.
        source: whose money moves.
        payer: who pays the network's fee for it.
        target: canonical address.
        units: how much.
        fee_max_units: native units that the payment itself may cost at most, or its share of a batch.
        gas_units: native units that the source gets first, 0 unless `FUELLED` or `LENT`.
        stake_units: stake that the source is lent, 0 unless `LENT`.
        lend_fee_units: native units that lending it may cost.
        covered_units: what of `fee_max_units` lent energy pays, or the money itself (Bitcoin): the payer need not hold
            it.
        state: see `MOVE`.
    """

    move_id: UUID
    kind: MoveKind
    method: Method
    network: str
    asset: str
    source: Wallet
    payer: Wallet
    target: str
    units: int
    fee_max_units: int
    gas_units: int = 0
    state: MoveState = MoveState.MOVING
    stake_units: int = 0
    lend_fee_units: int = 0
    covered_units: int = 0

    def __post_init__(self) -> None:
        is_lent = self.method is Method.LENT
        assert is_lent or (self.method is Method.FUELLED) == (self.gas_units > 0), (
            "gas for a move that needs none, or none for one"
        )
        assert is_lent == (self.stake_units > 0), "stake for a move that needs none, or none for one"
        assert 0 <= self.covered_units <= max(0, self.fee_max_units), "more is covered than may be taken"
        assert self.kind is not MoveKind.SWEEP or self.source.role is KeyRole.DEPOSIT, "a sweep of a wallet that pays"
        assert self.kind is not MoveKind.CONSOLIDATION or self.source.address == self.target, "outputs joined elsewhere"


@dataclass(frozen=True, slots=True)
class Sweepable:
    """What an order's address holds that may leave it: final, screened, and nobody's question any more.

    Attributes:
        source: the address.
        units: of the asset asked for.
        native_units: of the network's own coin, likewise: fees are paid of it.
        tops: how often it got gas within a day.
    """

    source: Wallet
    units: int
    native_units: int
    tops: int


@dataclass(frozen=True, slots=True)
class Levels:
    """How much of an asset belongs into the hot wallet, in base units: floor <= target <= ceiling."""

    floor_units: int
    target_units: int
    ceiling_units: int

    def surplus(self, free_units: int) -> int:
        """Return what is too much of what no payment waits for: down to the target, once it is above the ceiling."""
        return free_units - self.target_units if free_units > self.ceiling_units else 0


@dataclass(frozen=True, slots=True)
class JoinTerms:
    """When outputs of a hot wallet are joined.

    Attributes:
        low_rate: native units per 1,000 vB: while the network asks for more, nothing is joined; 0 for never.
        least: fewer outputs are left as they are.
        keep: so many of the largest outputs are left free for payments.
    """

    low_rate: int
    least: int
    keep: int


@dataclass(frozen=True, slots=True)
class GasLimits:
    """How much native coin deposit addresses may get on a network within a day, and how often one of them (SWP-05)."""

    day_units: int
    tops_per_address: int


@dataclass(frozen=True, slots=True)
class Permit:
    """What the signer's own policy lets the treasury do.

    Attributes:
        purposes: what it signs for.
        cold: the addresses for surplus that it has pinned, by asset: it sends it nowhere else.
    """

    purposes: frozenset[Purpose]
    cold: Mapping[str, str]
