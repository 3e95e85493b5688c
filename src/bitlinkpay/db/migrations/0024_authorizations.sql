-- What a merchant's people show before its own money moves: payment password, one-time code, known device; and what they were let do.

-- One payment password a merchant; wrong tries of password and code are counted together.
create table payment_credentials (
    merchant_id uuid primary key references merchants,
    password_hash text not null constraint payment_credentials_argon check (password_hash like '$argon2id$%'),
    failures integer not null default 0 constraint payment_credentials_failures check (failures >= 0),
    locked_until timestamptz,
    changed_at timestamptz not null
);

-- Makers of one-time codes (RFC 6238). `sealed` is their key (core/sealing.py); a code counts if its step is later than `last_step`.
create table authenticators (
    authenticator_id uuid primary key,
    merchant_id uuid not null references merchants,
    sealed bytea not null,
    last_step bigint not null default 0,
    created_at timestamptz not null,
    confirmed_at timestamptz,
    ended_at timestamptz
);
create unique index authenticators_one_live on authenticators (merchant_id) where confirmed_at is not null and ended_at is null;
create unique index authenticators_one_pending on authenticators (merchant_id) where confirmed_at is null and ended_at is null;

-- A device is known by SHA-256 of the token that it keeps.
create table payment_devices (
    device_id uuid primary key,
    merchant_id uuid not null references merchants,
    fingerprint bytea not null constraint payment_devices_fingerprint check (octet_length(fingerprint) = 32),
    name text not null,
    created_at timestamptz not null,
    confirmed_at timestamptz,
    ended_at timestamptz,
    constraint payment_devices_once unique (merchant_id, fingerprint)
);

-- Leave to do exactly one thing, once.
create table authorizations (
    authorization_id uuid primary key,
    merchant_id uuid not null references merchants,
    action text not null,
    digest bytea not null constraint authorizations_digest check (octet_length(digest) = 32),
    factor_id uuid not null,
    mark text not null,
    device_id uuid not null,
    peer text not null,
    given_at timestamptz not null,
    expires_at timestamptz not null,
    used_at timestamptz,
    constraint authorizations_one_per_answer unique (factor_id, mark)
);

-- History of all of this, without any secret.
create table security_events (
    merchant_id uuid not null references merchants,
    seq integer not null,
    event text not null,
    cause text not null,
    at timestamptz not null,
    primary key (merchant_id, seq)
);
