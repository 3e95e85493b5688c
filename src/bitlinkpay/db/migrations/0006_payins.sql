-- Orders. One row for the life of an order; every change of state has its event.

create table payins (
    payin_id uuid primary key,
    merchant_id uuid not null references merchants,
    source_id text not null,
    state text not null,
    labels text[] not null default '{}',
    coin text not null,
    asset text not null default '',
    network text not null default '',
    units numeric(78, 0) not null,
    accepted_units numeric(78, 0) not null default 0,
    fee_ppm integer not null,
    fee_units numeric(78, 0) not null,
    fiat_amount numeric(40, 18) not null,
    symbol text not null,
    exchange_rate numeric(40, 18) not null,
    address text not null default '',
    tag text not null default '',
    policy jsonb not null,
    callback_url text not null,
    lang text not null,
    links jsonb not null,
    request_hash bytea not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    deposit_id uuid references deposits,
    paid_at timestamptz,
    version integer not null default 0,
    constraint payins_one_per_source unique (merchant_id, source_id),
    constraint payins_state_known check (state in ('created', 'confirming', 'paid', 'expired', 'cancelled')),
    constraint payins_amounts check (units >= 0 and accepted_units >= 0 and fee_units >= 0),
    constraint payins_paid_has_deposit check ((state = 'paid') = (deposit_id is not null))
);

create index payins_expiring on payins (network, expires_at) where state = 'created';
create index payins_open_native on payins (asset, payin_id) where state in ('created', 'confirming');

alter table deposits add constraint deposits_payin foreign key (payin_id) references payins;

create table payin_events (
    payin_id uuid not null references payins,
    seq integer not null,
    event text not null,
    from_state text not null,
    to_state text not null,
    cause text not null,
    at timestamptz not null,
    primary key (payin_id, seq)
);
