-- Payouts, settlements and refunds. One row for the life of each; every change of state has its event.

create table payouts (
    payout_id uuid primary key,
    merchant_id uuid not null references merchants,
    kind text not null constraint payouts_kind check (kind in ('payout', 'settlement', 'refund')),
    source_id text not null,
    state text not null,
    asset text not null,
    network text not null,
    target text not null,
    tag text not null,
    units numeric(78, 0) not null,
    fee_units numeric(78, 0) not null,
    network_fee_units numeric(78, 0) not null,
    native_max_units numeric(78, 0) not null,
    fiat_amount numeric(40, 18) not null,
    symbol text not null,
    exchange_rate numeric(40, 18) not null,
    callback_url text not null,
    reason text not null default '',
    txid text not null default '',
    request_hash bytea not null,
    created_at timestamptz not null,
    ended_at timestamptz,
    constraint payouts_one_per_source unique (merchant_id, kind, source_id),
    constraint payouts_amounts check (units > 0 and fee_units >= 0 and network_fee_units >= 0),
    constraint payouts_state_known check (state in ('in_review', 'approved', 'signed', 'broadcast', 'uncertain',
        'confirming', 'completed', 'rejected', 'cancelled', 'failed')),
    constraint payouts_ended check ((ended_at is not null) = (state in ('completed', 'rejected', 'cancelled', 'failed')))
);
create index payouts_open on payouts (merchant_id, created_at) where ended_at is null;
create index payouts_in_review on payouts (created_at) where state = 'in_review';
create index payouts_of_target on payouts (merchant_id, network, target);

create table payout_events (
    payout_id uuid not null references payouts,
    seq integer not null,
    event text not null,
    from_state text not null,
    to_state text not null,
    cause text not null,
    at timestamptz not null,
    primary key (payout_id, seq)
);

-- What a merchant pays for money that leaves, and how much may leave; asset '' stands for every asset without a row of its own.
create table payout_terms (
    merchant_id uuid not null references merchants,
    kind text not null constraint payout_terms_kind check (kind in ('payout', 'settlement')),
    asset text not null,
    fee_ppm integer not null default 0 constraint payout_terms_ppm check (fee_ppm between 0 and 200000),
    fee_flat_units numeric(78, 0) not null default 0,
    payment_max_units numeric(78, 0),
    day_max_units numeric(78, 0),
    review_above_units numeric(78, 0),
    primary key (merchant_id, kind, asset)
);

-- Where a merchant's withdrawals may be asked for from.
alter table merchants add column payout_networks text[] not null default '{}';
