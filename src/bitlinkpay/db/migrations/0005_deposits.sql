-- What arrived on the chains. The journal is the chain as we have verified it; deposits are never deleted.

create table cursors (
    network text primary key,
    height bigint not null,
    hash text not null,
    block_at timestamptz not null,
    final_height bigint not null,
    lease_token uuid,
    lease_until timestamptz,
    updated_at timestamptz not null
);

create table blocks (
    network text not null,
    height bigint not null,
    hash text not null,
    parent text not null,
    block_at timestamptz not null,
    primary key (network, height)
);

create table deposits (
    deposit_id uuid primary key,
    network text not null,
    height bigint not null,
    block_hash text not null,
    txid text not null,
    position text not null,
    asset text not null,
    source text not null,
    target text not null,
    tag text not null,
    units numeric(78, 0) not null,
    arrival text not null,
    merchant_id uuid references merchants,
    payin_id uuid,
    state text not null,
    label text not null default '',
    fee_units numeric(78, 0) not null default 0,
    first_block_at timestamptz not null,
    seen_at timestamptz not null,
    updated_at timestamptz not null,
    constraint deposits_units_positive check (units > 0),
    constraint deposits_fee_within check (fee_units between 0 and units),
    constraint deposits_state_known check (state in (
        'seen', 'final', 'screened', 'credited', 'unassigned', 'quarantined', 'dropped', 'reversed'))
);

-- A transfer may stand in several blocks over time (reorganisations), in the same one twice when a branch comes back, but
-- only one row of it ever counts.
create unique index deposits_one_live on deposits (network, txid, position, target)
    where state not in ('dropped', 'reversed');
create index deposits_of_transfer on deposits (network, txid);
create index deposits_unsettled on deposits (network, state, height) where state in ('seen', 'final', 'screened');
create index deposits_of_payin on deposits (payin_id);
create index deposits_put_aside on deposits (merchant_id, deposit_id) where state in ('unassigned', 'quarantined');
create index deposits_at_height on deposits (network, height);

create table deposit_events (
    deposit_id uuid not null references deposits,
    seq smallint not null,
    event text not null,
    from_state text not null,
    to_state text not null,
    cause text not null,
    at timestamptz not null,
    primary key (deposit_id, seq)
);
