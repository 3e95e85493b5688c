-- Our own transactions. A lane is one paying wallet on one network; its transactions take slots one after the other. Signed bytes
-- are stored before they are sent, and no row here is ever deleted.

create table lanes (
    network text not null,
    payer text not null,
    role text not null constraint lanes_role check (role in ('hot', 'deposit')),
    key_index bigint not null,
    next_number bigint not null constraint lanes_number check (next_number >= 0),
    frozen_reason text not null default '',
    lease_token uuid,
    lease_until timestamptz,
    primary key (network, payer)
);

create table transactions (
    transaction_id uuid primary key,
    network text not null,
    payer text not null,
    number bigint not null,
    purpose text not null,
    state text not null,
    fee_max_units numeric(78, 0) not null constraint transactions_fee_max check (fee_max_units >= 0),
    fee_units numeric(78, 0) not null default 0 constraint transactions_fee check (fee_units >= 0),
    txid text not null default '',
    height bigint,
    block_hash text not null default '',
    expires_at timestamptz not null,
    allotted_at timestamptz not null,
    updated_at timestamptz not null,
    constraint transactions_lane foreign key (network, payer) references lanes,
    constraint transactions_state_known check (state in
        ('allotted', 'signed', 'broadcast', 'uncertain', 'mined', 'final', 'reverted', 'released', 'dead'))
);
-- One living transaction per slot: only one that was never signed gives its slot back.
create unique index transactions_slot on transactions (network, payer, number) where state <> 'released';
create index transactions_open on transactions (network, payer, number)
    where state in ('allotted', 'signed', 'broadcast', 'uncertain', 'mined');

create table transaction_attempts (
    transaction_id uuid not null references transactions,
    number smallint not null,
    network text not null,
    plan bytea not null,
    txid text not null default '',
    raw bytea not null default '',
    answer text not null default '',
    planned_at timestamptz not null,
    signed_at timestamptz,
    sent_at timestamptz,
    primary key (transaction_id, number),
    constraint transaction_attempts_signed check ((signed_at is null) = (txid = '') and (signed_at is null) = (raw = ''))
);
create unique index transaction_attempts_txid on transaction_attempts (network, txid) where txid <> '';

create table transaction_events (
    transaction_id uuid not null references transactions,
    seq integer not null,
    event text not null,
    from_state text not null,
    to_state text not null,
    cause text not null,
    at timestamptz not null,
    primary key (transaction_id, seq)
);

create table sendings (
    sending_id uuid primary key,
    owner text not null,
    owner_id uuid not null,
    merchant_id uuid,
    network text not null,
    purpose text not null,
    payer text not null,
    payer_role text not null,
    payer_index bigint not null,
    asset text not null default '',
    source text not null default '',
    source_role text not null default 'hot',
    source_index bigint not null default 0,
    target text not null default '',
    tag text not null default '',
    units numeric(78, 0) not null constraint sendings_units check (units >= 0),
    fee_max_units numeric(78, 0) not null constraint sendings_fee_max check (fee_max_units >= 0),
    state text not null,
    transaction_id uuid references transactions,
    place integer not null default 0,
    reason text not null default '',
    queued_at timestamptz not null,
    not_before timestamptz not null,
    updated_at timestamptz not null,
    constraint sendings_one_per_owner unique (owner, owner_id),
    constraint sendings_paid check ((units > 0) = (asset <> '')),
    constraint sendings_state_known check (state in
        ('queued', 'sending', 'uncertain', 'confirming', 'delivered', 'failed', 'cancelled')),
    constraint sendings_carried check (state in ('queued', 'failed', 'cancelled') or transaction_id is not null)
);
create index sendings_queued on sendings (network, payer, queued_at) where state = 'queued';
create index sendings_of_transaction on sendings (transaction_id) where transaction_id is not null;
create index sendings_open on sendings (network, source, asset) where state in ('sending', 'uncertain', 'confirming');

create table sending_events (
    sending_id uuid not null references sendings,
    seq integer not null,
    event text not null,
    from_state text not null,
    to_state text not null,
    cause text not null,
    at timestamptz not null,
    primary key (sending_id, seq)
);

-- Unspent outputs of ours (Bitcoin). An output is spent by one transaction for ever, unless that one is proved dead.
create table unspents (
    network text not null,
    txid text not null,
    vout integer not null,
    address text not null,
    role text not null,
    key_index bigint not null,
    units numeric(78, 0) not null constraint unspents_units check (units > 0),
    spent_by uuid references transactions,
    known_at timestamptz not null,
    primary key (network, txid, vout)
);
create index unspents_free on unspents (network, address) where spent_by is null;

-- Who may not pay at the moment: a network, an asset, a merchant or everything. One person stops.
create table payment_stops (
    scope text not null constraint payment_stops_scope check (scope in ('all', 'network', 'asset', 'merchant')),
    subject text not null,
    reason text not null,
    since timestamptz not null,
    primary key (scope, subject)
);

-- Transactions of ours as the watcher meets them: what they bring to our own addresses is no deposit.
create table own_transactions (
    network text not null,
    txid text not null,
    pays_others boolean not null,
    primary key (network, txid)
);
comment on table own_transactions is 'append-only: written with the signed bytes, before they are sent';

-- Sandbox: which transaction of ours holds a payer's number on a simulated network.
create table sim_slots (
    network text not null references sim_networks,
    payer text not null,
    number bigint not null,
    txid bytea not null,
    fee_units numeric(78, 0) not null,
    primary key (network, payer, number)
);
create index sim_slots_of_txid on sim_slots (network, txid);

-- Money without an owner that an operator takes as the company's own.
alter table deposits drop constraint deposits_state_known;
alter table deposits add constraint deposits_state_known check (state in
    ('seen', 'final', 'screened', 'credited', 'unassigned', 'quarantined', 'claimed', 'dropped', 'reversed')) not valid;
