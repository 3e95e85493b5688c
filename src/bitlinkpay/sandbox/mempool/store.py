"""Every SQL statement by which simulated networks take transactions of our own."""

from collections import Counter
from dataclasses import replace

from bitlinkpay.chains.base import Arrival
from bitlinkpay.chains.outgoing import LOANS, Payment, pays_for_itself
from bitlinkpay.chains.registry import Registry
from bitlinkpay.chains.simulated_format import read_txid, spell_txid
from bitlinkpay.chains.simulated_lending import fee_of
from bitlinkpay.chains.simulated_plan import SimulatedTransaction
from bitlinkpay.chains.simulated_sender import Count
from bitlinkpay.core.assets import Network
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.sandbox.stakes import store as stakes
from bitlinkpay.sandbox.store import NewTransfer, add_transfers, drop_waiting

# Of every number the transaction that holds it, where a node still knows that one.
_HELD = """
    from sim_slots s
    cross join lateral (
        select t.height from sim_transfers t where t.network = s.network and t.txid = s.txid order by t.ordinal limit 1
    ) known
    where s.network = $1 and s.payer = $2
"""


class Mempool:
    """`chains.simulated_sender.SimulatedMempool` in PostgreSQL."""

    def __init__(self, database: Database, registry: Registry) -> None:
        self._database = database
        self._registry = registry

    async def accept(self, network: Network, txid: str, transaction: SimulatedTransaction) -> str:
        """Take a transaction, or say why not; known bytes are taken again and again."""
        digest = read_txid(network.family, txid)
        assert digest is not None, f"{txid} is no transaction id of {network.id}"

        async def work(tx: Tx) -> str:
            await tx.execute("select from sim_networks where network = $1 for update", network.id)
            return await self._accept(tx, network, digest, transaction)

        return await self._database.unit(work)

    async def _accept(self, tx: Tx, network: Network, digest: bytes, transaction: SimulatedTransaction) -> str:
        if await tx.fetchval("select true from sim_transfers where network = $1 and txid = $2", network.id, digest):
            return ""
        payer, plan = transaction.intent.payer.address, transaction.plan
        following = await _following(tx, network.id, payer)
        if plan.number > following:
            return f"number {plan.number} is ahead of {following}"
        if plan.number < following:
            refusal = await _outbid(tx, network.id, payer, transaction)
            if refusal:
                return refusal
        lacking = (
            await stakes.refusal(tx, transaction.intent)
            or await _underpaid(tx, network, transaction)
            or await self._lacking(tx, network, transaction)
        )
        if lacking:
            return lacking
        await stakes.note(tx, transaction.intent, digest)
        await _store(tx, network.id, self._registry.native(network.id).id, digest, transaction)
        return ""

    async def _lacking(self, tx: Tx, network: Network, transaction: SimulatedTransaction) -> str:
        needed = Counter({(transaction.intent.payer.address, self._registry.native(network.id).id): 0})
        if not pays_for_itself(network.family, transaction.intent.purpose):
            needed[transaction.intent.payer.address, self._registry.native(network.id).id] += transaction.plan.fee_units
        for payment in () if transaction.intent.purpose in LOANS else transaction.intent.payments:
            needed[payment.source.address, payment.asset] += payment.units
        for (address, asset), units in needed.items():
            is_native = self._registry.assets[asset].is_native
            held = await tx.fetchval(_BALANCE, network.id, asset, address, is_native)
            if held < units:
                return f"{address} holds {int(held)} of {asset}, {units} are needed"
        return ""

    async def borrowed(self, network: str, payer: str) -> int:
        """Return the stake that a payer has been lent."""
        async with self._database.reader() as tx:
            return await stakes.borrowed(tx, network, payer)

    async def count(self, network: str, payer: str, final_height: int) -> Count:
        """Return the next numbers of a payer."""
        async with self._database.reader() as tx:
            final = await tx.fetchval(
                "select coalesce(max(number) + 1, 0) " + _HELD + " and known.height <= $3", network, payer, final_height
            )
            return Count(final, await _following(tx, network, payer))

    async def fee(self, network: Network, txid: str) -> tuple[int, bool]:
        """Return what a transaction costs its payer, and whether it failed."""
        async with self._database.reader() as tx:
            row = await tx.fetchrow(
                """
                select sum(fee_units) as units, bool_or(has_failed) as has_failed from sim_transfers
                where network = $1 and txid = $2
                """,
                network.id,
                read_txid(network.family, txid),
            )
        return (int(row["units"] or 0), bool(row["has_failed"])) if row else (0, False)

    async def holder(self, network: Network, payer: str, number: int, final_height: int) -> str:
        """Return the id of the transaction in a final block that used a payer's number, "" for none."""
        async with self._database.reader() as tx:
            digest = await tx.fetchval(
                "select s.txid " + _HELD + " and s.number = $3 and known.height <= $4",
                network.id,
                payer,
                number,
                final_height,
            )
        return spell_txid(network.family, digest) if digest else ""


