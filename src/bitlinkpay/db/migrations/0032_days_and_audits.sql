-- Days of the books that are over, and how far the auditor has read.

-- Which transaction wrote a posting. What a snapshot's xmin has passed is decided for good, so that whoever reads by this number
-- misses no posting that was recorded early and committed late. Those from before it was kept count as the oldest.
alter table ledger_postings add column written_in xid8 not null default '0';
alter table ledger_postings alter column written_in set default pg_current_xact_id();
create index ledger_postings_as_written on ledger_postings (written_in, posting_id);

-- A merchant's day is read by itself, however long the history is; postings stand in the order of their days.
create index ledger_postings_of_merchant on ledger_postings (merchant_id, asset, day) where merchant_id is not null;
create index ledger_postings_of_day on ledger_postings using brin (day) with (autosummarize = on);
create index ledger_accounts_frozen on ledger_accounts (account_id) where frozen_reason is not null;

-- `entries`: everything up to this posting was audited when it was new. `whole`: when all of the books were audited last.
create table ledger_audits (
    audit text primary key,
    written_in xid8 not null default '0',
    posting_id uuid not null default '00000000-0000-0000-0000-000000000000',
    audited_at timestamptz not null,
    constraint ledger_audits_known check (audit in ('entries', 'whole'))
);
insert into ledger_audits (audit, audited_at) values ('entries', '-infinity'), ('whole', '-infinity');

-- How a day ends. `sealed`: nothing new is booked into it. `awaited`: what was being booked while it was sealed has a number below
-- `horizon`. `closed`: all of that has ended, and the balances that each merchant closed the day with are written down.
create table ledger_day_events (
    day date not null,
    event text not null constraint ledger_day_events_known check (event in ('sealed', 'awaited', 'closed')),
    horizon xid8,
    at timestamptz not null default clock_timestamp(),
    primary key (day, event),
    constraint ledger_day_events_horizon check ((horizon is not null) = (event = 'awaited'))
);

-- The day of a posting is that of its recording, by the server's own clock. Should that clock fall back over a midnight that is
-- sealed, nothing is booked until it is right again.
create function ledger_day_is_open() returns trigger language plpgsql as $$
declare
    over constant date := (select max(day) from ledger_day_events);
begin
    if over is not null and exists (select from fresh where day <= over) then
        raise exception 'the books are closed up to %: the clock of the database is behind', over
            using errcode = 'check_violation', constraint = 'ledger_postings_day_open', table = 'ledger_postings';
    end if;
    return null;
end
$$;
create trigger ledger_postings_day_open after insert on ledger_postings referencing new table as fresh
    for each statement execute function ledger_day_is_open();

-- What each merchant had at the end of a closed day with movements. Debt counts for itself. No sign is demanded: after a clock that
-- fell back, entries of one account may stand in their days in another order than they were booked in.
create table statement_closings (
    merchant_id uuid not null,
    asset text not null,
    day date not null,
    available_units numeric(78, 0) not null,
    reserved_units numeric(78, 0) not null,
    pending_units numeric(78, 0) not null,
    unassigned_units numeric(78, 0) not null,
    quarantined_units numeric(78, 0) not null,
    debt_units numeric(78, 0) not null,
    primary key (merchant_id, asset, day)
);
comment on table statement_closings is 'append-only: written once, when a day of the books is closed';
