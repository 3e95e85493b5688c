"""Every SQL statement about orders."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import msgspec

from bitlinkpay.core.assets import Asset
from bitlinkpay.core.ids import DepositId, MerchantId, PayinId
from bitlinkpay.db.driver import Row, Tx
from bitlinkpay.deposits.model import WAIT_MAX
from bitlinkpay.merchants.model import Policy
from bitlinkpay.payins.model import Label, Payin, PayinEvent, PayinState, Price, ReturnLinks
from bitlinkpay.wallets.model import Allotted


@dataclass(frozen=True, slots=True)
class Draft:
    """An order ready to be stored. `network` and `allotted` are empty for a pre-order."""

    payin: Payin
    network: str
    allotted: Allotted | None


@dataclass(frozen=True, slots=True)
class Pick:
    """A payer's choice of network, priced and with an address. `life` is how long the order lives from now."""

    payin_id: PayinId
    asset: Asset
    price: Price
    allotted: Allotted
    life: timedelta


@dataclass(frozen=True, slots=True)
class PayinChange:
    """One move of one order along its state table, with what it writes besides."""

    payin: Payin
    event: PayinEvent
    after: PayinState
    labels: frozenset[Label] = field(default=frozenset())
    unlabels: frozenset[Label] = field(default=frozenset())
    accepted_units: int = 0
    fee_units: int = 0
    deposit_id: DepositId | None = None
    cause: str = ""