# What an address can spend now, mempool included; $4: whether the asset is the coin that fees are paid in.
_BALANCE = """
    select coalesce((select sum(units) from sim_transfers
            where target = $3 and asset = $2 and height is not null and not has_failed), 0)
        - coalesce((select sum(case when asset = $2 and not has_failed then units else 0 end)
            from sim_transfers where source = $3 and network = $1), 0)
        - case when $4 then coalesce((select sum(t.fee_units)
            from sim_transfers t join sim_slots s using (network, txid)
            where s.payer = $3 and s.network = $1), 0) else 0 end
"""


async def _following(tx: Tx, network: str, payer: str) -> int:
    found: int = await tx.fetchval("select coalesce(max(number) + 1, 0) " + _HELD, network, payer)
    return found


async def _outbid(tx: Tx, network: str, payer: str, transaction: SimulatedTransaction) -> str:
    """Make room for a transaction that pays more than the waiting one of the same number, or say why not."""
    number = transaction.plan.number
    row = await tx.fetchrow(
        "select s.txid, s.fee_units, known.height " + _HELD + " and s.number = $3", network, payer, number
    )
    if row is None or row["height"] is not None:
        return f"number {number} was used"
    if transaction.plan.fee_units <= int(row["fee_units"]):
        return "replacement pays too little"
    await drop_waiting(tx, network, row["txid"])
    return ""


async def _underpaid(tx: Tx, network: Network, transaction: SimulatedTransaction) -> str:
    """Say that a transaction pays nothing though nothing that was lent pays for it, "" otherwise."""
    intent, plan = transaction.intent, transaction.plan
    if plan.fee_units:
        return ""
    covered = not fee_of(network, intent.purpose, await stakes.borrowed(tx, network.id, intent.payer.address))
    return "" if covered else f"{intent.payer.address} pays no fee and has been lent too little"


async def _store(tx: Tx, network: str, native: str, digest: bytes, transaction: SimulatedTransaction) -> None:
    intent, plan = transaction.intent, transaction.plan
    await tx.execute(
        """
        insert into sim_slots (network, payer, number, txid, fee_units) values ($1, $2, $3, $4, $5)
        on conflict (network, payer, number) do update set txid = excluded.txid, fee_units = excluded.fee_units
        """,
        network,
        intent.payer.address,
        plan.number,
        digest,
        plan.fee_units,
    )
    paid = [
        _row(digest, ordinal, payment.asset, payment.source.address, payment)
        for ordinal, payment in enumerate(() if intent.purpose in LOANS else intent.payments)
    ]
    # One row of its own carries the fee: it is the payer's, who need not be the one whose money moves.
    burnt = replace(_row(digest, len(paid), native, intent.payer.address, None), fee_units=plan.fee_units)
    now = await tx.fetchval("select clock_timestamp()")
    await add_transfers(tx, network, [*paid, burnt], now)


def _row(digest: bytes, ordinal: int, asset: str, source: str, payment: Payment | None) -> NewTransfer:
    return NewTransfer(
        txid=digest,
        ordinal=ordinal,
        asset=asset,
        source=source,
        target=payment.target if payment else source,
        tag=payment.tag if payment else "",
        units=payment.units if payment else 0,
        fee_units=0,
        arrival=Arrival.DIRECT,
        has_failed=False,
    )


async def fail_waiting(tx: Tx, network: str, txid: bytes) -> bool:
    """Let a waiting transaction fail when it is mined; say whether it waited."""
    tag = await tx.execute(
        "update sim_transfers set has_failed = true where network = $1 and txid = $2 and height is null", network, txid
    )
    return tag != "UPDATE 0"


async def drop_stranded(tx: Tx, network: str) -> None:
    """Forget what waits behind a number of its payer that no node knows any more: no block could take it."""
    await tx.execute(
        """
        with missing as (
            select payer, min(number) as number from sim_slots s
            where network = $1 and not exists (
                select from sim_transfers t where t.network = s.network and t.txid = s.txid)
            group by payer
        )
        delete from sim_transfers t using sim_slots s join missing m using (payer)
        where s.network = $1 and s.number > m.number and t.network = s.network and t.txid = s.txid and t.height is null
        """,
        network,
    )
