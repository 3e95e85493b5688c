-- Outputs of a hot wallet are joined while the network is cheap (Bitcoin): a move of its own kind that goes nowhere.
alter table treasury_moves drop constraint treasury_moves_kind;
alter table treasury_moves add constraint treasury_moves_kind check (kind in ('sweep', 'cold', 'consolidation')) not valid;

-- When they are: rates are base units per 1,000 vB, 0 for never. Networks without a row have the standard terms.
create table treasury_join_terms (
    network text primary key,
    low_rate bigint not null constraint treasury_join_terms_low_rate check (low_rate between 0 and 1000000),
    least integer not null constraint treasury_join_terms_least check (least between 2 and 200),
    keep integer not null constraint treasury_join_terms_keep check (keep between 0 and 10000),
    set_by text not null,
    set_at timestamptz not null
);
