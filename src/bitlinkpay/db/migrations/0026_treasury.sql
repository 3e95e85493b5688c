-- Money of ours that moves between our own wallets: deposits to the hot wallet, surplus to cold storage. One row for the life of each
-- move; every change of state has its event. The payments that carry it stand in sendings, with the move's id as their owner's.

create table treasury_moves (
    move_id uuid primary key,
    kind text not null constraint treasury_moves_kind check (kind in ('sweep', 'cold')),
    method text not null constraint treasury_moves_method check (method in ('together', 'alone', 'fuelled')),
    network text not null,
    asset text not null,
    source text not null,
    source_role text not null constraint treasury_moves_role check (source_role in ('hot', 'deposit')),
    source_index bigint not null,
    payer text not null,
    payer_role text not null,
    payer_index bigint not null,
    target text not null,
    units numeric(78, 0) not null constraint treasury_moves_units check (units > 0),
    fee_max_units numeric(78, 0) not null constraint treasury_moves_fee check (fee_max_units >= 0),
    gas_units numeric(78, 0) not null default 0 constraint treasury_moves_gas check (gas_units >= 0),
    state text not null,
    reason text not null default '',
    planned_at timestamptz not null,
    updated_at timestamptz not null,
    constraint treasury_moves_state_known check (state in ('fuelling', 'moving', 'done', 'failed')),
    constraint treasury_moves_fuelled check ((method = 'fuelled') = (gas_units > 0))
);
-- One at a time from an address: two would spend the same coins, or the same gas.
create unique index treasury_moves_one_open on treasury_moves (network, source) where state in ('fuelling', 'moving');
create index treasury_moves_of_network on treasury_moves (network, planned_at);
create index treasury_moves_gas on treasury_moves (network, source, planned_at) where gas_units > 0;

create table treasury_move_events (
    move_id uuid not null references treasury_moves,
    seq integer not null,
    event text not null,
    from_state text not null,
    to_state text not null,
    cause text not null,
    at timestamptz not null,
    primary key (move_id, seq)
);

-- Who plans for a network: one process at a time.
create table treasury_leases (
    network text primary key,
    lease_token uuid not null,
    lease_until timestamptz not null
);

-- How much of an asset belongs into the hot wallet: below the floor an alarm, above the ceiling the surplus over the target goes cold.
create table treasury_levels (
    asset text primary key,
    floor_units numeric(78, 0) not null,
    target_units numeric(78, 0) not null,
    ceiling_units numeric(78, 0) not null,
    set_by text not null,
    set_at timestamptz not null,
    constraint treasury_levels_order check (floor_units between 0 and target_units and target_units <= ceiling_units)
);

-- How much native coin may be handed to deposit addresses in a day, per network; networks without a row have the standard limits.
create table treasury_gas_limits (
    network text primary key,
    day_units numeric(78, 0) not null constraint treasury_gas_limits_day check (day_units >= 0),
    tops_per_address integer not null constraint treasury_gas_limits_tops check (tops_per_address between 0 and 100),
    set_by text not null,
    set_at timestamptz not null
);

-- What left an address by a payment of ours, or reached it as gas, is looked up when its next deposit is compared with the chain.
create index sendings_from_deposits on sendings (network, source) where source_role = 'deposit';
create index sendings_to_deposits on sendings (network, target) where purpose = 'gas';
