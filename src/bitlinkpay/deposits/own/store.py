"""Every SQL statement about which transactions on a chain are ours, and what they move at orders' addresses."""

from collections.abc import Sequence

from bitlinkpay.core.assets import Asset
from bitlinkpay.db.driver import Tx


async def note(tx: Tx, network: str, txid: str, *, pays_others: bool) -> None:
    """Note a transaction of ours before it is sent; a second time does nothing.

    Args:
        tx: the open transaction of the database.
        network: id of the network.
        txid: as the network's adapter spells it.
        pays_others: whether it may pay orders like anybody else's (a payout to another merchant's payer): then only
            what comes back to wallets of ours is internal.
    """
    await tx.execute(
        "insert into own_transactions (network, txid, pays_others) values ($1, $2, $3) on conflict do nothing",
        network,
        txid,
        pays_others,
    )


async def find(tx: Tx, network: str, txids: Sequence[str]) -> dict[str, bool]:
    """Return those of the transactions that are ours, with whether they pay others."""
    rows = await tx.fetch(
        "select txid, pays_others from own_transactions where network = $1 and txid = any($2::text[])",
        network,
        list(txids),
    )
    return {row["txid"]: row["pays_others"] for row in rows}


async def moving(tx: Tx, network: str, addresses: Sequence[str]) -> set[str]:
    """Return those orders' addresses that a payment of ours is taking money from or bringing gas to just now.

    What the chain holds there may be of before or of after the payment: nobody can tell by the books until it ends.
    """
    rows = await tx.fetch(
        """
        select source as address from sendings
        where network = $1 and source = any($2::text[]) and source_role = 'deposit'
            and state in ('sending', 'uncertain', 'confirming')
        union
        select target from sendings
        where network = $1 and target = any($2::text[]) and purpose = 'gas'
            and state in ('sending', 'uncertain', 'confirming')
        """,
        network,
        list(addresses),
    )
    return {row["address"] for row in rows}


async def paying(tx: Tx, network: str, addresses: Sequence[str]) -> set[str]:
    """Return those addresses, of orders or wallets, that a payment of ours is taking money from just now."""
    rows = await tx.fetch(
        """
        select distinct source from sendings
        where network = $1 and source = any($2::text[]) and state in ('sending', 'uncertain', 'confirming')
        """,
        network,
        list(addresses),
    )
    return {row["source"] for row in rows}


async def units_moved_above(tx: Tx, asset: Asset, addresses: Sequence[str], height: int) -> dict[str, int]:
    """Return by address what the books took off orders' addresses for payments of ours in blocks above a height.

    Fees that an address paid count in the network's own coin; gas that it was given counts as less than nothing.
    """
    rows = await tx.fetch(
        """
        with gone as (
            select s.source as address, s.units from sendings s join transactions t using (transaction_id)
            where s.network = $1 and s.source = any($3::text[]) and s.source_role = 'deposit' and s.asset = $2
                and s.state = 'delivered' and t.height > $4
            union all
            select s.target, -s.units from sendings s join transactions t using (transaction_id)
            where s.network = $1 and s.target = any($3::text[]) and s.purpose = 'gas' and s.asset = $2
                and s.state = 'delivered' and t.height > $4
            union all
            select payer, fee_units from transactions
            where $5 and network = $1 and payer = any($3::text[]) and state in ('final', 'reverted') and height > $4
        )
        select address, sum(units) as units from gone group by address
        """,
        asset.network,
        asset.id,
        list(addresses),
        height,
        asset.is_native,
    )
    return {row["address"]: int(row["units"]) for row in rows}
