"""Every SQL statement about which transactions on a chain are ours."""

from collections.abc import Sequence

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
