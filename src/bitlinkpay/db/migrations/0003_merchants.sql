-- Merchants: their terms, client certificates, webhook secrets and history.

create table merchants (
    merchant_id uuid primary key,
    broker text not null constraint merchants_broker_unique unique
        constraint merchants_broker check (broker ~ '^[0-9a-z_-]{4,64}$'),
    name text not null constraint merchants_name check (length(name) between 1 and 80),
    state text not null constraint merchants_state check (state in ('active', 'suspended', 'revoked')),
    pricing_currency text not null constraint merchants_pricing_currency check (pricing_currency ~ '^[A-Z]{3}$'),
    callback_url text not null,
    callback_statuses integer[] not null
        constraint merchants_callback_statuses check (callback_statuses <@ array[8, 12, 16, 20]),
    fee_ppm integer not null constraint merchants_fee_ppm check (fee_ppm between 0 and 200000),
    policy jsonb not null,
    order_life interval not null
        constraint merchants_order_life check (order_life between interval '1 minute' and interval '7 days'),
    return_hosts text[] not null,
    lang text not null,
    support text not null,
    accent text not null constraint merchants_accent check (accent ~ '^(#[0-9a-f]{6})?$'),
    allowed_assets text[] not null,
    rate_per_minute integer not null constraint merchants_rate check (rate_per_minute > 0),
    created_at timestamptz not null
);

-- A certificate's identity is SHA-256 of its SubjectPublicKeyInfo; revoked_at may lie ahead during a rotation.
create table merchant_certificates (
    merchant_id uuid not null references merchants,
    spki bytea not null constraint merchant_certificates_spki_unique unique
        constraint merchant_certificates_spki check (octet_length(spki) = 32),
    serial text not null,
    pem text not null,
    not_before timestamptz not null,
    not_after timestamptz not null,
    revoked_at timestamptz,
    primary key (merchant_id, spki)
);

-- Signing secrets of callbacks; those whose expires_at is empty or ahead all sign.
create table merchant_webhook_secrets (
    merchant_id uuid not null references merchants,
    secret text not null,
    created_at timestamptz not null,
    expires_at timestamptz,
    primary key (merchant_id, secret)
);
create unique index merchant_webhook_secrets_current on merchant_webhook_secrets (merchant_id) where expires_at is null;

create table merchant_events (
    merchant_id uuid not null references merchants,
    seq integer not null,
    event text not null,
    from_state text not null,
    to_state text not null,
    cause text not null,
    detail jsonb not null,
    at timestamptz not null,
    primary key (merchant_id, seq)
);
