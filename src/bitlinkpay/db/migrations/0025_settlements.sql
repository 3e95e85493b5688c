-- Settlements: the merchant's own money going home, asked for by hand or by a rule; the payout that carries one is in `payouts`.

-- Where settlements go: label '' is the bound address of a network, any other one a saved address. A new one rests until usable_at.
create table settlement_addresses (
    address_id uuid primary key,
    merchant_id uuid not null references merchants,
    network text not null,
    label text not null,
    target text not null,
    tag text not null,
    authorization_id uuid not null references authorizations,
    bound_at timestamptz not null,
    usable_at timestamptz not null,
    ended_at timestamptz,
    constraint settlement_addresses_rest check (usable_at >= bound_at)
);
create unique index settlement_addresses_one on settlement_addresses (merchant_id, network, label) where ended_at is null;

-- A rule settles by schedule (cadence, and next_due_at as its next trigger) or when the balance reaches threshold_units.
create table settlement_rules (
    rule_id uuid primary key,
    merchant_id uuid not null references merchants,
    asset text not null,
    cadence text not null constraint settlement_rules_cadence check (cadence in ('', 'daily', 'weekly', 'monthly')),
    at_minute integer not null constraint settlement_rules_minute check (at_minute between 0 and 1439),
    day integer not null constraint settlement_rules_day check (day between 0 and 31),
    zone text not null,
    threshold_units numeric(78, 0),
    reserve_units numeric(78, 0) not null constraint settlement_rules_reserve check (reserve_units >= 0),
    fee_max_units numeric(78, 0),
    next_due_at timestamptz,
    authorization_id uuid not null references authorizations,
    created_at timestamptz not null,
    ended_at timestamptz,
    constraint settlement_rules_kind check ((cadence = '') = (threshold_units is not null)
        and (next_due_at is not null) = (cadence <> ''))
);
create index settlement_rules_due on settlement_rules (next_due_at) where ended_at is null;
create index settlement_rules_thresholds on settlement_rules (rule_id) where ended_at is null and threshold_units is not null;
create index settlement_rules_of_merchant on settlement_rules (merchant_id);

-- One row per settlement. A rule's trigger is its due time, or the version of the balance that reached the threshold and how often.
create table settlements (
    settlement_id uuid primary key,
    merchant_id uuid not null references merchants,
    cause text not null constraint settlements_cause check (cause in ('manual', 'schedule', 'threshold')),
    rule_id uuid references settlement_rules,
    trigger text not null,
    state text not null constraint settlements_state check (state in ('due', 'requested', 'skipped')),
    asset text not null,
    payout_id uuid references payouts constraint settlements_one_per_payout unique,
    reason text not null,
    detail text not null,
    digest bytea not null,
    authorization_id uuid references authorizations,
    tries integer not null default 0,
    not_before timestamptz not null,
    created_at timestamptz not null,
    decided_at timestamptz,
    constraint settlements_one_per_trigger unique (rule_id, trigger),
    constraint settlements_ruled check ((cause = 'manual') = (rule_id is null)),
    constraint settlements_authorized check ((cause = 'manual') = (authorization_id is not null)),
    constraint settlements_paid check ((state = 'requested') = (payout_id is not null)),
    constraint settlements_reasoned check ((state = 'skipped') = (reason <> '')),
    constraint settlements_decided check ((state = 'due') = (decided_at is null))
);
create index settlements_due on settlements (not_before) where state = 'due';
create unique index settlements_one_crossing on settlements (rule_id) where state = 'due' and cause = 'threshold';
create index settlements_of_merchant on settlements (merchant_id, settlement_id);

create table settlement_events (
    settlement_id uuid not null references settlements,
    seq integer not null,
    event text not null,
    from_state text not null,
    to_state text not null,
    cause text not null,
    at timestamptz not null,
    primary key (settlement_id, seq)
);
