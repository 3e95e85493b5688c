-- Who was handed which address. Index and address belong together for ever: nothing here is ever given back.

create table keyrings (
    singleton boolean primary key default true constraint keyrings_single check (singleton),
    fingerprint text not null,
    document jsonb not null,
    imported_at timestamptz not null default now()
);
comment on table keyrings is 'public keys of the one seed that this deployment hands addresses out from';

-- The lowest index never taken, per key family: all EVM networks share one. A row is changed by one UPDATE and never falls.
create table address_sequences (
    key_family text primary key
        constraint address_sequences_family check (key_family in ('evm', 'tron', 'bitcoin', 'solana', 'ton')),
    next_index bigint not null default 0
        constraint address_sequences_range check (next_index between 0 and 2147483648)
);
insert into address_sequences (key_family) values ('evm'), ('tron'), ('bitcoin'), ('solana'), ('ton');

create function address_sequences_only_rise() returns trigger language plpgsql as $$
begin
    raise exception 'address_sequences: % may not fall from % to %', old.key_family, old.next_index, new.next_index
        using errcode = 'check_violation', constraint = 'address_sequences_only_rise';
end
$$;
create trigger address_sequences_only_rise before update on address_sequences
    for each row when (new.next_index < old.next_index or new.key_family <> old.key_family)
    execute function address_sequences_only_rise();

-- Which process took which indexes. An index in a block without a row in addresses is a gap and stays one.
create table address_blocks (
    key_family text not null references address_sequences,
    first_index bigint not null,
    last_index bigint not null,
    taken_by text not null,
    taken_at timestamptz not null default now(),
    primary key (key_family, first_index),
    constraint address_blocks_order check (first_index <= last_index)
);
comment on table address_blocks is 'append-only: what each process took of a sequence';

-- Solana addresses derived ahead by the signer: their keys have hardened children only, so no public key derives them.
create table solana_addresses (
    key_index bigint primary key,
    address text not null constraint solana_addresses_unique unique,
    taken_by text,
    taken_at timestamptz,
    constraint solana_addresses_taken check ((taken_by is null) = (taken_at is null))
);
create index solana_addresses_free on solana_addresses (key_index) where taken_at is null;

-- One address, one order, for ever, on every network of its key family; TON has one address and a tag per order.
-- No foreign keys: two row locks per order on a merchant's row would serialise its orders, and payins has the same ids.
create table addresses (
    key_family text not null
        constraint addresses_family check (key_family in ('evm', 'tron', 'bitcoin', 'solana', 'ton')),
    address text not null,
    tag text not null default '',
    key_index bigint not null,
    merchant_id uuid,
    payin_id uuid,
    purpose text not null,
    created_at timestamptz not null default now(),
    primary key (key_family, address, tag),
    constraint addresses_purpose check (
        (purpose = 'deposit' and merchant_id is not null and payin_id is not null)
        or (purpose = 'wallet' and merchant_id is null and payin_id is null and tag = '')
    ),
    constraint addresses_tag check ((key_family = 'ton' and purpose = 'deposit') = (tag <> ''))
);
comment on table addresses is 'append-only: an address that was ever ours is watched for ever';
