"""By how much one block changed what accounts hold: what lets a balance read now be taken back to an earlier block.

java-tron answers for the newest state only. The rules here are those of its actuators; an account that took part in
anything else is named as unknown, and then its balance waits until that block has passed.
"""

from collections import defaultdict
from dataclasses import dataclass

from bitlinkpay.chains.tron.contract import address
from bitlinkpay.chains.tron.kinds import RUNS_CODE, Kind
from bitlinkpay.chains.tron.sealed import Executed, Sealed
from bitlinkpay.chains.tron.transfers import Listing, moving, read_logs
from bitlinkpay.chains.tron.wire import unhex
from bitlinkpay.core.assets import Asset

_STILL = frozenset(
    {
        Kind.ACCOUNT_CREATE,
        Kind.TRANSFER_ASSET,
        Kind.VOTE,
        Kind.ACCOUNT_UPDATE,
        Kind.SET_ACCOUNT_ID,
        Kind.PERMISSION_UPDATE,
        Kind.DELEGATE,
        Kind.UNDELEGATE,
    }
)  # fmt: skip - they move no sun but their fee
_RETURNS = frozenset(
    {Kind.UNFREEZE, Kind.WITHDRAW_REWARD, Kind.UNFREEZE_V2, Kind.WITHDRAW_UNFROZEN, Kind.CANCEL_UNFREEZE}
)  # the outcome says how much comes back to the owner


@dataclass(frozen=True, slots=True)
class Changes:
    """What one block did.

    Attributes:
        units: base units by canonical address, negative where it went down.
        unknown: addresses whose change is not known.
    """

    units: dict[str, int]
    unknown: frozenset[str]

    def touches(self, address: str) -> bool:
        """Say whether the block may have changed what an address holds."""
        return address in self.units or address in self.unknown


def changes(sealed: Sealed, asset: Asset) -> Changes:
    """Return by how much a block changed the balances of one asset."""
    units: defaultdict[str, int] = defaultdict(int)
    unknown: set[str] = set()
    listing = Listing([asset])
    for executed in sealed.executed:
        if asset.is_native:
            _native(executed, units, unknown)
        elif executed.is_success:
            for transfer in read_logs(executed.info, listing):
                units[transfer.source] -= transfer.units
                units[transfer.target] += transfer.units
    return Changes(dict(units), frozenset(unknown))


def _native(executed: Executed, units: defaultdict[str, int], unknown: set[str]) -> None:
    contract, info = executed.contract, executed.info
    owner = contract.owner()
    units[owner] -= info.fee
    if not executed.is_success:
        return
    if (payment := contract.payment()) is not None:
        units[payment.source] -= payment.units
        units[payment.target] += payment.units
    if contract.kind in RUNS_CODE:
        for inner, moved in moving(info):
            units[address(unhex(inner.caller))] -= moved
            units[address(unhex(inner.target))] += moved
    elif contract.kind in _RETURNS:
        units[owner] += info.withdraw_amount + info.unfreeze_amount + info.withdraw_expire_amount
    elif contract.kind == Kind.FREEZE_V2:
        units[owner] -= contract.frozen()
    elif contract.kind not in _STILL and contract.kind != Kind.TRANSFER:
        unknown.add(owner)
