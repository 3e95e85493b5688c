-- The REST API: keys that sign requests, answers kept for repeats, the feed of events, and what its pages walk along.

-- `material` opens nothing by itself: a secret sealed under a key that is not in the database, or a public key.
create table api_keys (
    key_id uuid primary key,
    merchant_id uuid not null references merchants,
    name text not null constraint api_keys_name check (length(name) between 1 and 80),
    algorithm text not null constraint api_keys_algorithm check (algorithm in ('hmac-sha256', 'ed25519')),
    material bytea not null,
    scopes text[] not null constraint api_keys_scopes
        check (scopes <@ array['payin', 'payout', 'read'] and cardinality(scopes) > 0),
    networks text[] not null,
    created_at timestamptz not null,
    revoked_at timestamptz
);
create index api_keys_of_merchant on api_keys (merchant_id, key_id);

-- What was answered under an idempotency key, written in the transaction that did the work.
create table api_answers (
    merchant_id uuid not null references merchants,
    idempotency_key text not null,
    request_hash bytea not null constraint api_answers_hash check (octet_length(request_hash) = 32),
    status integer not null,
    body bytea not null,
    answered_at timestamptz not null,
    primary key (merchant_id, idempotency_key)
);
create index api_answers_by_age on api_answers (answered_at);

-- The feed of events. `seq` is no place in it: a transaction may commit after one that took a higher number. Places are given
-- to committed events only, by one writer at a time, so that who has read up to a place has missed nothing before it.
alter table outbox add column place bigint;
create index outbox_unplaced on outbox (seq) where place is null and merchant_id is not null;
create index outbox_feed on outbox (merchant_id, place) where place is not null;
create table outbox_places (
    singleton boolean primary key default true constraint outbox_places_single check (singleton),
    last bigint not null
);
insert into outbox_places (last) values (0);

-- Pages of a merchant's own things, newest first.
create index payins_of_merchant on payins (merchant_id, payin_id);
create index payouts_of_merchant on payouts (merchant_id, payout_id);
create index deliveries_of_merchant on deliveries (merchant_id, sequence);
create index ledger_postings_newest on ledger_postings (merchant_id, posting_id) where merchant_id is not null;
