-- What each token's contract showed when it was last accepted, and whether the asset is on hold since.

create table asset_facts (
    asset text primary key,
    state text not null,
    reason text not null,
    seen jsonb not null,
    accepted jsonb,
    version integer not null,
    updated_at timestamptz not null,
    constraint asset_facts_state_known check (state in ('accepted', 'held')),
    constraint asset_facts_reason_of_hold check ((reason <> '') = (state = 'held')),
    constraint asset_facts_accepted_once check (state = 'held' or accepted is not null)
);

create table asset_events (
    asset text not null references asset_facts,
    seq integer not null,
    event text not null,
    from_state text not null,
    to_state text not null,
    actor text not null,
    cause text not null,
    facts jsonb not null,
    at timestamptz not null,
    primary key (asset, seq)
);
