"""What a deployment still has to finish, held against the networks and assets that its configuration knows."""

import logging
from collections.abc import Mapping, Sequence

from bitlinkpay.app.networks import MissingRows
from bitlinkpay.chains.registry import Registry
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import store as ledger
from bitlinkpay.payouts.unfinished.store import Unfinished, list_unfinished

log = logging.getLogger(__name__)


async def check_unfinished(database: Database, registry: Registry) -> None:
    """Warn of what waits for a network that is switched off: it is kept, and goes on when the network comes back.

    Raises:
        MissingRows: an asset has no row any more, and something is open in it, or money of it is in the books.
    """
    async with database.reader() as tx:
        unfinished = await list_unfinished(tx)
        booked = await ledger.list_assets(tx)
    gone = {asset: "" for asset in booked if asset not in registry.assets}
    gone |= {one.asset: str(one) for one in unfinished if one.asset not in registry.assets}
    if gone:
        named = [words or f"{asset}: money in the books" for asset, words in sorted(gone.items())]
        raise MissingRows("assets", named, "with `payable = false` it is offered to nobody")
    for network, found in waiting(registry, unfinished).items():
        log.warning("%s is switched off, and waits for its endpoints: %s", network, "; ".join(map(str, found)))


def waiting(registry: Registry, unfinished: Sequence[Unfinished]) -> Mapping[str, list[Unfinished]]:
    """Return, by network, what waits for those that are switched off."""
    return {
        network: found
        for network in sorted(registry.switched_off)
        if (found := [one for one in unfinished if one.network == network])
    }
