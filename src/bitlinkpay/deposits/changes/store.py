"""Every SQL statement that writes deposits. A state never changes without its event: one statement writes both."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from bitlinkpay.core.ids import DepositId, MerchantId, PayinId
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits.model import Deposit, DepositChange

_NOTED: Final = """
    insert into deposit_events (deposit_id, seq, event, from_state, to_state, cause, at)
    select t.deposit_id, {before} + row_number() over (partition by t.deposit_id order by t.place),
        t.event, t.before, t.after, t.cause, $1
    from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[])
        with ordinality as t (deposit_id, event, before, after, cause, place)
"""
_INSERT: Final = f"""
    with noted as ({_NOTED.format(before="0")})
    insert into deposits (deposit_id, network, height, block_hash, txid, position, asset, source, target, tag, units,
        arrival, merchant_id, payin_id, state, label, fee_units, first_block_at, seen_at, updated_at)
    select *, $1 from unnest(
        $7::uuid[], $8::text[], $9::bigint[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[],
        $15::text[], $16::text[], $17::numeric[], $18::text[], $19::uuid[], $20::uuid[], $21::text[], $22::text[],
        $23::numeric[], $24::timestamptz[], $25::timestamptz[])
"""  # noqa: S608 - our own constants
_LAST_SEQ: Final = "coalesce((select max(seq) from deposit_events e where e.deposit_id = t.deposit_id), 0)"
_SAVE: Final = f"""
    with noted as ({_NOTED.format(before=_LAST_SEQ)}), moved as (
        update deposits d set state = t.after, label = t.label, fee_units = t.fee_units, updated_at = $1
        from unnest($7::uuid[], $8::text[], $9::text[], $10::text[], $11::numeric[])
            as t (deposit_id, before, after, label, fee_units)
        where d.deposit_id = t.deposit_id and d.state = t.before
        returning d.deposit_id
    )
    select count(*) from moved
"""  # noqa: S608 - our own constants


async def insert(tx: Tx, deposits: Sequence[Deposit], changes: Sequence[DepositChange], now: datetime) -> None:
    """Record arrivals as they stand after their first `changes`. A transfer of which a row stands already is refused
    by `deposits_one_live`: whoever holds the cursor's lock has looked before.
    """
    if not deposits:
        return
    await tx.execute(
        _INSERT,
        now,
        *_columns(changes),
        [d.deposit_id for d in deposits],
        [d.network for d in deposits],
        [d.height for d in deposits],
        [d.block_hash for d in deposits],
        [d.txid for d in deposits],
        [d.position for d in deposits],
        [d.asset for d in deposits],
        [d.source for d in deposits],
        [d.target for d in deposits],
        [d.tag for d in deposits],
        [d.units for d in deposits],
        [d.arrival.value for d in deposits],
        [d.merchant_id for d in deposits],
        [d.payin_id for d in deposits],
        [d.state.value for d in deposits],
        [d.label for d in deposits],
        [d.fee_units for d in deposits],
        [d.first_block_at for d in deposits],
        [d.seen_at for d in deposits],
    )


async def save(tx: Tx, changes: Sequence[DepositChange], now: datetime) -> None:
    """Write the last state of each changed deposit; each row must still be where its first change begins.

    Raises:
        AssertionError: a row was not in the expected state; the whole transaction is to be thrown away.
    """
    if not changes:
        return
    first = {change.deposit_id: change for change in reversed(changes)}
    last = {change.deposit_id: change for change in changes}
    done = await tx.fetchval(
        _SAVE,
        now,
        *_columns(changes),
        list(last),
        [first[key].before.value for key in last],
        [change.after.value for change in last.values()],
        [change.label for change in last.values()],
        [change.fee_units for change in last.values()],
    )
    assert done == len(last), "a deposit moved under our lock"


async def give(tx: Tx, deposit_id: DepositId, *, merchant_id: MerchantId, payin_id: PayinId | None) -> None:
    """Write the owner of a locked deposit that had none.

    Raises:
        AssertionError: it has one; the whole transaction is to be thrown away.
    """
    done = await tx.fetchval(
        """
        update deposits set merchant_id = $2, payin_id = $3 where deposit_id = $1 and merchant_id is null
        returning deposit_id
        """,
        deposit_id,
        merchant_id,
        payin_id,
    )
    assert done == deposit_id, "a deposit found an owner under our lock"


def _columns(changes: Sequence[DepositChange]) -> tuple[list[object], ...]:
    """Return what the events are written from, one array a column."""
    return (
        [change.deposit_id for change in changes],
        [change.event.value for change in changes],
        [change.before.value for change in changes],
        [change.after.value for change in changes],
        [change.cause for change in changes],
    )


async def finalize(tx: Tx, network: str, height: int, now: datetime) -> int:
    """Move every seen deposit at or below a final height to `final`; return how many."""
    tag = await tx.execute(
        """
        with moved as (
            update deposits set state = 'final', updated_at = $3
            where network = $1 and state = 'seen' and height <= $2::bigint
            returning deposit_id
        )
        insert into deposit_events (deposit_id, seq, event, from_state, to_state, cause, at)
        select m.deposit_id, (select max(seq) + 1 from deposit_events e where e.deposit_id = m.deposit_id),
            'finalized', 'seen', 'final', 'final ' || $2::bigint, $3
        from moved m
        """,
        network,
        height,
        now,
    )
    return int(tag.rpartition(" ")[2])
