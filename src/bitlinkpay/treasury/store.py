"""Every SQL statement about the platform's own wallets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bitlinkpay.core.assets import Asset
from bitlinkpay.db.driver import Tx

_RUNNING: Final = ("sending", "uncertain", "confirming")
# What has not ended in a lane ($1 network, $2 payer): word for word the condition of the index `sendings_unended`.
_UNENDED: Final = "network = $1 and payer = $2 and state in ('queued', 'sending', 'uncertain', 'confirming')"


@dataclass(frozen=True, slots=True)
class Held:
    """What the books hold in one custody account.

    Attributes:
        account: its name, such as `custody:hot:T…`.
        asset: id of the asset.
        units: base units.
        promised_units: what payments that have not ended take from it.
    """

    account: str
    asset: str
    units: int
    promised_units: int


async def list_custody(tx: Tx, addresses: Sequence[str]) -> list[Held]:
    """Return what the books hold at these addresses, cold storage and what is in transit, by account and asset."""
    rows = await tx.fetch(
        """
        select a.name, a.asset, a.balance_units, coalesce(sum(s.units), 0) as promised
        from ledger_accounts a
        left join sendings s on s.asset = a.asset and s.state in ('sending', 'uncertain', 'confirming')
            and a.name in ('custody:hot:' || s.source, 'custody:deposits:' || s.source)
        where a.balance_units > 0 and (a.kind in ('custody:cold', 'custody:in_transit')
            or a.name = any(select kind || ':' || address from unnest(array['custody:hot', 'custody:deposits']) kind,
                unnest($1::text[]) address))
        group by a.name, a.asset, a.balance_units order by a.asset, a.name
        """,
        list(addresses),
    )
    return [Held(row["name"], row["asset"], int(row["balance_units"]), int(row["promised"])) for row in rows]


async def list_unclaimed(tx: Tx, limit: int) -> list[tuple[str, str, str, str, int]]:
    """Return money without an owner at wallets of ours: deposit id, asset, sender, wallet, units; the newest first."""
    rows = await tx.fetch(
        """
        select deposit_id::text, asset, source, target, units from deposits
        where merchant_id is null and state = 'unassigned' order by deposit_id desc limit $1
        """,
        limit,
    )
    return [(row["deposit_id"], row["asset"], row["source"], row["target"], int(row["units"])) for row in rows]


async def free_units(tx: Tx, account: str, wallet: str, asset: Asset) -> int:
    """Return what the books hold of an asset at a paying wallet and no payment waits for, queued ones included.

    Of TON's one wallet, which takes deposits too, only what is final and screened counts.

    Args:
        tx: the open transaction.
        account: the wallet's custody account.
        wallet: its canonical address.
        asset: fees are taken off it where it is the coin that they are paid in.
    """
    return await _units(tx, account, wallet, asset, taken_by=("queued", *_RUNNING))


async def idle_units(tx: Tx, account: str, wallet: str, asset: Asset) -> int:
    """Return what the books hold of an asset at a paying wallet and no transaction takes, whatever waits in the queue.

    The arguments are those of `free_units`.
    """
    return await _units(tx, account, wallet, asset, taken_by=_RUNNING)


async def joining_units(tx: Tx, network: str, wallet: str) -> int:
    """Return what of a paying wallet's coin is about to be joined (Bitcoin): it stays there, less the fee."""
    found = await tx.fetchval(
        f"select coalesce(sum(units), 0) from sendings where {_UNENDED} and purpose = 'consolidation'",  # noqa: S608 - our own constant
        network,
        wallet,
    )
    return int(found)


async def _units(tx: Tx, account: str, wallet: str, asset: Asset, *, taken_by: Sequence[str]) -> int:
    found = await tx.fetchval(
        f"""
        with waiting as (select * from sendings where {_UNENDED} and state = any($6::text[]))
        select coalesce((select balance_units from ledger_accounts where name = $5 and asset = $3), 0)
            - coalesce((select sum(units) from waiting where source = $2 and asset = $3), 0)
            - case when $5 like 'custody:deposits:%' then coalesce((
                select sum(units) from deposits where network = $1 and target = $2 and asset = $3
                    and state in ('seen', 'final', 'screened', 'quarantined')), 0) else 0 end
            - case when $4 then coalesce((select sum(fee_max_units) from waiting), 0) else 0 end
        """,  # noqa: S608 - our own constant
        asset.network,
        wallet,
        asset.id,
        asset.is_native,
        account,
        list(taken_by),
    )
    return int(found)
