-- Prices that are believed now, and what screening said about where money came from.

-- One row per leg; one side is the pivot currency. Overwritten by each refresh: an order keeps the rate it was made at.
create table rates (
    base text not null,
    quote text not null,
    kind text not null,
    value numeric,
    observed_at timestamptz not null,
    expires_at timestamptz,
    reason text not null default '',
    heard jsonb not null default '{}',
    recorded_at timestamptz not null default now(),
    primary key (base, quote),
    constraint rates_kind_known check (kind in ('market', 'reference', 'fixed')),
    constraint rates_value_sane check (value > 0 and value < 1000000000),
    constraint rates_halted_has_reason check ((value is null) = (reason <> '')),
    constraint rates_fixed_never_ends check ((expires_at is null) = (kind = 'fixed'))
) with (fillfactor = 70);

-- Every accepted version of every list, with its content: a verdict can be checked again for ever, and a damaged file
-- never replaces the last good one, not even over a restart.
create table risk_lists (
    name text not null,
    version text not null,
    rows integer not null,
    content bytea not null,
    accepted_at timestamptz not null,
    primary key (name, version),
    constraint risk_lists_not_empty check (rows > 0)
);
comment on table risk_lists is 'append-only';

-- A verdict is about one deposit, one address in one list version of one provider, and about nothing else.
create table verdicts (
    verdict_id uuid primary key,
    deposit_id uuid not null,
    network text not null,
    address text not null,
    provider text not null,
    list_version text not null,
    result text not null,
    rule text not null,
    raw jsonb not null,
    screened_at timestamptz not null,
    recorded_at timestamptz not null default now(),
    constraint verdicts_bound unique (deposit_id, address, provider, list_version),
    constraint verdicts_result_known check (result in ('clear', 'listed', 'unknown'))
);
comment on table verdicts is 'append-only';
