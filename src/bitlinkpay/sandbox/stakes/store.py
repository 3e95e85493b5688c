"""Every SQL statement about stake on simulated networks, and what of it is lent."""

from bitlinkpay.chains.outgoing import LOANS, Intent, Purpose
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database

# Of the loans that a node knows: those in blocks, up to $3 where it is given.
_MINED = """
    exists (select from sim_transfers t where t.network = l.network and t.txid = l.txid and not t.has_failed
        and t.height <= coalesce($3::bigint, t.height))
"""
_KNOWN = """
    exists (select from sim_transfers t where t.network = l.network and t.txid = l.txid and not t.has_failed)
"""


class Stakes:
    """`chains.simulated_lending.SimulatedStakes` in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lendable(self, network: str, lender: str) -> int:
        """Return the stake that an address has and has not lent, by all that a node knows."""
        async with self._database.reader() as tx:
            return await lendable(tx, network, lender)

    async def lent(self, network: str, lender: str, borrower: str, height: int) -> int:
        """Return the stake that one address has lent another by the blocks up to a height."""
        async with self._database.reader() as tx:
            return await lent(tx, network, lender, borrower, height)

    async def borrowed(self, network: str, borrower: str) -> int:
        """Return the stake that an address has been lent by all blocks."""
        async with self._database.reader() as tx:
            return await borrowed(tx, network, borrower)


async def add(tx: Tx, network: str, address: str, units: int) -> int:
    """Let an address have staked so much more; return all that it has staked."""
    found = await tx.fetchval(
        """
        insert into sim_stakes (network, address, units) values ($1, $2, $3)
        on conflict (network, address) do update set units = sim_stakes.units + excluded.units returning units
        """,
        network,
        address,
        units,
    )
    return int(found)


async def lendable(tx: Tx, network: str, lender: str) -> int:
    """Return the stake that an address has and has not lent: what waits is lent, what comes back must be in a block."""
    found = await tx.fetchval(
        f"""
        select coalesce((select units from sim_stakes where network = $1 and address = $2), 0) - coalesce((
            select sum(units) from sim_loans l where network = $1 and lender = $2
                and case when units > 0 then {_KNOWN} else {_MINED} end), 0)
        """,  # noqa: S608 - our own constants
        network,
        lender,
        None,
    )
    return int(found)


async def lent(tx: Tx, network: str, lender: str, borrower: str, height: int | None = None) -> int:
    """Return the stake that one address has lent another by the blocks up to a height, by all where none is given."""
    found = await tx.fetchval(
        f"""
        select coalesce(sum(units), 0) from sim_loans l
        where network = $1 and borrower = $2 and lender = $4 and {_MINED}
        """,  # noqa: S608 - our own constants
        network,
        borrower,
        height,
        lender,
    )
    return int(found)


async def borrowed(tx: Tx, network: str, borrower: str) -> int:
    """Return the stake that an address has been lent by all blocks."""
    found = await tx.fetchval(
        f"select coalesce(sum(units), 0) from sim_loans l where network = $1 and borrower = $2 and {_MINED}",  # noqa: S608
        network,
        borrower,
        None,
    )
    return int(found)


async def refusal(tx: Tx, intent: Intent) -> str:
    """Say why a node would not take a loan or its return, "" if it would or the intent is neither."""
    if intent.purpose not in LOANS:
        return ""
    (payment,) = intent.payments
    lender = payment.source.address
    if intent.purpose is Purpose.LEND:
        free = await lendable(tx, intent.network, lender)
        return "" if payment.units <= free else f"{lender} can lend {free}, not {payment.units}"
    out = await lent(tx, intent.network, lender, payment.target)
    return "" if payment.units <= out else f"{lender} has lent {payment.target} {out}, not {payment.units}"


async def note(tx: Tx, intent: Intent, txid: bytes) -> None:
    """Note what a transaction lends or takes back, once it is in a block."""
    for payment in intent.payments if intent.purpose in LOANS else ():
        await tx.execute(
            "insert into sim_loans (network, txid, lender, borrower, units) values ($1, $2, $3, $4, $5)"
            " on conflict do nothing",
            intent.network,
            txid,
            payment.source.address,
            payment.target,
            payment.units if intent.purpose is Purpose.LEND else -payment.units,
        )
