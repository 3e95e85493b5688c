"""A signer's policy as values: what is not named in it is refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from bitlinkpay.chains.outgoing import Purpose
from bitlinkpay.core.mode import Mode
from bitlinkpay.signer.audit.events import ColdList

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
LONGEST_LIFE: Final = DAY
"""An intent or an approval that claims to live longer is refused: the signer remembers that long."""
COLD_DELAY: Final = timedelta(hours=48)
COLD_OPERATORS: Final = 2


@dataclass(frozen=True, slots=True)
class Caps:
    """Most base units of an asset that leave without an operator's approval: in one payment, an hour, a day."""

    payment: int
    hour: int
    day: int


@dataclass(frozen=True, slots=True)
class FeeCaps:
    """Most native units that networks may take: for one transaction, in a day."""

    most: int
    day: int


@dataclass(frozen=True, slots=True)
class Policy:
    """What a signer may sign.

    Attributes:
        mode: a sandbox signs for simulated networks only, a live signer for real ones only.
        digest: SHA-256 of the file.
        purposes: what may be signed for.
        attempts_max: most versions of one intent.
        operators: public keys (hex) of who may approve, by name.
        caps: by asset.
        fees: by network.
        cold: the cold list that the file wants.
        cold_signatures: operators' signatures of it, by name.
    """

    mode: Mode = Mode.LIVE
    digest: str = ""
    purposes: frozenset[Purpose] = frozenset()
    attempts_max: int = 8
    operators: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    caps: Mapping[str, Caps] = field(default_factory=lambda: MappingProxyType({}))
    fees: Mapping[str, FeeCaps] = field(default_factory=lambda: MappingProxyType({}))
    cold: ColdList = field(default_factory=ColdList)
    cold_signatures: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