def payin_of(row: Row) -> Payin:
    """Return an order from its row."""
    return Payin(
        payin_id=PayinId(row["payin_id"]),
        merchant_id=MerchantId(row["merchant_id"]),
        source_id=row["source_id"],
        state=PayinState(row["state"]),
        labels=frozenset(Label(label) for label in row["labels"]),
        coin=row["coin"],
        asset=row["asset"] or None,
        units=int(row["units"]),
        accepted_units=int(row["accepted_units"]),
        fee_ppm=row["fee_ppm"],
        fee_units=int(row["fee_units"]),
        fiat_amount=row["fiat_amount"],
        symbol=row["symbol"],
        exchange_rate=row["exchange_rate"],
        address=row["address"],
        tag=row["tag"],
        policy=msgspec.convert(row["policy"], Policy),
        callback_url=row["callback_url"],
        lang=row["lang"],
        links=msgspec.convert(row["links"], ReturnLinks),
        request_hash=row["request_hash"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        deposit_id=DepositId(row["deposit_id"]) if row["deposit_id"] else None,
        paid_at=row["paid_at"],
    )


def _json(value: Policy | ReturnLinks) -> str:
    return msgspec.json.encode(value).decode()


_MOMENT: Final = timedelta(minutes=2)

# Column, PostgreSQL type and value of everything an opened order writes: one array a column, however many orders.
_OPENED: Final[tuple[tuple[str, str, Callable[[Draft], object]], ...]] = (
    ("payin_id", "uuid", lambda d: d.payin.payin_id),
    ("merchant_id", "uuid", lambda d: d.payin.merchant_id),
    ("source_id", "text", lambda d: d.payin.source_id),
    ("state", "text", lambda d: d.payin.state.value),
    ("coin", "text", lambda d: d.payin.coin),
    ("asset", "text", lambda d: d.payin.asset or ""),
    ("network", "text", lambda d: d.network),
    ("units", "numeric", lambda d: d.payin.units),
    ("fee_ppm", "integer", lambda d: d.payin.fee_ppm),
    ("fee_units", "numeric", lambda d: d.payin.fee_units),
    ("fiat_amount", "numeric", lambda d: d.payin.fiat_amount),
    ("symbol", "text", lambda d: d.payin.symbol),
    ("exchange_rate", "numeric", lambda d: d.payin.exchange_rate),
    ("address", "text", lambda d: d.payin.address),
    ("tag", "text", lambda d: d.payin.tag),
    ("policy", "text[]::jsonb", lambda d: _json(d.payin.policy)),
    ("callback_url", "text", lambda d: d.payin.callback_url),
    ("lang", "text", lambda d: d.payin.lang),
    ("links", "text[]::jsonb", lambda d: _json(d.payin.links)),
    ("request_hash", "bytea", lambda d: d.payin.request_hash),
    ("created_at", "timestamptz", lambda d: d.payin.created_at),
    ("expires_at", "timestamptz", lambda d: d.payin.expires_at),
)
_PLACED: Final[tuple[tuple[str, str, Callable[[Draft], object]], ...]] = (
    ("key_family", "text", lambda d: d.allotted.key_family if d.allotted else None),
    ("key_index", "bigint", lambda d: d.allotted.key_index if d.allotted else None),
)
# Violations of what must hold between orders and their money; see `payins.invariants`.
PAID: Final = """
    select p.payin_id::text from payins p left join deposits d using (deposit_id)
    where p.state = 'paid'
        and (d.payin_id is distinct from p.payin_id or d.state not in ('credited', 'reversed') or d.asset <> p.asset)
"""
CREDITED: Final = """
    select p.payin_id::text || ' accepted ' || p.accepted_units || ' fee ' || p.fee_units
    from payins p
    left join (
        select payin_id, sum(units) as units, sum(fee_units) as fee_units from deposits
        where state = 'credited' and label = '' group by payin_id
    ) d using (payin_id)
    where case when p.state <> 'paid' then d.payin_id is not null
        when 'reversed' = any(p.labels) then coalesce(d.units, 0) >= p.accepted_units
        else (d.units, d.fee_units) is distinct from (p.accepted_units, p.fee_units) end
"""
CONFIRMING: Final = """
    select p.payin_id::text || ' ' || p.state from payins p
    where p.state in ('created', 'confirming') and (p.state = 'confirming') <> exists (
        select from deposits d
        where d.payin_id = p.payin_id and d.label = '' and d.state in ('seen', 'final', 'screened'))
"""
ADDRESSES: Final = """
    select p.payin_id::text from payins p
    where p.address <> '' and not exists (
        select from addresses a where a.address = p.address and a.tag = p.tag and a.payin_id = p.payin_id)
"""
_NAMES: Final = ", ".join(name for name, _, _ in _OPENED)
_ARRAYS: Final = ", ".join(f"${n}::{kind}[]" for n, (_, kind, _) in enumerate((*_OPENED, *_PLACED), start=1))
_OPEN: Final = f"""
    with input as (
        select * from unnest({_ARRAYS}) as t ({_NAMES}, key_family, key_index)
    ), opened as (
        insert into payins ({_NAMES}) select {_NAMES} from input
        on conflict (merchant_id, source_id) do nothing
        returning payin_id
    ), placed as (
        insert into addresses (key_family, address, tag, merchant_id, payin_id, key_index, purpose, created_at)
        select key_family, address, tag, merchant_id, payin_id, key_index, 'deposit', created_at
        from input join opened using (payin_id) where key_family is not null
    ), noted as (
        insert into payin_events (payin_id, seq, event, from_state, to_state, cause, at)
        select payin_id, 1, 'opened', '', state, 'request', created_at from input join opened using (payin_id)
    )
    select payin_id from input except select payin_id from opened
"""  # noqa: S608 - names and types stand in this file, values travel as parameters


async def insert(tx: Tx, drafts: Sequence[Draft]) -> set[PayinId]:
    """Store orders, addresses and first events; return those that were not stored, for they repeat a source_id."""
    columns = [[value(draft) for draft in drafts] for _, _, value in (*_OPENED, *_PLACED)]
    return {PayinId(row["payin_id"]) for row in await tx.fetch(_OPEN, *columns)}


async def find_by_sources(tx: Tx, keys: Sequence[tuple[MerchantId, str]]) -> dict[tuple[MerchantId, str], Payin]:
    """Return the orders with these (merchant, source_id) pairs."""
    rows = await tx.fetch(
        """
        select p.* from unnest($1::uuid[], $2::text[]) as t (merchant_id, source_id)
        join payins p using (merchant_id, source_id)
        """,
        [merchant_id for merchant_id, _ in keys],
        [source_id for _, source_id in keys],
    )
    return {(payin.merchant_id, payin.source_id): payin for payin in map(payin_of, rows)}


async def find(tx: Tx, payin_id: PayinId) -> Payin | None:
    """Return one order."""
    row = await tx.fetchrow("select * from payins where payin_id = $1", payin_id)
    return payin_of(row) if row else None


async def lock(tx: Tx, payin_ids: Sequence[PayinId]) -> dict[PayinId, Payin]:
    """Lock orders in the order of their ids."""
    rows = await tx.fetch(
        "select * from payins where payin_id = any($1::uuid[]) order by payin_id for update", payin_ids
    )
    return {payin.payin_id: payin for payin in map(payin_of, rows)}


async def lock_by_source(tx: Tx, merchant_id: MerchantId, source_id: str) -> Payin | None:
    """Lock one order of one merchant."""
    row = await tx.fetchrow(
        "select * from payins where merchant_id = $1 and source_id = $2 for update", merchant_id, source_id
    )
    return payin_of(row) if row else None


async def has_deposits(tx: Tx, payin_id: PayinId) -> bool:
    """Say whether any living deposit belongs to the order."""
    found = await tx.fetchval(
        "select exists (select from deposits where payin_id = $1 and state not in ('dropped', 'reversed'))", payin_id
    )
    return bool(found)


async def pick(tx: Tx, pick: Pick, *, expires_at: datetime, now: datetime) -> None:
    """Give a pre-order its network, price and address; the caller holds the order's lock."""
    await tx.execute(
        """
        with picked as (
            update payins set asset = $2, network = $3, units = $4, symbol = $5, exchange_rate = $6, fee_units = $7,
                address = $8, tag = $9, expires_at = $10, version = version + 1
            where payin_id = $1 and state = 'created' and asset = ''
            returning payin_id, merchant_id
        ), placed as (
            insert into addresses (key_family, address, tag, merchant_id, payin_id, key_index, purpose, created_at)
            select $11, $8, $9, merchant_id, payin_id, $12, 'deposit', $13 from picked
        ), noted as (
            insert into payin_events (payin_id, seq, event, from_state, to_state, cause, at)
            select payin_id, (select max(seq) + 1 from payin_events where payin_id = $1), 'picked', 'created',
                'created', $2, $13
            from picked
        )
        select pg_notify('payins', replace(payin_id::text, '-', '')) from picked
        """,
        pick.payin_id,
        pick.asset.id,
        pick.asset.network,
        pick.price.units,
        pick.price.symbol,
        pick.price.exchange_rate,
        pick.price.fee_units,
        pick.allotted.address,
        pick.allotted.tag,
        expires_at,
        pick.allotted.key_family,
        pick.allotted.key_index,
        now,
    )


async def save(tx: Tx, changes: Sequence[PayinChange], now: datetime) -> None:
    """Apply changes in order, one update an order; each order must be where its first change begins.

    Raises:
        AssertionError: an order was not in the expected state; the whole transaction is to be thrown away.
    """
    if not changes:
        return
    first = {change.payin.payin_id: change for change in reversed(changes)}
    last = {change.payin.payin_id: change for change in changes}
    paying = {change.payin.payin_id: change for change in changes if change.deposit_id}
    labels: dict[PayinId, set[Label]] = {payin_id: set(first[payin_id].payin.labels) for payin_id in last}
    for change in changes:
        labels[change.payin.payin_id] |= change.labels
        labels[change.payin.payin_id] -= change.unlabels
    done = await tx.fetch(
        """
        update payins p
        set state = t.after,
            labels = coalesce(string_to_array(nullif(t.labels, ''), ','), '{}'),
            accepted_units = coalesce(t.accepted_units, p.accepted_units),
            fee_units = coalesce(t.fee_units, p.fee_units),
            deposit_id = coalesce(t.deposit_id, p.deposit_id),
            paid_at = coalesce(p.paid_at, case when t.deposit_id is not null then $8::timestamptz end),
            version = version + 1
        from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::numeric[], $6::numeric[], $7::uuid[])
            as t (payin_id, before, after, labels, accepted_units, fee_units, deposit_id)
        where p.payin_id = t.payin_id and p.state = t.before
        returning p.payin_id
        """,
        list(last),
        [first[key].payin.state.value for key in last],
        [last[key].after.value for key in last],
        [",".join(sorted(labels[key])) for key in last],
        [paying[key].accepted_units if key in paying else None for key in last],
        [paying[key].fee_units if key in paying else None for key in last],
        [paying[key].deposit_id if key in paying else None for key in last],
        now,
    )
    assert len(done) == len(last), "an order moved under our lock"
    await _write_events(tx, changes, now)


async def _write_events(tx: Tx, changes: Sequence[PayinChange], now: datetime) -> None:
    await tx.execute(
        """
        with noted as (
            insert into payin_events (payin_id, seq, event, from_state, to_state, cause, at)
            select t.payin_id,
                coalesce((select max(seq) from payin_events e where e.payin_id = t.payin_id), 0)
                    + row_number() over (partition by t.payin_id order by t.ord),
                t.event, t.before, t.after, t.cause, $6
            from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])
                with ordinality as t (payin_id, event, before, after, cause, ord)
            returning payin_id
        )
        select pg_notify('payins', string_agg(replace(payin_id::text, '-', ''), ','))
        from (select payin_id, row_number() over () / 200 as part from (select distinct payin_id from noted) ids) parts
        group by part
        """,
        [change.payin.payin_id for change in changes],
        [change.event.value for change in changes],
        [change.payin.state.value for change in changes],
        [change.after.value for change in changes],
        [change.cause for change in changes],
        now,
    )


async def lock_expiring(tx: Tx, network: str, *, read_to: datetime, grace: timedelta, limit: int) -> list[Payin]:
    """Lock open orders of a network whose time ended before the block time that was read to (less the grace).

    An order whose payment was seen in time waits for its block while that would count (`Sighting.made_at`); what has
    just left the mempool may stand in a block that is read next.
    A pre-order without a network ("") has nothing to wait for: pass the business time as `read_to`.
    """
    rows = await tx.fetch(
        """
        select * from payins
        where network = $1 and state = 'created' and expires_at < $2 and not exists (
            select from unconfirmed u
            where u.payin_id = payins.payin_id and u.asset = payins.asset and u.units >= payins.units
                and u.first_seen_at >= $4 and u.first_seen_at <= payins.expires_at + $5::interval
                and (u.gone_at is null or u.gone_at > $6))
        order by payin_id limit $3 for update skip locked
        """,
        network,
        read_to - grace,
        limit,
        read_to - WAIT_MAX,
        grace,
        read_to - _MOMENT,
    )
    return [payin_of(row) for row in rows]


async def list_open_addresses(
    tx: Tx, asset: str, *, after: PayinId | None, ends_before: datetime | None, limit: int
) -> list[tuple[PayinId, str]]:
    """Return (order, address) of open orders in an asset, by id; with `ends_before` only those that expire by then."""
    rows = await tx.fetch(
        """
        select payin_id, address from payins
        where asset = $1 and state in ('created', 'confirming') and ($2::uuid is null or payin_id > $2)
            and ($3::timestamptz is null or (expires_at < $3 and state = 'created'))
        order by payin_id limit $4
        """,
        asset,
        after,
        ends_before,
        limit,
    )
    return [(PayinId(row["payin_id"]), row["address"]) for row in rows]


async def opened_at(tx: Tx, address: str) -> datetime:
    """Return when the first order of an address was opened."""
    at: datetime = await tx.fetchval("select min(created_at) from addresses where address = $1", address)
    return at


async def list_events(tx: Tx, payin_id: PayinId) -> list[tuple[str, str, str, str, datetime]]:
    """Return the order's history as (event, from, to, cause, at)."""
    rows = await tx.fetch(
        "select event, from_state, to_state, cause, at from payin_events where payin_id = $1 order by seq", payin_id
    )
    return [(row["event"], row["from_state"], row["to_state"], row["cause"], row["at"]) for row in rows]


async def callback_statuses(tx: Tx, merchant_ids: Sequence[MerchantId]) -> dict[MerchantId, frozenset[int]]:
    """Return which order statuses each merchant wants to be called back for."""
    rows = await tx.fetch(
        "select merchant_id, callback_statuses from merchants where merchant_id = any($1::uuid[])", merchant_ids
    )
    return {MerchantId(row["merchant_id"]): frozenset(row["callback_statuses"]) for row in rows}
