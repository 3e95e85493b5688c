-- TRON's energy: the hot wallet's staked coin is lent to an order's address for the length of its sweep and taken back. A loan moves no
-- money, so its stake never stands among the units of a payment: what counts units counts none of it.

alter table sendings add column stake_units numeric(78, 0) not null default 0;
alter table sendings add column covered_units numeric(78, 0) not null default 0;
alter table sendings drop constraint sendings_paid;
alter table sendings add constraint sendings_paid check ((units + stake_units > 0) = (asset <> '')) not valid;
alter table sendings add constraint sendings_stake check
    (stake_units >= 0 and (units = 0 or stake_units = 0) and (purpose in ('lend', 'recall')) = (stake_units > 0)) not valid;
alter table sendings add constraint sendings_covered check (covered_units between 0 and greatest(fee_max_units, 0)) not valid;

alter table treasury_moves add column stake_units numeric(78, 0) not null default 0;
alter table treasury_moves add column lend_fee_units numeric(78, 0) not null default 0;
alter table treasury_moves add column covered_units numeric(78, 0) not null default 0;
alter table treasury_moves drop constraint treasury_moves_method;
alter table treasury_moves add constraint treasury_moves_method check (method in ('together', 'alone', 'fuelled', 'lent')) not valid;
alter table treasury_moves drop constraint treasury_moves_state_known;
alter table treasury_moves add constraint treasury_moves_state_known check
    (state in ('fuelling', 'lending', 'moving', 'done', 'failed')) not valid;
alter table treasury_moves drop constraint treasury_moves_fuelled;
alter table treasury_moves add constraint treasury_moves_fuelled check
    (case method when 'fuelled' then gas_units > 0 when 'lent' then true else gas_units = 0 end) not valid;
alter table treasury_moves add constraint treasury_moves_lent check
    ((method = 'lent') = (stake_units > 0) and lend_fee_units >= 0 and covered_units between 0 and greatest(fee_max_units, 0)) not valid;
drop index treasury_moves_one_open;
create unique index treasury_moves_one_open on treasury_moves (network, source) where state in ('fuelling', 'lending', 'moving');

-- Stake that a sweep asked for, until the chain's final blocks say that all of it is back. One row for the life of each loan.
create table treasury_loans (
    move_id uuid primary key references treasury_moves,
    network text not null,
    lender text not null,
    lender_index bigint not null,
    borrower text not null,
    borrower_index bigint not null,
    stake_units numeric(78, 0) not null constraint treasury_loans_stake check (stake_units > 0),
    recall_id uuid constraint treasury_loans_recall unique,
    state text not null constraint treasury_loans_state_known check (state in ('asked', 'lent', 'returning', 'returned', 'failed')),
    reason text not null default '',
    asked_at timestamptz not null,
    updated_at timestamptz not null,
    constraint treasury_loans_returning check (state <> 'returning' or recall_id is not null)
);
create unique index treasury_loans_one_open on treasury_loans (network, borrower) where state in ('asked', 'lent', 'returning');

create table treasury_loan_events (
    move_id uuid not null references treasury_loans,
    seq integer not null,
    event text not null,
    from_state text not null,
    to_state text not null,
    cause text not null,
    at timestamptz not null,
    primary key (move_id, seq)
);
comment on table treasury_loan_events is 'append-only';

-- Simulated networks: what wallets have staked, and what transactions lend (above zero) and take back (below).
create table sim_stakes (
    network text not null references sim_networks,
    address text not null,
    units numeric(78, 0) not null constraint sim_stakes_units check (units > 0),
    primary key (network, address)
);
create table sim_loans (
    network text not null references sim_networks,
    txid bytea not null,
    lender text not null,
    borrower text not null,
    units numeric(78, 0) not null constraint sim_loans_units check (units <> 0),
    primary key (network, txid)
);
create index sim_loans_of_borrower on sim_loans (network, borrower);
