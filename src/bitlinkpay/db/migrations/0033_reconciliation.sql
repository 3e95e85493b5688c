-- Books against chains. What stands at each place of ours is compared at a final height, page by page, and differences have a life.

create table reconciliation_runs (
    network text primary key,
    begun_at timestamptz not null
);
create table reconciliation_pages (
    asset text primary key,
    after_account bigint not null
);
create index ledger_accounts_custody on ledger_accounts (asset, account_id)
    where kind in ('custody:deposits', 'custody:hot', 'custody:cold');

-- The newest final height at which books and chain agreed on a place.
create table reconciliation_checks (
    asset text not null,
    place text not null,
    height bigint not null,
    checked_at timestamptz not null,
    primary key (asset, place)
);

-- `books_units` is what the chain should have shown at `height` by the books of that moment.
create table differences (
    difference_id uuid primary key,
    network text not null,
    asset text not null,
    place text not null,
    height bigint not null,
    books_units numeric(78, 0) not null,
    chain_units numeric(78, 0) not null,
    state text not null,
    is_explained boolean not null default false,
    evidence jsonb not null default '[]',
    seen_at timestamptz not null,
    updated_at timestamptz not null,
    constraint differences_state_known check (state in ('suspected', 'open', 'agreed', 'passed', 'resolved')),
    constraint differences_are_some check (books_units <> chain_units)
);
create unique index differences_one_open on differences (asset, place) where state in ('suspected', 'open');
create index differences_of_network on differences (network, difference_id);

create table difference_events (
    difference_id uuid not null references differences,
    seq integer not null,
    event text not null,
    from_state text not null,
    to_state text not null,
    cause text not null,
    at timestamptz not null,
    primary key (difference_id, seq)
);

-- What is sent from and to a place, by height, is added to its books or taken off.
create index sendings_by_source on sendings (network, source) where transaction_id is not null;
create index sendings_by_target on sendings (network, target) where transaction_id is not null and purpose <> 'payout';
create index transactions_by_payer on transactions (network, payer, height) where height is not null;
