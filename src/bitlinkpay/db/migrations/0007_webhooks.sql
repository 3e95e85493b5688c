-- Callbacks to merchants: what is owed, and every attempt with what was sent and answered.

create table deliveries (
    delivery_id uuid primary key,
    merchant_id uuid not null,
    subject_id uuid not null,
    kind text not null,
    url text not null,
    endpoint text not null,
    body bytea not null,
    state text not null,
    attempts integer not null default 0,
    step integer not null default 0,
    sequence bigint generated always as identity,
    next_at timestamptz not null,
    lease_until timestamptz,
    created_at timestamptz not null,
    delivered_at timestamptz,
    constraint deliveries_state_known check (state in ('pending', 'delivered', 'parked', 'ended')),
    constraint deliveries_delivered_has_time check ((state = 'delivered') <= (delivered_at is not null)),
    constraint deliveries_counts check (attempts >= 0 and step >= 0)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1);

-- Claims walk from endpoint to endpoint by this index: a million waiting for one dead endpoint cost one step.
create index deliveries_due on deliveries (endpoint, next_at) where state = 'pending';
create index deliveries_by_subject on deliveries (merchant_id, subject_id, sequence);
create index deliveries_by_state on deliveries (state, sequence) where state <> 'delivered';

-- The number of an attempt without a row was taken by a worker that died before it could write: outcome unknown.
create table delivery_attempts (
    merchant_id uuid not null,
    delivery_id uuid not null references deliveries,
    attempt integer not null,
    started_at timestamptz not null,
    finished_at timestamptz not null,
    url text not null,
    request_headers jsonb not null,
    response_status integer,
    response_headers jsonb not null,
    response_body text not null,
    error text not null,
    outcome text not null,
    primary key (delivery_id, attempt),
    constraint delivery_attempts_outcome_known check (outcome in ('delivered', 'retry', 'ended'))
);

-- What moved a delivery other than its own attempts.
create table delivery_events (
    delivery_id uuid not null references deliveries,
    seq bigint generated always as identity,
    event text not null,
    from_state text not null,
    to_state text not null,
    cause text not null,
    at timestamptz not null,
    primary key (delivery_id, seq)
);
