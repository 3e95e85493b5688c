"""Every SQL statement about addresses, their sequences and the key ring."""

from collections.abc import Mapping, Sequence

import msgspec

from bitlinkpay.core.assets import Family
from bitlinkpay.db.pool import Tx
from bitlinkpay.signer.keyring import HotAddress, KeyRing, PoolAddress
from bitlinkpay.wallets.model import Purpose


async def take_block(tx: Tx, family: Family, count: int, holder: str) -> range:
    """Take the next `count` indexes of a family for one process; what it does not use is a recorded, harmless gap."""
    first: int = await tx.fetchval(
        """
        with taken as (
            update address_sequences set next_index = next_index + $2 where key_family = $1
            returning next_index - $2 as first_index
        ), noted as (
            insert into address_blocks (key_family, first_index, last_index, taken_by)
            select $1, first_index, first_index + $2 - 1, $3 from taken
        )
        select first_index from taken
        """,
        family.value,
        count,
        holder,
    )
    return range(first, first + count)


async def next_indexes(tx: Tx) -> dict[Family, int]:
    """Return per family the lowest index never taken (for Solana: never put into the pool)."""
    rows = await tx.fetch("select key_family, next_index from address_sequences")
    return {Family(row["key_family"]): row["next_index"] for row in rows}


async def raise_sequences(tx: Tx, floors: Mapping[str, int]) -> None:
    """Never hand out below these indexes: sequences only rise, pooled addresses below are withdrawn."""
    await tx.execute(
        """
        update address_sequences s set next_index = f.floor
        from unnest($1::text[], $2::bigint[]) as f (key_family, floor)
        where s.key_family = f.key_family and s.next_index < f.floor
        """,
        list(floors),
        list(floors.values()),
    )
    await tx.execute(
        """
        update solana_addresses set taken_at = now(), taken_by = 'withdrawn'
        where taken_at is null and key_index < $1
        """,
        floors.get(Family.SOLANA, 0),
    )


async def claim_pooled(tx: Tx, count: int, holder: str) -> list[PoolAddress]:
    """Take up to `count` addresses out of the Solana pool, past those that another transaction is taking."""
    rows = await tx.fetch(
        """
        with free as (
            select key_index from solana_addresses where taken_at is null
            order by key_index limit $1 for update skip locked
        )
        update solana_addresses s set taken_at = now(), taken_by = $2
        from free where s.key_index = free.key_index
        returning s.key_index, s.address
        """,
        count,
        holder,
    )
    return sorted((PoolAddress(row["key_index"], row["address"]) for row in rows), key=lambda pooled: pooled.index)


async def add_pooled(tx: Tx, addresses: Sequence[PoolAddress]) -> int:
    """Add addresses to the pool and return how many were new; indexes below the sequence are never added again."""
    added: int = await tx.fetchval(
        """
        with floor as (
            select next_index from address_sequences where key_family = 'solana' for update
        ), added as (
            insert into solana_addresses (key_index, address)
            select t.key_index, t.address from unnest($1::bigint[], $2::text[]) as t (key_index, address), floor
            where t.key_index >= floor.next_index
            on conflict do nothing
            returning key_index
        ), moved as (
            update address_sequences set next_index = (select max(key_index) + 1 from added)
            where key_family = 'solana' and exists (select 1 from added)
        )
        select count(*) from added
        """,
        [pooled.index for pooled in addresses],
        [pooled.address for pooled in addresses],
    )
    return added


async def count_free(tx: Tx, most: int) -> int:
    """Return how many pooled addresses are free, counting up to `most`."""
    free: int = await tx.fetchval(
        "select count(*) from (select 1 from solana_addresses where taken_at is null limit $1) as free", most
    )
    return free


async def find_keyring(tx: Tx) -> KeyRing | None:
    """Return the key ring that this database works with.

    Raises:
        Invalid: its keys are not those of its fingerprint.
    """
    document = await tx.fetchval("select document from keyrings")
    return None if document is None else KeyRing.from_json(msgspec.json.encode(document))


async def save_keyring(tx: Tx, ring: KeyRing) -> str:
    """Store the key ring unless another is there; return the fingerprint of the one that is there now."""
    return str(
        await tx.fetchval(
            """
            insert into keyrings (fingerprint, document) values ($1, $2)
            on conflict (singleton) do update
                set document = case when keyrings.fingerprint = excluded.fingerprint
                    then excluded.document else keyrings.document end
            returning fingerprint
            """,
            ring.fingerprint,
            msgspec.to_builtins(ring),
        )
    )


async def save_wallets(tx: Tx, wallets: Sequence[HotAddress]) -> None:
    """Record the wallets that we pay from, so that money sent straight to them, or without a tag of ours, is found."""
    await tx.execute(
        """
        insert into addresses (key_family, address, tag, key_index, purpose)
        select key_family, address, '', key_index, $4 from unnest($1::text[], $2::text[], $3::bigint[])
            as t (key_family, address, key_index)
        on conflict do nothing
        """,
        [wallet.family.value for wallet in wallets],
        [wallet.address for wallet in wallets],
        [wallet.index for wallet in wallets],
        Purpose.WALLET.value,
    )


async def sample_handed_out(tx: Tx, family: Family, count: int) -> list[tuple[int, str, str]]:
    """Return (index, address, tag) of some addresses of a family that orders have."""
    rows = await tx.fetch(
        """
        (select key_index, address, tag from addresses where key_family = $1 and purpose = 'deposit'
            order by address, tag limit $2)
        union
        (select key_index, address, tag from addresses where key_family = $1 and purpose = 'deposit'
            order by address desc, tag desc limit $2)
        """,
        family.value,
        count,
    )
    return [(row["key_index"], row["address"], row["tag"]) for row in rows]


async def find_pooled(tx: Tx, index: int) -> str | None:
    """Return the Solana address that the pool holds or held at an index."""
    address: str | None = await tx.fetchval("select address from solana_addresses where key_index = $1", index)
    return address


async def places(tx: Tx, family: Family, addresses: Sequence[str]) -> list[tuple[str, int]]:
    """Return those of the addresses that orders have, with the index of each one's key."""
    rows = await tx.fetch(
        """
        select address, key_index from addresses
        where key_family = $1 and address = any($2::text[]) and tag = '' and purpose = 'deposit' order by address
        """,
        family.value,
        list(addresses),
    )
    return [(row["address"], row["key_index"]) for row in rows]
