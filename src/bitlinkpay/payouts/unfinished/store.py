"""Every SQL statement about what is still open."""

from dataclasses import dataclass

from bitlinkpay.db.driver import Tx


@dataclass(frozen=True, slots=True)
class Unfinished:
    """How much is open in one asset of a network."""

    network: str
    asset: str
    orders: int
    deposits: int
    payouts: int

    def __str__(self) -> str:
        """Tell it in words, without what is none."""
        parts = ((self.orders, "open orders"), (self.deposits, "deposits on their way"), (self.payouts, "payouts"))
        return f"{self.asset}: " + ", ".join(f"{count} {what}" for count, what in parts if count)


async def list_used_networks(tx: Tx) -> list[str]:
    """Return the networks that were read before, or that an open order waits for."""
    rows = await tx.fetch(
        "select network from cursors union select network from payins where state = 'created' and network <> ''"
    )
    return [row["network"] for row in rows]


async def list_unfinished(tx: Tx) -> list[Unfinished]:
    """Return what is open, by network and asset; partial indexes keep it as cheap as what it finds."""
    rows = await tx.fetch(
        """
        select network, asset, sum(orders) as orders, sum(deposits) as deposits, sum(payouts) as payouts from (
            select network, asset, 1 as orders, 0 as deposits, 0 as payouts from payins
            where state in ('created', 'confirming') and asset <> ''
            union all
            select network, asset, 0, 1, 0 from deposits where state in ('seen', 'final', 'screened')
            union all
            select network, asset, 0, 0, 1 from payouts where ended_at is null
        ) o group by network, asset order by network, asset
        """
    )
    return [
        Unfinished(row["network"], row["asset"], int(row["orders"]), int(row["deposits"]), int(row["payouts"]))
        for row in rows
    ]
